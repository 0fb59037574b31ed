"""Cut-outs: colours that nobody sees, under alpha 0, would bleed into the rim; so they are made of what stands beside them."""

import numpy as np
import torch
import torch.nn.functional as F

NEAR = 12  # pixels from the rim that are filled one ring at a time; further in, coarser copies will do


def filled(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) of any kind with the colours under alpha 0 replaced by those of the visible neighbourhood."""
    if alpha.all() or not alpha.any():
        return colours
    seen = torch.from_numpy(alpha > 0)[None, None].float()
    values = torch.from_numpy(colours.astype(np.float32)).reshape(*alpha.shape, -1).permute(2, 0, 1)[None]
    values = _rings(values * seen, seen)
    out = values[0].permute(1, 2, 0).reshape(colours.shape).add_(0.5).floor_().numpy()
    return np.where((alpha > 0).reshape(alpha.shape + (1,) * (colours.ndim - 2)), colours, out.astype(colours.dtype))


def _rings(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Grow what is known by the mean of the known among 8 neighbours, NEAR times; the rest comes from half the size."""
    for _ in range(NEAR):
        near = F.avg_pool2d(known, 3, 1, 1)
        mean = F.avg_pool2d(values, 3, 1, 1) / near.clamp_min(1e-6)
        new = (known == 0) & (near > 0)
        if not new.any():
            return values
        values, known = torch.where(new, mean, values), torch.where(new, 1.0, known)
    if known.all():
        return values
    near = F.avg_pool2d(known, 2, 2, ceil_mode=True)
    coarse = F.avg_pool2d(values, 2, 2, ceil_mode=True) / near.clamp_min(1e-6)
    coarse = _rings(torch.where(near > 0, coarse, 0.0), (near > 0).float())
    return torch.where(known > 0, values, F.interpolate(coarse, scale_factor=2)[..., :values.shape[-2], :values.shape[-1]])
