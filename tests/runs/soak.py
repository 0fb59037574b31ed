"""The page under visitors: answers never mixed up, and nothing left behind however it ends. Needs gradio.

python tests/runs/soak.py                        30 visitors for 5 minutes, then SIGTERM, SIGHUP and SIGKILL

Every visitor has images of a colour of its own, so that a result which belongs to another is seen. A visitor drops an image, asks for
it to be enlarged, reads the download, and begins anew; being told that the queue is full is an answer too. The page is then ended by
each signal in turn while it computes, and started again: no folder of the dead page may be left once the next one answers.
"""

import argparse
import colorsys
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from srgan_lib.upscaling import upscale  # noqa: E402

WORDS = ("Queue is full", "takes longer than", "page was closed")  # of an honest refusal


class Page:
    """A served page on a port and a temporary folder of its own."""

    def __init__(self, folder: Path, model: Path, port: int):
        environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
        self.log = open(folder.parent / "page.log", "ab")
        self.process = subprocess.Popen([sys.executable, "-m", "srgan_lib", "demo", "--port", str(port), "--model", str(model)], env=environment,
                                        stdout=self.log, stderr=self.log, start_new_session=True)
        self.address = f"http://127.0.0.1:{port}/"

    def wait(self, seconds: float = 120) -> None:
        """Until it answers."""
        import httpx
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(self.address, timeout=10).raise_for_status()
            time.sleep(0.2)
        raise SystemExit(f"the page does not answer; see {self.log.name}")

    def resident_mb(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


class Visitor(threading.Thread):
    """Drops images of one colour until it is told to stop, and counts what comes back."""

    def __init__(self, number: int, of: int, page: Page, model: Path, folder: Path, stop: threading.Event):
        super().__init__(daemon=True)
        colour = np.array([round(255 * share) for share in colorsys.hsv_to_rgb(number / of, 0.8, 0.5 + 0.4 * (number % 2))])
        self.page, self.model, self.stop, self.counts = page, str(model), stop, Counter()
        noise = np.random.default_rng(number).integers(-9, 10, (24 + number % 5, 32, 3))
        self.image = folder / f"visitor-{number}.png"
        Image.fromarray((colour + noise).clip(0, 255).astype(np.uint8)).save(self.image)
        self.expected = np.asarray(upscale(str(self.image), str(model)))

    def run(self) -> None:
        from gradio_client import Client
        while not self.stop.is_set():
            try:
                client = Client(self.page.address, verbose=False)
                for _ in range(5):
                    if not self.stop.is_set():
                        self.counts[self.once(client)] += 1
            except Exception as error:  # the client's own kinds, and whatever a page that is being ended provokes
                self.counts["refused" if any(word in str(error) for word in WORDS) else f"{type(error).__name__}: {str(error)[:80]}"] += 1
                self.stop.wait(0.5)

    def once(self, client) -> str:
        from gradio_client import handle_file
        client.predict(handle_file(str(self.image)), api_name="/receive")
        _, result, text = client.predict(self.model, api_name="/enlarge")
        if not result["value"]:
            return f"no result: {text[:80]}"
        with Image.open(result["value"]) as image:
            return "right" if np.array_equal(np.asarray(image), self.expected) else "mixed up"


def small_model(folder: Path) -> Path:
    """A generator of one block, never trained: what it makes of a colour is its own, and the same every time."""
    import torch
    from srgan_lib.models import SRResNet
    torch.manual_seed(0)
    SRResNet(blocks=1, channels=4).eval().save_pretrained(folder)
    return folder


def left(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def soak(visitors: int, seconds: float, folder: Path, port: int) -> dict:
    """Visitors at work, then each signal under load -> what happened."""
    temporary, model = folder / "temporary", small_model(folder / "net")
    temporary.mkdir()
    counts, memory, ends = Counter(), [], {}
    page = Page(temporary, model, port)
    for turn, kind in enumerate(("SIGTERM", "SIGHUP", "SIGKILL")):
        page.wait()
        stop = threading.Event()
        crowd = [Visitor(number, visitors, page, model, folder, stop) for number in range(visitors)]
        for visitor in crowd:
            visitor.start()
        until = time.monotonic() + (seconds if turn == 0 else 10)
        while time.monotonic() < until:
            time.sleep(min(5, seconds))
            memory.append(page.resident_mb())
        page.process.send_signal(getattr(signal, kind))  # while it computes
        if turn == 0:
            counted = [Counter(visitor.counts) for visitor in crowd]
            counts = sum(counted, Counter())
        stop.set()
        code, dead = page.process.wait(60), left(temporary)
        page = Page(temporary, model, port + 1 + turn)
        page.wait()
        now = [name for name in left(temporary) if name in dead]
        ends[kind] = {"exit": code, "left_when_it_ended": dead, "left_after_the_next_start": now}
        for visitor in crowd:
            visitor.join(60)
    page.process.send_signal(signal.SIGTERM)
    page.process.wait(60)
    ends["the last page"] = {"left_when_it_ended": left(temporary)}
    return {"visitors": visitors, "seconds": seconds, "answers": dict(counts), "memory_mb": [round(min(memory)), round(max(memory))], "ends": ends}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--port", type=int, default=7900)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(arguments.visitors, arguments.seconds, Path(folder), arguments.port)
        print((Path(folder) / "page.log").read_text()[-1500:], file=sys.stderr)
    print(json.dumps(result, indent=1))
    odd = [answer for answer in result["answers"] if answer not in ("right", "refused")]
    return int(bool(odd) or any(end.get("left_after_the_next_start") or end.get("exit", 0) not in (0, -signal.SIGKILL) for end in result["ends"].values()))


if __name__ == "__main__":
    sys.exit(main())
