"""Faster gradients on CPUs: the networks' convolutions and PReLUs, same values and state dicts, less time backward.

torch's PReLU writes one slope gradient per element before it sums them; one product and one sum do. Without AVX-512, oneDNN
computes the weight gradient of a wide convolution more slowly than matrix products of its columns do: 4 % of a step.
"""

import ctypes
import sys

import torch
import torch.nn.functional as F
from torch import nn

from ..models import ShuffleConv2d, fold_shuffle

WIDE = 32  # channels


def with_fast_gradients(network: nn.Module, convolutions: bool = True) -> nn.Module:
    """Make the PReLU layers of a network on a CPU use the functions below, and its convolutions too, in place -> the network."""
    faster = {nn.PReLU: FastPReLU} | ({nn.Conv2d: FastConv2d, ShuffleConv2d: FastShuffleConv2d} if convolutions else {})
    for module in network.modules():
        if type(module) in faster and next(module.parameters()).device.type == "cpu":
            module.__class__ = faster[type(module)]
    return network


def convolutions_pay(channels: int, precision: str) -> bool:
    """Whether our convolutions are the faster ones, as measured (docs/times.md): in float32, of wide networks, without AVX-512."""
    return precision == "float32" and channels >= WIDE and not torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def keep_freed_memory() -> None:
    """Let this process keep what it frees, on Linux: a step otherwise gets its gigabyte afresh, one page fault after another."""
    if sys.platform == "linux":
        mmap_max, trim_threshold = -4, -1  # malloc.h
        allocator = ctypes.CDLL(None)
        if hasattr(allocator, "mallopt"):
            allocator.mallopt(mmap_max, 0)
            allocator.mallopt(trim_threshold, 2**31 - 1)


class FastConv2d(nn.Conv2d):
    """nn.Conv2d with `convolve`'s backward pass; zero padding, no dilation, no groups."""

    def _conv_forward(self, x, weight, bias):
        return Convolution.apply(x, weight, bias, self.stride[0], self.padding[0])


class FastShuffleConv2d(ShuffleConv2d):
    """ShuffleConv2d with the same backward pass."""

    def forward(self, x):
        weight, bias = self.weight, self.bias
        if self.factor > 1:
            weight, bias = fold_shuffle(weight, self.factor), bias.repeat_interleave(self.factor**2)
        y = Convolution.apply(x, weight, bias, 1, weight.shape[-1] // 2)
        return F.pixel_shuffle(y, self.factor) if self.factor > 1 else y


class FastPReLU(nn.PReLU):
    """nn.PReLU with one slope."""

    def forward(self, x):
        return PReLU.apply(x, self.weight)


class Convolution(torch.autograd.Function):
    """conv2d (N, C, H, W) -> (N, O, h, w), square kernel, stride and zero padding; the weight gradient is a matrix product."""

    @staticmethod
    def forward(context, x, weight, bias, stride, padding):
        context.save_for_backward(x, weight)
        context.stride, context.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    def backward(context, gradient):
        (x, weight), (stride, padding) = context.saved_tensors, (context.stride, context.padding)
        wants_x, wants_weight, wants_bias = context.needs_input_grad[:3]
        fast = wants_weight and not torch.is_grad_enabled()  # a gradient of the gradient needs torch's own
        results = torch.ops.aten.convolution_backward(
            gradient, x, weight, [weight.shape[0]], [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1,
            [wants_x, wants_weight and not fast, wants_bias and not fast])
        if not fast:
            return *results, None, None
        bias_gradient = gradient.sum((0, 2, 3)) if wants_bias else None
        return results[0], weight_gradient(x, gradient, weight.shape[-1], stride, padding), bias_gradient, None, None


class PReLU(torch.autograd.Function):
    """max(x, 0) + slope * min(x, 0) with one slope for all channels."""

    @staticmethod
    def forward(context, x, slope):
        context.save_for_backward(x, slope)
        return F.leaky_relu(x, slope.item())

    @staticmethod
    def backward(context, gradient):
        x, slope = context.saved_tensors
        if torch.is_grad_enabled():
            return torch.where(x > 0, gradient, slope * gradient), (gradient * x.clamp(max=0)).sum().view(1)
        slope_gradient = (gradient * x.clamp(max=0)).sum(dtype=slope.dtype)  # float32 where x and its gradient are bfloat16
        return torch.ops.aten.leaky_relu_backward(gradient, x, slope.item(), False), slope_gradient.view(1)


def weight_gradient(x, gradient, size: int, stride: int = 1, padding: int = 0) -> torch.Tensor:
    """x (N, C, H, W), gradient (N, O, h, w) of conv2d's output -> the gradient (O, C, size, size) of its weight.

    For each picture, the size * size neighbours of every output pixel are laid side by side and multiplied with the
    gradient. The roles are exchanged where the gradient has far fewer channels, as in the 256 -> 12 tail.
    """
    if stride == 1 and 4 * gradient.shape[1] < x.shape[1]:
        return weight_gradient(gradient, x, size, 1, size - 1 - padding).transpose(0, 1).flip(2, 3)
    padded = F.pad(x.movedim(1, -1), (0, 0) + (padding,) * 4).contiguous()  # (N, H + 2p, W + 2p, C)
    gradient = gradient.movedim(1, -1)                         # (N, h, w, O)
    (_, height, width, outputs), channels = gradient.shape, x.shape[1]
    across, down = padded.stride(1), padded.stride(2)
    windows = padded.as_strided((len(x), height, width, size, size * channels),
                                (padded.stride(0), stride * across, stride * down, across, 1))
    columns = x.new_empty(height * width, size * size * channels)
    total = x.new_zeros(size * size * channels, outputs)
    for picture, slope in zip(windows, gradient):  # one at a time: the columns of one picture stay in the cache
        columns.view(picture.shape).copy_(picture)
        total.addmm_(columns.t(), slope.reshape(-1, outputs))
    return total.view(size, size, channels, outputs).permute(3, 2, 0, 1)
