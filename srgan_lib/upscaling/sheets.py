"""A sheet of moments of a video: bicubic beside upscaled."""

import numpy as np
from PIL import Image

from ..errors import ImageError
from ..images import write_image
from .colour import Reader
from .frames import Frames, matrix_of, upright
from .streams import best_video, open_film, origin_of, pyav, seconds_of


def comparison_sheet(source, target, out, count: int = 3, start: float = 0, side: int = 480) -> None:
    """Write an image of `count` rows, each a moment of the video: bicubic at the left, upscaled at the right, same crop.

    start: where in the source the target begins, in seconds. Raises ImageError.
    """
    av, rows = pyav(), []
    with open_film(av, target) as film:
        seconds = seconds_of(film, best_video(film))
    for number in range(count):
        moment = seconds * (number + 0.5) / count
        after = frame_at(av, target, moment)
        before = Image.fromarray(frame_at(av, source, moment + start)).resize(after.shape[1::-1], Image.Resampling.BICUBIC)
        top, left = max(after.shape[0] - side, 0) // 2, max(after.shape[1] - side, 0) // 2
        crop = (slice(top, top + side), slice(left, left + side))
        rows.append(np.concatenate([np.asarray(before)[crop], after[crop]], axis=1))
    write_image(np.concatenate(rows), out)


def frame_at(av, path, moment: float) -> np.ndarray:
    """The frame shown at a moment, upright, uint8 (H, W, 3)."""
    with open_film(av, path) as film:
        video = best_video(film)
        origin, codec = origin_of(film, video), video.codec_context.name
    shown = None
    for frame, time in Frames(av, path, origin).since(moment):
        if shown is not None and time > moment:
            break
        shown = frame
    if shown is None:
        raise ImageError(f"{path}: no frame at {moment:.1f} s")
    return np.floor(upright(Reader(av, codec)(shown), matrix_of(shown)) * 255 + 0.5).astype(np.uint8)
