"""The networks: SRResNet (SRGAN's generator), its discriminator, ESRGAN's RRDBNet, an encoder-decoder baseline."""

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import nn

from .layers import RRDB, ResidualBlock, ShuffleConv2d, normalize, shrink_initial, upsampler

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


class SRResNet(Generator):
    """SRGAN's generator: k9n64s1, 16 residual blocks, a long skip, pixel shuffles, k9n3s1 (Ledig et al. 2017, fig. 4).

    (N, 3, H, W) in [0, 1] -> (N, 3, scale H, scale W), not clamped. 1,549,462 parameters at the defaults.
    scale: 2, 3, 4 or 8; output: "linear", or "tanh" rescaled to [0, 1]. upsampling "pixelshuffledirect" has one sub-pixel
    convolution (Shi et al. 2016) in place of all that follows the long skip, so that everything is computed at the size of LR.
    """

    def __init__(self, scale: int = 4, blocks: int = 16, channels: int = 64, upsampling: str = "pixelshuffle",
                 normalization: str = "batch", output: str = "linear"):
        super().__init__()
        if scale not in (2, 3, 4, 8) or output not in ("linear", "tanh"):
            raise ValueError(f"scale {scale}, output {output!r}: want 2, 3, 4 or 8, and 'linear' or 'tanh'")
        factors = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}[scale]
        self.scale, self.output = scale, output
        self.radius = 8 + 2 * blocks  # 4 in the head, 2 a block, 1 in body_end, at most 3 in upsamplers and tail
        self.head = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(*[ResidualBlock(channels, normalization) for _ in range(blocks)])
        self.body_end = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), normalize(normalization, channels))
        layers, left = upsampler(upsampling, channels, factors)
        self.upsample = nn.Sequential(*layers)
        self.tail = ShuffleConv2d(channels, 3, 9, factor=left) if left else nn.Identity()

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


class RRDBNet(Generator):
    """ESRGAN's generator: residual-in-residual dense blocks without batch norm (Wang et al. 2018, fig. 3 and 4).

    (N, 3, H, W) in [0, 1] -> (N, 3, scale H, scale W), not clamped; scale 2, 4 or 8 by nearest-neighbour doublings, each
    followed by a convolution. 16,697,987 parameters at the defaults. Its state dict has the names of the published weights.
    """

    def __init__(self, scale: int = 4, blocks: int = 23, channels: int = 64, growth: int = 32):
        super().__init__()
        if scale not in (2, 4, 8):
            raise ValueError(f"scale {scale}: RRDBNet doubles, so 2, 4 or 8")
        self.scale, self.doublings = scale, scale.bit_length() - 1
        self.radius = 15 * blocks + 4  # 5 convolutions x 3 dense blocks a block, conv_first, conv_body, 2 in what follows
        self.conv_first = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*[RRDB(channels, growth) for _ in range(blocks)])
        shrink_initial(self.body)
        self.conv_body = nn.Conv2d(channels, channels, 3, padding=1)
        for number in range(self.doublings):
            setattr(self, f"conv_up{number + 1}", nn.Conv2d(channels, channels, 3, padding=1))
        self.conv_hr = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, lr):
        x = self.conv_first(lr)              # (N, 3, H, W) -> (N, 64, H, W)
        x = x + self.conv_body(self.body(x))
        return self.enlarge(x)               # -> (N, 3, 4H, 4W)

    def enlarge(self, x):
        for number in range(self.doublings):  # (N, 64, H, W) -> (N, 64, 2H, 2W) -> (N, 64, 4H, 4W)
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = F.leaky_relu(getattr(self, f"conv_up{number + 1}")(x), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))


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


class PatchDiscriminator(nn.Module):
    """Seven 3x3 convolutions, three of them of stride 2, then one logit for each of many overlapping patches (Isola et al. 2017).

    (N, 3, H, W) in [0, 1], any H and W of 8 or more -> LOGITS (N, 1, H / 8, W / 8). 1,739,969 parameters at the defaults. It has no
    dense layer, so it judges every place by the same rule and cannot learn where in a patch it stands.
    """

    def __init__(self, normalization: str = "batch", channels: int = 64):
        super().__init__()
        widths = [3] + [channels * factor for factor in (1, 1, 2, 2, 4, 4, 4)]
        layers = []
        for number, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            stride = 2 if number in (1, 3, 5) else 1
            norm = [normalize(normalization, outputs)] if number else []
            layers += [nn.Conv2d(inputs, outputs, 3, stride, padding=1), *norm, nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, picture):
        return self.features(picture)  # (N, 3, 96, 96) -> (N, 256, 12, 12) -> (N, 1, 12, 12)


ARCHITECTURES = {"SRResNet": SRResNet, "EncoderDecoder": EncoderDecoder, "RRDBNet": RRDBNet}
