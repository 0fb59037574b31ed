"""What tests hand to an exercise: a block, an optimizer, losses. They travel by name, so they live where a session finds them."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.BatchNorm2d):
    """What tests hand to a generator as `block`: a batch norm in place of a residual block; `made` counts them."""

    made = 0

    def __init__(self, channels: int = 64):
        super().__init__(channels)
        Block.made += 1


class Layered(nn.ModuleList):
    """What tests hand to a content loss as `extractor`: a list of features, one for each of its stages, each made of the last."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        features = []
        for stage in self:
            x = stage(x)
            features.append(x)
        return features


class Bowl(nn.Module):
    """A critic whose gradient is as long as the image is bright: half the weighted sum of the squares."""

    def __init__(self, channels: int = 3):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.weight * x.square()).flatten(1).sum(1, keepdim=True) / 2


# What tests hand to a training step: losses that are none of the exercises' own, and an optimizer without torch.optim,
# whose first use imports the compiler, seconds for each process.

class PlainSGD:
    """Gradient descent with the two methods that a training loop needs; `calls` keeps (method, were there gradients?)."""

    def __init__(self, parameters, rate: float):
        self.parameters, self.rate, self.calls = list(parameters), rate, []

    def _note(self, name: str) -> None:
        self.calls = [*self.calls[-20:], [name, any(p.grad is not None and bool(p.grad.any()) for p in self.parameters)]]

    def zero_grad(self, set_to_none: bool = True) -> None:
        self._note("zero_grad")
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        self._note("step")
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=self.rate)


def hinge(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """The discriminator's hinge loss (Lim and Ye 2017) with a rounded corner: flat nowhere, so that every mistake shows in the weights."""
    return F.softplus(1 - real_logits).mean() + F.softplus(1 + fake_logits).mean()


def hinge_generator(fake_logits: torch.Tensor) -> torch.Tensor:
    """The generator's side of it."""
    return -fake_logits.mean()


def light(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """A content loss in which sr and hr are not interchangeable: errors weigh more where hr is light."""
    return ((sr - hr).square() * (0.5 + hr)).mean()
