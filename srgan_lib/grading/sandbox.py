"""What a test may ask of submitted code, and how the answer travels: numbers, never a verdict.

Both sides use this module: `check` in the notebook, `grade` through a session (`session`) in another process. Nothing in
it knows an expected value: the judge compares.
"""

import copy
import json
import math
import struct
import traceback
import types

import torch
from torch import nn

ANSWER_BYTES = 64 << 20  # the longest answer that is listened to
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
    modules, sizes, tracked = list(_modules(arguments)), [], []

    def watch(_, inputs):
        sizes.append(list(inputs[0].shape))
        tracked.append(torch.is_grad_enabled())

    for module in modules:
        module.register_forward_pre_hook(watch)
    value = target(*arguments)
    if backward and isinstance(value, torch.Tensor) and value.requires_grad:
        value.sum().backward()
    return copy.deepcopy({  # the next call may change what this one left
        "value": value.detach().as_subclass(torch.Tensor) if isinstance(value, torch.Tensor) else value, "sizes": sizes, "tracked": tracked,
        "gradients": [a.grad for a in arguments if isinstance(a, torch.Tensor)],
        "modules": [{"state": list(m.state_dict().values()), "gradients": [p.grad for p in m.parameters()],
                     "training": m.training, "frozen": not all(p.requires_grad for p in m.parameters())} for m in modules]})


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
    cells = ("<cell ", "ipykernel_", "ipython-input")  # ours, Jupyter's and Colab's names for the code of a cell
    frames = [f for f in traceback.extract_tb(error.__traceback__) if any(cell in f.filename for cell in cells)]
    where = f"{frames[-1].name}, line {frames[-1].lineno}" if frames else None
    return {"type": type(error).__name__, "text": str(error)[:400], "line": where}


# What tests hand to a training step: losses that are none of the exercises' own, and an optimizer without torch.optim,
# whose first use imports the compiler, seconds for each process.

class PlainSGD:
    """Gradient descent with the two methods that a training loop needs."""

    def __init__(self, parameters, rate: float):
        self.parameters, self.rate = list(parameters), rate

    def zero_grad(self, set_to_none: bool = True) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=self.rate)


def hinge(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """The discriminator's hinge loss (Lim and Ye 2017)."""
    return (1 - real_logits).relu().mean() + (1 + fake_logits).relu().mean()


def hinge_generator(fake_logits: torch.Tensor) -> torch.Tensor:
    """The generator's side of it."""
    return -fake_logits.mean()


def light(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """A content loss in which sr and hr are not interchangeable: errors weigh more where hr is light."""
    return ((sr - hr).square() * (0.5 + hr)).mean()
