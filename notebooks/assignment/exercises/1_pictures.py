"""Exercises 1 to 3: luma, PSNR, pixel shuffle.

Each test draws inputs, asks the exercise, and compares with a reference of its own; beside the reference stand the usual
mistakes, so that the one that was made can be named.
"""

import torch
import torch.nn.functional as F

from srgan_lib.grading.comparison import Either, affine, flat, same
from srgan_lib.grading.trial import Evidence, Failed, Trial, exercise

OVERWRITTEN = "the function writes into its input, which the caller still needs: work on a copy, without methods that end in _ and without +="


def weighted(rgb: torch.Tensor, red: float, green: float, blue: float, offset: float = 0.0) -> torch.Tensor:
    """A weighted sum of the channels in float64: (N, 3, H, W) -> (N, 1, H, W)."""
    return offset + torch.einsum("nchw,c->nhw", rgb.double(), torch.tensor([red, green, blue]).double())[:, None]


def studio_luma(rgb: torch.Tensor) -> torch.Tensor:
    return weighted(rgb, 65.481, 128.553, 24.966, 16)


def luma_mistakes(rgb: torch.Tensor) -> dict:
    right = studio_luma(rgb)
    last = torch.tensor([65.481, 128.553, 24.966]).double()
    return {
        "this is the plain mean of the channels; the eye sees green far better than blue": lambda: Either(
            [weighted(rgb, k / 3, k / 3, k / 3, o) for k, o in ((1, 0), (255, 0), (219, 16))]),
        "these are the full-range weights 0.299, 0.587, 0.114 of JPEG; MATLAB's studio range goes from 16 to 235": lambda: Either(
            [weighted(rgb, .299 * k, .587 * k, .114 * k, o) for k, o in ((1, 0), (255, 0), (255, 16), (219, 16), (1, 16))]),
        "the weights are those of BT.709 (0.2126, 0.7152, 0.0722); here they are BT.601's": lambda: Either(
            [weighted(rgb, .2126 * k, .7152 * k, .0722 * k, o) for k, o in ((1, 0), (255, 0), (219, 16), (255, 16))]),
        "the range is [0, 1]; here luma runs from 16 to 235": lambda: Either([right / 255, (right - 16) / 255, (right - 16) / 219, right / 235]),
        "the offset 16 is missing: black is 16": lambda: right - 16,
        "the offset 16 is added for each channel: it is added once": lambda: right + 32,
        "the offset 16 is added twice": lambda: Either([right + 16, weighted(rgb, 65.535, 128.52, 24.99, 32)]),
        "the weights are rounded (255 times 0.257, 0.504, 0.098); here they are 65.481, 128.553, 24.966": lambda: weighted(rgb, 65.535, 128.52, 24.99, 16),
        "this is a colour difference (Cb or Cr), whose weights add up to 0; luma is Y": lambda: Either(
            [weighted(rgb, *cb, 128) for cb in ((-37.797, -74.203, 112), (112, -93.786, -18.214))]),
        "luma is rounded already here; the exact value is wanted": lambda: Either([right.round(), right.floor()]),
        "red and blue are swapped (BGR order)": lambda: studio_luma(rgb.flip(1)),
        "green and blue, or red and green, have each other's weights": lambda: Either([studio_luma(rgb[:, order]) for order in ([0, 2, 1], [1, 0, 2])]),
        "these are the weights for 8-bit input divided by 256 (65.738, ...); for [0, 1] they are 65.481, 128.553, 24.966": lambda:
            weighted(rgb, 65.738, 129.057, 25.064, 16),
        "the weight of red is 65.481": lambda: weighted(rgb, 64.738, 129.057, 25.064, 16),
        "the channel dimension is lost: want (N, 1, H, W), so slice with 0:1": lambda: Either([right[:, 0]] if len(rgb) > 1 else [right[:, 0], right[0, 0]]),
        "the input is taken as 0..255; it is in [0, 1]": lambda: Either(
            [studio_luma(rgb / 255), weighted(rgb, .257, .504, .098, 16), weighted(rgb, .25679, .504129, .09791, 16)]),
        "the input is multiplied by 255 first; it is wanted in [0, 1]": lambda: studio_luma(rgb * 255),
        "luma is clamped to 16..235 or [0, 1] on the way": lambda: Either([right.clamp(0, 1), studio_luma(rgb.clamp(0, 1)).clamp(16, 234)]),
        "only the first picture of the batch is used: it stands for all": lambda: Either([right[:1], right[:1].expand_as(right)] if len(rgb) > 1 else [right]),
        "the channels are taken from the last dimension; in PyTorch they come second": lambda: Either([
            16 + 65.481 * rgb[..., 0:1] + 128.553 * rgb[..., 1:2] + 24.966 * rgb[..., 2:3],
            16 + (rgb * last).sum(1, keepdim=True), 16 + (rgb * last).sum(-1, keepdim=True)])}


@exercise(4, rungs=(1.5, 0.5, 1, 0.5, 0.5), hints=(
    "Three weights, one offset: write the equation of the text as it stands; the picture's values are in [0, 1].",
    "Index the channels as rgb[:, 0:1], not rgb[:, 0]: the slice keeps the dimension.",
    "16 + 65.481 * rgb[:, 0:1] + ... and so on for green and blue."),
    errors={r"size of tensor a .* must match": "the three weights line up with another dimension than the channels: give them the shape (3, 1, 1)"})
def luma(trial: Trial) -> None:
    draw = trial.draw
    cases = [(draw.uniform(1, 3, 1, 1), "one picture"), (draw.uniform(1, 3, 3, 3), "one picture"), (draw.uniform(2, 3, 4, 3), "several pictures"),
             (torch.stack([torch.zeros(3), torch.ones(3)])[..., None, None], "several pictures"),
             *((draw.uniform(3, 3, *sides), "several pictures") for sides in draw.odd_and_even(4, 9))]
    cases = [((rgb,), {"batch": batch, "sides": "square pictures" if rgb.shape[2] == rgb.shape[3] else "other sides"}) for rgb, batch in cases]
    found = trial.study(cases, studio_luma, luma_mistakes)
    got, want = found.answered()
    line = affine(got, want, 0.02)  # up to rounding, scale and offset
    trial.climb("the weights of red, green and blue", line is not None, found)
    trial.climb("from 16 for black to 235 for white", line is not None and abs(line[0] - 1) < 0.01 and abs(line[1]) < 1, found, support=True)
    trial.climb("exact values, for one picture and for a batch", all(_equal(g, w) for g, w in zip(got, want)) and len(got) == len(cases), found, support=True)
    trial.climb("the shape (N, 1, H, W)", all(_shape(g) == tuple(w.shape) for g, w in zip(got, want)) and len(got) == len(cases), found, support=True)
    tidy(trial, found)


def _equal(got, want) -> bool:
    got = flat(got)
    return got is not None and got.shape == flat(want).shape and same(got, flat(want))


def _shape(got):
    return tuple(got.shape) if isinstance(got, torch.Tensor) else None


def tidy(trial: Trial, found: Evidence, kinds=("tensor",)) -> None:
    """The rung of the contract: the right type comes back and the inputs are as they were."""
    turns = [turn for turn in found.turns if turn]
    other = next((turn["kind"] for turn in turns if turn["kind"] not in kinds), "")
    trial.contract("the contract: inputs left alone, a torch tensor returned", {
        OVERWRITTEN: any(any(turn["changed"]) for turn in turns),
        f"what comes back is of type {other}; want a torch.Tensor": bool(other)})


def decibels(a: torch.Tensor, b: torch.Tensor, peak: float = 1.0) -> torch.Tensor:
    error = (a.double() - b.double()).square().flatten(1).mean(1)
    return 10 * torch.log10(peak**2 / error)


def psnr_mistakes(a: torch.Tensor, b: torch.Tensor, peak: float = 1.0) -> dict:
    noise, right = a.double() - b.double(), decibels(a, b, peak)
    error, absolute, n = noise.square().flatten(1).mean(1), noise.abs().flatten(1).mean(1), len(a)
    pooled = 10 * torch.log10(peak**2 / noise.square().mean())
    batch = "the batch is averaged into one number; want one for each picture, shape (N,)"
    return {
        "the data range is taken as 255, but peak is 1": lambda: decibels(a, b, 255) if peak == 1 else right,
        "the factor is 20 only for the root of the mean squared error; for the error itself it is 10": lambda: Either(
            [20 * (peak / error).log10(), 20 * (peak**2 / error).log10(), 20 * peak - 20 * error.log10()]),
        "the factor is 10 only for the mean squared error; for its root it is 20": lambda: 10 * (peak / error.sqrt()).log10(),
        "the logarithm is natural; decibels want base 10": lambda: Either([10 * (peak**2 / error).log(), 20 * (peak / error.sqrt()).log()]),
        "the logarithm has base 2; decibels want base 10": lambda: 10 * (peak**2 / error).log2(),
        "the errors are not squared": lambda: Either([10 * (peak**2 / absolute).log10(), 20 * (peak / absolute).log10(), 10 * (peak / absolute).log10()]),
        "the sign is turned: a small error is a high PSNR": lambda: -right,
        "the pictures are clamped first; an error outside the range is an error too": lambda: Either(
            [decibels(a.clamp(0, top), b.clamp(0, top), peak) for top in {1.0, peak}]),
        "the squared errors are summed, not averaged": lambda: 10 * (peak**2 / noise.square().flatten(1).sum(1)).log10(),
        "the peak is taken from the picture (max of hr); it is an argument": lambda: Either([10 * torch.log10(top**2 / error) for top in (
            a.max().double(), b.max().double(), torch.maximum(a.max(), b.max()).double(), a.flatten(1).amax(1).double(), b.flatten(1).amax(1).double(),
            a.max().double() - a.min(), b.max().double() - b.min())]),
        batch: lambda: Either([pooled, pooled.expand(n), right.mean(), right.mean().expand(n)]) if n > 1 else right,
        "the decibels of each channel (or row) are averaged; the logarithm comes last, after the mean over the whole picture": lambda: Either(
            [(10 * torch.log10(peak**2 / noise.square().mean(dims))).flatten(1).mean(1) for dims in ((2, 3), (1, 2), (1, 3), 1)]),
        "the argument peak is not used": lambda: decibels(a, b, 1.0),
        "peak has to be squared": lambda: 10 * torch.log10(peak / error),
        "a small constant is added to the error; identical pictures have infinite PSNR": lambda: Either(
            [10 * torch.log10(peak**2 / (error + e)) for e in (1e-12, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5)] + [
             10 * torch.log10(peak**2 / error.clamp_min(e)) for e in (1e-12, 1e-10, 1e-8, 1e-6)]),
        "identical pictures get a number that stands for infinity (100, 0); infinity itself is wanted": lambda: Either(
            [right.nan_to_num(posinf=top) for top in (0.0, 100.0, 99.0, 1000.0, 60.0)])}


@exercise(5, rungs=(1, 1.5, 1, 0.5, 0.5, 0.5), hints=(
    "First the mean squared error, then the logarithm to base 10.",
    "One number for each picture: flatten everything after the first dimension, then mean(1).",
    "10 * log10(peak**2 / mse); for identical pictures the division by zero gives infinity all by itself."),
    errors={r"argument 'input' .*must be Tensor, not (float|int)": "torch.log10 wants a tensor: keep the error a tensor, or use math.log10"})
def psnr(trial: Trial) -> None:
    cases, groups = _pairs(trial.draw), {}
    for i, (_, tags) in enumerate(cases):
        groups.setdefault(tags["group"], []).append(i)
    found = trial.study([(c, {k: v for k, v in tags.items() if k != "group"}) for c, tags in cases], decibels, psnr_mistakes)

    def holds(*names):
        return all(found.passed[i] for name in names for i in groups[name])
    trial.climb("a logarithm of the squared error", affine(*found.answered(groups["single"])) is not None, found)
    trial.climb("one picture with values in [0, 1]", holds("single"), found)
    trial.climb("a batch: one value for each picture", holds("batch"), found, support=not holds("single"))
    trial.climb("peak = 255", holds("peak"), found, support=True)
    trial.climb("identical pictures: infinity", holds("equal"), found, support=True)
    tidy(trial, found)


def _pairs(draw) -> list:
    """Pairs of pictures whose channels and neighbours differ in error; the largest value is clear of peak."""
    def pair(n, h, w, peak=1.0):
        a = draw.uniform(n, 3, h, w) * 0.7
        loud = torch.tensor([0.3, 1.0, 2.5]).view(1, 3, 1, 1) * torch.logspace(-2, -0.8, n).view(n, 1, 1, 1) * (1 + 2 * draw.uniform(n, 1, h, 1))
        return a * peak, (a + draw.normal(n, 3, h, w) * loud) * peak
    cases = [((*pair(1, *sides), 1.0), {"batch": "one picture", "peak": "peak 1", "group": "single"}) for sides in ((2, 2), *draw.odd_and_even(3, 8), (6, 6))]
    cases += [((*pair(n, *sides), 1.0), {"batch": "several pictures", "peak": "peak 1", "group": "batch"}) for n, sides in zip((2, 3, 4), draw.odd_and_even(4, 8))]
    cases += [((*pair(n, *sides, 255.0), 255.0), {"batch": batch, "peak": "peak 255", "group": "peak"}) for n, sides, batch in (
        (1, (3, 4), "one picture"), (2, (5, 3), "several pictures"))]
    a, b = pair(2, 4, 5)
    # With two peaks, an epsilon in the error and a number that stands for infinity give different results.
    for first, second, peak in ((a[:1], a[:1].clone(), 1.0), (torch.stack([a[0], b[1]]), a, 1.0), (255 * a[:1], 255 * a[:1], 255.0)):
        cases.append(((first, second, peak), {"batch": "one picture" if len(first) == 1 else "several pictures", "peak": f"peak {peak:g}",
                                              "group": "equal", "equality": "identical pictures"}))
    for _, tags in cases:
        tags.setdefault("equality", "pictures that differ")
    return cases


def shuffle_mistakes(x: torch.Tensor, r: int) -> dict:
    n, k, h, w = x.shape
    c = k // r**2
    split, grouped, right = x.reshape(n, c, r, r, h, w), x.reshape(n, r, r, c, h, w), F.pixel_shuffle(x, r)

    def merge(y, *order):
        return y.permute(*order).reshape(n, c, h * r, w * r)
    return {
        "the channels are split as (factor, factor, C), TensorFlow's NHWC order; PyTorch has (C, factor, factor)": lambda:
            Either([merge(grouped, 0, 3, 4, 1, 5, 2), merge(grouped, 0, 3, 4, 2, 5, 1)]),
        "rows and columns are swapped inside each block: the first factor belongs to H": lambda: merge(split, 0, 1, 4, 3, 5, 2),
        "the channels were reshaped without being moved next to H and W: permute first": lambda: x.reshape(n, c, h * r, w * r),
        "the phases stand side by side as small pictures; they have to interleave": lambda: Either([merge(split, 0, 1, 2, 4, 3, 5), merge(split, 0, 1, 3, 4, 2, 5)]),
        "height and width are swapped": lambda: Either([right.transpose(2, 3), merge(split, 0, 1, 5, 3, 4, 2), merge(split, 0, 1, 5, 2, 4, 3)]),
        "the order after permute is wrong: n, c, h, rows, w, columns is wanted": lambda: Either(
            [merge(split, 0, 1, *order) for order in ((4, 5, 2, 3), (4, 2, 3, 5), (2, 4, 5, 3), (3, 2, 4, 5), (4, 5, 3, 2), (2, 5, 3, 4))]),
        "each block of pixels is mirrored": lambda: Either([F.pixel_shuffle(split.flip(d).reshape(x.shape), r) for d in ((2,), (3,), (2, 3))]),
        "only the first of the r**2 channels is used, repeated: this is nearest-neighbour upsampling": lambda: Either(
            [F.interpolate(split[:, :, 0, 0], scale_factor=r), F.interpolate(x[:, :c], scale_factor=r)]),
        "the result is (N, H, W, C); want (N, C, H, W)": lambda: right.permute(0, 2, 3, 1)}


@exercise(4, rungs=(1, 1.5, 1, 0.5), without=("pixel_shuffle", "PixelShuffle"), hints=(
    "Split the channels, move the two new axes behind H and W, merge: view, permute, reshape.",
    "x.view(n, c, factor, factor, h, w): the first of the two factors counts rows, the second columns.",
    "The order after permute is n, c, h, rows, w, columns."),
    errors={r"invalid argument types|received an invalid combination of arguments|'float' object cannot be interpreted|must be tuple of ints":
            "a size has to be a whole number: // divides without a fraction, / makes a float",
            r"view size is not compatible": "after permute use reshape, since view wants contiguous memory",
            r"shape .* is invalid for input": "the sizes do not multiply to the number of values: C = channels // factor**2, and H and W are sizes of their own"})
def pixel_shuffle(trial: Trial) -> None:
    draw = trial.draw
    plan = [(1, 1, 2, (1, 1)), (1, 1, 2, (2, 2)), (1, 2, 2, (2, 3)), (2, 3, 2, (3, 2)), (1, 1, 3, (3, 3)), (3, 2, 3, (2, 4)), (2, 1, 4, (3, 1)), (1, 3, 1, (2, 3))]
    cases = [((draw.normal(n, c * r * r, h, w), r), {"sides": "square pictures" if h == w else "pictures whose height and width differ", "channels":
              "one channel" if c == 1 else "several channels", "factor": f"factor {r}", "batch": "one picture" if n == 1 else "several pictures"})
             for n, c, r, (h, w) in plan]
    found = trial.study(cases, F.pixel_shuffle, shuffle_mistakes)
    for turn in found.turns:
        ready = sorted({"pixel_shuffle", "pixel_unshuffle"} & set(turn["ran"])) if turn else []
        if ready:
            raise Failed(f"uses {ready[0]}: the exercise is to write it", "torch's own function ran, under whatever name it was called")
    blocks = [i for i, (c, _) in enumerate(cases) if found.turns[i] and c[1] > 1]
    gathered = bool(blocks) and all(_blocks(found.values[i], cases[i][0][1], found.wants[i]) for i in blocks)
    trial.climb("each block holds the values of its own channels", gathered, found)
    trial.climb("every value in its place", bool(blocks) and all(_equal(*pair) for pair in zip(*found.answered(blocks))), found)
    trial.climb("every shape of picture, every factor", found.right, found, support=True)
    tidy(trial, found)


def _blocks(got, r: int, want: torch.Tensor) -> bool:
    """Whether got has the right values in each r x r block, in any order."""
    if not isinstance(got, torch.Tensor) or got.shape != want.shape:
        return False
    a, b = (F.pixel_unshuffle(x.double(), r).unflatten(1, (-1, r * r)).sort(2).values for x in (got, want))
    return same(a, b)
