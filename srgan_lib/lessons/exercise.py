"""What the checks are made of: how a test says that an answer is missing or wrong, and what most tests ask."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from numbers import Real

import torch

TESTS: dict[str, "Test"] = {}
LEAST_WORDS = 15  # of an explanation, before the model answer is shown


class Unanswered(Exception):
    """A part of the answer is still empty; the text says which."""


class Wrong(Exception):
    """The answer is wrong; the text says how."""


@dataclass(frozen=True)
class Test:
    """The check of one exercise: `run(*parts)` raises Wrong, or returns the sentences that are true of the answer."""

    key: str
    run: Callable
    explain: bool

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of what an answer consists of, without the explanation and without what is handed on by keyword."""
        return tuple(name for name, part in signature(self.run).parameters.items() if part.default is part.empty)


def test(key: str, explain: bool = True):
    """Register the check of an exercise; with `explain` the last part of the answer is a text, which no program marks."""
    def register(run: Callable) -> Callable:
        TESTS[key] = Test(key, run, explain)
        return run
    return register


test.__test__ = False  # no test of pytest's


def blank(part) -> bool:
    """Whether a part of an answer has not been filled in."""
    if part is None or part is ... or (isinstance(part, str) and not part.strip()):
        return True
    if isinstance(part, dict):
        part = part.values()
    return isinstance(part, (list, tuple, set, type({}.values()))) and all(blank(value) for value in part)


def number(value, name: str) -> float:
    """A finite number out of a number or a tensor with one value."""
    if blank(value):
        raise Unanswered(f"{name} is still empty")
    try:
        value = value.item() if hasattr(value, "item") else value  # of torch or numpy
    except (ValueError, RuntimeError):
        pass
    if isinstance(value, bool) or not isinstance(value, Real):
        raise Wrong(f"{name}: want one number, got {_short(value)}")
    if not math.isfinite(value):
        raise Wrong(f"{name} is {value}, want a finite number")
    return float(value)


def numbers(value, names: tuple[str, ...] | str, what: str) -> list[float]:
    """As many numbers as there are names, from a list or a dictionary."""
    names = tuple(names.split()) if isinstance(names, str) else names
    if isinstance(value, dict):
        missing = [name for name in names if name not in value]
        if missing:
            raise Wrong(f"{what}: want the keys {', '.join(map(str, names))}; {missing[0]!r} is missing")
        value = [value[name] for name in names]
    if blank(value):
        raise Unanswered(f"{what} is still empty")
    if not isinstance(value, (list, tuple)) or len(value) != len(names):
        raise Wrong(f"{what}: want {len(names)} numbers ({', '.join(map(str, names))}), got {_short(value)}")
    return [number(one, f"{what}, {name}") for one, name in zip(value, names)]


def within(value: float, low: float, high: float, name: str, unit: str = "") -> None:
    """Raise Wrong unless low <= value <= high."""
    if not low <= value <= high:
        raise Wrong(f"{name} is {value:.4g}{unit}, and a right run gives a value between {low:g} and {high:g}{unit}")


def choice(value, allowed: tuple[str, ...], name: str) -> str:
    """One of a few words, however it is capitalised."""
    if blank(value):
        raise Unanswered(f"{name} is still empty")
    if not isinstance(value, str) or value.strip().lower() not in [word.lower() for word in allowed]:
        raise Wrong(f"{name}: want one of {', '.join(map(repr, allowed))}, got {_short(value)}")
    return next(word for word in allowed if word.lower() == value.strip().lower())


def truth(value, name: str) -> bool:
    if blank(value):
        raise Unanswered(f"{name} is still empty")
    if value not in (True, False):
        raise Wrong(f"{name}: want True or False, got {_short(value)}")
    return bool(value)


def called(function, *arguments, name: str = "the function", shape=None) -> torch.Tensor:
    """Call the student's function -> a float64 tensor. No result at all counts as not answered."""
    need_function(function, name)
    try:
        got = function(*arguments)
    except NotImplementedError:
        got = None
    if got is None or got is ...:
        raise Unanswered(f"{name} returns nothing yet")
    try:
        got = torch.as_tensor(got).detach().double()
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"{name} returns {_short(got)}, want numbers") from None
    if shape is not None and tuple(got.shape) != tuple(shape):
        raise Wrong(f"{name} returns the shape {tuple(got.shape)}, want {tuple(shape)}")
    return got


def need_function(value, name: str) -> None:
    if not callable(value):
        raise Wrong(f"{name}: want a function, got {_short(value)}")


def near(a, b, tolerance: float = 1e-4) -> bool:
    """Whether two tensors or numbers have one shape and differ nowhere by more than the tolerance."""
    a, b = (torch.as_tensor(x).detach().double() for x in (a, b))
    return a.shape == b.shape and bool(((a - b).abs() <= tolerance).all())


def named(got: list, candidates: dict[str, list], tolerance: float = 1e-4) -> str:
    """The sentence of the first wrong answer that explains all that was got, or an empty one."""
    return next((sentence for sentence, wants in candidates.items() if all(near(g, w, tolerance) for g, w in zip(got, wants))), "")


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


def _short(value) -> str:
    text = f"{type(value).__name__} {value!r}" if not isinstance(value, torch.Tensor) else f"a tensor of shape {tuple(value.shape)}"
    return text if len(text) <= 60 else text[:57] + "..."
