"""Is the run well? Losses that are not finite stop it; a discriminator that has won or lost is said in words, once."""

import math
import warnings

from ..errors import NotFiniteError
from ..models.loading import not_finite

PATIENCE = 10  # records in a row


class Health:
    """Watches the records of a run, those before a resume included, and warns once for each trouble.

    adversarial: the loss by name. Only where it is cross-entropy are D's opinions probabilities that can be read this way.
    """

    def __init__(self, records: list[dict], adversarial: str = "bce"):
        self.history, self.said = [r["d_sr"] for r in records if "d_sr" in r], set()
        self.probabilities = adversarial.startswith("bce")

    def __call__(self, record: dict) -> None:
        if "d_sr" not in record or not self.probabilities:
            return
        self.history.append(record["d_sr"])
        recent = self.history[-PATIENCE:]
        if len(recent) == PATIENCE and max(recent) < 0.01:
            self._say("won", "the discriminator has won: it gives SR less than 1 % for long, so the generator learns little from "
                             "it. What usually helps: a lower learning rate, label smoothing (adversarial=bce-smooth), instance "
                             "noise, or a longer stage 1")
        if len(recent) == PATIENCE and record.get("d_hr", 1) < 0.55 and min(recent) > 0.45:
            self._say("lost", "the discriminator has lost: it cannot tell SR from HR (both near 50 %), so its gradient is noise. "
                              "What usually helps: a smaller adversarial weight, or a look at whether D's loss falls at all")

    def _say(self, trouble: str, text: str) -> None:
        if trouble not in self.said:
            self.said.add(trouble)
            warnings.warn(text, stacklevel=3)


def first_broken(means: dict[str, float], trainer, step: int, saved: int) -> None:
    """Raise NotFiniteError when a loss, gradient, weight or average is not finite, naming step, tensor and the last checkpoint."""
    broken = [f"loss {name}" for name, value in means.items() if not math.isfinite(value)]
    broken += [f"the gradient of the {name}" for name, norm in trainer.updates.norms.items() if not math.isfinite(norm)]
    for network, module in {**trainer.networks, "average": trainer.average}.items():
        if not broken and (name := not_finite(module.state_dict())):
            broken.append(f"{network}.{name}")
    if broken:
        raise NotFiniteError(f"step {step}: {broken[0]} is not finite (NaN or infinite); the last checkpoint is step {saved}. "
                            "Run again from it with a lower learning rate: --accept-changes --set learning_rate=...")
