"""Checks of notebook 06. Losses are compared with formulas; ranges come from runs with the shipped weights."""

import torch
import torch.nn.functional as F

from .exercise import Wrong, called, named, near, number, numbers, test, within


@test("6.1")
def adds_nothing(left):
    count = round(number(left, "left"))
    right = 16_697_987 - 23 * 719_424  # conv_first, conv_body, two conv_up, conv_hr, conv_last
    mistakes = {16_697_987: "the blocks are still there, but what they compute is multiplied by 0",
                23 * 719_424: "these are the parameters that no longer matter",
                right - 36_928: "one convolution is missing: conv_body stands behind the blocks and not inside them, and there are two conv_up",
                right - 1_792: "conv_first is missing", 0: "the convolutions before and behind the blocks still work",
                right + 23 * 64: "the biases of the blocks are multiplied by 0 as well"}
    if count != right:
        raise Wrong(mistakes.get(count, f"left: {count:,} is not what remains without the 23 blocks"))
    return ["151,235 parameters, less than one in a hundred"]


GRADES = ((0.0, 2.0), (1.0, -1.0), (-3.0, 0.5), (2.0, 2.0), (5.0, 7.0), (-4.0, -2.0))


@test("6.2")
def one_against_one(pull_on_sr):
    got = [called(pull_on_sr, sr, hr, name="pull_on_sr").reshape(()) for sr, hr in GRADES]
    s, h = (torch.tensor([pair[i] for pair in GRADES], dtype=torch.float64) for i in (0, 1))
    mistakes = {
        "the sign is turned: the loss falls when the grade of SR rises": torch.sigmoid(h - s),
        "this is half of it: the HR term reaches SR as well": -torch.sigmoid(h - s) / 2,
        "this is the slope of the ordinary loss, which does not look at HR": -torch.sigmoid(-s),
        "this is the discriminator's gradient; the generator's loss has the roles exchanged": torch.sigmoid(s - h),
        "this is the gradient on the HR grade": torch.sigmoid(h - s),
        "this is the loss and not its gradient": F.softplus(h - s),
    }
    if not all(near(g, w) for g, w in zip(got, -torch.sigmoid(h - s))):
        raise Wrong(named(got, mistakes) or f"at SR 0 and HR 2 it gives {got[0]:.4f}; autograd of the library's loss gives {-torch.sigmoid(h - s)[0]:.4f}")
    return ["it is -sigmoid(h - s) at six pairs", "grades that are both raised by 5 pull alike"]


@test("6.3")
def pairs(paired):
    generator = torch.Generator().manual_seed(2)
    cases = [(torch.tensor([3.0, 1.0, 2.0]), torch.tensor([-1.0, 1.0]))]
    cases += [(torch.randn(n, 1, generator=generator), torch.randn(m, 1, generator=generator)) for n, m in ((4, 4), (5, 2), (1, 3))]
    got = [called(paired, h.clone(), s.clone(), name="paired") for h, s in cases]
    if any(g.numel() != 1 for g in got):
        raise Wrong(f"want one number, got the shape {tuple(got[0].shape)}; take the mean over the pairs")
    apart = [(h.reshape(-1, 1) - s.reshape(1, -1)).double() for h, s in cases]
    mistakes = {
        "this is the loss with averages, as the library has it": [_averages(h.double(), s.double()) for h, s in cases],
        "this is the generator's side: D wants HR ahead of SR": [F.softplus(d).mean() for d in apart],
        "this is the sum over the pairs; take the mean": [F.softplus(-d).sum() for d in apart],
        "this is the loss of the mean difference; take the loss of each pair first": [F.softplus(-d.mean()) for d in apart],
        "this is sigmoid of the differences; the loss is -log of it": [torch.sigmoid(d).mean() for d in apart],
    }
    right = [F.softplus(-d).mean() for d in apart]
    got = [g.reshape(()) for g in got]
    if not all(near(g, w) for g, w in zip(got, right)):
        raise Wrong(named(got, mistakes) or f"on the five numbers it gives {got[0]:.4f}, want {right[0]:.4f}")
    return ["0.2212 on the five numbers, and right for other numbers of patches"]


def _averages(h: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    return (F.softplus(-(h - s.mean())).mean() + F.softplus(s - h.mean()).mean()) / 2


@test("6.4")
def beyond(decibels):
    below, psnr_end, gan_end, above = numbers(decibels, (-0.5, 0, 1, 1.5), "decibels")
    # measured with the shipped weights on the lesson's crops: 19.1, 33.5, 31.9 and 28.3 dB
    within(psnr_end, 31, 36, "PSNR at 0", " dB")
    within(gan_end, 28, 35, "PSNR at 1", " dB")
    if near(above, gan_end, 0.02) or near(below, psnr_end, 0.02):
        raise Wrong("beyond an end PSNR is that of the end: alpha was limited to 0..1, as interpolate does; between is not")
    if near(gan_end - above, psnr_end - gan_end, 0.05):
        raise Wrong("PSNR goes on along a straight line: was it extrapolated instead of measured?")
    if above > gan_end or below > psnr_end:
        raise Wrong("PSNR rises beyond an end: are the two networks in the order (srresnet, srgan), and the four numbers in theirs?")
    return [f"PSNR falls to {below:.1f} dB at -0.5 and to {above:.1f} dB at 1.5"]


@test("6.5")
def two_seeds(decibels):
    one, middle, other = numbers(decibels, (0, 0.5, 1), "decibels")
    if abs(one - other) > 3:
        raise Wrong("the two ends are more than 3 dB apart: train both for the same number of steps")
    if middle >= min(one, other):
        raise Wrong("the middle is no worse than the ends: were the images mixed, or does the second network go on from the first?")
    # Measured: srresnet-x4 and itself with its channels in another order, 33.5 dB each, have 16.2 dB in the middle.
    if min(one, other) - middle < 1:
        raise Wrong(f"the middle is only {min(one, other) - middle:.2f} dB below: networks that began at different random weights are asked for "
                    "(start='random'; a bicubic start gives both the same first channels)")
    return [f"the middle falls by {min(one, other) - middle:.1f} dB"]
