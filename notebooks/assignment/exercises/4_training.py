"""Exercises 10 and 11: one training step of each network (Goodfellow et al. 2014, alg. 1; Ledig et al. 2017, eq. 2 and 3)."""

from functools import partial
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

from srgan_lib.grading.sandbox import PlainSGD, hinge, hinge_generator, light
from srgan_lib.grading.trial import Either, Trial, copied, exercise


def make_gan(trial: Trial, scale: int, side: int) -> SimpleNamespace:
    """Two small networks, no batch norm, with an optimizer each."""
    draw = trial.draw
    maker = draw.weigh(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Softplus(), nn.Upsample(scale_factor=scale), nn.Conv2d(4, 3, 1)), 0.3)
    critic = draw.weigh(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * (side * scale - 2) ** 2, 1)), 0.05)
    rates = [0.01 * draw.integer(2, 5) for _ in range(2)]
    return SimpleNamespace(generator=maker, discriminator=critic, generator_optimizer=PlainSGD(maker.parameters(), rates[0]),
                           discriminator_optimizer=PlainSGD(critic.parameters(), rates[1]))


def batches(trial: Trial, scale: int, side: int) -> list:
    return [(trial.draw.uniform(2, 3, side, side), trial.draw.uniform(2, 3, side * scale, side * scale)) for _ in range(2)]


def weights(module: nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in module.state_dict().values()]


def play(gan: SimpleNamespace, pairs: list, loss, optimizer: str, watched: str, clear=True, step=True) -> list:
    """Run a reference step on each pair with a copy of the networks -> [[loss, weights of `watched`], ...]."""
    gan, = copied(gan)
    record = []
    for lr, hr in pairs:
        value = loss(gan, lr, hr)
        if clear:
            getattr(gan, optimizer).zero_grad()
        value.backward()
        if step:
            getattr(gan, optimizer).step()
        record.append([value.detach(), weights(getattr(gan, watched))])
    return record


STALE = "gradients of the step before are still there: zero_grad comes before backward"
UNMOVED = ("the weights have not moved: backward() or optimizer.step() is missing, or it is the other network's optimizer, or no_grad "
           "keeps the gradient from them")
ERRORS = {"Inplace|inplace|modified by an inplace": "step only after backward, and run the networks again for the next loss",
          "does not require grad": "nothing in this loss leads to the network's weights: something was detached too early",
          "backward through the graph a second": "the fake picture comes from one graph: detach it in the discriminator's step"}


def entropy(real_logits, fake_logits):
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def critic_loss(gan, lr, hr, loss=hinge, detach=True):
    fake = gan.generator(lr)
    return loss(gan.discriminator(hr), gan.discriminator(fake.detach() if detach else fake))


@exercise(8, rungs=(4, 2, 2), errors=ERRORS, hints=(
    "Fake pictures from the generator, logits for both, the loss, zero_grad, backward, step: five or six lines.",
    "The generator only supplies pictures here: gan.generator(lr).detach(), or the call under torch.no_grad().",
    "gan.discriminator_optimizer.zero_grad(); value.backward(); gan.discriminator_optimizer.step()"))
def discriminator_step(trial: Trial) -> None:
    scale, side = 2, trial.draw.integer(4, 5)
    gan, pairs = make_gan(trial, scale, side), batches(trial, scale, side)
    before = weights(gan.generator)

    def reference(loss=critic_loss, **options):
        return play(gan, pairs, loss, "discriminator_optimizer", "discriminator", **options)

    right, turns = reference(), trial.turns([(gan, lr, hr, hinge) for lr, hr in pairs])
    got = [[turn["value"], turn["modules"][1]["state"]] for turn in turns]
    trial.expect("the loss and the discriminator's weights after one step", got[0], right[0], {
        "real and fake are swapped: loss(real_logits, fake_logits)": lambda: reference(
            lambda g, lr, hr: hinge(g.discriminator(g.generator(lr).detach()), g.discriminator(hr)))[0],
        UNMOVED: lambda: reference(step=False)[0],
        "the argument `loss` is not used; it need not be the loss of exercise 8": lambda: reference(partial(critic_loss, loss=entropy))[0],
        "the discriminator sees no fakes": lambda: reference(lambda g, lr, hr: hinge(g.discriminator(hr), g.discriminator(hr)))[0],
        "the enlarged input is shown as the fake; it has to come from the generator": lambda: reference(
            lambda g, lr, hr: hinge(g.discriminator(hr), g.discriminator(F.interpolate(lr, scale_factor=scale))))[0],
        "the loss is not returned": lambda: [None, right[0][1]],
        "the ascent has the wrong sign": lambda: [right[0][0], [2 * a - b for a, b in zip(weights(gan.discriminator), right[0][1])]]})
    modules = [turn["modules"][0] for turn in turns]
    untouched = [all(map(torch.equal, module["state"], before)) for module in modules]
    silent = [all(g is None or not g.any() for g in module["gradients"]) for module in modules]
    trial.expect("the generator is left alone", [untouched, silent], [[True] * 2] * 2, {
        "the generator's weights have moved: only the discriminator's optimizer steps here": lambda: not all(untouched),
        "the fakes are not detached: backward went on into the generator and left gradients there": lambda: not all(silent)})
    trial.expect("a second step with new pictures", got[1], right[1], {STALE: lambda: reference(clear=False)[1]})


def maker_loss(gan, lr, hr, content=light, weight=1e-3, adversarial=hinge_generator, content_weight=1.0, detach=False):
    sr = gan.generator(lr)
    return content_weight * content(sr, hr) + weight * adversarial(gan.discriminator(sr.detach() if detach else sr))


@exercise(8, rungs=(4, 2, 2), errors=ERRORS, hints=(
    "sr from the generator; content(sr, hr) plus weight times adversarial(logits of sr); zero_grad, backward, step.",
    "No detach here: the gradient has to pass through the discriminator into the generator.",
    "Only gan.generator_optimizer steps. That the discriminator gathers gradients does no harm: its own step clears them."))
def generator_step(trial: Trial) -> None:
    scale, side, weight = 2, trial.draw.integer(4, 5), 0.1 * trial.draw.integer(2, 6)
    gan, pairs = make_gan(trial, scale, side), batches(trial, scale, side)
    before = weights(gan.discriminator)

    def reference(step=True, clear=True, loss=None, **options):
        used = loss or (lambda g, lr, hr: maker_loss(g, lr, hr, **{"weight": weight, **options}))
        return play(gan, pairs, used, "generator_optimizer", "generator", clear, step)

    right, turns = reference(), trial.turns([(gan, lr, hr, light, hinge_generator, weight) for lr, hr in pairs])
    got = [[turn["value"], turn["modules"][0]["state"]] for turn in turns]
    trial.expect("the loss and the generator's weights after one step", got[0], right[0], {
        "sr is detached before the discriminator: the adversarial term is computed, but teaches the generator nothing": lambda: reference(detach=True)[0],
        "the adversarial term is not weighted": lambda: reference(weight=1.0)[0],
        "the weight belongs to the adversarial term, not to the content term": lambda: Either([
            reference(weight=1.0, content_weight=weight)[0], reference(content_weight=weight)[0]]),
        "the weight is written out as 1e-3; use the argument": lambda: reference(weight=1e-3)[0],
        "the adversarial term is missing": lambda: reference(weight=0.0)[0],
        "the content term is missing": lambda: reference(content_weight=0.0)[0],
        "the adversarial term looks at hr; it judges sr": lambda: reference(
            loss=lambda g, lr, hr: light(g.generator(lr), hr) + weight * hinge_generator(g.discriminator(hr)))[0],
        "the adversarial term looks at sr itself; it wants the discriminator's logits of sr": lambda: reference(
            loss=lambda g, lr, hr: light(g.generator(lr), hr) + weight * hinge_generator(g.generator(lr)))[0],
        "a sigmoid stands in front of the adversarial loss; it takes logits": lambda: reference(
            adversarial=lambda logits: hinge_generator(logits.sigmoid()))[0],
        "the argument `content` is not used; it need not be the mean squared error": lambda: reference(content=F.mse_loss)[0],
        "the argument `adversarial` is not used; it need not be the loss of exercise 9": lambda: reference(
            adversarial=lambda logits: F.softplus(-logits).mean())[0],
        "sr and hr are swapped: content(sr, hr)": lambda: reference(content=lambda sr, hr: light(hr, sr))[0],
        UNMOVED: lambda: reference(step=False)[0],
        "the loss is not returned": lambda: [None, right[0][1]]})
    untouched = [all(map(torch.equal, turn["modules"][1]["state"], before)) for turn in turns]
    thawed = [not turn["modules"][1]["frozen"] for turn in turns]
    trial.expect("the discriminator's weights are left alone", [untouched, thawed], [[True] * 2] * 2, {
        "the discriminator's weights have moved: only the generator's optimizer steps here": lambda: not all(untouched),
        "the discriminator comes back frozen, and its own next step would fail: requires_grad_(True) at the end": lambda: not all(thawed)})
    trial.expect("a second step with new pictures", got[1], right[1], {STALE: lambda: reference(clear=False)[1]})
