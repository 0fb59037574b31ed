"""How an exercise is tried: questions, comparisons on a ladder of points, and a name for the mistake.

A test receives a `Trial`. It asks the exercise for numbers (in this process under `check`, in a sandbox under `grade`)
and compares them here with its own reference. Rungs are climbed in order: the first that fails ends the exercise, the
points below it stay. The inputs are drawn from a seed, so that a remembered answer earns nothing.
"""

import copy
import hashlib
import pickle
import re
from dataclasses import dataclass
from typing import Callable

import torch

from .comparison import Either, computes, difference, same, shape_difference

EXERCISES: dict[str, "Exercise"] = {}
# What an error or a result usually means, whatever the exercise; an exercise's own `errors` come first.
ERRORS = {
    r"before Module.__init__\(\) call": "super().__init__() has to be the first line of __init__",
    r"'list' object|list is not a Module": "layers in a plain list are neither called nor found by PyTorch; put them into nn.Sequential or nn.ModuleList",
    r"NameError": "nothing has this name when the function runs: import it or define it, in a cell that has been run",
}
NO_RETURN = "the function ends without `return`"


@dataclass(frozen=True)
class Exercise:
    """A test with its points, the weight of each rung, the hints from vague to plain, and what errors usually mean."""

    name: str
    points: int
    rungs: tuple[int, ...]
    hints: tuple[str, ...]
    test: Callable
    errors: dict[str, str]
    without: tuple[str, ...]
    bonus: bool


def exercise(points: int, rungs: tuple[int, ...], hints: tuple[str, ...], errors=None, without=(), bonus=False):
    """Register the decorated test under its function's name; `without` lists names that a solution may not use."""
    def register(test: Callable) -> Callable:
        EXERCISES[test.__name__] = Exercise(test.__name__, points, rungs, hints, test, errors or {}, without, bonus)
        return test
    return register


class Failed(Exception):
    """A rung that was not reached: what was wrong, and the name of the mistake where it is known."""

    def __init__(self, text: str, mistake: str = ""):
        super().__init__(text)
        self.mistake = mistake


class Draw:
    """Random inputs that depend on the seed and the exercise's name only."""

    def __init__(self, seed: int, name: str):
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        self.generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(torch.randint(low, high + 1, (), generator=self.generator))

    def sides(self, low: int, high: int) -> tuple[int, int]:
        """A height and a different width."""
        height = self.integer(low, high)
        return height, height + self.integer(1, 4)

    def uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator)

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator)

    def picture(self, number: int, height: int, width: int) -> torch.Tensor:
        """(number, 3, height, width), every value one of the 256 levels of [0, 1]."""
        return torch.randint(0, 256, (number, 3, height, width), generator=self.generator) / 255

    def weigh(self, module: torch.nn.Module, size: float = 0.4) -> torch.nn.Module:
        """Give every weight of a module a random value."""
        for parameter in module.parameters():
            parameter.data.copy_(self.normal(*parameter.shape) * size)
        return module


class Trial:
    """One exercise under test; `put` takes a question to the submitted code and brings its answer back."""

    def __init__(self, exercise: Exercise, put: Callable[[dict], dict], seed: int):
        self.exercise, self.put, self.draw = exercise, put, Draw(seed, exercise.name)
        self.seed = self.draw.integer(1, 1 << 30)
        self.passed: list[str] = []

    def call(self, *arguments, backward: bool = False) -> dict:
        """Call the exercise once -> {"value", "gradients", "sizes", "tracked", "modules"} (see `sandbox.call`)."""
        return self.turns([arguments], backward)[0]

    def turns(self, turns: list, backward: bool = False) -> list[dict]:
        """Call it several times in one process; objects that turns share stay shared."""
        answer = self._answer({"turns": [list(arguments) for arguments in turns], "backward": backward})["turns"]
        if len(answer) != len(turns) or not all(set(turn) == {"value", "gradients", "sizes", "tracked", "modules"} for turn in answer):
            raise Failed("the answer makes no sense")
        return answer

    def build(self, *arguments, inputs=(), training: bool = False) -> tuple[list[torch.Tensor], list[tuple[int, ...]]]:
        """Make a network of known weights and run it -> outputs, sorted shapes of its parameters."""
        answer = self._answer({"build": {
            "arguments": list(arguments), "inputs": list(inputs), "training": training, "seed": self.seed}})
        return answer["outputs"], sorted(tuple(shape) for shape in answer["shapes"])

    def _answer(self, question: dict) -> dict:
        answer = self.put({"name": self.exercise.name, "seed": self.seed, **question})
        if "error" not in answer:
            return answer
        kind, text, where = (answer["error"][key] for key in ("type", "text", "line"))
        if kind == "Missing":
            raise Failed("not found")
        if kind == "NotImplementedError":
            raise Failed("not started yet")
        if kind == "Died":
            raise Failed(f"the call {text}")
        known = [hint for pattern, hint in {**self.exercise.errors, **ERRORS}.items() if re.search(pattern, f"{kind}: {text}")]
        text = " ".join(text.split())
        raise Failed(f"stopped with {kind}: {text}" + (f" ({where})" if where else ""), known[0] if known else "")

    def expect(self, label: str, got, want, wrong: dict[str, Callable] | None = None) -> None:
        """Climb one rung if `got` equals `want`; else fail, named by the first of `wrong` that computes what we got (or True).

        `want` may be a list of `Either`-or references; nested lists are compared item by item.
        """
        wants = want if isinstance(want, Either) else Either([want])
        if any(same(got, one) for one in wants):
            self.passed.append(label)
            return
        names = (name for name, compute in (wrong or {}).items() if computes(compute, got))
        raise Failed(f"{label}: {difference(got, wants[0])}", next(names, NO_RETURN if got is None else ""))

    def shapes(self, label: str, got: list, want: list) -> None:
        """Climb one rung if a network's parameters have one of the expected lists of shapes."""
        if any(got == one for one in want):
            self.passed.append(label)
            return
        raise Failed(f"{label}: {shape_difference(got, want[0])}")


@dataclass
class Result:
    """What one exercise earned: points, passed rungs, what failed and what the mistake is called."""

    name: str
    points: float
    out_of: int
    passed: list[str]
    failed: str = ""
    mistake: str = ""


def attempt(exercise: Exercise, put: Callable[[dict], dict], seed: int) -> Result:
    """Run one exercise's test -> `Result`; whatever a submission returns, nothing is raised."""
    trial, failed, mistake = Trial(exercise, put, seed), "", ""
    try:
        exercise.test(trial)
    except Failed as error:
        failed, mistake = str(error), error.mistake
    except Exception as error:  # a stranger's answer can be anything
        failed = f"the answer makes no sense ({type(error).__name__})"
    earned = sum(exercise.rungs[:len(trial.passed)]) / sum(exercise.rungs)
    return Result(exercise.name, round(exercise.points * earned, 2), exercise.points, trial.passed, failed, mistake)


def in_this_process(namespace: dict) -> Callable[[dict], dict]:
    """A `put` for `check`: the same questions through the same encoding, on copies, without a sandbox."""
    from .sandbox import ask, decode, encode
    return lambda question: decode(encode(ask(pickle.loads(pickle.dumps(question)), namespace)))


def copied(*objects):
    """Deep copies that keep what the objects share, such as an optimizer's parameters."""
    return copy.deepcopy(objects)
