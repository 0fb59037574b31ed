"""How an exercise is tried: questions, rungs that are worth points each, and a name for the mistake.

A test receives a `Trial`. It asks the exercise for numbers (in this process under `check`, in a sandbox under `grade`)
and compares them here with its own reference. Every rung is tried: a mistake costs the rungs that it breaks and no other.
The inputs are drawn from a seed, so that a remembered answer earns nothing, and every rung draws enough of them that the
seed decides no mark.
"""

import copy
import pickle
import re
import threading
from dataclasses import dataclass, field
from typing import Callable

import torch

from .comparison import computes, difference, same
from .diagnosis import divided, pattern
from .exercise import ERRORS, EXERCISES, Draw, Exercise, exercise
from .sandbox import BUILT, TURN

__all__ = ["EXERCISES", "Exercise", "Failed", "Evidence", "Trial", "Result", "attempt", "copied", "exercise", "in_this_process"]


KEPT: dict = {}  # what `Trial.once` made, the oldest first
MOST_KEPT, KEEPING = 256, threading.RLock()


class Failed(Exception):
    """The end of an exercise: what was wrong, and the name of the mistake where it is known."""

    def __init__(self, text: str, mistake: str = ""):
        super().__init__(text)
        self.mistake = mistake


@dataclass
class Evidence:
    """All answers to a set of inputs: values (None where a call raised), what is wanted, which are right, and what is wrong.

    text: the smallest input that failed, and how far off; mistake: its name, if exactly one explains all answers.
    """

    values: list
    wants: list
    turns: list
    passed: list[bool]
    text: str = ""
    mistake: str = ""
    inputs: list = field(default_factory=list)

    @property
    def right(self) -> bool:
        return all(self.passed)

    def answered(self, indices=None) -> tuple[list, list]:
        """(values, wants) of the inputs that were answered."""
        pairs = [(self.values[i], self.wants[i]) for i in (range(len(self.values)) if indices is None else indices) if self.turns[i] is not None]
        return [value for value, _ in pairs], [want for _, want in pairs]


class Trial:
    """One exercise under test; `put` takes a question to the submitted code and brings its answer back."""

    def __init__(self, exercise: Exercise, put: Callable[[dict], dict], seed: int):
        self.exercise, self.put, self.draw = exercise, put, Draw(seed, exercise.name)
        self.seed = self.draw.integer(1, 1 << 30)
        self.climbed: list[tuple[str, bool, bool]] = []  # (label, passed, supporting)
        self.failures: list[tuple[str, str]] = []
        self.studies = 0

    def once(self, name: str, make: Callable):
        """make(), kept for the next submissions of a class: exercise, seed and `name` decide it, and nobody may change it.

        It may draw; whoever comes later draws on from where it ended.
        """
        key = self.exercise.test, self.seed, name
        with KEEPING:
            if key not in KEPT:
                while len(KEPT) >= MOST_KEPT:
                    del KEPT[next(iter(KEPT))]
                KEPT[key] = make(), self.draw.generator.get_state()
            made, state = KEPT[key]
        self.draw.generator.set_state(state)
        return made

    def turns(self, turns: list, backward: bool = False) -> list:
        """Call it several times in one process; objects that turns share stay shared. A turn that raised is a Failed."""
        answer = self._answer({"turns": [list(arguments) for arguments in turns], "backward": backward}).get("turns")
        if not isinstance(answer, list) or len(answer) != len(turns):
            raise Failed("the answer makes no sense")
        return [self._turn(turn) for turn in answer]

    def _turn(self, turn):
        try:
            self._raise(turn)
        except Failed as failed:
            if str(failed) == "not started yet":
                raise
            return failed
        if set(turn) != TURN:
            raise Failed("the answer makes no sense")
        return turn

    def must(self, turns: list, backward: bool = False) -> list[dict]:
        """`turns`, where a turn that raised ends the exercise."""
        answers = self.turns(turns, backward)
        for answer in answers:
            if isinstance(answer, Failed):
                raise answer
        return answers

    def build(self, *arguments, inputs=(), training: bool = False, flat: bool = False, seed: int | None = None) -> dict:
        """Make a network of known weights and run it (see `sandbox.build`)."""
        answer = self._answer({"build": {"arguments": list(arguments), "inputs": list(inputs), "training": training,
                                         "seed": self.seed if seed is None else seed, "flat": flat}})
        if set(answer) != BUILT or len(answer["outputs"]) != len(inputs):
            raise Failed("the answer makes no sense")
        return {**answer, "shapes": sorted(tuple(shape) for shape in answer["shapes"])}

    def _answer(self, question: dict) -> dict:
        answer = self.put({"name": self.exercise.name, "seed": self.seed, **question})
        self._raise(answer)
        return answer

    def _raise(self, answer: dict) -> None:
        """Raise Failed for {"error": ...}, in words."""
        if "error" not in answer:
            return
        kind, text, where = (str(answer["error"][key] or "")[:400] for key in ("type", "text", "line"))
        if kind == "Missing":
            raise Failed("not found")
        if kind == "NotImplementedError" and "your turn" in text:
            raise Failed("not started yet")
        if kind == "Died":
            raise Failed(f"the call {text}")
        kind, text = kind[:100], " ".join(text.split())
        known = [hint for pattern, hint in {**self.exercise.errors, **ERRORS}.items() if re.search(pattern, f"{kind}: {text}")]
        raise Failed(f"stopped with {kind}: {text}" + (f" ({where})" if where else ""), known[0] if known else "")

    def study(self, cases: list, right: Callable, mistakes: Callable, backward: bool = False, keep=lambda turn: turn["value"]) -> Evidence:
        """Ask all cases, [(arguments, tags)], and look for the one mistake that explains every answer.

        right(*arguments) -> what is wanted; mistakes(*arguments) -> {sentence: computation}. The first case is asked
        once more at the end: an answer that changes is not a function of its input.
        """
        asked = [arguments for arguments, _ in cases]
        self.studies += 1
        wants = self.once(f"study {self.studies}", lambda: [right(*arguments) for arguments in asked])
        *turns, again = self.turns([*asked, copy.deepcopy(asked[0])], backward)
        if all(isinstance(turn, Failed) for turn in turns):
            raise turns[0]
        values = [None if isinstance(turn, Failed) else keep(turn) for turn in turns]
        passed = [not isinstance(turn, Failed) and same(value, want) for turn, value, want in zip(turns, values, wants)]
        evidence = Evidence(values, wants, [None if isinstance(turn, Failed) else turn for turn in turns], passed, inputs=asked)
        if not all(passed):
            number = min((i for i, ok in enumerate(passed) if not ok), key=lambda i: size(asked[i]))
            failed = turns[number] if isinstance(turns[number], Failed) else None
            evidence.text = f"for {shown(asked[number])} {failed or difference(values[number], wants[number])}"
            evidence.mistake = self._named(cases, evidence, mistakes, failed.mistake if failed else "")
        if not isinstance(again, Failed) and passed[0] is False and not same(values[0], keep(again)):
            evidence.mistake = "two calls with the same input give different results: something random is drawn, or kept from the call before"
        return evidence

    def _named(self, cases: list, evidence: Evidence, mistakes: Callable, raised: str) -> str:
        """The sentence; `raised` is what the error of the smallest input that failed usually means."""
        answered, left = [i for i, turn in enumerate(evidence.turns) if turn is not None], None
        if all(evidence.passed[i] for i in answered):  # whatever went wrong raised
            return raised or divided([tags for _, tags in cases], evidence.passed)
        for i in answered:
            table = mistakes(*cases[i][0])
            left = {name for name in (table if left is None else left) if computes(table[name], evidence.values[i])}
        if left and len(left) == 1:
            return left.pop()
        if left:
            return raised  # several explain it: none is shown
        general = pattern([evidence.values[i] for i in answered], [evidence.wants[i] for i in answered]) if len(answered) == len(cases) else ""
        return general or divided([tags for _, tags in cases], evidence.passed) or raised

    def climb(self, label: str, passed: bool, why: Evidence | str = "", mistake: str = "", support: bool = False) -> None:
        """One rung, in the order of the exercise's `rungs`. A supporting one counts only if a rung passed that is none."""
        self.climbed.append((label, passed, support))
        if not passed:
            text, name = (why.text, mistake or why.mistake) if isinstance(why, Evidence) else (why, mistake)
            self.failures.append((f"{label}: {text}" if text else label, name))

    def contract(self, label: str, faults: dict[str, bool], support: bool = True) -> None:
        """A rung of its own for what the text asks for besides the value: {sentence: broken?}."""
        broken = [sentence for sentence, is_so in faults.items() if is_so]
        self.climb(label, not broken, "broken", "; ".join(broken[:2]), support)


def size(arguments) -> int:
    """How large an input is, to find the smallest that fails."""
    return sum(a.numel() if isinstance(a, torch.Tensor) else 0 for a in arguments)


def shown(arguments) -> str:
    """The inputs of a call in words: shapes, and the values of the smallest."""
    words = []
    for a in arguments:
        if isinstance(a, torch.Tensor):
            few = a.numel() <= 3
            words.append(f"{[round(v, 3) for v in a.flatten().tolist()] if few else ''} {tuple(a.shape)}".strip())
        elif isinstance(a, (int, float)):
            words.append(f"{a:.4g}")
    return "input " + ", ".join(words) + ":"


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
    trial, ended = Trial(exercise, put, seed), None
    try:
        exercise.test(trial)
    except Failed as error:
        ended = (str(error), error.mistake)
    except Exception as error:  # a stranger's answer can be anything
        ended = (f"the answer makes no sense ({type(error).__name__})", "")
    failures = [*trial.failures, *([ended] if ended else [])]
    failed, mistake = next((f for f in failures if f[1]), failures[0] if failures else ("", ""))
    idea = any(passed and not support for _, passed, support in trial.climbed)
    earned = [passed and (idea or not support) for _, passed, support in trial.climbed]
    share = sum(weight for weight, ok in zip(exercise.rungs, earned) if ok) / sum(exercise.rungs)
    labels = [label for (label, *_), ok in zip(trial.climbed, earned) if ok]
    return Result(exercise.name, round(exercise.points * share, 2), exercise.points, labels, failed, mistake)


def in_this_process(namespace: dict) -> Callable[[dict], dict]:
    """A `put` for `check`: the same questions through the same encoding, on copies, without a sandbox."""
    from .sandbox import ask, decode, encode
    return lambda question: decode(encode(ask(pickle.loads(pickle.dumps(question)), namespace)))


def copied(*objects):
    """Deep copies that keep what the objects share, such as an optimizer's parameters."""
    return copy.deepcopy(objects)
