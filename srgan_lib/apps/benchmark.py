"""The command `benchmark`: what this machine does with data, both training steps and inference, and what limits it.

Every figure is the median of repeated runs after a warm-up, with its spread (the middle half) beside it.
"""

import argparse
import gc
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from ..data import ImageBank, patches
from ..models import PRECISIONS, SRResNet, choose_precision
from ..models.precision import DTYPES, processor
from ..training import COLAB, PAPER, TrainConfig, Trainer, make_accelerator
from ..upscaling import enlarge
from ..upscaling.tiles import prepare
from .baseline import eager_step, naive_patch, plain_generator, step_gflop
from .tables import check_output, write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"))
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="set beside float32 (default auto: what this device does fastest)")
    parser.add_argument("--repeats", type=int, default=7, help="timed runs a figure, after 2 of warm-up")
    parser.add_argument("--quick", action="store_true", help="small batches: checks the command, measures nothing")


def run(arguments: argparse.Namespace) -> int:
    check_output(arguments.json)
    result = measure(arguments.device, max(1, arguments.repeats), arguments.quick, arguments.precision)
    print(report(result))
    if arguments.json:
        write_json(Path(arguments.json), result)
    return 0


def measure(device: str | None = None, repeats: int = 7, quick: bool = False, precision: str = "auto") -> dict:
    """All figures of this machine as one flat dict; NAME_spread is the interquartile range in the unit of NAME.

    NAME_float32_s is the same in float32, measured in turn with ours: the ratio of the two is what a precision gains.
    """
    accelerator = make_accelerator(device)
    clock = Clock(accelerator.device, 1 if quick else repeats)
    batch, hr_size = (2, 32) if quick else (16, 96)
    result = {"device": name_of(accelerator.device), "torch": torch.__version__, "threads": torch.get_num_threads(),
              "precision": choose_precision(precision, accelerator.device, training=True),
              "inference_precision": choose_precision(precision, accelerator.device), "batch": batch, "hr_size": hr_size, "quick": quick}
    result |= ceilings(clock, quick, result["precision"])
    result |= loaders(clock, batch, (320, 480) if quick else (1356, 2040))
    config = TrainConfig(batch=batch, hr_size=hr_size, vgg_weights="random", precision=result["precision"])
    result |= steps(clock, config, accelerator)
    wait = batch / result["bank_patches_per_s"]
    result["data_wait_share"] = wait / (result["stage1_step_s"] + wait)
    result |= inference(clock, 16 if quick else 256, result["inference_precision"])
    result |= rates(result)
    result |= memory(accelerator.device)
    result["vgg"] = "random weights: for timing only"
    for name, profile in (("colab", COLAB), ("paper", PAPER)):
        result[f"{name}_hours"] = sum(stage.steps * stage.batch / batch * result[key] for stage, key in
                                      ((profile.srresnet, "stage1_step_s"), (profile.srgan, "stage2_step_s"))) / 3600
    return result


class Clock:
    """Times a function: warm-up, then the median and the interquartile range of `repeats` runs, synchronised on a GPU."""

    def __init__(self, device: torch.device, repeats: int):
        self.device, self.repeats = device, repeats

    def __call__(self, name: str, function) -> dict[str, float]:
        print(f"measuring {name.removesuffix('_s')} ...", file=sys.stderr, flush=True)
        times = [self._once(function) for _ in range(self.repeats + min(2, self.repeats))][min(2, self.repeats):]
        quarters = statistics.quantiles(times, n=4) if len(times) > 1 else [0, 0, 0]
        return {name: statistics.median(times), f"{name}_spread": quarters[2] - quarters[0]}

    def beside(self, name: str, ours, other) -> dict[str, float]:
        """`ours` and the same in float32 as `other`, in turn, so that what else the machine does disturbs both; ratio: the median of pairs."""
        print(f"measuring {name} in both precisions ...", file=sys.stderr, flush=True)
        warm = min(2, self.repeats)
        pairs = [(self._once(ours), self._once(other)) for _ in range(self.repeats + warm)][warm:]
        result = {}
        for key, times in zip((name, f"{name}_float32"), zip(*pairs)):
            quarters = statistics.quantiles(times, n=4) if len(times) > 1 else [0, 0, 0]
            result |= {f"{key}_s": statistics.median(times), f"{key}_s_spread": quarters[2] - quarters[0]}
        return {**result, f"{name}_gain": statistics.median(slow / fast for fast, slow in pairs)}

    def _once(self, function) -> float:
        self._wait()
        before = time.perf_counter()
        function()
        self._wait()
        return time.perf_counter() - before

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def name_of(device: torch.device) -> str:
    """The card's name, or the processor's with its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor()}, {torch.get_num_threads()} threads"


def ceilings(clock: Clock, quick: bool, precision: str) -> dict[str, float]:
    """GFLOP/s of a large matrix product and of a large 3x3 convolution, in float32 and in what is used: no step can be faster than the better one."""
    plain = ceiling(clock, quick, "float32")
    used = plain if precision == "float32" else ceiling(clock, quick, precision)
    return {**used, **{f"float32_{name}": value for name, value in plain.items()}}


def ceiling(clock: Clock, quick: bool, precision: str) -> dict[str, float]:
    """The same in one precision."""
    size, images = (256, 1) if quick else (4096, 16) if clock.device.type == "cpu" else (8192, 64)
    kind = DTYPES[precision]
    a = torch.randn(size, size, device=clock.device, dtype=kind)
    conv = nn.Conv2d(256, 256, 3, padding=1).to(clock.device, kind, memory_format=torch.channels_last)
    x = torch.randn(images, 256, 48, 48, device=clock.device, dtype=kind).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        product, convolution = clock("matmul_s", lambda: a @ a), clock("conv_s", lambda: conv(x))
    rates = 2 * size**3 / product["matmul_s"] / 1e9, 2 * images * 48**2 * 256**2 * 9 / convolution["conv_s"] / 1e9
    return {"matmul_gflops": rates[0], "conv_gflops": rates[1], "ceiling_gflops": max(rates)}


def loaders(clock: Clock, batch: int, size: tuple[int, int]) -> dict[str, float]:
    """Patches a second of the bank, and of decoding a PNG of `size` (2040 x 1356, as in DIV2K) for each patch; making LR counts in both."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows keeps a mapped file
        path = Path(folder) / "picture.png"
        Image.fromarray(_picture(*size)).save(path)
        bank = ImageBank.build([("picture", path)], Path(folder) / "bank", progress=False)
        config, step = TrainConfig(batch=batch), iter(range(10**9))
        banked = clock("bank_s", lambda: patches(bank, next(step), config))
        naive = clock("naive_s", lambda: naive_patch(path, next(step)))
    torch.set_num_threads(threads)
    return {"bank_patches_per_s": batch / banked["bank_s"], "naive_patches_per_s": 1 / naive["naive_s"],
            "bank_over_naive": batch / banked["bank_s"] * naive["naive_s"]}


def _picture(height: int, width: int) -> np.ndarray:
    """Pixels with a photograph's detail, from scikit-image's own (5 to 6 MB as PNG at 2040 x 1356)."""
    from skimage import data
    photograph = Image.fromarray(data.astronaut()).resize((width, height), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 3, (height, width, 3))
    return (np.asarray(photograph) + noise).clip(0, 255).astype(np.uint8)


def steps(clock: Clock, config: TrainConfig, accelerator) -> dict[str, float]:
    """Seconds of both training steps with our settings and with eager float32 NCHW; arithmetic counted on the plain network."""
    result = {}
    random = torch.Generator().manual_seed(0)
    hr = torch.rand(config.batch, 3, config.hr_size, config.hr_size, generator=random).to(clock.device)
    lr = hr[..., ::4, ::4].contiguous()
    for number, stage in enumerate(("srresnet", "srgan"), 1):  # the plain steps first: ours change the allocator's habits
        result |= clock(f"stage{number}_eager_step_s", eager_step(stage, clock.device, lr, hr))
        result[f"stage{number}_gflop"] = step_gflop(stage, config.batch, config.hr_size)
        gc.collect()
    for number, (stage, content) in enumerate((("srresnet", "mse"), ("srgan", "vgg54")), 1):
        own = replace(config, stage=stage, content=content)
        ours, plain = (partial(Trainer(replace(own, precision=precision), accelerator).step, lr, hr, 0) for precision in (own.precision, "float32"))
        result |= clock.beside(f"stage{number}_step", ours, plain)
        gc.collect()
    return result


def inference(clock: Clock, side: int, precision: str) -> dict[str, float]:
    """Output megapixels a second for a side x side input at x4, ours in both precisions and the eager whole-image network."""
    lr, generator = torch.rand(1, 3, side, side), SRResNet().eval().to(clock.device)
    plain = plain_generator().eval().to(clock.device)
    with torch.inference_mode():
        ours = clock.beside("inference", *(partial(enlarge, lr, prepare(generator, kind)) for kind in (precision, "float32")))
        eager = clock("inference_eager_s", lambda: plain(lr.to(clock.device)).cpu())
    megapixels = 16 * side**2 / 1e6
    return {**ours, **eager, "inference_mp_per_s": megapixels / ours["inference_s"], "inference_side": side,
            "inference_gflop": 290.7 * (side / 256) ** 2}


def rates(result: dict) -> dict[str, float]:
    """GFLOP/s of both steps and of upscaling."""
    work = {"stage1_step": "stage1_gflop", "stage2_step": "stage2_gflop", "inference": "inference_gflop"}
    return {f"{name}_gflops": result[gflop] / result[f"{name}_s"] for name, gflop in work.items()}


def memory(device: torch.device) -> dict[str, float]:
    """Peak memory of this whole benchmark: of the process, and of the card."""
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return {"peak_memory_mb": torch.cuda.max_memory_allocated() / 1e6 if device.type == "cuda" else peak, "peak_process_mb": peak}


def report(r: dict) -> str:
    """The figures as lines for people."""
    share = lambda gflop, seconds: f"{gflop / seconds / r['ceiling_gflops']:.0%} of the ceiling"
    gain = lambda name: f"{r[f'{name}_gflops']:.0f} GFLOP/s, {r[f'{name}_gain']:.2f}x its float32"
    lines = [f"{r['device']}, torch {r['torch']}, training in {r['precision']}, upscaling in {r['inference_precision']}, batch {r['batch']}" + (" (quick: not a measurement)" if r["quick"] else ""),
             f"ceiling            {r['ceiling_gflops']:.0f} GFLOP/s (matmul {r['matmul_gflops']:.0f}, 3x3 convolution {r['conv_gflops']:.0f}), "
             f"in float32 {r['float32_ceiling_gflops']:.0f}",
             f"patches, one core  bank {r['bank_patches_per_s']:.0f}/s, one decode per patch {r['naive_patches_per_s']:.1f}/s: {r['bank_over_naive']:.0f}x"]
    for number in (1, 2):
        ours, eager, gflop = (r[f"stage{number}_{key}"] for key in ("step_s", "eager_step_s", "gflop"))
        lines.append(f"stage {number} step       {ours:.4f} s (spread {r[f'stage{number}_step_s_spread']:.4f}), {gain(f'stage{number}_step')}, {share(gflop, ours)}; eager NCHW {eager:.4f} s, "
                     f"{eager / ours:.2f}x; {gflop:.0f} GFLOP" + (f"; VGG with {r['vgg']}" if number == 2 else ""))
    lines += [f"waiting for data   {r['data_wait_share']:.2%} of a stage 1 step",
              f"inference          {r['inference_s']:.3f} s for {r['inference_side']} x {r['inference_side']} ({r['inference_mp_per_s']:.2f} megapixels/s out), "
              f"{gain('inference')}, {share(r['inference_gflop'], r['inference_s'])}; eager {r['inference_eager_s']:.3f} s",
              f"peak memory        {r['peak_memory_mb']:.0f} MB", f"COLAB here         {r['colab_hours']:.1f} hours", f"PAPER here         {r['paper_hours']:.0f} hours"]
    return "\n".join(lines)
