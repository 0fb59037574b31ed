"""Exercises 1 to 3: luma, PSNR, pixel shuffle.

Each test draws inputs, asks the exercise, and compares with a reference of its own; beside the reference stand the usual
mistakes, so that the one that was made can be named.
"""

import torch
import torch.nn.functional as F

from srgan_lib.grading.trial import Either, Trial, exercise


def weighted(rgb: torch.Tensor, red: float, green: float, blue: float, offset: float = 0.0) -> torch.Tensor:
    """A weighted sum of the channels in float64: (N, 3, H, W) -> (N, 1, H, W)."""
    return offset + torch.einsum("nchw,c->nhw", rgb.double(), torch.tensor([red, green, blue]).double())[:, None]


def studio_luma(rgb: torch.Tensor) -> torch.Tensor:
    return weighted(rgb, 65.481, 128.553, 24.966, 16)


@exercise(4, rungs=(3, 1), hints=(
    "Three weights, one offset: write the equation of the text as it stands; the picture's values are in [0, 1].",
    "Index the channels as rgb[:, 0:1], not rgb[:, 0]: the slice keeps the dimension.",
    "16 + 65.481 * rgb[:, 0:1] + ... and so on for green and blue."))
def luma(trial: Trial) -> None:
    rgb = trial.draw.uniform(2, 3, *trial.draw.sides(5, 9))
    right = studio_luma(rgb)
    wrong = {
        "this is the plain mean of the channels; the eye sees green far better than blue": lambda: Either(
            [weighted(rgb, k / 3, k / 3, k / 3, o) for k, o in ((1, 0), (255, 0), (219, 16))]),
        "these are the full-range weights 0.299, 0.587, 0.114 of JPEG; MATLAB's studio range goes from 16 to 235": lambda: Either(
            [weighted(rgb, .299 * k, .587 * k, .114 * k) for k in (1, 255)]),
        "the range is [0, 1]; here luma runs from 16 to 235": lambda: Either([right / 255, (right - 16) / 255, (right - 16) / 219]),
        "the offset 16 is missing: black is 16": lambda: right - 16,
        "luma is rounded already here; the exact value is wanted": lambda: right.round(),
        "red and blue are swapped (BGR order)": lambda: studio_luma(rgb.flip(1)),
        "these are the weights for 8-bit input divided by 256 (65.738, ...); for [0, 1] they are 65.481, 128.553, 24.966": lambda:
            weighted(rgb, 65.738, 129.057, 25.064, 16),
        "the weight of red is 65.481": lambda: weighted(rgb, 64.738, 129.057, 25.064, 16),
        "the channel dimension is lost: want (N, 1, H, W), so slice with 0:1": lambda: right[:, 0],
        "the input is taken as 0..255; it is in [0, 1]": lambda: studio_luma(rgb / 255),
        "the channels are taken from the last dimension; in PyTorch they come second": lambda:
            16 + 65.481 * rgb[..., 0:1] + 128.553 * rgb[..., 1:2] + 24.966 * rgb[..., 2:3]}
    trial.expect("two random pictures", trial.call(rgb)["value"], right, wrong)
    one = torch.stack([torch.zeros(3), torch.ones(3), trial.draw.uniform(3)])[..., None, None]
    trial.expect("black is 16, white is 235", trial.call(one)["value"], studio_luma(one))


def decibels(a: torch.Tensor, b: torch.Tensor, peak: float = 1.0) -> torch.Tensor:
    error = (a.double() - b.double()).square().flatten(1).mean(1)
    return 10 * torch.log10(peak**2 / error)


@exercise(5, rungs=(2, 1, 1, 1), hints=(
    "First the mean squared error, then the logarithm to base 10.",
    "One number for each picture: flatten everything after the first dimension, then mean(1).",
    "10 * log10(peak**2 / mse); for identical pictures the division by zero gives infinity all by itself."))
def psnr(trial: Trial) -> None:
    shape = (3, *trial.draw.sides(6, 9))
    a, noise = trial.draw.uniform(2, *shape), trial.draw.normal(2, *shape) * torch.tensor([0.02, 0.2]).view(2, 1, 1, 1)
    b = a + noise
    error, absolute = noise[:1].double().square().mean(), noise[:1].double().abs().mean()
    wrong = {
        "the data range is taken as 255, but peak is 1": lambda: decibels(a[:1], b[:1], 255),
        "the factor is 20 only for the root of the mean squared error; for the error itself it is 10": lambda: -20 * error.log10(),
        "the logarithm is natural; decibels want base 10": lambda: -10 * error.log(),
        "the errors are not squared": lambda: Either([-10 * absolute.log10(), -20 * absolute.log10()]),
        "the sign is turned: a small error is a high PSNR": lambda: 10 * error.log10(),
        "the squared errors are summed, not averaged": lambda: -10 * noise[:1].double().square().sum().log10(),
        "the peak is taken from the picture (max of hr); it is an argument": lambda: Either(
            [decibels(a[:1], b[:1], float(x[:1].max())) for x in (a, b)])}
    trial.expect("a picture with values in [0, 1]", trial.call(a[:1], b[:1])["value"], decibels(a[:1], b[:1]), wrong)
    wrong = {"the batch is averaged into one number; want one for each picture, shape (N,)": lambda: Either(
        [10 * torch.log10(1 / noise.double().square().mean()), decibels(a, b).mean()])}
    trial.expect("a batch: one value for each picture", trial.call(a, b)["value"], decibels(a, b), wrong)
    wrong = {"the argument peak is not used": lambda: Either([decibels(a * 255, b * 255)]),
             "peak has to be squared": lambda: 10 * torch.log10(255 / (noise * 255).double().square().flatten(1).mean(1))}
    trial.expect("peak = 255", trial.call(a * 255, b * 255, 255.0)["value"], decibels(a * 255, b * 255, 255), wrong)
    twice = torch.stack([a[0], b[1]])
    value = trial.call(twice, a)["value"]
    wrong = {"a small constant is added to the error; identical pictures have infinite PSNR": lambda: bool(value[0].isfinite())}
    trial.expect("identical pictures: infinity", value, decibels(twice, a), wrong)


@exercise(4, rungs=(1, 1), without=("pixel_shuffle", "PixelShuffle"), hints=(
    "Split the channels, move the two new axes behind H and W, merge: view, permute, reshape.",
    "x.view(n, c, factor, factor, h, w): the first of the two factors counts rows, the second columns.",
    "The order after permute is n, c, h, rows, w, columns."),
    errors={"shape .* is invalid for input|view size is not compatible": "check the sizes: C = channels // factor**2; "
            "and after permute use reshape, since view wants contiguous memory"})
def pixel_shuffle(trial: Trial) -> None:
    for label, factor, square in (("factor 2", 2, True), ("factor 3, a batch, height and width differ", 3, False)):
        h, w = trial.draw.sides(3, 6)
        w = h if square else w
        n, c = (1, 2) if square else (2, 3)
        x = trial.draw.normal(n, c * factor**2, h, w)
        split = x.reshape(n, c, factor, factor, h, w)
        grouped = x.reshape(n, factor, factor, c, h, w)

        def merge(y, *order):
            return y.permute(*order).reshape(n, c, h * factor, w * factor)

        wrong = {
            "the channels are split as (factor, factor, C), TensorFlow's NHWC order; PyTorch has (C, factor, factor)": lambda:
                Either([merge(grouped, 0, 3, 4, 1, 5, 2), merge(grouped, 0, 3, 4, 2, 5, 1)]),
            "rows and columns are swapped inside each block: the first factor belongs to H": lambda: merge(split, 0, 1, 4, 3, 5, 2),
            "the channels were reshaped without being moved next to H and W: permute first": lambda: x.reshape(n, c, h * factor, w * factor),
            "the phases stand side by side as small pictures; they have to interleave": lambda: merge(split, 0, 1, 2, 4, 3, 5),
            "height and width are swapped": lambda: merge(split, 0, 1, 4, 2, 5, 3).transpose(2, 3),
            "the result is (N, H, W, C); want (N, C, H, W)": lambda: merge(split, 0, 1, 4, 2, 5, 3).permute(0, 2, 3, 1)}
        trial.expect(label, trial.call(x, factor)["value"], F.pixel_shuffle(x, factor), wrong)
