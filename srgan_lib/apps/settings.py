"""What a visitor of the page chooses beside the model: strength, scale, exact size; several images as one zip."""

import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import CourseError, ImageError
from ..images import Picture, open_picture
from ..models import is_gan, usual_strength
from ..notes import collected
from ..upscaling.files import save
from ..upscaling.pictures import SCALES, shrunk_to

OWN = "the model's own"  # the scale that nobody chose
BICUBIC = "bicubic"      # the left side of the slider where no second model is chosen
MOST_RESULT = 96_000_000  # pixels of a result
MOST_FILES, MOST_NOTES = 20, 10


@dataclass(frozen=True)
class Settings:
    """A model at a strength (None: the one that it was released with), and how large its result shall be."""

    model: str
    strength: float | None = None
    scale: int | None = None
    size: tuple[int, int] | None = None

    @classmethod
    def of(cls, model: str, strength=None, scale=None, size: str = "") -> "Settings":
        """From what stands in the page's fields. Raises ImageError for a size that is none."""
        return cls(model, used_strength(model, strength), None if scale in (None, "", OWN) else int(scale), size_of(size))

    def ending(self, scale: int) -> str:
        return f"-{'{}x{}'.format(*self.size) if self.size else f'x{scale}'}.png"

    def reaching(self, picture: Picture, own: int) -> int | None:
        """The scale to compute at: the one chosen, or the smallest that reaches the exact size; None is the model's own. Raises ImageError."""
        height, width = picture.rgb.shape[:2]
        factor = max(self.size[0] / width, self.size[1] / height) if self.size else 0
        able = [scale for scale in ([self.scale] if self.scale else [own, *SCALES]) if scale >= factor]
        if not able:
            raise ImageError(f"{self.size[0]} x {self.size[1]} pixels are {factor:.1f} times {width} x {height}, more than a scale of {self.scale or max(SCALES)} reaches")
        if width * height * able[0] ** 2 > MOST_RESULT:
            raise ImageError(f"{width} x {height} pixels become more than {MOST_RESULT / 1e6:.0f} megapixels at scale {able[0]}; choose a smaller one")
        return self.scale or (able[0] if able[0] != own else None)


def used_strength(model: str, strength) -> float | None:
    """The strength to load a model with: a GAN's is what the visitor chose; every other model has one image alone."""
    return float(strength) if strength is not None and is_gan(model) else None


def first_strength(model: str) -> float:
    """Where the slider stands when a model is chosen."""
    return usual_strength(model) if is_gan(model) else 1.0


def size_of(text: str | None) -> tuple[int, int] | None:
    """"1920x1080" -> (1920, 1080), "" -> None. Raises ImageError."""
    parts = (text or "").lower().replace("×", "x").split("x")
    if not (text or "").strip():
        return None
    if len(parts) != 2 or not all(part.strip().isdecimal() and 0 < int(part) < 100_000 for part in parts):
        raise ImageError(f"exact size {text}: want width x height in pixels, such as 1920x1080")
    width, height = (int(part) for part in parts)
    if width * height > MOST_RESULT:
        raise ImageError(f"exact size {text}: {width * height / 1e6:.0f} megapixels, more than {MOST_RESULT / 1e6:.0f}")
    return width, height


def made(picture: Picture, settings: Settings, upscaler_of: Callable, report: Callable[[float], object]) -> tuple[Image.Image, int]:
    """(the result, the scale that it was computed at) of one image. Raises CourseError."""
    own = upscaler_of(settings.model, settings.strength, None)
    upscaler = upscaler_of(settings.model, settings.strength, settings.reaching(picture, own.scale))
    upscaler.report = report
    image = upscaler(picture)
    return (shrunk_to(image, settings.size) if settings.size else image), upscaler.scale


def zipped(paths: Sequence[str] | None, settings: Settings, upscaler_of: Callable, folder: Path, most_pixels: int,
           report: Callable[[float], object]) -> tuple[str | None, list[str]]:
    """Several uploads -> (zip of their results, one sentence a file). What fails is said, and the others go on; None where all fail."""
    paths = [str(path) for path in paths or []]
    if not 0 < len(paths) <= MOST_FILES:
        return None, ["drop the images first" if not paths else f"{len(paths)} images are more than {MOST_FILES} at once"]
    own, said, names = Path(tempfile.mkdtemp(dir=folder)), [], set()
    target = own / "images.zip"
    with zipfile.ZipFile(own / "images.part", "w", zipfile.ZIP_STORED) as archive:  # PNG is packed already
        for number, path in enumerate(paths):
            name = Path(path).name
            try:
                with collected() as notes:
                    picture = open_picture(path, most_pixels, quiet=True)
                    image, scale = made(picture, settings, upscaler_of, lambda share: report((number + share) / len(paths)))
                    result = unused(f"{Path(name).stem[:100]}{settings.ending(scale)}", names)
                    save(image, str(own / "one.png"))
                archive.write(own / "one.png", result)
                noted = [*picture.notes, *notes][:MOST_NOTES]
                said.append(f"{result}: {image.size[0]} x {image.size[1]} pixels" + "".join(f"; {text}".replace(path, name) for text in dict.fromkeys(noted)))
            except CourseError as error:
                said.append(f"{name}: left out, {str(error).replace(path, name).removeprefix(f'{name}: ')}")
    (own / "one.png").unlink(missing_ok=True)
    if not names:
        (own / "images.part").unlink()
        return None, said
    (own / "images.part").rename(target)
    return str(target), said


def unused(name: str, names: set[str]) -> str:
    """The name, with a number where the zip has one of that name."""
    stem, number, found = name.removesuffix(".png"), 1, name
    while found in names:
        number += 1
        found = f"{stem}-{number}.png"
    names.add(found)
    return found


def previews(picture: Picture, image: Image.Image, other: Image.Image | None, most: int) -> tuple[Image.Image, Image.Image]:
    """The picture enlarged by bicubic, or another result, and the result, both RGB and at most so many pixels a side."""
    factor = min(1, most / max(image.size))
    size = [max(1, round(factor * side)) for side in image.size]
    before = Image.fromarray(picture.rgb) if other is None else shown_as_rgb(other)
    before = before.resize(size, Image.Resampling.BICUBIC)
    before.info.update({"icc_profile": picture.icc} if picture.icc else {})
    return before, shown_as_rgb(image).resize(size, Image.Resampling.BICUBIC)


def shown_as_rgb(image: Image.Image) -> Image.Image:
    """8 bits of red, green and blue, whatever the result has."""
    return (Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)) if image.mode == "I;16" else image).convert("RGB")
