"""What is larger than the memory: an image whose result does not fit, and a video of an hour.

python tests/runs/large.py image --megapixels 12 --limit 800      a photograph of so many megapixels, with at most so many MB of data
python tests/runs/large.py image --group 800 --model srresnet-x4  the same through the command line, in a memory group of the system (Linux, as root)
python tests/runs/large.py video --frames 3600                    a video of so many tiny frames, one a second

The limit holds for what the process writes and no file backs (RssAnon), which is what a container's limit leaves no way out of; it is
kept by RLIMIT_DATA, and what is left of it stands in for the container's word on free memory. Exit code 1 when an input failed.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))


def own(name: str) -> int:
    """Bytes of this process by a name of /proc/self/status: RssAnon is what it wrote and no file holds, VmData what could become that."""
    return 1024 * int(next(line for line in open("/proc/self/status") if line.startswith(f"{name}:")).split()[1])


def enlarge(source: str, target: str, model: str, limit_mb: int) -> int:
    """In a process of its own: upscale under the limit, and print what it took."""
    from srgan_lib.upscaling import Upscaler, memory
    from srgan_lib.upscaling.files import upscale_files
    upscaler = Upscaler(model)  # with all libraries loaded
    upscaler.frame(np.zeros((8, 8, 3), np.uint8))
    began, start, limit, peak = time.monotonic(), own("RssAnon"), limit_mb << 20, [0]
    if limit:
        allowed = own("VmData") + limit - start
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
        memory._left_in_groups = lambda: [max(limit - own("RssAnon"), 0)]
    threading.Thread(target=lambda: [(peak.append(max(peak.pop(), own("RssAnon"))), time.sleep(0.02)) for _ in iter(int, 1)], daemon=True).start()
    failed = upscale_files([source], target, model)
    print(json.dumps({"model": Path(model).name, "limit_mb": limit_mb, "failed": failed, "seconds": round(time.monotonic() - began, 1),
                      "data_mb_before": start >> 20, "data_mb_at_most": peak[0] >> 20,
                      "resident_mb_at_most_with_libraries": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
                      "result_mb": round(Path(target).stat().st_size / 1e6, 1) if Path(target).exists() else None}))
    return failed


def in_group(limit_mb: int, command: list[str]) -> int:
    """Run a command in a control group of so much memory, as a container's is, files that the system keeps included; print its peak."""
    old = Path("/sys/fs/cgroup/memory")
    group = (old if old.is_dir() else old.parent) / f"large-{os.getpid()}"
    limit, peak = ("memory.limit_in_bytes", "memory.max_usage_in_bytes") if old.is_dir() else ("memory.max", "memory.peak")
    group.mkdir()
    (group / limit).write_text(str(limit_mb << 20))
    began = time.monotonic()
    done = subprocess.run(["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", *command], cwd=Path(__file__).parents[2])
    print(json.dumps({"limit_mb": limit_mb, "exit_code": done.returncode, "seconds": round(time.monotonic() - began), "peak_mb": int((group / peak).read_text()) >> 20}))
    group.rmdir()
    return done.returncode


def photograph(path: Path, megapixels: float) -> None:
    """A JPEG of a camera's shape, 4 to 3, with detail everywhere."""
    from PIL import Image
    from skimage import data
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    tile = data.astronaut()
    tiles = np.tile(np.concatenate([tile, tile[:, ::-1]], 1), (-(-3 * width // 4 // 512), -(-width // 1024), 1))
    Image.fromarray(tiles[:3 * width // 4, :width]).save(path, quality=92)


def video(path: Path, frames: int) -> None:
    """Frames of 64 x 36 pixels, one a second."""
    import av
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        gradient = np.linspace(0, 127, 64, dtype=np.uint8)[None, :, None].repeat(36, 0).repeat(3, 2)
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(gradient + np.uint8(number % 128))))
        container.mux(stream.encode(None))


def small_model(folder: Path, scale: int = 4) -> str:
    import torch
    from srgan_lib.models import SRResNet
    torch.manual_seed(0)
    SRResNet(scale, blocks=1, channels=8).eval().save_pretrained(folder)
    return str(folder)


def main() -> int:
    if sys.argv[1:2] == ["--alone"]:
        source, target, model, limit = sys.argv[2:]
        return enlarge(source, target, model, int(limit))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("image", "video"))
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--frames", type=int, default=3600)
    parser.add_argument("--limit", type=int, default=0, help="MB of data; 0 for none")
    parser.add_argument("--group", type=int, default=0, help="MB of a memory group of the system, in which the command line runs")
    parser.add_argument("--model", default="", help="default: a network of one block, made for this")
    parser.add_argument("--suffix", default="", help="of the result: .png, .tif, .jpg, ... (default .png and .mp4)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model = arguments.model or small_model(folder / "net")
        source, suffix = (folder / "a.jpg", ".png") if arguments.what == "image" else (folder / "a.mp4", ".mp4")
        photograph(source, arguments.megapixels) if arguments.what == "image" else video(source, arguments.frames)
        target = folder / f"result{arguments.suffix or suffix}"
        if arguments.group:
            return in_group(arguments.group, [sys.executable, "-m", "srgan_lib", "upscale", str(source), "-o", str(target), "--model", model])
        return subprocess.run([sys.executable, __file__, "--alone", str(source), str(target), model, str(arguments.limit)]).returncode


if __name__ == "__main__":
    sys.exit(main())
