"""What goes in, and what comes out: modes x formats x sizes x metadata through the command `upscale`.

    python tests/runs/matrix.py            prints the matrix of the small sizes, then faults, if any, and exits with their number
    python tests/runs/matrix.py --write    writes matrix.txt too, with date and versions
    python tests/runs/matrix.py --large    the sizes up to 6000 x 4000

The network makes four equal pixels of each, so that colours can be compared with what Pillow reads from the source. Values of
more than 8 bits are compared with those that were stored. HEIC and JPEG XL need pillow-heif and pillow-jxl-plugin, deep
JPEG 2000, AVIF and JPEG XL are written with imagecodecs; what is not installed is left out of the matrix.
`test_matrix.py` runs a part of it by default and all of it by marker.
"""

import io
import sys
import tempfile
from collections import defaultdict
from contextlib import redirect_stderr, redirect_stdout
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
import torch
from PIL import Image, ImageCms, ImageOps, ImageSequence, PngImagePlugin

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]
from recordings import nearly_identity  # noqa: E402

from srgan_lib.formats.known import formats  # noqa: E402
from srgan_lib.images import open_picture  # noqa: E402
from srgan_lib.formats.sixteen import DeepImage  # noqa: E402
from srgan_lib.upscaling import upscale_files  # noqa: E402
from srgan_lib.models import SRResNet  # noqa: E402

SCALE = 2
DEEP = {"L;12": (1, 12), "LA;16": (2, 16), "RGB;10": (3, 10), "RGB;12": (3, 12), "RGB;16": (3, 16), "RGBA;16": (4, 16)}  # channels and bits of what Pillow has no mode for
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F", *DEEP)
SUFFIXES = (".png", ".jpg", ".webp", ".tif", ".bmp", ".gif", ".ppm", ".avif", ".jp2", ".tga", ".heic", ".jxl")  # the last two where their plugins are
SMALL, MIDDLE, LARGE = ((1, 1), (7, 5)), ((1, 37), (53, 1), (64, 48)), ((2000, 1500), (6000, 4000))  # width x height
THIN = ((1, 1), (1, 37), (53, 1))  # what belongs to a picture does not depend on its size: profiles and texts are tried with the others
METADATA = ("plain", "profile", "turned", "texts", "moving")  # turned: EXIF with a text and orientation 6, a quarter turn; texts: dpi, XMP, IPTC, a
# title; moving: two frames or pages
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>cat</a></x:xmpmeta>'
IPTC = b"\x1c\x02\x78\0\x05title"  # IIM 4.2, 2:120
NEAR = {".jpg": 9, ".webp": 9, ".avif": 9, ".heic": 9, ".jxl": 9, ".gif": 12, ".jp2": 3}  # levels, on average, that coding twice may cost; elsewhere 1
COMPARED = ("1", "L", "LA", "P", "RGB", "RGBA", "YCbCr")  # modes whose colours Pillow itself turns into RGB
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
    return nearly_identity()


def levels(case: Case) -> np.ndarray:
    """A picture of soft colours, so that no codec has to lose much of it: uint16 (H, W, 4) over the whole range, the last one alpha."""
    y, x = np.mgrid[:case.size[1], :case.size[0]]
    waves = [np.sin(x / (17 + 3 * band) + band) * np.cos(y / (13 + 2 * band)) for band in range(4)]
    return np.round(32767.5 + 30000 * np.stack(waves, -1)).astype(np.uint16)


def deep_bytes(case: Case) -> bytes | None:
    """A file of more than 8 bits a channel, by a library that is not ours wherever there is one; None where nothing here writes it."""
    channels, bits = DEEP[case.mode]
    colours = [3] if channels == 1 else [0, 3] if channels == 2 else list(range(channels))
    stored = np.ascontiguousarray(levels(case)[..., colours] >> (16 - bits)).squeeze(-1 if channels == 1 else ())
    file, (width, height) = io.BytesIO(), case.size
    try:
        if case.suffix in (".png", ".tif") and bits == 16:
            DeepImage.of(stored).save(file, {".png": "PNG", ".tif": "TIFF"}[case.suffix])
            return file.getvalue()
        if case.suffix == ".ppm" and channels == 3:
            return b"P6 %d %d %d\n" % (width, height, 2**bits - 1) + stored.astype(">u2").tobytes()
        if case.suffix == ".heic" and channels == 3 and bits < 16:
            import pillow_heif
            pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
            pillow_heif.from_bytes("RGB;16", case.size, (stored << (16 - bits)).tobytes()).save(file, quality=-1, chroma=444, matrix_coefficients=0)
            return file.getvalue()
        import imagecodecs
        if case.suffix == ".jp2":
            return imagecodecs.jpeg2k_encode(stored, level=0, bitspersample=bits, reversible=True, codecformat="jp2")
        if case.suffix == ".jxl":
            return imagecodecs.jpegxl_encode(stored, lossless=True, bitspersample=bits)
        if case.suffix == ".avif" and bits < 16 and channels in (1, 3):
            return imagecodecs.avif_encode(stored, level=100, bitspersample=bits)
    except (ImportError, RuntimeError, ValueError):
        pass
    return None


def store(case: Case, path: Path) -> bool:
    """Write a picture of this kind -> False where the format cannot hold it, or Pillow cannot read what it wrote."""
    values = levels(case)
    if case.mode in DEEP:
        data = deep_bytes(case) if case.metadata == "plain" else None
        path.write_bytes(data or b"")
        return data is not None
    if case.mode in ("I;16", "I"):
        image = Image.fromarray(values[..., 0].astype(np.uint16 if case.mode == "I;16" else np.int32))
    elif case.mode == "F":
        image = Image.fromarray(values[..., 0].astype(np.float32) / 65535)
    elif case.mode == "LAB":
        image = Image.frombytes("LAB", case.size, (values[..., :3] >> 8).astype(np.uint8).tobytes())
    else:
        image = Image.fromarray((values >> 8).astype(np.uint8)).convert(case.mode)
    try:
        image.save(path, **_options(case, image))
        Image.open(io.BytesIO(path.read_bytes())).load()  # YCbCr in a TIFF fails here
        return True
    except (OSError, KeyError, ValueError, TypeError, RuntimeError):
        return False


def _options(case: Case, image: Image.Image) -> dict:
    """What belongs to the picture, for Pillow's `save`."""
    if case.metadata == "profile":
        return {"icc_profile": PROFILE}
    if case.metadata == "turned":
        exif = Image.Exif()
        exif[DESCRIPTION], exif[ORIENTATION] = "a photograph", 6
        return {"exif": exif.tobytes()}
    if case.metadata == "texts":
        texts, block = PngImagePlugin.PngInfo(), b"Photoshop 3.0\08BIM\x04\x04\0\0" + len(IPTC).to_bytes(4, "big") + IPTC
        texts.add_text("Title", "a title"), texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        iptc = {"extra": b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block} if case.suffix == ".jpg" else {}
        return {"dpi": (300, 300), "xmp": XMP, "pnginfo": texts, "comment": b"a comment", **iptc}
    return {"save_all": True, "append_images": [image.transpose(Image.Transpose.ROTATE_180)]} if case.metadata == "moving" else {}


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
        result = judged(case, before, after, said.getvalue())
        return result if result.startswith("FAULT") else result + _compared(case, before, after, said.getvalue())


def _compared(case: Case, before: Image.Image, after: Image.Image, said: str) -> str:
    """What of colours, depth and texts is as it was, in words; "FAULT ..." for what is not, and for what is lost without a word."""
    read, made = open_picture(before.filename, quiet=True), open_picture(after.filename, quiet=True)
    words = ""
    if case.mode in DEEP and read.deep is not None:
        bits, kept = DEEP[case.mode][1], levels(case)[..., {1: 3, 2: 0}.get(DEEP[case.mode][0], slice(3))]
        kept = kept[..., None] if kept.ndim < read.deep.ndim else kept  # greys with alpha stand in a TIFF as colours
        off = np.abs(np.round(read.deep / 65535 * (2**bits - 1)) - (kept >> (16 - bits))).max()
        if off > (2 if case.suffix == ".heic" else 0):
            return f" FAULT values off by {off:.0f} of {2**bits - 1}"
        words = ", exact" if off == 0 else ", nearly exact"
    if case.mode in COMPARED and min(case.size) > 4:
        small = made.rgb[::SCALE, ::SCALE].astype(int)
        seen = np.ones(small.shape[:2], bool) if read.alpha is None else read.alpha > 200
        off = np.abs(small - rgb_by_pillow(before))[seen].mean() if seen.any() else 0
        if off > NEAR.get(case.suffix, 1) and "on white" not in said:
            return f" FAULT colours off by {off:.1f}"
    if case.metadata == "texts":
        kept, lost = sorted(set(read.info) & set(made.info)), sorted(set(read.info) - set(made.info))
        lost = [name for name in lost if name != "comment" or "Comment" not in made.info.get("texts", {})]  # as a PNG calls it
        if lost and "left out" not in said:
            return f" FAULT {', '.join(lost)} lost without a word"
        words += f" kept: {', '.join(kept) or '-'}" + f"; said: {', '.join(lost)}" * bool(lost)
    return words


def rgb_by_pillow(image: Image.Image) -> np.ndarray:
    """uint8 (H, W, 3), upright, by Pillow alone."""
    with Image.open(io.BytesIO(Path(image.filename).read_bytes())) as image:  # Pillow (13.0) scrambles some turned TIFFs that it opens by their path
        image.load()
        image = image if image.format == "TIFF" else ImageOps.exif_transpose(image)  # a TIFF is turned when it is loaded
        return np.asarray(image.convert("RGBA"))[..., :3].astype(int)


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
        return _depth(case, open_picture(before.filename, quiet=True), open_picture(after.filename, quiet=True), said)
    if expected(before) != after.mode and not (words := _explained(before, after, said)):
        return f"FAULT mode {after.mode} from {before.mode}"
    lost_profile = before.mode in ("CMYK", "LAB")  # its pixels became RGB
    if "icc_profile" in before.info and not lost_profile:
        if case.suffix == ".jxl":  # it stores what the profile says, and writes one of its own when read
            words.append("profile" if after.info.get("icc_profile") else "profile not held")
        elif after.info.get("icc_profile") != PROFILE:
            return "profile not held, said" if "the colour profile" in said else "FAULT profile lost"
        else:
            words.append("profile")
    if case.metadata == "turned" and DESCRIPTION in before.getexif():
        if after.getexif().get(DESCRIPTION) != "a photograph" or after.getexif().get(ORIENTATION, 1) != 1:
            return "FAULT exif"
        words.append("exif, upright")
    return " ".join(words)


def _depth(case: Case, read, made, said: str) -> str:
    """What became of the depth."""
    if read.deep is not None and case.suffix in (".png", ".tif"):
        return "16 bits" if made.deep is not None and (made.alpha is None) == (read.alpha is None) else "FAULT not 16 bits"
    return "8 bits, said" if "holds 8 bits" in said or "of which Pillow reads 8" in said else "FAULT 8 bits without a word"


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


def main(large: bool, write: bool) -> int:
    sizes = LARGE if large else SMALL + MIDDLE
    options = {"modes": ("L", "RGB", "RGBA"), "suffixes": (".png", ".jpg"), "metadata": ("plain", "turned")} if large else {}
    rows, faults, count, generator = defaultdict(dict), [], 0, network()
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(sizes, **options):
            if case.metadata in ("profile", "texts") and case.size in THIN:
                continue
            result = outcome(case, Path(folder), generator)
            rows[case.mode, case.metadata].setdefault(case.suffix, {}).setdefault(result, []).append(case.size)
            count += result != "-"
            faults += [(case, result)] if "FAULT" in result else []
    lines = [about()] if write else []
    for (mode, metadata), row in rows.items():
        cells = "; ".join(f"{suffix[1:]}: {' | '.join(sorted(set(results) - {'-'}))}" for suffix, results in row.items() if set(results) != {"-"})
        lines += [f"{mode:8}{metadata:9}{cells}"] if cells else []
    lines.append(f"{count} pictures, sizes {', '.join(f'{w} x {h}' for w, h in sizes)}, x{SCALE}; {len(faults)} faults")
    lines += [f"{case} {result}" for case, result in faults]
    print("\n".join(lines))
    if write:
        Path(__file__).with_suffix(".txt").write_text("\n".join(lines) + "\n")
    return len(faults)


def about() -> str:
    """What the record is, when it was made, and with which versions."""
    found = {"torch": torch.__version__, "Pillow": PIL.__version__}
    for name in ("av", "numpy", "tifffile", "pillow-heif", "pillow-jxl-plugin", "imagecodecs"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    versions = ", ".join(f"{name} {number}" for name, number in found.items())
    return (f"What `python tests/runs/matrix.py --write` printed on {date.today()} ({versions}):\nmode and metadata of the input, then for each "
            "format of input and output the mode of what came out, whether its profile, EXIF and texts were kept,\nand whether it was turned upright. "
            "Colours are compared with Pillow's reading of the source, and values beyond 8 bits with those that were stored.\nA format that cannot hold a "
            "mode is not named.\n")


if __name__ == "__main__":
    sys.exit(main("--large" in sys.argv, "--write" in sys.argv))
