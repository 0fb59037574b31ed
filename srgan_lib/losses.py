"""Content losses and adversarial losses, by name (Ledig et al. 2017, eq. 2 to 6)."""

import os
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from skimage import data
from torch import nn

from .errors import LossError
from .images import degrade, resize_bicubic, to_tensor

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VGG_DEPTH = {"vgg22": 9, "vgg34": 18, "vgg54": 36, "vgg54-pre": 35}  # layers of torchvision's vgg19().features to keep
CONTENT = ("mse", "l1", *VGG_DEPTH)


def vgg_features(layer: str, weights: str = "torchvision") -> nn.Sequential:
    """VGG19's convolutions up to `layer` ("vgg22" = relu2_2 ... "vgg54-pre" = conv5_4), frozen, in eval mode.

    weights: "torchvision" (ImageNet weights, 548 MB, downloaded once), a safetensors file with the same keys, or "random",
    an explicit stand-in for timing and plumbing that no result may rest on. Raises LossError when they cannot be had.
    """
    if layer not in VGG_DEPTH:
        raise LossError(f"VGG layer {layer!r}: want one of {', '.join(VGG_DEPTH)}")
    depth = VGG_DEPTH[layer]
    if weights == "torchvision":
        network = _download_vgg().features[:depth]
    else:
        network = _random_vgg(depth)
        if weights != "random":
            _load_vgg(network, weights, layer)
    for module in network:
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return network.eval().requires_grad_(False)


def _download_vgg() -> nn.Module:
    try:
        return torchvision.models.vgg19(weights=torchvision.models.VGG19_Weights.IMAGENET1K_V1)
    except Exception as error:  # urllib, OSError, hash mismatch: all mean the same to the reader
        raise LossError(f"VGG19's ImageNet weights (548 MB) cannot be downloaded ({str(error)[:120]}); go online once, name "
                        "a safetensors file with vgg_weights=FILE, or say vgg_weights=random, which every log then labels"
                        ) from None


def _random_vgg(depth: int) -> nn.Sequential:
    """VGG19's first layers as torchvision initialises them, without the 120 million weights of its dense ones."""
    with torch.device("meta"):
        network = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["E"])[:depth]
    network.to_empty(device="cpu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for module in network:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)
    return network


def _load_vgg(network: nn.Sequential, path: str, layer: str) -> None:
    from safetensors.torch import load_file
    try:
        state = {key.removeprefix("features."): value.float() for key, value in load_file(path).items()}
    except Exception as error:
        raise LossError(f"{path}: VGG19 weights do not load ({str(error)[:120]})") from None
    missing = [key for key in network.state_dict() if key not in state]
    if missing:
        raise LossError(f"{path}: has no {missing[0]}, which {layer} needs")
    network.load_state_dict({key: state[key] for key in network.state_dict()})


def find_vgg(layer: str) -> str:
    """The best VGG source at hand: the development folder's file if it reaches `layer`, else torchvision's download."""
    folder = os.environ.get("SRGAN_DEV_DATA")
    files = sorted(Path(folder, "weights").glob("vgg19_*.safetensors")) if folder else []
    return str(files[0]) if files and VGG_DEPTH[layer] <= VGG_DEPTH["vgg34"] else "torchvision"


class VGGLoss(nn.Module):
    """Mean squared distance of VGG19 features, scaled (Ledig et al. 2017, eq. 5). (N, 3, H, W) in [0, 1] twice -> scalar.

    The paper scales features by 1/12.75 so that the loss is "comparable to the MSE loss"; that constant belongs to its
    copy of VGG19 and its layer. Here the comparison itself is made: for this layer and these weights, `scale` makes the
    loss of a bicubic picture equal to its pixel MSE in [-1, 1]. Pass `scale` to fix it.
    """

    def __init__(self, layer: str = "vgg54", weights: str = "torchvision", scale: float | None = None):
        super().__init__()
        self.layer, self.weights = layer, weights
        self.features = vgg_features(layer, weights)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.scale = 1.0
        self.scale = self._measured_scale() if scale is None else scale

    @torch.no_grad()
    def _measured_scale(self) -> float:
        hr = to_tensor(data.astronaut()[:192, 128:320])
        bicubic = resize_bicubic(degrade(hr, 4), 4)
        return float((4 * F.mse_loss(bicubic, hr) / self(bicubic, hr)).sqrt())

    def embed(self, picture):
        """(N, 3, H, W) in [0, 1] -> scaled feature maps; gradients flow to the picture, never to VGG."""
        return self.features((picture - self.mean) / self.std) * self.scale

    def forward(self, sr, hr):
        with torch.no_grad():
            target = self.embed(hr)
        return F.mse_loss(self.embed(sr), target)


def total_variation(picture: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of neighbours, rows plus columns. (N, C, H, W) -> scalar."""
    return picture.diff(dim=-1).abs().mean() + picture.diff(dim=-2).abs().mean()


def grid(error: torch.Tensor, period: int) -> torch.Tensor:
    """How much of an error repeats every `period` pixels, as the checkerboard of an upsampler does.

    In each window of 8 x 8 periods (half overlapping) the mean of each of the period**2 phases, less the mean of all of them: an error that
    knows no grid averages out. (N, C, H, W), H and W at least 8 periods and multiples of one -> mean absolute value, scalar.
    """
    phases = F.avg_pool2d(F.pixel_unshuffle(error, period), 8, stride=4).unflatten(1, (-1, period**2))  # (N, C, period^2, windows)
    return (phases - phases.mean(2, keepdim=True)).abs().mean()


def jittered(hr: torch.Tensor, most: int, *generators: Callable) -> tuple:
    """HR and generators, all rolled down and right by the same random 0 to `most` pixels; with 0, all as they are.

    VGG pools and D strides on grids of 2 to 16 pixels, and a patch always lies on the same place of them, as does the generator's
    pixel shuffle. Rolling takes these grids apart. What was seen of it: fewer second lines beside edges; `grid_weight` removes the checkerboard.
    """
    if not most:
        return hr, *generators
    shift = torch.randint(most + 1, (2,)).tolist()
    return torch.roll(hr, shift, (2, 3)), *[lambda lr, one=one: torch.roll(one(lr), shift, (2, 3)) for one in generators]


def content_loss(name: str, vgg_weights: str = "torchvision"):
    """A content loss by name -> callable (sr, hr) -> scalar. Raises LossError for an unknown name."""
    if name in ("mse", "l1"):
        return nn.MSELoss() if name == "mse" else nn.L1Loss()
    if name not in VGG_DEPTH:
        raise LossError(f"content loss {name!r}: want one of {', '.join(CONTENT)}")
    return VGGLoss(name, find_vgg(name) if vgg_weights == "auto" else vgg_weights)


class Adversarial:
    """What all adversarial losses share: `penalty` is added to the discriminator's loss, `constrain` follows its update."""

    def penalty(self, discriminator, hr, sr):
        return 0.0

    def constrain(self, discriminator) -> None:
        pass


class BCE(Adversarial):
    """The GAN of the paper on logits. Generator: -log sigmoid D(G(lr)) (eq. 6); discriminator: binary cross entropy (eq. 2).

    real: the target for HR (1, or 0.9 for one-sided smoothing); fake_noise: targets for SR are drawn around it, in 0..0.3.
    softplus(-z) = -log sigmoid(z) stays finite at any logit.
    """

    def __init__(self, real: float = 1.0, fake_noise: float = 0.0):
        self.real, self.fake_noise = real, fake_noise

    def generator(self, sr_logits, hr_logits=None):
        return F.softplus(-sr_logits).mean()

    def discriminator(self, hr_logits, sr_logits):
        fake = torch.zeros_like(sr_logits)
        if self.fake_noise:
            fake = torch.empty_like(sr_logits).normal_(self.fake_noise, self.fake_noise / 2).clamp_(0, 0.3)
        return (F.binary_cross_entropy_with_logits(hr_logits, torch.full_like(hr_logits, self.real))
                + F.binary_cross_entropy_with_logits(sr_logits, fake))


class LSGAN(Adversarial):
    """Least squares on logits: targets 1 for HR, 0 for SR (Mao et al. 2017, eq. 2)."""

    def generator(self, sr_logits, hr_logits=None):
        return (sr_logits - 1).square().mean()

    def discriminator(self, hr_logits, sr_logits):
        return (hr_logits - 1).square().mean() + sr_logits.square().mean()


class Wasserstein(Adversarial):
    """The critic's difference of means (Arjovsky et al. 2017), kept 1-Lipschitz by clipping or by a penalty.

    clip: weights are cut to [-clip, clip] after each update; gradient: weight of `gradient_penalty` (10 in Gulrajani et al.
    2017). The critic must have no batch norm.
    """

    def __init__(self, clip: float = 0.0, gradient: float = 0.0):
        self.clip, self.gradient = clip, gradient

    def generator(self, sr_logits, hr_logits=None):
        return -sr_logits.mean()

    def discriminator(self, hr_logits, sr_logits):
        return sr_logits.mean() - hr_logits.mean()

    def penalty(self, discriminator, hr, sr):
        return self.gradient * gradient_penalty(discriminator, hr, sr) if self.gradient else 0.0

    @torch.no_grad()
    def constrain(self, discriminator) -> None:
        if self.clip:
            for parameter in discriminator.parameters():
                parameter.clamp_(-self.clip, self.clip)


class Relativistic(Adversarial):
    """Relativistic average GAN: is HR more real than the average SR, and the other way round (Wang et al. 2018, eq. 1-2)."""

    def generator(self, sr_logits, hr_logits):
        return self.discriminator(sr_logits, hr_logits)

    def discriminator(self, hr_logits, sr_logits):
        return (F.softplus(-(hr_logits - sr_logits.mean())).mean() + F.softplus(sr_logits - hr_logits.mean()).mean()) / 2


def gradient_penalty(critic, hr: torch.Tensor, sr: torch.Tensor, mix: torch.Tensor | None = None) -> torch.Tensor:
    """E[(|grad critic(x)| - 1)^2] at x between HR and SR (Gulrajani et al. 2017, eq. 3). The critic must have no batch norm.

    mix: (N, 1, 1, 1) in [0, 1], drawn uniformly when not given.
    """
    mix = torch.rand(len(hr), 1, 1, 1, device=hr.device) if mix is None else mix
    between = (mix * hr + (1 - mix) * sr).detach().requires_grad_(True)
    gradient, = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


ADVERSARIAL = {"bce": BCE, "bce-smooth": lambda: BCE(real=0.9), "bce-noisy": lambda: BCE(fake_noise=0.1), "lsgan": LSGAN,
               "wgan": lambda: Wasserstein(clip=0.01), "wgan-gp": lambda: Wasserstein(gradient=10.0), "relativistic": Relativistic}


def adversarial_loss(name: str):
    """An adversarial loss by name -> object with generator(sr_logits, hr_logits) and discriminator(hr_logits, sr_logits)."""
    if name not in ADVERSARIAL:
        raise LossError(f"adversarial loss {name!r}: want one of {', '.join(ADVERSARIAL)}")
    return ADVERSARIAL[name]()
