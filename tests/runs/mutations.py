"""Picture files damaged at random: each must end in a picture or in one sentence, soon, and in little memory.

    python tests/runs/mutations.py 1000        prints a JSON line: how many ended how, the slowest, the growth of memory

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
import torch
from PIL import Image

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
from samples import photograph  # noqa: E402

from srgan_lib.errors import ImageError  # noqa: E402
from srgan_lib.images import open_picture  # noqa: E402
from srgan_lib.models import SRResNet  # noqa: E402
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


def main(count: int, seed: int = 7) -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    random, sources, upscaler = np.random.default_rng(seed), originals(), Upscaler(SRResNet(scale=2, blocks=1, channels=4).eval())
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
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
