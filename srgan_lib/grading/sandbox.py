"""What a test may ask of submitted code, and how the answer travels: numbers, never a verdict.

Both sides use this module: `check` in the notebook, `grade` through a session (`session`) in another process. Nothing in
it knows an expected value: the judge compares.
"""

import copy
import functools
import json
import math
import numbers
import struct
import traceback
import types

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from .props import Block, PlainSGD

ANSWER_BYTES = 64 << 20  # the longest answer that is listened to
MOST_TENSORS = 20_000
MOST_KEPT = 1 << 20  # values of one tensor that `filled` keeps
DTYPES = {str(kind): kind for kind in (torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool)}


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
        if answer[4:start].count(b"__tensor__") > MOST_TENSORS:
            raise ValueError("too many tensors")
        raw, place = bytearray(answer), [start]

        def lively(value):
            if isinstance(value, list):
                return [lively(item) for item in value]
            if not isinstance(value, dict):
                return value
            if "__tensor__" in value:
                return _tensor(raw, place, *value["__tensor__"])
            return {key: lively(item) for key, item in value.items()}

        return lively(json.loads(answer[4:start]))
    except Exception as error:  # whatever hostile bytes provoke
        raise ValueError(f"unreadable answer ({type(error).__name__})") from None


def _tensor(raw: bytearray, place: list[int], dtype: str, shape: list[int]) -> torch.Tensor:
    count = math.prod(shape)
    if not 0 <= count <= ANSWER_BYTES or min(shape, default=0) < 0:
        raise ValueError("impossible shape")
    if count == 0:
        return torch.empty(shape, dtype=DTYPES[dtype])
    tensor = torch.frombuffer(raw, dtype=torch.uint8, count=count * DTYPES[dtype].itemsize, offset=place[0])
    place[0] += tensor.numel()
    return tensor.clone().view(DTYPES[dtype]).reshape(shape)


# Questions: what a test can ask of an exercise, the same in the notebook and in the sandbox.

def filled(shape, seed: int) -> torch.Tensor:
    """Weights drawn from (seed, outputs, number of elements) alone: tensors of equal size get equal values.

    A reference can thus be computed without knowing what a submission calls its layers or in which order it makes them.
    The tensor is kept for the next call: copy it, never change it.
    """
    return (_kept if math.prod(shape) <= MOST_KEPT else _drawn)(tuple(shape), seed)


def _drawn(shape: tuple, seed: int) -> torch.Tensor:
    count = math.prod(shape)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + count * 1009 + shape[0])
    if len(shape) < 2:
        low, high = (0.1, 0.5) if count == 1 else (0.5, 1.5)
        return torch.rand(shape, generator=generator) * (high - low) + low
    return (torch.randn(count, generator=generator) * (shape[0] / count) ** 0.5).reshape(shape)


_kept = functools.lru_cache(maxsize=128)(_drawn)


def ask(question: dict, namespace: dict) -> dict:
    """Call or build `question["name"]` -> {"turns": [...]} or {"outputs", ...}; or {"error": {...}}, never a raise."""
    try:
        if question["name"] not in namespace:
            return {"error": {"type": "Missing", "text": "", "line": None}}
        target = namespace[question["name"]]
        torch.manual_seed(question["seed"])
        if "build" in question:
            return build(target, **question["build"])
        return {"turns": [_turn(target, arguments, question["backward"]) for arguments in question["turns"]]}
    except BaseException as error:  # SystemExit and KeyboardInterrupt are answers too
        return {"error": describe(error)}


def _turn(target, arguments: list, backward: bool) -> dict:
    """A call, or {"error": {...}} where it raised: the other turns have answers of their own."""
    try:
        return call(target, arguments, backward)
    except BaseException as error:
        return {"error": describe(error)}


class Watch(TorchDispatchMode):
    """What ran: each torch function by name, and for every convolution its input's size, channels, and whether gradients were tracked."""

    def __init__(self):
        super().__init__()
        self.names, self.convolutions = {}, []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: hiding from torch's compiler means to import it first, seconds of computing in every question's process."""
        return False

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        name = function._schema.name.split("::")[-1]
        self.names[name] = self.names.get(name, 0) + 1
        if "conv" in name and "backward" not in name and len(self.convolutions) < 5000:
            self.convolutions.append([*map(int, arguments[0].shape), int(arguments[1].shape[0]), torch.is_grad_enabled()])
        return function(*arguments, **(options or {}))


def call(target, arguments: list, backward: bool) -> dict:
    """One call -> its value, the gradients of its tensor arguments, what ran, and what it left behind in what it was given."""
    tensors = [a for a in arguments if isinstance(a, torch.Tensor)]
    before = [tensor.detach().clone() for tensor in tensors]
    with Watch() as watch:
        value = target(*arguments)
    changed = [not torch.equal(tensor.detach(), old) for tensor, old in zip(tensors, before)]
    if backward and isinstance(value, torch.Tensor) and value.requires_grad:
        value.sum().backward(retain_graph=True)  # the graph is the submission's, which may still need it
    kind = "tensor" if isinstance(value, torch.Tensor) else "number" if isinstance(value, numbers.Real) else type(value).__name__[:60]
    return copy.deepcopy({  # the next call may change what this one left
        "value": _detached(value), "kind": kind, "changed": changed,
        "ran": watch.names, "convolutions": watch.convolutions, "calls": [list(item.calls) for item in _items(arguments) if isinstance(item, PlainSGD)],
        "gradients": [a.grad for a in tensors],
        "modules": [{"state": list(m.state_dict().values()), "gradients": [p.grad for p in m.parameters()],
                     "training": [part.training for part in m.modules()], "frozen": not all(p.requires_grad for p in m.parameters())}
                    for m in _items(arguments) if isinstance(m, nn.Module)]})


def _detached(value):
    """Without the graph, which cannot be copied; in tuples and lists as well."""
    if isinstance(value, (tuple, list)):
        return [_detached(item) for item in value]
    return value.detach().as_subclass(torch.Tensor) if isinstance(value, torch.Tensor) else value


TURN = {"value", "kind", "changed", "ran", "convolutions", "calls", "gradients", "modules"}  # the keys of an answer


def _items(arguments: list):
    for argument in arguments:
        yield from vars(argument).values() if isinstance(argument, types.SimpleNamespace) else [argument]


def build(target, arguments: list, inputs: list, training: bool, seed: int, flat: bool = False) -> dict:
    """Make a network, fill it by `filled`, run it -> its outputs, the shapes of its parameters, what it is made of.

    flat: weights of one dimension (biases, scales, slopes) are zero, so that whatever ends in a batch norm is silent.
    """
    Block.made = 0
    module = target(*arguments)
    if not isinstance(module, nn.Module):
        raise TypeError(f"want an nn.Module, got {type(module).__name__[:60]}")
    shapes = [list(parameter.shape) for parameter in module.parameters()]
    if inputs:
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor.data.copy_(filled(tensor.shape or (1,), seed).reshape(tensor.shape))
        for parameter in module.parameters() if flat else ():
            parameter.data.mul_(float(parameter.dim() > 1))
    state, before = copy.deepcopy(module.state_dict()), [x.clone() for x in inputs]
    outputs, again = [], []
    with torch.no_grad():
        for x, copy_of_x in zip(inputs, copy.deepcopy(before)):
            outputs.append(module.train(training)(x))
            module.load_state_dict(state)
            again.append(module(copy_of_x))
    blocks = len([part for part in module.modules() if isinstance(part, Block)])
    return {"outputs": outputs, "again": again, "shapes": shapes, "changed": [not torch.equal(x, old) for x, old in zip(inputs, before)],
            "blocks": [Block.made, blocks], "layers": sorted({type(part).__name__[:60] for part in module.modules()})[:100]}


BUILT = {"outputs", "again", "shapes", "changed", "blocks", "layers"}


def describe(error: BaseException) -> dict:
    """Type, text and the last line of submitted code on the way to it, as (cell, line)."""
    cells = ("<cell ", "ipykernel_", "ipython-input")  # ours, Jupyter's and Colab's names for the code of a cell
    frames = [f for f in traceback.extract_tb(error.__traceback__) if any(cell in f.filename for cell in cells)]
    where = f"{frames[-1].name[:60]}, line {frames[-1].lineno}" if frames else None
    return {"type": type(error).__name__[:100], "text": str(error)[:400], "line": where}
