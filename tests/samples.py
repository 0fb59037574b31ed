"""Pictures and networks to test on."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture to test on: smooth colours, edges and noise, uint8 (H, W, 3)."""
    random = np.random.default_rng([seed, height, width])
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / (3 + 2 * c) + seed) + np.cos(columns / (4 + c)) for c in range(3)]
    picture = 127 + 45 * np.stack(waves, -1) + 60 * ((rows // 7 + columns // 5) % 2)[..., None] - 30
    return (picture + random.normal(0, 12, picture.shape)).clip(0, 255).astype(np.uint8)


def save_photographs(folder: Path, count: int = 3, height: int = 60, width: int = 80) -> Path:
    """Write PNGs 00.png, 01.png, ... of slightly different sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(photograph(height + number, width + 2 * number, number)).save(folder / f"{number:02}.png")
    return folder


def lively(network: nn.Module) -> nn.Module:
    """In eval mode, as after training: batch norms that fold into something, slopes that are not all alike.

    torch's random numbers go on afterwards as if nothing had been drawn, so the next network of a test has weights of its own.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.2)
                layer.running_var.uniform_(0.5, 2)
                nn.init.normal_(layer.weight, 1, 0.2)
                nn.init.normal_(layer.bias, 0, 0.2)
            if isinstance(layer, nn.PReLU):
                nn.init.uniform_(layer.weight, 0.1, 0.4)
    return network.eval()
