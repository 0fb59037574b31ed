"""Exercises 15 to 21: each is a topic of the lessons that differs in one respect, so that no lesson holds the answer."""

import sys
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from srgan_lib.grading.comparison import Either, affine, flat, proportional, same
from srgan_lib.grading.props import Block, Bowl, Layered
from srgan_lib.grading.trial import Failed, Trial, exercise

# The files before this one, which the judge has loaded: their references serve here as well.
pictures, networks, losses, results = (sys.modules[f"srgan_lib.grading.assignment_{name}"] for name in ("1_pictures", "2_networks", "3_losses", "5_results"))


def jpeg(rgb: torch.Tensor) -> torch.Tensor:
    """JFIF 1.02, section 7 (ITU-T T.871): full range, for RGB in [0, 1]."""
    return pictures.weighted(rgb, 76.245, 149.685, 29.07)


def jpeg_mistakes(rgb: torch.Tensor) -> dict:
    right, weighted, studio = jpeg(rgb), pictures.weighted, pictures.studio_luma(rgb)
    return {
        "this is the studio range of exercise 1, from 16 to 235; JPEG uses the full range, from 0 to 255": lambda: studio,
        "the weights are those of the studio range (65.481, ...); JPEG's are 0.299, 0.587, 0.114, times 255": lambda: studio - 16,
        "the offset 16 belongs to the studio range; JPEG has none: black is 0": lambda: right + 16,
        "the range is [0, 1]; here luma runs from 0 to 255": lambda: right / 255,
        "this is the plain mean of the channels; the eye sees green far better than blue": lambda: Either([weighted(rgb, k / 3, k / 3, k / 3) for k in (1, 255)]),
        "the weights are those of BT.709 (0.2126, 0.7152, 0.0722); JPEG keeps those of BT.601": lambda: Either(
            [weighted(rgb, .2126 * k, .7152 * k, .0722 * k) for k in (1, 255)]),
        "luma is rounded already here; the exact value is wanted": lambda: Either([right.round(), right.floor()]),
        "red and blue are swapped (BGR order)": lambda: jpeg(rgb.flip(1)),
        "green and blue, or red and green, have each other's weights": lambda: Either([jpeg(rgb[:, order]) for order in ([0, 2, 1], [1, 0, 2])]),
        "the channel dimension is lost: want (N, 1, H, W), so slice with 0:1": lambda: Either([right[:, 0]] if len(rgb) > 1 else [right[:, 0], right[0, 0]]),
        "256 stands in place of 255, the largest value of 8 bits": lambda: right * 256 / 255,
        "only the first image of the batch is used: it stands for all": lambda: Either([right[:1], right[:1].expand_as(right)] if len(rgb) > 1 else [right])}


@exercise(2, rungs=(0.6, 0.4, 0.4, 0.3, 0.3), hints=(
    "The same three channels as in exercise 1 with other weights, and no offset.",
    "0.299, 0.587 and 0.114 add up to 1, so that white is 1; the scale of 8-bit images goes to 255.",
    "255 * (0.299 * rgb[:, 0:1] + ...) and so on for green and blue."),
    errors={r"size of tensor a .* must match": "the three weights line up with another dimension than the channels: give them the shape (3, 1, 1)"})
def luma_jpeg(trial: Trial) -> None:
    draw = trial.draw
    cases = [(draw.uniform(1, 3, 1, 1), "one image"), (draw.uniform(1, 3, 3, 3), "one image"), (draw.uniform(2, 3, 4, 3), "several images"),
             (torch.stack([torch.zeros(3), torch.ones(3)])[..., None, None], "several images"),
             *((draw.uniform(3, 3, *sides), "several images") for sides in draw.odd_and_even(4, 9))]
    cases = [((rgb,), {"batch": batch, "sides": "square images" if rgb.shape[2] == rgb.shape[3] else "other sides"}) for rgb, batch in cases]
    found = trial.study(cases, jpeg, jpeg_mistakes)
    got, want = found.answered()
    line, all_there = affine(got, want, 0.02), len(got) == len(cases)
    trial.climb("the weights of red, green and blue", line is not None, found)
    trial.climb("from 0 for black to 255 for white", line is not None and abs(line[0] - 1) < 0.003 and abs(line[1]) < 1, found, support=True)
    trial.climb("exact values, for one image and for a batch", all_there and all(pictures._equal(g, w) for g, w in zip(got, want)), found, support=True)
    trial.climb("the shape (N, 1, H, W)", all_there and all(pictures._shape(g) == tuple(w.shape) for g, w in zip(got, want)), found, support=True)
    pictures.tidy(trial, found)


def grouped(l, groups: int):
    """The layers with group norm in place of batch norm."""
    def norm(x, training=None):
        values = l.fill(x.shape[1], times=2)
        return F.group_norm(x, groups, values, values)
    return l.but(norm=norm)


def group_mistakes(x, groups: int) -> dict:
    """Those of exercise 4 with the other norm, and the ways to miss the norm itself."""
    c, skipped = x.shape[1], (networks.OWN_STATISTICS, networks.EPS, "the normalisation is not BatchNorm2d")
    known = {name.replace("batch norm", "group norm").replace("SRGAN", "this block"): lambda l, a, make=make: make(grouped(l, groups), a)
             for name, make in networks.block_mistakes(x).items() if not any(name.endswith(other) for other in skipped)}

    def other(count: int):
        return lambda l, _: x + networks.branch(grouped(l, count), x)
    written = {f"=the number of groups is written out as {g}; it is the argument `groups`": other(g) for g in (2, 4, 8)}
    return {
        **known, **written,
        "=the norm is batch norm, as in exercise 4; here it is nn.GroupNorm(groups, channels)": lambda l, _: x + networks.branch(l, x),
        "=each channel is normalised by itself (instance norm); want `groups` groups of channels": other(c),
        "=all channels are normalised together (one group, layer norm); want `groups` groups of channels": other(1),
        "=channels // groups is given as the number of groups; the first argument of GroupNorm is `groups` itself": other(c // groups),
        "=one of the two norms is still batch norm": lambda l, _: Either(_mixed(l, x, groups)),
        "the norm has no weights of its own (affine=False, or a function without them)": lambda l, a: a["shapes"].count((c,)) <= 2,
        "the normalisation is not GroupNorm": lambda l, a: "GroupNorm" not in a["layers"] and any("Norm" in name for name in a["layers"])}


def _mixed(l, x, groups: int) -> list:
    batch = l.norm
    group = grouped(l, groups).norm
    return [x + second(l.conv(l.prelu(first(l.conv(x, x.shape[1]))), x.shape[1])) for first, second in ((batch, group), (group, batch))]


@exercise(3, rungs=(0.3, 0.5, 0.5, 1.3, 0.4), errors={
    **networks.PADDING, "num_channels must be divisible|divisible by num_groups": "nn.GroupNorm wants the number of groups first and the channels second"}, hints=(
    "The block of exercise 4, with another norm in both places.",
    "nn.GroupNorm(groups, channels): the number of groups comes first.",
    "conv, GroupNorm, PReLU, conv, GroupNorm in an nn.Sequential; forward returns x + self.body(x)."))
def GroupBlock(trial: Trial) -> None:
    draw, built = trial.draw, []
    (c, few), (other, many) = [((8, 2), (12, 6)), ((12, 3), (8, 4)), ((12, 6), (16, 4)), ((18, 9), (12, 3))][draw.integer(0, 3)]
    plan = [(1, c, few, (5, 5)), *((n, k, g, sides) for n, k, g, sides in zip((2, 3, 1), (c, other, other), (few, many, many), draw.odd_and_even(5, 8)))]
    for training in (False, True):
        for n, channels, groups, sides in plan:
            x = draw.normal(n, channels, *sides)
            built.append(networks.construct(trial, (channels, groups), x, training, lambda l, x=x, g=groups: x + networks.branch(grouped(l, g), x)))
    why, text = networks.named(trial, built, lambda a, x: group_mistakes(x, a[1])), networks.first(built)
    answers = [(one, one.answer) for one in built if one.answer]
    if not answers:
        raise Failed(text, why)
    trial.climb("the output has the input's shape", len(answers) == len(built) and all(a["outputs"][0].shape == one.case[1].shape for one, a in answers),
                text, why, support=True)
    trial.climb("two 3x3 convolutions, two group norms", all(a["shapes"].count((k, k, 3, 3)) == 2 and a["shapes"].count((k,)) >= 4 and "GroupNorm" in a["layers"]
                                                             for k, a in ((one.case[1].shape[1], a) for one, a in answers)), text, why)
    x = draw.normal(2, c, 5, 6)
    silent = trial.build(c, few, inputs=[x], flat=True)["outputs"][0] if built[0].answer else None
    trial.climb("the skip: with a silent branch the input comes out", same(silent, x) and any(len(s) == 4 for s in answers[0][1]["shapes"]), text, why)
    trial.climb("the value, for several numbers of groups", all(one.right for one in built), text, why)
    networks.contract(trial, built)


def resized(l, y, c: int, scale: int, up=True, mode="bilinear", early=False, conv=True, corners=False):
    """The upsampler of exercise 17; the options are the usual mistakes."""
    options = {} if mode == "nearest" else {"align_corners": corners}
    y = F.prelu(l.conv(y, c), l.fill(c if l.slopes else 1)) if early else y
    y = F.interpolate(y, scale_factor=scale, mode=mode, **options)
    y = l.conv(y, c) if conv and not early else y
    return l.prelu(y) if up and not early else y


def resize_mistakes(lr, c: int, blocks: int, scale: int) -> dict:
    skipped = ("shuffle", "doublings", "each doubling", "grows in one step", "one PReLU is shared", "an activation stands at the end of the body", "the layers are the right ones")
    make = partial(networks.generator, lr=lr, c=c, blocks=blocks, scale=scale)
    known = {name: lambda l, a, wrong=wrong: wrong(l, a) for name, wrong in networks.generator_mistakes(lr, c, blocks, scale).items()
             if not name.startswith("=") and not any(word in name for word in skipped)}

    def grown(**options):
        return lambda l, _: make(l, grow=partial(resized, **options))

    def but(**options):
        return lambda l, _: make(l, grow=resized, **options)
    return {
        **known,
        "=the upsampling is the nearest neighbour, nn.Upsample's default and the lesson's; here it is bilinear": grown(mode="nearest"),
        "=the upsampling is bicubic; here it is bilinear": grown(mode="bicubic"),
        "=the corners of both grids are aligned (align_corners=True); want the default, in which pixels are areas": grown(corners=True),
        "=the convolution comes before the upsampling; it comes after, where it can smooth the blocks": grown(early=True),
        "=PReLU is missing in the upsampler": but(up=False),
        "=the 3x3 convolution of the upsampler is missing": grown(conv=False),
        "the upsampler is exercise 5's (convolution to more channels, pixel shuffle); here it is nn.Upsample, then a convolution": lambda l, a:
            any("Shuffle" in name for name in a["layers"]) or any(shape[0] in (4 * c, 9 * c) and shape[1] == c for shape in a["shapes"] if len(shape) == 4),
        "the upsampler is a transposed convolution; here it is nn.Upsample, then a convolution": lambda l, a: any("Transpose" in name for name in a["layers"]),
        "=the long skip is missing: add the head's output after the body": but(skip=False),
        "=batch norm is missing at the end of the body": but(end=False),
        "=PReLU is missing after the first convolution": but(act=False),
        **networks.misplaced(partial(make, grow=resized), lr, scale),
        "=" + networks.OWN_STATISTICS: but(training=True),
        **{f"=the last layer is {name}; here it is linear": lambda l, _, acts=acts: Either([make(l, grow=resized, last=act) for act in acts]) for name, acts in (
            ("tanh, which bounds the output", (torch.tanh, lambda y: (torch.tanh(y) + 1) / 2)), ("a sigmoid", (torch.sigmoid,)), ("a ReLU", (F.relu,)),
            ("a clamp", (lambda y: y.clamp(0, 1),)))},
        **{"=" + name: wrong for name, wrong in networks.common(partial(make, grow=resized)).items()},
        "there are several upsampling stages; here there is one, by `scale` at once": lambda l, a: a["shapes"].count((c, c, 3, 3)) > 2,
        "=the factor is written out as 2, 3 or 4; it is the argument `scale`": lambda l, _: Either(
            [networks.generator(l, lr, c, blocks, s, grow=resized) for s in (2, 3, 4)]),
        "an activation stands at the end of the body; batch norm is its last layer": lambda l, a: make(l, grow=resized, close=True)}


@exercise(4, rungs=(0.4, 0.5, 0.3, 0.5, 0.8, 0.8, 0.4, 0.3), errors={**networks.PADDING, "(?<!list) is not a Module subclass": "`block` makes a network, so call it: block(channels)"}, hints=(
    "Take your generator of exercise 5 and change nothing but the upsampler.",
    "nn.Upsample(scale_factor=scale, mode='bilinear') enlarges; the 3x3 convolution behind it keeps the number of channels.",
    "nn.Upsample(scale_factor=scale, mode='bilinear'), nn.Conv2d(channels, channels, 3, padding=1), nn.PReLU(), then the tail."))
def ResizeGenerator(trial: Trial) -> None:
    draw, c = trial.draw, trial.draw.integer(4, 7)
    plan = [("3", c, 2, 3, 1, (4, 4)), *(("3", c + 1, draw.integer(1, 2), 3, 2, sides) for sides in draw.odd_and_even(3, 6)[:2]),
            ("others", c, 2, 2, 1, (5, 4)), ("others", c, 1, 4, 2, (4, 3)), ("others", c, 3, 2, 2, (4, 4)), ("defaults", 64, 16, 3, 1, (4, 5))]
    built, group = [], {}
    for name, channels, blocks, scale, n, sides in plan:
        lr, arguments = draw.uniform(n, 3, *sides), (Block,) if name == "defaults" else (Block, channels, blocks, scale)
        one = networks.construct(trial, arguments, lr, False, partial(networks.generator, lr=lr, c=channels, blocks=blocks, scale=scale, grow=resized))
        one.case = ((channels, blocks, scale), *one.case[1:])
        built.append(one)
        group.setdefault(name, []).append(one)
    why, text = networks.named(trial, built, lambda a, lr: resize_mistakes(lr, *a)), networks.first(built)
    answers = [(one, one.answer) for one in built if one.answer]
    if not answers:
        raise Failed(text, why)
    trial.climb("the output is `scale` times as large, scale 3 as well", len(answers) == len(built) and all(
        a["outputs"][0].shape == (len(one.case[1]), 3, *(one.case[0][2] * s for s in one.case[1].shape[2:])) for one, a in answers), text, why)
    trial.climb("9x9 convolutions at both ends, 3x3 between", all(
        {(k, 3, 9, 9), (3, k, 9, 9), (k, k, 3, 3)} <= set(a["shapes"]) for k, a in ((one.case[0][0], a) for one, a in answers)), text, why)
    trial.climb("`blocks` blocks, made by calling block", all(a["blocks"] == [one.case[0][1]] * 2 for one, a in answers), text, why, support=True)
    trial.climb("the upsampler: one 3x3 convolution that keeps the channels, no pixel shuffle", all(
        a["shapes"].count((one.case[0][0],) * 2 + (3, 3)) == 2 and not any("Shuffle" in layer for layer in a["layers"]) and not any(
            len(s) == 4 and s[0] > one.case[0][0] for s in a["shapes"]) for one, a in answers), text, why, support=True)
    for label, name in (("scale 3", "3"), ("scales 2 and 4", "others"), ("the defaults: 64 channels, 16 blocks, scale 3", "defaults")):
        trial.climb(label, all(one.right for one in group[name]), networks.first(group[name]), why)
    networks.contract(trial, built)


def pooled(x):
    return x.amax((2, 3))


def pool_mistakes(x, c: int) -> dict:
    make = partial(networks.discriminator, x=x, c=c)
    skipped = ("pooled to a fixed size", "does not follow from hr_size")
    known = {}
    for name in networks.discriminator_mistakes(x[..., :16, :16], c):
        if not name.startswith("=") and not any(word in name for word in skipped):
            known[name] = networks.discriminator_mistakes(x, c)[name]

    def but(**options):
        return lambda l, _: make(l, pool=pooled, **options)
    return {
        **known,
        "=the mean over height and width is taken, as in the library's pooled head; here it is the largest value": lambda l, _: make(l, pool=lambda y: y.mean((2, 3))),
        "=the sum over height and width is taken; want the largest value": lambda l, _: make(l, pool=lambda y: y.sum((2, 3))),
        "=the maximum runs over one side only, and the other is averaged": lambda l, _: Either([make(l, pool=lambda y: y.mean(3).amax(2)), make(l, pool=lambda y: y.mean(2).amax(2))]),
        "the maps are flattened as in exercise 6, which fits one size only; take their maximum over height and width first": lambda l, a:
            any(shape[0] == 1024 and torch.Size(shape).numel() > 1024 * 8 * c for shape in a["shapes"] if len(shape) > 1),
        "=a sigmoid ends the network; return logits, the loss has the sigmoid": but(last=torch.sigmoid),
        "=the strides stand on the wrong layers: 1, 2, 1, 2, ..., so that the second of each pair shrinks": but(strides=(2, 1) * 4),
        "=the slope is 0.01, PyTorch's default; the paper has 0.2": lambda l, _: Either([make(l, pool=pooled, slope=0.01, dense=d) for d in (0.01, 0.2)]),
        "=the slope between the dense layers is not 0.2": lambda l, _: Either([make(l, pool=pooled, dense=d) for d in (0.01, 0.0, 0.1)]),
        "=the activation is ReLU; the paper has LeakyReLU 0.2": lambda l, _: Either([make(l, pool=pooled, slope=0.0, dense=d) for d in (0.0, 0.2)]),
        "=the first convolution has a batch norm; it should have none": but(first=True),
        "=the batch norms are missing: all convolutions but the first have one": but(norms=False),
        "=the batch norm of one convolution is missing: all but the first have one": lambda l, _: Either([make(l, pool=pooled, bare=number) for number in range(1, 8)]),
        "=" + networks.ACTIVATED: lambda l, _: Either([make(l, pool=pooled, last=act) for act in networks.ACTIVATIONS]),
        "=LeakyReLU is missing between the dense layers": but(dense=None),
        "=the logits have lost a dimension; want (N, 1)": lambda l, _: Either([make(l, pool=pooled)[:, 0]] + ([make(l, pool=pooled)[0, 0]] if len(x) == 1 else [])),
        "=" + networks.OWN_STATISTICS: but(training=True),
        **{"=" + name: wrong for name, wrong in networks.common(partial(make, pool=pooled)).items()}}


@exercise(3, rungs=(0.5, 0.7, 0.5, 0.6, 0.4, 0.3), errors={
    "mat1 and mat2": "the dense layer gets a number of values that depends on the image's size: take the maximum over height and width first",
    r"expected input\[.*channels": "the number of channels is written out, or a layer gets another layer's number: it follows from `channels`"}, hints=(
    "The eight convolutions of exercise 6; only what follows them is new.",
    "x.amax((2, 3)) or nn.AdaptiveMaxPool2d(1) and a flatten leave 8 * channels values, whatever the size.",
    "nn.Linear(8 * channels, 1024), nn.LeakyReLU(0.2), nn.Linear(1024, 1), and no sigmoid."))
def PooledDiscriminator(trial: Trial) -> None:
    draw, c, built = trial.draw, trial.draw.integer(2, 4), []
    plan = [((32, 32), c, 1, False), ((32, 32), c + 1, 3, False), ((32, 32), c, 3, True), ((48, 32), c + 1, 2, True),
            *((sides, c, 2, False) for sides in draw.odd_and_even(17, 40)), ((16, 64), c, 1, False)]
    for number, (sides, channels, n, training) in enumerate(plan):
        network = partial(networks.discriminator, x=draw.uniform(n, 3, *sides), c=channels, pool=pooled)
        built.append(networks.construct(trial, (channels,), network.keywords["x"], training, network, networks.signed(trial, number, network, training)))
    why, text = networks.named(trial, built, lambda a, x: pool_mistakes(x, a[0])), networks.first(built)
    answers = [(one, one.answer) for one in built if one.answer]
    if not answers:
        raise Failed(text, why)
    trial.climb("one logit for each image: (N, 1)", all(a["outputs"][0].shape == (len(one.case[1]), 1) for one, a in answers) and built[0].answer is not None, text, why)
    trial.climb("eight convolutions, batch norms, a dense layer of 8 * channels inputs and one of 1024", all(any(
        networks.sizes(a["shapes"]) == networks.sizes(networks._used(one, choice)) for choice in networks.CHOICES[:4:3]) for one, a in answers[:2]), text, why)
    trial.climb("images of every size", len(answers) == len(built), text, why, support=True)
    for label, of in (("eval mode, 32 x 32", built[:2]), ("training mode", built[2:4])):
        trial.climb(label, all(one.right for one in of), networks.first(of), why)
    trial.climb("the value at other sizes, and the contract: the input is left alone, the same input gives the same output", all(one.right for one in built[4:]) and not any(
        any(a["changed"]) or not same(a["outputs"], a["again"]) for _, a in answers), networks.first(built[4:]) or "broken", why, support=True)


def layered(extractor, sr, hr, weights, normalize=lambda x: (x - losses.MEAN) / losses.STD, distance=F.mse_loss, inner=False, select=slice(None)):
    """The reference of exercise 19; the options are the usual mistakes."""
    pairs = list(zip(weights, extractor(normalize(sr)), extractor(normalize(hr))))[select]
    return sum(distance(w * a, w * b) if inner else w * distance(a, b) for w, a, b in pairs)


def layer_mistakes(extractor, sr, hr, weights) -> dict:
    make, n, right = partial(layered, extractor, sr, hr, weights), len(sr), layered(extractor, sr, hr, weights)
    ones = [1.0] * len(weights)
    return {
        "only the last layer counts; want the sum over all of them": lambda: Either([make(select=slice(-1, None)), layered(extractor, sr, hr, ones, select=slice(-1, None))]),
        "only the first layer counts; want the sum over all of them": lambda: Either([make(select=slice(1)), layered(extractor, sr, hr, ones, select=slice(1))]),
        "the weights are not used: each layer's term is multiplied by its own": lambda: layered(extractor, sr, hr, ones),
        "the terms are averaged over the layers; want their sum": lambda: Either([right / len(weights), right / sum(weights)]),
        "the weights are in the wrong order: the first belongs to the first layer": lambda: layered(extractor, sr, hr, weights[::-1]),
        "the weights multiply the features; squared they become weight**2": lambda: make(inner=True),
        "the loop ends one layer early: zip, or range(len(weights))": lambda: make(select=slice(len(weights) - 1)),
        "the input is not normalised: VGG was trained on (image - MEAN) / STD": lambda: make(normalize=lambda x: x),
        "only one of the two images is normalised": lambda: Either([
            sum(w * F.mse_loss(a, b) for w, a, b in zip(weights, extractor(first), extractor(second)))
            for first, second in (((sr - losses.MEAN) / losses.STD, hr), (sr, (hr - losses.MEAN) / losses.STD))]),
        "the input is mapped to [-1, 1]; VGG wants (image - MEAN) / STD": lambda: make(normalize=lambda x: 2 * x - 1),
        "the mean is subtracted but not divided by STD": lambda: make(normalize=lambda x: x - losses.MEAN),
        "this is the mean absolute difference; here it is squared": lambda: make(distance=F.l1_loss),
        "this is the length (norm) of the difference; want the mean of its squares": lambda: Either([make(distance=norm) for norm in losses.LENGTHS]),
        "this is the smooth L1 (Huber) loss; here every difference is squared, large ones too": lambda: make(distance=F.smooth_l1_loss),
        "the squares are summed, not averaged": lambda: Either([make(distance=nn.MSELoss(reduction="sum")), make(distance=nn.MSELoss(reduction="sum")) / n]),
        "the mean is taken over all layers' values together; each layer has a mean of its own": lambda: _together(extractor, sr, hr, weights),
        "the root is taken; the squared distance is wanted": lambda: Either([right.sqrt(), make(distance=lambda a, b: F.mse_loss(a, b).sqrt())]),
        "the scale 1 / 12.75 of exercise 7 is applied; here the weights stand in its place": lambda: right / 12.75**2,
        "half the squared difference is taken; there is no factor 1/2": lambda: right / 2,
        "the images are compared, not their features": lambda: Either([F.mse_loss(sr, hr), sum(weights) * F.mse_loss(sr, hr)])}


def _together(extractor, sr, hr, weights):
    pairs = list(zip(weights, *(extractor((x - losses.MEAN) / losses.STD) for x in (sr, hr))))
    return sum(w * (a - b).square().sum() for w, a, b in pairs) / sum(a.numel() for _, a, _ in pairs)


@exercise(3, rungs=(0.3, 1, 0.8, 0.6, 0.3), hints=(
    "Normalise both images once; each layer then gives one term, a mean squared difference.",
    "extractor(x) is a list: go through the weights and both lists at the same time with zip.",
    "sum(w * F.mse_loss(a, b) for w, a, b in zip(weights, extractor(...sr...), extractor(...hr...)))"),
    errors={"must match the size": "MEAN and STD have to be shaped (1, 3, 1, 1) to line up with the channels", "leaf Variable that requires grad|a leaf Variable": losses.OVERWRITTEN,
            "'list' object|must be Tensor, not list|unsupported operand type.*list": "the extractor returns a list with one tensor for each layer: take the distance layer by layer"})
def layered_loss(trial: Trial) -> None:
    draw, cases = trial.draw, []
    stages = [nn.Sequential(nn.Conv2d(a, b, 3, padding=p, stride=s), nn.Softplus()) for a, b, p, s in ((3, 4, 1, 1), (4, 5, 1, 2), (5, 3, 1, 1))]
    two, three = (draw.weigh(Layered(list(stages[:k]))) for k in (2, 3))
    for n, sides, extractor, weights in ((1, (4, 4), two, [1.0, 1.0]), (2, (6, 5), two, [1.0, 1.0]), (1, (5, 5), three, [1.0] * 3), (2, (5, 4), three, [1.0] * 3),
                                         (1, (4, 5), two, [0.3, 1.7]), (2, (6, 6), three, [0.2, 1.5, 0.7]), (3, (5, 6), three, [1.2, 0.4, 2.0])):
        sr, hr = draw.uniform(n, 3, *sides).requires_grad_(), draw.uniform(n, 3, *sides)
        cases.append(((extractor, sr, hr, weights), {"batch": "one image" if n == 1 else "several images", "weights": "equal weights" if len(set(weights)) == 1
                      else "weights that differ", "layers": f"{len(weights)} layers"}))
    found = trial.study(cases, layered, layer_mistakes, backward=True)
    got, want = found.answered()
    trial.climb("one number comes back", len(got) == len(cases) and all(losses._single(g) for g in got), found, support=True)
    trial.climb("equal weights: the distances of all layers", all(proportional(*found.answered(pair)) is not None for pair in ([0, 1], [2, 3])), found)
    trial.climb("a weight for each layer", found.right, found, support=True)
    losses.gradients(trial, found, cases, 0, layered, "the gradient with respect to sr")
    losses.scalar_contract(trial, found)


def smoothed(real, fake, smoothing: float):
    return losses.bce(real, 1 - smoothing) + losses.bce(fake, 0)


def smooth_mistakes(real, fake, smoothing: float) -> dict:
    bce, right = losses.bce, smoothed(real, fake, smoothing)
    return {
        "the labels are not smoothed: real images want 1 - smoothing": lambda: bce(real, 1) + bce(fake, 0),
        "the fakes' labels are smoothed as well; one-sided means that theirs stay 0": lambda: Either(
            [bce(real, 1 - smoothing) + bce(fake, smoothing), bce(real, 1 - smoothing / 2) + bce(fake, smoothing / 2)]),
        "the fakes' labels are smoothed, and not those of the real images": lambda: bce(real, 1) + bce(fake, smoothing),
        "half the smoothing is taken (as label_smoothing does with two classes); the label is 1 - smoothing": lambda: bce(real, 1 - smoothing / 2) + bce(fake, 0),
        "the label 0.9 is written out; it is 1 - smoothing": lambda: bce(real, 0.9) + bce(fake, 0),
        "the label is `smoothing` itself; it is 1 - smoothing": lambda: bce(real, smoothing) + bce(fake, 0),
        "the label is 1 + smoothing; it is 1 - smoothing": lambda: bce(real, 1 + smoothing) + bce(fake, 0),
        "the term of the real images is multiplied by 1 - smoothing; the label is, and the second half of the cross-entropy counts too": lambda:
            (1 - smoothing) * bce(real, 1) + bce(fake, 0),
        "the whole loss is multiplied by 1 - smoothing; only the label of the real images changes": lambda: (1 - smoothing) * (bce(real, 1) + bce(fake, 0)),
        "the labels are swapped: real images want 1 - smoothing, fakes 0": lambda: Either([bce(real, 0) + bce(fake, 1 - smoothing), bce(real, smoothing) + bce(fake, 1)]),
        "the sigmoid is applied twice: the loss with logits has it inside": lambda: bce(real.sigmoid(), 1 - smoothing) + bce(fake.sigmoid(), 0),
        "only one of the two terms is there": lambda: Either([bce(real, 1 - smoothing), bce(fake, 0)]),
        "the sum is halved; here the two terms are added": lambda: right / 2,
        "the terms are summed over the batch; want their means": lambda: bce(real, 1 - smoothing) * len(real) + bce(fake, 0) * len(fake),
        "the sign is turned: the loss is minimised": lambda: -right,
        "this is the least-squares loss; here it is the cross-entropy": lambda: Either(
            [k * ((real - 1 + smoothing).square().mean() + fake.square().mean()) for k in (1, 0.5)])}


@exercise(2, rungs=(0.5, 0.8, 0.3, 0.2, 0.2), errors=losses.OUTSIDE, hints=(
    "The loss of exercise 8 with another label for the real images.",
    "softplus(-z) is the loss for label 1 only; F.binary_cross_entropy_with_logits takes any label.",
    "Labels: torch.full_like(real_logits, 1 - smoothing) and torch.zeros_like(fake_logits)."))
def smooth_discriminator_loss(trial: Trial) -> None:
    draw = trial.draw
    cases = [((losses.logits(draw, n, 0.7), losses.logits(draw, m, -0.3), smoothing), {"batches": "equal batches" if n == m else "batches of different size",
              "smoothing": f"smoothing {smoothing:g}"}) for n, m, smoothing in ((1, 1, 0.0), (3, 5, 0.0), (1, 1, 0.1), (2, 2, 0.25), (4, 2, 0.25), (1, 6, 0.3))]
    found = trial.study(cases, smoothed, smooth_mistakes, backward=True)
    plain = [i for i, (arguments, _) in enumerate(cases) if not arguments[2]]
    trial.climb("smoothing 0: the cross-entropy, up to a factor", proportional(*found.answered(plain)) is not None, found)
    trial.climb("real images have the label 1 - smoothing, fakes 0", found.right, found, support=True)
    _steep(trial)
    losses.gradients(trial, found, cases, 0, smoothed, "its gradient")
    losses.scalar_contract(trial, found)


def _steep(trial: Trial) -> None:
    """Logits beyond what exp() and log() bear in float32, on both sides."""
    cases = [(tuple((side * sign * (large + 20 * trial.draw.uniform(2, 1))).requires_grad_() for sign in (1, -1)) + (0.1,), {})
             for side in (1, -1) for large in (60.0, 150.0, 800.0)]
    found = trial.study(cases, smoothed, lambda *_: {}, backward=True)
    numbers = [flat(value) for value in found.values]
    finite = all(number is not None and bool(number.isfinite().all()) for number in numbers)
    steady = all(g is None or bool(g.isfinite().all()) for turn in found.turns if turn for g in turn["gradients"])
    low = finite and any(n.numel() == 1 and float(n) < 0.9 * float(w.detach()) for n, w in zip(numbers, found.wants))
    mistake = "" if found.right and steady else losses.OVERFLOW if not finite else losses.BROKEN if not steady else losses.GUARDED if low else ""
    trial.climb("logits of several hundred", found.right and steady, found if not found.right else "the gradient", mistake, support=True)


def one_sided(critic, real, fake, epsilon, weight):
    return results.penalty(critic, epsilon * real + (1 - epsilon) * fake, weight, shape=lambda n: (n - 1).relu().square().mean())


def one_sided_mistakes(critic, real, fake, epsilon, weight: float) -> dict:
    def make(point=epsilon * real + (1 - epsilon) * fake, shape=lambda n: (n - 1).relu().square().mean(), **options):
        return results.penalty(critic, point, weight, shape=shape, **options)
    n, right = len(real), make()
    return {
        "the penalty is two-sided, as in exercise 14; here only gradients longer than 1 are punished": lambda: make(shape=lambda s: (s - 1).square().mean()),
        "gradients shorter than 1 are punished; it is those that are longer": lambda: make(shape=lambda s: (1 - s).relu().square().mean()),
        "the distance from 1 is not squared": lambda: make(shape=lambda s: (s - 1).relu().mean()),
        "1 is not subtracted: what is squared is the length, not its distance from 1": lambda: make(shape=lambda s: s.clamp(min=1).square().mean()),
        "the mean is taken before the maximum with 0; each image has a maximum of its own": lambda: make(shape=lambda s: (s.mean() - 1).relu().square())
            if n > 1 else right,
        "the squared norm is compared with 1; take the root first": lambda: make(reduce=lambda g: g.flatten(1).square().sum(1)),
        "the norm is pulled to 0; it may be anything up to 1": lambda: make(shape=lambda s: s.square().mean()),
        "only the gradients that are too long enter the mean; it runs over the whole batch": lambda: not bool(right) or make(
            shape=lambda s: (s[s > 1] - 1).square().mean()),  # without a long one the mean of nothing is NaN: no evidence there
        "the gradient is taken at the real images; it belongs to the points between real and fake": lambda: make(real),
        "the gradient is taken at the fakes; it belongs to the points between real and fake": lambda: make(fake),
        "epsilon and 1 - epsilon are swapped: epsilon belongs to real": lambda: make(epsilon * fake + (1 - epsilon) * real),
        "one norm is taken over the whole batch; want one for each image": lambda: make(reduce=lambda g: g.norm()) if n > 1 else right,
        "the norm is taken over the channels only; flatten first: want one for each image": lambda: Either(
            [make(reduce=lambda g: g.norm(dim=1)), make(reduce=lambda g: g.norm(dim=(2, 3)))]),
        "the gradient is divided by the batch size: sum the logits, do not average them": lambda: make(reduce=lambda g: (g / n).flatten(1).norm(dim=1)),
        "the sum over the batch is taken; want the mean": lambda: make(shape=lambda s: (s - 1).relu().square().sum()),
        "the factor `weight` is missing": lambda: right / weight,
        "the weight is written out as 10; use the argument": lambda: right / weight * 10}


@exercise(3, rungs=(0.9, 0.8, 0.5, 0.5, 0.3), hints=(
    "Exercise 14 with one more step between the norm and the square.",
    "What is shorter than 1 counts as 0: torch.relu(norm - 1), or clamp(min=0).",
    "weight * torch.relu(norm - 1).square().mean(), with norm as in exercise 14 and create_graph=True."),
    errors={"does not require grad|not have been used in the graph": "x_hat has to require a gradient before it goes through the discriminator",
            "scalar outputs": "grad wants a scalar: sum the logits first"})
def one_sided_penalty(trial: Trial) -> None:
    draw, cases = trial.draw, []
    for n, sides, weight, lengths in ((1, (4, 4), 1.0, (2.2,)), (1, (4, 5), 1.0, (0.4,)), (2, (5, 4), 1.0, (1.9, 2.6)), (1, (5, 5), 1.0, (3.4,)),
                                      (3, (4, 4), 1.0, (0.3, 2.5, 0.7)), (4, (5, 5), 7.0, (3.1, 0.5, 0.2, 1.8)), (2, (4, 6), 7.0, (0.6, 1.7))):
        critic = Bowl()
        critic.weight.data = 0.5 + draw.uniform(3, 1, 1)
        real, fake, epsilon = draw.uniform(n, 3, *sides), draw.uniform(n, 3, *sides), 0.15 + 0.2 * draw.uniform(n, 1, 1, 1)
        point = epsilon * real + (1 - epsilon) * fake
        size = torch.tensor(lengths).view(n, 1, 1, 1) / (critic.weight.detach() * point).flatten(1).norm(dim=1).view(n, 1, 1, 1)
        cases.append(((critic, real * size, fake * size, epsilon, weight), {"batch": "one image" if n == 1 else "several images", "weight": f"weight {weight:g}",
                      "lengths": "gradients longer than 1" if min(lengths) > 1 else "gradients shorter than 1" if max(lengths) < 1 else "some longer than 1, some shorter"}))
    found = trial.study(cases, one_sided, one_sided_mistakes, backward=True)
    trial.climb("gradients longer than 1: the squared distance from 1", proportional(*found.answered([0, 2, 3])) is not None, found)
    trial.climb("gradients shorter than 1 cost nothing, and the value", found.right, found, support=True)
    results._through(trial, cases, found, one_sided)
    turns = [turn for turn in found.turns if turn]
    trial.contract("the contract: inputs left alone, one tensor returned", {
        "real, fake or epsilon is overwritten: work on a copy": any(any(turn["changed"]) for turn in turns),
        "what comes back is not one tensor": any(turn["kind"] != "tensor" or turn["value"].numel() != 1 for turn in turns)})
