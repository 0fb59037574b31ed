"""Notebooks as graders meet them: read whatever was handed in, keep what may run; make the student's copy.

What of it may run, `selection` decides.
"""

import json
import os
import re
import stat
from pathlib import Path

from ..errors import CourseError
from .selection import STUB, Submission, _note, _parse, rows, select

__all__ = ["GradingError", "NotebookError", "Submission", "STUB", "code_cells", "load_notebook", "read_notebook", "release", "select", "_note", "_parse"]

MOST_BYTES = 100 << 20
MOST_PARTS = 3_000_000  # of brackets and commas: what JSON becomes in memory depends on their number
BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"


class GradingError(CourseError):
    """Grading cannot start: bad usage, or the sandbox does not run."""


class NotebookError(CourseError):
    """What was handed in cannot be read as a notebook; the message completes "FILE ..."."""


def load_notebook(path: str | Path) -> Submission:
    """Read a notebook of any nbformat from 3 on, with or without metadata -> `Submission`.

    Raises NotebookError when it is not a notebook; a cell that is not Python only loses itself.
    """
    if is_script(str(path)):
        return select(script_cells(_text(Path(path))))
    return select(code_cells(read_notebook(path)))


def is_script(name: str) -> bool:
    """Whether a file is named as a Python script; some browsers put .txt behind the name."""
    return bool(re.search(r"\.py(\.txt)?$", name, re.I))


def script_cells(text: str) -> list[str]:
    """The cells of a script: cut at `# %%` and `# In[3]:`, as Jupyter, VS Code and Colab write them."""
    return [cell for cell in re.split(r"(?m)^# ?(?:%%.*|In ?\[[\d ]*\]:?) *$", text) if cell.strip()]


def read_notebook(path: str | Path) -> dict:
    """The notebook's JSON. Raises NotebookError in one sentence."""
    text = _text(Path(path))
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError):
        raise NotebookError("is not a notebook (not JSON)") from None
    if not isinstance(notebook, dict) or not isinstance(cells_of(notebook), list):
        raise NotebookError("is not a notebook (JSON without cells)")
    return notebook


def cells_of(notebook: dict):
    """The cells of nbformat 4, or of nbformat 3, which had them in worksheets."""
    if "cells" in notebook:
        return notebook["cells"]
    sheets = notebook.get("worksheets")
    if not isinstance(sheets, list):
        return None
    return [cell for sheet in sheets if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list) for cell in sheet["cells"]]


def code_cells(notebook: dict) -> list[str]:
    """The sources of the code cells; text may be one string or a list of lines, `source` or nbformat 3's `input`."""
    sources = []
    for cell in cells_of(notebook):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source", cell.get("input", ""))
            sources.append("".join(map(str, source)) if isinstance(source, list) else str(source))
    return sources


def _text(path: Path) -> str:
    """The text of a plain file of bearable size. Raises NotebookError."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise NotebookError("is not a file")
        if found.st_size > MOST_BYTES:
            raise NotebookError(f"is larger than {MOST_BYTES >> 20} MB, clear its outputs")
        data = path.read_bytes()
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise NotebookError(f"cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8 text'})") from None
    if sum(map(text.count, "[{,")) > MOST_PARTS:
        raise NotebookError("holds millions of values, clear its outputs")
    return text


def release(solution: str | Path, out: str | Path) -> None:
    """Write the student's notebook: solutions become a stub, outputs and counts are dropped, all else stays.

    Raises NotebookError for a marker without its partner.
    """
    notebook = read_notebook(solution)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            text = _without_solution("".join(cell["source"]))
            cell.update(source=text.splitlines(keepends=True), outputs=[], execution_count=None)
            cell["metadata"].pop("execution", None)
    notebook["metadata"].pop("widgets", None)
    Path(out).write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _without_solution(source: str) -> str:
    kept, inside = [], False
    for line in rows(source):
        if line.strip() in (BEGIN, END):
            if inside != (line.strip() == END):
                raise NotebookError(f"'{line.strip()}' without its partner")
            inside = not inside
            if inside:
                kept.append(line[:len(line) - len(line.lstrip())] + STUB)
        elif not inside:
            kept.append(line)
    if inside:
        raise NotebookError(f"'{BEGIN}' without its partner")
    return "\n".join(kept)
