"""The process of one exercise: forked from the session with the submission loaded, asked again and again, then ended.

What one exercise leaves behind, or breaks, no other one meets. A fork costs more than most answers, so that all questions
of an exercise go to the same process as long as it lives.
"""

import math
import os
import pickle
import select
import signal
import socket
import struct
import time
from multiprocessing.connection import Connection

from .sandbox import ANSWER_BYTES, ask, describe, encode

LOOK = 0.1  # seconds between two looks at how much was computed
PROCESSOR_TIME = 2  # of a process, as part of a clock's number: CPUCLOCK_SCHED in linux/posix-timers.h


class Worker:
    """A fork of the session that answers the questions of the exercise `name`."""

    def __init__(self, name: bytes, namespace: dict, connection: Connection):
        self.name, self.status = name, None
        self.link, theirs = socket.socketpair()
        self.process = os.fork()
        if self.process == 0:
            os.setpgid(0, 0)
            connection.close()
            self.link.close()
            _work(theirs, namespace)
        theirs.close()
        try:
            os.setpgid(self.process, self.process)  # on both sides: whoever comes first
        except OSError:
            pass

    def ask(self, question: bytes, seconds: float) -> bytes:
        """The answer, which may take `seconds` of computing and, on a busy machine or asleep, last much longer."""
        began, most = time.monotonic(), self._computed() + math.ceil(seconds)
        answer, reason = self._exchange(question, began + max(10, 3 * seconds), most)
        if answer:
            return answer
        status, lost = self.end(patience=20), time.monotonic() - began
        if reason == "computed":  # a busy machine is not the submission's fault
            reason, lost = "late", min(lost, seconds)
        elif reason == "ended" and os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            reason = "late" if number in (signal.SIGXCPU, signal.SIGKILL) else f"was ended by signal {number}"
            lost = min(lost, seconds)
        reasons = {"late": f"did not come to an end within {seconds:g} s", "long": "returned far too much", "ended": "ended the process"}
        return encode({"error": {"type": "Died", "text": reasons.get(reason, reason), "line": None, "lost": lost}})

    def _exchange(self, question: bytes, deadline: float, most: float) -> tuple[bytes | None, str]:
        """Send a question and read the answer, both with their length before them -> (answer, "") or (None, why there is none)."""
        received = bytearray()
        try:
            self.link.settimeout(max(0.1, deadline - time.monotonic()))
            self.link.sendall(struct.pack(">Q", len(question)) + question)
            while len(received) < 8 or len(received) < 8 + (size := struct.unpack(">Q", received[:8])[0]):
                if len(received) >= 8 and size > ANSWER_BYTES:
                    return None, "long"
                if time.monotonic() > deadline or self._computed() > most:
                    return None, "late" if time.monotonic() > deadline else "computed"
                if not select.select([self.link], [], [], LOOK)[0]:
                    continue
                piece = self.link.recv(1 << 20)
                if not piece:
                    return None, "ended"
                received += piece
        except TimeoutError:
            return None, "late"
        except OSError:  # it ended before it had read the question
            return None, "ended"
        return bytes(received[8:8 + size]), ""

    def _computed(self) -> float:
        """Seconds of processor time that the process has used; it cannot set this clock."""
        try:
            return time.clock_gettime(~self.process << 3 | PROCESSOR_TIME)
        except OSError:
            return 0

    def has_ended(self) -> bool:
        """Whether the process is gone, by itself or by `end`."""
        if self.status is None:
            ended, status = os.waitpid(self.process, os.WNOHANG)
            self.status = status if ended else None
        return self.status is not None

    def end(self, patience: int = 0) -> int:
        """Reap the process and kill what it left running -> its wait status. patience: milliseconds that it may take to end by itself."""
        self.link.close()
        for _ in range(patience):  # one that ended by itself is a moment late; its own status says more than our signal's
            if self.has_ended():
                break
            time.sleep(0.001)
        try:  # as process 1 of a namespace, -1 reaches descendants only; elsewhere it would reach everybody
            os.kill(-1, signal.SIGKILL) if os.getpid() == 1 else os.killpg(self.process, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if not self.has_ended():
            self.status = os.waitpid(self.process, 0)[1]
        while os.getpid() == 1:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        return self.status


def _work(link: socket.socket, namespace: dict) -> None:
    """Answer until the session hangs up, whatever a submission's objects do while they are encoded. Does not return."""
    try:
        with link.makefile("rb") as questions:
            while head := questions.read(8):
                question = pickle.loads(questions.read(struct.unpack(">Q", head)[0]))
                try:
                    answer = encode(ask(question, namespace))
                except BaseException as error:
                    answer = encode({"error": describe(error)})
                link.sendall(struct.pack(">Q", len(answer)) + answer)
    finally:
        os._exit(0)
