"""NIQE: how far the statistics of an image's small patches lie from those of natural photographs, without a reference.

Mittal, Soundararajan and Bovik 2013, "Making a completely blind image quality analyzer", IEEE Signal Processing Letters 20(3).
The model of natural photographs is the authors' own (weights/niqe.safetensors; their notice is in weights/niqe-notice.txt).
Lower is more natural. It knows nothing of the original: sharp nonsense can score well, so it stands beside PSNR, never alone.
"""

from functools import lru_cache
from math import lgamma
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

BLOCK = 96  # pixels a side of the patches that are described, at the full size; half of it at the half size
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
MODEL = Path(__file__).parent / "weights" / "niqe.safetensors"


def niqe(levels: torch.Tensor) -> float:
    """NIQE of the luma or grey levels (H, W) of one image, whole numbers 0..255, borders already shaved.

    Raises ValueError when the image does not hold two blocks of 96 x 96.
    """
    rows, columns = (side // BLOCK for side in levels.shape)
    if not fits(levels):
        raise ValueError(f"{levels.shape[1]} x {levels.shape[0]} pixels hold fewer than two blocks of {BLOCK} x {BLOCK}")
    image = levels[:rows * BLOCK, :columns * BLOCK].double()
    found = np.concatenate([_describe(image, BLOCK), _describe(_halved(image), BLOCK // 2)], 1)  # (blocks, 36)
    natural = load_file(MODEL)
    whole = found[~np.isnan(found).any(1)]  # a flat block has no distribution
    away = natural["mean"].numpy() - np.nanmean(found, 0)
    spread = (natural["covariance"].numpy() + np.cov(whole, rowvar=False)) / 2
    return float(np.sqrt(away @ np.linalg.pinv(spread) @ away))


def fits(levels: torch.Tensor) -> bool:
    """Whether an image (H, W) holds the two blocks that a covariance takes."""
    return (levels.shape[0] // BLOCK) * (levels.shape[1] // BLOCK) >= 2


def _halved(image: torch.Tensor) -> torch.Tensor:
    """Half the size by antialiased bicubic with a symmetric border, not rounded."""
    padded = torch.from_numpy(np.pad(image.numpy(), 8, mode="symmetric"))
    return F.interpolate(padded[None, None], scale_factor=0.5, mode="bicubic", antialias=True)[0, 0, 4:-4, 4:-4]


def _describe(image: torch.Tensor, block: int) -> np.ndarray:
    """The 18 features of each block (blocks, 18): shapes and widths of the normalised levels and of products of neighbours (eq. 1-8)."""
    normalised = _normalised(image).numpy()
    height, width = normalised.shape
    blocks = normalised.reshape(height // block, block, width // block, block).transpose(0, 2, 1, 3).reshape(-1, block, block)
    return np.array([_features(one) for one in blocks])


def _normalised(image: torch.Tensor) -> torch.Tensor:
    """(level - local mean) / (local deviation + 1), in windows of 7 x 7 with Gaussian weights of sigma 7/6 (eq. 1-3)."""
    taps = torch.exp(-torch.arange(-3, 4, dtype=torch.float64).square() / (2 * (7 / 6) ** 2))
    window = torch.outer(taps, taps) / taps.sum() ** 2

    def blur(x):
        return F.conv2d(F.pad(x[None, None], (3, 3, 3, 3), mode="replicate"), window[None, None])[0, 0]

    mean = blur(image)
    return (image - mean) / ((blur(image * image) - mean * mean).abs().sqrt() + 1)


def _features(block: np.ndarray) -> list[float]:
    shape, left, right = _fit(block)
    found = [shape, (left + right) / 2]
    for shift in NEIGHBOURS:
        shape, left, right = _fit(block * np.roll(block, shift, (0, 1)))
        lean = (right - left) * np.exp(lgamma(2 / shape) - lgamma(1 / shape))
        found += [shape, lean, left, right]
    return found


@lru_cache
def _shapes() -> tuple[np.ndarray, np.ndarray]:
    """Candidate shapes of a generalised Gaussian, and for each the ratio E|x|^2 / E x^2."""
    shapes = np.arange(0.2, 10.001, 0.001)
    return shapes, np.exp([2 * lgamma(2 / s) - lgamma(1 / s) - lgamma(3 / s) for s in shapes])


def _fit(values: np.ndarray) -> tuple[float, float, float]:
    """(shape, left width, right width) of an asymmetric generalised Gaussian, by its moments (Lasmar et al. 2009)."""
    values = values.ravel()
    left, right = (np.sqrt(np.square(side).mean()) if side.size else np.nan for side in (values[values < 0], values[values > 0]))
    if not (left > 0 and right > 0):
        return 1.0, np.nan, np.nan
    ratio, spread = left / right, np.abs(values).mean() ** 2 / np.square(values).mean()
    wanted = spread * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shapes, ratios = _shapes()
    shape = float(shapes[np.argmin(np.square(ratios - wanted))])
    width = np.exp((lgamma(1 / shape) - lgamma(3 / shape)) / 2)
    return shape, left * width, right * width
