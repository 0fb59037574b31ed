"""Checks of notebook 04. Bicubic is computed again; the networks' ranges come from runs with the shipped weights."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F

from ..data import images
from ..images import crop_to_multiple, degrade, eight_bit, read_image, resize_bicubic, to_tensor
from ..metrics import protocol_psnr, psnr
from .exercise import Wrong, called, near, number, numbers, test, truth, within

METHODS = "nearest bilinear bicubic srresnet srgan"


@lru_cache
def _photos() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(HR, bicubic) of the three photos of the lesson."""
    photos = [crop_to_multiple(to_tensor(read_image(path)), 4) for _, path in images("sample", "valid")]
    return [(hr, resize_bicubic(degrade(hr, 4), 4)) for hr in photos]


def _bicubic(measure) -> float:
    return sum(measure(sr, hr) for hr, sr in _photos()) / len(_photos())


@test("4.1", explain=False)
def colours_count(rgb, same_order, gap):
    values = dict(zip(METHODS.split(), numbers(rgb, METHODS, "rgb")))
    plain, on_luma = _bicubic(lambda a, b: psnr(eight_bit(a), eight_bit(b))), _bicubic(lambda a, b: protocol_psnr(a, b, 4))
    if near(values["bicubic"], on_luma, 0.05):
        raise Wrong("rgb: these are the numbers of luma; compared() takes it, so leave it out")
    errors = [psnr(eight_bit(sr), eight_bit(hr)) for hr, sr in _photos()]
    if near(values["bicubic"], -10 * math.log10(sum(10 ** (-e / 10) for e in errors) / 3), 0.05):
        raise Wrong("rgb: the squared errors of the three photos were averaged first; take PSNR for each photo, then the mean")
    within(values["bicubic"], plain - 0.06, plain + 0.06, "bicubic on RGB", " dB")
    # measured with the shipped weights: 26.66, 27.37, 27.78, 28.85 and 27.70 dB
    within(values["srresnet"] - plain, 0.3, 3, "srresnet less bicubic", " dB")
    within(values["srgan"] - plain, -2, 1.5, "srgan less bicubic", " dB")
    if not values["nearest"] < values["bilinear"] < values["bicubic"] < values["srresnet"]:
        raise Wrong("rgb: nearest, bilinear, bicubic and srresnet should rise in this order; are the names right?")
    difference = values["srresnet"] - values["srgan"]
    if near(number(gap, "gap"), -difference, 0.03):
        raise Wrong("gap: want srresnet - srgan; this has the other sign")
    if not near(number(gap, "gap"), difference, 0.03):
        raise Wrong(f"gap: your two numbers differ by {difference:.2f} dB")
    truth(same_order, "same_order")  # bicubic and srgan stand 0.05 dB apart, so that either answer can be read from a table
    return [f"the gap between srresnet and srgan is {difference:.2f} dB on RGB", "bicubic and srgan are a tie on luma; all others keep their places"]


def _tinted(seed: int, tint: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth image with a tint, and the LR of the image without it."""
    generator = torch.Generator().manual_seed(seed)
    hr = F.interpolate(torch.rand(1, 3, 6, 8, generator=generator), scale_factor=16, mode="bilinear") * 0.4 + 0.3
    detail = 0.02 * torch.randn(hr.shape, generator=generator)
    return hr + detail + tint * torch.tensor([1.0, -0.5, 0.8]).view(1, 3, 1, 1), degrade(hr, 4)


@test("4.2")
def give_back(recolour):
    cases = [_tinted(seed, tint) for seed, tint in ((1, 0.04), (2, -0.04), (3, 0.0))]
    got = [called(recolour, sr.clone(), lr.clone(), name="recolour", shape=sr.shape).float() for sr, lr in cases]
    added = [g - sr for g, (sr, _) in zip(got, cases)]
    lacks = [lr - degrade(sr, 4) for sr, lr in cases]
    _direction(got, added, lacks, cases)
    if all(near(a, a[..., ::4, ::4].repeat_interleave(4, -1).repeat_interleave(4, -2), 1e-6) for a in added):
        raise Wrong("the correction is the same inside every square of 4 x 4: enlarge it by bicubic, not by nearest neighbour"
                    if max(float(a.std()) for a in added) > 1e-3 else "one number a channel is added; enlarge the whole difference")
    for g, (sr, lr) in zip(got, cases):
        left, before = ((lr - degrade(x, 4)).abs().mean().item() for x in (g, sr))
        if left > max(0.5 * before, 1 / 255):
            raise Wrong(f"shrunk again, the result is still {255 * left:.1f} grey levels from LR on average")
    return ["shrunk again, the result has the colours of LR", "the correction is smooth"]


def _direction(got: list, added: list, lacks: list, cases: list) -> None:
    if all(near(a, torch.zeros_like(a), 1e-6) for a in added):
        raise Wrong("the result is SR as it came: the difference has not been added")
    if all(near(g - sr, -F.interpolate(d, scale_factor=4, mode="bicubic"), 0.02) for g, (sr, _), d in zip(got, cases, lacks)):
        raise Wrong("the sign is turned: what LR has more than the shrunk SR has to be added")
    if all(a.min() >= -1e-6 for a in added):
        raise Wrong("nothing is ever made darker: resize_bicubic returns an image and cuts negative differences off; F.interpolate keeps them")


@test("4.3")
def two_mixtures(mixtures):
    for way in ("images", "weights"):
        if not isinstance(mixtures, dict) or way not in mixtures:
            raise Wrong("mixtures: want the keys 'images' and 'weights'")
    (image_db, image_niqe), (weight_db, weight_niqe) = (numbers(mixtures[way], "psnr niqe", way) for way in ("images", "weights"))
    if image_db < 12 < image_niqe:
        raise Wrong("each pair is (PSNR, NIQE), in this order")
    if near(image_db, weight_db, 0.1):
        raise Wrong("both mixtures have the same PSNR: torch.lerp mixes images, interpolate mixes weights")
    if weight_db > image_db:
        raise Wrong("the mixed weights have the higher PSNR: are the two in the wrong order?")
    if near(image_db, _bicubic(lambda a, b: psnr(eight_bit(a), eight_bit(b))) + 0.6, 0.35) and image_db < 29:
        raise Wrong("images: this looks like PSNR of RGB; use luma_psnr")
    # Measured with the shipped weights on the three photos: images 30.25 dB and 4.74, weights 27.04 dB and 5.84; SRResNet 30.73 and 6.83.
    within(image_db, 29.0, 31.2, "images, PSNR", " dB")
    within(image_niqe, 3.5, 6.5, "images, NIQE")
    within(image_db - weight_db, 0.5, 12, "images less weights, PSNR", " dB")
    within(weight_niqe, 3, 12, "weights, NIQE")
    return [f"the mixed weights stand {image_db - weight_db:.1f} dB below the mixed images"]


@test("4.4")
def noise_wins(rows, found):
    if not isinstance(rows, (list, tuple)) or len(rows) < 4:
        raise Wrong("rows: want four strengths or more, each with its PSNR and its gap")
    rows = sorted(tuple(numbers(row, "strength psnr gap", "a row")) for row in rows)
    if rows[-1][0] > 0.5:
        raise Wrong("strength: want it in units of [0, 1], as torch.randn is multiplied; 0.02 is five grey levels")
    bare = _bicubic(lambda a, b: protocol_psnr(a, b, 4))
    if rows[0][1] > bare + 2:
        raise Wrong("PSNR is far above bicubic's: the noise was added to HR, and not to the enlarged image")
    for strength, decibels, gap in rows:
        expected = _expected(strength)
        if near(decibels, expected - 1.9, 0.4):
            raise Wrong("this is PSNR of RGB; bicubic's is the luma's, so compare with luma_psnr")
        # The squares add up; rounding and clamping leave 0.1 dB at strengths up to 0.05.
        within(decibels, expected - 0.4, expected + 0.4, f"PSNR at strength {strength:g}", " dB")
        within(gap, 0, 30, f"gap at strength {strength:g}", " dB")
    if truth(found, "found"):
        raise Wrong("found: in your own rows no PSNR is above bicubic's" if max(r[1] for r in rows) <= bare else
                    f"found: bicubic has {bare:.2f} dB, and noise of strength 0 is no noise")
    return [f"PSNR falls from {bare:.2f} to {rows[-1][1]:.2f} dB as the noise grows"]


def _expected(strength: float) -> float:
    """Mean PSNR of bicubic with noise, from the sum of the squares; luma adds the channels with the weights of BT.601."""
    variance = strength**2 * (65.481**2 + 128.553**2 + 24.966**2) / 255**2
    return _bicubic(lambda sr, hr: -10 * math.log10(10 ** (-protocol_psnr(sr, hr, 4) / 10) + variance))
