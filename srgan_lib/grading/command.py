"""`python -m srgan_lib grade`: a class from a folder to a gradebook, without ever losing a result that is there."""

import argparse
import csv
import io
import json
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from .collect import Collected, collect, listing, owner_in, read_roster
from .submission import GradingError

OPTIONS = (
    ("--json", Path, "FILE", None, "results; written as they come, merged with those that are there, and read again to go on"),
    ("--csv", Path, "FILE", None, "one row per notebook, one column per exercise; rows of others stay as they are"),
    ("--report", Path, "FOLDER", None, "feedback per student in Markdown, summary, histogram"),
    ("--html", Path, "FOLDER", None, "feedback per student as one HTML file with code, hints and how to reproduce"),
    ("--roster", Path, "FILE.csv", None, "the class: columns id and name; says who is missing"),
    ("--gradebook", Path, "FOLDER", None, "gradebook.csv, canvas.csv and moodle.csv"),
    ("--overrides", Path, "FILE.csv", None, "points changed by hand, explained answers, late days: student, exercise, points, remark"),
    ("--similar", Path, "FILE", None, "pairs of submissions that resemble each other, to be read"),
    ("--anonymous", str, "SALT", None, "replace names in reports and gradebooks by ids that depend on SALT"),
    ("--gradescope", Path, "FOLDER", None, "write an autograder for Gradescope instead of grading"),
    ("--seed", int, "N", None, "seed of the tests' inputs (default: fresh, or that of --json)"),
    ("--jobs", int, "N", 2, "submissions at a time (2)"),
    ("--timeout", float, "S", 15, "seconds for one submission (15)"),
    ("--artifacts", Path, "FOLDER", None, "trained generators: FOLDER/<notebook name>/config.json, ..."),
    ("--images", str, "NAME|FOLDER", "sample", "pictures to score them on (sample)"),
    ("--threshold", float, "DB", 0.5, "dB above bicubic for full points (0.5)"),
    ("--tolerance", float, "DB", 0.05, "dB by which it may be missed (0.05)"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m srgan_lib grade`."""
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="notebooks, scripts, archives, or folders of them")
    parser.add_argument("--only", nargs="+", metavar="STUDENT", default=[], help="grade these again and keep everybody else's results")
    for name, kind, shown, default, words in OPTIONS:
        parser.add_argument(name, type=kind, metavar=shown, default=default, help=words)


def run(arguments: argparse.Namespace) -> int:
    """Grade from the command line; 0 when every notebook was processed, however bad it was."""
    if arguments.gradescope:
        from .gradescope import write_autograder
        write_autograder(arguments.gradescope)
        print(f"{arguments.gradescope}: zip what is in this folder (not the folder itself) and upload it as the autograder")
        return 0
    _usage(arguments)
    with tempfile.TemporaryDirectory(prefix="submissions-") as temporary:
        beside = arguments.json and arguments.json.with_suffix(".unpacked")
        found = collect(arguments.notebooks, beside or Path(temporary))
        roster = read_roster(arguments.roster) if arguments.roster else {}
        overrides = _overrides(arguments)
        rows = _grade(arguments, found, roster)
        if text := listing(found, roster):
            print(text, file=sys.stderr)
        _reports(arguments, rows, overrides)
    return 0


def _usage(arguments) -> None:
    """Raises GradingError for what cannot be asked for."""
    if not arguments.notebooks:
        raise GradingError("grade wants notebooks, or folders of them")
    if any(not str(name).strip() for name in arguments.notebooks):
        raise GradingError("one of the names of notebooks is empty")
    if arguments.jobs < 1 or not arguments.timeout > 0:
        raise GradingError("--jobs wants a whole number from 1, --timeout a number of seconds above 0")
    if arguments.artifacts and not arguments.artifacts.is_dir():
        raise GradingError(f"{arguments.artifacts}: no such folder")


def _overrides(arguments) -> list[dict]:
    from .gradebook import read_overrides
    return read_overrides(arguments.overrides)


def _grade(arguments, found: Collected, roster: dict) -> list[dict]:
    """Grade what has to be graded, and store it with what earlier runs left; -> the results of the whole class."""
    from .grade import grade_each
    finished = stored(arguments.json)
    owners = {path: owner_in(roster, student) for path, student in found.files.items()}
    _unique(owners)
    if arguments.only:
        owners = {path: student for path, student in owners.items() if student in arguments.only}
        if missing := set(arguments.only) - set(owners.values()):
            raise GradingError(f"--only: nothing was handed in by {', '.join(sorted(missing))}")
    if not owners:
        raise GradingError("; ".join(["nothing to grade", *(f"{path} {reason}" for path, reason in found.refused[:3])]))
    artifact = None
    if arguments.artifacts:
        from .artifacts import Artifact
        artifact = Artifact(arguments.artifacts, arguments.images, arguments.threshold, arguments.tolerance)
    seed = arguments.seed if arguments.seed is not None else next((row["seed"] for row in finished), secrets.randbits(31))
    rows = {_key(row): row for row in finished}
    backup(arguments.json)
    usable = [row for row in finished if not arguments.only]
    for path, row in grade_each(list(owners), seed, arguments.jobs, arguments.timeout, usable, artifact=artifact):
        rows[owners[path]] = {**row, "student": owners[path], **({"name": roster[owners[path]]} if owners[path] in roster else {})}
        if arguments.json:
            store(rows.values(), arguments.json)
    if arguments.json:
        store(rows.values(), arguments.json)
    if arguments.csv:
        _merge_csv(list(rows.values()), arguments.csv)
    return list(rows.values())


def _unique(owners: dict[str, str]) -> None:
    """Two files of the same name are two students: each gets its folder's name in front."""
    taken: dict[str, list[str]] = {}
    for path, student in owners.items():
        taken.setdefault(student, []).append(path)
    for student, paths in taken.items():
        for path in paths if len(paths) > 1 else ():
            owners[path] = f"{Path(path).parent.name}/{Path(path).name}"
    seen: set[str] = set()
    for path, student in owners.items():
        owners[path] = student if student not in seen else path
        seen.add(owners[path])


def _key(row: dict) -> str:
    return row.get("student") or Path(row["notebook"]).stem


def stored(file: Path | None) -> list[dict]:
    """Results that an earlier run left in the file. Raises GradingError if it holds anything else."""
    if file is None or not file.exists():
        return []
    try:
        rows = json.loads(file.read_text("utf-8"))
        if isinstance(rows, list) and all(isinstance(row, dict) and {"notebook", "points", "exercises", "seed", "digest"} <= set(row) for row in rows):
            return rows
    except (ValueError, OSError):
        pass
    raise GradingError(f"{file}: exists and is not a file of results; name another, or delete it")


def backup(file: Path | None) -> None:
    """Keep what is there beside it, under FILE.bak."""
    if file and file.exists():
        part = file.with_name(file.name + ".bak.part")
        shutil.copy2(file, part)
        part.replace(file.with_name(file.name + ".bak"))


def store(rows, file: Path) -> None:
    """Write results, whole or not at all."""
    from ..images import atomic_write
    text = json.dumps(list(rows), indent=1, ensure_ascii=False)
    atomic_write(file, lambda out: out.write(text.encode("utf-8", "replace")))


def _merge_csv(rows: list[dict], file: Path) -> None:
    """The table of `rows`; whoever stands in the file and not among them keeps the line."""
    from .reports import table, write_text
    lines = table(rows)
    if file.exists():
        try:
            old = list(csv.reader(io.StringIO(file.read_bytes().decode("utf-8-sig"), newline="")))
        except (OSError, UnicodeDecodeError, csv.Error):
            raise GradingError(f"{file}: exists and is not a table of results; name another, or delete it") from None
        if old and old[0] != lines[0]:
            raise GradingError(f"{file}: exists and has other columns; name another, or delete it")
        backup(file)
        new = {line[0]: line for line in lines[1:]}
        lines = [lines[0], *(new.pop(line[0], line) for line in old[1:] if line), *new.values()]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    write_text(file, text.getvalue())


def _reports(arguments, rows: list[dict], overrides: list[dict]) -> None:
    """Everything that is written for people."""
    from .gradebook import anonymous, marks, write_gradebook
    from .reports import summary, write_reports, write_text
    if arguments.similar:
        from .similarity import report, similar
        write_text(arguments.similar, report(similar(rows)))
    table = marks(rows, overrides)
    if arguments.anonymous:
        for mark in table:
            mark |= {"student": anonymous(mark["student"], arguments.anonymous), "name": ""}
        rows = [{**row, "student": anonymous(_key(row), arguments.anonymous), "name": ""} for row in rows]
    if arguments.gradebook:
        write_gradebook(table, arguments.gradebook)
    if arguments.report:
        write_reports(rows, arguments.report)
    if arguments.html:
        from .feedback import write_pages
        write_pages(rows, arguments.html)
    print(summary(rows))
