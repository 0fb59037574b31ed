"""Notebooks as graders meet them: read whatever was handed in, keep what may run; make the student's copy.

Of a submission only imports, definitions, classes and constants without calls are kept, so that nobody's training loop,
download or mount runs. Decorators, default values and class bodies are code too and do run, in the sandbox, under its
limits: the selection saves time, the sandbox is what protects.
"""

import ast
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CourseError

MOST_BYTES = 100 << 20
BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"
STUB = 'raise NotImplementedError("your turn")'
OTHER_LANGUAGE = re.compile(r"%%(?!time|timeit|capture|prun)\w")  # cells of bash, html, ...; the named ones hold Python
SHELL = re.compile(r"^(\s*)([%!?].*|\w[\w, ]*=\s*[%!].*|[\w.]+\?\??\s*)$")


class GradingError(CourseError):
    """Grading cannot start: bad usage, or the sandbox does not run."""


class NotebookError(CourseError):
    """What was handed in cannot be read as a notebook; the message completes "FILE ..."."""


@dataclass
class Submission:
    """pieces: (cell, line, source) to execute in order; problems: {cell: sentence}; names: {definition: cell}.

    uses: {definition: attributes in it}; imports: modules; imported: the names that imports bind.
    """

    pieces: list[tuple[int, int, str]] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    uses: dict[str, set[str]] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)


def load_notebook(path: str | Path) -> Submission:
    """Read a notebook of any nbformat from 3 on, with or without metadata -> `Submission`.

    Raises NotebookError when it is not a notebook; a cell that is not Python only loses itself.
    """
    return select(code_cells(read_notebook(path)))


def select(cells: list[str]) -> Submission:
    """What grading keeps of these code cells; one that is not Python is noted in `problems`."""
    submission = Submission()
    for number, source in enumerate(cells, 1):
        try:
            tree, source = _parse(source)
            kept = [node for node in tree.body if _may_run(node)]
            pieces = [_piece(number, node, source) for node in kept]
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            submission.problems[number] = f"cell {number} is not valid Python{line} ({getattr(error, 'msg', type(error).__name__)})"
            continue
        submission.pieces += pieces
        for node in kept:
            _note(submission, number, node)
    return submission


def read_notebook(path: str | Path) -> dict:
    """The notebook's JSON. Raises NotebookError in one sentence."""
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise NotebookError(f"larger than {MOST_BYTES >> 20} MB, clear its outputs")
        notebook = json.loads(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise NotebookError(f"cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8 text'})") from None
    except (ValueError, RecursionError):
        raise NotebookError("is not a notebook (not JSON)") from None
    if not isinstance(notebook, dict) or not isinstance(_cells(notebook), list):
        raise NotebookError("is not a notebook (JSON without cells)")
    return notebook


def _cells(notebook: dict):
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
    for cell in _cells(notebook):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source", cell.get("input", ""))
            sources.append("".join(map(str, source)) if isinstance(source, list) else str(source))
    return sources


def _parse(source: str) -> tuple[ast.Module, str]:
    """Parse a cell, without magics and shell commands where it is not Python as it stands -> tree, source used."""
    if OTHER_LANGUAGE.match(source.lstrip()):
        return ast.Module([], []), ""
    try:
        return ast.parse(source), source
    except SyntaxError:
        plain = "\n".join(SHELL.sub(r"\1pass", line) for line in source.splitlines())
        return ast.parse(plain), plain


def _may_run(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] != "srgan_lib"
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return node.value is not None and all(map(_is_name, targets)) and not _calls(node.value)
    return isinstance(node, (ast.Import, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))


def _is_name(target: ast.expr) -> bool:
    """Names, or tuples of them: assigning to torch.something is not defining a constant."""
    return isinstance(target, ast.Name) or isinstance(target, (ast.Tuple, ast.List)) and all(map(_is_name, target.elts))


def _calls(value: ast.expr) -> bool:
    """Whether evaluating the expression calls, awaits or loops; the body of a lambda is not evaluated."""
    if isinstance(value, ast.Lambda):
        return any(map(_calls, (*value.args.defaults, *filter(None, value.args.kw_defaults))))
    if isinstance(value, (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return True
    return any(_calls(child) for child in ast.iter_child_nodes(value))


def _piece(cell: int, node: ast.stmt, source: str) -> tuple[int, int, str]:
    """(cell, line, source) of a statement with its decorators, without the course's own library."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    lines = source.splitlines()[first - 1:node.end_lineno]
    if isinstance(node, ast.Import):
        node.names = [alias for alias in node.names if alias.name.split(".")[0] != "srgan_lib"]
    if len(lines) == 1:  # several statements may share a line
        lines = [ast.unparse(node)] if getattr(node, "names", True) else []
    return cell, first, "\n".join(lines)


def _note(submission: Submission, cell: int, node: ast.stmt) -> None:
    """Note what a statement imports or defines, and which attributes it uses."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        submission.imports |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else {node.module or ""}
        submission.imported |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
    targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
    names = [node.name] if hasattr(node, "name") else [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
    for name in names:
        submission.names[name] = cell
        submission.uses[name] = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


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
    for line in source.splitlines():
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
