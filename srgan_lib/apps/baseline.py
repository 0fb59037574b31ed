"""The network and the loops as everybody writes them, for `benchmark` to compare with; and the arithmetic that they need."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..images import degrade, read_image, to_tensor
from ..losses import BCE, VGG_DEPTH, VGGLoss
from ..models import Discriminator, SRResNet
from ..training import srgan_step, srresnet_step


def naive_patch(path: Path, seed: int):
    """One LR, HR pair at x4 the usual way: decode the whole picture, cut 96 x 96 pixels out of it."""
    random = np.random.default_rng(seed)
    image = read_image(path)
    y, x = random.integers(0, image.shape[0] - 96), random.integers(0, image.shape[1] - 96)
    hr = to_tensor(image[y:y + 96, x:x + 96])
    return degrade(hr, 4), hr


class PlainTail(nn.Module):
    """What the tail replaces: shuffle first, then a 9x9 convolution at full resolution."""

    def __init__(self, tail):
        super().__init__()
        self.conv, self.factor = nn.Conv2d(tail.in_channels, tail.out_channels, tail.kernel_size, padding=tail.padding), tail.factor

    def forward(self, x):
        return self.conv(F.pixel_shuffle(x, self.factor))


def plain_generator() -> SRResNet:
    """The paper's network as everybody writes it, to compare with."""
    generator = SRResNet()
    generator.tail = PlainTail(generator.tail)
    return generator


def eager_step(stage: str, device: torch.device, lr, hr):
    """The same step in plain PyTorch: NCHW, float32, tail after the shuffle, unfused Adam."""
    networks = {"generator": plain_generator().to(device)}
    if stage == "srgan":
        networks["discriminator"] = Discriminator(hr.shape[-1]).to(device)
    optimizers = {name: torch.optim.Adam(network.parameters(), 1e-4) for name, network in networks.items()}

    def update(name: str, loss) -> None:
        loss.backward()
        optimizers[name].step()
        optimizers[name].zero_grad()

    if "discriminator" not in networks:
        return lambda: srresnet_step(lr, hr, networks["generator"], nn.MSELoss(), update)
    content = VGGLoss("vgg54", "random", scale=1.0).to(device)
    return lambda: srgan_step(lr, hr, networks["generator"], networks["discriminator"], content, BCE(), 1e-3, update)


def step_gflop(stage: str, batch: int = 16, hr_size: int = 96) -> float:
    """Multiplications and additions of one step, counted on shapes alone (no arithmetic is done)."""
    with torch.device("meta"):
        generator, discriminator = plain_generator(), Discriminator(hr_size)
        vgg = torchvision.models.vgg19(weights=None).features[:VGG_DEPTH["vgg54"]].requires_grad_(False)
        lr, hr = torch.rand(batch, 3, hr_size // 4, hr_size // 4), torch.rand(batch, 3, hr_size, hr_size)

    def content(sr, hr):
        with torch.no_grad():
            target = vgg(hr)
        return F.mse_loss(vgg(sr), target)

    with FlopCounterMode(display=False) as counter:
        update = lambda name, loss: loss.backward()
        if stage == "srresnet":
            srresnet_step(lr, hr, generator, nn.MSELoss(), update)
        else:
            srgan_step(lr, hr, generator, discriminator, content, BCE(), 1e-3, update)
    return counter.get_total_flops() / 1e9
