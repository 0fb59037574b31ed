"""Two networks interpolated weight by weight, with activations as large as theirs: REPAIR (Jordan et al. 2022, arXiv 2211.08403)."""

import torch
from torch import nn


@torch.no_grad()
def repair(mixed: nn.Module, first: nn.Module, second: nn.Module, alpha: float, lr: torch.Tensor) -> nn.Module:
    """Give every channel of `mixed` the mean and spread that lie between those of its two ends, in place -> mixed.

    The weights of two trained networks agree only in part, and where they do not, their mean is smaller than either. So the
    activations of a mixed network shrink from layer to layer, and its image darkens. Here mean and standard deviation of each
    channel are measured in `first` and in `second` on lr (N, 3, H, W) in [0, 1], and each layer of `mixed` is scaled and shifted
    until its own are (1 - alpha) times the first's plus alpha times the second's. All three are in eval mode.
    """
    targets = [_measured(network, lr) for network in (first, second)]
    hooks = []
    for name, layer in _layers(mixed).items():
        wanted = [torch.lerp(one, other, alpha) for one, other in zip(*(target[name] for target in targets))]
        hooks.append(layer.register_forward_hook(lambda layer, _, output, wanted=wanted: _adjust(layer, output, *wanted)))
    mixed(lr)  # a layer is put right before the next one reads it
    for hook in hooks:
        hook.remove()
    return mixed


def _layers(network: nn.Module) -> dict[str, nn.Module]:
    """The convolutions, each with its batch norm counted as one layer: the norm where there is one."""
    found = {name: layer for name, layer in network.named_modules() if isinstance(layer, (nn.Conv2d, nn.BatchNorm2d))}
    for parent_name, parent in network.named_modules():
        children = list(parent.named_children())
        for (name, layer), (_, following) in zip(children, children[1:]):
            if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                del found[f"{parent_name}.{name}".lstrip(".")]
    return found


def _statistics(output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return output.mean((0, 2, 3)), output.std((0, 2, 3), correction=0)


def _measured(network: nn.Module, lr: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Mean and standard deviation of each layer's channels, (C,) each."""
    found, hooks = {}, []
    for name, layer in _layers(network).items():
        hooks.append(layer.register_forward_hook(lambda layer, _, output, name=name: found.__setitem__(name, _statistics(output))))
    network(lr)
    for hook in hooks:
        hook.remove()
    return found


def _adjust(layer: nn.Module, output: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
    """Scale and shift a layer so that this output has the wanted statistics; a channel that is constant is shifted alone."""
    own_mean, own = _statistics(output)
    gain = torch.where(own > 1e-8, deviation / own.clamp(min=1e-8), torch.ones_like(own))
    shift = mean - gain * own_mean
    layer.weight.mul_(gain.view(-1, *[1] * (layer.weight.ndim - 1)))
    layer.bias.mul_(gain).add_(shift)
    return output * gain[:, None, None] + shift[:, None, None]
