"""What the generator is trained on, term by term, and how hard each term pulls at SR."""

import torch
import torch.nn.functional as F
from torch import nn

from ..losses import grid, total_variation
from .config import TrainConfig


class Terms:
    """content(sr, hr): the weighted sum of a config's terms on images, (N, 3, H, W) -> a scalar.

    `steady` is what the averaged generator makes of the same batch; the term against artifacts wants it.

    While `watching`, `pulls` receives the length of each weighted term's gradient with respect to SR, the adversarial term's too
    when its loss goes through `adversarial`. Two terms pull equally when these lengths are equal; the weights alone do not say that.
    """

    def __init__(self, config: TrainConfig, main):
        weights = {"content": 1.0, "pixel": config.pixel_weight, "consistency": config.consistency_weight, "artifacts": config.artifact_weight,
                   "smooth": config.smooth_weight, "grid": config.grid_weight, "total_variation": config.total_variation}
        self.weights, self.adversarial_weight = {name: weight for name, weight in weights.items() if weight}, config.adversarial_weight
        self.losses = {"content": main, "pixel": nn.L1Loss(), "grid": lambda sr, hr: grid(sr - hr, config.scale),
                       "total_variation": lambda sr, hr: total_variation(sr), "consistency": lambda sr, hr: consistency(sr, hr, config.scale),
                       "artifacts": lambda sr, hr: artifacts(sr, hr, self.steady), "smooth": smooth}
        self.watching, self.sr, self.steady, self.pulls = False, None, None, {}

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


def consistency(sr: torch.Tensor, hr: torch.Tensor, scale: int) -> torch.Tensor:
    """l1 of SR - HR, both shrunk by their means over scale x scale pixels: what LR already tells. (N, 3, H, W) twice -> scalar."""
    return F.avg_pool2d(sr - hr, scale).abs().mean()


def artifacts(sr: torch.Tensor, hr: torch.Tensor, steady: torch.Tensor, window: int = 7) -> torch.Tensor:
    """l1 where detail is invented wrongly (Liang, Zeng and Zhang 2022, eq. 4 to 8: locally discriminative learning).

    sr, hr, steady: (N, 3, H, W) in [0, 1]; steady is SR of the averaged generator. A pixel counts by the local variance of
    |HR - SR| in a window around it, times the fifth root of its variance over the patch, and not at all where SR is nearer to HR
    than steady is: what wavers and is wrong is an artifact, what is right is detail. The weights have no gradient. -> scalar.
    """
    with torch.no_grad():
        wrong, before = ((hr - one).float().abs().sum(1, keepdim=True) for one in (sr, steady))
        weight = local_variance(wrong, window) * wrong.var((1, 2, 3), keepdim=True)**0.2
        weight = weight * (wrong >= before)
    return (weight * (sr - hr).abs()).mean()


def smooth(sr: torch.Tensor, hr: torch.Tensor, window: int = 5, levels: float = 1.5) -> torch.Tensor:
    """l1 where HR is smooth, since VGG features and D overlook faint marks beside a strong edge. (N, 3, H, W) twice, in [0, 1] -> scalar.

    A pixel counts by l / (v + l): v is the variance of HR's mean channel in a window around it, l the square of `levels` grey levels.
    """
    with torch.no_grad():
        weight = levels**2 / (local_variance(hr.float().mean(1, keepdim=True) * 255, window) + levels**2)
    return (weight * (sr - hr).abs()).mean()


def local_variance(values: torch.Tensor, window: int) -> torch.Tensor:
    """The variance in window x window pixels around each, mirrored at the border: (N, 1, H, W) -> (N, 1, H, W)."""
    padded = F.pad(values, [window // 2] * 4, mode="reflect")
    mean, square = (F.avg_pool2d(x, window, stride=1) for x in (padded, padded**2))
    return (square - mean**2).clamp(min=0)
