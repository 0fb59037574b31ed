"""What a user should know and no error says: printed as "note: ...", or kept for a page, which has no terminal."""

from contextlib import contextmanager
from contextvars import ContextVar

_kept: ContextVar[list[str] | None] = ContextVar("kept", default=None)


def note(text: str) -> None:
    """Print one sentence, or keep it where somebody collects."""
    notes = _kept.get()
    if notes is None:
        print(f"note: {text}")
    elif text not in notes:
        notes.append(text)


@contextmanager
def collected():
    """Within it, notes of this thread go to the list that it yields, and not to the terminal."""
    notes: list[str] = []
    token = _kept.set(notes)
    try:
        yield notes
    finally:
        _kept.reset(token)
