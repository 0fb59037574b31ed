"""How good is the generator now: PSNR on held-out pictures, and their crops as one picture to watch sharpen."""

import numpy as np
import torch

from ..data import ImageBank, shrink
from ..errors import TrainingError
from ..images import resize_bicubic, to_image, to_tensor
from ..metrics import protocol_psnr


class Validation:
    """The centres of held-out pictures, degraded once. Calling it with a generator in eval mode -> (mean PSNR in dB, uint8
    contact sheet: bicubic above, SR in the middle, HR below, for the first `shown` pictures). A random degradation is drawn
    from each picture's number."""

    def __init__(self, bank: ImageBank, scale: int, size: int = 240, shown: int = 6, degradation: str = "bicubic"):
        self.scale, self.shown = scale, shown
        least = 2 * scale + 11  # what is left of a picture once its border is shaved must be a picture
        self.hr = [to_tensor(centre(picture, size, scale)) for picture in bank if min(picture.shape[:2]) // scale * scale >= least]
        if not self.hr:
            raise TrainingError(f"{bank.source}: none of the held-out images has the {least} pixels a side that a PSNR needs at scale {scale}")
        if len(self.hr) < len(bank):
            print(f"note: {len(bank) - len(self.hr)} of {len(bank)} held-out images are smaller than {least} x {least} pixels and not used")
        self.lr = [shrink(hr, scale, degradation, number) for number, hr in enumerate(self.hr)]
        self.bicubic = [resize_bicubic(lr, scale) for lr in self.lr]
        self.bicubic_psnr = self._mean_psnr(self.bicubic)

    def _mean_psnr(self, pictures) -> float:
        return float(np.mean([protocol_psnr(sr, hr, self.scale) for sr, hr in zip(pictures, self.hr)]))

    @torch.no_grad()
    def __call__(self, generator) -> tuple[float, np.ndarray]:
        device = next(generator.parameters()).device
        sr = [generator(lr.to(device)).float().cpu() for lr in self.lr]
        size = min(min(hr.shape[-2:]) for hr in self.hr[:self.shown])
        rows = [np.concatenate([to_image(p[..., :size, :size]) for p in row[:self.shown]], 1) for row in (self.bicubic, sr, self.hr)]
        return self._mean_psnr(sr), np.concatenate(rows)


def centre(picture: np.ndarray, size: int, scale: int) -> np.ndarray:
    """The middle of (H, W, C): `size` pixels a side or what there is, a multiple of the scale."""
    height, width = (min(size, side) // scale * scale for side in picture.shape[:2])
    y, x = ((side - part) // 2 for side, part in zip(picture.shape[:2], (height, width)))
    return picture[y:y + height, x:x + width]
