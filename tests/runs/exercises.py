"""Put a cell with a check under each exercise of the lessons, and write notebooks/solutions/, from srgan_lib/lessons/*.md.

python tests/runs/exercises.py            lessons and solutions; solutions whose code has changed are executed
python tests/runs/exercises.py --check    says which notebook differs from what would be written, exit code 1
python tests/runs/exercises.py --lessons  the lessons alone

A question stays as the lesson's author wrote it, in a numbered list under the heading "Exercises" or in a cell that begins
with "**Exercise 2.3.**". Everything else about it comes from the Markdown file of the lesson. Running it twice changes nothing.
"""

import ast
import builtins
import contextlib
import io
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from srgan_lib.lessons import session  # noqa: E402
from srgan_lib.lessons.texts import lessons, texts  # noqa: E402

NOTEBOOKS = ROOT / "notebooks"
SOLUTIONS = NOTEBOOKS / "solutions"
SETUP = (ROOT / "tests" / "setup_cell.py.txt").read_text().removesuffix("\n")
HEADING = re.compile(r"^(#{1,6}) .*\bExercises\b.*$", re.M)
NUMBERED, BULLET = re.compile(r"^(\d+)[.)] +", re.M), re.compile(r"^()[-*] +", re.M)
CELL = re.compile(r"^\*\*Exercise (\d+\.\d+)\.\*\* *")
HOW = ("Below each question stands a cell. Write your answer into it, and run it: `check` says what is right and what is not. "
       "`hint(\"{key}\")` gives a first hint, and the next one when you call it again. For a question of the kind *why?* write a few sentences "
       "as a text; then you see a model answer to compare with. `status()` says what is solved. [The solutions](solutions/{name}.ipynb) "
       "are a notebook of their own.")
IMPORT = "from srgan_lib.lessons import check, hint, status"


# ---------------------------------------------------------------- cells


def source(cell: dict) -> str:
    return "".join(cell["source"])


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def markdown(name: str, text: str, tags: tuple[str, ...] = ()) -> dict:
    return {"cell_type": "markdown", "id": name, "metadata": {"tags": list(tags)} if tags else {}, "source": lines(text)}


def code(name: str, text: str, tags: tuple[str, ...] = (), printed: str = "") -> dict:
    outputs = [{"name": "stdout", "output_type": "stream", "text": lines(printed)}] if printed else []
    return {"cell_type": "code", "execution_count": None, "id": name, "metadata": {"tags": list(tags)} if tags else {}, "outputs": outputs, "source": lines(text)}


def store(path: Path, notebook: dict) -> None:
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def generated(cell: dict) -> bool:
    return "exercise" in cell["metadata"].get("tags", [])


# ---------------------------------------------------------------- the section of a lesson


def section(notebook: dict, lesson: str) -> tuple[list[dict], dict[str, str], list[dict]]:
    """-> (the cells before it, heading included; "2.3" -> question; the cells behind it). Cells of an earlier run are left out."""
    cells = [cell for cell in notebook["cells"] if not generated(cell)]
    place = next((i for i, cell in enumerate(cells) if cell["cell_type"] == "markdown" and HEADING.search(source(cell))), None)
    if place is None:
        raise SystemExit(f"notebook {lesson}: there is no heading with the word Exercises")
    heading = list(HEADING.finditer(source(cells[place])))[-1]
    parts, behind = [source(cells[place])[heading.end():]], cells[place + 1:]
    while behind and behind[0]["cell_type"] == "markdown" and not re.match(r"#{1,2} ", source(behind[0])):
        parts.append(source(behind.pop(0)))
    intro, questions, rest = split(parts, lesson, len(heading[1]))
    first = cells[place] | {"source": lines(source(cells[place])[:heading.end()] + (f"\n\n{intro}" if intro else ""))}
    ends = [markdown("exercises-end", rest)] if rest else []
    return [*cells[:place], first], questions, [*ends, *behind]


def split(parts: list[str], lesson: str, level: int) -> tuple[str, dict[str, str], str]:
    """Texts behind the heading -> (what comes before the questions, the questions by number, what comes behind them)."""
    intro, questions, rest = [], {}, []
    for part in parts:
        if CELL.match(part):
            questions[CELL.match(part)[1]] = CELL.sub("", part).strip()
            continue
        items = list(NUMBERED.finditer(part)) or list(BULLET.finditer(part))
        if not items:
            (rest if questions else intro).append(part.strip())
            continue
        intro.append(part[:items[0].start()].strip())
        for number, (item, end) in enumerate(zip(items, [*(i.start() for i in items[1:]), len(part)]), 1):
            text = part[item.end():end]
            if end == len(part) and (break_ := re.search(rf"\n\s*\n(?=\S)|\n(?=#{{1,{level}}} )", text)):
                text, behind = text[:break_.start()], text[break_.end():]
                rest.append(behind.strip())
            questions[f"{int(lesson)}.{item[1] or number}"] = re.sub(r"\n +", "\n", text).strip()
    return "\n\n".join(filter(None, intro)), questions, "\n\n".join(filter(None, rest))


def check_questions(questions: dict[str, str], lesson: str) -> None:
    """Stop unless the lesson asks what the Markdown file answers: a renumbered question must not get another one's check."""
    known = {key: text for key, text in texts().items() if text.lesson == lesson}
    if set(questions) != set(known):
        raise SystemExit(f"notebook {lesson} has the exercises {', '.join(questions)}, and srgan_lib/lessons has {', '.join(known)}")
    for key, text in known.items():
        if not any(mark.lower() in " ".join(questions[key].lower().split()) for mark in text.question):
            raise SystemExit(f"exercise {key} mentions none of {', '.join(map(repr, text.question))}: was it renumbered or rewritten? "
                             f"Look at srgan_lib/lessons/{lessons()[lesson].name}, then change its line `question:`")


# ---------------------------------------------------------------- a lesson with its checks


def with_checks(notebook: dict, lesson: str) -> dict:
    """The notebook with a cell under each question; what these cells print before an answer is stored with them."""
    before, questions, behind = section(notebook, lesson)
    check_questions(questions, lesson)
    first, name = next(iter(questions)), lessons()[lesson].stem
    cells = [markdown("exercises-how", HOW.format(key=first, name=name), ("exercise",)), code("exercises-import", IMPORT, ("exercise",))]
    session.STATES.clear()
    for key, question in questions.items():
        cells.append(markdown(f"question-{key.replace('.', '-')}", f"**Exercise {key}.** {question}"))
        cells.append(code(f"exercise-{key.replace('.', '-')}", texts()[key].stub, ("exercise",), printed(texts()[key].stub)))
    cells.append(code("exercises-status", "status()", ("exercise",), printed("status()")))
    session.STATES.clear()
    return renumbered(notebook, [*before, *cells, *behind])


def printed(stub: str) -> str:
    """What a stub prints. Names of the lesson that it hands on are None here, which no unanswered check looks at."""
    import numpy
    import torch

    from srgan_lib import losses
    space = {"np": numpy, "torch": torch, "BCE": losses.BCE, "check": session.check, "status": session.status}
    loaded = {node.id for node in ast.walk(ast.parse(stub)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    space |= {name: None for name in loaded if name not in space and not hasattr(builtins, name)}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(stub, space)
    return out.getvalue()


def renumbered(notebook: dict, cells: list[dict]) -> dict:
    """The notebook with these cells; where it was executed from top to bottom, its counts go on through the new cells."""
    old = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code" and not generated(cell)]
    if None not in old:
        for count, cell in enumerate((cell for cell in cells if cell["cell_type"] == "code"), 1):
            cell["execution_count"] = count
            for output in cell["outputs"]:
                if "execution_count" in output:
                    output["execution_count"] = count
    return notebook | {"cells": cells}


# ---------------------------------------------------------------- the solutions


def solutions(notebook: dict, lesson: str) -> dict:
    """The solutions of a lesson as a notebook, not executed."""
    _, questions, _ = section(notebook, lesson)
    check_questions(questions, lesson)
    name, head = lessons()[lesson].stem, source(notebook["cells"][0])
    badge, title = head.splitlines()[0].replace("notebooks/", "notebooks/solutions/"), re.search(r"^# (.*)$", head, re.M)[1]
    imports, bodies = hoisted({key: texts()[key].solution for key in questions})
    top = (f"{badge}\n\n# Solutions to {title}\n\nTry each exercise of [the lesson](../{name}.ipynb) and read its hints before you read on. "
           "Other answers can be right too: what counts is what `check` says.")
    cells = [markdown("top", top), code("setup", SETUP), code("imports", "\n".join([*imports, "from srgan_lib.lessons import check, model_answer"]))]
    shown: set[str] = set()
    for key, question in questions.items():
        text, label = texts()[key], key.replace(".", "-")
        cells.append(markdown(f"question-{label}", f"## {key} {text.title}\n\n{question.removeprefix(f'**{text.title}.** ')}"))
        for shared in text.shared:
            if shared not in shown:
                cells.append(code(f"shared-{shared}".replace("_", "-"), "# as in the lesson\n" + definition(notebook, shared)))
        shown |= set(text.shared)
        cells += [code(f"solution-{label}-{i}", body) for i, body in enumerate(bodies[key], 1)]
        cells.append(markdown(f"answer-{label}", f"**Model answer.** {text.model}"))
    return {"cells": cells, "metadata": notebook["metadata"], "nbformat": 4, "nbformat_minor": 5}


def hoisted(pieces: dict[str, tuple[str, ...]]) -> tuple[list[str], dict[str, list[str]]]:
    """The imports of all pieces for the top of the notebook, the standard library first, and the pieces without them."""
    pattern = re.compile(r"^(?:import|from) .*\n?", re.M)
    found = dict.fromkeys(line.strip() for parts in pieces.values() for part in parts for line in pattern.findall(part))
    ours = [line for line in found if line.startswith("from srgan_lib")]
    others = [line for line in found if line not in ours]
    standard = [line for line in others if line.split()[1].split(".")[0] in sys.stdlib_module_names]
    bodies = {key: [body for part in parts if (body := pattern.sub("", part).strip("\n"))] for key, parts in pieces.items()}
    others = sorted(set(others) - set(standard))
    return [line for group in (standard, others, ours) for line in sorted(group, key=lambda line: (line.startswith("from"), line))], bodies


def definition(notebook: dict, name: str) -> str:
    """The lesson's own text of a function."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and not generated(cell):
            for node in ast.parse(source(cell)).body:
                if getattr(node, "name", None) == name:
                    return ast.get_source_segment(source(cell), node)
    raise SystemExit(f"the lesson no longer defines {name}, which a solution takes over")


def executed(notebook: dict) -> dict:
    """Run it in notebooks/solutions, as a reader would; an error ends everything."""
    import nbformat
    from nbclient import NotebookClient
    SOLUTIONS.mkdir(exist_ok=True)
    running = nbformat.reads(json.dumps(notebook), as_version=4)
    NotebookClient(running, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(SOLUTIONS)}}).execute()
    result = json.loads(nbformat.writes(running))
    for cell in result["cells"]:
        cell["metadata"].pop("execution", None)
        if cell["id"] == "setup":  # the folder has this name where a reader clones it
            cell["outputs"] = code("setup", SETUP, printed="course: srgan-course\n")["outputs"]
    return result | {"metadata": notebook["metadata"]}


def refreshed(wanted: dict, path: Path) -> dict:
    """The wanted notebook with its outputs: those of the file, if its code is the same, or else those of a run."""
    old = json.loads(path.read_text("utf-8")) if path.is_file() else {"cells": []}
    codes, stored_codes = ([cell for cell in one["cells"] if cell["cell_type"] == "code"] for one in (wanted, old))
    if [source(cell) for cell in codes] != [source(cell) for cell in stored_codes] or None in [cell["execution_count"] for cell in stored_codes]:
        print("executing", path.relative_to(ROOT), flush=True)
        return executed(wanted)
    for cell, stored in zip(codes, stored_codes):
        cell["outputs"], cell["execution_count"] = stored["outputs"], stored["execution_count"]
    return wanted


def same_sources(one: dict, other: dict) -> bool:
    return [(cell["cell_type"], source(cell)) for cell in one["cells"]] == [(cell["cell_type"], source(cell)) for cell in other["cells"]]


# ---------------------------------------------------------------- command


def lesson_path(lesson: str) -> Path:
    return NOTEBOOKS / f"{lessons()[lesson].stem}.ipynb"


def stale() -> list[str]:
    """The notebooks that differ from what would be written."""
    found = []
    for lesson in lessons():
        path, solved = lesson_path(lesson), SOLUTIONS / lesson_path(lesson).name
        notebook = json.loads(path.read_text("utf-8"))
        wanted = with_checks(json.loads(path.read_text("utf-8")), lesson)
        if wanted != notebook:
            found.append(str(path.relative_to(ROOT)))
        if not solved.is_file() or not same_sources(solutions(notebook, lesson), json.loads(solved.read_text("utf-8"))):
            found.append(str(solved.relative_to(ROOT)))
    return found


def write(only_lessons: bool) -> None:
    for lesson in lessons():
        path = lesson_path(lesson)
        notebook = with_checks(json.loads(path.read_text("utf-8")), lesson)
        store(path, notebook)
        if not only_lessons:
            store(SOLUTIONS / path.name, refreshed(solutions(notebook, lesson), SOLUTIONS / path.name))


def main(arguments: list[str]) -> int:
    if "--check" in arguments:
        different = stale()
        for name in different:
            print(f"{name}: differs from srgan_lib/lessons; run python tests/runs/exercises.py")
        return 1 if different else 0
    write("--lessons" in arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
