"""A page in the browser: drop a picture, choose a model, compare before and after, download; the command `demo`.

gradio is needed for this room alone. In a notebook call `launch()`. A Hub Space of the kind "gradio" wants an app.py of two
lines, `from srgan_lib.apps.demo import launch` and `launch()`; one of the kind "docker" runs `python -m srgan_lib demo`.
"""

import argparse
import html
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from inspect import signature
from pathlib import Path

from ..errors import CourseError, ImageError
from ..images import Picture, open_picture
from ..models import shipped
from ..notes import collected
from ..upscaling import Upscaler
from ..upscaling.files import save
from ..upscaling.streams import is_video
from ..upscaling.tiles import seconds_per_pixel
from .layout import lay_out
from .settings import BICUBIC, Settings, made, previews, zipped
from .temporary import KEPT_SECONDS, shortened, sweep, temporary_folder  # noqa: F401
from .turns import Turns

MOST_BYTES, MOST_PIXELS = 32 * 2**20, 6_000_000  # of an upload; at x4 the result has 96 megapixels
MOST_SECONDS = 300   # of computing for one picture
MOST_WAITING = 10    # for their turn to compute; the next one is refused
MOST_DROPS = 100     # that wait to be decoded
MOST_VISITORS = 50   # whose pictures are held in memory; the oldest is forgotten
PREVIEW = 1600       # longest side in the slider; the download has every pixel
POLICY = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"  # the browser may ask nobody but this server
INTRODUCTION = f"""# Enlarge a picture
Drop a picture of up to {MOST_PIXELS / 1e6:.0f} megapixels and {MOST_BYTES >> 20} MB, choose a model, press the button, move the slider. The download has every pixel, and
keeps transparency, colour profile and EXIF. Pictures and results are deleted after {KEPT_SECONDS // 60} minutes. What looks like new detail is the
network's guess: it proves nothing about a face, a document or an X-ray."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, help="default: GRADIO_SERVER_PORT, else the first free one from 7860 on")
    parser.add_argument("--share", action="store_true", help="a public address too, by way of gradio's own servers")
    parser.add_argument("--space", metavar="FOLDER", help="serve nothing: write app.py, requirements.txt and README.md of a Space on the Hub")
    parser.add_argument("--model", action="append", default=[], help="a folder or Hub repo to offer beside the shipped models; may be repeated")


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted; SIGTERM and SIGHUP are an orderly end, which deletes the temporary files."""
    if arguments.space:
        from .space import write_space
        print("\n".join(map(str, write_space(arguments.space))))
        return 0
    before = {getattr(signal, name): signal.signal(getattr(signal, name), _end) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)}
    try:
        launch(arguments.port, arguments.share, arguments.model)
    except Ended:
        for kind in before:
            signal.signal(kind, signal.SIG_IGN)
        for _ in range(20):  # threads that compute may put another file there meanwhile
            shutil.rmtree(temporary_folder(), ignore_errors=True)
        sys.stdout.flush()
        os._exit(0)  # a thread that computes would be torn down under torch, which aborts the process
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
    return 0


class Ended(BaseException):
    """The process was asked to end."""


def _end(*_) -> None:
    raise Ended


def launch(port: int | None = None, share: bool = False, models: Sequence[str] = (), **options):
    """Serve the page: beneath the cell in a notebook, elsewhere until interrupted. Returns gradio's Blocks.

    It listens on 127.0.0.1 unless GRADIO_SERVER_NAME says otherwise, and is public only when `share` asks for it. models:
    folders or Hub repos to offer beside the shipped ones; options: for gradio's `launch`. Raises CourseError where gradio
    is missing or the port cannot be had.
    """
    if port is not None and not 0 < port < 65536:
        raise CourseError(f"--port {port}: want a number from 1 to 65535")
    blocks = page(models)
    settings = {"server_port": port, "share": share, "ssr_mode": False, "max_file_size": MOST_BYTES, "state_session_capacity": MOST_VISITORS}
    if not (share or os.environ.get("SPACE_ID")):
        from starlette.middleware import Middleware
        settings["app_kwargs"] = {"middleware": [Middleware(Private)]}
    if "run_history" in signature(blocks.launch).parameters:  # gradio 6 offers to keep runs on the Hub
        settings["run_history"] = False
    try:
        blocks.launch(**{**settings, **options})
    except OSError as error:
        raise CourseError(f"the page cannot be served: {error}") from None
    return blocks


def page(models: Sequence[str] = ()):
    """The page as gradio Blocks, not yet served. Raises CourseError where gradio is missing."""
    folder, names, turns = temporary_folder(), [*models, *shipped()], Turns(MOST_WAITING)
    gradio = _gradio()  # after the folder, which it reads the name of when it is imported

    def turn(request, progress, work):
        try:
            return turns.serve(request.session_hash, progress, work)
        except CourseError as error:
            raise gradio.Error(str(error), print_exception=False) from None

    def compute(dropped, model, strength, scale, size, other, other_strength, request: gradio.Request, progress=gradio.Progress()):
        chosen = strength, scale, size, other, other_strength
        shown, result, text = turn(request, progress, lambda report: enlarge(dropped, model, folder, report, *chosen))
        return shown, gradio.DownloadButton(value=result, interactive=bool(result)), text

    def compute_all(paths, model, strength, scale, size, request: gradio.Request, progress=gradio.Progress()):
        result, text = turn(request, progress, lambda report: enlarge_all(paths, model, folder, report, strength, scale, size))
        return gradio.DownloadButton(value=result, interactive=bool(result)), text

    def left(request: gradio.Request):
        turns.leave(request.session_hash)

    with gradio.Blocks(title="Enlarge a picture", analytics_enabled=False) as blocks:
        gradio.Markdown(INTRODUCTION)
        lay_out(gradio, names, names[0] if models else "srresnet-x4", receive, compute, compute_all)
        blocks.unload(left)
    return blocks.queue(max_size=MOST_DROPS)


def receive(path: str | None) -> tuple[tuple[str, Picture] | None, str]:
    """Decode an upload -> ((name without suffix, picture) or None, one sentence as HTML).

    The file is left to `sweep`: gradio keeps equal uploads of several visitors as one.
    """
    if path is None:
        return None, ""
    name = Path(path).name
    try:
        picture = open_picture(path, MOST_PIXELS, quiet=True)
        picture.notes = [text.replace(str(path), name).replace(" (--pages all takes each)", "") for text in picture.notes]
        return (Path(name).stem, picture), _paragraph("{1} x {0} pixels".format(*picture.rgb.shape), picture.notes)
    except ImageError as error:
        if is_video(path):
            return None, _paragraph(f"{name}: a video; this page takes images, and `python -m srgan_lib upscale` takes videos too")
        return None, _paragraph(str(error).replace(str(path), name))


def enlarge(dropped: tuple[str, Picture] | None, model: str, folder: Path, report: Callable[[float], object], strength: float | None = None,
            scale=None, size: str = "", other: str = BICUBIC, other_strength: float | None = None) -> tuple:
    """-> ((file before, file after), file of the result, one sentence as HTML); None for the files where something is wrong.

    Before is bicubic or the other model's image. Both are small enough for a page; `report` is told the share that is done after each tile.
    """
    if dropped is None:
        return None, None, _paragraph(f"drop a picture first (it is forgotten after {KEPT_SECONDS // 60} minutes)")
    (name, picture), began = dropped, time.monotonic()
    try:
        with collected() as notes:
            chosen, both = Settings.of(model, strength, scale, size), other != BICUBIC
            image, used = made(picture, chosen, _upscaler, (lambda share: report(share / 2)) if both else report)
            left = made(picture, Settings.of(other, other_strength, scale, size), _upscaler, lambda share: report((1 + share) / 2))[0] if both else None
            own = Path(tempfile.mkdtemp(dir=folder))
            result = own / shortened(name, chosen.ending(used))
            save(image, str(result))
    except CourseError as error:
        return None, None, _paragraph(str(error).replace(f"{folder}{os.sep}", ""))
    shown = str(own / "before.png"), str(own / "after.png")
    for preview, file in zip(previews(picture, image, left, PREVIEW), shown):  # gradio would write equal pictures of two visitors into one file
        preview.save(file, compress_level=1)
    text = f"{image.size[0]} x {image.size[1]} pixels with {model}{f', {other} on the left' if both else ''}, {time.monotonic() - began:.1f} s"
    return shown, str(result), _paragraph(text, [*picture.notes, *notes])


def enlarge_all(paths, model: str, folder: Path, report: Callable[[float], object], strength: float | None = None, scale=None, size: str = "") -> tuple:
    """Several uploads -> (zip of the results or None, what became of each as HTML)."""
    try:
        result, said = zipped(paths, Settings.of(model, strength, scale, size), _upscaler, folder, MOST_PIXELS, report)
    except CourseError as error:
        return None, _paragraph(str(error))
    return result, _paragraph("finished" if result else "nothing was enlarged", said, "Each image")


class Watched(Upscaler):
    """An upscaler that reports after each tile, and raises ImageError once MOST_SECONDS do not suffice."""

    report: Callable[[float], object]

    def run(self, lr, keep, tile=None, progress=False):
        pixels, began, done = lr.shape[-2] * lr.shape[-1], time.monotonic(), 0
        expected = seconds_per_pixel(self.networks[-1], 96) * pixels if pixels > 500_000 else 0

        def kept(sr, top, left):
            nonlocal done
            keep(sr, top, left)
            done += sr.shape[-2] * sr.shape[-1] / self.scale**2 / pixels
            self.report(done)
            check(time.monotonic() - began if done < 1 else 0)

        check(expected)
        super().run(lr, kept, tile, progress)


def check(seconds: float) -> None:
    """Raise ImageError for more than MOST_SECONDS."""
    if seconds > MOST_SECONDS:
        raise ImageError(f"this picture takes longer than {MOST_SECONDS} s here; drop a smaller one, or use the command line, which has no limit")


@lru_cache(maxsize=4)
def _upscaler(model: str, strength: float | None = None, scale: int | None = None) -> Watched:
    return Watched(model, scale, strength=strength)


class Private:
    """ASGI middleware: every answer carries POLICY."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def with_policy(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", POLICY)]
            await send(message)

        await self.app(scope, receive, with_policy)


def _paragraph(sentence: str, notes: Sequence[str] = (), heading: str = "Please note") -> str:
    """A sentence and its notes as HTML."""
    noted = "".join(f"<li>{html.escape(text)}.</li>" for text in dict.fromkeys(notes))
    return f"<p>{html.escape(sentence[:1].upper() + sentence[1:])}.</p>" + (f"<p>{heading}:</p><ul>{noted}</ul>" if noted else "")


def _gradio():
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio
    except ImportError:
        raise CourseError("the page needs gradio, which is not installed: pip install gradio") from None
    return gradio
