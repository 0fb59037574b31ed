"""Degradation beyond bicubic: what a lens, a sensor and a messenger do to a picture on its way to low resolution.

Ledig et al. 2017 shrink by bicubic alone, and a network learns to undo exactly that. "camera" is a departure from the paper:
blur, one of three shrinking kernels, noise and JPEG, each of a random strength, each left out one time in five.
"""

import io
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..errors import DataError
from ..images import crop_to_multiple, degrade

DEGRADATIONS = ("bicubic", "camera")
KERNELS = ("bicubic", "bilinear", "area")
REACH = 8  # LR pixels around a patch: 3 standard deviations of the blur, the kernel, and room to shift JPEG's blocks


class Damage(NamedTuple):
    """The strength of each fault; the defaults are none."""

    blur: float = 0.0        # standard deviation of a Gaussian, HR pixels
    kernel: str = "bicubic"  # of the shrinking, antialiased
    noise: float = 0.0       # standard deviation, grey levels
    quality: int = 0         # JPEG's, 1 to 95; 0 leaves it out


def draw(random: np.random.Generator) -> Damage:
    """One random damage, as a telephone and a messenger might do it."""
    drawn = Damage(random.uniform(0, 3), KERNELS[random.integers(3)], random.uniform(0, 12), int(random.integers(40, 96)))
    return Damage(*(value if random.random() < 0.8 else none for value, none in zip(drawn, Damage())))


def check_degradation(name: str) -> None:
    """Raise DataError for a name that is not in DEGRADATIONS."""
    if name not in DEGRADATIONS:
        raise DataError(f"degradation {name!r}: want one of {', '.join(DEGRADATIONS)}")


def shrink(hr: torch.Tensor, scale: int = 4, degradation: str = "bicubic", seed=0) -> torch.Tensor:
    """HR (1, 3, H, W) in [0, 1] -> LR (1, 3, H // scale, W // scale), 8-bit levels, by one of DEGRADATIONS.

    A random one is a pure function of `seed`, a whole number or a list of them. Raises DataError for an unknown name.
    """
    check_degradation(degradation)
    if degradation == "bicubic":
        return degrade(hr, scale)
    random = np.random.default_rng(seed)
    return photographed(hr, scale, draw(random), random)


def photographed(hr: torch.Tensor, scale: int, damage: Damage, random: np.random.Generator) -> torch.Tensor:
    """HR (1, 3, H, W) in [0, 1] -> LR (1, 3, H // scale, W // scale), 8-bit levels, with one given damage."""
    levels = shrunk_levels(crop_to_multiple(hr, scale) * 255, scale, [damage])
    return torch.from_numpy(stored(levels[0], damage, random, (0, 0)))[None].to(hr.device).float() / 255


def damaged_patches(hr: torch.Tensor, scale: int, randoms: list[np.random.Generator]) -> torch.Tensor:
    """HR levels (N, 3, H, W), uint8 -> LR levels (N, 3, H / scale, W / scale), uint8, each with a damage of its own.

    A patch lies anywhere in its photograph, so JPEG's blocks begin anywhere in a patch.
    """
    damages = [draw(random) for random in randoms]
    levels = shrunk_levels(hr.cpu().float(), scale, damages)
    parts = [stored(x, damage, random, random.integers(0, 8, 2)) for x, damage, random in zip(levels, damages, randoms)]
    return torch.from_numpy(np.stack(parts)).to(hr.device)


def shrunk_levels(hr: torch.Tensor, scale: int, damages: list[Damage]) -> torch.Tensor:
    """Blur and shrink (N, 3, H, W). Both are linear in rows and in columns: LR = A HR B^T, one A and one B for each picture."""
    rows, columns = (_shrinking(size, scale, damages).to(hr.device) for size in hr.shape[-2:])
    return rows[:, None] @ hr @ columns[:, None].mT


def _shrinking(size: int, scale: int, damages: list[Damage]) -> torch.Tensor:
    """(N, size / scale, size): the kernel's matrix times the blur's; each row sums to 1, at the border too."""
    distance = torch.arange(size) - torch.arange(size)[:, None]
    sigma = torch.tensor([max(damage.blur, 0.01) for damage in damages]).view(-1, 1, 1)  # 0.01 leaves everything where it is
    blur = torch.exp(-0.5 * (distance / sigma) ** 2)
    return torch.stack([_kernel(size, scale, damage.kernel) for damage in damages]) @ (blur / blur.sum(-1, keepdim=True))


@lru_cache(64)
def _kernel(size: int, scale: int, name: str) -> torch.Tensor:
    """(size / scale, size): what shrinking does to each row of the identity."""
    return F.interpolate(torch.eye(size)[None, None], (size // scale, size), mode=name, antialias=name != "area")[0, 0]


def stored(levels: torch.Tensor, damage: Damage, random: np.random.Generator, corner) -> np.ndarray:
    """Grey levels (3, h, w) -> uint8 (3, h, w): the sensor's noise, 8 bits, and JPEG whose first block begins at `corner`."""
    noise = damage.noise * random.standard_normal(levels.shape, np.float32)
    picture = np.floor((levels.cpu().numpy() + noise).clip(0, 255) + 0.5).astype(np.uint8)
    if damage.quality:
        inside = (..., slice(corner[0], None), slice(corner[1], None))
        picture[inside] = _jpeg(picture[inside].transpose(1, 2, 0), damage.quality).transpose(2, 0, 1)
    return picture


def _jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """uint8 (H, W, 3) written as JPEG, colours at half the resolution as telephones do, and read again."""
    packed = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(packed, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(packed))
