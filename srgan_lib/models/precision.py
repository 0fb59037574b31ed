"""In which numbers a network computes: float32, or half of its bits where the machine has them in hardware.

`auto` is decided here and nowhere else. On processors it rests on a proof, since bfloat16 that is emulated gives the same
image several times more slowly: one convolution is timed both ways, and the times are kept for the next start.
"""

import json
import os
import platform
import time
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from ..errors import DataError, ModelError
from ..images import atomic_write
from ..notes import note
from .networks import Discriminator, Generator, PatchDiscriminator

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
GAIN = 1.2  # times faster than float32 that half precision must be to be taken
TENSOR_CORES = (7, 0)  # the first compute capability of CUDA that multiplies matrices of float16 faster than of float32


def choose_precision(asked: str, device: torch.device | str, training: bool = False, began: str | None = None) -> str:
    """The precision of a run or of an upscale on `device`: what is asked for, or for "auto" what is fastest there.

    SRGAN_PRECISION in the environment says what "auto" means. float16 needs a scaled loss in training and none in upscaling,
    so the two may differ. began: what a run began with, which "auto" keeps. Raises ModelError, one sentence, for an unknown
    name or a device that cannot compute so; a device that only emulates it is a note.
    """
    device = torch.device(device)
    for name, source in ((asked, "precision"), (began or "auto", "the run's precision"), (os.environ.get("SRGAN_PRECISION", "auto"), "SRGAN_PRECISION")):
        if name not in PRECISIONS:
            raise ModelError(f"{source} {name}: want one of {', '.join(PRECISIONS)}")
    asked = began or os.environ.get("SRGAN_PRECISION", "auto") if asked == "auto" else asked
    if asked == "auto":
        return automatic(device, training)
    if asked != "float32":
        _check(asked, device, "; the run began so and keeps it" if began else "")
    return asked


def automatic(device: torch.device, training: bool = False) -> str:
    """What is fastest on a device: see the table in docs/times.md for what was measured."""
    if device.type == "cuda":
        if training and torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16"
        return "float16" if torch.cuda.get_device_capability(device) >= TENSOR_CORES else "float32"
    if device.type == "mps":  # a scaled loss has not been tried there
        return "float16" if not training and faster("float16", "mps") else "float32"
    return "bfloat16" if device.type == "cpu" and faster("bfloat16", "cpu") else "float32"


def _check(name: str, device: torch.device, why: str) -> None:
    """Raise ModelError where a device cannot compute in a precision, and say it where the device only pretends to."""
    try:
        _convolve(name, device.type, 1, 8)()
    except (RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0][:100]
        raise ModelError(f"precision {name}: {device.type} cannot compute in it here ({reason}){why or '; want float32 or auto'}") from None
    if not faster(name, device.type):
        note(f"this machine's {device.type} has no fast {name}, so that it takes longer than float32 would{why}")


@lru_cache
def faster(name: str, kind: str) -> bool:
    """Whether a kind of device computes a 3x3 convolution 64 -> 64 faster so than in float32; measured once, then remembered."""
    if kind == "cpu" and not in_hardware(name):
        return False
    key = f"{name} on {kind}, {processor()}, torch {torch.__version__}"
    known = _remembered()
    if key not in known:
        known[key] = _proof(name, kind)
        _remember(known)
    return known[key]["float32"] > GAIN * known[key][name]


def in_hardware(name: str) -> bool:
    """What torch says of the processor's instructions; False where it says nothing."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        asked = {"bfloat16": ("_is_amx_tile_supported", "_is_avx512_bf16_supported"), "float16": ("_is_amx_fp16_supported",)}[name]
        return any(getattr(torch.cpu, function, bool)() for function in asked)
    question = {"bfloat16": "_is_mkldnn_bf16_supported", "float16": "_is_mkldnn_fp16_supported"}[name]
    return bool(getattr(torch.ops.mkldnn, question, bool)())


def processor() -> str:
    """The processor's name as the system tells it, so that times of another machine are not taken for this one's."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text(errors="replace").splitlines() if line.startswith("model name")] if info.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def _convolve(name: str, kind: str, pictures: int, side: int):
    """A function that convolves once, to be timed."""
    layer = nn.Conv2d(64, 64, 3, padding=1).to(kind, DTYPES[name], memory_format=torch.channels_last).requires_grad_(False)
    x = torch.zeros(pictures, 64, side, side, device=kind, dtype=DTYPES[name]).contiguous(memory_format=torch.channels_last)
    return lambda: layer(x).sum().item()  # .item() waits for the device


def _proof(name: str, kind: str, rounds: int = 7) -> dict[str, float]:
    """{precision: seconds} of the convolution, the best of some rounds in turn; other programs disturb both alike."""
    with torch.random.fork_rng(devices=[]):
        functions = {each: _convolve(each, kind, 4, 48) for each in ("float32", name)}
    times = {each: [] for each in functions}
    for _ in range(rounds + 1):
        for each, function in functions.items():
            before = time.perf_counter()
            function()
            times[each].append(time.perf_counter() - before)
    return {each: min(seconds[1:]) for each, seconds in times.items()}


def _file() -> Path:
    from ..data.hub import cache_folder  # here, since a start without a proof does without it
    return cache_folder() / "precision.json"


def _remembered() -> dict:
    """The proofs of earlier starts; {} where there are none that can be read."""
    try:
        known = json.loads(_file().read_text())
        return {key: value for key, value in known.items() if len(value) == 2 and all(isinstance(value[name], float) for name in ("float32", key.split()[0]))}
    except (OSError, ValueError, AttributeError, TypeError, LookupError, RecursionError, DataError):
        return {}


def _remember(known: dict) -> None:
    try:
        atomic_write(_file(), lambda file: file.write(json.dumps(known, indent=2).encode()))
    except (OSError, DataError):  # it is measured again at the next start
        pass


def devices() -> list[str]:
    """The kinds of devices that this machine computes on, the fastest first."""
    return ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available() + ["cpu"]


def default_device() -> str:
    """Where to compute when nobody says: a GPU where there is one, Apple's too."""
    return devices()[0]


class Autocast(nn.Module):
    """A network that is trained in half precision: weights stay float32, products are computed in `precision`, results are float32.

    torch.autocast leaves batch-norm statistics in float32. In bfloat16 the layers that read and write the image are computed
    in float32 too: see `edges`. Gradients come back as float32, for Adam and the average.
    """

    def __init__(self, network: nn.Module, precision: str):
        super().__init__()
        self.network, self.precision = network, precision
        if precision == "bfloat16":
            for layer in edges(network):
                layer.forward = exact(layer.forward)

    def forward(self, x):
        with torch.autocast(x.device.type, DTYPES[self.precision]):
            y = self.network(x)
        return y.float()


def edges(network: nn.Module) -> list[nn.Module]:
    """The layers that read the image, and those that write it; of a discriminator only where it compares the image with LR.

    bfloat16 has 8 bits of precision, and near white its steps are a whole grey level; float16 has 11 and needs none of this.
    """
    if isinstance(network, (Discriminator, PatchDiscriminator)):
        return [network.features[0]] if network.features[0].in_channels > 3 else []
    if not isinstance(network, Generator):
        return []
    direct = isinstance(getattr(network, "tail", None), nn.Identity)  # then the upsampler's one convolution writes it
    names = ("head", "conv_first", "upsample" if direct else "tail", "conv_last")
    return [getattr(network, name) for name in names if hasattr(network, name)]


def exact(forward):
    """A layer's forward, in float32 where torch.autocast computes everything else in half precision."""
    def run(x):
        with torch.autocast(x.device.type, enabled=False):
            return forward(x.float())
    return run


def in_precision(network: nn.Module, precision: str) -> nn.Module:
    """The network as training calls it: itself in float32."""
    return network if precision == "float32" else Autocast(network, precision)
