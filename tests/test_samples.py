"""What the tests are made of: two networks of one test are never the same network."""

import torch
from samples import lively

from srgan_lib.models import SRResNet


def test_networks_made_one_after_another_differ_after_other_networks_too():
    for _ in range(2):
        first, second = (lively(SRResNet(blocks=1, channels=4)) for _ in range(2))
        with torch.no_grad():
            assert (first(torch.ones(1, 3, 8, 8)) - second(torch.ones(1, 3, 8, 8))).abs().max() > 1e-3
