"""One answer among right ones, graded as a notebook and checked as in a notebook, in this process and without a sandbox."""

import contextlib
import io
import linecache
import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path

from srgan_lib import grading
from srgan_lib.grading import judge, session
from srgan_lib.grading.submission import _parse, code_cells, read_notebook, select
from srgan_lib.grading.trial import in_this_process

SOLUTION = Path(__file__).resolve().parents[2] / "notebooks" / "assignment" / "solution.ipynb"


@dataclass
class Answer:
    """id, what it answers, what it is, and its cells; the one that defines the exercise replaces the solution's."""

    id: str
    exercise: str
    what: str
    cells: list[str]


def read_answers(file: Path) -> list[Answer]:
    """Answers in a file of sections: `# %% ID | exercise | what it is`, the code, `# === next cell ===` between cells."""
    found = []
    for part in re.split(r"(?m)^# %% ", file.read_text("utf-8"))[1:]:
        head, _, body = part.partition("\n")
        number, name, what = (text.strip() for text in head.split("|", 2))
        found.append(Answer(number, name, what, [cell.strip("\n") for cell in body.split("# === next cell ===")]))
    return found


def solution_cells() -> list[str]:
    return [cell for cell in code_cells(read_notebook(SOLUTION)) if not re.match(r"try:|check\(", cell)]


def place(base: list[str], answer: Answer) -> list[str]:
    """The notebook's cells with the answer where its exercise stands."""
    at = next(i for i, cell in enumerate(base) if re.search(rf"(?m)^(def|class) {answer.exercise}\b", cell))
    constants = "\n".join(line for line in base[at].splitlines() if re.match(r"[A-Z]+ = ", line) and line.split()[0] not in "".join(answer.cells).split("def ")[0])
    return [*base[:at], *filter(None, [constants]), *answer.cells, *base[at + 1:]]


class InProcess:
    """What the judge asks of a session, without a sandbox."""

    def __init__(self, submission):
        namespace, self.problems = session.load(submission.pieces, 60)
        self.put = in_this_process(namespace)


def grade_answer(cells: list[str], name: str, seed: int, kept: dict | None = None):
    """The result of one exercise of a notebook of these cells. kept: keeps what was loaded for other seeds."""
    kept = {} if kept is None else kept
    if not kept:
        kept["submission"] = select(cells)
        kept["session"] = InProcess(kept["submission"])
    return judge._one(judge.load_exercises()[name], kept["submission"], kept["session"], seed)


def check_answer(cells: list[str], name: str, seed: int) -> tuple[float, bool, str]:
    """(points, whether `check` accepts it as it stands, what it prints) after all cells have run in a notebook."""
    main = types.ModuleType("__main__")
    main.In = ["", *cells]
    for number, cell in enumerate(cells, 1):
        source, file = _parse(cell)[1], f"<ipython-input-{number}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        exec(compile(source, file, "exec"), vars(main))
    before, printed = sys.modules["__main__"], io.StringIO()
    sys.modules["__main__"] = main
    try:
        with contextlib.redirect_stdout(printed):
            grading.check(getattr(main, name, name), seed)
    finally:
        sys.modules["__main__"] = before
    text = printed.getvalue()
    points, most = map(float, re.search(r": ([\d.]+) of ([\d.]+) points", text).groups())
    return points, points == most and "no points when it is graded" not in text, text
