"""Comparing what an exercise returned with what it should: equal up to rounding, and how far off in words."""

from typing import Callable

import torch

TOLERANCE = 2e-4  # of the largest expected value: float32 passes in any order of summation, another formula does not


class Either(list):
    """References of which one has to be met, where the paper leaves a choice."""


def same(got, want) -> bool:
    """Equal up to rounding; numbers may come as Python numbers, tensors of any dtype, or tensors of one element."""
    if isinstance(want, (list, tuple)):
        return isinstance(got, list) and len(got) == len(want) and all(same(g, w) for g, w in zip(got, want))
    if want is None or isinstance(want, bool):
        return got is want
    got, want = _number(got), _number(want)
    if got is None or (got.shape != want.shape and not got.numel() == want.numel() == 1):
        return False
    finite = want[want.isfinite()].abs()
    size = float(finite.max()) if finite.numel() else 1.0
    return torch.allclose(got.reshape(want.shape), want, rtol=0, atol=TOLERANCE * size + 1e-9)


def _number(value) -> torch.Tensor | None:
    return torch.as_tensor(value, dtype=torch.float64).detach() if isinstance(value, (int, float, torch.Tensor)) else None


def computes(compute: Callable, got) -> bool:
    try:
        values = compute()
        return values is True or any(same(got, value) for value in (values if isinstance(values, Either) else [values]))
    except Exception:  # a mistake that cannot be made with this input
        return False


def difference(got, want) -> str:
    """How far `got` is from `want`, in words."""
    if isinstance(want, (list, tuple)):
        if not isinstance(got, list) or len(got) != len(want):
            return f"got {describe(got)}, want {len(want)} values"
        worst = next((g, w) for g, w in zip(got, want) if not same(g, w))
        return difference(*worst)
    if isinstance(want, bool) and isinstance(got, bool):
        return "no"  # the label is the statement
    number, wanted = _number(got), _number(want) if want is not None else None
    if number is None or wanted is None:
        return f"got {describe(got)}, want {describe(want)}"
    if number.shape != wanted.shape and not number.numel() == wanted.numel() == 1:
        return f"got shape {tuple(number.shape)}, want {tuple(wanted.shape)}"
    number, wanted = number.reshape(-1), wanted.reshape(-1)
    place = int((number - wanted).abs().nan_to_num(torch.inf).argmax())
    off = float(number[place] - wanted[place])
    return f"got {number[place]:.5g}, want {wanted[place]:.5g}" + (f", off by {off:+.3g}" if wanted.numel() == 1 else " at the worst place")


def describe(value) -> str:
    """A short name for a value of any type."""
    if isinstance(value, torch.Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, dict) and "__object__" in value:
        return f"an object of type {value['__object__']}"
    return "nothing (None)" if value is None else f"{type(value).__name__} {str(value)[:40]}"


def shape_difference(got: list, want: list) -> str:
    """Which parameters are missing and which are too many."""
    spare, missing = list(got), []
    for shape in want:
        spare.remove(shape) if shape in spare else missing.append(shape)
    parts = [f"{name} {', '.join(str(shape) for shape in shapes[:4])}{' ...' if len(shapes) > 4 else ''}"
             for name, shapes in (("missing", missing), ("too many", spare)) if shapes]
    return "parameter shapes " + "; ".join(parts)
