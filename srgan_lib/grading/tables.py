"""Tables as spreadsheets write them: any usual separator and encoding is read; lines that do not change stay byte for byte."""

import csv
import io
from pathlib import Path

from ..images import atomic_write
from ..locks import is_stream
from .submission import GradingError


def read_table(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV as {heading in small letters: text}, with the number of the line under "#".

    Separated by commas, semicolons or tabs, in UTF-8 or UTF-16. Raises GradingError for anything else.
    """
    text = _text(file)
    first = text.lstrip().split("\n", 1)[0]
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
        lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise GradingError(f"{file}: is not a table ({error})") from None
    if not lines:
        raise GradingError(f"{file}: is empty; it wants a line of headings")
    heads = [head.strip().lower() for head in lines[0][1]]
    return [{"#": str(number), **dict(zip(heads, (cell.strip() for cell in [*row, *[""] * len(heads)])))} for number, row in lines[1:]]


def headings(file: Path) -> set[str]:
    """The headings of a table that has no rows yet, too."""
    first = _text(file).lstrip().split("\n", 1)[0]
    return {head.strip(' "\r').lower() for head in first.split(max(",;\t", key=first.count))}


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise GradingError(f"{file}: is not UTF-8; save it as CSV UTF-8") from None
    except OSError as error:
        raise GradingError(f"{file}: cannot be read ({error.strerror})") from None


def harmless(cell) -> str:
    """A cell as text. Spreadsheets take one that begins like this for a formula."""
    cell = str(cell)
    return "'" + cell if cell.startswith(("=", "+", "-", "@", "\t", "\r")) and cell != "-" and not _is_number(cell) else cell


def _is_number(cell: str) -> bool:
    try:
        return bool(float(cell)) or True
    except ValueError:
        return False


def write_table(file: Path, lines: list[list]) -> None:
    """Write a table, whole or not at all; the first line holds the headings."""
    text = _joined([[harmless(cell) for cell in line] for line in lines])
    atomic_write(file, lambda out: out.write(text.encode("utf-8", "replace")))


def merge_table(file: Path, lines: list[list], key: tuple[str, ...], changed: set | None = None) -> None:
    """Bring `lines` into a table that may exist: keep every line of it as it is, except those whose key is in `changed`.

    key: headings that say whose line it is. Raises GradingError for a file with other columns.
    """
    lines = [[harmless(cell) for cell in line] for line in lines]
    places = [lines[0].index(head) for head in key]
    new = {tuple(line[i] for i in places): line for line in lines[1:]}
    if not file.exists() or is_stream(file):
        return write_table(file, lines)
    old = _records(_text(file), file)
    if old and old[0][0] != lines[0]:
        raise GradingError(f"{file}: exists and has other columns; name another, or delete it")
    parts = [old[0][1] if old else _joined(lines[:1])]
    for row, raw in old[1:]:
        name = tuple(row[i] if i < len(row) else "" for i in places)
        fresh = new.pop(name, None)
        parts.append(raw if fresh is None or changed is not None and name not in changed else _joined([fresh]))
    if parts[-1] and not parts[-1].endswith("\n"):
        parts[-1] += "\n"
    text = "".join(parts) + _joined(list(new.values()))
    return atomic_write(file, lambda out: out.write(text.encode("utf-8", "replace")))


def _records(text: str, file: Path) -> list[tuple[list[str], str]]:
    """Each row with the text that it came from."""
    buffer, found = [], []

    def fed():
        for line in text.splitlines(keepends=True):
            buffer.append(line)
            yield line
    try:
        for row in csv.reader(fed()):
            found.append((row, "".join(buffer)))
            buffer.clear()
    except csv.Error:
        raise GradingError(f"{file}: exists and is not a table; name another, or delete it") from None
    return found


def _joined(lines: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
