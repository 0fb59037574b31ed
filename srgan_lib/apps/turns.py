"""Who computes next on the page: one at a time, in the order in which they came; who has left waits no longer."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import CourseError


class Turns:
    """A line of at most `most` who wait behind the one who computes."""

    def __init__(self, most: int):
        self.most, self.line, self.changed, self.gone = most, deque(), threading.Condition(), deque(maxlen=1000)

    @contextmanager
    def turn(self, visitor: str, told: Callable[[int], object] = lambda before: None) -> Iterator[None]:
        """Wait, then compute within it. told: receives how many are before this visitor, once a second.

        Raises CourseError where too many wait already, and where the visitor has left meanwhile.
        """
        ticket = (object(), visitor)
        with self.changed:
            if len(self.line) > self.most:
                raise CourseError(f"Queue is full! {self.most} images are waiting; press the button again in a minute")
            self.line.append(ticket)
        try:
            with self.changed:
                while self.line[0] is not ticket:
                    told(self.line.index(ticket))
                    self.changed.wait(1)
                    self.check(visitor)
            yield
        finally:
            with self.changed:
                self.line.remove(ticket)
                self.changed.notify_all()

    def serve(self, visitor: str, progress, work: Callable):
        """work(report) in this visitor's turn -> its result; the report, a share from 0 to 1, stops it when the page was closed."""
        def report(share: float) -> None:
            self.check(visitor)
            progress(share)

        with self.turn(visitor, lambda before: progress(0, desc=f"images before yours: {before}")):
            return work(report)

    def leave(self, visitor: str) -> None:
        """Note that a visitor has closed the page."""
        with self.changed:
            self.gone.append(visitor)
            self.changed.notify_all()

    def check(self, visitor: str) -> None:
        """Raise CourseError when a visitor has left."""
        if visitor in self.gone:
            raise CourseError("the page was closed")
