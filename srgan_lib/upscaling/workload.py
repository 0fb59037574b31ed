"""How much video a run has before it, and which model would be faster."""

import time

from ..errors import ImageError
from ..models import load_generator, shipped
from .pictures import Upscaler
from .streams import best_video, is_video, open_film, pyav, seconds_of
from .tiles import prepare, seconds_per_pixel

TRIAL = 96  # LR pixels a side of the image on which two models are compared


class Workload:
    """The videos among several inputs, with their length and the megapixels they become."""

    def __init__(self, sources: list[str], scale: int):
        found = [source for source in sources if is_video(source)]
        self.left = {source: measured(source, scale) for source in found} if len(found) > 1 else {}
        self.began, self.whole = None, sum(megapixels for _, megapixels in self.left.values())

    def say_what_is_left(self, source: str) -> None:
        """Print what is left from this video on, and how long it takes at the pace so far; nothing for other files."""
        if source not in self.left:
            return
        seconds, megapixels = (sum(values) for values in zip(*self.left.values()))
        self.began, done = self.began or time.monotonic(), self.whole - megapixels
        pace = f", about {clock((time.monotonic() - self.began) / done * megapixels)} at the pace so far" if done else ""
        print(f"{len(self.left)} video{'s' if len(self.left) > 1 else ''} left: {clock(seconds)} of video, {megapixels:,.0f} megapixels{pace}", flush=True)
        del self.left[source]


def measured(source: str, scale: int) -> tuple[float, float]:
    """(seconds, megapixels of the result) of a video by what it states; 0 for one that cannot be read."""
    try:
        with open_film(pyav(), source) as film:
            video = best_video(film)
            seconds, context = seconds_of(film, video), video.codec_context
            return seconds, seconds * float(video.average_rate or 25) * scale**2 * context.width * context.height / 1e6
    except (ImageError, OSError):
        return 0.0, 0.0


def faster_model(upscaler: Upscaler) -> str:
    """A clause that names the shipped NAME-lite-x4 that is fastest here; "" where none is, or none is twice as fast as the upscaler."""
    names = [name for name in shipped() if name.endswith("-lite-x4")] if upscaler.scale == 4 else []
    own = sum(seconds_per_pixel(network, TRIAL) for network in upscaler.networks) if names else 0
    found = {name: seconds_per_pixel(prepare(load_generator(name), upscaler.precision).to(upscaler.device), TRIAL) for name in names}
    best = min(found, key=found.get, default=None)
    return f"; --model {best} is about {own / found[best]:.0f} times faster" if best and own > 2 * found[best] else ""


def clock(seconds: float) -> str:
    """1:02:03."""
    seconds = round(seconds)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
