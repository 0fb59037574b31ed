"""What goes in, and what comes out: modes x formats x sizes x metadata through the command `upscale`, by a tiny network.

    python tests/runs/matrix.py            prints the matrix of the small sizes, then faults, if any, and exits with their number;
                                      matrix.txt holds what it printed last
    python tests/runs/matrix.py --large    the sizes up to 6000 x 4000

`test_matrix.py` runs a part of it by default and all of it by marker.
"""

import io
import sys
import tempfile
from collections import defaultdict
from contextlib import redirect_stderr, redirect_stdout
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageCms, ImageSequence

sys.path.insert(0, str(Path(__file__).parents[2]))
from srgan_lib.formats.known import formats  # noqa: E402
from srgan_lib.images import format_of, open_picture  # noqa: E402
from srgan_lib.formats.sixteen import DeepImage  # noqa: E402
from srgan_lib.upscaling import upscale_files  # noqa: E402
from srgan_lib.models import SRResNet  # noqa: E402

SCALE = 2
DEEP = {"LA;16": 2, "RGB;16": 3, "RGBA;16": 4}  # channels of what Pillow has no mode for
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F", *DEEP)
SUFFIXES = (".png", ".jpg", ".webp", ".tif", ".bmp", ".gif", ".ppm", ".avif", ".jp2", ".tga", ".heic", ".jxl")  # the last two where their plugins are
SMALL, MIDDLE, LARGE = ((1, 1), (7, 5)), ((1, 37), (53, 1), (64, 48), (400, 300)), ((2000, 1500), (6000, 4000))  # width x height
METADATA = ("plain", "profile", "turned", "moving")  # turned: EXIF with a text and orientation 6, a quarter turn; moving: two frames or pages
RESULT = {"1": "L", "L": "L", "LA": "LA", "RGBA": "RGBA", "I;16": "I;16", "I": "I;16", "F": "I;16"}  # all others: RGB
DESCRIPTION, ORIENTATION = 0x010E, 0x0112
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


class Case(NamedTuple):
    mode: str
    suffix: str
    size: tuple[int, int]
    metadata: str


formats()  # registers plugins


def cases(sizes, modes=MODES, suffixes=SUFFIXES, metadata=METADATA) -> list[Case]:
    return [Case(*values) for values in product(modes, suffixes, sizes, metadata)]


def network() -> SRResNet:
    torch.manual_seed(0)
    return SRResNet(scale=SCALE, blocks=1, channels=4).eval()


def store(case: Case, path: Path) -> bool:
    """Write a random picture of this kind -> False where the format cannot hold it, or Pillow cannot read what it wrote."""
    random, (width, height) = np.random.default_rng(0), case.size
    if case.mode in ("I;16", "I"):
        image = Image.fromarray(random.integers(0, 65536, (height, width)).astype(np.uint16 if case.mode == "I;16" else np.int32))
    elif case.mode == "F":
        image = Image.fromarray(random.random((height, width), np.float32))
    elif case.mode in DEEP:
        if case.suffix not in (".png", ".tif") or case.metadata == "moving":
            return False
        image = DeepImage.of(random.integers(0, 65536, (height, width, DEEP[case.mode])).astype(np.uint16))
    elif case.mode == "LAB":
        image = Image.frombytes("LAB", case.size, random.integers(0, 256, (height, width, 3), np.uint8).tobytes())
    else:
        image = Image.fromarray(random.integers(0, 256, (height, width, 4), np.uint8)).convert(case.mode)
    options, exif = {"profile": {"icc_profile": PROFILE}}.get(case.metadata, {}), Image.Exif()
    if case.metadata == "turned":
        exif[DESCRIPTION], exif[ORIENTATION] = "a photograph", 6
        options = {"exif": exif.tobytes()}
    if case.metadata == "moving":
        options = {"save_all": True, "append_images": [image.transpose(Image.Transpose.ROTATE_180)]}
    try:
        image.save(path, **options)
        Image.open(io.BytesIO(path.read_bytes())).load()  # YCbCr in a TIFF fails here
        return True
    except (OSError, KeyError, ValueError, TypeError, RuntimeError):
        return False


def outcome(case: Case, folder: Path, generator) -> str:
    """"RGB", "RGBA profile", ... what came out; "-" where the case cannot exist; "FAULT ..." for anything unexpected."""
    source, target = folder / f"in{case.suffix}", folder / f"out{'.png' if case.suffix == '.gif' else case.suffix}"
    source.unlink(missing_ok=True), target.unlink(missing_ok=True)
    if not store(case, source):
        return "-"
    said, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(errors):
        failed = upscale_files([source], str(target), generator)
    if failed:
        return f"FAULT {errors.getvalue().strip()}"
    with Image.open(source) as before, Image.open(target) as after:
        return judged(case, before, after, said.getvalue())


def _still(image: Image.Image) -> bool:
    """Whether all frames look alike; Pillow stores such an animation as one frame."""
    frames = [frame.convert("RGBA").tobytes() for frame in ImageSequence.Iterator(image)]
    return len(set(frames)) == 1


def _flat(image: Image.Image) -> bool:
    """Whether next to nothing is in it: the random network makes black of some bright frames, and equal frames are stored as one."""
    lowest, highest = image.convert("L").getextrema()
    return highest - lowest < 16


def judged(case: Case, before: Image.Image, after: Image.Image, said: str) -> str:
    """Compare a result with what the stored input asks for."""
    turned = before.getexif().get(ORIENTATION) == 6 and before.format != "TIFF" or case.metadata == "turned" and before.format in ("TIFF", "HEIF")
    size = case.size[::-1] if turned else case.size
    if after.size != tuple(SCALE * side for side in size):
        return f"FAULT size {after.size}"
    if getattr(before, "n_frames", 1) > 1 and (getattr(after, "n_frames", 1) == before.n_frames or _still(before) or _flat(after)):
        return f"{after.mode} moving"
    if getattr(before, "n_frames", 1) > 1 and "holds 2" not in said and "2 frames" not in said:
        return "FAULT second picture left out without a word"
    words = [after.mode]
    if case.mode in DEEP:
        deep, channels = open_picture(after.filename, quiet=True).deep, DEEP[case.mode]
        return f"{case.mode} 16 bits" if deep is not None and (deep.ndim == 3) == (channels > 2 or case.suffix == ".tif") else "FAULT not 16 bits"
    if expected(before) != after.mode and not (words := _explained(before, after, said)):
        return f"FAULT mode {after.mode} from {before.mode}"
    lost_profile = before.mode in ("CMYK", "LAB")  # its pixels became RGB
    if "icc_profile" in before.info and not lost_profile:
        if case.suffix == ".jxl":  # it stores what the profile says, and writes one of its own when read
            words.append("profile" if after.info.get("icc_profile") else "profile not held")
        elif after.info.get("icc_profile") != PROFILE:
            return "profile not held" if format_of(after.filename) in ("BMP", "PPM", "TGA", "JPEG2000") else "FAULT profile lost"
        else:
            words.append("profile")
    if case.metadata == "turned" and DESCRIPTION in before.getexif():
        if after.getexif().get(DESCRIPTION) != "a photograph" or after.getexif().get(ORIENTATION, 1) != 1:
            return "FAULT exif"
        words.append("exif, upright")
    return " ".join(words)


def expected(before: Image.Image) -> str:
    """The mode of a result that its format can hold."""
    if "transparency" in before.info:
        return "RGBA"
    return RESULT.get("I;16" if before.mode.startswith("I;16") else before.mode, "RGB")


def _explained(before: Image.Image, after: Image.Image, said: str) -> list[str]:
    """The words for a mode that the format forced, if it was said aloud; [] when it was not."""
    if "on white" in said and after.mode == expected(before).rstrip("A"):
        return [after.mode, "on white"]
    if "holds 8 bits" in said and after.mode == "L":
        return [after.mode, "8 bits"]
    kinds = {("L", "RGB"): "WEBP", ("LA", "RGBA"): "WEBP", ("I;16", "I"): "PNG PPM"}  # how these formats store greys
    return [after.mode] if after.format in kinds.get((expected(before), after.mode), "") else []


def main(large: bool) -> int:
    sizes = LARGE if large else SMALL + MIDDLE
    options = {"modes": ("L", "RGB", "RGBA"), "suffixes": (".png", ".jpg"), "metadata": ("plain", "turned")} if large else {}
    rows, faults, count, generator = defaultdict(dict), [], 0, network()
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(sizes, **options):
            result = outcome(case, Path(folder), generator)
            rows[case.mode, case.metadata].setdefault(case.suffix, {}).setdefault(result, []).append(case.size)
            count += result != "-"
            faults += [(case, result)] if result.startswith("FAULT") else []
    for (mode, metadata), row in rows.items():
        cells = (f"{suffix[1:]}: {' | '.join(sorted(results))}" for suffix, results in row.items() if set(results) != {"-"})
        print(f"{mode:6}{metadata:9}" + "; ".join(cells))
    print(f"{count} pictures, sizes {', '.join(f'{w} x {h}' for w, h in sizes)}, x{SCALE}; {len(faults)} faults")
    for case, result in faults:
        print(case, result)
    return len(faults)


if __name__ == "__main__":
    sys.exit(main("--large" in sys.argv))
