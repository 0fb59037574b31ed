"""Exercises 10 and 11: one training step of each network (Goodfellow et al. 2014, alg. 1; Ledig et al. 2017, eq. 2 and 3)."""

from functools import partial
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

from srgan_lib.grading.comparison import Either, computes, difference, parallel, same
from srgan_lib.grading.props import PlainSGD, hinge, hinge_generator, light
from srgan_lib.grading.trial import Trial, copied, exercise


def make_gan(trial: Trial, scale: int, side: int) -> SimpleNamespace:
    """Two small networks, no batch norm, with an optimizer each."""
    draw = trial.draw
    maker = draw.weigh(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Softplus(), nn.Upsample(scale_factor=scale), nn.Conv2d(4, 3, 1)), 0.3)
    critic = draw.weigh(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * (side * scale - 2) ** 2, 1)), 0.05)
    rates = [0.01 * draw.integer(2, 5) for _ in range(2)]
    return SimpleNamespace(generator=maker, discriminator=critic, generator_optimizer=PlainSGD(maker.parameters(), rates[0]),
                           discriminator_optimizer=PlainSGD(critic.parameters(), rates[1]))


def batches(trial: Trial, scale: int, side: int, number: int = 2) -> list:
    return [(trial.draw.uniform(number, 3, side, side), trial.draw.uniform(number, 3, side * scale, side * scale)) for _ in range(2)]


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
BETWEEN = "zero_grad() stands between backward() and step(), so that the step finds no gradients: zero_grad, backward, step"
ERRORS = {"Inplace|inplace|modified by an inplace": "step only after backward, and run the networks again for the next loss",
          "does not require grad": "nothing in this loss leads to the network's weights: something was detached too early",
          "backward through the graph a second": "the fake picture comes from one graph: detach it in the discriminator's step"}


class Steps:
    """Two steps of one answer on several pairs of networks, and what a reference makes of the same.

    watched, other: indices of the network that learns and of the one that does not; 0 is the generator.
    """

    def __init__(self, trial: Trial, arguments: tuple, watched: int, reference):
        self.trial, self.watched, self.reference, self.rows = trial, watched, reference, []
        self.names = ("generator", "discriminator")
        self.drawn = trial.once("networks", self._draw)
        for gan, pairs, before, _ in self.drawn:
            turns = trial.must([(gan, lr, hr, *arguments) for lr, hr in pairs])
            self.rows.append((gan, pairs, before, turns))

    def _draw(self) -> list:
        """[(networks, pictures, weights of both before the first step, what the reference makes of them)]."""
        rows = []
        for scale, side, number in ((2, 4, 2), (2, 5, 1), (3, 3, 3)):
            gan, pairs = make_gan(self.trial, scale, side), batches(self.trial, scale, side, number)
            rows.append((gan, pairs, [weights(gan.generator), weights(gan.discriminator)], self.reference(gan, pairs)))
        return rows

    def play(self, row: int, **options) -> list:
        gan, pairs, _, _ = self.rows[row]
        return self.reference(gan, pairs, **options) if options else self.drawn[row][3]

    def explained(self, mistakes: dict) -> str:
        """The one mistake that gives the answer's losses and weights on all networks: {sentence: options or a function of row}."""
        if all(same(self._got(row), self.play(row)[0]) for row in range(len(self.rows))):
            return ""
        left = [name for name, make in mistakes.items() if all(computes(
            partial(self._first, make, row), self._got(row)) for row in range(len(self.rows)))]
        return left[0] if len(left) == 1 else ""

    def _got(self, row: int) -> list:
        """[loss, weights of the network that learns] after the answer's first step."""
        turn = self.rows[row][3][0]
        return [turn["value"], turn["modules"][self.watched]["state"]]

    def _first(self, make, row: int):
        return make(row) if callable(make) else Either([self.play(row, **one)[0] for one in (make if isinstance(make, list) else [make])])

    def recorded(self) -> str:
        """What the optimizers saw: steps too many, or none of use; else what a step of another length means."""
        steps = [[what for what, _ in turns[0]["calls"][self.watched]].count("step") for *_, turns in self.rows]
        if min(steps) > 1:
            return f"gan.{self.names[self.watched]}_optimizer steps {steps[0]} times: there is one step for each batch"
        return self._idle() or self._stretched()

    def _stretched(self) -> str:
        """Whether each step that is wrong has the right direction and another length."""
        moves = [[[now - old for now, old in zip(state, before[self.watched])] for state in (self._got(row)[1], self.play(row)[0][1])]
                 for row, (_, _, before, _) in enumerate(self.rows)]
        wrong = [(got, want) for got, want in moves if not same(got, want)]
        if wrong and all(parallel(got, want) for got, want in wrong):
            return "the step has the right direction, but not its length: the gradient is clipped or scaled before the optimizer's step"
        return ""

    def _idle(self) -> str:
        """Why no weight has moved."""
        gan, _, before, turns = self.rows[0]
        if not same(turns[0]["modules"][self.watched]["state"], before[self.watched]):
            return ""
        # the optimizers' records, in the order of gan's attributes: generator's, discriminator's
        mine, others = turns[0]["calls"][self.watched], turns[0]["calls"][1 - self.watched]
        name = self.names[self.watched]
        steps = [i for i, (what, _) in enumerate(mine) if what == "step"]
        if not steps:
            if any(what == "step" for what, _ in others):
                return f"the other network's optimizer steps: here it is gan.{name}_optimizer"
            return f"optimizer.step() is missing: gan.{name}_optimizer.step() comes last"
        if mine[steps[0]][1] is False:
            if any(what == "zero_grad" and full for what, full in mine[:steps[0]]):
                return BETWEEN
            return "the step finds no gradients: backward() is missing or comes too late, or no_grad or detach keeps the gradient from the weights"
        return ""

    def rung(self, label: str, index: int, part: int, mistake: str, support=False) -> None:
        """A rung for the loss (part 0) or the weights (part 1) of turn `index`."""
        for row, (*_, turns) in enumerate(self.rows):
            got = [turns[index]["value"], turns[index]["modules"][self.watched]["state"]][part]
            want = self.play(row)[index][part]
            if not same(got, want):
                lr = self.rows[row][1][index][0]
                return self.trial.climb(label, False, f"for lr {tuple(lr.shape)}: {difference(got, want)}", mistake, support)
        self.trial.climb(label, True)

    def second(self) -> None:
        """The second step starts from where the first ended, right or wrong, and forgets its gradients."""
        ok = True
        for gan, pairs, _, turns in self.rows:
            now, = copied(gan)
            for name, module in zip(self.names, turns[0]["modules"]):
                part = getattr(now, name)
                part.load_state_dict(dict(zip(part.state_dict(), module["state"])))
            ok &= same(turns[1]["modules"][self.watched]["state"], self.reference(now, pairs[1:])[0][1])
        stale = not ok and all(same(turns[1]["modules"][self.watched]["state"], self.play(row, clear=False)[1][1]) for row, (*_, turns) in enumerate(self.rows))
        self.trial.climb("a second step with new pictures", ok, "the weights differ", STALE if stale else "", support=True)

    def contract(self) -> None:
        turns = [turn for *_, turns in self.rows for turn in turns]
        modes = [[all(turn["modules"][k]["training"]) for turn in turns] for k in (0, 1)]
        number = all(t["kind"] in ("number", "tensor") and (not isinstance(t["value"], torch.Tensor) or t["value"].numel() == 1) for t in turns)
        self.trial.contract("the contract: both networks in the mode in which they came, inputs left alone, one number returned", {
            "the generator is left in eval mode: it came in training mode, so hand it back like that": not all(modes[0]),
            "the discriminator is left in eval mode: it came in training mode, so hand it back like that": not all(modes[1]),
            "lr or hr is overwritten: work on a copy": any(any(t["changed"]) for t in turns),
            "the generator comes back frozen: requires_grad_(True) at the end": any(t["modules"][0]["frozen"] for t in turns),
            "the discriminator comes back frozen, and its own next step would fail: requires_grad_(True) at the end": any(t["modules"][1]["frozen"] for t in turns),
            "more than one value, or none, is returned: want the loss alone": not number})


def entropy(real_logits, fake_logits):
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def critic_loss(gan, lr, hr, loss=hinge, detach=True):
    fake = gan.generator(lr)
    return loss(gan.discriminator(hr), gan.discriminator(fake.detach() if detach else fake))


def critic_play(gan, pairs, loss=critic_loss, **options):
    return play(gan, pairs, loss, "discriminator_optimizer", "discriminator", **options)


def critic_step_mistakes(steps: Steps) -> dict:
    def loss(function):
        return {"loss": function}
    return {
        "real and fake are swapped: loss(real_logits, fake_logits)": loss(lambda g, lr, hr: hinge(g.discriminator(g.generator(lr).detach()), g.discriminator(hr))),
        "the argument `loss` is not used; it need not be the loss of exercise 8": loss(partial(critic_loss, loss=entropy)),
        "the discriminator sees no fakes": loss(lambda g, lr, hr: hinge(g.discriminator(hr), g.discriminator(hr))),
        "the discriminator sees no real pictures": loss(lambda g, lr, hr: hinge(g.discriminator(g.generator(lr).detach()), g.discriminator(g.generator(lr).detach()))),
        "the enlarged input is shown as the fake; it has to come from the generator": loss(lambda g, lr, hr: hinge(
            g.discriminator(hr), g.discriminator(F.interpolate(lr, scale_factor=hr.shape[-1] // lr.shape[-1])))),
        "the logits of the fakes are detached; detach the pictures instead, so that the discriminator still learns from them": loss(
            lambda g, lr, hr: hinge(g.discriminator(hr), g.discriminator(g.generator(lr)).detach())),
        "the logits of the real pictures are detached or made under no_grad: the discriminator learns nothing from them": loss(
            lambda g, lr, hr: hinge(g.discriminator(hr).detach(), g.discriminator(g.generator(lr).detach()))),
        "a sigmoid stands in front of the loss; it takes logits": loss(lambda g, lr, hr: hinge(
            g.discriminator(hr).sigmoid(), g.discriminator(g.generator(lr).detach()).sigmoid())),
        "the loss is halved before it goes backward": loss(lambda g, lr, hr: 0.5 * critic_loss(g, lr, hr)),
        "the fakes are clamped to [0, 1] before the discriminator sees them": loss(
            lambda g, lr, hr: hinge(g.discriminator(hr), g.discriminator(g.generator(lr).detach().clamp(0, 1)))),
        "the loss is not returned": lambda row: [None, steps.play(row)[0][1]],
        "more than the loss is returned; want the loss alone": lambda row: _several(steps, row),
        LATER: lambda row: _later(steps, row, critic_loss),
        "the weights are clipped after the step, as in the first Wasserstein GAN; this loss wants them free": lambda row: _clipped(steps, row),
        "the ascent has the wrong sign: the loss is minimised": lambda row: _turned(steps, row)}


def _several(steps: Steps, row: int):
    got = steps.rows[row][3][0]["value"]
    return [got, steps.play(row)[0][1]] if isinstance(got, (list, dict)) else None


def _later(steps: Steps, row: int, loss):
    """The right step, and the loss that the networks have after it."""
    gan, pairs, *_ = steps.rows[row]
    (now,), moved = copied(gan), steps.play(row)[0][1]
    part = getattr(now, steps.names[steps.watched])
    part.load_state_dict(dict(zip(part.state_dict(), moved)))
    return [loss(now, *pairs[0]).detach(), moved]


def _clipped(steps: Steps, row: int):
    """The right step, and then weights cut off at a bound."""
    value, moved = steps.play(row)[0]
    return Either([[value, [w.clamp(-bound, bound) for w in moved]] for bound in (0.01, 0.02, 0.03, 0.05, 0.1, 1.0)])


LATER = "the loss is computed once more after the step; want the one that was minimised"


def _turned(steps: Steps, row: int):
    value, moved = steps.play(row)[0]
    up = [2 * a - b for a, b in zip(steps.rows[row][2][steps.watched], moved)]
    return Either([[value, up], [-value, up]])


@exercise(8, rungs=(1.5, 2.5, 1.5, 1.5, 1), errors=ERRORS, hints=(
    "Fake pictures from the generator, logits for both, the loss, zero_grad, backward, step: five or six lines.",
    "The generator only supplies pictures here: gan.generator(lr).detach(), or the call under torch.no_grad().",
    "gan.discriminator_optimizer.zero_grad(); value.backward(); gan.discriminator_optimizer.step()"))
def discriminator_step(trial: Trial) -> None:
    steps = Steps(trial, (hinge,), 1, critic_play)
    why = steps.explained(critic_step_mistakes(steps)) or steps.recorded()
    steps.rung("the loss that is returned", 0, 0, why)
    steps.rung("the discriminator's weights after one step", 0, 1, why)
    alone(trial, steps, 0, why)
    steps.second()
    steps.contract()


def alone(trial: Trial, steps: Steps, other: int, why: str) -> None:
    """The rung of the network that does not learn in this step."""
    states = [(row[2][other], turn["modules"][other]) for row in steps.rows for turn in row[3]]
    moved = not all(all(map(torch.equal, module["state"], before)) for before, module in states)
    loud = other == 0 and any(g is not None and bool(g.any()) for _, module in states for g in module["gradients"])
    name, idle = steps.names[other], any(same(row[3][0]["modules"][1 - other]["state"], row[2][1 - other]) for row in steps.rows)
    trial.climb(f"the {name} is left alone", not moved and not loud, "no", f"the {name}'s weights have moved: only the {steps.names[1 - other]}'s optimizer steps here"
                if moved else "the fakes are not detached: backward went on into the generator and left gradients there", support=idle)


def maker_loss(gan, lr, hr, content=light, weight=1e-3, adversarial=hinge_generator, content_weight=1.0, detach=False):
    sr = gan.generator(lr)
    return content_weight * content(sr, hr) + weight * adversarial(gan.discriminator(sr.detach() if detach else sr))


def maker_play(gan, pairs, step=True, clear=True, loss=None, **options):
    used = loss or (lambda g, lr, hr: maker_loss(g, lr, hr, **options))
    return play(gan, pairs, used, "generator_optimizer", "generator", clear, step)


def maker_step_mistakes(steps: Steps, weight: float) -> dict:
    def loss(function):
        return {"loss": function}

    def parts(row, keep):
        gan, pairs, *_ = steps.rows[row]
        sr = gan.generator(pairs[0][0])
        return [keep(light(sr, pairs[0][1]).detach(), hinge_generator(gan.discriminator(sr)).detach()), steps.play(row)[0][1]]
    return {
        "the adversarial term teaches the generator nothing: sr is detached (as in exercise 10), or the discriminator runs under no_grad": {"detach": True},
        "the content term teaches the generator nothing: sr is detached before it": loss(
            lambda g, lr, hr: light(g.generator(lr).detach(), hr) + weight * hinge_generator(g.discriminator(g.generator(lr)))),
        "the adversarial term is not weighted": {"weight": 1.0},
        "the weight belongs to the adversarial term, not to the content term": [{"weight": 1.0, "content_weight": weight}],
        "the weight multiplies the whole sum; it belongs to the adversarial term": [{"content_weight": weight}],
        "the weight is written out as 1e-3; use the argument": {"weight": 1e-3},
        "the adversarial term is subtracted": {"weight": -weight},
        "the adversarial term is missing": {"weight": 0.0},
        "the content term is missing": {"content_weight": 0.0},
        "the adversarial term looks at hr; it judges sr": loss(lambda g, lr, hr: light(g.generator(lr), hr) + weight * hinge_generator(g.discriminator(hr))),
        "the adversarial term looks at sr itself; it wants the discriminator's logits of sr": loss(
            lambda g, lr, hr: light(g.generator(lr), hr) + weight * hinge_generator(g.generator(lr))),
        "a sigmoid stands in front of the adversarial loss; it takes logits": {"adversarial": lambda logits: hinge_generator(logits.sigmoid())},
        "the argument `content` is not used; it need not be the mean squared error": [{"content": F.mse_loss}, {"content": F.l1_loss}],
        "the argument `adversarial` is not used; it need not be the loss of exercise 9": {"adversarial": lambda logits: F.softplus(-logits).mean()},
        "sr and hr are swapped: content(sr, hr)": {"content": lambda sr, hr: light(hr, sr)},
        "sr is clamped to [0, 1] first: where it is outside, no gradient is left": loss(
            lambda g, lr, hr: light(g.generator(lr).clamp(0, 1), hr) + weight * hinge_generator(g.discriminator(g.generator(lr).clamp(0, 1)))),
        "the loss is not returned": lambda row: [None, steps.play(row)[0][1]],
        "only the content part is returned; want the whole loss": lambda row: parts(row, lambda c, a: c),
        "only the adversarial part is returned; want the whole loss": lambda row: Either([parts(row, lambda c, a: a), parts(row, lambda c, a: weight * a)]),
        LATER: lambda row: _later(steps, row, lambda g, lr, hr: maker_loss(g, lr, hr, weight=weight)),
        "the loss is returned without the weight of its adversarial part": lambda row: parts(row, lambda c, a: c + a),
        "more than the loss is returned; want the loss alone": lambda row: _several(steps, row),
        "the ascent has the wrong sign: the loss is minimised": lambda row: _turned(steps, row)}


@exercise(8, rungs=(1.5, 2.5, 1.5, 1.5, 1), errors=ERRORS, hints=(
    "sr from the generator; content(sr, hr) plus weight times adversarial(logits of sr); zero_grad, backward, step.",
    "No detach here: the gradient has to pass through the discriminator into the generator.",
    "Only gan.generator_optimizer steps. That the discriminator gathers gradients does no harm: its own step clears them."))
def generator_step(trial: Trial) -> None:
    weight = 0.1 * trial.draw.integer(2, 6)
    steps = Steps(trial, (light, hinge_generator, weight), 0, lambda gan, pairs, **options: maker_play(gan, pairs, **{"weight": weight, **options}))
    why = steps.explained(maker_step_mistakes(steps, weight)) or steps.recorded()
    steps.rung("the loss that is returned", 0, 0, why)
    steps.rung("the generator's weights after one step", 0, 1, why)
    alone(trial, steps, 1, why)
    steps.second()
    steps.contract()
