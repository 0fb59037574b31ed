"""Names for mistakes that can be made in any exercise: told from all answers together, never from one number.

Each sentence stands only where it holds for every answer. Whatever two candidates explain equally well is named by none.
"""

import torch

from .comparison import number, proportional, same

NO_RETURN = "the function ends without `return`, or returns nothing"


def pattern(gots: list, wants: list) -> str:
    """The sentence for what all answers have in common, or an empty one."""
    if all(got is None for got in gots):
        return NO_RETURN
    if all(isinstance(got, (list, dict)) for got in gots):
        return f"{len(gots[0])} values come back; want one" if isinstance(gots[0], list) else "what comes back is neither a tensor nor a number"
    values, wanted = [number(got) for got in gots], [number(want) for want in wants]
    if any(v is None for v in (*values, *wanted)):
        return ""
    wrong = [(v, w) for v, w in zip(values, wanted) if not same(v, w)]
    return _of_shapes(wrong) or _of_values(wrong, values, wanted)


def _of_shapes(wrong: list) -> str:
    if any(v.numel() == 0 < w.numel() for v, w in wrong):
        return "the result is empty: a slice such as [m:-m] or [:-m] holds nothing where m is 0"
    if all(v.dim() == w.dim() == 4 and same(v.transpose(2, 3), w) for v, w in wrong):
        return "height and width are swapped"
    if all(v.dim() == w.dim() == 4 and same(v.permute(0, 3, 1, 2), w) for v, w in wrong):
        return "the result is (N, H, W, C); PyTorch's order is (N, C, H, W)"
    if all(v.shape != w.shape and v.numel() == w.numel() and same(v.reshape(w.shape), w) for v, w in wrong):
        return f"the values are right, but not their shape: {tuple(wrong[0][0].shape)}, want {tuple(wrong[0][1].shape)}"
    if all(v.numel() == 1 < w.numel() and same(v.reshape(()), w.mean()) for v, w in wrong):
        return "everything is averaged into one number"
    for word, whole in (("averaged: their mean", torch.mean), ("added up: their sum", torch.sum)):
        if all(v.numel() > 1 == w.numel() and same(whole(v), w) for v, w in wrong):
            return f"several values come back that are not {word} is right, and one number is wanted"
    if all(v.dim() == w.dim() == 4 and v.shape[1] == w.shape[1] and same(v.flip(1), w) for v, w in wrong):
        return "the order of the channels is turned (BGR instead of RGB)"
    return ""


def _of_values(wrong: list, values: list, wanted: list) -> str:
    if any(v.shape == w.shape and bool(w.isfinite().all()) and bool(v.isnan().any()) for v, w in wrong):
        return "the result holds NaN (not a number)"
    if any(v.shape != w.shape for v, w in wrong):
        return ""
    if all(same(v, w.round()) for v, w in wrong) and all(float((v - w).abs().max()) <= 0.5 for v, w in wrong):
        return "the values are rounded; the exact ones are wanted"
    factor = proportional(values, wanted) if len(values) > 1 else None
    if factor is not None:
        return "the sign is turned" if abs(factor + 1) < 1e-3 else f"every value is {factor:.4g} times what it should be"
    shifts = torch.cat([(v - w).reshape(-1) for v, w in zip(values, wanted)])
    if len(values) > 1 and bool(shifts.isfinite().all()) and same(shifts, shifts.mean().expand_as(shifts)) and abs(float(shifts.mean())) > 1e-6:
        if len({round(float(w.mean()), 4) for w in wanted}) > 1:
            return f"every value is off by the same amount, {float(shifts.mean()):+.4g}"
    return ""


def divided(tags: list[dict], passed: list[bool]) -> str:
    """What right and wrong answers differ in: `tags` describes each input, a word for each of its properties.

    Named only if exactly one property tells them apart.
    """
    found = []
    for key in tags[0] if tags else ():
        good, bad = ({tag[key] for tag, ok in zip(tags, passed) if ok is side and key in tag} for side in (True, False))
        if good and bad and not good & bad:
            found.append(f"it works for {_listed(good)}, but not for {_listed(bad)}")
    return found[0] if len(found) == 1 else ""


def _listed(words: set) -> str:
    words = sorted(map(str, words))
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
