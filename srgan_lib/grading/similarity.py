"""Pairs of submissions that resemble each other more than the rest of the class: a reason to read them, never an accusation.

Each definition's syntax tree is written down after all names have been replaced by numbers in the order in which they
occur; submissions are compared by the runs of five nodes that they share. What most of the class shares counts for nobody.
"""

import ast
from collections import Counter

from .selection import parse
from .submission import load_notebook


def similar(rows: list[dict], threshold: float = 0.8) -> list[tuple[str, str, float]]:
    """[(student, student, share of the smaller one's own runs)] above the threshold, most alike first."""
    prints = {}
    for row in rows:
        try:
            prints[row.get("student") or row["notebook"]] = fingerprint("\n".join(piece[2] for piece in load_notebook(row["notebook"]).pieces))
        except Exception:  # what cannot be read resembles nobody
            continue
    common = Counter(run for runs in prints.values() for run in runs)
    usual = handed_out() | {run for run, count in common.items() if count > max(2, len(prints) // 4)}
    own = {student: runs - usual for student, runs in prints.items()}
    pairs, students = [], sorted(own)
    for i, first in enumerate(students):
        for second in students[i + 1:]:
            least = min(len(own[first]), len(own[second]))
            share = len(own[first] & own[second]) / least if least >= 40 else 0.0
            if share >= threshold:
                pairs.append((first, second, round(share, 3)))
    return sorted(pairs, key=lambda pair: -pair[2])


def handed_out() -> set[int]:
    """What the assignment itself holds, which everybody hands in again."""
    from .server import COURSE
    try:
        return fingerprint("\n".join(piece[2] for piece in load_notebook(COURSE / "notebooks" / "assignment" / "assignment.ipynb").pieces))
    except Exception:  # an installation without the notebooks
        return set()


def fingerprint(source: str) -> set[int]:
    """Runs of five nodes of the tree, names replaced; docstrings left out."""
    try:
        tree = parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    runs = set()
    for top in tree.body:
        names: dict[str, int] = {}
        words = [_word(node, names) for node in ast.walk(top) if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
        runs |= {hash(tuple(words[i:i + 5])) for i in range(len(words) - 4)}
    return runs


def _word(node: ast.AST, names: dict[str, int]) -> str:
    for field in ("id", "arg", "name"):
        if isinstance(getattr(node, field, None), str):
            return f"{type(node).__name__}{names.setdefault(getattr(node, field), len(names))}"
    if isinstance(node, ast.Constant):
        return f"Constant{node.value!r}"[:60]
    return type(node).__name__ + str(getattr(node, "attr", ""))


def report(pairs: list[tuple[str, str, float]]) -> str:
    """The pairs as text, with what the number means."""
    lines = [f"{share:4.0%}  {first}  {second}" for first, second, share in pairs]
    return "\n".join(["Shares of code that these pairs have in common beyond what many in the class have. Short exercises have few right",
                      "answers, so alike is not copied: read both before you ask.", "", *(lines or ["no pair above the threshold"])]) + "\n"
