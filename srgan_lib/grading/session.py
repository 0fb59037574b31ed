"""A session: one submission, loaded once, then questioned until the judge hangs up.

Each exercise is answered in a fork of its own (`worker`), so that a call that never returns, or that ends the process, costs
its exercise alone. Runs inside the walls of `isolation`; nothing that it can open knows an expected value.
"""

import __future__

import ast
import linecache
import pickle
import signal
import sys
import types
from multiprocessing.connection import Connection

from .sandbox import ask, describe, encode
from .worker import Worker

FUTURE = __future__.annotations.compiler_flag


def load(pieces: list[tuple[int, int, str]], seconds: float) -> tuple[dict, dict]:
    """Execute (cell, first line, source) pieces in order -> the names they define, and {cell: what went wrong}.

    What stops with a NameError is tried once more at the end: a notebook's cells may have run in another order. Modules
    that are not installed here are listed under "imports".
    """
    module, problems, again, missing = types.ModuleType("submission"), {}, [], {}
    sys.modules["submission"] = module  # dataclasses look their module up
    module.check = module.hint = lambda *arguments, **options: None
    flags = FUTURE if any("from __future__ import annotations" in source for _, _, source in pieces) else 0
    texts = {cell: {} for cell, _, _ in pieces}
    for cell, line, source in pieces:
        texts[cell].update({line + i: text for i, text in enumerate(source.split("\n"))})
    for cell, lines in texts.items():  # torch.jit.script and inspect read the source
        shown = [lines.get(i, "") + "\n" for i in range(1, max(lines) + 1)]
        linecache.cache[f"<cell {cell}>"] = (sum(map(len, shown)), None, shown, f"<cell {cell}>")
    for turn, waiting in enumerate((pieces, again)):
        for cell, line, source in waiting:
            before = set(vars(module))
            try:
                with Alarm(3 * seconds):
                    tree = ast.increment_lineno(ast.parse(source), line - 1)
                    exec(compile(tree, f"<cell {cell}>", "exec", flags, dont_inherit=True), vars(module))
                if turn:
                    problems.pop(cell, None)
            except ImportError as error:  # google.colab and the like; whatever needs it will say so
                missing[str(getattr(error, "name", ""))[:60]] = source[:200]
            except BaseException as error:
                problems[cell] = describe(error)
                if isinstance(error, NameError) and not turn and before == set(vars(module)):
                    again.append((cell, line, source))
    if missing:
        problems["imports"] = missing
    return vars(module), problems


class Alarm:
    """Raise TimeoutError in the block after `seconds`, where the platform has timers."""

    def __init__(self, seconds: float):
        self.seconds = seconds if hasattr(signal, "setitimer") else 0

    def __enter__(self):
        if self.seconds:
            signal.signal(signal.SIGALRM, self._ring)
            signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def __exit__(self, *_):
        if self.seconds:
            signal.setitimer(signal.ITIMER_REAL, 0)

    @staticmethod
    def _ring(*_):
        raise TimeoutError("it did not come to an end")


def session(connection: Connection, seconds: float, apart: bool) -> None:
    """Load the submission that comes first, then answer (exercise, question) pairs; each exercise in a fork of its own if `apart`."""
    namespace, problems = load(pickle.loads(connection.recv_bytes()), seconds)
    connection.send_bytes(encode({"problems": problems}))
    worker = None
    while True:
        try:
            name, question = connection.recv_bytes(), connection.recv_bytes()
        except EOFError:
            return worker.end() if worker else None
        if apart and (worker is None or worker.name != name or worker.has_ended()):
            if worker:
                worker.end()
            worker = Worker(name, namespace, connection)
        connection.send_bytes(worker.ask(question, seconds) if apart else encode(ask(pickle.loads(question), namespace)))
