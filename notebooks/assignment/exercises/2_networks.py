"""Exercises 4 to 6: residual block, generator, discriminator (Ledig et al. 2017, fig. 4).

The networks are filled so that parameters of equal size have equal values. The references below are then written as
plain functions, and it does not matter what a submission calls its layers or in which order it makes them. Where the
paper leaves a choice (bias before batch norm, one PReLU slope or one per channel), each choice is computed and accepted.
"""

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from srgan_lib.grading.comparison import Either, describe, difference, same, shape_difference
from srgan_lib.grading.diagnosis import NO_RETURN
from srgan_lib.grading.props import Block
from srgan_lib.grading.sandbox import filled
from srgan_lib.grading.trial import Failed, Trial, exercise

CHOICES = [{"bias": bias, **slopes} for bias in (True, False) for slopes in (
    {}, {"slopes": True}, {"slopes": True, "early": True})]


class Layers:
    """Layers as functions, with the weights that `filled` gives to parameters of their sizes; `used` lists the sizes."""

    def __init__(self, seed: int, training: bool = False, bias: bool = True, slopes: bool = False, early: bool = False):
        self.seed, self.training, self.bias, self.slopes, self.early = seed, training, bias, slopes, early
        self.used, self.eps, self.border, self.dilation = [], 1e-5, "constant", 1

    def fill(self, *shape: int, times: int = 1) -> torch.Tensor:
        self.used += [shape] * times
        return filled(shape, self.seed)

    def conv(self, x, outputs: int, size: int = 3, stride: int = 1, bias: bool = True):
        weight, apart = self.fill(outputs, x.shape[1], size, size), self.dilation if size == 3 else 1
        return F.conv2d(F.pad(x, (size // 2 * apart,) * 4, self.border), weight, self.fill(outputs) if bias else None, stride, dilation=apart)

    def norm(self, x, training: bool | None = None):
        values = self.fill(x.shape[1], times=2)
        return F.batch_norm(x, values.clone(), values.clone(), values, values, self.training if training is None else training, eps=self.eps)

    def prelu(self, x):
        return F.prelu(x, self.fill(x.shape[1] if self.slopes else 1))

    def linear(self, x, outputs: int):
        return F.linear(x, self.fill(outputs, x.shape[1]), self.fill(outputs))

    def but(self, **changes):
        """The same layers with another eps, border or dilation."""
        vars(self).update(changes)
        return self


def sizes(shapes: list) -> list:
    """Sorted (outputs, elements): a dense layer and the convolution that equals it count as the same."""
    return sorted((shape[0], torch.Size(shape).numel()) if shape else (1, 1) for shape in map(tuple, shapes))


@dataclass
class Built:
    """One network that was made and run: what came out, and whether it is right."""

    case: tuple
    answer: dict | None
    right: bool
    text: str
    mistake: str = ""
    seed: int = 0


def construct(trial: Trial, arguments: tuple, x: torch.Tensor, training: bool, network, seed: int | None = None) -> Built:
    """Build with `arguments`, run on x, compare with network(layers) under each choice that the paper leaves.

    seed: of the weights, the trial's if None.
    """
    case, seed = (arguments, x, training, network), trial.seed if seed is None else seed
    try:
        answer = trial.build(*arguments, inputs=[x], training=training, seed=seed)
    except Failed as failed:
        if str(failed).startswith(("not ", "the call")):
            raise
        return Built(case, None, False, f"{_where(case)} {failed}", failed.mistake, seed)
    output = answer["outputs"][0]
    if not isinstance(output, torch.Tensor):
        return Built(case, None, False, f"{_where(case)} got {describe(output)}, want a tensor", NO_RETURN if output is None else
                     "forward returns more than one value; want the tensor alone" if isinstance(output, list) else "what forward returns is not a tensor", seed)
    return _compared(case, answer, seed)


def _compared(case: tuple, answer: dict, seed: int) -> Built:
    tried, training, network = [], *case[2:]
    for choice in CHOICES:
        layers = Layers(seed, training, **choice)
        right = network(layers)
        if same(answer["outputs"][0], right) and sizes(answer["shapes"]) == sizes(layers.used):
            return Built(case, answer, True, "", seed=seed)
        tried.append((len(shape_difference(sizes(answer["shapes"]), sizes(layers.used))), sorted(layers.used), right))
    _, used, right = min(tried, key=lambda one: one[0])
    far = "the numbers come out right" if same(answer["outputs"][0], right) else difference(answer["outputs"][0], right)
    if sizes(answer["shapes"]) != sizes(used):
        far = f"{shape_difference(answer['shapes'], used)}; output {far}"
    return Built(case, answer, False, f"{_where(case)} {far}", seed=seed)


def signed(trial: Trial, number: int, network, training: bool) -> int:
    """A seed of weights for which a network's logits reach below 0 (even numbers) or above it (odd ones).

    What an activation behind the last layer does shows on one side only; so every rung has both.
    """
    def reaches(seed: int) -> bool:
        logits = network(Layers(seed, training))
        return float(logits.min()) < -0.1 if number % 2 == 0 else float(logits.max()) > 0.1
    tried = range(trial.seed, trial.seed + 64)
    return trial.once(f"weights {number}", lambda: next((seed for seed in tried if reaches(seed)), trial.seed))


def _where(case: tuple) -> str:
    numbers = ", ".join(str(a) for a in case[0] if isinstance(a, int))
    return f"({numbers or 'the defaults'}) on {tuple(case[1].shape)}, {'training' if case[2] else 'eval'} mode:"


def named(trial: Trial, built: list[Built], mistakes) -> str:
    """The mistake that explains every network: mistakes(case) -> {sentence: network(layers, shapes) or a test of them}."""
    wrong = [one for one in built if not one.right]
    if not wrong:
        return ""
    raised = next((one for one in wrong if one.answer is None), None)
    left = None
    for one in built:
        if one.answer is None:
            continue
        table = mistakes(*one.case[:2])
        left = [name for name in (table if left is None else left) if _made(table[name], trial, one)]
    exact = [name for name in left or () if name.startswith("=")]  # by their numbers; the others by what the network is made of
    if len(exact) > 1:
        return ""
    sure = exact or left
    return sure[0].lstrip("=") if sure and not all(one.right for one in built if one.answer) else raised.mistake if raised else ""


def _made(make, trial: Trial, one: Built) -> bool:
    """Whether a mistake explains one network; a test of shapes says nothing about a network that is right."""
    for choice in CHOICES:
        try:
            got = make(Layers(one.seed, one.case[2], **choice), one.answer)
        except (RuntimeError, ValueError, IndexError):  # a mistake that cannot be made at these sizes
            continue
        if isinstance(got, bool):
            return got or one.right
        if got is not None and any(same(one.answer["outputs"][0], y) for y in (got if isinstance(got, Either) else [got])):
            return True
    return False


def first(built: list[Built]) -> str:
    return next((one.text for one in built if not one.right), "")


def contract(trial: Trial, built: list[Built]) -> None:
    """The rung for what a network may not do besides: write into its input, give another answer the second time."""
    answers = [one.answer for one in built if one.answer]
    trial.contract("the contract: the input is left alone, the same input gives the same output", {
        "the network writes into its input (+= or a layer with inplace=True as the first): write x = x + ...": any(any(a["changed"]) for a in answers),
        "two runs on the same input differ: nothing here is random, so no Dropout": any(not same(a["outputs"], a["again"]) for a in answers)})


PADDING = {"non-singleton dimension 1$": "what is added has another number of channels than what it is added to",
           r"expected input\[.*channels": "the number of channels is written out, or a layer gets another layer's number: it follows from `channels`",
           r"size of tensor|must match|mat1 and mat2|Kernel size can't be greater": "a 3x3 convolution keeps the size only with padding=1, a 9x9 with padding=4"}
OWN_STATISTICS = "batch norm uses the batch's own statistics in eval mode as well"
EPS = "the second argument of BatchNorm2d is eps, not momentum: BatchNorm2d(channels, 0.8) divides by far too much"


def common(make) -> dict:
    """Mistakes that every network here can have; make(layers) is the right one."""
    return {"the 3x3 convolutions are dilated, with gaps between what they see; here they have dilation 1, Conv2d's default": lambda l, _: make(l.but(dilation=2)),
            EPS: lambda l, _: Either([make(l.but(eps=eps)) for eps in (0.8, 0.1, 0.9, 0.99, 0.01, 1e-3)]),
            "the border is padded by reflection or repetition; here it is padded with zeros, Conv2d's default": lambda l, _: Either(
                [make(l.but(border=border)) for border in ("reflect", "replicate", "circular")])}


def kernels(answer: dict) -> set:
    return {shape[2:] for shape in answer["shapes"] if len(shape) == 4}


@exercise(6, rungs=(0.5, 1, 1, 2, 1, 0.5), errors=PADDING, hints=(
    "Two 3x3 convolutions, each followed by batch norm; PReLU only between them; the sum is the last thing that happens.",
    "self.body = nn.Sequential(conv, norm, PReLU, conv, norm), and forward returns x + self.body(x).",
    "padding=1 keeps height and width; nn.PReLU() has one slope, which starts at 0.25."))
def ResidualBlock(trial: Trial) -> None:
    draw, (c, other) = trial.draw, [(4, 6), (5, 7), (6, 4), (7, 5)][trial.draw.integer(0, 3)]
    shapes = [(1, c, 5, 5), *((n, k, *sides) for n, k, sides in zip((2, 3, 1), (c, other, other), draw.odd_and_even(5, 8)))]
    built = []
    for training in (False, True):
        for shape in shapes:
            x = draw.normal(*shape)
            built.append(construct(trial, (shape[1],), x, training, lambda l, x=x: x + branch(l, x)))
    why, answers = named(trial, built, lambda _, x: block_mistakes(x)), [(one, one.answer) for one in built if one.answer]
    if not answers:
        raise Failed(first(built), why)
    trial.climb("the output has the input's shape", len(answers) == len(built) and all(a["outputs"][0].shape == one.case[1].shape for one, a in answers),
                first(built), why, support=True)
    trial.climb("two 3x3 convolutions, two batch norms", all(a["shapes"].count((one.case[1].shape[1],) * 2 + (3, 3)) == 2 and a["shapes"].count(
        (one.case[1].shape[1],)) >= 4 for one, a in answers), first(built), why)
    x = draw.normal(2, c, 5, 6)
    silent = trial.build(c, inputs=[x], flat=True)["outputs"][0] if built[0].answer else None
    trial.climb("the skip: with a silent branch the input comes out", same(silent, x) and any(len(s) == 4 for s in answers[0][1]["shapes"]), first(built), why)
    trial.climb("eval mode", all(one.right for one in built if not one.case[2]), first(built), why)
    trial.climb("training mode", all(one.right for one in built if one.case[2]), first(built), why)
    contract(trial, built)


def branch(l: Layers, x, first=True, second=True, act=None, training=None):
    """What is added to x; the options leave a batch norm out or change the activation."""
    c = x.shape[1]
    y = l.conv(x, c, bias=l.bias or not first)
    y = (act or l.prelu)(l.norm(y, training) if first else y)
    y = l.conv(y, c, bias=l.bias or not second)
    return l.norm(y, training) if second else y


def block_mistakes(x) -> dict:
    c = x.shape[1]
    leaky = [F.relu, *(partial(F.leaky_relu, negative_slope=slope) for slope in (0.01, 0.1, 0.2, 0.25, 0.3)), torch.tanh, F.elu, F.gelu, F.silu]
    return {
        "=the skip connection is missing: return x + ...": lambda l, _: branch(l, x),
        "=an activation stands after the sum; in SRGAN nothing follows it": lambda l, _: Either(
            [F.relu(x + branch(l, x)), l.prelu(x + branch(l, x)), F.relu(x + branch(l, x, act=F.relu)), F.leaky_relu(x + branch(l, x), 0.2)]),
        "=an activation stands after the second batch norm; only the first has one": lambda l, _: Either(
            [x + l.prelu(branch(l, x)), x + F.relu(branch(l, x)), x + F.relu(branch(l, x, act=F.relu))]),
        "=x is added before the second batch norm; the sum comes last": lambda l, _: l.norm(x + branch(l, x, second=False)),
        "=the activation has a fixed slope or shape (ReLU, LeakyReLU, ...); SRGAN has PReLU, whose slope is learnt": lambda l, _: Either(
            [x + branch(l, x, act=act) for act in leaky]),
        "=PReLU comes before batch norm; the order is conv, norm, PReLU": lambda l, _: x + l.norm(l.conv(l.norm(l.prelu(l.conv(x, c))), c)),
        "=the order is norm, PReLU, conv (pre-activation); here it is conv, norm, PReLU, conv, norm": lambda l, _: Either(
            [x + l.conv(l.prelu(l.norm(l.conv(l.prelu(l.norm(x)), c))), c), x + l.conv(F.relu(l.norm(l.conv(F.relu(l.norm(x)), c))), c)]),
        "=batch norm is missing after both convolutions": lambda l, _: Either([x + branch(l, x, first=False, second=False, act=a) for a in (None, F.relu)]),
        "=batch norm is missing after the first convolution": lambda l, _: x + branch(l, x, first=False),
        "=batch norm is missing after the second convolution": lambda l, _: x + branch(l, x, second=False),
        "=" + OWN_STATISTICS: lambda l, _: x + branch(l, x, training=True),
        "=there is no activation": lambda l, _: x + branch(l, x, act=lambda y: y),
        "=the branch is scaled (0.1, 0.2, ...) before it is added, or the sum is: SRGAN adds it as it is": lambda l, _: Either(
            [x + k * branch(l, x) for k in (0.1, 0.2, 0.5)] + [(x + branch(l, x)) / 2, (x + branch(l, x)) * 0.5**0.5]),
        "=the input is subtracted, or the branch is: it is a sum": lambda l, _: Either([branch(l, x) - x, x - branch(l, x)]),
        "=the input is added twice": lambda l, _: 2 * x + branch(l, x),
        "=the sum is twice the branch, without x: x is overwritten on the way (an in-place layer or +=), or the branch is added to itself": lambda l, _: 2 * branch(l, x),
        **{"=" + name: make for name, make in common(lambda l: x + branch(l, x)).items()},
        "the normalisation is not BatchNorm2d": lambda l, a: not any("BatchNorm" in name for name in a["layers"]) and any("Norm" in name for name in a["layers"]),
        "the kernels are not 3x3": lambda l, a: bool(kernels(a)) and (3, 3) not in kernels(a),
        "Dropout is not part of the block": lambda l, a: any("Dropout" in name for name in a["layers"]),
        "there is one convolution; the block has two": lambda l, a: [s[2:] for s in a["shapes"] if len(s) == 4] == [(3, 3)],
        "one of the convolutions is not 3x3; both are": lambda l, a: len([s for s in a["shapes"] if len(s) == 4]) > 1 == a["shapes"].count((c, c, 3, 3)),
        "the layers are the right ones, but one is shared or left over: each place has its own": lambda l, _: x + branch(l, x)}


def doubled(l: Layers, y, c: int, scale: int, up=True):
    """The paper's upsampler: convolution, pixel shuffle, PReLU for each doubling."""
    for _ in range(scale.bit_length() - 1):
        y = l.conv(y, 4 * c)
        y = l.prelu(y) if up and l.early else y
        y = F.pixel_shuffle(y, 2)
        y = l.prelu(y) if up and not l.early else y
    return y


def generator(l: Layers, lr, c: int, blocks: int, scale: int, skip=True, end=True, close=False, act=True, up=True, last=lambda y: y, training=None, grow=doubled,
              normed=False, begin=0):
    """The reference, with batch norms in place of residual blocks; the options are the usual mistakes."""
    head = l.conv(lr, c, 9)
    head = l.norm(head, training) if normed else head
    y = head = l.prelu(head) if act else head
    for number in range(1, blocks + 1):
        y = l.norm(y, training)
        head = y if number == begin else head
    y = l.conv(y, c, bias=l.bias or not end)
    y = l.norm(y, training) if end else y
    y = l.prelu(y) if close else y
    y = head + y if skip else y
    return last(l.conv(grow(l, y, c, scale, up), 3, 9))


@exercise(8, rungs=(0.5, 1, 0.5, 0.5, 1.5, 1, 1, 1, 1), errors={
    **PADDING, r"pixel_shuffle": "PixelShuffle(2) wants 4 times the channels: convolve from C to 4 C first",
    "(?<!list) is not a Module subclass": "`block` makes a network, so call it: block(channels)"}, hints=(
    "Head, body, upsampler, tail: four nn.Sequential, and the long skip from the head's output to the end of the body.",
    "The body is `blocks` blocks made by block(channels), then a 3x3 convolution and batch norm; then the skip is added.",
    "scale.bit_length() - 1 stages of conv to 4 * channels, PixelShuffle(2), PReLU; the tail is a bare 9x9 convolution to 3 channels."))
def Generator(trial: Trial) -> None:
    draw, c = trial.draw, trial.draw.integer(4, 7)
    plan = [("4", c, 3, 4, 1, (4, 4)), *(("4", c + 1, draw.integer(1, 2), 4, 2, sides) for sides in draw.odd_and_even(3, 6)[:2]),
            ("2", c, 2, 2, 1, (5, 4)), ("2", c, 4, 2, 2, (4, 4)), ("8", c, 2, 8, 1, (3, 3)), ("8", c, 1, 8, 2, (3, 4)), ("defaults", 64, 16, 4, 1, (4, 5))]
    built, group = [], {}
    for name, channels, blocks, scale, n, sides in plan:
        lr, arguments = draw.uniform(n, 3, *sides), (Block,) if name == "defaults" else (Block, channels, blocks, scale)
        one = construct(trial, arguments, lr, False, partial(generator, lr=lr, c=channels, blocks=blocks, scale=scale))
        one.case = ((channels, blocks, scale), *one.case[1:])
        built.append(one)
        group.setdefault(name, []).append(one)
    why = named(trial, built, lambda a, lr: generator_mistakes(lr, *a))
    answers = [(one, one.answer) for one in built if one.answer]
    if not answers:
        raise Failed(first(built), why)
    _generator_rungs(trial, built, answers, group, why)


def _generator_rungs(trial: Trial, built: list, answers: list, group: dict, why: str) -> None:
    text = first(built)
    trial.climb("the output is `scale` times as large", len(answers) == len(built) and all(
        a["outputs"][0].shape == (len(one.case[1]), 3, *(one.case[0][2] * s for s in one.case[1].shape[2:])) for one, a in answers), text, why)
    trial.climb("9x9 convolutions at both ends, 3x3 between", all(
        {(one.case[0][0], 3, 9, 9), (3, one.case[0][0], 9, 9), (one.case[0][0],) * 2 + (3, 3)} <= set(a["shapes"]) for one, a in answers), text, why)
    trial.climb("`blocks` blocks, made by calling block", all(a["blocks"] == [one.case[0][1]] * 2 for one, a in answers), text, why, support=True)
    x, c = trial.draw.uniform(1, 3, 4, 5), built[0].case[0][0]
    try:
        silent = trial.build(Block, c, 2, 4, inputs=[x, x.flip(2) + 0.2], flat=True)["outputs"]
        passes = not same(silent[0], silent[1]) and bool(silent[0].any())
    except Failed:
        passes = False
    trial.climb("the long skip: a silent body lets the head through", passes, text, why, support=True)
    for name in ("4", "2", "8"):
        trial.climb(f"scale {name}", all(one.right for one in group[name]), first(group[name]), why)
    trial.climb("the defaults: 64 channels, 16 blocks, scale 4", group["defaults"][0].right, first(group["defaults"]), why)
    contract(trial, built)


def misplaced(make, lr, scale: int) -> dict:
    """Mistakes in how a generator is put together; make(layers, **options) is the right one."""
    return {
        "=the long skip begins behind the first block; it begins at the head's output": lambda l, _: make(l, begin=1),
        "=a batch norm stands behind the first convolution, which has none": lambda l, _: make(l, normed=True),
        "=the enlarged input is added to the output; the skip here runs from the head's output to the end of the body": lambda l, _: Either(
            [make(l, skip=skip, last=lambda y, mode=mode: y + F.interpolate(lr, scale_factor=scale, mode=mode)) for mode in ("bicubic", "bilinear", "nearest")
             for skip in (True, False)])}


def generator_mistakes(lr, c: int, blocks: int, scale: int) -> dict:
    make, stages = partial(generator, lr=lr, c=c, blocks=blocks, scale=scale), scale.bit_length() - 1
    ranges = {"tanh, which bounds the output": [torch.tanh, lambda y: (torch.tanh(y) + 1) / 2], "a sigmoid": [torch.sigmoid],
              "a ReLU, which cannot be negative": [F.relu],
              "a clamp, where most pixels get no gradient at first": [lambda y: y.clamp(0, 1), lambda y: y.clamp(-1, 1)]}

    def shapes(test):
        return lambda l, a: bool(test(a["shapes"], a))
    return {
        "=the long skip is missing: add the head's output after the body": lambda l, _: make(l, skip=False),
        "=batch norm is missing at the end of the body": lambda l, _: make(l, end=False),
        "=PReLU is missing after the first convolution": lambda l, _: make(l, act=False),
        "=PReLU is missing in the upsampler": lambda l, _: make(l, up=False),
        "=" + OWN_STATISTICS: lambda l, _: make(l, training=True),
        **{f"=the last layer is {name}; here it is linear": lambda l, _, acts=acts: Either([make(l, last=act) for act in acts])
           for name, acts in ranges.items()},
        **{"=" + name: wrong for name, wrong in common(make).items()},
        **misplaced(make, lr, scale),
        "the blocks sit in a plain Python list, where PyTorch finds none of their weights: nn.ModuleList or nn.Sequential": shapes(
            lambda s, a: a["blocks"][0] > 0 == a["blocks"][1]),
        "the blocks are not made by the argument `block`: call block(channels)": shapes(lambda s, a: a["blocks"][0] == 0),
        "one block is shared, used again and again: make a new block(channels) for each place": shapes(lambda s, a: a["blocks"][0] == 1 < blocks),
        "the number of blocks does not follow from `blocks`": shapes(
            lambda s, a: a["blocks"][1] != blocks and (a["blocks"][1] > 0 or blocks == 1)),
        "the number of channels is written out as 64; it is the argument `channels`": shapes(lambda s, a: c != 64 and (64, 3, 9, 9) in s),
        "the first convolution is not 9x9 from 3 channels": shapes(lambda s, a: not any(t[1:] == (3, 9, 9) for t in s)),
        "the last convolution is not 9x9 to 3 channels": shapes(lambda s, a: not any((t[:1], t[2:]) == ((3,), (9, 9)) for t in s)),
        "the upsampler grows in one step (PixelShuffle(scale)); the paper doubles: conv to 4 channels times, PixelShuffle(2), PReLU, for each doubling":
            shapes(lambda s, a: scale > 2 and (c * scale**2, c, 3, 3) in s),
        "each doubling needs a 3x3 convolution to 4 times the channels before its pixel shuffle": shapes(lambda s, a: (4 * c, c, 3, 3) not in s),
        "the number of doublings does not follow from scale": shapes(lambda s, a: s.count((4 * c, c, 3, 3)) != stages),
        "an activation stands at the end of the body; batch norm is its last layer": lambda l, a:
            make(l, close=True) if a["shapes"].count((1,)) > stages + 1 or (l.slopes and not a["shapes"].count((1,))) else None,
        "one PReLU is shared; each place has its own": shapes(lambda s, a: s.count((1,)) == 1 and "PReLU" in a["layers"]),
        "the activation is not PReLU, whose slope is learnt": shapes(lambda s, a: (1,) not in s and "PReLU" not in a["layers"] and any(
            "LU" in name for name in a["layers"])),
        "the layers are the right ones, but one is shared or left over: each place has its own, such as a new block(channels) for each block": lambda l, _: make(l)}


STRIDES = (1, 2) * 4
ACTIVATED = "an activation stands behind the last dense layer; the logit comes out as it is, of either sign"
ACTIVATIONS = (F.relu, torch.tanh, F.softplus, *(partial(F.leaky_relu, negative_slope=slope) for slope in (0.2, 0.01, 0.1)))


def discriminator(l: Layers, x, c: int, strides=STRIDES, slope=0.2, first=False, norms=True, dense=0.2, last=lambda y: y, training=None,
                  pool=lambda x: x.flatten(1), bare=None):
    """The reference; the options are the usual mistakes."""
    for number, stride in enumerate(strides):
        normed = norms and (first or number > 0) and number != bare
        x = l.conv(x, c * 2 ** (number // 2), stride=stride, bias=l.bias or not normed)
        x = F.leaky_relu(l.norm(x, training) if normed else x, slope)
    x = l.linear(pool(x), 1024)
    return last(l.linear(x if dense is None else F.leaky_relu(x, dense), 1))


@exercise(8, rungs=(1, 2, 2, 1, 1, 1), errors={
    "mat1 and mat2|Kernel size can't be greater": "four strides leave 8 * channels maps of hr_size / 16 pixels a side for the dense layer, if every convolution has padding=1",
    r"expected input\[.*channels": "the number of channels is written out, or a layer gets another layer's number: it follows from `channels`"}, hints=(
    "Eight convolutions in a loop over (channels, stride): c1 c2, 2c1 2c2, 4c1 4c2, 8c1 8c2; the first has no batch norm.",
    "After four strides of 2, hr_size // 16 pixels a side are left: flatten, dense 1024, LeakyReLU 0.2, dense 1.",
    "Return the logit as it is: the sigmoid is part of the loss."))
def Discriminator(trial: Trial) -> None:
    draw, c = trial.draw, trial.draw.integer(2, 4)
    plan = [(32, c, 1, False), (32, c + 1, 3, False), (32, c, 3, True), (32, c + 1, 2, True), (48, c, 2, False), (64, c, 1, False), (16, c, 2, False)]
    built = []
    for number, (side, channels, n, training) in enumerate(plan):
        network = partial(discriminator, x=draw.uniform(n, 3, side, side), c=channels)
        built.append(construct(trial, (side, channels), network.keywords["x"], training, network, signed(trial, number, network, training)))
    why = named(trial, built, lambda a, x: discriminator_mistakes(x, a[1]))
    answers, text = [(one, one.answer) for one in built if one.answer], first(built)
    if not answers:
        raise Failed(text, why)
    trial.climb("one logit for each picture: (N, 1)", all(a["outputs"][0].shape == (len(one.case[1]), 1) for one, a in answers) and built[0].answer is not None,
                text, why)
    trial.climb("the paper's layers: eight convolutions, batch norms, two dense layers", all(any(
        sizes(a["shapes"]) == sizes(_used(one, choice)) for choice in CHOICES[:4:3]) for one, a in answers[:4] if one.case[0][0] == 32), text, why)
    for label, of in (("eval mode", built[:2]), ("training mode", built[2:4]), ("other sizes", built[4:])):
        trial.climb(label, all(one.right for one in of), first(of), why)
    contract(trial, built)


def _used(one: Built, choice: dict) -> list:
    layers = Layers(0, **choice)
    one.case[3](layers)
    return layers.used


def discriminator_mistakes(x, c: int) -> dict:
    make, dense = partial(discriminator, x=x, c=c), 8 * c * (x.shape[-1] // 16) ** 2
    return {
        "=a sigmoid ends the network; return logits, the loss has the sigmoid": lambda l, _: make(l, last=torch.sigmoid),
        "=the strides stand on the wrong layers: 1, 2, 1, 2, ..., so that the second of each pair shrinks": lambda l, _: make(l, strides=(2, 1) * 4),
        "=the slope is 0.01, PyTorch's default; the paper has 0.2": lambda l, _: make(l, slope=0.01, dense=0.01),
        "=the slope is 0.01, PyTorch's default, in the convolutions; the paper has 0.2": lambda l, _: make(l, slope=0.01),
        "=the slope between the dense layers is not 0.2 (0.01 is PyTorch's default, 0 is ReLU)": lambda l, _: Either([make(l, dense=d) for d in (0.01, 0.0, 0.1)]),
        "=the activation is ReLU; the paper has LeakyReLU 0.2": lambda l, _: make(l, slope=0.0, dense=0.0),
        "=the activation is ReLU in the convolutions; the paper has LeakyReLU 0.2": lambda l, _: make(l, slope=0.0),
        "=the slope is not 0.2": lambda l, _: Either([make(l, slope=s, dense=s) for s in (0.1, 0.25, 0.3, 0.02)]),
        "=the first convolution has a batch norm; it should have none": lambda l, _: make(l, first=True),
        "=the batch norms are missing: all convolutions but the first have one": lambda l, _: make(l, norms=False),
        "=the batch norm of one convolution is missing: all but the first have one": lambda l, _: Either([make(l, bare=number) for number in range(1, 8)]),
        "=" + ACTIVATED: lambda l, _: Either([make(l, last=act) for act in ACTIVATIONS]),
        "=LeakyReLU is missing between the dense layers": lambda l, _: make(l, dense=None),
        "=the logits have lost a dimension; want (N, 1)": lambda l, _: Either([make(l)[:, 0]] + ([make(l)[0, 0]] if len(x) == 1 else [])),
        "=the logits are averaged over the batch; want one for each picture": lambda l, _: Either([make(l).mean(), make(l).mean(0)]) if len(x) > 1 else make(l),
        "=" + OWN_STATISTICS: lambda l, _: make(l, training=True),
        **{"=" + name: wrong for name, wrong in common(make).items()},
        "the picture is pooled to a fixed size; flatten it instead, (hr_size / 16)**2 pixels are left": lambda l, a: any("Pool" in name for name in a["layers"])
            or (1024, 8 * c) in a["shapes"] and x.shape[-1] > 16,
        "Dropout is not part of the paper's discriminator": lambda l, a: any("Dropout" in name for name in a["layers"]),
        "the size of the dense layer does not follow from hr_size": lambda l, a: not any(shape[0] == 1024 and torch.Size(shape).numel() == 1024 * dense for shape in a["shapes"])
            and any(shape[0] == 1024 and len(shape) > 1 for shape in a["shapes"]),
        "the dense layer of 1024 is missing": lambda l, a: not any(shape[0] == 1024 for shape in a["shapes"] if shape)}
