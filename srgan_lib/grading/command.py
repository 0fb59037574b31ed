"""`python -m srgan_lib grade`: a class from a folder to a gradebook, without ever losing a result that is there."""

import argparse
import json
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from ..locks import check_place, is_stream
from .collect import Collected, collect
from .roster import listing, owners, read_roster
from .submission import GradingError

OPTIONS = (
    ("--json", Path, "FILE", None, "results; written as they come, merged with those that are there, and read again to go on"),
    ("--csv", Path, "FILE", None, "one row per notebook, one column per exercise; rows of others stay as they are"),
    ("--report", Path, "FOLDER", None, "feedback per student in Markdown, summary, histogram"),
    ("--html", Path, "FOLDER", None, "feedback per student as one HTML file with code, hints and how to reproduce"),
    ("--roster", Path, "FILE.csv", None, "the class: columns id and name, or an export of Canvas or Moodle; says who is missing"),
    ("--gradebook", Path, "FOLDER", None, "gradebook.csv, canvas.csv, moodle.csv, explain.csv and not_graded.csv"),
    ("--similar", Path, "FILE", None, "pairs of submissions that resemble each other, to be read"),
    ("--anonymous", str, "SALT", None, "replace names in reports and gradebook.csv by ids that depend on SALT"),
    ("--gradescope", Path, "FOLDER", None, "write an autograder for Gradescope instead of grading"),
    ("--seed", int, "N", None, "seed of the tests' inputs (default: fresh, or that of --json)"),
    ("--jobs", int, "N", 2, "submissions at a time (2)"),
    ("--timeout", float, "S", 15, "seconds for one submission (15)"),
    ("--artifacts", Path, "FOLDER", None, "trained generators: FOLDER/<notebook name>/config.json, ..."),
    ("--images", str, "NAME|FOLDER", "sample", "images to score them on (sample)"),
    ("--threshold", float, "DB", 0.5, "dB above bicubic for full points (0.5)"),
    ("--tolerance", float, "DB", 0.05, "dB by which it may be missed (0.05)"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m srgan_lib grade`."""
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help="notebooks, scripts, archives, or folders of them")
    parser.add_argument("--only", nargs="+", metavar="STUDENT", default=[], help="grade these again and keep everybody else's results")
    parser.add_argument("--overrides", nargs="+", type=Path, metavar="FILE.csv", default=[],
                        help="points changed by hand, explained answers, late days: student, exercise, points, remark")
    for name, kind, shown, default, words in OPTIONS:
        parser.add_argument(name, type=kind, metavar=shown, default=default, help=words)


def run(arguments: argparse.Namespace) -> int:
    """Grade from the command line; 0 when every notebook was processed, however bad it was."""
    if arguments.gradescope:
        from .gradescope import write_autograder
        archive = write_autograder(arguments.gradescope)
        print(f"{archive}: upload this file as the autograder; {arguments.gradescope} holds the same, unpacked")
        return 0
    _usage(arguments)
    with tempfile.TemporaryDirectory(prefix="submissions-") as temporary:
        beside = arguments.json and not is_stream(arguments.json) and arguments.json.with_suffix(".unpacked")
        found = collect(arguments.notebooks, beside or Path(temporary))
        roster = read_roster(arguments.roster) if arguments.roster else {}
        overrides = _overrides(arguments)
        chosen = owners(found, roster)
        rows = _grade(arguments, found, chosen, roster, overrides)
        for line in [] if arguments.only else listing(found, chosen, roster):
            print(line, file=sys.stderr)
        from .publish import publish
        publish(arguments, rows, overrides, roster, found)
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
    if arguments.anonymous is not None and not arguments.anonymous:
        raise GradingError("--anonymous wants a word that only you know")
    for file in filter(None, (arguments.json, arguments.csv, arguments.similar)):
        try:
            check_place(file)
        except OSError as error:
            raise GradingError(f"{file}: cannot be written ({error.strerror or error})") from None
    for option in ("report", "html", "gradebook"):
        folder = getattr(arguments, option)
        if folder and folder.exists() and not folder.is_dir():
            raise GradingError(f"--{option}: {folder} is a file; name a folder")


def _overrides(arguments) -> list[dict]:
    from .overrides import read_overrides
    return read_overrides(arguments.overrides)


def _grade(arguments, found: Collected, chosen: dict[str, str], roster: dict, overrides: list[dict]) -> list[dict]:
    """Grade what has to be graded, and store it with what earlier runs left; -> the results of the whole class."""
    from .grade import grade_each
    from .overrides import check_overrides
    finished = stored(arguments.json)
    chosen = _asked(arguments.only, chosen)
    if not chosen:
        raise GradingError("; ".join(["nothing to grade", *(f"{path} {reason}" for path, reason in found.refused[:3])]))
    rows = {_key(row): row for row in finished if chosen.get(row["notebook"], _key(row)) == _key(row)}
    check_overrides(overrides, {*rows, *chosen.values(), *roster})
    seed = arguments.seed if arguments.seed is not None else next((row["seed"] for row in finished), secrets.randbits(31))
    backup(arguments.json)
    fresh, usable = set(), [row for row in finished if not arguments.only]
    for path, row in grade_each(list(chosen), seed, arguments.jobs, arguments.timeout, usable, artifact=_artifact(arguments)):
        student = chosen[path]
        row = {**row, "student": student, **_about(found.files[path], roster.get(student))}
        fresh |= {student} if rows.get(student) != row else set()
        rows[student] = row
        if arguments.json and student in fresh and not is_stream(arguments.json):
            store(rows.values(), arguments.json)
    if arguments.json:
        store(rows.values(), arguments.json)
    if arguments.csv:
        from .reports import table
        from .tables import merge_table
        backup(arguments.csv)
        merge_table(arguments.csv, table(list(rows.values())), ("student",), {(student,) for student in fresh})
    return list(rows.values())


def _artifact(arguments):
    if not arguments.artifacts:
        return None
    from .artifacts import Artifact
    return Artifact(arguments.artifacts, arguments.images, arguments.threshold, arguments.tolerance)


def _asked(only: list[str], chosen: dict[str, str]) -> dict[str, str]:
    """The students of --only, by id or by the name of the file. Raises GradingError for one who handed in nothing."""
    if not only:
        return chosen
    kept = {path: student for path, student in chosen.items() if student in only or Path(path).name in only or path in only}
    if missing := [name for name in only if name not in {*kept.values(), *kept, *(Path(path).name for path in kept)}]:
        raise GradingError(f"--only: nothing was handed in by {', '.join(sorted(missing))}")
    return kept


def _about(handed, person) -> dict:
    """What a result keeps about where it came from, empty things left out."""
    about = {"name": person.name if person else next((name for name in handed.names if handed.moodle), ""), "source": handed.source if handed.source != handed.path else "",
             "moodle": handed.moodle, "canvas": handed.canvas, "late": handed.late}
    return {key: value for key, value in about.items() if value}


def _key(row: dict) -> str:
    return row.get("student") or Path(row["notebook"]).stem


def stored(file: Path | None) -> list[dict]:
    """Results that an earlier run left in the file. Raises GradingError if it holds anything else."""
    if file is None or not file.exists() or is_stream(file):
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
    if file and file.is_file() and not is_stream(file):
        part = file.with_name(file.name + ".bak.part")
        shutil.copy2(file, part)
        part.replace(file.with_name(file.name + ".bak"))


def store(rows, file: Path) -> None:
    """Write results, whole or not at all."""
    from ..images import atomic_write
    text = json.dumps(list(rows), indent=1, ensure_ascii=False)
    atomic_write(file, lambda out: out.write(text.encode("utf-8", "replace")))
