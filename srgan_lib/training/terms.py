"""What the generator is trained on, term by term, and how hard each term pulls at SR."""

import torch
from torch import nn

from ..losses import grid, total_variation
from .config import TrainConfig


class Terms:
    """content(sr, hr): the weighted sum of a config's content, pixel, grid and total-variation terms, (N, 3, H, W) -> a scalar.

    While `watching`, `pulls` receives the length of each weighted term's gradient with respect to SR, the adversarial term's too
    when its loss goes through `adversarial`. Two terms pull equally when these lengths are equal; the weights alone do not say that.
    """

    def __init__(self, config: TrainConfig, main):
        weights = {"content": 1.0, "pixel": config.pixel_weight, "grid": config.grid_weight, "total_variation": config.total_variation}
        self.weights, self.adversarial_weight = {name: weight for name, weight in weights.items() if weight}, config.adversarial_weight
        self.losses = {"content": main, "pixel": nn.L1Loss(), "grid": lambda sr, hr: grid(sr - hr, config.scale),
                       "total_variation": lambda sr, hr: total_variation(sr)}
        self.watching, self.sr, self.pulls = False, None, {}

    def __call__(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        self.sr, self.pulls, total = sr, {}, 0
        for name, weight in self.weights.items():
            total = total + weight * self._watched(name, self.losses[name](sr, hr), weight)
        return total

    def adversarial(self, loss: torch.Tensor) -> torch.Tensor:
        """The adversarial loss passes through unchanged; its pull is noted."""
        loss = self._watched("adversarial", loss, self.adversarial_weight)
        self.sr = None  # the graph of this step is not kept
        return loss

    def _watched(self, name: str, loss: torch.Tensor, weight: float) -> torch.Tensor:
        if self.watching and self.sr is not None and self.sr.requires_grad and loss.requires_grad:
            gradient, = torch.autograd.grad(loss, self.sr, retain_graph=True)
            self.pulls[name] = weight * torch.linalg.vector_norm(gradient.float())
        return loss
