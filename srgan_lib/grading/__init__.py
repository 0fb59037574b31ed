"""The grader: exercises, their checks, and the sandbox that strangers' notebooks run in."""

from .grade import check, grade, hint
from .submission import GradingError, load_notebook, release

__all__ = ["GradingError", "check", "grade", "hint", "load_notebook", "release"]
