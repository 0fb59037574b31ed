"""The assignment that grades itself: `check` under each exercise, `grade` for a whole class, `release` for the hand-out.

Both runners use the tests of `notebooks/assignment/exercises`. `check` runs them in the notebook; `grade` runs them with
fresh inputs against a sandboxed process (`isolation`), so that a submission never touches its own verdict.
"""

import hashlib
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .server import LATE, TESTS, Sandbox, exercise_files
from .submission import MOST_BYTES, GradingError, load_notebook, release

__all__ = ["check", "hint", "grade", "load_notebook", "release"]
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
        exercise_files()  # before a server starts in vain
        with Sandbox(timeout, _imports(todo), mode) as sandbox:  # it starts while we import torch
            for path, row in _grade_in(sandbox, todo, seed, jobs, artifact, progress):
                yield path, {**row, "digest": digests[path]}


def _was_late(row: dict) -> bool:
    """Whether the clock ended it: perhaps the machine was busy, so that it deserves another try."""
    return any(LATE in exercise["message"] for exercise in row["exercises"])


def _grade_in(sandbox: Sandbox, paths: list[str], seed: int, jobs: int, artifact, progress: bool):
    import torch
    from tqdm import tqdm

    from .judge import grade_notebook, load_exercises
    exercises, threads = load_exercises(), torch.get_num_threads()
    torch.set_num_threads(1)  # what a judge computes is small: more threads would wait for each other, at full speed

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
            torch.set_num_threads(threads)


def _digest(path: str, artifact) -> str:
    """What a stored result belongs to: the bytes of the notebook, of the trained weights and of the tests."""
    files = [Path(path), *(artifact.files(path) if artifact else ()), *sorted(TESTS.glob("[0-9]*.py"))]
    parts = [hashlib.sha256(file.read_bytes() if file.stat().st_size <= MOST_BYTES else b"too large").digest() for file in files if file.is_file()]
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
