"""One HTML file a student: points, code, message, hints, and the line that reproduces a result in the notebook."""

import html
from pathlib import Path

from ..images import atomic_write
from .reports import names

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #ccc;text-align:left}
pre{background:#f4f4f4;padding:.8rem;overflow-x:auto}.failed{color:#a02020}.passed{color:#206020}"""


def write_pages(rows: list[dict], folder: Path) -> None:
    """FOLDER/<student>.html for each result."""
    from .judge import load_exercises
    hints = {name: exercise.hints for name, exercise in load_exercises().items()}
    for name, row in zip(names(rows), rows):
        text = page(row, name, _sources(row), hints)
        atomic_write(folder / f"{name}.html", lambda out, text=text: out.write(text.encode("utf-8", "replace")))


def _sources(row: dict) -> dict[str, str]:
    """The code of each exercise as it was graded; nothing where the file can no longer be read."""
    import ast

    from .submission import load_notebook
    try:
        found = {}
        for _, _, source in load_notebook(row["notebook"]).pieces:
            for node in ast.parse(source).body:
                if hasattr(node, "name"):
                    found[node.name] = source[:20_000]
        return found
    except Exception:
        return {}


def page(row: dict, name: str, sources: dict[str, str], hints: dict) -> str:
    """The page as text; whatever came out of the submission is escaped."""
    def safe(text) -> str:
        return html.escape(str(text))
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>{safe(name)}</title><style>{STYLE}</style>",
             f"<h1>{safe(row.get('student') or name)}: {row['points']:g} of {row['out_of']} points</h1>"]
    if row["error"]:
        parts.append(f"<p class=failed>{safe(row['error'])}</p>")
    parts.append("<table><tr><th>exercise<th>points<th>of</tr>" + "".join(
        f"<tr><td><a href='#{safe(e['name'])}'>{safe(e['name'])}</a><td>{e['points']:g}<td>{e['out_of']}</tr>" for e in row["exercises"]) + "</table>")
    for e in row["exercises"]:
        parts.append(f"<h2 id='{safe(e['name'])}'>{safe(e['name'])}: {e['points']:g} of {e['out_of']}</h2>")
        parts.append("<ul>" + "".join(f"<li class=passed>passed: {safe(label)}" for label in e.get("passed", [])) + "</ul>")
        if e["message"]:
            parts.append(f"<p class=failed>{safe(e['message'])}</p>")
            parts += [f"<details><summary>Hint {i}</summary><p>{safe(hint)}</p></details>" for i, hint in enumerate(hints.get(e["name"], ()), 1)]
            parts.append(f"<p>To see it in your notebook: <code>check({safe(e['name'])}, seed={row['seed']})</code></p>")
        if e["name"] in sources:
            parts.append(f"<pre>{safe(sources[e['name']])}</pre>")
    return "\n".join(parts) + "\n</html>\n"
