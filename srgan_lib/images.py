"""Pixels: read, write, luma, MATLAB's bicubic, and the degradation HR -> LR.

One contract holds everywhere: on disk and in the bank uint8 RGB (H, W, 3); in networks float32 in [0, 1], (N, 3, H, W).
"""

import os
import struct
import warnings
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from .errors import ImageError
from .formats.decoding import Picture, decode, decode_rare_tiff
from .formats.known import SUFFIXES as SUFFIXES  # for those who look through folders and archives
from .formats.known import PLUGINS, opened
from .formats.sixteen import DeepImage, write_tiff
from .locks import atomic_write as atomic_write, check_place as check_place, move as move  # for everybody who writes a file
from .notes import collected

MAX_PIXELS = 80_000_000  # beyond this a picture is refused before it is decoded
_limit = Lock()


def open_picture(source, most_pixels: int | None = None, page: int = 0, quiet: bool = False) -> Picture:
    """Decode a path, bytes, file object, PIL image or uint8 array into a `Picture`; page: which picture of a file of several.

    What is left out or guessed stands in `notes`, and is a warning unless `quiet`. Raises ImageError for whatever is missing, broken, too
    large (MAX_PIXELS, or most_pixels), of a format that is not opened (see `formats.py`) or not a picture.
    """
    with collected() as notes:
        picture = _open(source, most_pixels or MAX_PIXELS, page)
    picture.notes = notes
    for text in notes if not quiet else ():
        warnings.warn(text, stacklevel=2)
    return picture


def _open(source, most_pixels: int, page: int) -> Picture:
    if isinstance(source, np.ndarray):
        return _from_array(source)
    name = str(source) if isinstance(source, (str, os.PathLike)) else "picture"
    if name in ("", "."):
        raise ImageError("the path of a picture is empty" if name == "" else f"{name}: a folder, not a picture")
    try:
        with warnings.catch_warnings(), _most_pixels(most_pixels):
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            image = source if isinstance(source, Image.Image) else opened(source, name)
            if image is None:
                return decode_rare_tiff(source, name, page, lambda size, name: _check_size(size, name, most_pixels))
            _check_size(image.size, name, most_pixels)
            return decode(image, name, source, page)
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except MemoryError:
        raise ImageError(f"{name}: not enough memory to decode it") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: larger than the limit of {most_pixels / 1e6:.0f} megapixels") from None
    except Exception as error:  # decoders raise almost anything on hostile bytes
        raise ImageError(f"{name}: broken picture ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from None


def read_image(source) -> np.ndarray:
    """Read anything `open_picture` accepts -> uint8 RGB array (H, W, 3)."""
    return open_picture(source).rgb


@contextmanager
def _most_pixels(count: int):
    """Pillow's own limit, one of the whole process, out of the way where ours is above it."""
    if not Image.MAX_IMAGE_PIXELS or count <= Image.MAX_IMAGE_PIXELS:
        yield
        return
    with _limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, count
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _check_size(size: tuple[int, int], name: str, most_pixels: int) -> None:
    width, height = size
    if width * height > most_pixels:
        raise ImageError(f"{name}: {width} x {height} pixels, larger than the limit of {most_pixels / 1e6:.0f} megapixels")
    if width * height == 0:
        raise ImageError(f"{name}: empty picture")


def _from_array(array: np.ndarray) -> Picture:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageError(f"array: want uint8 (H, W), (H, W, 3) or (H, W, 4), got {array.dtype} {array.shape}")
    _check_size(array.shape[1::-1], "array", MAX_PIXELS)
    image = Image.fromarray(array.squeeze(2) if array.ndim == 3 and array.shape[2] == 1 else array)
    return decode(image, "array", image, 0)


def format_of(path: str | Path) -> str:
    """Pillow's name of the format that a suffix asks for. Raises ImageError when it cannot be written."""
    suffix = Path(path).suffix.lower()
    name = Image.registered_extensions().get(suffix)
    for _, package, suffixes in PLUGINS.values():
        if name is None and suffix in suffixes:
            raise ImageError(f"{path}: writing {suffix} needs a plugin: pip install {package}")
    if name not in Image.SAVE:
        raise ImageError(f"{path}: cannot write the format {Path(path).suffix or '(no suffix)'}; use .png, .jpg, .webp or .tif")
    return name


def write_image(image: Image.Image | np.ndarray, path: str | Path, **options) -> None:
    """Write a picture; the suffix names the format and nothing half-written is left under `path`.

    Raises ImageError when the suffix is unknown or the folder cannot be written.
    """
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    format = format_of(path)

    def write(file):
        if options.get("compression") == "tiff_adobe_deflate" and image.mode in ("L", "LA", "RGB", "RGBA", "I;16"):
            levels = image.deep if isinstance(image, DeepImage) else np.asarray(image)
            write_tiff(file, levels if levels.ndim == 3 else levels[..., None], **options)
        else:
            image.save(file, format=format, **options)

    try:
        atomic_write(path, write)
    except (OSError, ValueError, RuntimeError, OverflowError, struct.error) as error:  # the last three: metadata that a format refuses
        raise ImageError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})") from None


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """uint8 (H, W, 3) -> float32 (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(array, order="C")).permute(2, 0, 1)[None].contiguous().float() / 255


def eight_bit(x: torch.Tensor) -> torch.Tensor:
    """Round a tensor in [0, 1] to the 256 levels of a stored picture, half up as MATLAB does: floor(255 x + 1/2) / 255."""
    return torch.floor(x.clamp(0, 1) * 255 + 0.5) / 255


def to_image(x: torch.Tensor) -> np.ndarray:
    """float (1, 3, H, W) or (3, H, W) in [0, 1] -> uint8 (H, W, 3), rounded half up, never truncated."""
    x = x.detach().reshape(x.shape[-3:]).clamp(0, 1)
    return torch.floor(x * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def luma(x: torch.Tensor) -> torch.Tensor:
    """RGB (N, 3, H, W) in [0, 1] -> BT.601 studio-range luma (N, 1, H, W) in 16..235, MATLAB's `rgb2ycbcr`."""
    return 16 + 65.481 * x[:, 0:1] + 128.553 * x[:, 1:2] + 24.966 * x[:, 2:3]


def crop_to_multiple(x: torch.Tensor, scale: int) -> torch.Tensor:
    """Cut rows and columns at the bottom and right until H and W are multiples of `scale`."""
    height, width = x.shape[-2] // scale * scale, x.shape[-1] // scale * scale
    return x[..., :height, :width]


def mirror(start: int, stop: int, size: int) -> torch.Tensor:
    """Indices start..stop-1 reflected into 0..size-1 with the border pixel repeated (MATLAB's 'symmetric')."""
    index = torch.arange(start, stop) % (2 * size)
    return torch.where(index < size, index, 2 * size - 1 - index)


def resize_bicubic(x: torch.Tensor, scale: float) -> torch.Tensor:
    """Resize (N, C, H, W) in [0, 1] by 2, 3, 4, ... or 1/2, 1/3, 1/4, ... as MATLAB's `imresize` does for uint8.

    Keys' cubic kernel with a = -0.5, widened by the factor when shrinking, symmetric border, rounded to 8 bit after each
    axis, rows first. Shrinking wants H and W to be multiples of the factor. Raises ValueError for other scales and sizes.
    """
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale {scale}: want a whole number or one over a whole number")
    factor = round(scale) if scale >= 1 else round(1 / scale)
    if abs((scale if scale >= 1 else 1 / scale) - factor) > 1e-6:
        raise ValueError(f"scale {scale}: want a whole number or one over a whole number")
    if scale < 1 and (x.shape[-2] % factor or x.shape[-1] % factor):
        raise ValueError(f"{x.shape[-1]} x {x.shape[-2]} pixels do not divide by {factor}; crop_to_multiple first")
    for axis in (-2, -1):
        size, margin = x.shape[axis], 4 * (factor if scale < 1 else 1)
        x = x.index_select(axis, mirror(-margin, size + margin, size).to(x.device))
        x = resize_axis(x, axis, scale, factor)
        margin = margin // factor if scale < 1 else margin * factor
        x = x.narrow(axis, margin, x.shape[axis] - 2 * margin)
    return x


def resize_axis(x: torch.Tensor, axis: int, scale: float, factor: int) -> torch.Tensor:
    """One axis of `resize_bicubic`, without border handling: the caller brings the margin and crops it."""
    return resize_levels(x * 255, axis, scale, factor) / 255


def resize_levels(x: torch.Tensor, axis: int, scale: float, factor: int) -> torch.Tensor:
    """`resize_axis` in grey levels 0..255: there the half that rounds up is a number that float32 holds exactly."""
    length = x.shape[axis] * factor if scale >= 1 else x.shape[axis] // factor
    size = (length, x.shape[-1]) if axis == -2 else (x.shape[-2], length)
    x = F.interpolate(x, size=size, mode="bicubic", align_corners=False, antialias=True)
    return x.clamp_(0, 255).add_(0.5).floor_()


def degrade(hr: torch.Tensor, scale: int = 4) -> torch.Tensor:
    """HR (N, 3, H, W) in [0, 1] -> LR (N, 3, H // scale, W // scale): bicubic, then as if stored in 8 bit."""
    return resize_bicubic(crop_to_multiple(hr, scale), 1 / scale)
