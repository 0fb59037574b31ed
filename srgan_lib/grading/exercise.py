"""What an exercise is to the grader: points, rungs, hints, and the random inputs that its test draws."""

import hashlib
from dataclasses import dataclass
from typing import Callable

import torch

EXERCISES: dict[str, "Exercise"] = {}
# What an error or a result usually means, whatever the exercise; an exercise's own `errors` come first.
ERRORS = {
    r"before Module.__init__\(\) call": "super().__init__() has to be the first line of __init__",
    r"'list' object|list is not a Module": "layers in a plain list are neither called nor found by PyTorch; put them into nn.Sequential or nn.ModuleList",
    r"NameError": "nothing has this name when the function runs: import it or define it, in a cell that has been run",
    r'missing the required "forward"': "the class has no method forward: it is missing, misspelt, or in a cell that was left out",
    r"AttributeError: '(?!Tensor|NoneType)\w+' object has no attribute": "forward uses an attribute that __init__ does not set under this name",
    r"'NoneType' object": "something on the way returns nothing (None): a function without `return`, or a method that works in place",
    r"call numpy\(\) on Tensor that requires grad": "numpy knows no gradient: stay with torch, or use .detach() where none is wanted",
    r"grad can be implicitly created only for scalar": "the loss has to be one number before backward(): take its mean",
    r"(?i)memory": "far more memory is asked for than the exercise needs",
}


@dataclass(frozen=True)
class Exercise:
    """A test with its points, the weight of each rung, the hints from vague to plain, and what errors usually mean."""

    name: str
    points: int
    rungs: tuple[float, ...]
    hints: tuple[str, ...]
    test: Callable
    errors: dict[str, str]
    without: tuple[str, ...]
    bonus: bool


def exercise(points: int, rungs: tuple[float, ...], hints: tuple[str, ...], errors=None, without=(), bonus=False):
    """Register the decorated test under its function's name; `without` lists names that a solution may not use."""
    def register(test: Callable) -> Callable:
        EXERCISES[test.__name__] = Exercise(test.__name__, points, rungs, hints, test, errors or {}, without, bonus)
        return test
    return register


class Draw:
    """Random inputs that depend on the seed and the exercise's name only."""

    def __init__(self, seed: int, name: str):
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        self.generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(torch.randint(low, high + 1, (), generator=self.generator))

    def odd_and_even(self, low: int, high: int) -> list[tuple[int, int]]:
        """(even, odd), (odd, even) and a square, heights and widths."""
        even, odd = 2 * self.integer((low + 1) // 2, high // 2), 2 * self.integer(low // 2, (high - 1) // 2) + 1
        return [(even, odd), (odd, even), (even, even)]

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
