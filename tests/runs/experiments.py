"""The experiments of notebook 05: every variant under one budget on the same patches, and one record of what came out.

python tests/runs/experiments.py --train FOLDER --valid FOLDER --runs FOLDER [--seeds 0 1 2] [--only NAME...]

It trains what the record lacks, one variant after another, and goes on where it was stopped. The record is
srgan_lib/weights/experiments: results.json, and crops of scikit-image's photographs by each variant's first seed. A further
variant is a further row of VARIANTS.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch

from srgan_lib.training import read_log
from srgan_lib.training import make_generator
from srgan_lib.data import ImageBank, open_bank, patches
from srgan_lib.apps.tables import write_json
from srgan_lib.data import images
from srgan_lib.images import crop_to_multiple, degrade, eight_bit, read_image, resize_bicubic, to_image, to_tensor, write_image
from srgan_lib.losses import ADVERSARIAL, VGGLoss, Wasserstein, find_vgg
from srgan_lib.metrics import checkerboard, perceptual_distance, protocol_psnr, scores
from srgan_lib.models import WEIGHTS, load_generator
from srgan_lib.training import TINY, Trainer, make_accelerator, train
from srgan_lib.training import Validation

RECORD = WEIGHTS / "experiments"
CROPS = {"chelsea": (70, 116), "coffee": (230, 310)}  # top and left of 72 x 108 pixels, in pictures that nothing was trained on
SIZE = 128  # the side of the squares on which held-out photographs are scored, pixels

FIRST = replace(TINY.srresnet, blocks=8, channels=32, normalization="none", batch=4, hr_size=48, steps=2000, learning_rate=1e-3,
                warmup=100, ema=0.99, content="mse", min_detail=6.0, log_every=50, valid_every=10**6, checkpoint_every=500)
START = "srresnet-x4"  # the shipped generator from which all variants of the losses go on
SECOND = replace(FIRST, init=START, blocks=16, channels=64, normalization="batch", frozen_batch_norm=True, batch=8, steps=200, learning_rate=1e-4,
                 warmup=20, ema=0.95, log_every=4, checkpoint_every=100)
GAN = replace(SECOND, stage="srgan", content="vgg22", adversarial_weight=1e-3, discriminator_channels=32)

ADVERSARIAL["wgan-free"] = Wasserstein  # neither clipped nor penalised: only here, to be seen failing
VARIANTS = {  # name: (what is compared, config)
    "pixel shuffle": ("generator", FIRST),
    "mse": ("content loss", SECOND),
    "vgg22": ("content loss", replace(SECOND, content="vgg22")),
    "bce": ("adversarial loss", GAN),
    "transposed": ("generator", replace(FIRST, upsampling="transposed")),
    "resize": ("generator", replace(FIRST, upsampling="resize")),
    "critic alone": ("failure", replace(GAN, adversarial_weight=1.0)),
    "wgan-gp": ("adversarial loss", replace(GAN, adversarial="wgan-gp")),
    "wgan-free": ("failure", replace(GAN, adversarial="wgan-free")),
    "relativistic": ("adversarial loss", replace(GAN, adversarial="relativistic")),
    "lsgan": ("adversarial loss", replace(GAN, adversarial="lsgan")),
    "bce-noisy": ("adversarial loss", replace(GAN, adversarial="bce-noisy")),
    "D five times": ("failure", replace(GAN, generator_every=5)),
    "vgg34": ("content loss", replace(SECOND, content="vgg34")),
    "encoder-decoder": ("generator", replace(FIRST, architecture="EncoderDecoder")),
    "16 blocks": ("generator", replace(FIRST, blocks=16)),
    "RRDB-6": ("generator", replace(FIRST, architecture="RRDBNet", blocks=6)),
}


class Judge:
    """What every generator is measured on: the centres of held-out photographs, a smooth slope of colours, VGG's features."""

    def __init__(self, valid: ImageBank):
        pictures = Validation(valid, 4, SIZE)
        self.hr, self.lr = pictures.hr, pictures.lr
        self.vgg = VGGLoss("vgg34", find_vgg("vgg34"), scale=1.0)
        rows, columns = torch.meshgrid(*[torch.linspace(0, 1, 32)] * 2, indexing="ij")
        self.slope = torch.stack([0.3 + 0.4 * rows, 0.3 + 0.4 * columns, 0.7 - 0.4 * rows])[None]

    @torch.no_grad()
    def __call__(self, enlarge) -> dict[str, float]:
        """Means over the photographs of `enlarge`, LR -> SR: PSNR and SSIM (luma), distance, colour, checkerboard."""
        rows = []
        for lr, hr in zip(self.lr, self.hr):
            sr = enlarge(lr)
            colour = 255 * (eight_bit(sr) - hr).mean((0, 2, 3)).abs().max()
            rows.append({**scores(sr, hr, 4), "distance": perceptual_distance(sr, hr, self.vgg), "colour": float(colour),
                         "checkerboard": checkerboard(sr, 4)})
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} | self.grid(enlarge)

    @torch.no_grad()
    def grid(self, enlarge) -> dict[str, float]:
        """The checkerboard where there is nothing else to see: on a smooth slope of colours."""
        return {"checkerboard_slope": checkerboard(enlarge(self.slope)[..., 16:-16, 16:-16], 4)}


def measure(name: str, seed: int, bank: ImageBank, judge: Judge, runs: Path) -> dict:
    """Train one variant with one seed, or go on with it -> its row of the record."""
    question, config = VARIANTS[name]
    config, run = replace(config, seed=seed), runs / f"{slug(name)}-{seed}"
    before = judge.grid(make_generator(config).eval())
    for _ in train(config, bank, run, device="cpu"):
        pass
    log, generator = read_log(run), load_generator(run / "generator")
    if seed == 0:
        write_crops(name, generator)
    row = {"variant": name, "question": question, "seed": seed, "steps": config.steps, "changes": changes(name), **judge(generator),
           "checkerboard_slope_before": before["checkerboard_slope"],
           "seconds_per_step": step_seconds(config, bank)}
    kept = ("step", "content", "adversarial", "discriminator", "d_hr", "d_sr")
    return row | ({"log": [{key: rounded(record[key]) for key in kept if key in record} for record in log]} if seed == 0 else {})


def step_seconds(config, bank: ImageBank, count: int = 10) -> float:
    """Processor seconds of a training step, which other work on the machine does not lengthen: the mean of `count` after two to warm up."""
    trainer, seconds = Trainer(config, make_accelerator("cpu")), []
    for step in range(2 + count):
        begun = time.process_time()
        trainer.step(*patches(bank, step, config), step)
        seconds.append(time.process_time() - begun)
    return statistics.mean(seconds[2:])


def changes(name: str) -> dict:
    """The fields in which a variant differs from what all of its kind share."""
    config = VARIANTS[name][1]
    shared = asdict(FIRST if not config.init else SECOND if config.stage == "srresnet" else GAN)
    return {field: value for field, value in asdict(config).items() if value != shared[field]}


def slug(name: str) -> str:
    return name.replace(" ", "-")


def rounded(value):
    return float(f"{value:.5g}") if isinstance(value, float) else value


@torch.no_grad()
def write_crops(name: str, enlarge) -> None:
    """The crops of CROPS as one lossless picture file, side by side."""
    crops = []
    for picture, (top, left) in CROPS.items():
        hr = crop_to_multiple(to_tensor(read_image(dict(images("sample", "valid"))[f"{picture}.png"])), 4)
        crops.append(to_image(enlarge(degrade(hr, 4)))[top:top + 72, left:left + 108])
    RECORD.mkdir(exist_ok=True)
    write_image(np.concatenate(crops, 1), RECORD / f"{slug(name)}.webp", lossless=True)


# ---------------------------------------------------------------- many pictures, or few again and again


def squares(bank: ImageBank, seed: int, path: Path, count: int = 128) -> ImageBank:
    """A bank of `count` patches drawn from another bank, each a picture of its own."""
    if path.with_suffix(".json").is_file():
        return ImageBank(path)
    _, hr = patches(bank, 0, replace(FIRST, seed=seed, batch=count, hr_size=32, flips=False))
    return ImageBank.build([(f"{n}.png", to_image(picture[None])) for n, picture in enumerate(hr)], path, progress=False)


@torch.no_grad()
def mean_psnr(enlarge, bank: ImageBank) -> float:
    """Mean PSNR (luma, dB) over a bank of equal squares, enlarged in one batch."""
    hr = torch.cat([to_tensor(picture) for picture in bank])
    sr = enlarge(degrade(hr, 4))
    return float(np.mean([protocol_psnr(a[None], b[None], 4) for a, b in zip(sr, hr)]))


def overfitting(bank: ImageBank, valid: ImageBank, runs: Path, every: int = 300) -> dict:
    """PSNR on 128 training patches and on 128 held-out ones while learning from those 128, or from all photographs."""
    seen, unseen = squares(bank, 1000, runs / "seen"), squares(valid, 1001, runs / "unseen")
    config = replace(FIRST, flips=False, min_detail=0.0, schedule="constant", learning_rate=1e-3, steps=3000, log_every=every, batch=8, hr_size=32)
    result = {"bicubic": {"seen": mean_psnr(bicubic, seen), "unseen": mean_psnr(bicubic, unseen)}}
    for name, source in {"128 patches": seen, "all photographs": bank}.items():
        result[name] = [{"step": step, "seen": mean_psnr(average, seen), "unseen": mean_psnr(average, unseen)}
                        for step, average in snapshots(config, source, runs / f"overfitting-{slug(name)}")]
    return result


def snapshots(config, bank: ImageBank, run: Path):
    """(step, generator) at each record of a run: it is stopped after each, and goes on from its checkpoint. It begins anew."""
    shutil.rmtree(run, ignore_errors=True)  # a run that is already further has forgotten its earlier generators
    for done in range(config.log_every, config.steps + 1, config.log_every):
        part = replace(config, steps=done, checkpoint_every=config.log_every)
        for _ in train(part, bank, run, device="cpu", accept_changes=True):
            pass
        yield done, load_generator(run / "generator")


def bicubic(lr: torch.Tensor) -> torch.Tensor:
    return resize_bicubic(lr, 4)


# ---------------------------------------------------------------- the record


def main(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    path, runs = RECORD / "results.json", Path(arguments.runs)
    bank, valid = open_bank(arguments.train), open_bank(arguments.valid, "valid")
    record = json.loads(path.read_text()) if path.is_file() else {"rows": []}
    judge = Judge(valid)
    record |= {"setting": setting(arguments, bank, valid)}
    if "bicubic" not in record:
        record["bicubic"] = judge(bicubic)
        record["start"] = judge(load_generator(START)) | {"name": START, "sha256": digest(WEIGHTS / START / "model.safetensors")}
        record["hr"] = {"checkerboard": float(np.mean([checkerboard(hr, 4) for hr in judge.hr]))}
    RECORD.mkdir(exist_ok=True)
    for seed in arguments.seeds:
        for name in arguments.only or VARIANTS:
            if not any((row["variant"], row["seed"]) == (name, seed) for row in record["rows"]):
                row = measure(name, seed, bank, judge, runs)
                record["rows"].append({key: rounded(value) for key, value in row.items()})
                write_json(path, record)
                print(f"{name}, seed {seed}: {row['psnr']:.2f} dB, distance {row['distance']:.4f}, {row['seconds_per_step']:.2f} processor seconds a step", flush=True)
        if "overfitting" not in record and not arguments.only:
            record["overfitting"] = overfitting(bank, valid, runs)
            write_json(path, record)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def setting(arguments: argparse.Namespace, bank: ImageBank, valid: ImageBank) -> dict:
    """Under which conditions the figures were made."""
    return {"device": arguments.device_name or platform.processor() or platform.machine(), "threads": arguments.threads, "torch": torch.__version__,
            "crops": CROPS, "photographs": len(bank), "held_out": len(valid), "square": SIZE, "vgg": "ImageNet" if find_vgg("vgg34") else ""}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="photographs to train on: folder, archive or named set")
    parser.add_argument("--valid", required=True, help="held-out photographs")
    parser.add_argument("--runs", default="runs/experiments", help="folder of the runs; the same one goes on after a stop")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="train these variants alone")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device-name", help="what the record calls this machine")
    main(parser.parse_args())
