"""The assignment that grades itself: `check` under each exercise, `grade` for a whole class, `release` for the hand-out.

Both runners use the tests of `notebooks/assignment/exercises`. `check` runs them in the notebook; `grade` runs them with
fresh inputs against a sandboxed process (`isolation`), so that a submission never touches its own verdict.
"""

import argparse
import hashlib
import json
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .server import LATE, TESTS, Sandbox
from .submission import GradingError, load_notebook, release

__all__ = ["check", "hint", "grade", "load_notebook", "release", "add_arguments", "run"]
FAILED_ATTEMPTS: dict[str, int] = {}


def check(exercise, seed: int = 0) -> None:
    """Run the tests of a function or class (or of its name) and print what passed, what failed, how far off, and one hint."""
    from .preview import warnings
    from .trial import attempt, in_this_process
    name, test, namespace = _found(exercise)
    result = attempt(test, in_this_process(namespace), seed)
    print(f"{name}: {result.points:g} of {result.out_of} points")
    for label in result.passed:
        print(f"  passed  {label}")
    for sentence in warnings(namespace.get(name), test.without if "uses" in result.failed else (), vars(sys.modules["__main__"])):
        print(f"  but     no points when it is graded: {sentence}")
    if not result.failed:
        return
    print(f"  failed  {result.failed}")
    if result.mistake:
        print(f"  hint    {result.mistake}")
    elif result.failed != "not started yet":
        FAILED_ATTEMPTS[name] = FAILED_ATTEMPTS.get(name, 0) + 1
        hint(name, min(FAILED_ATTEMPTS[name], len(test.hints)))


def hint(exercise, level: int = 1) -> None:
    """Print hint number `level` of an exercise, from vague (1) to plain (usually 3)."""
    name, test, _ = _found(exercise)
    level = max(1, min(level, len(test.hints)))
    print(f"  hint {level} of {len(test.hints)}: {test.hints[level - 1]}")


def _found(exercise):
    """(name, test, namespace) for an object or a name. Raises GradingError for one that has no tests."""
    from .judge import load_exercises
    tests, main = load_exercises(), vars(sys.modules["__main__"])
    name = exercise if isinstance(exercise, str) else getattr(exercise, "__name__", type(exercise).__name__)
    if not isinstance(exercise, str) and name not in tests:  # a lambda, a compiled function, what a decorator made
        name = next((own for own in tests if main.get(own) is exercise), name)
    if name not in tests:
        raise GradingError(f"{name} is not an exercise; these are: {', '.join(tests)}")
    found = {name: main[name]} if name in main else {}
    return name, tests[name], found if isinstance(exercise, str) else {name: exercise}


def grade(paths, seed: int | None = None, jobs: int = 2, timeout: float = 15, finished=(), mode: str = "namespaces",
          artifact=None, progress: bool = True):
    """Grade notebooks -> a list with one dictionary each, in the order of `paths`; bad ones get 0 points and a sentence.

    seed: of the inputs, drawn afresh when None; jobs: submissions at a time; timeout: seconds for one submission;
    finished: earlier results, kept where notebook, tests and seed are the same; artifact: `artifacts.Artifact` or None.
    """
    rows = {}
    for path, row in grade_each(paths, seed, jobs, timeout, finished, mode, artifact, progress):
        rows[path] = row
    return [rows[str(path)] for path in paths]


def grade_each(paths, seed, jobs, timeout, finished=(), mode="namespaces", artifact=None, progress=True):
    """Yield (path, result) as submissions are done, earlier results first."""
    paths = list(dict.fromkeys(map(str, paths)))
    seed = secrets.randbits(31) if seed is None else seed
    digests = {path: _digest(path, artifact) for path in paths}
    known = {(row["notebook"], row["digest"], row["seed"]): row for row in finished if not _was_late(row)}
    kept = {path: known[path, digests[path], seed] for path in paths if (path, digests[path], seed) in known}
    yield from kept.items()
    if todo := [path for path in paths if path not in kept]:
        with Sandbox(timeout, _imports(todo), mode) as sandbox:  # it starts while we import torch
            for path, row in _grade_in(sandbox, todo, seed, jobs, artifact, progress):
                yield path, {**row, "digest": digests[path]}


def _was_late(row: dict) -> bool:
    """Whether the clock ended it: perhaps the machine was busy, so that it deserves another try."""
    return any(LATE in exercise["message"] for exercise in row["exercises"])


def _grade_in(sandbox: Sandbox, paths: list[str], seed: int, jobs: int, artifact, progress: bool):
    from tqdm import tqdm

    from .judge import grade_notebook, load_exercises
    exercises = load_exercises()

    def one(path: str) -> dict:
        row = grade_notebook(Path(path), sandbox, seed, exercises)
        return artifact.add(row) if artifact else row

    with ThreadPoolExecutor(jobs) as pool:
        if sandbox.mode != "namespaces":
            print(f'warning: no namespaces here, isolation is only "{sandbox.mode}"; see the instructor\'s guide', file=sys.stderr)
        waiting = {pool.submit(one, path): path for path in paths}
        try:
            for future in tqdm(as_completed(waiting), "grading", len(paths), unit=" notebooks", disable=not progress):
                yield waiting[future], future.result()
        finally:  # interrupted: what has not begun shall not begin
            pool.shutdown(wait=False, cancel_futures=True)


def _digest(path: str, artifact) -> str:
    """What a stored result belongs to: the bytes of the notebook, of the trained weights and of the tests."""
    files = [Path(path), *(artifact.files(path) if artifact else ()), *sorted(TESTS.glob("[0-9]*.py"))]
    parts = [hashlib.sha256(file.read_bytes()).digest() for file in files if file.is_file()]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def _imports(paths) -> frozenset:
    """The modules that the submissions import, so that the server can load the common ones once."""
    found = set()
    for path in paths:
        try:
            found |= load_notebook(path).imports
        except Exception:  # its turn to be refused comes later
            continue
    return frozenset(found)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m srgan_lib grade`."""
    parser.add_argument("notebooks", nargs="+", metavar="NOTEBOOK", help="notebooks, or folders of them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="results; written as they come, and read again to go on")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="one row per notebook, one column per exercise")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="feedback per student in Markdown, summary, histogram")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the tests' inputs (default: fresh, or that of --json)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="submissions at a time (2)")
    parser.add_argument("--timeout", type=float, default=15, metavar="S", help="seconds for one submission (15)")
    parser.add_argument("--artifacts", type=Path, metavar="FOLDER", help="trained generators: FOLDER/<notebook name>/config.json, ...")
    parser.add_argument("--images", metavar="NAME|FOLDER", default="sample", help="pictures to score them on (sample)")
    parser.add_argument("--threshold", type=float, default=0.5, metavar="DB", help="dB above bicubic for full points (0.5)")
    parser.add_argument("--tolerance", type=float, default=0.05, metavar="DB", help="dB by which it may be missed (0.05)")


def run(arguments: argparse.Namespace) -> int:
    """Grade from the command line; 0 when every notebook was processed, however bad it was."""
    paths, finished = _notebooks(arguments), _finished(arguments.json)
    artifact = None
    if arguments.artifacts:
        from .artifacts import Artifact
        artifact = Artifact(arguments.artifacts, arguments.images, arguments.threshold, arguments.tolerance)
    seed = arguments.seed if arguments.seed is not None else next((row["seed"] for row in finished), secrets.randbits(31))
    rows = {row["notebook"]: row for row in finished}
    for path, row in grade_each(paths, seed, arguments.jobs, arguments.timeout, finished, artifact=artifact):
        rows[path] = row
        if arguments.json:
            _store(rows.values(), arguments.json)
    from .reports import summary, write_csv, write_reports
    graded = [rows[path] for path in paths]
    if arguments.json:
        _store(graded, arguments.json)
    if arguments.csv:
        write_csv(graded, arguments.csv)
    if arguments.report:
        write_reports(graded, arguments.report)
    print(summary(graded))
    return 0


def _notebooks(arguments) -> list[str]:
    """The notebooks named on the command line. Raises GradingError for bad usage."""
    paths = []
    for name in map(Path, arguments.notebooks):
        found = sorted(name.rglob("*.ipynb")) if name.is_dir() else [name]
        if not found or not found[0].exists():
            raise GradingError(f"{name}: {'no notebooks in this folder' if name.is_dir() else 'no such file'}")
        paths += [str(path) for path in found if ".ipynb_checkpoints" not in path.parts]
    if arguments.jobs < 1 or not arguments.timeout > 0:
        raise GradingError("--jobs wants a whole number from 1, --timeout a number of seconds above 0")
    if arguments.artifacts and not arguments.artifacts.is_dir():
        raise GradingError(f"{arguments.artifacts}: no such folder")
    return list(dict.fromkeys(paths))


def _finished(file: Path | None) -> list[dict]:
    """Results that an earlier run left in the file. Raises GradingError if it holds anything else."""
    if file is None or not file.exists():
        return []
    try:
        rows = json.loads(file.read_text("utf-8"))
        if isinstance(rows, list) and all(isinstance(row, dict) and {"notebook", "points", "exercises", "seed", "digest"} <= set(row) for row in rows):
            return rows
    except ValueError:
        pass
    raise GradingError(f"{file}: exists and is not a file of results; name another, or delete it")


def _store(rows, file: Path) -> None:
    from ..images import atomic_write
    text = json.dumps(list(rows), indent=1, ensure_ascii=False)
    atomic_write(file, lambda out: out.write(text.encode("utf-8", "replace")))
