"""Picture files damaged at random: each must end in a picture or in one sentence, soon, and in little memory.

    python tests/runs/mutations.py 1000        prints
    python tests/runs/mutations.py 500 new 8   deep colour, AVIF, JPEG 2000, TGA, QOI, HEIC, JPEG XL, pages and second pictures, seed 8

Each prints a JSON line: how many ended how, the slowest, the growth of memory.

A child process of its own, so that a hang or a crash in a decoder is seen from outside. `test_mutations.py` runs it.
"""

import io
import json
import resource
import signal
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import tifffile
import torch
from PIL import Image

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
from samples import photograph  # noqa: E402

from srgan_lib.errors import ImageError  # noqa: E402
from srgan_lib.formats.known import formats  # noqa: E402
from srgan_lib.images import open_picture  # noqa: E402
from srgan_lib.models import SRResNet  # noqa: E402
from srgan_lib.formats.sixteen import DeepImage  # noqa: E402
from srgan_lib.upscaling import Upscaler  # noqa: E402

KINDS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
LARGEST = 250_000  # pixels: a flipped bit may ask for a valid picture of 80 megapixels, which would only take long
SECONDS = 60       # for one file; a decoder that hangs ends the process by SIGALRM


def originals() -> list[bytes]:
    """One small file of each kind and colour mode, with EXIF where the format has it."""
    exif, files = Image.Exif(), []
    exif[0x0112], exif[0x010E] = 6, "a photograph"
    for kind in KINDS:
        for mode in ("RGB", "L", "P") if kind in ("PNG", "GIF", "TIFF") else ("RGB", "L"):
            packed = io.BytesIO()
            Image.fromarray(photograph(24, 36)).convert(mode).save(packed, kind, **({"exif": exif} if kind in KINDS[:4] else {}))
            files.append(packed.getvalue())
    return files


def newly_opened() -> list[bytes]:
    """Small files of the formats that Pillow does not show first, and of values beyond 8 bits; plugins' where they are installed."""
    formats()
    photo, deep, files = Image.fromarray(photograph(24, 36)), np.random.default_rng(0).integers(0, 65536, (24, 36, 4)).astype(np.uint16), []

    def pack(image, kind, **options):
        files.append(io.BytesIO())
        image.save(files[-1], kind, **options)

    for kind in ("AVIF", "JPEG2000", "QOI", "HEIF", "JXL", "DIB", "ICO", "SGI", "PCX"):
        if kind in Image.SAVE:
            pack(photo, kind)
    for channels in (2, 3, 4):
        pack(DeepImage.of(deep[..., :channels]), "PNG"), pack(DeepImage.of(deep[..., :channels]), "TIFF")
    for kind in ("TIFF", "MPO", "GIF", "PNG", "WEBP"):
        pack(photo, kind, save_all=True, append_images=[photo.rotate(180)])
    files.append(io.BytesIO(b"P6 36 24 1023\n" + (deep[..., :3] % 1024).astype(">u2").tobytes()))
    for levels, options in ((np.moveaxis(deep[..., :3], -1, 0), {"photometric": "rgb", "planarconfig": "separate"}), (deep[..., :2] / 65535, {"photometric": "minisblack"})):
        files.append(io.BytesIO())
        tifffile.imwrite(files[-1], levels, **options)
    try:
        import imagecodecs
        files.append(io.BytesIO(imagecodecs.jpeg2k_encode(np.ascontiguousarray(deep[..., :3] >> 4), level=0, bitspersample=12, reversible=True)))
    except ImportError:  # a JPEG 2000 of 12 bits is made by nobody else here
        pass
    return [file.getvalue() for file in files]


def mutated(data: bytes, random: np.random.Generator, way: int) -> bytes:
    """Bits flipped; cut off; a length or size field overwritten; bytes inserted, removed or repeated."""
    data = bytearray(data)
    at = int(random.integers(len(data)))
    if way == 0:
        for _ in range(random.integers(1, 9)):
            data[random.integers(len(data))] ^= 1 << random.integers(8)
    elif way == 1:
        del data[at:]
    elif way == 2:
        value = random.choice([0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, int(random.integers(1 << 32))])
        at = int(random.integers(min(len(data), 64)))  # headers hold their lengths early
        data[at:at + 4] = int(value).to_bytes(4, random.choice(["big", "little"]))
    elif way == 3:
        data[at:at] = random.bytes(int(random.integers(1, 64)))
    elif way == 4:
        del data[at:at + int(random.integers(1, 64))]
    else:
        data[at:at] = data[at:at + int(random.integers(1, 64))]
    return bytes(data)


def end_of(data: bytes, upscaler: Upscaler) -> str:
    """"picture", "sentence", "large" (decoded, not upscaled here), or what went wrong."""
    try:
        picture = open_picture(data)
        if picture.rgb.shape[0] * picture.rgb.shape[1] > LARGEST:
            return "large"
        upscaler(picture)
        return "picture"
    except ImageError as error:
        text = str(error)
        return "sentence" if text and "\n" not in text and len(text) < 300 else f"bad sentence: {text!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main(count: int, new: bool = False, seed: int = 7) -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    random, sources, upscaler = np.random.default_rng(seed), newly_opened() if new else originals(), Upscaler(SRResNet(scale=2, blocks=1, channels=4).eval())
    for data in sources:
        assert end_of(data, upscaler) == "picture"
    before, ends, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, Counter(), 0.0
    for number in range(count):
        data = mutated(sources[number % len(sources)], random, number % 6)
        signal.alarm(SECONDS)
        began = time.process_time()
        ends[end_of(data, upscaler)] += 1
        slowest = max(slowest, time.process_time() - began)
        signal.alarm(0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"ends": ends, "slowest_s": round(slowest, 2), "grown_mb": round(grown)}))


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    main(*(numbers[:1] or [100]), "new" in sys.argv, *numbers[1:2])
