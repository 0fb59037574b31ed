"""Where submitted code runs: a process of its own that gets questions and returns numbers, never a verdict.

Started as a script by `grading`. It imports torch once and forks one session a submission; a session forks once more
for each question, so that a call that never returns, or ends the process, costs itself alone. Nothing in this file, and
nothing that the session can open, knows an expected value: the judge compares in another process.
"""

import __future__
import ctypes
import importlib
import json
import math
import os
import pickle
import signal
import socket
import struct
import sys
import time
import traceback
import types
from multiprocessing.connection import Client, Connection

import torch
from torch import nn

ANSWER_BYTES = 64 << 20      # the longest answer that is listened to
MEMORY_BYTES = 2 << 30       # what a session may allocate beyond the preloaded libraries
DTYPES = {str(kind): kind for kind in (torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool)}
FUTURE = __future__.annotations.compiler_flag


# Plain data in both directions. Answers come from a stranger, so they are JSON and raw numbers, never a pickle.

def encode(data) -> bytes:
    """None, numbers, strings, lists, dictionaries and tensors -> bytes; anything else becomes its type's name."""
    tensors = []

    def plain(value):
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().contiguous()
            value = value if str(value.dtype) in DTYPES else value.double()
            tensors.append(value.numpy().tobytes())
            return {"__tensor__": [str(value.dtype), list(value.shape)]}
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        return plain(torch.as_tensor(value)) if hasattr(value, "__array__") else {"__object__": type(value).__name__}

    header = json.dumps(plain(data)).encode()
    return struct.pack(">I", len(header)) + header + b"".join(tensors)


def decode(answer: bytes):
    """The inverse of `encode`. Raises ValueError, and nothing else, for bytes that do not come from it."""
    try:
        start = 4 + struct.unpack(">I", answer[:4])[0]
        place = [start]

        def lively(value):
            if isinstance(value, list):
                return [lively(item) for item in value]
            if not isinstance(value, dict):
                return value
            if "__tensor__" in value:
                return _tensor(answer, place, *value["__tensor__"])
            return {key: lively(item) for key, item in value.items()}

        return lively(json.loads(answer[4:start]))
    except Exception as error:  # whatever hostile bytes provoke
        raise ValueError(f"unreadable answer ({type(error).__name__})") from None


def _tensor(answer: bytes, place: list[int], dtype: str, shape: list[int]) -> torch.Tensor:
    count = math.prod(shape)
    if not 0 <= count <= ANSWER_BYTES or min(shape, default=0) < 0:
        raise ValueError("impossible shape")
    if count == 0:
        return torch.empty(shape, dtype=DTYPES[dtype])
    tensor = torch.frombuffer(bytearray(answer), dtype=torch.uint8, count=count * DTYPES[dtype].itemsize, offset=place[0])
    place[0] += tensor.numel()
    return tensor.clone().view(DTYPES[dtype]).reshape(shape)


# Questions: what a test can ask of an exercise, the same in the notebook and in the sandbox.

def filled(shape, seed: int) -> torch.Tensor:
    """Weights drawn from (seed, outputs, number of elements) alone: tensors of equal size get equal values.

    A reference can thus be computed without knowing what a submission calls its layers or in which order it makes them.
    """
    count = math.prod(shape)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + count * 1009 + shape[0])
    if len(shape) < 2:
        low, high = (0.1, 0.5) if count == 1 else (0.5, 1.5)
        return torch.rand(shape, generator=generator) * (high - low) + low
    return (torch.randn(count, generator=generator) * (shape[0] / count) ** 0.5).reshape(shape)


def ask(question: dict, namespace: dict) -> dict:
    """Call or build `question["name"]` -> {"turns": [...]} or {"outputs", "shapes"}; or {"error": {...}}, never a raise."""
    try:
        if question["name"] not in namespace:
            return {"error": {"type": "Missing", "text": "", "line": None}}
        target = namespace[question["name"]]
        torch.manual_seed(question["seed"])
        return build(target, **question["build"]) if "build" in question else {
            "turns": [call(target, arguments, question["backward"]) for arguments in question["turns"]]}
    except BaseException as error:  # SystemExit and KeyboardInterrupt are answers too
        return {"error": describe(error)}


def call(target, arguments: list, backward: bool) -> dict:
    """One call -> its value, the gradients of its tensor arguments, and what it left behind in the modules it was given."""
    modules, sizes = list(_modules(arguments)), []
    for module in modules:
        module.register_forward_pre_hook(lambda _, inputs: sizes.append(list(inputs[0].shape)))
    value = target(*arguments)
    if backward and isinstance(value, torch.Tensor) and value.requires_grad:
        value.sum().backward()
    return {"value": value, "sizes": sizes, "gradients": [a.grad for a in arguments if isinstance(a, torch.Tensor)],
            "modules": [{"state": list(m.state_dict().values()), "gradients": [p.grad for p in m.parameters()],
                         "training": m.training} for m in modules]}


def _modules(arguments: list):
    for argument in arguments:
        items = vars(argument).values() if isinstance(argument, types.SimpleNamespace) else [argument]
        yield from (item for item in items if isinstance(item, nn.Module))


def build(target, arguments: list, inputs: list, training: bool, seed: int) -> dict:
    """Make a network, fill it by `filled`, run it -> its outputs and the shapes of its parameters."""
    module = target(*arguments)
    if not isinstance(module, nn.Module):
        raise TypeError(f"want an nn.Module, got {type(module).__name__}")
    shapes = [list(parameter.shape) for parameter in module.parameters()]
    if inputs:
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor.data.copy_(filled(tensor.shape or (1,), seed).reshape(tensor.shape))
    with torch.no_grad():
        outputs = [module.train(training)(x) for x in inputs]
    return {"outputs": outputs, "shapes": shapes}


def describe(error: BaseException) -> dict:
    """Type, text and the last line of submitted code on the way to it, as (cell, line)."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(("<cell ", "<ipython", "/tmp/ipykernel"))]
    where = f"{frames[-1].name}, line {frames[-1].lineno}" if frames else None
    return {"type": type(error).__name__, "text": str(error)[:400], "line": where}


# The session: one submission, loaded once, questioned until the judge hangs up.

def load(pieces: list[tuple[int, int, str]], seconds: float) -> tuple[dict, dict]:
    """Execute (cell, first line, source) pieces in order -> the names they define, and {cell: what went wrong}."""
    module, problems = types.ModuleType("submission"), {}
    sys.modules["submission"] = module  # dataclasses look their module up
    module.check = module.hint = lambda *arguments, **options: None
    flags = FUTURE if any("from __future__ import annotations" in source for _, _, source in pieces) else 0
    for cell, line, source in pieces:
        try:
            with Alarm(seconds):
                exec(compile("\n" * (line - 1) + source, f"<cell {cell}>", "exec", flags, dont_inherit=True), vars(module))
        except ImportError:
            continue  # google.colab and the like; whatever needs it will say so
        except BaseException as error:
            problems[cell] = describe(error)
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
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        connection.close()
        answer = encode(ask(question, namespace))
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(struct.pack(">Q", len(answer)) + answer)
        os._exit(0)
    os.close(writer)
    answer, reason = _listen(reader, seconds)
    os.close(reader)
    status = _end(child)
    if reason == "ended" and os.WIFSIGNALED(status):
        reason = f"was ended by signal {os.WTERMSIG(status)}"
    reasons = {"late": f"did not come to an end within {seconds:g} s", "long": "returned far too much", "ended": "ended the process"}
    return answer or encode({"error": {"type": "Died", "text": reasons.get(reason, reason), "line": None}})


def _listen(reader: int, seconds: float) -> tuple[bytes | None, str]:
    """Read one length-prefixed answer -> (answer, "") or (None, why there is none)."""
    import select
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
    """Kill what the question left running, reap it, and return the child's status."""
    if os.getpid() == 1:
        time.sleep(0) or os.kill(-1, signal.SIGKILL)  # alone in its namespace: this reaches descendants only
    else:
        os.killpg(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    while os.getpid() == 1:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    return status
