"""The other formats of `export`: ncnn (for Upscayl, video2x and phones), OpenVINO and TorchScript; and their table."""

import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import torch
from torch import nn

from ..errors import CourseError, ModelError, PublishError
from ..models import Generator
from .engines import load_engine

FORMATS = {"onnx": ".onnx", "ncnn": ".param", "openvino": ".xml", "torchscript": ".pt"}
LARGE = 128  # LR pixels a side of the image that is timed


def traced(network: nn.Module) -> torch.jit.ScriptModule:
    """A TorchScript of standard layers for images of any size."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit is old, and the tracer speaks of sizes that stay free
        return torch.jit.trace(network, torch.rand(1, 3, 24, 32), check_trace=False)


def write_torchscript(network: nn.Module, target: Path) -> list[Path]:
    traced(network).save(str(target))
    return [target]


def write_openvino(network: nn.Module, target: Path) -> list[Path]:
    import openvino
    model = openvino.convert_model(traced(network), example_input=torch.rand(1, 3, 24, 32))
    model.reshape([-1, 3, -1, -1])
    model.inputs[0].get_tensor().set_names({"lr"})
    model.outputs[0].get_tensor().set_names({"sr"})
    openvino.save_model(model, str(target), compress_to_fp16=False)  # its default rounds the weights to 11 bits
    return [target.with_suffix(".bin"), target]


def write_ncnn(network: nn.Module, target: Path) -> list[Path]:
    """.param and .bin by pnnx, with float32 weights: its own default stores float16, which costs 0.7 grey levels.

    Blobs have the names that Upscayl asks for, "data" and "output".
    """
    import pnnx
    script, weights = target.with_suffix(".pt"), target.with_suffix(".bin")
    traced(network).save(str(script))
    others = [f"{name}={target.parent / 'unused'}.{end}" for name, end in
              (("pnnxparam", "p"), ("pnnxbin", "b"), ("pnnxpy", "py"), ("pnnxonnx", "onnx"), ("ncnnpy", "n.py"))]
    done = subprocess.run([pnnx.EXEC_PATH, str(script), "inputshape=[1,3,24,32]", "inputshape2=[1,3,37,40]", "fp16=0", f"ncnnparam={target}",
                           f"ncnnbin={weights}", *others], cwd=target.parent, capture_output=True, text=True)
    if done.returncode or not target.is_file() or not weights.is_file():
        raise PublishError(f"pnnx failed with code {done.returncode}: {' '.join(done.stderr.split())[-200:]}")
    target.write_text("".join(f"{line}\n" for line in renamed(target.read_text().splitlines())))
    return [weights, target]


def renamed(lines: list[str]) -> list[str]:
    """The lines of a .param with the input blob "data" and the output blob "output", as in the networks that Upscayl ships."""
    def rename(line):
        fields = line.split()
        if len(fields) < 4:
            return line
        inputs, outputs = int(fields[2]), int(fields[3])
        blobs = slice(4, 4 + inputs + outputs)
        fields[blobs] = [{"in0": "data", "out0": "output"}.get(blob, blob) for blob in fields[blobs]]
        return f"{fields[0]:<24} {'input.1' if fields[0] == 'Input' else fields[1]:<24} {' '.join(fields[2:])}"

    return [*lines[:2], *(rename(line) for line in lines[2:])]


WRITERS = {"ncnn": write_ncnn, "openvino": write_openvino, "torchscript": write_torchscript}


def write(kind: str, network: nn.Module, target: Path) -> list[Path]:
    """Write a plain network -> the files, in the order in which they may be put in place. Raises PublishError."""
    try:
        return WRITERS[kind](network, target)
    except ImportError as error:
        raise PublishError(f"export --to {kind} needs {error.name}, which is not installed: pip install {error.name}") from None
    except CourseError:
        raise
    except Exception as error:  # every converter has errors of its own
        raise PublishError(f"the converter to {kind} failed ({type(error).__name__}: {' '.join(str(error).split())[:200]})") from None


@torch.no_grad()
def worst(generator: Generator, path: Path, kind: str, sizes) -> float:
    """The largest difference of an exported file from PyTorch on noise of several sizes. Raises ImportError without its engine."""
    try:
        engine = load_engine(path, kind)
    except ModelError as error:
        if "not installed" in str(error):
            raise ImportError(str(error)) from None
        raise PublishError(f"the file that was made cannot be run: {error}") from None
    found, random = 0.0, torch.Generator().manual_seed(0)
    for height, width in sizes:
        lr = torch.rand(1, 3, height, width, generator=random)
        difference = (engine(lr) - generator.cpu()(lr)).abs().max().item()
        found = max(found, difference if difference == difference else float("inf"))
    return found


def comparison(generator: Generator, network: nn.Module, write_onnx, sizes) -> str:
    """A Markdown table: for PyTorch and each format the largest difference in grey levels and the seconds for one image, by one thread and by all."""
    lines = [f"| {LARGE} x {LARGE} LR pixels | largest difference, grey levels | processor seconds, 1 thread | seconds, 1 thread | processor seconds, all | seconds, all |",
             "|---|---|---|---|---|---|"]
    lr, threads = torch.rand(1, 3, LARGE, LARGE, generator=torch.Generator().manual_seed(0)), torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        cells = []
        for count in (1, threads):
            torch.set_num_threads(count)
            cells += [*timed(lambda: network(lr))]
        lines.append(f"| PyTorch {torch.__version__} | 0 | " + " | ".join(f"{value:.2f}" for value in cells) + " |")
        for kind, ending in FORMATS.items():
            path = Path(folder) / f"network-{kind}{ending}"
            try:
                write_onnx(path) if kind == "onnx" else write(kind, network, path)
                difference = worst(generator, path, kind, sizes) * 255
                cells = [value for count in (1, threads) for engine in [load_engine(path, kind, count)] for value in timed(lambda: engine(lr))]
                lines.append(f"| {kind} | {difference:.4f} | " + " | ".join(f"{value:.2f}" for value in cells) + " |")
            except (PublishError, ImportError) as error:
                lines.append(f"| {kind} | not at hand here: {error} | | | | |")
            torch.set_num_threads(threads)
    return "\n".join(lines)


def timed(compute) -> tuple[float, float]:
    """(processor seconds, seconds) of the second call; the first one warms up."""
    compute()
    processor, clock = time.process_time(), time.perf_counter()
    compute()
    return time.process_time() - processor, time.perf_counter() - clock
