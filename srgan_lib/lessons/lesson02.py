"""Checks of notebook 02. Counts are exact; what a quiet start does is measured on fresh networks."""

import torch
from torch import nn

from ..models import SRResNet
from .exercise import Unanswered, Wrong, blank, near, need_function, number, numbers, test, within

BLOCK, FULL = 74_113, 1_549_462  # as the notebook counts them


@test("2.1", explain=False)
def fewer_blocks(parameters, gflop, radius):
    count = round(number(parameters, "parameters"))
    mistakes = {FULL // 2: "half of all parameters: head, upsamplers and tail do not shrink with the blocks",
                FULL - 8 * (BLOCK - 256): "the batch norms are missing: two in each block, with a scale and a shift a channel",
                FULL - 8 * (BLOCK - 1): "the PReLU's slope is missing: one in each block",
                FULL - 8 * (BLOCK - 128): "the biases are missing: 64 for each convolution",
                8 * BLOCK: "these are the parameters that go; want those that stay"}
    if count != FULL - 8 * BLOCK:
        raise Wrong(mistakes.get(count, f"parameters: {count:,} is not what sum(p.numel() ...) counts in SRResNet(blocks=8)"))
    work = number(gflop, "gflop")
    if not (near(work, 40.89 - 10.87, 0.06) or near(work, 41.96 - 10.87, 0.06)):  # plain and folded tail
        raise Wrong("gflop: " + ("this is for one patch; a batch has 16" if 1.8 < work < 2 else
                                 "a multiplication and an addition count as two" if 14.9 < work < 15.7 else
                                 "this is half of everything; only the blocks are halved" if 20 < work < 21.2 else
                                 f"{work:.4g}, but half of the body's 21.74 has to go, and nothing else"))
    reach = number(radius, "radius")
    if reach not in (23.5, 24):
        raise Wrong("radius: the head, the end of the body and the layers behind it look as far as before" if near(reach, 39.5 / 2, 0.3) else
                    "radius: each block has two convolutions, so it adds 2 and not 1" if reach in (15.5, 31.5) else
                    f"radius: {reach:g}, but eight blocks take 2 LR pixels each from 39.5")
    return ["956,558 parameters, and a radius of 23.5 LR pixels"]


def _convolutions(generator) -> list[nn.Conv2d]:
    return [layer for layer in generator.upsample if isinstance(layer, nn.Conv2d)]


@test("2.2")
def quiet_start(quieten):
    need_function(quieten, "quieten")
    for seed, channels, scale in ((1, 8, 4), (2, 12, 2), (3, 8, 4)):  # scale 2 has one upsampling convolution
        torch.manual_seed(seed)
        generator = SRResNet(scale=scale, blocks=1, channels=channels).eval()
        before = [layer.weight.detach().clone() for layer in _convolutions(generator)]
        result = quieten(generator)
        generator = result if isinstance(result, nn.Module) else generator
        after = _convolutions(generator)
        if result is None and all(torch.equal(old, layer.weight) for old, layer in zip(before, after)):
            raise Unanswered("quieten changes nothing yet")
        for number_, (old, layer) in enumerate(zip(before, after), 1):
            _phases_agree(old, layer, number_)
    return ["the four phases of each convolution have one kernel and one bias"]


def _phases_agree(old: torch.Tensor, layer: nn.Conv2d, place: int) -> None:
    new = layer.weight.detach()
    if torch.equal(new, old):
        raise Wrong(f"upsampling convolution {place} is unchanged; there are two of them at scale 4")
    if torch.equal(new, old[::4].repeat(4, 1, 1, 1)):
        raise Wrong("repeat puts the kernels one after the other; a cell's four phases are neighbours, so each kernel has to stand four times in a row")
    phases = new.unflatten(0, (-1, 4))
    if not near(phases, phases[:, :1].expand_as(phases), 1e-7):
        raise Wrong("kernels 0 to 3 of a convolution are the phases of one channel, and they still differ")
    if near(new, new[:1].expand_as(new), 1e-7):
        raise Wrong("all kernels are the same now, so all channels are the same; only the four phases of one channel should agree")
    bias = layer.bias.detach().unflatten(0, (-1, 4))
    if not near(bias, bias[:, :1].expand_as(bias), 1e-7):
        raise Wrong("the kernels agree, but the biases do not: layer.bias needs the same")


@test("2.3")
def even_overlap(middle, sizes):
    value = number(middle, "middle")
    if value != 4:
        raise Wrong({9: "9 is what a 3 x 3 convolution gives; the question is about a transposed convolution of 4 x 4",
                     16: "16 is the sum of the kernel; at stride 2 only a quarter of the stamps lies over each pixel",
                     2: "2 is the answer in one dimension; rows and columns both count"}.get(int(value), f"middle: {value:g} is not what F.conv_transpose2d gives"))
    if not isinstance(sizes, (list, tuple, set, range)):
        raise Wrong("sizes: want a list such as [2, 5]")
    found = {int(number(size, "sizes")) for size in sizes if not blank(size)} & set(range(2, 10))
    if found != {3, 6, 9}:
        raise Wrong("being odd is not what matters; count the stamps over each pixel" if found in ({3, 5, 7, 9}, {5, 7, 9}) else
                    "that is the rule for stride 2; at stride 3 a stamp is laid down every three pixels" if found and all(s % 2 == 0 for s in found) else
                    "one size more is needed: try all from 2 to 9" if found < {3, 6, 9} else
                    f"sizes: {min(found - {3, 6, 9})} covers some pixels more often than others")
    return ["the middle is 4 everywhere", "3, 6 and 9 overlap evenly at stride 3"]


@test("2.4")
def fold_further(products, ratio):
    plain, folded = numbers(products, "plain folded", "products")
    if (plain, folded) == (9 * 256, 9 * 64):
        raise Wrong("products: the two are in the wrong order")
    if plain != 9 * 64:
        raise Wrong("products: 9 x 9 x 64 is the tail; this kernel is 3 x 3" if plain == 5184 else
                    "products: the plain layer reads 3 x 3 pixels of 64 channels for each output value")
    if folded != 9 * 256:
        raise Wrong("products: the folded kernel is not free: it covers whole coarse pixels, and each has 4 x 64 channels" if folded in (576, 1024) else
                    "products: fold_shuffle(weight, 2).shape says how many weights lie behind one output value")
    # Measured on one busy core: 5.9; a machine with many cores and a short layer may come down to 1.2.
    if (value := number(ratio, "ratio")) < 1:
        raise Wrong(f"ratio: {value:.2g}; the folded layer has four times the work, so is this plain over folded?")
    within(value, 1, 12, "ratio")
    return ["four times the products", f"the folded layer takes {value:.1f} times as long"]
