"""Exercises 4 to 6: residual block, generator, discriminator (Ledig et al. 2017, fig. 4).

The networks are filled so that parameters of equal size have equal values. The references below are then written as
plain functions, and it does not matter what a submission calls its layers or in which order it makes them. Where the
paper leaves a choice (bias before batch norm, one PReLU slope or one per channel), each choice is computed and accepted.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from srgan_lib.grading.sandbox import filled
from srgan_lib.grading.trial import Either, Failed, Trial, difference, exercise, same, shape_difference

CHOICES = [{"bias": bias, **slopes} for bias in (True, False) for slopes in (
    {}, {"slopes": True}, {"slopes": True, "early": True})]


class Layers:
    """Layers as functions, with the weights that `filled` gives to parameters of their sizes; `used` lists the sizes."""

    def __init__(self, seed: int, training: bool = False, bias: bool = True, slopes: bool = False, early: bool = False):
        self.seed, self.training, self.bias, self.slopes, self.early = seed, training, bias, slopes, early
        self.used = []

    def fill(self, *shape: int, times: int = 1) -> torch.Tensor:
        self.used += [shape] * times
        return filled(shape, self.seed)

    def conv(self, x, outputs: int, size: int = 3, stride: int = 1, bias: bool = True):
        weight = self.fill(outputs, x.shape[1], size, size)
        return F.conv2d(x, weight, self.fill(outputs) if bias else None, stride, size // 2)

    def norm(self, x, training: bool | None = None):
        values = self.fill(x.shape[1], times=2)
        return F.batch_norm(x, values.clone(), values.clone(), values, values, self.training if training is None else training)

    def prelu(self, x):
        return F.prelu(x, self.fill(x.shape[1] if self.slopes else 1))

    def linear(self, x, outputs: int):
        return F.linear(x, self.fill(outputs, x.shape[1]), self.fill(outputs))


def sizes(shapes: list) -> list:
    """Sorted (outputs, elements): a dense layer and the convolution that equals it count as the same."""
    return sorted((shape[0], torch.Size(shape).numel()) if shape else (1, 1) for shape in map(tuple, shapes))


def rung(trial: Trial, label: str, arguments: tuple, x: torch.Tensor, training: bool, network, mistakes: dict) -> None:
    """Climb if the network has the reference's parameters and output, for one of the choices.

    network(layers) is the reference; mistakes maps a sentence to another network(layers), or to a test of the shapes.
    """
    outputs, shapes = trial.build(*arguments, inputs=[x], training=training)
    tried = []
    for choice in CHOICES:
        layers = Layers(trial.seed, training, **choice)
        right = network(layers)
        if same(outputs[0], right) and sizes(shapes) == sizes(layers.used):
            trial.passed.append(label)
            return
        tried.append((len(shape_difference(sizes(shapes), sizes(layers.used))), sorted(layers.used), right))
    _, used, right = min(tried, key=lambda one: one[0])
    far = difference(outputs[0], right)
    if sizes(shapes) != sizes(used):
        far = f"{shape_difference(shapes, used)}; output {far}"
    named = (name for name, wrong in mistakes.items() if _made(wrong, trial, training, outputs[0], shapes))
    raise Failed(f"{label}: {far}", next(named, ""))


def _made(wrong, trial: Trial, training: bool, output, shapes: list) -> bool:
    for choice in CHOICES:
        try:
            got = wrong(Layers(trial.seed, training, **choice), shapes)
        except RuntimeError:  # a mistake that cannot be made at these sizes
            continue
        if got is True or any(same(output, y) for y in (got if isinstance(got, Either) else [got])):
            return True
    return False


PADDING = {"non-singleton dimension 1$": "what is added has another number of channels than what it is added to",
           r"expected input\[.*channels": "the number of channels is written out, or a layer gets another layer's number: it follows from `channels`",
           r"size of tensor|must match|mat1 and mat2|Kernel size can't be greater": "a 3x3 convolution keeps the size only with padding=1, a 9x9 with padding=4"}
OWN_STATISTICS = "batch norm uses the batch's own statistics in eval mode as well"


@exercise(6, rungs=(4, 2), errors=PADDING, hints=(
    "Two 3x3 convolutions, each followed by batch norm; PReLU only between them; the sum is the last thing that happens.",
    "self.body = nn.Sequential(conv, norm, PReLU, conv, norm), and forward returns x + self.body(x).",
    "padding=1 keeps height and width; nn.PReLU() has one slope, which starts at 0.25."))
def ResidualBlock(trial: Trial) -> None:
    channels = trial.draw.integer(4, 7)
    x = trial.draw.normal(2, channels, *trial.draw.sides(5, 8))
    for label, training in (("eval mode", False), ("training mode", True)):
        rung(trial, label, (channels,), x, training, lambda l: x + branch(l, x), block_mistakes(x))


def branch(l: Layers, x, first=True, second=True, act=None, training=None):
    """What is added to x; the options leave a batch norm out or change the activation."""
    c = x.shape[1]
    y = l.conv(x, c, bias=l.bias or not first)
    y = (act or l.prelu)(l.norm(y, training) if first else y)
    y = l.conv(y, c, bias=l.bias or not second)
    return l.norm(y, training) if second else y


def block_mistakes(x) -> dict:
    c = x.shape[1]
    leaky = [F.relu, *(partial(F.leaky_relu, negative_slope=slope) for slope in (0.01, 0.2, 0.25))]
    return {
        "the skip connection is missing: return x + ...": lambda l, _: branch(l, x),
        "the kernels are not 3x3": lambda l, shapes: any(len(shape) == 4 for shape in shapes) and (c, c, 3, 3) not in shapes,
        "an activation stands after the sum; in SRGAN nothing follows it": lambda l, _: Either(
            [F.relu(x + branch(l, x)), l.prelu(x + branch(l, x)), F.relu(x + branch(l, x, act=F.relu))]),
        "an activation stands after the second batch norm; only the first has one": lambda l, _: Either(
            [x + l.prelu(branch(l, x)), x + F.relu(branch(l, x)), x + F.relu(branch(l, x, act=F.relu))]),
        "x is added before the second batch norm; the sum comes last": lambda l, _: l.norm(x + branch(l, x, second=False)),
        "the activation has a fixed slope (ReLU, LeakyReLU); SRGAN has PReLU, whose slope is learnt": lambda l, _: Either(
            [x + branch(l, x, act=act) for act in leaky]),
        "PReLU comes before batch norm; the order is conv, norm, PReLU": lambda l, _: x + l.norm(l.conv(l.norm(l.prelu(l.conv(x, c))), c)),
        "batch norm is missing after both convolutions": lambda l, _: x + branch(l, x, first=False, second=False),
        "batch norm is missing after the first convolution": lambda l, _: x + branch(l, x, first=False),
        "batch norm is missing after the second convolution": lambda l, _: x + branch(l, x, second=False),
        OWN_STATISTICS: lambda l, _: x + branch(l, x, training=True),
        "there is no activation": lambda l, _: x + branch(l, x, act=lambda y: y),
        "the layers are the right ones, but one is shared or left over: each place has its own": lambda l, _: x + branch(l, x)}


def generator(l: Layers, lr, c: int, blocks: int, scale: int, skip=True, end=True, close=False, act=True, up=True, last=lambda y: y, training=None):
    """The reference, with batch norms in place of residual blocks; the options are the usual mistakes."""
    head = l.conv(lr, c, 9)
    y = head = l.prelu(head) if act else head
    for _ in range(blocks):
        y = l.norm(y, training)
    y = l.conv(y, c, bias=l.bias or not end)
    y = l.norm(y, training) if end else y
    y = l.prelu(y) if close else y
    y = head + y if skip else y
    for _ in range(scale.bit_length() - 1):
        y = l.conv(y, 4 * c)
        y = l.prelu(y) if up and l.early else y
        y = F.pixel_shuffle(y, 2)
        y = l.prelu(y) if up and not l.early else y
    return last(l.conv(y, 3, 9))


@exercise(8, rungs=(4, 1, 2, 1), errors={**PADDING, "pixel_shuffle": "PixelShuffle(2) wants 4 times the channels: convolve from C to 4 C first",
                                         "(?<!list) is not a Module subclass": "`block` makes a network, so call it: block(channels)"}, hints=(
    "Head, body, upsampler, tail: four nn.Sequential, and the long skip from the head's output to the end of the body.",
    "The body is `blocks` blocks made by block(channels), then a 3x3 convolution and batch norm; then the skip is added.",
    "scale.bit_length() - 1 stages of conv to 4 * channels, PixelShuffle(2), PReLU; the tail is a bare 9x9 convolution to 3 channels."))
def Generator(trial: Trial) -> None:
    draw, c, blocks = trial.draw, trial.draw.integer(4, 7), trial.draw.integer(2, 4)
    for label, channels, number, scale in (("scale 4", c, blocks, 4), ("scale 2", c, 2, 2), ("scale 8", c, 2, 8),
                                           ("the defaults: 64 channels, 16 blocks, scale 4", 64, 16, 4)):
        lr, defaults = draw.uniform(2, 3, *draw.sides(4, 6)), channels == 64
        rung(trial, label, (nn.BatchNorm2d,) if defaults else (nn.BatchNorm2d, channels, number, scale), lr, False,
             partial(generator, lr=lr, c=channels, blocks=number, scale=scale), generator_mistakes(lr, channels, number, scale))


def generator_mistakes(lr, c: int, blocks: int, scale: int) -> dict:
    make = partial(generator, lr=lr, c=c, blocks=blocks, scale=scale)
    stages = scale.bit_length() - 1
    ranges = {"tanh, which bounds the output": [torch.tanh, lambda y: (torch.tanh(y) + 1) / 2], "a sigmoid": [torch.sigmoid],
              "a clamp, where most pixels get no gradient at first": [lambda y: y.clamp(0, 1), lambda y: y.clamp(-1, 1)]}
    return {
        "the first convolution is not 9x9 from 3 channels": lambda l, shapes: (c, 3, 9, 9) not in shapes,
        "the last convolution is not 9x9 to 3 channels": lambda l, shapes: (3, c, 9, 9) not in shapes,
        "each doubling needs a 3x3 convolution to 4 times the channels before its pixel shuffle": lambda l, shapes: (4 * c, c, 3, 3) not in shapes,
        "the number of doublings does not follow from scale": lambda l, shapes: shapes.count((4 * c, c, 3, 3)) != stages,
        "one PReLU is shared; each place has its own": lambda l, shapes: shapes.count((1,)) == 1,
        "an activation stands at the end of the body; batch norm is its last layer": lambda l, shapes:
            make(l, close=True) if shapes.count((1,)) > stages + 1 else None,
        "the layers are the right ones, but one is shared or left over: each place has its own, such as a new block(channels) for each block": lambda l, _: make(l),
        "the long skip is missing: add the head's output after the body": lambda l, _: make(l, skip=False),
        "batch norm is missing at the end of the body": lambda l, _: make(l, end=False),
        "PReLU is missing after the first convolution": lambda l, _: make(l, act=False),
        "PReLU is missing in the upsampler": lambda l, _: make(l, up=False),
        OWN_STATISTICS: lambda l, _: make(l, training=True),
        **{f"the last layer is {name}; here it is linear": lambda l, _, acts=acts: Either([make(l, last=act) for act in acts])
           for name, acts in ranges.items()}}


STRIDES = (1, 2) * 4


def discriminator(l: Layers, x, c: int, strides=STRIDES, slope=0.2, first=False, norms=True, dense=0.2, last=lambda y: y, training=None):
    """The reference; the options are the usual mistakes."""
    for number, stride in enumerate(strides):
        normed = norms and (first or number > 0)
        x = l.conv(x, c * 2 ** (number // 2), stride=stride, bias=l.bias or not normed)
        x = F.leaky_relu(l.norm(x, training) if normed else x, slope)
    x = l.linear(x.flatten(1), 1024)
    return last(l.linear(x if dense is None else F.leaky_relu(x, dense), 1))


@exercise(8, rungs=(5, 2, 1), errors={"mat1 and mat2|Kernel size can't be greater": "four strides leave 8 * channels maps of hr_size / 16 "
                                      "pixels a side for the dense layer, if every convolution has padding=1"}, hints=(
    "Eight convolutions in a loop over (channels, stride): c1 c2, 2c1 2c2, 4c1 4c2, 8c1 8c2; the first has no batch norm.",
    "After four strides of 2, hr_size // 16 pixels a side are left: flatten, dense 1024, LeakyReLU 0.2, dense 1.",
    "Return the logit as it is: the sigmoid is part of the loss."))
def Discriminator(trial: Trial) -> None:
    c = trial.draw.integer(2, 4)
    for label, side, training in (("eval mode", 32, False), ("training mode", 32, True), ("another size", 48, False)):
        x = trial.draw.uniform(3, 3, side, side)
        rung(trial, label, (side, c), x, training, lambda l: discriminator(l, x, c), discriminator_mistakes(x, c))


def discriminator_mistakes(x, c: int) -> dict:
    make = partial(discriminator, x=x, c=c)
    return {
        "a sigmoid ends the network; return logits, the loss has the sigmoid": lambda l, _: make(l, last=torch.sigmoid),
        "the strides stand on the wrong layers: 1, 2, 1, 2, ..., so that the second of each pair shrinks": lambda l, _: make(l, strides=(2, 1) * 4),
        "the slope is 0.01, PyTorch's default; the paper has 0.2": lambda l, _: Either([make(l, slope=0.01, dense=d) for d in (0.01, 0.2)]),
        "the activation is ReLU; the paper has LeakyReLU 0.2": lambda l, _: Either([make(l, slope=0.0, dense=d) for d in (0.0, 0.2)]),
        "the first convolution has a batch norm; it should have none": lambda l, _: make(l, first=True),
        "the batch norms are missing: all convolutions but the first have one": lambda l, _: make(l, norms=False),
        "LeakyReLU is missing between the dense layers": lambda l, _: make(l, dense=None),
        "the logits have lost a dimension; want (N, 1)": lambda l, _: make(l)[:, 0],
        OWN_STATISTICS: lambda l, _: make(l, training=True),
        "the picture is pooled to one pixel; flatten it instead, (hr_size / 16)**2 pixels are left": lambda l, shapes: (1024, 8 * c) in shapes and x.shape[-1] > 16}
