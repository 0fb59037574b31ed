"""Checks of notebook 05. The ranges come from runs on the sample and from the committed record, as said at each."""

import json

import torch

from ..models import WEIGHTS
from .exercise import Wrong, choice, near, number, numbers, test, truth, within


@test("5.1")
def pixels_hold(shift):
    without, held = numbers(shift, ("without", "with"), "shift")
    if min(without, held) < 0:
        raise Wrong("shift: take the absolute value, since a channel may become darker too")
    if max(without, held) <= 1:
        raise Wrong("shift: want grey levels of 255; these are values of [0, 1]")
    if without == held:
        raise Wrong("shift: both are equal: the second run found the folder of the first, or pixel_weight is the same")
    # Measured with the tiny network from bicubic, 60 steps at 1e-3, adversarial_weight 1, seeds 0, 1, 2. float32: 83 -> 74, 65 -> 78, 89 -> 89 grey
    # levels; bfloat16: 85 -> 99, 48 -> 47, 83 -> 19. From srresnet-x4, 20 steps at 4e-4: 23 -> 17 and 19 -> 15. So one run cannot tell the direction.
    within(without, 2, 200, "shift without", " grey levels")
    within(held / without, 0.1, 3, "shift with over shift without")
    return [f"the shift goes from {without:.0f} to {held:.0f} grey levels", "another seed may go the other way; no run comes near the one or two grey levels of a trained generator"]


@test("5.2")
def clipped(weights):
    if not isinstance(weights, torch.Tensor) or weights.numel() < 100:
        raise Wrong("weights: want the whole tensor critic[1].weight")
    size = weights.detach().abs()
    if size.max() > 0.05:
        raise Wrong(f"the largest weight is {size.max():.2f}: nothing has clipped it; call game.constrain(critic) in the loop")
    if size.max() > 0.0101:
        raise Wrong(f"the largest weight is {size.max():.4f}, beyond the clip of 0.01: constrain has to come after optimizer.step()")
    share = (size > 0.00999).float().mean().item()
    # measured on the lesson's batch after 60 steps of Adam at 0.01: 97 % at the bound
    if share < 0.6:
        raise Wrong(f"only {share:.0%} of the weights stand at the bound: were there 60 steps, with a rate of 0.01, and no penalty beside the clip?")
    return [f"{share:.0%} of the weights stand at -0.01 or 0.01"]


@test("5.3")
def who_left_the_grid(grid, field):
    names = ("srresnet-x4", "srgan-x4")
    for name, share in zip(names, numbers(grid, names, "grid")):
        if not 0 <= share <= 1:
            raise Wrong(f"{name}: a share of the variance lies between 0 and 1")
        # measured with the shipped weights: 7e-6 and 6e-5; a fresh network has 1.0, and a photo 1e-3 to 5e-3
        if share > 0.5:
            raise Wrong(f"{name}: {share:.2g} is what an untrained network prints; load the shipped weights")
        within(share, 0, 8e-4, name)
    _explains(field)
    return ["neither prints a grid that the eye could see"]


def _explains(field) -> None:
    """Right is what training.json has switched on against a grid: it changes with the shipped weights."""
    about = json.loads((WEIGHTS / "srgan-x4" / "training.json").read_text())
    working = [name for name in ("jitter", "grid_weight") if about.get(name)] + ["discriminator_head"] * (about["discriminator_head"] == "patch")
    chosen = choice(field, tuple(name for name, value in about.items() if not isinstance(value, (list, dict))), "field")
    if chosen in ("jitter", "grid_weight") and chosen not in working:
        raise Wrong(f"field: {chosen} would help, but it is 0 in this file; another field is not")
    if chosen == "pixel_weight":
        raise Wrong("field: a little of the pixels' loss holds the grid down and does not remove it (see the figure of the record)")
    if chosen not in working:
        raise Wrong(f"field: {chosen} does not look at what repeats every four pixels")


@test("5.4")
def own_row(bce, mine, larger):
    for name, values in (("bce", bce), ("mine", mine)):
        if not isinstance(values, (list, tuple)) or len(values) < 2:
            raise Wrong(f"{name}: one seed has no spread; want a list of at least two")
    bce, mine = ([number(value, name) for value in values] for name, values in (("bce", bce), ("mine", mine)))
    recorded = [row["psnr"] for row in json.loads((WEIGHTS / "experiments" / "results.json").read_text())["rows"] if row["variant"] == "bce"]
    # the adversarial rows of the record lie between 25.5 and 28.6 dB, all starts at 30.58 dB
    for value in (*bce, *mine):
        if value < 5:
            raise Wrong("these are no PSNRs in dB; the field of a row is 'psnr'")
        within(value, 20, 31, "PSNR", " dB")
    if not near(sum(bce) / len(bce), sum(recorded) / len(recorded), 1.0):
        raise Wrong("bce: the record says " + " and ".join(f"{value:.2f}" for value in recorded) + " dB")
    difference = abs(sum(mine) / len(mine) - sum(bce) / len(bce))
    spread = max(max(values) - min(values) for values in (bce, mine))
    if bce == mine:
        raise Wrong("mine: these are the numbers of bce")
    if truth(larger, "larger") != (difference > spread):
        raise Wrong(f"larger: the means differ by {difference:.2f} dB and the larger spread is {spread:.2f} dB; which of the two is larger?")
    return [f"the means differ by {difference:.2f} dB, the seeds by up to {spread:.2f} dB"]
