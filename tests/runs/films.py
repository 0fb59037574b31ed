"""A film of 10 seconds, 320 x 180 with sound, becomes 1280 x 720: length, sound, memory at two lengths, and a kill half-way.

    python tests/runs/films.py [--json FILE] [--model NAME] [--seconds 2.5 10]

Each upscaling is a child process, whose peak memory and processor time the system tells. The default network is small and has
random weights: what is measured is the machinery, not the picture. The processor time a frame is that by which the longest film
takes more than the shortest; less the network's own, it is what reading, colours and encoding take, whatever the network. With it
stands the share that a shipped network has.
"""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from srgan_lib.models import SRResNet  # noqa: E402
from srgan_lib.upscaling import Upscaler  # noqa: E402
from srgan_lib.upscaling.video import enlarged_frame  # noqa: E402

SHIPPED = "srresnet-lite-x4"
SIZE, RATE, SOUND = (320, 180), 10, 44100


def picture(number: int) -> np.ndarray:
    """Frame `number` of a moving pattern, uint8 (180, 320, 3)."""
    y, x = np.mgrid[:SIZE[1], :SIZE[0]]
    waves = [np.sin((x + 3 * number) / (9 + 4 * c)) * np.cos((y - 2 * number) / (7 + 3 * c)) for c in range(3)]
    return (127 + 100 * np.stack(waves, -1)).astype(np.uint8)


def write_film(path: Path, seconds: float) -> Path:
    """H.264 and a tone in AAC."""
    with av.open(str(path), "w") as out:
        video, audio = out.add_stream("libx264", rate=RATE), out.add_stream("aac", rate=SOUND, layout="mono")
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        for number in range(round(seconds * RATE)):
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        out.mux(video.encode(None))
        for start in range(0, round(seconds * SOUND) - 1023, 1024):
            wave = np.sin(np.arange(start, start + 1024) * 2 * math.pi * 440 / SOUND).astype(np.float32)[None] / 4
            tone = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            tone.sample_rate, tone.pts, tone.time_base = SOUND, start, Fraction(1, SOUND)
            out.mux(audio.encode(tone))
        out.mux(audio.encode(None))
    return path


def described(path: Path) -> dict:
    """Size, frames, seconds and the bytes of sound of a film."""
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        size, frames, seconds = (stream.width, stream.height), stream.frames, float(stream.duration * stream.time_base)
        return {"size": size, "frames": frames, "seconds": seconds, "sound": b"".join(bytes(p) for p in film.demux(audio=0))}


def command(source: Path, target: Path, model: str) -> subprocess.Popen:
    words = [sys.executable, "-m", "srgan_lib", "upscale", str(source), "-o", str(target), "--model", model, "--device", "cpu"]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def measured(folder: Path, seconds: float, model: str) -> dict:
    """Upscale a film of this length -> what went in and came out, processor seconds, peak memory in MB."""
    source, target = write_film(folder / f"{seconds:g}.mp4", seconds), folder / f"{seconds:g}-x4.mp4"
    child = command(source, target, model)
    _, status, used = os.wait4(child.pid, 0)
    assert status == 0, child.stderr.read()
    before, after = described(source), described(target)
    return {"seconds": seconds, "frames": [before["frames"], after["frames"]], "size": [before["size"], after["size"]],
            "duration": [before["seconds"], after["seconds"]], "same_sound_bytes": before["sound"] == after["sound"],
            "sound_bytes": len(after["sound"]), "cpu_s": round(used.ru_utime + used.ru_stime, 1), "peak_mb": round(used.ru_maxrss / 1024)}


def network_seconds(model: str, count: int = 3) -> float:
    """Processor seconds that a network takes for one frame, the least of a few."""
    upscaler, frame, found = Upscaler(model, device="cpu"), picture(0).astype(np.float32) / 255, []
    for _ in range(count + 1):
        began = time.process_time()
        enlarged_frame(upscaler, frame)
        found.append(time.process_time() - began)
    return min(found[1:])


def shares(films: list[dict], model: str) -> dict:
    """Processor seconds a frame, and how much of it is the network's: of this one, and of a shipped one instead."""
    frame = (films[-1]["cpu_s"] - films[0]["cpu_s"]) / (films[-1]["frames"][0] - films[0]["frames"][0])
    own, shipped = network_seconds(model), network_seconds(SHIPPED)
    return {"cpu_s_a_frame": round(frame, 3), "network_s_a_frame": round(own, 3), "all_but_the_network_s_a_frame": round(frame - own, 3),
            "network_share": round(own / frame, 2), f"{SHIPPED}_s_a_frame": round(shipped, 3), f"{SHIPPED}_share": round(shipped / (shipped + frame - own), 2)}


def killed(folder: Path, film: Path, other: Path, model: str) -> dict:
    """Kill the command while it writes -> what stands under the final name, and after another film went to the same name."""
    target, whole = folder / "killed-x4.mp4", film.with_name(f"{film.stem}-x4.mp4").stat().st_size
    part = target.with_name(f".{target.name}.part")
    child = command(film, target, model)
    while child.poll() is None and sum(path.stat().st_size for path in part.glob("*.packets")) < whole / 10:  # the encoder holds 50 frames back
        time.sleep(0.02)
    assert child.poll() is None, "it was done before it could be killed"
    child.send_signal(signal.SIGKILL)
    child.wait()
    stood = target.exists()
    assert command(other, target, model).wait() == 0
    return {"under_the_name_after_the_kill": stood, "frames_after_the_next_run": described(target)["frames"], "left_over": part.exists()}


def main(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), arguments.model
        if not model:
            torch.manual_seed(0)
            SRResNet(blocks=2, channels=4).save_pretrained(folder / "net")
            model = str(folder / "net")
        lengths = [measured(folder, seconds, model) for seconds in arguments.seconds]
        first, *_, last = (folder / f"{seconds:g}.mp4" for seconds in arguments.seconds)
        kill = killed(folder, last, first, model)
        times = shares(lengths, model)
        report = {"versions": {name: version(name) for name in ("av", "torch")}, "date": time.strftime("%Y-%m-%d"), "threads": torch.get_num_threads(), "model": arguments.model or "SRResNet(blocks=2, channels=4), random weights", "rate": RATE, "films": lengths, "times": times, "killed": kill}
    print(json.dumps(report, indent=1))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    parser.add_argument("--model")
    parser.add_argument("--seconds", type=float, nargs="+", default=[2.5, 10])
    main(parser.parse_args())
