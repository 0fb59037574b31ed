"""Write a generator for programs without PyTorch: ONNX, ncnn, OpenVINO or TorchScript, images of any size; the command `export`.

The graph takes "lr", float32 (N, 3, H, W) in [0, 1], and gives "sr", (N, 3, scale H, scale W), not clamped.
"""

import argparse
import logging
import math
import re
import tempfile
import warnings
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import PublishError
from ..images import atomic_write, check_place
from ..locks import is_stream
from ..models import Generator, Mixed, ShuffleConv2d, fold_shuffle, load_generator, usual_strength
from ..notes import note
from ..upscaling import fold_batch_norm
from .engines import PACKAGES
from .exporters import FORMATS, comparison, worst, write

OPSET = 18
SIZES = ((24, 32), (1, 1), (37, 19))  # (H, W) at which a written file is checked
TOLERANCE = 1e-4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="shipped name, folder or Hub repo OWNER/NAME")
    parser.add_argument("--to", choices=FORMATS, default="onnx", help="ncnn: a folder of .param and .bin, as Upscayl takes it (default onnx)")
    parser.add_argument("--strength", help="of a GAN: 0 to 1, mixed as `upscale` does it; not for ncnn (default 1: its own image alone)")
    parser.add_argument("-o", "--output", help="file to write, a folder for ncnn (default: NAME with the format's ending)")
    parser.add_argument("--compare", action="store_true", help="write nothing: a table of all formats, their differences from PyTorch and seconds")


def run(arguments: argparse.Namespace) -> int:
    generator = asked_for(arguments.model, arguments.strength)
    if isinstance(generator, Mixed) and (arguments.to == "ncnn" or arguments.compare):
        raise PublishError("--strength: ncnn's converter loses the slopes that the mix rests on; leave --strength out, or take --to onnx, openvino or torchscript")
    if arguments.compare:
        print(comparison(generator, plain(generator), lambda path: export_onnx(generator, path), SIZES))
        return 0
    kind, target = arguments.to, target_of(arguments.model, arguments.to, arguments.output, generator.scale)
    check_target(target, FORMATS[kind])
    with tempfile.TemporaryDirectory() as folder:  # an earlier file stays until this one has been checked
        packed = Path(folder) / target.name
        parts = [packed]
        if kind == "onnx":
            export_onnx(generator, packed)
        else:
            parts = write(kind, plain(generator), packed)
        said = checked(generator, packed, target, kind)
        for part in parts:
            place(part, target.parent / part.name)
    size = sum((target.parent / part.name).stat().st_size for part in parts)
    print(f"{target}{''.join(f' and {part.name}' for part in parts if part.name != target.name)} ({size / 1e6:.1f} MB){said}")
    return 0


def asked_for(model: str, strength: str | None) -> Generator | Mixed:
    """A generator of the course's own by name, a GAN alone or at a strength. Raises PublishError for other people's architectures."""
    generator = load_generator(model, strength=1 if strength is None else strength)
    if not isinstance(generator, Generator | Mixed):
        raise PublishError(f"{model}: is somebody else's architecture; export takes the course's own generators")
    if strength is None and usual_strength(model) < 1:
        note(f"{model} is written at strength 1, its own image alone; upscale uses it at {usual_strength(model):g}, which --strength writes too")
    return generator


def target_of(model: str, kind: str, output: str | None, scale: int) -> Path:
    """The file to write. ncnn's stands in a folder, and has its scale in its name, which is where Upscayl reads it."""
    name, ending = Path(model).resolve().name, FORMATS[kind]
    if kind != "ncnn" or str(output).endswith(ending):
        return Path(output or f"{name}{ending}")
    name = name if re.search(rf"x{scale}(?!\d)|(?<!\d){scale}x", name) else f"{name}-x{scale}"
    return Path(output or "models") / f"{name}{ending}"


def check_target(target: Path, ending: str) -> None:
    """Refuse what could not be written, or is another file, such as a part of the model, before anything is converted. Raises PublishError."""
    try:
        check_place(target)
    except OSError as error:
        raise PublishError(f"{target}: cannot be written ({error.strerror or error})") from None
    if target.is_file() and not is_stream(target) and target.suffix.lower() != ending:
        raise PublishError(f"{target}: there is a file that does not end in {ending}; name another, or delete it")


def checked(generator: Generator, packed: Path, target: Path, kind: str = "onnx") -> str:
    """What the check found, for people. Raises PublishError where the file differs from PyTorch, or gives what is no number."""
    try:
        found = difference(generator, packed) if kind == "onnx" else worst(generator, packed, kind, SIZES)
    except ImportError as error:
        return f"; not checked, that needs {error.name or PACKAGES[kind]}"
    if not found <= TOLERANCE:  # nan too
        raise PublishError(f"{target}: differs from PyTorch by {found:.1e}, more than {TOLERANCE:g}; it was not written")
    return f", within {found:.1e} of PyTorch at {len(SIZES)} sizes"


def place(packed: Path, target: str | Path) -> None:
    """Copy a finished file to where it belongs, whole or not at all."""
    try:
        atomic_write(target, lambda file: file.write(packed.read_bytes()))
    except OSError as error:
        raise PublishError(f"{target}: cannot be written ({error.strerror or error})") from None


def export_onnx(generator: Generator, target: str | Path) -> None:
    """Write `target` whole or not at all. Raises PublishError where onnx or onnxscript is missing, or the file cannot be written."""
    try:
        import onnx
        import onnxscript
    except ImportError as error:
        raise PublishError(f"export needs {error.name}, which is not installed: pip install onnx onnxscript onnxruntime") from None
    network, example = plain(generator), torch.rand(2, 3, 24, 32)
    free = {0: torch.export.Dim("pictures"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "network.onnx"
        try:
            with quiet():
                torch.onnx.export(network, (example,), packed, dynamo=True, opset_version=OPSET, input_names=["lr"], output_names=["sr"],
                                  dynamic_shapes=(free,), external_data=False, verbose=False)
        except Exception as error:  # the exporter's own types, and AttributeError or TypeError of an onnxscript that does not fit torch
            raise PublishError(f"the exporter failed ({type(error).__name__}) with onnx {onnx.__version__}, onnxscript "
                               f"{getattr(onnxscript, '__version__', '?')} and torch {torch.__version__}; pip install -U onnx onnxscript") from None
        model = onnx.load(packed)
        for node in model.graph.node:
            del node.metadata_props[:]  # the names of our classes and the lines of our files are nothing to who reads it
        onnx.save(model, packed)
        place(packed, target)


def plain(generator: Generator) -> nn.Module:
    """A copy of standard layers alone: batch norm folded into convolutions, the tail's kernel folded before its shuffle."""
    network = fold_batch_norm(generator).cpu().float().requires_grad_(False)
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, ShuffleConv2d) and layer.factor > 1:
                setattr(parent, name, FoldedTail(layer))
    return network


class FoldedTail(nn.Module):
    """What `ShuffleConv2d` computes, with its kernel folded once instead of at every call."""

    def __init__(self, layer: ShuffleConv2d):
        super().__init__()
        self.factor = layer.factor
        self.weight = nn.Parameter(fold_shuffle(layer.weight, layer.factor), requires_grad=False)
        self.bias = nn.Parameter(layer.bias.repeat_interleave(layer.factor**2), requires_grad=False)

    def forward(self, x):
        return F.pixel_shuffle(F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2), self.factor)


@torch.no_grad()
def difference(generator: Generator, path: str | Path, sizes=SIZES) -> float:
    """The largest difference between onnxruntime and PyTorch on noise of several sizes. Raises ImportError without onnxruntime."""
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst, random = 0.0, torch.Generator().manual_seed(0)
    for height, width in sizes:
        lr = torch.rand(1, 3, height, width, generator=random)
        sr, = session.run(None, {"lr": lr.numpy()})
        found = (torch.from_numpy(sr) - generator.cpu()(lr)).abs().max().item()
        worst = max(worst, found if math.isfinite(found) else math.inf)  # max(0, nan) would be 0
    return worst


@contextmanager
def quiet():
    """Keep the exporter's running commentary, on standard output, in the log and as warnings, from the reader."""
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
