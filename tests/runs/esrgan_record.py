"""The figures of notebook 06 that take more than its time: srgan_lib/weights/esrgan.json, made anew from the shipped weights.

python tests/runs/esrgan_record.py        needs set5 and set14 (downloaded, or under SRGAN_DEV_DATA) and ImageNet's VGG19

Network interpolation between srresnet-x4 and srgan-x4, beside the blend of their pictures; and what VGG19's activations do to
the features of photographs.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch
import torch.nn.functional as F
from experiments import bicubic, digest
from torch import nn

from srgan_lib.models import interpolate
from srgan_lib.apps.tables import write_json
from srgan_lib.data import images
from srgan_lib.images import degrade, read_image, resize_bicubic, to_tensor
from srgan_lib.losses import VGGLoss, find_vgg
from srgan_lib.metrics import perceptual_distance, protocol_psnr
from srgan_lib.models import WEIGHTS, load_generator
from srgan_lib.upscaling import fold_batch_norm
from srgan_lib.training.validation import centre

SETS = {"sample": "valid", "set5": "test", "set14": "test"}
ENDS = ("srresnet-x4", "srgan-x4")
SIDE = 160  # of the central square that is scored, pixels
ALPHAS = [n / 8 for n in range(9)]
BLENDS = (0.25, 0.5, 0.75)
RELUS = ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "3_4"]


def centres(name: str) -> torch.Tensor:
    """(N, 3, SIDE, SIDE): the middle of every picture of a set."""
    return torch.cat([to_tensor(centre(read_image(source), SIDE, 4)) for _, source in images(name, SETS[name])])


def interpolation(vgg: VGGLoss) -> dict:
    """PSNR and VGG distance along the way between the networks, and along the way between their pictures."""
    hr = {name: centres(name) for name in SETS}
    lr = {name: torch.cat([degrade(picture[None], 4) for picture in pictures]) for name, pictures in hr.items()}

    def enlarged(enlarge) -> dict:
        return {name: torch.cat([enlarge(picture[None]) for picture in pictures]) for name, pictures in lr.items()}

    def scored(sr: dict) -> dict:
        return {name: {"psnr": mean(protocol_psnr(a[None], b[None], 4) for a, b in zip(sr[name], hr[name])),
                       "vgg34": mean(perceptual_distance(a[None], b[None], vgg) for a, b in zip(sr[name], hr[name]))} for name in SETS}

    first, second = map(load_generator, ENDS)
    walk = {alpha: enlarged(fold_batch_norm(interpolate(first, second, alpha))) for alpha in ALPHAS}
    blends = {alpha: {name: torch.lerp(walk[0][name], walk[1][name], alpha) for name in SETS} for alpha in BLENDS}
    return {"what": f"{ENDS[0]} to {ENDS[1]}; means over the central {SIDE} x {SIDE} pixels of each picture; PSNR on luma; "
                    "vgg34: distance of unit-length VGG19 features of conv3_4 after ReLU, ImageNet weights",
            "weights": {name: digest(WEIGHTS / name / "model.safetensors") for name in ENDS},
            "device": "cpu", "torch": torch.__version__, "counts": {name: len(pictures) for name, pictures in hr.items()},
            "bicubic": scored(enlarged(bicubic)),
            "networks": [{"alpha": alpha, **scored(sr)} for alpha, sr in walk.items()],
            "pictures": [{"alpha": alpha, **scored(sr)} for alpha, sr in blends.items()]}


def features(vgg: VGGLoss) -> dict:
    """The share of active features after each ReLU, and the distance of a picture that is 0.05 brighter, bicubic's being 1."""
    active, brightness, silent = {name: [] for name in RELUS}, {"before the activation": [], "after it": []}, []
    for _, source in images("sample", "valid"):
        hr = to_tensor(read_image(source))[..., 80:240, 120:320]
        sharp, soft, bright = (activations(vgg, picture) for picture in (hr, resize_bicubic(degrade(hr, 4), 4), hr + 0.05))
        for name, (_, after) in zip(RELUS, sharp):
            active[name].append(float((after > 0).float().mean()))
        for values, *layers in zip(brightness.values(), sharp[-1], soft[-1], bright[-1]):
            values.append(float(F.mse_loss(layers[2], layers[0]) / F.mse_loss(layers[1], layers[0])))
        silent.append(float((soft[-1][1] == 0).float().mean()))
    return {"active": {name: mean(values) for name, values in active.items()},
            "brightness": {place: mean(values) for place, values in brightness.items()}, "silent_in_bicubic": mean(silent),
            "pictures": "crops [80:240, 120:320] of chelsea, coffee, rocket", "layer": "conv3_4",
            "weights": "VGG19, ImageNet, conv1_1 to conv3_4", "torch": torch.__version__, "device": "cpu"}


def activations(vgg: VGGLoss, picture: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """What goes into each ReLU of VGG19, and what comes out."""
    x, pairs = (picture - vgg.mean) / vgg.std, []
    for layer in vgg.features:
        before, x = x, layer(x)
        if isinstance(layer, nn.ReLU):
            pairs.append((before, x))
    return pairs


def mean(values) -> float:
    return round(float(np.mean(list(values))), 5)


if __name__ == "__main__":
    with torch.no_grad():
        vgg = VGGLoss("vgg34", find_vgg("vgg34"), scale=1.0)
        write_json(WEIGHTS / "esrgan.json", {"interpolation": interpolation(vgg), "features": features(vgg)})
