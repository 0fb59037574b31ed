"""Exercises 6 to 8: content loss and adversarial losses (Ledig et al. 2017, eq. 2, 5 and 6)."""

import torch
import torch.nn.functional as F
from torch import nn

from srgan_lib.grading.trial import Either, Trial, exercise

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def content(extractor, sr, hr, scale, normalize=lambda x: (x - MEAN) / STD, outer=None, distance=F.mse_loss):
    """The reference content loss; the options are the usual mistakes."""
    loss = distance(extractor(normalize(sr)) * scale, extractor(normalize(hr)) * scale)
    return loss if outer is None else loss * outer


@exercise(6, rungs=(3, 3), hints=(
    "Normalise both pictures with MEAN and STD, extract, scale, then the mean of the squared differences.",
    "MEAN and STD have to be shaped (3, 1, 1) to line up with the channels.",
    "Features of hr need no gradient, features of sr do: no_grad may stand around the first only."),
    errors={"must match the size": "MEAN and STD have to be shaped (1, 3, 1, 1) to line up with the channels"})
def content_loss(trial: Trial) -> None:
    draw, channels = trial.draw, trial.draw.integer(4, 6)
    extractor = draw.weigh(nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.Softplus(), nn.Conv2d(channels, 3, 3)))
    sr, hr = draw.uniform(2, 3, 7, 8).requires_grad_(), draw.uniform(2, 3, 7, 8)
    scale = round(0.1 + 0.01 * draw.integer(0, 9), 2)
    loss = content(extractor, sr, hr, scale)
    gradient, = torch.autograd.grad(loss, sr)
    wrong = {
        "the input is not normalised: VGG was trained on (picture - MEAN) / STD": lambda: content(extractor, sr, hr, scale, lambda x: x),
        "only one of the two pictures is normalised": lambda: Either([
            F.mse_loss(extractor((sr - MEAN) / STD) * scale, extractor(hr) * scale),
            F.mse_loss(extractor(sr) * scale, extractor((hr - MEAN) / STD) * scale)]),
        "the input is mapped to [-1, 1]; VGG wants (picture - MEAN) / STD": lambda: content(extractor, sr, hr, scale, lambda x: 2 * x - 1),
        "the mean is subtracted but not divided by STD": lambda: content(extractor, sr, hr, scale, lambda x: x - MEAN),
        "the features are not scaled: multiply both by `scale`": lambda: content(extractor, sr, hr, 1.0),
        "the loss is scaled, not the features: squared, the factor becomes scale**2": lambda: content(extractor, sr, hr, 1.0, outer=scale),
        "this is the mean absolute difference; the paper squares it": lambda: content(extractor, sr, hr, scale, distance=F.l1_loss),
        "the squares are summed, not averaged": lambda: content(extractor, sr, hr, scale, distance=nn.MSELoss(reduction="sum")),
        "the pictures are compared, not their features": lambda: Either([F.mse_loss(sr, hr), F.mse_loss(sr, hr) * scale**2])}
    turn = trial.call(extractor, sr, hr, scale, backward=True)
    trial.expect("the value", turn["value"], loss, wrong)
    wrong = {"no gradient reaches sr: no_grad, detach or torch.tensor(...) cuts the graph, and the generator would never learn": lambda:
             Either([None, torch.zeros_like(sr)])}
    trial.expect("its gradient with respect to sr", turn["gradients"][0], gradient, wrong)


def bce(logits: torch.Tensor, target: float) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


OUTSIDE = {"between 0 and 1": "logits are taken as probabilities; use the version of the loss that takes logits, or apply the sigmoid first"}


@exercise(5, rungs=(3, 2), errors=OUTSIDE, hints=(
    "Two terms, one for the real pictures (label 1), one for the fakes (label 0), each a mean; add them.",
    "F.binary_cross_entropy_with_logits applies the sigmoid itself, and stays finite.",
    "-log sigmoid(real) is softplus(-real); -log(1 - sigmoid(fake)) is softplus(fake)."))
def discriminator_loss(trial: Trial) -> None:
    draw = trial.draw
    real, fake = draw.normal(draw.integer(3, 6), 1) + 1, draw.normal(draw.integer(7, 9), 1) - 0.5
    clamp = torch.cat([real, fake]).sigmoid()
    wrong = {
        "the labels are swapped: real pictures want 1, fakes 0": lambda: bce(real, 0) + bce(fake, 1),
        "the sigmoid is applied twice: the loss with logits has it inside": lambda: bce(real.sigmoid(), 1) + bce(fake.sigmoid(), 0),
        "logits are taken as probabilities": lambda: Either([-torch.log(real.clamp(1e-7, 1)).mean() - torch.log((1 - fake).clamp(1e-7, 1)).mean(),
                                                             (1 - real).mean() + fake.mean(), -real.mean() + fake.mean()]),
        "the terms are linear in the sigmoid (1 - D(x) + D(G(z))); the paper takes logarithms": lambda:
            (1 - real.sigmoid()).mean() + fake.sigmoid().mean(),
        "only one of the two terms is there": lambda: Either([bce(real, 1), bce(fake, 0)]),
        "the sum is halved; here the two terms are added": lambda: Either([(bce(real, 1) + bce(fake, 0)) / 2]),
        "all logits are averaged together; each term is a mean of its own": lambda: -torch.cat(
            [clamp[:len(real)], 1 - clamp[len(real):]]).log().mean(),
        "the sign is turned: the discriminator maximises eq. 2, so the loss is its negative": lambda: -bce(real, 1) - bce(fake, 0),
        "real pictures are labelled 0.9; smoothing is not asked for here": lambda: bce(real, 0.9) + bce(fake, 0)}
    trial.expect("random logits", trial.call(real, fake)["value"], bce(real, 1) + bce(fake, 0), wrong)
    _extreme(trial, -100 * real.abs(), 100 * fake.abs(), lambda r, f: bce(r, 1) + bce(f, 0))


@exercise(4, rungs=(2, 1, 1), errors=OUTSIDE, hints=(
    "The generator wants its pictures to be called real: label 1.",
    "-log D(G(x)), the mean over the batch; D is the sigmoid of the logit.",
    "-log sigmoid(z) is softplus(-z), or the loss with logits and labels 1."))
def generator_loss(trial: Trial) -> None:
    fake = (trial.draw.normal(trial.draw.integer(4, 8), 1) - 0.5).requires_grad_()
    right = bce(fake, 1)
    wrong = {
        "this is the saturating form log(1 - D); the paper minimises -log D, whose gradient is strong while D wins": lambda: Either([-bce(fake, 0)]),
        "the labels are swapped: the generator wants its fakes called real, label 1": lambda: bce(fake, 0),
        "the sigmoid is applied twice: the loss with logits has it inside": lambda: bce(fake.sigmoid(), 1),
        "logits are taken as probabilities": lambda: Either([-fake.mean(), (1 - fake).mean(), -torch.log(fake.clamp(1e-7, 1)).mean()]),
        "the term is linear in the sigmoid (1 - D); the paper takes the logarithm": lambda: Either([(1 - fake.sigmoid()).mean()]),
        "the sign is turned": lambda: -right,
        "the terms are summed; want their mean, so that the batch size does not matter": lambda: right * len(fake),
        "the factor 1e-3 is already in; it belongs to the training step": lambda: right * 1e-3}
    turn = trial.call(fake, backward=True)
    trial.expect("random logits", turn["value"], right, wrong)
    trial.expect("its gradient", turn["gradients"][0], torch.autograd.grad(right, fake)[0], {
        "no gradient reaches the logits: detach, no_grad, item() or torch.tensor(...) cuts the graph": lambda: Either([None])})
    _extreme(trial, -100 * fake.detach().abs(), None, lambda z, _: bce(z, 1))


def _extreme(trial: Trial, first, second, right) -> None:
    """Logits beyond what exp() and log() bear in float32."""
    arguments = [x for x in (first, second) if x is not None]
    value = trial.call(*arguments)["value"]
    overflow = "log(sigmoid(x)) is infinite in float32 once x is below -104; use softplus or the loss with logits"
    guarded = "a small constant inside the logarithm, or a clamp, cuts the loss (and its gradient) off at large logits"
    number = value if isinstance(value, torch.Tensor) else torch.tensor(float(value))
    trial.expect("logits of several hundred", value, right(first, second), {
        overflow if not bool(number.isfinite().all()) else guarded: lambda: value})
