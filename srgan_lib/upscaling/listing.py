"""Which files are upscaled, where their results go, and what is left out and why."""

import os
from collections import Counter
from pathlib import Path

from ..errors import ImageError
from ..formats.folders import counted, sorted_out
from ..formats.known import is_picture
from .animations import own_suffix
from .streams import is_video

STREAM = "-"


def jobs(inputs: list[str], output: str | None, tag: str, suffix: str = ".png", left_out: Counter | None = None) -> list[tuple[str, str, bool]]:
    """-> (source, target, may be skipped when done) for every file; left_out counts, by reason, what a folder holds besides.

    tag: what is added to a name, "x4"; suffix: of the results. Raises ImageError for an empty path and for targets that clash.
    """
    if not inputs or not all(inputs) or output == "":
        raise ImageError(f"the path of the {'output' if inputs and all(inputs) else 'input'} is empty")
    if any("\0" in name for name in (*inputs, output or "")):
        raise ImageError("no name of a file holds the character 0")
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
    here = Path(os.path.realpath(path))
    out = Path(output) if output else here.with_name(f"{here.name}-{tag}")
    earlier = Path(os.path.realpath(out)) if Path(os.path.realpath(out)) != here else None  # results of an earlier run inside the folder
    files, reasons = sorted_out(path, lambda file: is_video(file) or is_picture(file), "picture or film", earlier)
    if not files:
        raise ImageError(f"{name}: no pictures or films in this folder{f' ({counted(reasons)})' if reasons else ''}")
    left_out.update(reasons)
    return [(str(file), str(out / file.relative_to(path).parent)) for file in files]


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
