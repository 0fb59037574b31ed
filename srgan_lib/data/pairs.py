"""HR and LR pictures side by side: which of them are the ground truth, and which LR belongs to which HR.

Downloads hold them as HR/ and LR/, DIV2K_train_HR/ and DIV2K_train_LR_bicubic/X4/, or 0001.png and 0001x4.png. Taken all
together, a network would be trained on its own inputs as if they were answers.
"""

import io
import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from PIL import Image

from ..errors import DataError

LOW = re.compile(r"(lr|lq|lowres)?(x[2348]|[2348]x)|(lr|lq|lowres)[2348]?")
HIGH = re.compile(r"(hr|gt|hq|highres|groundtruth|target)(x?[2348]x?)?")
MARK = re.compile(r"([-_ .]*(x[2348]|[2348]x|lr|hr|sr|lq|gt|hq)(?=$|[-_ .]))+$", re.IGNORECASE)  # at the end of a name
FACTORS = (2, 3, 4, 8)
SAMPLE = 5  # pairs whose sizes are looked at


def ground_truth(names: list[str], size_of: Callable[[str], tuple[int, int] | None], label: str) -> list[str]:
    """The names that are HR. size_of: (width, height) of a picture, None where it cannot be read.

    What is left out is said aloud. Raises DataError, naming both, where LR and other folders do not belong together.
    """
    low = [name for name in names if _is_low(name)]
    high = sorted({*names} - {*low})
    partners = _partners(low, high)
    if low and high:
        found = _confirmed(low, partners, size_of)
        if not found and any(map(_in_high, high)) and not partners:
            high = [name for name in high if _in_high(name)]
            return _said(high, [name for name in names if name not in {*high}], label)
        if found:
            return _said(high, low, label)
        if not partners and all(_in_low(name) for name in low):
            raise DataError(f"{label}: holds images in {_folder(low)} and in {_folder(high)}; which are the HR ones? Name their folder alone, and the "
                            "other by --pairs")
    smaller = _smaller_twins(names, size_of)
    return _said([name for name in names if name not in smaller], sorted(smaller), label) if smaller else names


def matched(high: Iterable[str], low: Iterable[str], label: str) -> dict[str, str]:
    """{HR name: the LR name that belongs to it}, by path or, where that is plain, by name. Raises DataError for one without."""
    partners = _partners(high, list(low))
    missing = [name for name in high if name not in partners]
    if missing:
        raise DataError(f"{label}: no image, or several, for {', '.join(missing[:3])}" + (f" and {len(missing) - 3} more" * (len(missing) > 3)))
    return partners


def size_in(source) -> tuple[int, int] | None:
    """(width, height) from a picture's first bytes, None where it has none."""
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return image.size
    except Exception:  # decoders raise almost anything on hostile bytes
        return None


def key_of(name: str) -> str:
    """A name without its suffix and without what says HR, LR or the scale: 0001x4.png -> 0001."""
    stem = PurePosixPath(name).stem.lower()
    return MARK.sub("", stem) or stem


def _tokens(part: str) -> list[str]:
    return re.split(r"[-_ .]+", part.lower())


def _in_low(name: str) -> bool:
    return any(LOW.fullmatch(token) for part in PurePosixPath(name).parts[:-1] for token in _tokens(part))


def _in_high(name: str) -> bool:
    return any(HIGH.fullmatch(token) for part in PurePosixPath(name).parts[:-1] for token in _tokens(part))


def _is_low(name: str) -> bool:
    """By a folder above it, which a folder of HR pictures further down overrules, or by the end of its own name."""
    marked = re.search(r"(x[2348]|[2348]x|[-_ .]l[rq])$", PurePosixPath(name).stem.lower())
    return (_in_low(name) and not _in_high(name)) or bool(marked)


def _partners(names: Iterable[str], others: list[str]) -> dict[str, str]:
    """{name: the only other one with its key}; of several the one whose folders are nearest in name."""
    known: dict[str, list[str]] = {}
    for other in others:
        known.setdefault(key_of(other), []).append(other)

    def nearest(name):
        found = known.get(key_of(name), [])
        same = [other for other in found if _place(other) == _place(name)]
        return found[0] if len(found) == 1 else same[0] if len(same) == 1 else None

    return {name: other for name in names if (other := nearest(name))}


def _place(name: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(name).parts[:-1] if not any(LOW.fullmatch(t) or HIGH.fullmatch(t) for t in _tokens(part)))


def _confirmed(low: list[str], partners: dict[str, str], size_of) -> bool:
    """Whether the small ones are their partners divided by a factor, at a few that are looked at."""
    seen = [(size_of(name), size_of(partners[name])) for name in low if name in partners][:SAMPLE]
    return bool(seen) and all(small and large and divided(small, large) for small, large in seen)


def divided(small: tuple[int, int], large: tuple[int, int]) -> int | None:
    """The factor by which one size is the other, whose remainder may have been cut or rounded up; None for no factor."""
    return next((f for f in FACTORS if all(abs(b / f - a) < 1 for a, b in zip(small, large))), None)


def _smaller_twins(names: list[str], size_of) -> set[str]:
    """Names whose folder holds small versions of what another folder holds, whatever the two are called."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key_of(name), []).append(name)
    twins = [group for group in groups.values() if len({PurePosixPath(name).parent for name in group}) > 1]
    if not twins or 2 * sum(map(len, twins)) < len(names):
        return set()
    folders = set()
    for group in twins[::max(len(twins) // SAMPLE, 1)][:SAMPLE]:
        sizes = {name: size_of(name) for name in group}
        if None in sizes.values():
            return set()
        largest = max(group, key=lambda name: sizes[name][0] * sizes[name][1])
        smaller = {str(PurePosixPath(name).parent) for name in group if divided(sizes[name], sizes[largest])}
        if not smaller:
            return set()
        folders |= smaller
    return {name for name in names if str(PurePosixPath(name).parent) in folders}


def _folder(names: list[str]) -> str:
    parent = str(PurePosixPath(names[0]).parent)
    return "the folder itself" if parent == "." else parent


def _said(high: list[str], low: list[str], label: str) -> list[str]:
    print(f"note: {label}: {len(high)} images are used as HR; {len(low)} LR versions of them are left out (such as {low[0]})")
    return sorted(high)
