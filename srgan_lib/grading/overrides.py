"""Points changed by hand, hand-marked answers and late days: tables with the columns student, exercise, points, remark.

An exercise's points replace the graded ones. `explain_psnr` and `explain_use` hold the two answers that a person marks.
`late_days` holds days in place of points, and the line `*, late_rule, P` takes P percent of the mark a day. A line whose
student is `*` is for everybody; a line of one's own goes before it. Lines without points are still to be marked.
"""

from pathlib import Path

from .submission import GradingError
from .tables import headings, read_table

EXPLAIN = {"explain_psnr": 4, "explain_use": 4}
RULES = ("late_days", "late_rule")
COLUMNS = ("student", "exercise", "points", "remark")


def read_overrides(files: list[Path]) -> list[dict]:
    """The lines of all files that have points. Raises GradingError for a wrong column, a number that is none, a line that repeats another."""
    rows, seen = [], {}
    for file in files:
        if missing := [name for name in COLUMNS if name not in headings(file)]:
            raise GradingError(f"{file}: wants the columns {', '.join(COLUMNS)}; {missing[0]} is missing")
        for row in read_table(file):
            where = f"{file}, line {row['#']}"
            if row["points"] == "":
                continue
            key = row["student"], row["exercise"]
            if key in seen:
                raise GradingError(f"{where}: {' '.join(key)} stands already in {seen[key]}")
            seen[key] = where
            rows.append({**{name: row[name] for name in COLUMNS}, "points": _number(row["points"], where), "where": where})
    return rows


def _number(text: str, where: str) -> float:
    try:
        points = float(text.replace(",", "."))
    except ValueError:
        raise GradingError(f"{where}: {text!r} is no number of points") from None
    if not 0 <= points < 1e4:
        raise GradingError(f"{where}: points run from 0")
    return points


def check_overrides(overrides: list[dict], students: set[str]) -> None:
    """Raises GradingError for a student or an exercise that is not there, and for more points than there are."""
    if not overrides:
        return
    from .artifacts import NAME, POINTS
    from .judge import load_exercises
    most = {**{name: exercise.points for name, exercise in load_exercises().items()}, **EXPLAIN, NAME: POINTS, "late_days": 1000, "late_rule": 100}
    for change in overrides:
        if change["exercise"] not in most:
            raise GradingError(f"{change['where']}: {change['exercise']} is not an exercise; these are: {', '.join(most)}")
        if change["student"] not in students and change["student"] != "*":
            raise GradingError(f"{change['where']}: nobody is called {change['student']}")
        if change["points"] > most[change["exercise"]]:
            raise GradingError(f"{change['where']}: {change['exercise']} has {most[change['exercise']]} points, not {change['points']:g}")


def of(student: str, overrides: list[dict]) -> dict[str, dict]:
    """{exercise: line} for one student; a line of one's own goes before one for everybody."""
    return {**{c["exercise"]: c for c in overrides if c["student"] == "*"}, **{c["exercise"]: c for c in overrides if c["student"] == student}}
