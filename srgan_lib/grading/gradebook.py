"""From results to marks: points changed by hand, late days, and the tables that gradebooks import.

overrides.csv has the columns student, exercise, points, remark. An exercise's points replace the graded ones; the
exercises `explain_psnr` and `explain_use` hold the hand-marked answers; `late_days` holds days in place of points, and the
row `*, late_rule, P` takes P percent of the mark a day.
"""

import csv
import hashlib
import io
from pathlib import Path

from ..images import atomic_write
from .reports import _harmless, names
from .submission import GradingError

EXPLAIN = {"explain_psnr": 4, "explain_use": 4}
FULL = 80


def read_overrides(file: Path | None) -> list[dict]:
    """The rows of overrides.csv. Raises GradingError for a wrong column, a mark that is no number, an unknown exercise."""
    if file is None:
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(file.read_text("utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GradingError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    for number, row in enumerate(rows, 2):
        if not {"student", "exercise", "points", "remark"} <= set(row):
            raise GradingError(f"{file}: wants the columns student, exercise, points, remark")
        try:
            row["points"] = float(row["points"])
        except (TypeError, ValueError):
            raise GradingError(f"{file}, line {number}: {row['points']!r} is no number of points") from None
        if not 0 <= row["points"] < 1e4:
            raise GradingError(f"{file}, line {number}: points run from 0")
    return rows


def marks(rows: list[dict], overrides: list[dict]) -> list[dict]:
    """Results with points changed by hand -> [{student, points, out_of, percent, exercises, remarks, error}].

    Raises GradingError for a student or an exercise in `overrides` that is not there.
    """
    students = dict(zip((row.get("student") or name for row, name in zip(rows, names(rows))), rows))
    known = {e["name"] for row in rows for e in row["exercises"]} | set(EXPLAIN) | {"late_days", "late_rule"}
    for change in overrides:
        if change["exercise"] not in known:
            raise GradingError(f"overrides: {change['exercise']} is not an exercise")
        if change["student"] not in students and change["student"] != "*":
            raise GradingError(f"overrides: nobody is called {change['student']}")
    explained = any(change["exercise"] in EXPLAIN for change in overrides)
    rule = next((change["points"] for change in overrides if change["exercise"] == "late_rule"), 0.0)
    return [_mark(student, row, [c for c in overrides if c["student"] == student], explained, rule) for student, row in students.items()]


def _mark(student: str, row: dict, changes: list[dict], explained: bool, rule: float) -> dict:
    points = {e["name"]: e["points"] for e in row["exercises"]}
    points |= dict.fromkeys(EXPLAIN, 0) if explained else {}
    points |= {c["exercise"]: c["points"] for c in changes if c["exercise"] not in ("late_days", "late_rule")}
    days = sum(c["points"] for c in changes if c["exercise"] == "late_days")
    full = FULL + (sum(EXPLAIN.values()) if explained else 0) + sum(e["out_of"] for e in row["exercises"] if e["name"] == "trained generator")
    earned = sum(points.values())
    percent = min(100.0, 100 * earned / full) * max(0.0, 1 - rule * days / 100)
    remarks = [f"{c['exercise']}: {c['remark']}" for c in changes if c["remark"]]
    return {"student": student, "name": row.get("name", ""), "points": round(earned, 2), "out_of": full, "percent": round(percent, 2), "late_days": days,
            "exercises": points, "remarks": "; ".join(remarks), "error": row["error"] or ""}


def write_gradebook(table: list[dict], folder: Path, assignment: str = "SRGAN assignment") -> None:
    """Write gradebook.csv, canvas.csv and moodle.csv into a folder."""
    exercises = list(dict.fromkeys(name for mark in table for name in mark["exercises"]))
    rows = [[m["student"], m["name"], m["points"], m["out_of"], m["percent"], m["late_days"], *(m["exercises"].get(e, 0) for e in exercises),
             m["remarks"], m["error"]] for m in table]
    _table(folder / "gradebook.csv", ["student", "name", "points", "out_of", "percentage", "late_days", *exercises, "remarks", "error"], rows)
    # Canvas, "Import grades": Student, ID, SIS User ID, SIS Login ID, Section, then one column an assignment; a row "Points Possible" comes first.
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment]
    _table(folder / "canvas.csv", head, [["    Points Possible", "", "", "", "", 100], *(
        [m["name"] or m["student"], m["student"], "", "", "", m["percent"]] for m in table)])
    # Moodle, grades, import, CSV: any headings, mapped on import; the identifier may be the ID number.
    _table(folder / "moodle.csv", ["Identifier", "Full name", "Grade", "Maximum grade", "Feedback comments"], [
        [m["student"], m["name"], m["percent"], 100, m["remarks"] or m["error"]] for m in table])


def _table(file: Path, head: list[str], rows: list[list]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([[_harmless(cell) if isinstance(cell, str) else cell for cell in row] for row in rows])
    atomic_write(file, lambda out: out.write(text.getvalue().encode("utf-8", "replace")))


def anonymous(student: str, salt: str) -> str:
    """A stable name that says nothing: the same for the same student and salt."""
    return "student-" + hashlib.sha256(f"{salt}/{student}".encode()).hexdigest()[:10]
