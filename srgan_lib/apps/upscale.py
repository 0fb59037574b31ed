"""The command `upscale`: pictures, folders and films from the command line."""

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path

from ..errors import ImageError, ModelError

MODEL = "srresnet-x4"
ENGINES = ("onnx", "openvino", "ncnn", "torchscript")
ENDINGS = (".onnx", ".xml", ".param")  # of exported files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="pictures, films, folders, or - for standard input")
    parser.add_argument("-o", "--output", help="file, folder, or - for standard output (default: NAME-x4.png beside the input)")
    parser.add_argument("--model", default=MODEL, help="shipped name, folder, Hub repo OWNER/NAME, ESRGAN .pth, or "
                        "PSNR,GAN,ALPHA to interpolate two (default srresnet-x4, which invents nothing; srgan-x4 is sharper and invents texture)")
    parser.add_argument("--engine", choices=ENGINES, help="runs an exported FILE, given as --model or as the first INPUT, instead of PyTorch")
    parser.add_argument("--strength", help="of a GAN: 0 (safe) to 1 (as sharp as it gets); default: what it was released with, 0.95 for srgan-x4")
    parser.add_argument("--scale", help="2, 3, 4 or 8 (default: the model's)")
    parser.add_argument("--tile", help="side of a tile in input pixels (default: what free memory allows)")
    parser.add_argument("--ensemble", action="store_true", help="mean over 8 flips and turns: a little better, 8 times slower")
    parser.add_argument("--device", help="cpu, cuda or mps (default: the GPU if there is one)")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16", "float16"), default="auto",
                        help="of the computing; auto: what this device does fastest, within a grey level of float32 almost everywhere")
    parser.add_argument("--quality", help="1 to 100 for JPEG, WebP, AVIF (default 95); 100 keeps full colour resolution, and WebP without loss",
                        default="95")
    parser.add_argument("--format", help="of results whose name is not given: png, jpg, webp, tif, avif, ... (default png)", default="png")
    parser.add_argument("--size", metavar="WxH", help="exactly this many pixels, for example 1920x1080 (images)")
    parser.add_argument("--long-side", metavar="N", help="exactly this many pixels on the longer side (images)")
    parser.add_argument("--pages", choices=("first", "all"), default="first", help="of a file with several images: the first, or each as NAME-1, NAME-2, ...")
    parser.add_argument("--strip", action="store_true", help="leave out EXIF, XMP, IPTC, texts and dpi (the colour profile stays: it belongs to the colours)")
    parser.add_argument("--max-megapixels", metavar="N", help="refuse larger images (default 80); dpi and all other metadata are kept as they are")
    parser.add_argument("--start", help="films: first second", default="0")
    parser.add_argument("--end", help="films: last second")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0, or 2 when an input failed; what is wrong with the arguments themselves is raised."""
    from ..upscaling.files import STREAM, upscale_files  # here, so that --help does without torch
    from ..upscaling.pictures import SCALES
    from ..upscaling.tiles import SMALLEST_TILE
    options = {"quality": _number("--quality", arguments.quality, int, 1, 100),
               "tile": _number("--tile", arguments.tile, int, SMALLEST_TILE),
               "strength": _number("--strength", arguments.strength, float, 0, 1),
               "start": _number("--start", arguments.start, float, 0), "end": _number("--end", arguments.end, float, 0)}
    long_side, megapixels = _number("--long-side", arguments.long_side, int, 1), _number("--max-megapixels", arguments.max_megapixels, float, 0)
    options |= {"format": arguments.format, "size": _size(arguments.size), "long_side": long_side, "strip": arguments.strip, "pages": arguments.pages, "precision": arguments.precision,
                "most_pixels": None if megapixels is None else max(int(megapixels * 1e6), 1)}
    scale = _number("--scale", arguments.scale, int, min(SCALES), max(SCALES))
    inputs, model = with_engine(arguments)
    with redirect_stdout(sys.stderr if STREAM in (arguments.output, *inputs) else sys.stdout):
        failed = upscale_files(inputs, arguments.output, model, scale, arguments.device,
                               arguments.ensemble, progress=True, **options)
    return 2 if failed else 0


def with_engine(arguments: argparse.Namespace) -> tuple[list[str], object]:
    """(inputs, model): the name of a model, or an exported file as a generator. Raises ModelError."""
    inputs, model = arguments.inputs, arguments.model
    ending = Path(model).suffix.lower()
    if not arguments.engine and ending not in ENDINGS:
        return inputs, model
    from .engines import load_engine
    if arguments.engine and model == MODEL:
        inputs, model = inputs[1:], inputs[0]
    if not inputs:
        raise ImageError(f"--engine {arguments.engine}: want an exported file and an image")
    if arguments.strength or arguments.device not in (None, "cpu"):
        raise ModelError("an exported file has one strength and runs on the processor: leave --strength and --device out")
    return inputs, load_engine(model, arguments.engine)


def _size(text: str | None) -> tuple[int, int] | None:
    """"1920x1080" as numbers. Raises ImageError."""
    parts = (text or "").lower().replace("×", "x").split("x")
    if text is not None and not (len(parts) == 2 and all(part.strip().isdecimal() and int(part) > 0 for part in parts)):
        raise ImageError(f"--size {text}: want WIDTHxHEIGHT in pixels, such as 1920x1080")
    return None if text is None else (int(parts[0]), int(parts[1]))


def _number(name: str, text: str | None, kind: type, least: float, most: float = float("inf")):
    """The value of an option, or None; ImageError unless it is a number between the limits."""
    try:
        value = None if text is None else kind(text)
        if value is None or least <= value <= most and value != float("inf"):
            return value
    except ValueError:
        pass
    limits = f"from {least} to {most}" if most < float("inf") else f"of {least} or more"
    raise ImageError(f"{name} {text}: want a {'whole number' if kind is int else 'number'} {limits}")
