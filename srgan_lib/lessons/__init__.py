"""The exercises in the lessons: check, hints, solutions, and what has been solved so far."""

from .session import check, hint, model_answer, status

__all__ = ["check", "hint", "model_answer", "status"]
