"""Brightness, darkening and saturation of a batch, the same for LR and HR."""

import numpy as np
import torch


def photometric(lr, hr, config, step: int, rank: int = 0):
    """Brightness, darkening (gamma) and saturation with probability config.photometric each, the same for LR and HR.

    A pure function of (config.seed, step, rank); values stay in [0, 1].
    """
    random = np.random.default_rng([config.seed, step, rank, 1])

    def amounts(low, high):
        drawn = np.where(random.random(len(hr)) < config.photometric, random.uniform(low, high, len(hr)), 1.0)
        return torch.tensor(drawn, dtype=hr.dtype, device=hr.device).view(-1, 1, 1, 1)

    gain, gamma, colour = amounts(0.6, 1.0), amounts(0.7, 1.4), amounts(0.5, 1.3)
    return tuple(_saturate((picture * gain) ** gamma, colour).clamp(0, 1) for picture in (lr, hr))


def _saturate(picture, amount):
    grey = picture.mean(1, keepdim=True)
    return grey + (picture - grey) * amount
