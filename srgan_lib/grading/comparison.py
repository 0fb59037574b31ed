"""Comparing what an exercise returned with what it should: equal up to rounding, and how far off in words."""

from typing import Callable

import torch

TOLERANCE = 2e-4  # of the largest expected value: float32 passes in any order of summation, another formula does not


class Either(list):
    """References of which one has to be met, where the paper leaves a choice."""


def same(got, want) -> bool:
    """Equal up to rounding; numbers may come as Python numbers, tensors of any dtype, or tensors of one element."""
    if isinstance(want, Either):
        return any(same(got, one) for one in want)
    if isinstance(want, (list, tuple)):
        return isinstance(got, list) and len(got) == len(want) and all(same(g, w) for g, w in zip(got, want))
    if want is None or isinstance(want, bool):
        return got is want
    got, want = number(got), number(want)
    if got is None or (got.shape != want.shape and not got.numel() == want.numel() == 1):
        return False
    finite = want[want.isfinite()].abs()
    size = float(finite.max()) if finite.numel() else 1.0
    return torch.allclose(got.reshape(want.shape), want, rtol=0, atol=TOLERANCE * size + 1e-9)


def number(value) -> torch.Tensor | None:
    """A number or tensor as float64; None for anything else, huge integers included."""
    try:
        return torch.as_tensor(value, dtype=torch.float64).detach() if isinstance(value, (int, float, torch.Tensor)) else None
    except (OverflowError, RuntimeError):
        return None


def flat(value) -> torch.Tensor | None:
    """The same as one row of numbers, so that a wrong shape does not hide right values."""
    value = number(value)
    return None if value is None else value.reshape(-1)


def computes(compute: Callable, got) -> bool:
    try:
        values = compute()
        return values is True or any(same(got, value) for value in (values if isinstance(values, Either) else [values]))
    except Exception:  # a mistake that cannot be made with this input
        return False


def proportional(gots: list, wants: list) -> float | None:
    """The one factor between all values got and wanted, or None where there is none; zero does not count."""
    got, want = (_row(values) for values in (gots, wants))
    if got is None or want is None or got.shape != want.shape or not bool(torch.cat([got, want]).isfinite().all()):
        return None
    factor = float((got * want).sum() / want.square().sum().clamp_min(1e-30))
    return factor if abs(factor) > 1e-6 and same(got, factor * want) else None


def parallel(gots: list, wants: list) -> bool:
    """Whether all values together point where the wanted ones do, whatever their length."""
    got, want = (_row(values) for values in (gots, wants))
    if got is None or want is None or got.shape != want.shape:
        return False
    return float(torch.nn.functional.cosine_similarity(got, want, dim=0)) > 1 - 1e-5


def affine(gots: list, wants: list, tolerance: float = 1e-3) -> tuple[float, float] | None:
    """(a, b) with got = a * want + b for all values, a above zero; None where no line runs through them."""
    got, want = (_row(values) for values in (gots, wants))
    if got is None or want is None or got.shape != want.shape or not bool(torch.cat([got, want]).isfinite().all()):
        return None
    x, y = want - want.mean(), got - got.mean()
    slope = float((x * y).sum() / x.square().sum().clamp_min(1e-30))
    if slope <= 0 or float((y - slope * x).abs().max()) > tolerance * float(y.abs().max()) + 1e-9:
        return None
    return slope, float(got.mean() - slope * want.mean())


def _row(values: list) -> torch.Tensor | None:
    rows = [flat(value) for value in values]
    return torch.cat(rows) if rows and all(row is not None for row in rows) else None


def difference(got, want) -> str:
    """How far `got` is from `want`, in words."""
    if isinstance(want, (list, tuple)):
        if not isinstance(got, list) or len(got) != len(want):
            return f"got {describe(got)}, want {len(want)} values"
        worst = next((g, w) for g, w in zip(got, want) if not same(g, w))
        return difference(*worst)
    if isinstance(want, bool) and isinstance(got, bool):
        return "no"  # the label is the statement
    value, wanted = number(got), number(want) if want is not None else None
    if value is None or wanted is None:
        return f"got {describe(got)}, want {describe(want)}"
    if value.shape != wanted.shape and not value.numel() == wanted.numel() == 1:
        return f"got shape {tuple(value.shape)}, want {tuple(wanted.shape)}"
    value, wanted = value.reshape(-1), wanted.reshape(-1)
    place = int((value - wanted).abs().nan_to_num(torch.inf).argmax())
    off = float(value[place] - wanted[place])
    return f"got {value[place]:.5g}, want {wanted[place]:.5g}" + (f", off by {off:+.3g}" if wanted.numel() == 1 else " at the worst place")


def describe(value) -> str:
    """A short name for a value of any type."""
    if isinstance(value, torch.Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, dict) and "__object__" in value:
        return f"an object of type {str(value['__object__'])[:60]}"
    if isinstance(value, list):
        return f"{len(value)} values"
    return "nothing (None)" if value is None else f"{type(value).__name__} {str(value)[:40] if not isinstance(value, int) else f'{value:.4g}' if abs(value) < 1e300 else 'huge'}"


def shape_difference(got: list, want: list) -> str:
    """Which parameters are missing and which are too many."""
    spare, missing = list(got), []
    for shape in want:
        spare.remove(shape) if shape in spare else missing.append(shape)
    parts = [f"{name} {', '.join(str(shape) for shape in shapes[:4])}{' ...' if len(shapes) > 4 else ''}"
             for name, shapes in (("missing", missing), ("too many", spare)) if shapes]
    return "parameter shapes " + "; ".join(parts)
