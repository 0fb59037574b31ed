"""The judge: runs the tests on one submission and says what it earned.

Runs in the process that calls `grade`; every comparison happens here, on numbers that the sandbox returned.
"""

import difflib
import importlib.util
import re
import sys
from pathlib import Path

from .server import TESTS, Sandbox, Session, exercise_files
from .submission import GradingError, NotebookError, Submission, load_notebook
from .trial import EXERCISES, Exercise, Result, attempt


def load_exercises(folder: Path = TESTS) -> dict[str, Exercise]:
    """Run the test files of the assignment once, in the order of their names -> {name: Exercise}.

    Raises GradingError when there are none, as in an installation without the course's notebooks.
    """
    for file in exercise_files(folder):
        name = f"{__package__}.assignment_{file.stem}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, file)
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
    return EXERCISES


def grade_notebook(path: Path, sandbox: Sandbox, seed: int, exercises: dict[str, Exercise]) -> dict:
    """Grade one notebook -> {"notebook", "points", "out_of", "exercises", "error", ...}; never raises for its content."""
    row = {"notebook": str(path), "points": 0, "out_of": sum(e.points for e in exercises.values()), "full": sum(e.points for e in exercises.values() if not e.bonus),
           "exercises": [], "error": None, "seed": seed, "isolation": sandbox.mode}
    try:
        submission = load_notebook(path)
    except NotebookError as error:
        return {**row, "error": f"{path.name} {error}"}
    except Exception as error:
        return {**row, "error": f"{path.name} could not be read ({type(error).__name__})"}
    try:
        results = _all(exercises, submission, sandbox, seed)
    except GradingError:
        raise
    except Exception as error:  # a fault of ours shall not cost the rest of the class its grades
        return {**row, "error": f"{path.name} could not be graded ({type(error).__name__}: {error})"}
    listed = [{"name": r.name, "points": r.points, "out_of": r.out_of, "message": message(r), "passed": r.passed} for r in results]
    return {**row, "points": round(sum(r.points for r in results), 2), "exercises": listed}


def _all(exercises: dict[str, Exercise], submission: Submission, sandbox: Sandbox, seed: int) -> list[Result]:
    """Every exercise's result; a session that was late, perhaps for want of a processor, is followed by one more."""
    session, again = sandbox.open(submission), True
    try:
        results = []
        for exercise in exercises.values():
            result = _one(exercise, submission, session, seed)
            if session.late and again:
                session.close()
                session, again = sandbox.open(submission), False
                result = _one(exercise, submission, session, seed)
            results.append(result)
        return results
    finally:
        session.close()


def _one(exercise: Exercise, submission: Submission, session: Session, seed: int) -> Result:
    """One exercise's result, with the reasons that only the notebook as a whole can give."""
    name = exercise.name
    if name not in submission.names:
        reasons = [submission.skipped.get(name, ""), *list(submission.problems.values())[:3], _misspelt(name, submission)]
        return Result(name, 0, exercise.points, [], "; ".join(["not found", *filter(None, reasons)]))
    result = attempt(exercise, session.put, seed)
    note = submission.notes.get(name, "")
    if result.failed == "not found":
        problem = session.problems.get(str(submission.names[name]))
        problem = problem if isinstance(problem, dict) else {}
        result.failed = f"its definition stopped with {str(problem.get('type', 'an error'))[:100]}: {str(problem.get('text', ''))[:200]}"
    if "NameError" in result.failed:
        result.mistake = _missing(result.failed, submission, session) or result.mistake
    if "forward" in result.mistake and submission.problems:
        result.failed += "; " + "; ".join(list(submission.problems.values())[:2])
    if result.failed and note not in ("", "stub"):
        result.failed += f" [{note}]"
    return result


def _missing(failed: str, submission: Submission, session: Session) -> str:
    """Why a name is missing when it is graded: skipped, not installed, or nowhere."""
    found = re.search(r"name '(\w{1,60})' is not defined", failed)
    name = found.group(1) if found else ""
    missing = session.problems.get("imports")
    for module, line in (missing if isinstance(missing, dict) else {}).items():
        if re.search(rf"\b{name}\b", str(line)):
            return f"{name} comes from {module}, which is not installed where it is graded: write it with torch"
    if name in submission.skipped:
        return submission.skipped[name]
    return f"nothing called {name} is imported or defined in this notebook" if name else ""


def _misspelt(name: str, submission: Submission) -> str:
    """A definition whose name differs in little."""
    others = [n for n in list(submission.names)[:500] if n not in EXERCISES]
    near = difflib.get_close_matches(name.lower(), [n.lower() for n in others], 1, 0.8)
    return f"something like it is called {next(n for n in others if n.lower() == near[0])}: keep the name {name}" if near else ""


def message(result: Result) -> str:
    """What failed and what the mistake is called, as one printable line; empty when everything passed."""
    text = result.failed + (f": {result.mistake}" if result.mistake else "")
    return "".join(letter if letter.isprintable() else " " for letter in text[:900])
