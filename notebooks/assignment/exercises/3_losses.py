"""Exercises 7 to 9: content loss and adversarial losses (Ledig et al. 2017, eq. 2, 5 and 6)."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from srgan_lib.grading.comparison import Either, flat, proportional, same
from srgan_lib.grading.trial import Evidence, Trial, exercise

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
OVERWRITTEN = "the function writes into its input, which the caller still needs: work on a copy, without methods that end in _ and without +="
NO_GRADIENT = "no gradient comes through: no_grad, detach, item(), numpy or torch.tensor(...) cuts the graph, and the network would never learn"
BROKEN = "the value is finite, but its gradient is NaN or infinite: torch.where also differentiates the side that it throws away"


def content(extractor, sr, hr, scale, normalize=lambda x: (x - MEAN) / STD, outer=1.0, distance=F.mse_loss):
    """The reference content loss; the options are the usual mistakes."""
    return outer * distance(extractor(normalize(sr)) * scale, extractor(normalize(hr)) * scale)


LENGTHS = (lambda a, b: (a - b).norm(), lambda a, b: (a - b).flatten(1).norm(dim=1).mean(), lambda a, b: (a - b).norm(dim=1).mean())


def content_mistakes(extractor, sr, hr, scale) -> dict:
    make = partial(content, extractor, sr, hr, scale)
    right, n = make(), len(sr)
    return {
        "the input is not normalised: VGG was trained on (picture - MEAN) / STD": lambda: make(lambda x: x),
        "only one of the two pictures is normalised": lambda: Either([
            F.mse_loss(extractor((sr - MEAN) / STD) * scale, extractor(hr) * scale),
            F.mse_loss(extractor(sr) * scale, extractor((hr - MEAN) / STD) * scale)]),
        "the input is mapped to [-1, 1]; VGG wants (picture - MEAN) / STD": lambda: make(lambda x: 2 * x - 1),
        "the input is multiplied by 255 first; the picture is in [0, 1], and so are MEAN and STD": lambda: make(lambda x: (x * 255 - MEAN) / STD),
        "the mean is subtracted but not divided by STD": lambda: make(lambda x: x - MEAN),
        "the difference is multiplied by STD; it is divided": lambda: make(lambda x: (x - MEAN) * STD),
        "MEAN and STD have changed places": lambda: make(lambda x: (x - STD) / MEAN),
        "MEAN and STD are added and divided the wrong way round: first subtract, then divide": lambda: make(lambda x: x / STD - MEAN),
        "MEAN and STD are in the order blue, green, red": lambda: make(lambda x: (x - MEAN.flip(0)) / STD.flip(0)),
        "the picture is clamped to [0, 1] after it was normalised": lambda: make(lambda x: ((x - MEAN) / STD).clamp(0, 1)),
        "the features are not scaled: multiply both by `scale`": lambda: content(extractor, sr, hr, 1.0),
        "the loss is scaled, not the features: squared, the factor becomes scale**2": lambda: content(extractor, sr, hr, 1.0, outer=scale),
        "only one of the two features is scaled": lambda: Either([F.mse_loss(*(extractor((x - MEAN) / STD) * k for x, k in zip((sr, hr), ks)))
                                                                  for ks in ((scale, 1), (1, scale))]),
        "the scale is written out as 1 / 12.75; it is an argument": lambda: content(extractor, sr, hr, 1 / 12.75),
        "the scale is applied twice": lambda: Either([right * scale, right * scale**2]),
        "the scale divides; it is a factor": lambda: content(extractor, sr, hr, 1 / scale),
        "the input of the network is scaled; `scale` belongs to its output": lambda: content(extractor, sr, hr, 1.0, lambda x: scale * (x - MEAN) / STD),
        "this is the mean absolute difference; the paper squares it": lambda: make(distance=F.l1_loss),
        "this is the root of the mean squared difference; the paper takes no root": lambda: right.sqrt(),
        "this is the length (norm) of the difference; the paper takes the mean of its squares": lambda: Either([make(distance=norm) for norm in LENGTHS]),
        "this is the smooth L1 (Huber) loss; the paper squares every difference, large ones too": lambda: make(distance=F.smooth_l1_loss),
        "the squares are summed, not averaged": lambda: Either([make(distance=nn.MSELoss(reduction="sum")), make(distance=nn.MSELoss(reduction="sum")) / n]),
        "the squares are summed over a picture's features and averaged over the batch only": lambda: make(distance=nn.MSELoss(reduction="sum")) / n if n > 1 else None,
        "half the squared difference is taken; there is no factor 1/2": lambda: right / 2,
        "the pictures are compared, not their features": lambda: Either([F.mse_loss(sr, hr), F.mse_loss(sr, hr) * scale**2])}


@exercise(6, rungs=(0.5, 2, 1.5, 1.5, 0.5), hints=(
    "Normalise both pictures with MEAN and STD, extract, scale, then the mean of the squared differences.",
    "MEAN and STD have to be shaped (3, 1, 1) to line up with the channels.",
    "Features of hr need no gradient, features of sr do: no_grad may stand around the first only."),
    errors={"must match the size": "MEAN and STD have to be shaped (1, 3, 1, 1) to line up with the channels",
            "leaf Variable that requires grad|a leaf Variable": OVERWRITTEN})
def content_loss(trial: Trial) -> None:
    draw, channels = trial.draw, trial.draw.integer(4, 6)
    extractor = draw.weigh(nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.Softplus(), nn.Conv2d(channels, 3, 3)))
    cases = []
    for n, sides, scale in ((1, (4, 4), 1.0), (1, (5, 4), 1.0), (2, (4, 5), 1.0), (1, (6, 6), 0.13), (2, (7, 5), 0.13), (3, (6, 4), 0.31)):
        sr, hr = draw.uniform(n, 3, *sides).requires_grad_(), draw.uniform(n, 3, *sides)
        cases.append(((extractor, sr, hr, scale), {"batch": "one picture" if n == 1 else "several pictures", "scale": f"scale {scale:g}",
                                                   "sides": "square pictures" if sides[0] == sides[1] else "pictures whose height and width differ"}))
    found = trial.study(cases, content, content_mistakes, backward=True)
    got, want = found.answered()
    trial.climb("one number comes back", len(got) == len(cases) and all(_single(g) for g in got), found, support=True)
    groups = [[i for i in range(len(cases)) if cases[i][0][3] == scale] for scale in (1.0, 0.13)]
    trial.climb("the squared distance of the normalised pictures' features", all(proportional(*found.answered(g)) is not None for g in groups), found)
    trial.climb("the value", found.right, found, support=True)
    gradients(trial, found, cases, 0, content, "the gradient with respect to sr")
    scalar_contract(trial, found)


def _single(value) -> bool:
    value = flat(value)
    return value is not None and value.numel() == 1


def gradients(trial: Trial, found: Evidence, cases: list, which: int, right, label: str) -> None:
    """The rung of the gradient: right for the value that came, so that a factor counts once."""
    ok, finite, there = True, True, True
    for (arguments, _), turn, value, want in zip(cases, found.turns, found.values, found.wants):
        if turn is None:
            ok = False
            continue
        tensors = [a for a in arguments if isinstance(a, torch.Tensor)]
        gradient, = torch.autograd.grad(right(*arguments), tensors[which])
        got, number = turn["gradients"][which], flat(value)
        there &= got is not None and bool(got.isnan().any() or got.any())
        finite &= got is None or bool(got.isfinite().all())
        factor = float(number.detach()) / float(want.detach()) if number is not None and number.numel() == 1 and float(want.detach()) else 1.0
        ok &= got is not None and (same(got, gradient) or same(got, factor * gradient))
    mistake = NO_GRADIENT if not there else BROKEN if not finite else ""
    trial.climb(label, ok and there and finite, found if not found.right and not mistake else "wrong" if there else "none", mistake, support=True)


def scalar_contract(trial: Trial, found: Evidence) -> None:
    turns = [turn for turn in found.turns if turn]
    other = next((turn["kind"] for turn in turns if turn["kind"] != "tensor"), "")
    trial.contract("the contract: inputs left alone, a torch tensor returned", {
        OVERWRITTEN: any(any(turn["changed"]) for turn in turns),
        f"what comes back is of type {other}; want a tensor, whose backward() is called next": bool(other)})


def bce(logits: torch.Tensor, target: float, reduction: str = "mean") -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target), reduction=reduction)


SINGLE = "the values of the batch are not averaged (reduction='none'); want one number"


OUTSIDE = {"between 0 and 1": "logits are taken as probabilities; use the version of the loss that takes logits, or apply the sigmoid first",
           "Target size .* must be the same as input size": "the labels need the shape of the logits, (N, 1): torch.ones_like(logits), torch.zeros_like(logits)"}
OVERFLOW = "log(sigmoid(x)) is infinite in float32 once x is below -104; use softplus or the loss with logits"
GUARDED = "a small constant inside the logarithm, or a clamp (binary_cross_entropy has one at 100), cuts the loss and its gradient off at large logits"


def critic(real, fake) -> torch.Tensor:
    return bce(real, 1) + bce(fake, 0)


def critic_mistakes(real, fake) -> dict:
    right, clamp = critic(real, fake), torch.cat([real, fake]).sigmoid()
    mixed = torch.cat([clamp[:len(real)], 1 - clamp[len(real):]])
    return {
        SINGLE: lambda: bce(real, 1, "none") + bce(fake, 0, "none") if max(len(real), len(fake)) > 1 else right,
        "the labels are swapped: real pictures want 1, fakes 0": lambda: bce(real, 0) + bce(fake, 1),
        "both terms have label 1; fakes are labelled 0": lambda: bce(real, 1) + bce(fake, 1),
        "the sigmoid is applied twice: the loss with logits has it inside": lambda: bce(real.sigmoid(), 1) + bce(fake.sigmoid(), 0),
        "logits are taken as probabilities": lambda: Either([-torch.log(real.clamp(1e-7, 1)).mean() - torch.log((1 - fake).clamp(1e-7, 1)).mean()]),
        "this is the loss of a Wasserstein critic, the difference of the means; here it is the cross-entropy": lambda: Either(
            [(1 - real).mean() + fake.mean(), -real.mean() + fake.mean()]),
        "this is the hinge loss; here it is the cross-entropy": lambda: (1 - real).relu().mean() + (1 + fake).relu().mean(),
        "this is the least-squares loss; here it is the cross-entropy": lambda: Either([k * ((real - 1).square().mean() + fake.square().mean()) for k in (1, 0.5)]
            + [k * ((real.sigmoid() - 1).square().mean() + fake.sigmoid().square().mean()) for k in (1, 0.5)]),
        "this is the relativistic loss; here each logit stands alone": lambda: bce(real - fake.mean(), 1) + bce(fake - real.mean(), 0),
        "the terms are linear in the sigmoid (1 - D(x) + D(G(z))); the paper takes logarithms": lambda:
            (1 - real.sigmoid()).mean() + fake.sigmoid().mean(),
        "the logarithm has base 10 or 2; the natural one is meant": lambda: Either([right / torch.tensor(b).log() for b in (10.0, 2.0)]),
        "only one of the two terms is there": lambda: Either([bce(real, 1), bce(fake, 0)]),
        "the difference of the two terms is taken; they are added": lambda: Either([bce(real, 1) - bce(fake, 0), bce(fake, 0) - bce(real, 1)]),
        "the sum is halved; here the two terms are added": lambda: right / 2,
        "all logits are averaged together; each term is a mean of its own": lambda: Either([-mixed.log().mean(), -2 * mixed.log().mean()])
            if len(real) != len(fake) else Either([-2 * mixed.log().mean(), -mixed.log().mean()]),
        "the terms are summed over the batch; want their means": lambda: bce(real, 1) * len(real) + bce(fake, 0) * len(fake),
        "the sign is turned: the discriminator maximises eq. 2, so the loss is its negative": lambda: -right,
        "real pictures are labelled 0.9, or fakes 0.1; smoothing is not asked for here": lambda: Either(
            [bce(real, r) + bce(fake, f) for r, f in ((0.9, 0), (0.9, 0.1), (1, 0.1), (0.95, 0), (0.8, 0), (0.95, 0.05))])}


def logits(draw, number: int, shift: float) -> torch.Tensor:
    """Moderate logits of both signs, the first below 0 and the second above: whatever wants probabilities fails on each case."""
    values = 2.8 * draw.uniform(number, 1) - 1.4 + 0.3 * shift
    signs = torch.where(values >= 0, 1.0, -1.0)
    signs[:1], signs[1:2] = -1, 1
    return (signs * (values.abs() + 0.3)).requires_grad_()


@exercise(5, rungs=(1, 2, 1, 0.5, 0.5), errors=OUTSIDE, hints=(
    "Two terms, one for the real pictures (label 1), one for the fakes (label 0), each a mean; add them.",
    "F.binary_cross_entropy_with_logits applies the sigmoid itself, and stays finite.",
    "-log sigmoid(real) is softplus(-real); -log(1 - sigmoid(fake)) is softplus(fake)."))
def discriminator_loss(trial: Trial) -> None:
    draw = trial.draw
    cases = [((logits(draw, n, 0.7), logits(draw, m, -0.3)), {"batches": "equal batches" if n == m else "batches of different size"})
             for n, m in ((1, 1), (2, 2), (3, 5), (4, 4), (6, 2), (1, 7))]
    adversarial(trial, cases, critic, critic_mistakes, (-1, 1))


def maker(fake) -> torch.Tensor:
    return bce(fake, 1)


def maker_mistakes(fake) -> dict:
    right = bce(fake, 1)
    return {
        SINGLE: lambda: bce(fake, 1, "none") if len(fake) > 1 else right,
        "this is the saturating form log(1 - D); the paper minimises -log D, whose gradient is strong while D wins": lambda: -bce(fake, 0),
        "the labels are swapped: the generator wants its fakes called real, label 1": lambda: bce(fake, 0),
        "the sigmoid is applied twice: the loss with logits has it inside": lambda: bce(fake.sigmoid(), 1),
        "logits are taken as probabilities": lambda: -torch.log(fake.clamp(1e-7, 1)).mean(),
        "this is the loss of a Wasserstein generator, minus the mean logit; here it is -log sigmoid": lambda: Either([-fake.mean(), (1 - fake).mean()]),
        "this is the least-squares loss; here it is -log sigmoid": lambda: Either([k * f.square().mean() for k in (1, 0.5) for f in (fake - 1, fake.sigmoid() - 1)]),
        "the term is linear in the sigmoid (1 - D); the paper takes the logarithm": lambda: Either([(1 - fake.sigmoid()).mean(), -fake.sigmoid().mean()]),
        "the mean is taken before the logarithm; want the mean of the logarithms": lambda: Either([-fake.sigmoid().mean().log(), bce(fake.mean(), 1)]) if len(fake) > 1 else right,
        "the logarithm has base 10 or 2; the natural one is meant": lambda: Either([right / torch.tensor(b).log() for b in (10.0, 2.0)]),
        "the sign is turned: the minus in front of the logarithm is missing": lambda: -right,
        "the label is 0.9; smoothing is not asked for here": lambda: Either([bce(fake, t) for t in (0.9, 0.95, 0.8)]),
        "the terms are summed; want their mean, so that the batch size does not matter": lambda: right * len(fake),
        "the factor 1e-3 is already in; it belongs to the training step": lambda: right * 1e-3}


@exercise(4, rungs=(1, 1.5, 0.5, 0.5, 0.5), errors=OUTSIDE, hints=(
    "The generator wants its pictures to be called real: label 1.",
    "-log D(G(x)), the mean over the batch; D is the sigmoid of the logit.",
    "-log sigmoid(z) is softplus(-z), or the loss with logits and labels 1."))
def generator_loss(trial: Trial) -> None:
    cases = [((logits(trial.draw, n, -0.5),), {"batch": "one logit" if n == 1 else "several logits"}) for n in (1, 1, 2, 5, 8)]
    adversarial(trial, cases, maker, maker_mistakes, (-1,))


def adversarial(trial: Trial, cases: list, right, mistakes, signs: tuple) -> None:
    """The rungs of both losses: direction, value, extreme logits, gradient, contract."""
    found = trial.study(cases, right, mistakes, backward=True)
    turns = [turn for turn in found.turns if turn]
    ways = [g is not None and bool((g * sign > 0).all()) for turn in turns for g, sign in zip(turn["gradients"], signs)]
    there = any(g is not None for turn in turns for g in turn["gradients"])
    trial.climb("it pulls the logits the right way", bool(ways) and all(ways), found if there or found.mistake else "no gradient", "" if there or found.mistake else NO_GRADIENT)
    trial.climb("random logits", found.right, found)
    extremes(trial, right, signs)
    if there:
        gradients(trial, found, cases, 0, right, "its gradient")
    else:
        trial.climb("its gradient", False, "none", NO_GRADIENT, support=True)
    scalar_contract(trial, found)


def extremes(trial: Trial, right, signs: tuple) -> None:
    """Logits beyond what exp() and log() bear in float32, on both sides; value and gradient have to stay finite and right."""
    cases = []
    for side in (1, -1):
        for large in (60.0, 150.0, 800.0):
            arguments = tuple((side * sign * (large + 20 * trial.draw.uniform(2, 1))).requires_grad_() for sign in signs)
            cases.append((arguments, {}))
    found = trial.study(cases, right, lambda *_: {}, backward=True)
    numbers = [flat(value) for value in found.values]
    finite = all(number is not None and bool(number.isfinite().all()) for number in numbers)
    steady = all(g is None or bool(g.isfinite().all()) for turn in found.turns if turn for g in turn["gradients"])
    low = finite and any(n.numel() == 1 and float(w.detach()) > 1 and float(n) < 0.9 * float(w.detach()) for n, w in zip(numbers, found.wants))
    mistake = "" if found.right and steady else OVERFLOW if not finite else BROKEN if not steady else GUARDED if low else ""
    trial.climb("logits of several hundred", found.right and steady, found if not found.right else "the gradient", mistake, support=True)
