"""Checks of notebook 01. The ranges come from runs on the sample, as said at each."""

import numpy as np
import torch

from .exercise import Wrong, called, named, near, number, numbers, test, within


def _cases() -> list[tuple[np.ndarray, int]]:
    random = np.random.default_rng(1)
    shapes = ((8, 5, 2), (9, 4, 3), (16, 7, 4), (6, 6, 3), (12, 3, 4))
    return [(random.integers(0, 256, (height, width, 3)).astype(float), scale) for height, width, scale in shapes]


def _means(picture: np.ndarray, scale: int) -> torch.Tensor:
    return torch.from_numpy(picture.reshape(-1, scale, *picture.shape[1:]).mean(1))


@test("1.1", explain=False)
def box_kernel(box_rows):
    cases = _cases()
    got = [called(box_rows, picture.copy(), scale, name="box_rows") for picture, scale in cases]
    right = [_means(picture, scale) for picture, scale in cases]
    if all(near(g, w, 0.5 + 1e-6) for g, w in zip(got, right)):  # rounded in any way, or not at all
        whole, rounded = all(bool((g == g.round()).all()) for g in got), all(near(g, torch.floor(w + 0.5)) for g, w in zip(got, right))
        return ["the mean of `scale` rows" + (", rounded half up" if rounded else ", rounded" if whole else ", not rounded to 8 bit")]
    raise Wrong(_of_rows(got, right, cases))


def _of_rows(got: list, right: list, cases: list) -> str:
    mistakes = {
        "this takes every `scale`-th row and leaves the others out": [torch.from_numpy(p[::s]) for p, s in cases],
        "this takes every `scale`-th row and leaves the others out ": [torch.from_numpy(p[s - 1::s]) for p, s in cases],
        "this cuts the fraction off: round half up with np.floor(mean + 0.5)": [torch.floor(w) for w in right],
        "this is the sum of the rows; divide by scale": [w * s for w, (_, s) in zip(right, cases)],
        "colours or columns are averaged too": [w.mean((1, 2), keepdim=True).expand_as(w) for w in right],
    }
    if sentence := named(got, mistakes, 1e-6).strip():
        return sentence
    if all(g.shape[0] == len(p) for g, (p, _) in zip(got, cases)):
        return "no row has gone: is the mean taken along the columns (axis 1) instead of the rows (axis 0)?"
    if any(g.shape != w.shape for g, w in zip(got, right)):
        return f"the shape is {tuple(got[0].shape)}, want {tuple(right[0].shape)}"
    worst = max(float((g - w).abs().max()) for g, w in zip(got, right))
    return f"the values are off by up to {worst:.1f} grey levels from avg_pool2d; which rows belong to the first output row?"


@test("1.2")
def lanczos_scores(lanczos, right):
    high, low = number(lanczos, "lanczos"), number(right, "right")
    # Measured with Pillow 11: 28.706 and 28.526 dB on luma; 27.291 and 27.117 on RGB; Lanczos against the right LR 44.65 dB.
    if near(low, 27.117, 0.03) or near(high, 27.291, 0.03):
        raise Wrong("these are PSNRs of RGB; protocol_psnr takes the luma and shaves the border")
    if high > 40 or low > 40:
        raise Wrong("this is the PSNR between two LR images; want that of the enlarged image against HR, the last column")
    if near(high, low, 0.01):
        raise Wrong("both are equal: PIL's BICUBIC scores like degrade; Image.Resampling.LANCZOS is asked for")
    if near(high, 28.526, 0.03) and low > high:
        raise Wrong("the two are in the wrong order")
    within(low, 28.50, 28.55, "right", " dB")
    within(high, 28.64, 28.77, "lanczos", " dB")
    return [f"Lanczos scores {high - low:+.2f} dB"]


@test("1.3", explain=False)
def little_detail(share, slower):
    everything, least = numbers(share, (0, 12), "share")
    if everything > 1 or least > 1:
        raise Wrong("share: want shares from 0 to 1, not percent or counts")
    if least > everything:
        raise Wrong("share: at 12 more patches are flat than at 0; are the two in the wrong order?")
    if least == everything:
        raise Wrong("share: both are equal; replace returns a new config, and patches has to be given that one")
    # Measured on the sample, 20 batches of 16: 8.4 % and 0.9 % below 4 grey levels (18 % below 12 at min_detail 0). DIV2K has fewer.
    if everything > 0.16:
        raise Wrong(f"share at 0 is {everything:.1%}: nearly flat is below 4 grey levels, at both settings")
    within(everything, 0.005, 0.16, "share at 0")
    within(least, 0, 0.03, "share at 12")
    # measured: 1.1 on an idle core, 1.2 on a busy one
    if number(slower, "slower") < 0.4:
        raise Wrong("slower: this is the time at 0 over the time at 12, or the first call, which opens the bank, was counted")
    within(number(slower, "slower"), 0.4, 5, "slower")
    return [f"{everything:.1%} of the patches are nearly flat at 0, {least:.1%} at 12"]


@test("1.4")
def jpeg_lost(left):
    value = number(left, "left")
    # Measured beyond 1/4 cycle per pixel at quality 30: chelsea 0.56, coffee 0.73, astronaut 0.86, rocket 0.92; at quality 95 1.00 to 1.03.
    if value > 2:
        raise Wrong("left: want the JPEG's power over the original's, so a number below 1")
    if value > 0.98:
        raise Wrong(f"left: {value:.2f}, so nearly all is there; was it saved with quality=30, and are only waves beyond 1/4 counted?")
    if value < 0.2:
        raise Wrong("left: this is little; is it the share of all power that lies beyond 1/4, instead of JPEG over original?")
    return [f"{value:.0%} of the finest waves' power is left"]
