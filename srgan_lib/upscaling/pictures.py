"""Upscale one picture with everything that belongs to it: alpha, greys, 16 bits, colour profile, EXIF."""

import hashlib
import re
import sys
from copy import copy
from itertools import product
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from ..errors import ImageError, ModelError
from ..formats.sixteen import DeepImage
from ..images import Picture, open_picture
from ..models import choose_precision, load_generator, shipped, usual_strength
from ..models.precision import default_device, devices
from ..models.published import bytes_of
from ..notes import note
from .cutouts import filled
from .memory import free_memory
from .tiles import each_tile, enlarge, prepare

SCALES = (2, 3, 4, 8)
GREY = (0.299, 0.587, 0.114)  # BT.601 full range, the weights of Pillow's mode L
BYTES = {"RGB": 4, "L": 1, "I;16": 2}  # of memory that Pillow takes for a pixel


def upscale(image, generator="srresnet-x4", tile: int | None = None, device: str | torch.device | None = None,
            scale: int | None = None, ensemble: bool = False, progress: bool | str | None = None, strength: float | None = None,
            precision: str = "auto") -> Image.Image:
    """Upscale a path, bytes, PIL image, uint8 array or `Picture` of any size -> PIL image of mode RGB, RGBA, L, LA or I;16.

    A picture of more than 8 bits comes back with 16: greys as mode I;16, all others as a `DeepImage`, whose `save` and `deep`
    have 16 bits and which Pillow sees with 8.

    generator: shipped name, folder, Hub repo, module, or an `Upscaler`, which loads once for many pictures. scale: 2, 3, 4
    or 8, by default the generator's; another one is reached through shipped models, by chaining, or by shrinking, said
    aloud. ensemble: the mean over 8 flips and turns, 8 times slower. strength: of a GAN, 0 to 1, by default the one that it was
    released with (see `load_generator`). precision: "float32", "bfloat16" or "float16"; "auto" is what the device computes
    fastest (see `choose_precision`), within a grey level of float32 almost everywhere. tile: see `enlarge`; progress: None draws the bar in a terminal only. `info` of the
    result carries icc_profile, exif, dpi, XMP and more. Raises ImageError and ModelError.
    """
    picture = image if isinstance(image, Picture) else open_picture(image)
    upscaler = generator if isinstance(generator, Upscaler) else Upscaler(generator, scale, device, ensemble, strength, precision)
    return upscaler(picture, tile, sys.stderr.isatty() if progress is None else progress)


class Upscaler:
    """Generators loaded and prepared for one scale; call it with a `Picture`. Arguments as in `upscale`."""

    def __init__(self, generator="srresnet-x4", scale: int | None = None, device=None, ensemble: bool = False, strength: float | None = None,
                 precision: str = "auto"):
        check_device(device)
        if isinstance(generator, nn.Module) and strength is not None:
            raise ModelError("strength is for a GAN by its name; this generator is a module, whose weights are what they are")
        networks, self.scale = stages(generator, scale, strength)
        if ensemble:
            networks = [SelfEnsemble(network) for network in networks]
        rest = self.scale // prod(network.scale for network in networks[:-1])
        if rest != networks[-1].scale:
            networks[-1] = Shrunk(networks[-1], rest)
        if device is None and not isinstance(generator, nn.Module):
            device = default_device()
        self.device = torch.device(device if device is not None else next(networks[0].parameters(), torch.empty(0)).device)
        self.precision = choose_precision(precision, self.device)
        self.networks = [prepare(network, self.precision).to(device) for network in networks]
        self.exact = None if precision == "auto" and self.precision != "float32" else self
        self.unprepared = networks if self.exact is None else []

    def __call__(self, picture: Picture, tile: int | None = None, progress: bool | str = False) -> Image.Image:
        height, width = (self.scale * side for side in picture.rgb.shape[:2])
        colours = picture.rgb if picture.deep is None else picture.deep
        apart = picture.deep is not None and not (picture.grey and picture.alpha is None)  # 16 bits that Pillow cannot hold
        mode = "I;16" if picture.deep is not None and picture.grey else "L" if picture.grey else "RGB"
        between = prod(network.scale for network in self.networks[:-1])**2 / self.scale**2  # what one stage hands to the next, as floats
        self._check_memory(height, width, height * width * ((16 if apart else BYTES[mode] + (0 if picture.alpha is None else 5)) + 12 * between))
        if picture.alpha is not None:
            colours = filled(colours, picture.alpha)
        lr = torch.from_numpy(colours if colours.ndim == 3 else colours[..., None].repeat(3, -1)).float().div_(65535 if mode == "I;16" or apart else 255)
        if apart:
            out = np.empty((height, width, (1 if picture.grey else 3) + (picture.alpha is not None)), np.uint16)

            def keep(sr, top, left):
                tile = _levels(sr, "I;16" if picture.grey else "RGB;16")
                out[top:top + tile.shape[0], left:left + tile.shape[1], :1 if picture.grey else 3] = tile.reshape(*tile.shape[:2], -1)
        else:
            out = Image.new(mode, (width, height), None)  # tiles are pasted into it: no second copy of a large result

            def keep(sr, top, left):
                out.paste(Image.fromarray(_levels(sr, mode)), (left, top))

        self.for_depth(picture.deep is not None).run(lr.permute(2, 0, 1)[None], keep, tile, progress)
        return self._dress(out, picture)

    def for_depth(self, deep: bool) -> "Upscaler":
        """This upscaler; for images of more than 8 bits the same in float32, unless a precision was asked for."""
        if deep and self.exact is None:
            self.exact = copy(self)
            self.exact.networks, self.exact.precision = [prepare(one).to(self.device) for one in self.unprepared], "float32"
        return self.exact if deep else self

    def run(self, lr: torch.Tensor, keep, tile: int | None = None, progress: bool | str = False) -> None:
        """Every stage over the whole picture; the last one's tiles go to `keep(sr, top, left)`."""
        label = progress if isinstance(progress, str) else "upscaling"
        for number, network in enumerate(self.networks[:-1], 1):
            lr = enlarge(lr, network, tile, progress and f"{label}, stage {number}").clamp_(0, 1)
        each_tile(lr, self.networks[-1], keep, tile, progress and label)

    def frame(self, rgb: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) -> uint8 (scale H, scale W, 3), without a bar: one frame of a film."""
        out = np.empty((self.scale * rgb.shape[0], self.scale * rgb.shape[1], 3), np.uint8)

        def put(sr, top, left):
            out[top:top + sr.shape[-2], left:left + sr.shape[-1]] = _levels(sr)

        self.run(torch.from_numpy(rgb.astype(np.float32) / 255).permute(2, 0, 1)[None], put)
        return out

    def _check_memory(self, height: int, width: int, needed: int) -> None:
        free = free_memory(torch.device("cpu"))
        if needed > free:
            raise ImageError(f"the result of {width} x {height} pixels needs {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free")

    def _dress(self, image: Image.Image | np.ndarray, picture: Picture) -> Image.Image:
        """Put back alpha (bicubic), colour profile, EXIF and the rest."""
        if isinstance(image, np.ndarray):
            if picture.alpha is not None:
                size = image.shape[1::-1]
                alpha = Image.fromarray(picture.alpha.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
                image[..., -1] = np.floor(np.asarray(alpha).clip(0, 65535) + 0.5)
            image = DeepImage.of(image)
        elif picture.alpha is not None:
            image.putalpha(Image.fromarray(picture.alpha).resize(image.size, Image.Resampling.BICUBIC))
        known = {"icc_profile": picture.icc, "exif": picture.exif, **picture.info}
        image.info.update({name: value for name, value in known.items() if value})
        return image

    def fingerprint(self) -> str:
        """A short name of what this upscaler computes: its networks with their weights, scale, ensemble and options."""
        digest = hashlib.sha256(repr([(name, value) for name, value in sorted(vars(self).items()) if isinstance(value, (int, float, str))]).encode())
        for network in self.networks:
            digest.update(repr(network).encode())
            for name, value in sorted(network.state_dict().items()):
                digest.update(name.encode() + bytes_of(value))
        return digest.hexdigest()


def _levels(sr: torch.Tensor, mode: str = "RGB") -> np.ndarray:
    """A finished tile (1, 3, h, w) rounded half up to the levels of RGB, RGB;16, L or I;16, greys as luma."""
    sr = sr[0].clamp(0, 1)
    tile = sr.permute(1, 2, 0) if mode.startswith("RGB") else torch.tensordot(sr.new_tensor(GREY), sr, 1)
    most, kind = (65535, np.uint16) if mode.endswith(";16") else (255, np.uint8)
    return torch.floor(tile * most + 0.5).cpu().numpy().astype(kind)


def shrunk_to(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A result at exactly (width, height), by antialiased bicubic; `info` stays."""
    if image.size == tuple(size):
        return image
    deep = image.deep if isinstance(image, DeepImage) else np.asarray(image)[..., None] if image.mode == "I;16" else None
    if deep is None:
        small = image.resize(size, Image.Resampling.BICUBIC)
    else:
        bands = [Image.fromarray(deep[..., band].astype(np.float32)).resize(size, Image.Resampling.BICUBIC) for band in range(deep.shape[2])]
        levels = np.floor(np.stack(bands, -1).clip(0, 65535) + 0.5).astype(np.uint16)
        small = DeepImage.of(levels) if isinstance(image, DeepImage) else Image.fromarray(levels[..., 0])
    small.info = dict(image.info)
    return small


def stages(generator, scale: int | None = None, strength: float | None = None) -> tuple[list[nn.Module], int]:
    """The generators to run one after the other, and the scale that they reach, shrinking included.

    Another scale than the generator's: the shipped model of that scale, else a chain, else a larger result to shrink.
    Raises ImageError for a scale that cannot be reached.
    """
    first = generator if isinstance(generator, nn.Module) else with_strength(generator, strength)
    if scale in (None, first.scale):
        return [first], first.scale
    if scale not in SCALES:
        raise ImageError(f"scale {scale}: want {', '.join(map(str, SCALES))}")
    names = {} if isinstance(generator, nn.Module) else siblings(str(generator))
    names[first.scale] = str(generator) if isinstance(generator, str) else type(first).__name__
    steps = plan(scale, set(names))
    shrunk = f", shrunk to x{scale} by bicubic" if prod(steps) != scale else ""
    note(f"scale {scale} by {' then '.join(names[step] for step in steps)}{shrunk}")
    return [first if step == first.scale else with_strength(names[step]) for step in steps], scale


def with_strength(name, strength: float | None = None) -> nn.Module:
    """A generator by name, a GAN at `strength`, or at the strength that it was released with."""
    return load_generator(name, strength=usual_strength(name) if strength is None else strength)


def siblings(name: str) -> dict[int, str]:
    """{scale: shipped name} of the models that differ from `name` in nothing but the scale at its end."""
    stem = re.sub(r"-x\d$", "", name)
    return {int(other[-1]): other for other in shipped() if re.fullmatch(re.escape(stem) + r"-x\d", other)}


def plan(scale: int, available: set[int]) -> tuple[int, ...]:
    """Scales to run in turn: exactly `scale` if that can be had, else more, with a last step that shrinks to a whole number."""
    chains = [chain for length in (1, 2, 3) for chain in product(sorted(available, reverse=True), repeat=length)]
    chains = [chain for chain in chains if prod(chain) >= scale > prod(chain[:-1]) and scale % prod(chain[:-1]) == 0]
    if not chains:
        raise ImageError(f"scale {scale} cannot be reached with a model of scale {', '.join(map(str, sorted(available)))}")
    return min(chains, key=lambda chain: (prod(chain) != scale, len(chain), prod(chain)))


def check_device(device) -> None:
    """Raise ImageError unless torch knows the device and this machine has it."""
    try:
        torch.zeros(1, device=device).item()  # "meta" holds no numbers
    except Exception as error:  # each kind of device fails in its own way
        raise ImageError(f"device {device}: cannot be used here ({(str(error) or type(error).__name__).splitlines()[0][:100]}); want {' or '.join(devices())}") from None


class Shrunk(nn.Module):
    """A generator whose result is shrunk to a smaller whole scale by antialiased bicubic."""

    def __init__(self, generator: nn.Module, scale: int):
        super().__init__()
        self.generator, self.scale, self.radius = generator, scale, generator.radius + 2  # the kernel reaches 2 / scale

    def forward(self, lr):
        size = [self.scale * side for side in lr.shape[-2:]]
        return F.interpolate(self.generator(lr).clamp(0, 1), size=size, mode="bicubic", antialias=True, align_corners=False)


class SelfEnsemble(nn.Module):
    """The mean of a generator's results over 4 quarter turns, each also mirrored (Timofte et al. 2016)."""

    turns = True  # tiles: a window that begins at one edge begins at another one in a turned image

    def __init__(self, generator: nn.Module):
        super().__init__()
        self.generator, self.scale, self.radius = generator, generator.scale, generator.radius

    def forward(self, lr):
        total = 0
        for turns in range(4):
            turned = torch.rot90(lr, turns, (-2, -1))
            total = total + torch.rot90(self.generator(turned), -turns, (-2, -1))
            total = total + torch.rot90(self.generator(turned.flip(-1)).flip(-1), -turns, (-2, -1))
        return total / 8
