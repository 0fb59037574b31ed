"""From results to marks, and the tables that gradebooks import."""

import hashlib
from pathlib import Path

from .overrides import EXPLAIN, RULES, of
from .roster import Person
from .tables import write_table

TITLE = "SRGAN assignment"


def marks(rows: list[dict], overrides: list[dict], roster: dict[str, Person] | None = None) -> list[dict]:
    """Results with points changed by hand -> [{student, name, points, out_of, percent, exercises, changes, error, ...}].

    Whoever stands in the roster and handed in nothing has a line too, with percent None unless points were given by hand.
    """
    explained = any(change["exercise"] in EXPLAIN for change in overrides)
    table = [mark(row, overrides, explained) for row in rows]
    here, full = {m["student"] for m in table}, max((row["out_of"] for row in rows), default=0)
    for person in (roster or {}).values():
        if person.id not in here:
            empty = {"student": person.id, "name": person.name, "points": 0, "out_of": full, "full": max(map(full_mark, rows), default=0), "exercises": [], "error": "nothing handed in"}
            made = mark(empty, [c for c in overrides if c["student"] == person.id or c["exercise"] in RULES], explained)
            table.append(made if made["points"] else {**made, "points": None, "percent": None})
    return table


def sorted_marks(table: list[dict], roster: dict[str, Person] | None = None) -> list[dict]:
    """In the order of the roster, then by id, however the grading happened to end."""
    order = {student: number for number, student in enumerate(roster or {})}
    return sorted(table, key=lambda m: (order.get(m["student"], len(order)), m["student"]))


def full_mark(row: dict) -> float:
    """The points that are 100 percent: without those of the bonus."""
    return row.get("full", row["out_of"])


def mark(row: dict, overrides: list[dict], explained: bool = False) -> dict:
    """One result's mark. Percent is cut at 100 before the late days take their share."""
    student = row.get("student") or Path(row["notebook"]).stem
    changes = of(student, overrides)
    points = {e["name"]: e["points"] for e in row["exercises"]} | (dict.fromkeys(EXPLAIN, 0) if explained else {})
    points |= {name: change["points"] for name, change in changes.items() if name not in RULES}
    days, rule = (changes[name]["points"] if name in changes else 0.0 for name in RULES)
    full = full_mark(row) + (sum(EXPLAIN.values()) if explained else 0)
    earned, lost = sum(points.values()), min(100.0, rule * days)
    return {"student": student, "name": row.get("name", ""), "points": round(earned, 2), "out_of": full, "percent": round(min(100.0, 100 * earned / (full or 1)) * (1 - lost / 100), 2),
            "late_days": days, "late_lost": lost, "exercises": points, "changes": changes, "moodle": row.get("moodle", ""), "canvas": row.get("canvas", ""),
            "remarks": "; ".join(f"{name}: {c['remark']}" for name, c in changes.items() if c["remark"] and (name != "late_rule" or days)), "error": row["error"] or ""}


def write_gradebook(table: list[dict], folder: Path, roster: dict[str, Person] | None = None) -> None:
    """Write gradebook.csv, canvas.csv and moodle.csv into a folder."""
    people = roster or {}
    table = sorted_marks(table, people)
    write_plain(table, folder)
    write_table(folder / "canvas.csv", canvas(table, people))
    write_table(folder / "moodle.csv", moodle(table, people))


def write_plain(table: list[dict], folder: Path) -> None:
    """gradebook.csv: a line for each student, with everything."""
    exercises = list(dict.fromkeys(name for m in table for name in m["exercises"]))
    head = ["student", "name", "points", "out_of", "percentage", "late_days", *exercises, "remarks", "error"]
    write_table(folder / "gradebook.csv", [head, *(
        [m["student"], m["name"], _cell(m["points"]), _cell(m["out_of"]), _cell(m["percent"]), _cell(m["late_days"]), *(_cell(m["exercises"].get(e)) for e in exercises),
         m["remarks"], m["error"]] for m in table)])


def _cell(number) -> str:
    return "" if number is None else f"{number:g}"


def canvas(table: list[dict], people: dict[str, Person]) -> list[list]:
    """What Canvas's Gradebook imports (gradebook_importer.rb): Student, ID, SIS User ID, SIS Login ID, Section, then the assignment.

    ID is Canvas's own number and goes before the other two, so anything else stands under SIS User ID or SIS Login ID.
    An empty cell changes nothing there.
    """
    lines = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", TITLE], ["    Points Possible", "", "", "", "", 100]]
    for m in table:
        columns = people[m["student"]].columns if m["student"] in people else {}
        if "sis user id" in columns or "sis login id" in columns:  # the roster is Canvas's own export
            known = [columns.get(head, "") for head in ("id", "sis user id", "sis login id", "section")]
        else:
            foreign = m["student"] if m["student"] != m["canvas"] else ""
            known = [m["canvas"], "" if "@" in foreign else foreign, foreign if "@" in foreign else "", ""]
        lines.append([m["name"] or m["student"], *known, _cell(m["percent"])])
    return lines


def moodle(table: list[dict], people: dict[str, Person]) -> list[list]:
    """Moodle's grading worksheet (mod/assign/feedback/offline/importgradeslib.php), which wants Identifier, Grade and Last modified (grade).

    Identifier is "Participant" and the number in the names of the files. The general import of grades maps ID number.
    """
    lines = [["Identifier", "Full name", "ID number", "Email address", "Grade", "Maximum grade", "Last modified (grade)", "Feedback comments"]]
    for m in table:
        person = people.get(m["student"])
        written = person.columns.get("identifier", "") if person else ""
        lines.append([written or (f"Participant {m['moodle']}" if m["moodle"] else ""), m["name"], m["student"] if m["student"] != m["moodle"] else "",
                      person.email if person else "", _cell(m["percent"]), "100.00", "-", m["remarks"] or m["error"]])
    return lines


def anonymous(student: str, salt: str) -> str:
    """A stable name that says nothing: the same for the same student and salt."""
    return "student-" + hashlib.sha256(f"{salt}/{student}".encode("utf-8", "replace")).hexdigest()[:10]
