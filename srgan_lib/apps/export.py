"""Write a generator as ONNX, for programs without PyTorch: pictures of any size, batch norm folded; the command `export`.

The graph takes "lr", float32 (N, 3, H, W) in [0, 1], and gives "sr", (N, 3, scale H, scale W), not clamped.
"""

import argparse
import logging
import math
import tempfile
import warnings
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import PublishError
from ..images import atomic_write
from ..models import Generator, ShuffleConv2d, fold_shuffle, load_generator
from ..upscaling import fold_batch_norm

OPSET = 18
SIZES = ((24, 32), (1, 1), (37, 19))  # (H, W) at which a written file is checked
TOLERANCE = 1e-4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="shipped name, folder or Hub repo OWNER/NAME")
    parser.add_argument("-o", "--output", help="file to write (default: NAME.onnx)")


def run(arguments: argparse.Namespace) -> int:
    target = Path(arguments.output or f"{Path(arguments.model).resolve().name}.onnx")
    generator = load_generator(arguments.model)
    with tempfile.TemporaryDirectory() as folder:  # an earlier file stays until this one has been checked
        packed = Path(folder) / "checked.onnx"
        export_onnx(generator, packed)
        said = checked(generator, packed, target)
        place(packed, target)
    print(f"{target} ({target.stat().st_size / 1e6:.1f} MB){said}")
    return 0


def checked(generator: Generator, packed: Path, target: Path) -> str:
    """What the check found, for people. Raises PublishError where the file differs from PyTorch, or gives what is no number."""
    try:
        worst = difference(generator, packed)
    except ImportError:
        return "; not checked, that needs onnxruntime"
    if not worst <= TOLERANCE:  # nan too
        raise PublishError(f"{target}: differs from PyTorch by {worst:.1e}, more than {TOLERANCE:g}; it was not written")
    return f", within {worst:.1e} of PyTorch at {len(SIZES)} sizes"


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
