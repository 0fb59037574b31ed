"""A session: one submission, loaded once, then questioned until the judge hangs up.

Each question is answered in a fork of its own, so that a call that never returns, or that ends the process, costs itself
alone. Runs inside the walls of `isolation`; nothing that it can open knows an expected value.
"""

import __future__

import ast
import linecache
import math
import os
import pickle
import select
import signal
import struct
import sys
import time
import types
from multiprocessing.connection import Connection

try:
    import resource
except ImportError:  # Windows
    resource = None

from .sandbox import ANSWER_BYTES, ask, describe, encode

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
    """Load the submission that comes first, then answer questions; each in a fork of its own if `apart`."""
    namespace, problems = load(pickle.loads(connection.recv_bytes()), seconds)
    connection.send_bytes(encode({"problems": problems}))
    while True:
        try:
            question = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        connection.send_bytes(_answer_apart(question, namespace, seconds, connection) if apart
                              else encode(ask(question, namespace)))


def _answer_apart(question: dict, namespace: dict, seconds: float, connection: Connection) -> bytes:
    """Answer in a fork, which may compute for `seconds` and, on a busy machine or asleep, last much longer."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        connection.close()
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds)))
        _worker(question, namespace, writer)
    os.close(writer)
    try:
        os.setpgid(child, child)  # on both sides: whoever comes first
    except OSError:
        pass
    began = time.monotonic()
    answer, reason = _listen(reader, max(10, 3 * seconds))
    os.close(reader)
    status, lost = _end(child), time.monotonic() - began
    if reason == "ended" and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        reason = "late" if number in (signal.SIGXCPU, signal.SIGKILL) else f"was ended by signal {number}"
        lost = min(lost, seconds)  # of computing: a busy machine is not the submission's fault
    reasons = {"late": f"did not come to an end within {seconds:g} s", "long": "returned far too much", "ended": "ended the process"}
    return answer or encode({"error": {"type": "Died", "text": reasons.get(reason, reason), "line": None, "lost": lost}})


def _worker(question: dict, namespace: dict, writer: int) -> None:
    """Write the answer and end, whatever a submission's objects do while they are encoded."""
    try:
        try:
            answer = encode(ask(question, namespace))
        except BaseException as error:
            answer = encode({"error": describe(error)})
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(struct.pack(">Q", len(answer)) + answer)
    finally:
        os._exit(0)


def _listen(reader: int, seconds: float) -> tuple[bytes | None, str]:
    """Read one length-prefixed answer -> (answer, "") or (None, why there is none)."""
    received, deadline = bytearray(), time.monotonic() + seconds
    while True:
        if len(received) >= 8:
            size = struct.unpack(">Q", received[:8])[0]
            if size > ANSWER_BYTES:
                return None, "long"
            if len(received) >= 8 + size:
                return bytes(received[8:8 + size]), ""
        if not select.select([reader], [], [], max(0, deadline - time.monotonic()))[0]:
            return None, "late"
        piece = os.read(reader, 1 << 20)
        if not piece:
            return None, "ended"
        received += piece


def _end(child: int) -> int:
    """Reap the question's process and kill what it left running -> its wait status."""
    for _ in range(20):  # one that ended by itself is a moment late; its own status says more than our signal's
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.001)
    try:  # as process 1 of a namespace, -1 reaches descendants only; elsewhere it would reach everybody
        os.kill(-1, signal.SIGKILL) if os.getpid() == 1 else os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    status = status if ended else os.waitpid(child, 0)[1]
    while os.getpid() == 1:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    return status
