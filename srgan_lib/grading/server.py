"""The judge's end of the sandbox: start the server process, open a session for each submission, put questions.

What comes back is a stranger's bytes: they are decoded as numbers and nothing else. This module does without torch, so
that the server can load it while the judge does.
"""

import functools
import json
import os
import pickle
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing import Pipe
from multiprocessing.connection import Listener
from pathlib import Path

from .submission import GradingError, Submission

COURSE = Path(__file__).resolve().parents[2]
TESTS = COURSE / "notebooks" / "assignment" / "exercises"
LATE = "was not reached: time ran out, in cells that wait or on a machine that was too busy; then repeat with a larger --timeout"
PRELOADED = ("numpy", "torchvision", "matplotlib.pyplot", "PIL.Image", "skimage", "scipy", "einops", "tqdm")


class Sandbox:
    """The server behind which submissions run; a context manager.

    seconds: that calls without an answer may cost a submission; call_seconds: of computing for one call.
    mode: "namespaces", "limits" or "process", see `isolation`; asking for a weaker one is for tests.
    """

    def __init__(self, seconds: float = 15, imports: frozenset = frozenset(), mode: str = "namespaces", call_seconds: float | None = None):
        self.folder = tempfile.TemporaryDirectory(prefix="grading-")
        os.chmod(self.folder.name, 0o755)
        os.mkdir(f"{self.folder.name}/probe", 0o755)
        self.settings = {"seconds": seconds, "call_seconds": call_seconds or max(1.0, seconds / 5), "walls": mode == "namespaces",
                         "probe": f"{self.folder.name}/probe", "preload": [name for name in PRELOADED if _is_used(name, imports)]}
        self.wanted, self.control = mode if sys.platform == "linux" else "process", None
        if self.wanted != "process":
            self._start()

    def _start(self) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.server = self._run([str(theirs.fileno())], pass_fds=[theirs.fileno()])
        theirs.close()

    @functools.cached_property
    def mode(self) -> str:
        """The isolation that was reached; waits until the server is ready."""
        mode = self.control.recv(100).decode() if self.control else self.wanted
        if not mode:
            raise GradingError("the grading server did not start; its message stands above")
        return mode

    def _run(self, arguments: list[str], environment=(), **options) -> subprocess.Popen:
        """A Python with one thread and none of our environment: no tokens, no settings, and not our folder."""
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        paths = [str(COURSE), *filter(_is_package_folder, sys.path)]
        kept |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
                 "PYTHONPATH": os.pathsep.join(paths), "HOME": self.folder.name, "MPLBACKEND": "Agg", **dict(environment)}
        command = [sys.executable, "-P", "-W", "ignore", "-m", "srgan_lib.grading.isolation", *arguments, json.dumps(self.settings)]
        return subprocess.Popen(command, env=kept, cwd=self.folder.name, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **options)

    def open(self, submission: Submission) -> "Session":
        """Load a submission in a session of its own."""
        home = tempfile.mkdtemp(dir=self.folder.name)
        if self.mode == "process":
            return Session(*self._alone(home), submission, self.settings)
        ours, theirs = Pipe()
        try:
            socket.send_fds(self.control, [home.encode()], [theirs.fileno()])
        except OSError:
            raise GradingError("the grading server has ended; run the command again, finished results are kept") from None
        theirs.close()
        return Session(ours, None, submission, self.settings)

    def _alone(self, home: str):
        key = secrets.token_bytes(16)
        with Listener(authkey=key) as listener:
            process = self._run(["--alone", listener.address], {"SRGAN_GRADING_KEY": key.hex(), "HOME": home})
            return listener.accept(), process

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_) -> None:
        if self.control:
            self.control.close()
            self.server.wait()
        self.folder.cleanup()


def exercise_files(folder: Path = TESTS) -> list[Path]:
    """The test files of the assignment. Raises GradingError when there are none, as in an installation without the course's notebooks."""
    files = sorted(folder.glob("[0-9]*.py"))
    if not files:
        raise GradingError(f"{folder}: no exercises there; grading and check() need a checkout of the course")
    return files


def _is_package_folder(entry: str) -> bool:
    """Whether an entry of our module path may be shown to submissions: packages, not the course or a folder around it."""
    path = Path(entry).absolute()
    own = COURSE.is_relative_to(path) or path.is_relative_to(COURSE) and not path.is_relative_to(sys.prefix)
    return bool(entry) and (path.name.endswith("-packages") or not own)


def _is_used(name: str, imports: frozenset) -> bool:
    return any(used.split(".")[0] == name.split(".")[0] for used in imports)


class Session:
    """One submission in the sandbox. `put` answers a question; after its time is over every answer says so.

    late: it ended because the clock ran out, although its calls lost little: a busy machine, or cells that wait.
    """

    def __init__(self, connection, process, submission: Submission, settings: dict):
        self.connection, self.process, self.settings, self.over = connection, process, settings, ""
        self.lost, self.late = 0.0, False  # lost: seconds spent on calls that did not come back
        self.began = time.monotonic()
        problems = self._exchange(pickle.dumps(submission.pieces)).get("problems")
        self.problems = problems if isinstance(problems, dict) else {}

    def put(self, question: dict) -> dict:
        """A question of `sandbox.ask` -> its answer; {"error": ...} when none came."""
        return self._exchange(question["name"].encode(), pickle.dumps(question))

    def _exchange(self, *messages: bytes) -> dict:
        from .sandbox import ANSWER_BYTES, decode
        if self.over:
            return _died(self.over)
        began, patience = time.monotonic(), self.settings["seconds"] * (1 if self.process else 4) + 5
        try:
            for message in messages:
                self.connection.send_bytes(message)
            came = self.connection.poll(patience)
            answer = decode(self.connection.recv_bytes(ANSWER_BYTES + 100)) if came else _died("did not come to an end")
            answer = answer if isinstance(answer, dict) else _died("answered nonsense")
        except ValueError:
            answer = _died("answered nonsense")
        except (EOFError, OSError):
            self.late = time.monotonic() - self.began > 3.9 * self.settings["seconds"]
            answer = _died(LATE if self.late else "was not reached: the notebook as a whole ended its process or used up its time")
            self.over = answer["error"]["text"]
        error = answer.get("error")
        if isinstance(error, dict) and error.get("type") == "Died":
            lost = error.get("lost")
            self.lost += lost if isinstance(lost, (int, float)) else time.monotonic() - began
        if self.lost > self.settings["seconds"]:
            self.over = f"was not reached: calls before it used up the {self.settings['seconds']:g} s of the notebook"
        return answer

    def close(self) -> None:
        """Hang up; the session ends by itself."""
        self.connection.close()
        if self.process:
            self.process.kill()
            self.process.wait()


def _died(text: str) -> dict:
    return {"error": {"type": "Died", "text": text, "line": None}}
