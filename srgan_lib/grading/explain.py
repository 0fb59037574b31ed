"""The two questions that a person marks: their answers, side by side, in a table with a place for points.

The table has the columns of `overrides` and goes back to the grader as one, once the points are in it.
"""

import re
from pathlib import Path

from .overrides import EXPLAIN
from .submission import cells_of, is_script, read_notebook
from .tables import merge_table

HEADING = re.compile(r"^\s*#{1,6}\s", re.M)
QUESTIONS = {"explain_psnr": re.compile(r"^#+ A\. ", re.M), "explain_use": re.compile(r"^#+ B\. ", re.M)}
PROMPT = re.compile(r"^\*Your answer to [AB]:\*\s*", re.M)


def answers(path: str) -> dict[str, str]:
    """{question: what stands below it, up to the next heading}; empty where nothing was written or nothing can be read."""
    try:
        cells = [] if is_script(path) else cells_of(read_notebook(path))
    except Exception:  # it has been refused with a reason already
        cells = []
    found, current = dict.fromkeys(EXPLAIN, ""), None
    for cell in cells:
        text = _text(cell)
        if asked := next((name for name, heading in QUESTIONS.items() if heading.search(text)), None):
            current = asked
            text = PROMPT.split(text, 1)[1] if PROMPT.search(text) else ""
        elif HEADING.search(text):
            current = None
        if current:
            found[current] = f"{found[current]}\n{PROMPT.sub('', text)}".strip()
    return found


def _text(cell) -> str:
    source = cell.get("source", "") if isinstance(cell, dict) and cell.get("cell_type") == "markdown" else ""
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text[:5000])


def write_explanations(rows: list[dict], file: Path) -> None:
    """A line for each student and question; lines that are there already, and perhaps marked, stay as they are."""
    lines = [["student", "exercise", "points", "remark", "answer"]]
    for row in rows:
        student = row.get("student") or Path(row["notebook"]).stem
        lines += [[student, name, "", "" if text else "no answer", _shown(text)]
                  for name, text in answers(row["notebook"]).items()]
    merge_table(file, lines, ("student", "exercise"), set())
