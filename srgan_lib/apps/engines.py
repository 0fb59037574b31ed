"""Exported files as generators: ONNX Runtime, OpenVINO, ncnn and TorchScript behind our tiles; `upscale --engine`.

Each engine is a function from float32 (1, 3, H, W) to (1, 3, scale H, scale W), both numpy arrays that nobody else holds.
"""

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..errors import ModelError
from ..models import Outside, measured

SUFFIXES = {".onnx": "onnx", ".xml": "openvino", ".param": "ncnn"}  # what a file's name says
PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino", "ncnn": "ncnn", "torchscript": "torch"}
SIDES = (10, 16, 32, 64)  # LR pixels at which the scale is tried; some networks want more than a few


def load_engine(path: str | Path, engine: str | None = None, threads: int = 0) -> Outside:
    """An exported file -> a generator, its scale, radius and alignment found by trial. threads: 0 for all.

    Raises ModelError for an unknown engine, a missing package, a file that it does not read, or a network that is none for this.
    """
    path = Path(path)
    engine = engine or SUFFIXES.get(path.suffix.lower())
    if engine not in OPENED:
        raise ModelError(f"{path}: no engine runs this; want one of {', '.join(OPENED)}, or a file that ends in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    try:
        run = OPENED[engine](path, threads)
    except ImportError as error:
        raise ModelError(f"{path}: needs {error.name or PACKAGES[engine]}, which is not installed: pip install {PACKAGES[engine]}") from None
    except ModelError:
        raise
    except Exception as error:  # every engine has errors of its own
        raise ModelError(f"{path}: {PACKAGES[engine]} does not read it ({type(error).__name__}: {' '.join(str(error).split())[:160]})") from None
    side, scale = trial(run, path)
    digest = hashlib.sha256(b"".join(part.read_bytes() for part in (path, path.with_suffix(".bin")) if part.is_file())).hexdigest()[:16]
    return measured(Outside(Through(run, scale, side), scale, f"{path}: {engine} {digest}", side if side > SIDES[0] else 1))


def trial(run: Callable, path: Path) -> tuple[int, int]:
    """(LR pixels a side that it took, scale). Raises ModelError for a network that takes none of SIDES, or enlarges oddly."""
    said = None
    for side in SIDES:
        try:
            found = run(np.full((1, 3, side, side), 0.5, np.float32))
        except Exception as error:  # every engine has errors of its own
            said = said or f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            continue
        scale = found.shape[-1] / side
        if found.shape != (1, 3, scale * side, scale * side) or scale != int(scale) or scale < 1:
            raise ModelError(f"{path}: makes {found.shape} of (1, 3, {side}, {side}), which is no enlarged RGB image")
        return side, int(scale)
    raise ModelError(f"{path}: takes no RGB image of {', '.join(map(str, SIDES))} pixels a side, as a file with free height and width would ({said})")


class Through:
    """Runs an engine on a tensor, one image after the other, padded to the smallest size that it takes."""

    def __init__(self, run: Callable, scale: int, least: int):
        self.run, self.scale, self.least = run, scale, least if least > SIDES[0] else 1

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        height, width = lr.shape[-2:]
        more = [(0, max(self.least - side, 0)) for side in (height, width)]
        padded = np.ascontiguousarray(np.pad(lr.cpu().numpy(), [(0, 0), (0, 0), *more], "edge"))
        sr = np.concatenate([self.run(one[None]) for one in padded])[..., :self.scale * height, :self.scale * width]
        return torch.from_numpy(np.ascontiguousarray(sr)).to(lr.device)


def onnx_runtime(path: Path, threads: int) -> Callable:
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    if len(session.get_inputs()) != 1:
        raise ModelError(f"{path}: takes {len(session.get_inputs())} inputs, one image is wanted")
    entry = session.get_inputs()[0]
    kind = np.float16 if "float16" in entry.type else np.float32
    return lambda lr: session.run(None, {entry.name: lr.astype(kind)})[0].astype(np.float32)


def openvino(path: Path, threads: int) -> Callable:
    import openvino as library
    core = library.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", **({"INFERENCE_NUM_THREADS": threads} if threads else {})}
    compiled = core.compile_model(core.read_model(str(path)), "CPU", options)
    request = compiled.create_infer_request()
    return lambda lr: request.infer([lr])[0].copy()  # what it hands out is overwritten by the next image


def ncnn(path: Path, threads: int) -> Callable:
    """.param with the .bin of its name beside it; blobs as pnnx names them, or as Upscayl wants them."""
    import ncnn as library
    weights, lines = path.with_suffix(".bin"), [line.split() for line in path.read_text("utf-8", "replace").splitlines()]
    if not lines or lines[0] != ["7767517"] or not weights.is_file():
        raise ModelError(f"{path}: is no ncnn network in text form" if weights.is_file() else f"{weights}: no such file; it belongs to {path.name}")
    network = library.Net()
    network.opt.num_threads = threads or library.get_cpu_count()
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(network.opt, name, False)
    if network.load_param(str(path)) or network.load_model(str(weights)):
        raise ModelError(f"{path}: ncnn does not read it")
    entry, end = network.input_names()[0], network.output_names()[0]

    def run(lr):
        extractor = network.create_extractor()
        extractor.input(entry, library.Mat(np.ascontiguousarray(lr[0])).clone())  # Mat ignores strides
        failed, sr = extractor.extract(end)
        if failed:
            raise ModelError(f"{path}: ncnn failed with code {failed}")
        return np.array(sr)[None]

    return run


def torchscript(path: Path, threads: int) -> Callable:
    with warnings.catch_warnings(action="ignore"):  # torch.jit is old
        network = torch.jit.load(str(path), map_location="cpu").eval()
    if threads:
        torch.set_num_threads(threads)

    def run(lr):
        with torch.no_grad():
            return network(torch.from_numpy(lr)).numpy().copy()

    return run


OPENED = {"onnx": onnx_runtime, "openvino": openvino, "ncnn": ncnn, "torchscript": torchscript}
