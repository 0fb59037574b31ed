"""Faster gradients are torch's gradients, of first and second order, and change neither outputs nor state dicts."""

import copy

import pytest
import torch
from torch import nn

from srgan_lib.training.gradients import Convolution, PReLU, weight_gradient, with_fast_gradients
from srgan_lib.models import Discriminator, SRResNet


def gradients(network, x):
    x = x.clone().requires_grad_()
    output = network(x)
    output.square().mean().backward()
    return output.detach(), [x.grad] + [parameter.grad for parameter in network.parameters()]


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("network, shape", [
    (SRResNet(blocks=2, channels=8), (3, 3, 7, 10)),
    (SRResNet(scale=3, blocks=1, channels=8, upsampling="resize"), (2, 3, 5, 6)),
    (Discriminator(32, channels=8), (2, 3, 32, 32)),
])
def test_whole_networks_agree(network, shape, layout):
    torch.manual_seed(0)
    plain = copy.deepcopy(network).double().train()
    faster = with_fast_gradients(copy.deepcopy(plain))
    x = torch.rand(shape, dtype=torch.double).to(memory_format=layout)
    (expected, wanted), (output, found) = gradients(plain, x), gradients(faster, x)
    torch.testing.assert_close(output, expected)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    assert faster.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("channels, outputs, size, stride, padding", [
    (3, 5, 3, 1, 1), (4, 2, 3, 2, 1), (16, 3, 5, 1, 2), (16, 3, 5, 1, 0), (3, 4, 9, 1, 4), (2, 2, 1, 1, 0)])
def test_weight_gradient_is_autograds(channels, outputs, size, stride, padding):
    x = torch.randn(2, channels, 12, 11, dtype=torch.double)
    weight = torch.randn(outputs, channels, size, size, dtype=torch.double, requires_grad=True)
    y = nn.functional.conv2d(x, weight, stride=stride, padding=padding)
    gradient = torch.randn_like(y)
    y.backward(gradient)
    torch.testing.assert_close(weight_gradient(x, gradient, size, stride, padding), weight.grad)


@pytest.mark.parametrize("stride", [1, 2])
def test_second_derivatives(stride):
    x = torch.randn(2, 3, 5, 4, dtype=torch.double, requires_grad=True)
    weight, bias = (torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in ((2, 3, 3, 3), (2,)))
    slope = torch.tensor([0.25], dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda *tensors: Convolution.apply(*tensors, stride, 1), (x, weight, bias))
    assert torch.autograd.gradgradcheck(PReLU.apply, (x, slope))


def test_frozen_network_passes_the_gradient_on():
    network = with_fast_gradients(Discriminator(16, channels=4)).requires_grad_(False)
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    network(x).sum().backward()
    assert x.grad.abs().sum() > 0 and all(parameter.grad is None for parameter in network.parameters())
