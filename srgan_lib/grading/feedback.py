"""One HTML file a student: points, code, message, hints, and the line that reproduces a result in the notebook."""

import ast
import html
from pathlib import Path

from ..images import atomic_write
from .reports import names, total
from .selection import parse

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #ccc;text-align:left}td+td{text-align:right}
h2{margin-top:2.5rem;border-top:1px solid #ccc;padding-top:1rem}pre{background:#f4f4f4;padding:.8rem;overflow-x:auto}
.failed{color:#a02020;overflow-wrap:anywhere}.passed{color:#206020}.by-hand{background:#fff6d8;padding:.3rem .6rem}code{background:#f4f4f4}"""


def write_pages(rows: list[dict], folder: Path, marks: list[dict] | None = None) -> None:
    """FOLDER/<student>.html for each result; marks: what `gradebook.marks` makes of the rows."""
    from .judge import load_exercises
    hints = {name: exercise.hints for name, exercise in load_exercises().items()}
    for name, row, mark in zip(names(rows), rows, marks or [None] * len(rows)):
        text = page(row, name, _sources(row), hints, mark)
        atomic_write(folder / f"{name}.html", lambda out, text=text: out.write(text.encode("utf-8", "replace")))


def _sources(row: dict) -> dict[str, str]:
    """The code of each exercise as it was graded; nothing where the file can no longer be read."""
    from .submission import load_notebook
    found: dict[str, str] = {}
    try:
        for _, _, source in load_notebook(row["notebook"]).pieces:
            for name in _defined(source):
                found[name] = source[:20_000]
    except Exception:
        return {}
    return found


def _defined(source: str) -> set[str]:
    """Functions, classes and variables that a piece of code makes, within an `if` as well."""
    found = set()
    for node in ast.walk(parse(source)) if source.startswith(("if", "try")) else parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        found |= {target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)}
    return found


def safe(text) -> str:
    """Text for a page, whatever it came out of."""
    return html.escape(str(text).encode("utf-8", "replace").decode())


def page(row: dict, name: str, sources: dict[str, str], hints: dict, mark: dict | None = None) -> str:
    """The page as text; whatever came out of the submission is escaped."""
    title = safe(row.get("name") or row.get("student") or name)
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{title}</title><style>{STYLE}</style>",
             f"<h1>{title}</h1><p>{row['points']:g} of {row['out_of']} points from the tests.</p>", *(f"<p class=by-hand>{safe(line)}</p>" for line in (total(row, mark) if mark else ()))]
    if row["error"]:
        parts.append(f"<p class=failed>{safe(row['error'])}</p>")
    if row["exercises"]:
        changed = {name: f" ({change['points']:g} by hand)" for name, change in (mark["changes"] if mark else {}).items()}
        parts.append("<table><tr><th>exercise<th>points<th>of</tr>" + "".join(
            f"<tr><td><a href='#{safe(e['name'])}'>{safe(e['name'])}</a><td>{e['points']:g}{changed.get(e['name'], '')}<td>{e['out_of']}</tr>"
            for e in row["exercises"]) + "</table>")
    return "\n".join([*parts, *(_exercise(e, row["seed"], sources.get(e["name"], ""), hints.get(e["name"], ())) for e in row["exercises"])]) + "\n</html>\n"


def _exercise(e: dict, seed: int, source: str, hints: tuple) -> str:
    """One exercise: rungs, message, hints to open, how to see it again, and the code."""
    parts = [f"<h2 id='{safe(e['name'])}'>{safe(e['name'])}: {e['points']:g} of {e['out_of']}</h2>"]
    if e.get("passed"):
        parts.append("<ul>" + "".join(f"<li class=passed>passed: {safe(label)}" for label in e["passed"]) + "</ul>")
    if e["message"]:
        parts.append(f"<p class=failed>failed: {safe(e['message'])}</p>")
        parts += [f"<details><summary>Hint {i}</summary><p>{safe(hint)}</p></details>" for i, hint in enumerate(hints, 1)]
        if hints:
            parts.append(f"<p>To see it in your notebook: <code>check({safe(e['name'])}, seed={seed})</code></p>")
    if source:
        parts.append(f"<pre>{safe(source)}</pre>")
    return "\n".join(parts)
