"""The judge: runs the tests on one submission and says what it earned.

Runs in the process that calls `grade`; every comparison happens here, on numbers that the sandbox returned.
"""

import importlib.util
import sys
from pathlib import Path

from .server import TESTS, Sandbox, Session
from .submission import GradingError, NotebookError, Submission, load_notebook
from .trial import EXERCISES, Exercise, Result, attempt


def load_exercises(folder: Path = TESTS) -> dict[str, Exercise]:
    """Run the test files of the assignment once, in the order of their names -> {name: Exercise}.

    Raises GradingError when there are none, as in an installation without the course's notebooks.
    """
    files = sorted(folder.glob("[0-9]*.py"))
    if not files:
        raise GradingError(f"{folder}: no exercises there; grading and check() need a checkout of the course")
    for file in files:
        name = f"{__package__}.assignment_{file.stem}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, file)
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
    return EXERCISES


def grade_notebook(path: Path, sandbox: Sandbox, seed: int, exercises: dict[str, Exercise]) -> dict:
    """Grade one notebook -> {"notebook", "points", "out_of", "exercises", "error", ...}; never raises for its content."""
    row = {"notebook": str(path), "points": 0, "out_of": sum(e.points for e in exercises.values()), "exercises": [], "error": None,
           "seed": seed, "isolation": sandbox.mode}
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
    def without_a_call(reason: str) -> Result:
        return Result(exercise.name, 0, exercise.points, [], reason)

    if exercise.name not in submission.names:
        return without_a_call("; ".join(["not found", *list(submission.problems.values())[:3]]))
    result = attempt(exercise, session.put, seed)
    if result.failed == "not found":
        problem = session.problems.get(str(submission.names[exercise.name]))
        problem = problem if isinstance(problem, dict) else {}
        result.failed = f"its definition stopped with {problem.get('type', 'an error')}: {str(problem.get('text', ''))[:200]}"
    elif "NameError" in result.failed:
        result.failed += "; grading runs only imports, functions, classes and constants"
    return result


def message(result: Result) -> str:
    """What failed and what the mistake is called, as one printable line; empty when everything passed."""
    text = result.failed + (f": {result.mistake}" if result.mistake else "")
    return "".join(letter if letter.isprintable() else " " for letter in text)[:600]
