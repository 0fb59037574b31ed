"""The networks: SRResNet (SRGAN's generator), its discriminator, an encoder-decoder baseline, and loading by name."""

import difflib
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from safetensors.torch import load_file
from torch import nn

from .errors import ModelError

WEIGHTS = Path(__file__).parent / "weights"
PAPER_URL = "https://arxiv.org/abs/1609.04802"


class Generator(
    nn.Module, PyTorchModelHubMixin, library_name="srgan_lib", license="mit", paper_url=PAPER_URL,
    tags=["super-resolution", "srgan", "image-to-image"], pipeline_tag="image-to-image",
):
    """Base of all generators: (N, 3, H, W) in [0, 1] -> (N, 3, scale H, scale W), saved as config.json + model.safetensors.

    `radius` is how many LR pixels beyond its own place an output pixel depends on: the halo that tiles need.
    """

    scale: int
    radius: int

    @classmethod
    def from_pretrained(cls, *arguments, strict: bool = True, **options):
        """The Hub mixin's loader, strict: missing or foreign weights are an error, never a silent random layer."""
        return super().from_pretrained(*arguments, strict=strict, **options)

    def save_pretrained(self, *arguments, **options):
        self._hub_mixin_config = {"architecture": type(self).__name__, **(self._hub_mixin_config or {})}
        return super().save_pretrained(*arguments, **options)


class ResidualBlock(nn.Module):
    """x + BN(conv(PReLU(BN(conv(x))))), all 3x3, size kept (Ledig et al. 2017, fig. 4; Gross & Wilber 2016)."""

    def __init__(self, channels: int = 64, normalization: str = "batch"):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = normalize(normalization, channels)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = normalize(normalization, channels)

    def forward(self, x):
        y = self.prelu(self.norm1(self.conv1(x)))
        return x + self.norm2(self.conv2(y))


def normalize(name: str, channels: int) -> nn.Module:
    """A normalization layer by name: "batch" or "none"; ValueError otherwise."""
    if name not in ("batch", "none"):
        raise ValueError(f"normalization {name!r}: want 'batch' or 'none'")
    return nn.BatchNorm2d(channels) if name == "batch" else nn.Identity()


class ShuffleConv2d(nn.Conv2d):
    """`conv(pixel_shuffle(x, factor))`, computed before the shuffle: the same numbers, several times faster.

    A k x k kernel on the fine grid is a smaller kernel on the coarse one, once for each of the factor**2 phases of the
    output. (N, C factor**2, H, W) -> (N, out, factor H, factor W); the weight keeps the shape of the plain convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, factor: int = 1):
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.factor = factor

    def forward(self, x):
        if self.factor == 1:
            return super().forward(x)
        weight = fold_shuffle(self.weight, self.factor)
        bias = self.bias.repeat_interleave(self.factor**2)
        y = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)  # (N, out factor^2, H, W)
        return F.pixel_shuffle(y, self.factor)


def fold_shuffle(weight: torch.Tensor, factor: int) -> torch.Tensor:
    """Kernel (O, C, k, k) after a pixel shuffle -> kernel (O factor^2, C factor^2, j, j) before it.

    Output phase p reads tap t from fine position p + t - k // 2 = factor * coarse + phase: shift the kernel by p inside
    a canvas of j whole coarse pixels, then split each canvas axis into (coarse, phase).
    """
    out, channels, size, _ = weight.shape
    reach = -(-(size // 2) // factor)  # coarse pixels on each side
    taps, first = 2 * reach + 1, reach * factor - size // 2
    phases = []
    for row in range(factor):
        for column in range(factor):
            top, left, canvas = first + row, first + column, taps * factor - size
            phases.append(F.pad(weight, (left, canvas - left, top, canvas - top)))
    folded = torch.stack(phases, 1)  # (O, f^2, C, j f, j f)
    folded = folded.reshape(out * factor**2, channels, taps, factor, taps, factor)
    return folded.permute(0, 1, 3, 5, 2, 4).reshape(out * factor**2, channels * factor**2, taps, taps)


def upsampler(kind: str, channels: int, factors: list[int]) -> tuple[list[nn.Module], int]:
    """The layers that enlarge, and the pixel-shuffle factor that is left for the tail to apply.

    "pixelshuffle": conv to factor^2 channels, PReLU, shuffle (Shi et al. 2016; one slope, so PReLU and shuffle commute);
    "transposed": stride = factor; "resize": nearest neighbour, then conv (Odena et al. 2016).
    """
    layers = []
    for number, factor in enumerate(factors, 1):
        if kind == "pixelshuffle":
            layers += [nn.Conv2d(channels, channels * factor**2, 3, padding=1), nn.PReLU()]
            layers += [nn.PixelShuffle(factor)] if number < len(factors) else []
        elif kind == "transposed":
            layers += [nn.ConvTranspose2d(channels, channels, 3, factor, padding=1, output_padding=factor - 1), nn.PReLU()]
        elif kind == "resize":
            layers += [nn.Upsample(scale_factor=factor, mode="nearest"), nn.Conv2d(channels, channels, 3, padding=1), nn.PReLU()]
        else:
            raise ValueError(f"upsampling {kind!r}: want 'pixelshuffle', 'transposed' or 'resize'")
    return layers, factors[-1] if kind == "pixelshuffle" else 1


class SRResNet(Generator):
    """SRGAN's generator: k9n64s1, 16 residual blocks, a long skip, pixel shuffles, k9n3s1 (Ledig et al. 2017, fig. 4).

    (N, 3, H, W) in [0, 1] -> (N, 3, scale H, scale W), not clamped. 1,549,462 parameters at the defaults.
    scale: 2, 3, 4 or 8; output: "linear", or "tanh" rescaled to [0, 1].
    """

    def __init__(self, scale: int = 4, blocks: int = 16, channels: int = 64, upsampling: str = "pixelshuffle",
                 normalization: str = "batch", output: str = "linear"):
        super().__init__()
        if scale not in (2, 3, 4, 8) or output not in ("linear", "tanh"):
            raise ValueError(f"scale {scale}, output {output!r}: want 2, 3, 4 or 8, and 'linear' or 'tanh'")
        factors = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}[scale]
        self.scale, self.output = scale, output
        self.radius = 4 + 2 * blocks + 1 + len(factors) + 3  # head, blocks, body_end, upsamplers, tail with its fractions
        self.head = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(*[ResidualBlock(channels, normalization) for _ in range(blocks)])
        self.body_end = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), normalize(normalization, channels))
        layers, left = upsampler(upsampling, channels, factors)
        self.upsample = nn.Sequential(*layers)
        self.tail = ShuffleConv2d(channels, 3, 9, factor=left)

    def forward(self, lr):
        x = self.head(lr)                    # (N, 3, H, W) -> (N, 64, H, W)
        x = x + self.body_end(self.body(x))  # (N, 64, H, W)
        x = self.upsample(x)                 # -> (N, 256, 2H, 2W) at scale 4: the last shuffle is the tail's
        sr = self.tail(x)                    # -> (N, 3, 4H, 4W)
        return (torch.tanh(sr) + 1) / 2 if self.output == "tanh" else sr


class EncoderDecoder(Generator):
    """Baseline without a residual path: convolutions and max pooling down, transposed convolutions up.

    Squeezes to a quarter of the LR size and back, then enlarges by `scale` (a power of two). Any H and W >= 1.
    """

    def __init__(self, scale: int = 4, channels: int = 64):
        super().__init__()
        if scale not in (2, 4, 8):
            raise ValueError(f"scale {scale}: the encoder-decoder doubles, so 2, 4 or 8")
        self.scale, self.radius = scale, 40
        down = [3, channels, 2 * channels, 4 * channels]
        self.encoder = nn.Sequential(*[self._stage(i, o, pool) for i, o, pool in zip(down, down[1:], (False, True, True))])
        up = [4 * channels, 2 * channels] + [channels] * scale.bit_length()
        self.decoder = nn.Sequential(*[
            nn.Sequential(nn.ConvTranspose2d(i, o, 4, 2, padding=1), nn.ReLU()) for i, o in zip(up, up[1:])])
        self.tail = nn.Conv2d(channels, 3, 3, padding=1)

    @staticmethod
    def _stage(inputs: int, outputs: int, pool: bool) -> nn.Sequential:
        return nn.Sequential(nn.MaxPool2d(2) if pool else nn.Identity(), nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU())

    def forward(self, lr):
        height, width = lr.shape[-2:]
        x = F.pad(lr, (0, -width % 4, 0, -height % 4), mode="replicate")
        x = self.tail(self.decoder(self.encoder(x)))
        return x[..., :height * self.scale, :width * self.scale]


class Discriminator(nn.Module):
    """Eight 3x3 convolutions, LeakyReLU 0.2, dense 1024, dense 1 (Ledig et al. 2017, fig. 4). Returns LOGITS (N, 1).

    (N, 3, hr_size, hr_size) in [0, 1]; 23,565,505 parameters at 96. head="pooled" averages over the picture before the
    dense layers, which makes it size-free. The sigmoid lives in the loss.
    """

    def __init__(self, hr_size: int = 96, head: str = "dense", normalization: str = "batch", channels: int = 64):
        super().__init__()
        if head not in ("dense", "pooled") or (head == "dense" and (hr_size < 16 or hr_size % 16)):
            raise ValueError(f"head {head!r}, hr_size {hr_size}: want 'dense' with a multiple of 16, or 'pooled'")
        widths = [3] + [channels * factor for factor in (1, 1, 2, 2, 4, 4, 8, 8)]
        layers = []
        for number, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            stride = 1 + number % 2  # k3n64s1, k3n64s2, k3n128s1, k3n128s2, ...
            norm = [normalize(normalization, outputs)] if number else []
            layers += [nn.Conv2d(inputs, outputs, 3, stride, padding=1), *norm, nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers)
        side = hr_size // 16 if head == "dense" else 1
        self.pool = nn.AdaptiveAvgPool2d(1) if head == "pooled" else nn.Identity()
        self.head = nn.Sequential(nn.Linear(8 * channels * side**2, 16 * channels), nn.LeakyReLU(0.2), nn.Linear(16 * channels, 1))

    def forward(self, picture):
        x = self.pool(self.features(picture))  # (N, 3, 96, 96) -> (N, 512, 6, 6)
        return self.head(x.flatten(1))         # -> (N, 18432) -> (N, 1)


ARCHITECTURES = {"SRResNet": SRResNet, "EncoderDecoder": EncoderDecoder}


def shipped() -> list[str]:
    """Names of the generators that come with the project."""
    return sorted(path.parent.name for path in WEIGHTS.glob("*/model.safetensors"))


def load_generator(name: str | Path, device: str | torch.device = "cpu") -> Generator:
    """Load a shipped name, a `save_pretrained` folder or a Hub repo (OWNER/NAME) -> generator in eval mode, float32.

    Only safetensors are read, strictly. Raises ModelError for an unknown name (with the nearest known one), an
    unreachable Hub, missing files, or weights of another architecture.
    """
    folder = _locate(str(name))
    try:
        config = json.loads((folder / "config.json").read_text())
        architecture = ARCHITECTURES[config.pop("architecture", "SRResNet")]
        generator = architecture(**config)
        generator.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    except KeyError as error:
        raise ModelError(f"{name}: unknown architecture {error}; known are {', '.join(ARCHITECTURES)}") from None
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise ModelError(f"{name}: does not load ({_first_lines(error)})") from None
    except Exception as error:  # safetensors raises its own type for a broken file
        raise ModelError(f"{name}: broken weights file ({_first_lines(error)})") from None
    return generator.float().eval().to(device)


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _locate(name: str) -> Path:
    folder = WEIGHTS / name if name in shipped() else Path(name)
    if folder.is_dir():
        missing = [file for file in ("config.json", "model.safetensors") if not (folder / file).is_file()]
        if missing:
            raise ModelError(f"{name}: {' and '.join(missing)} missing; want a folder written by save_pretrained")
        return folder
    if name.count("/") == 1 and not name.startswith((".", "/")):
        from .hub import fetch_model
        return fetch_model(name)
    nearest = difflib.get_close_matches(name, shipped(), 1)
    raise ModelError(f"{name}: no such model{f', did you mean {nearest[0]}?' if nearest else ''} "
                     f"(shipped: {', '.join(shipped()) or 'none'}; also a folder or a Hub repo OWNER/NAME)")
