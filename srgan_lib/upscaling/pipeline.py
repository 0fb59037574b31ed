"""Reading, computing and writing at the same time: one thread before the network and one behind it, with a few items between.

The order stays. An error of the thread before is raised where its item would have come, one of the thread behind at the next item.
"""

from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread

PATIENCE = 0.1  # seconds after which a waiting thread looks whether it is still wanted


class Ahead:
    """What a generator yields, made in a thread that runs at most `depth` items ahead."""

    def __init__(self, items: Iterator, depth: int):
        self.queue, self.stopped = Queue(depth), Event()
        self.thread = Thread(target=self._work, args=(items,), daemon=True)
        self.thread.start()

    def _work(self, items: Iterator) -> None:
        error = None
        try:
            for item in items:
                if not self._put((True, item)):
                    break
        except BaseException as raised:
            error = raised
        finally:
            items.close()  # here, in its own thread: it holds a decoder
        self._put((False, error))

    def _put(self, entry: tuple) -> bool:
        """False when nobody wants it any more."""
        while not self.stopped.is_set():
            try:
                self.queue.put(entry, timeout=PATIENCE)
                return True
            except Full:
                continue
        return False

    def __iter__(self):
        while True:
            more, item = self.queue.get()
            if more:
                yield item
            elif item is None:
                return
            else:
                raise item

    def close(self) -> None:
        """End the thread, also in the middle."""
        self.stopped.set()
        self.thread.join()


class Behind:
    """Calls `function(*item)` for one item after the other in a thread; at most `depth` items wait."""

    def __init__(self, function: Callable, depth: int):
        self.function, self.queue, self.ended, self.error = function, Queue(depth), Event(), None
        self.thread = Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while self.error is None and not (self.ended.is_set() and self.queue.empty()):
            try:
                item = self.queue.get(timeout=PATIENCE)
            except Empty:
                continue
            try:
                self.function(*item)
            except BaseException as error:
                self.error = error

    def put(self, *item) -> None:
        """Hand an item over. Raises the error that an earlier one met."""
        while self.error is None:
            try:
                return self.queue.put(item, timeout=PATIENCE)
            except Full:
                continue
        raise self.error

    def close(self) -> None:
        """Wait until what was handed over is done; an error is kept for `finish`."""
        self.ended.set()
        self.thread.join()

    def finish(self) -> None:
        """`close`, and raise the error that an item met."""
        self.close()
        if self.error is not None:
            raise self.error
