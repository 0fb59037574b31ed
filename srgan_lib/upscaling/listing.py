"""Which files are upscaled, where their results go, and what is left out and why."""

import os
from collections import Counter
from pathlib import Path

from ..errors import ImageError
from ..formats.known import SUFFIXES, is_hidden, is_picture
from .animations import own_suffix
from .streams import is_video

STREAM = "-"


def jobs(inputs: list[str], output: str | None, tag: str, suffix: str = ".png", left_out: Counter | None = None) -> list[tuple[str, str, bool]]:
    """-> (source, target, may be skipped when done) for every file; left_out counts, by reason, what a folder holds besides.

    tag: what is added to a name, "x4"; suffix: of the results. Raises ImageError for an empty path and for targets that clash.
    """
    if not inputs or not all(inputs) or output == "":
        raise ImageError(f"the path of the {'output' if inputs and all(inputs) else 'input'} is empty")
    if STREAM in inputs and len(inputs) > 1:
        raise ImageError("- (standard input) must be the only input")
    if inputs == [STREAM]:
        return [(STREAM, output or STREAM, False)]
    several = len(inputs) > 1 or Path(inputs[0]).is_dir()
    if several and output and (output == STREAM or Path(output).is_file()):
        raise ImageError(f"{output}: several inputs need a folder as their output")
    if not several and output == STREAM:
        return [(inputs[0], STREAM, False)]
    if not several and output and Path(output).suffix and not (Path(output).is_dir() or output.endswith(("/", os.sep))):
        return _checked([(inputs[0], output, False)])
    left_out = Counter() if left_out is None else left_out
    found = [pair for name in inputs for pair in _within(name, output, tag, left_out)]
    found = list(dict.fromkeys(found))  # who names a file twice gets it once
    places = Counter(_place(*pair, tag, suffix) for pair in found)
    targets = {pair: _place(*pair, tag, suffix, places[_place(*pair, tag, suffix)] > 1) for pair in found}
    written = {Path(os.path.realpath(target)) for target in targets.values()}  # results of an earlier run are no inputs
    return _checked([(source, target, several) for (source, _), target in targets.items() if Path(os.path.realpath(source)) not in written])


def _within(name: str, output: str | None, tag: str, left_out: Counter) -> list[tuple[str, str]]:
    """(file, folder of its result) for a file or for everything in a folder."""
    path = Path(name)
    if not path.is_dir():
        return [(name, output or str(path.parent))]
    out = Path(output) if output else Path(os.path.realpath(path)).with_name(f"{Path(os.path.realpath(path)).name}-{tag}")
    inside, files, reasons = Path(os.path.realpath(out)) != Path(os.path.realpath(path)), [], Counter()
    for file in sorted(walk(path)):
        if inside and Path(os.path.realpath(out)) in Path(os.path.realpath(file)).parents:
            continue
        reason = reason_against(file, path)
        if reason is None:
            files.append(file)
        else:
            reasons[reason] += 1
    if not files:
        raise ImageError(f"{name}: no pictures or films in this folder{f' ({counted(reasons)})' if reasons else ''}")
    left_out.update(reasons)
    return [(str(file), str(out / file.relative_to(path).parent)) for file in files]


def walk(folder: Path):
    """Every file below a folder; a folder that a link leads to is gone through too, but no folder twice."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        if os.path.realpath(place) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(place))
        folders.sort()  # the same order, and so the same names, on every system
        yield from (Path(place, name) for name in files)


def reason_against(file: Path, root: Path) -> str | None:
    """Why a file of a folder is left out, or None for a picture or film: by its suffix, else by what it begins with."""
    if is_hidden(file, root):
        return "hidden or of the system"
    if not file.exists():
        return "dead link"
    if not file.is_file():
        return "no ordinary file"
    if file.suffix.lower() in SUFFIXES or is_video(file) or is_picture(file):
        return None
    return f"no picture or film: {file.suffix.lower() or 'without suffix'}"


def counted(left_out: Counter) -> str:
    """"left out: 3 files (no picture or film: 2 .txt, 1 .db; 1 hidden or of the system)"."""
    kinds = [f"{count} {reason.split(': ')[1]}" for reason, count in sorted(left_out.items()) if ": " in reason]
    others = [f"{count} {reason}" for reason, count in sorted(left_out.items()) if ": " not in reason]
    parts = ([f"no picture or film: {', '.join(kinds)}"] if kinds else []) + others
    total = sum(left_out.values())
    return f"left out: {total} {'file' if total == 1 else 'files'} ({'; '.join(parts)})"


def _place(source: str, folder: str, tag: str, suffix: str, shared: bool = False) -> str:
    """FOLDER/NAME-x4.png, or FOLDER/NAME-jpg-x4.png where a.jpg and a.png stand side by side; films keep their container."""
    path = Path(source)
    kept = path.suffix if path.suffix.lower() in (".mp4", ".mov", ".mkv", ".m4v") else ".mp4"
    suffix = kept if is_video(path) else (own_suffix(path) if suffix == ".png" else None) or suffix
    return str(Path(folder) / f"{path.stem}{f'-{path.suffix[1:]}' if shared else ''}-{tag}{suffix}")


def _checked(listed: list[tuple[str, str, bool]]) -> list[tuple[str, str, bool]]:
    sources = {Path(os.path.realpath(source)) for source, _, _ in listed}
    seen: dict[Path, str] = {}
    for source, target, _ in listed:
        place = Path(os.path.realpath(target))
        if place in sources:
            raise ImageError(f"{target}: is an input, which is never overwritten; name another output")
        if place in seen:
            raise ImageError(f"{target}: would be written from {seen[place]} and from {source}; give them different output folders")
        seen[place] = source
    return listed
