"""The image bank and the random patches: every picture decoded once, every batch a pure function of (seed, step)."""

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ..errors import DataError, ImageError
from ..images import mirror, read_image, resize_levels
from .colours import photometric
from .degradation import REACH, damaged_patches
from ..locks import hold, release, sweep

BLOCK, BLOCKS = 4096, 64  # bytes of a fingerprint's samples, and how many


class ImageBank:
    """All pictures of a set as uint8 RGB in one memory-mapped file.

    `bank[i]` is a read-only (H, W, 3) view; `len(bank)`, `bank.names`, `bank.sizes` (H, W). Two files on disk: NAME.bin
    (the pixels, one picture behind the other) and NAME.json (the index, written last: a bank without it does not exist).
    """

    def __init__(self, path: str | Path):
        path = Path(path)
        try:
            index = json.loads(path.with_suffix(".json").read_text())
            self.names, self.sizes = _checked(index["names"], index["sizes"])
            self.pixels = np.memmap(path.with_suffix(".bin"), np.uint8, "r")
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise DataError(f"{path}: no usable image bank ({error})") from None
        counts = [height * width * 3 for height, width in self.sizes]
        self.offsets = np.concatenate([[0], np.cumsum(counts)])
        if len(self.pixels) != self.offsets[-1]:
            raise DataError(f"{path}: {len(self.pixels)} bytes where the index promises {self.offsets[-1]}; delete both files")
        self.source, self.limit, self.lr = path.name, None, None  # lr: a bank of the LR pictures, where they are given
        self.drawn: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        self.on_device: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> np.ndarray:
        i = range(len(self))[i]  # counts from the end where i is negative
        return self.pixels[self.offsets[i]:self.offsets[i + 1]].reshape(*self.sizes[i], 3)

    def to(self, device: str | torch.device) -> "ImageBank":
        """Move the pixels to a GPU when they fit in half of its free memory; patches are then cut there. Returns self."""
        device = torch.device(device)
        if device.type == "cuda" and len(self.pixels) < torch.cuda.mem_get_info(device)[0] / 2:
            self.on_device = torch.from_numpy(np.memmap(self.pixels.filename, np.uint8, "c")).to(device)  # torch warns of "r"
        if self.lr:
            self.lr.to(device)
        return self

    def usable(self, size: int, scale: int, pad: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the pictures that hold a patch of size x size at multiples of the scale, and their cumulative share of the pixels.

        pad: all that have one LR pixel, since smaller ones are continued by their mirror image. Raises DataError where there is none, and where a given LR picture is not its HR divided by the scale.
        """
        least = scale if pad else size
        if (least, scale) not in self.drawn:
            sides = np.array(self.sizes)
            numbers = np.flatnonzero((sides // scale * scale >= least).all(1))
            if not len(numbers):
                raise DataError(f"no picture is as large as {'one LR pixel' if pad else 'a patch'} of {least} x {least} pixels; "
                                f"use larger pictures{'' if pad else ', lower hr_size, or set pad_small=true'}")
            for name, (height, width), small in zip(self.names, self.sizes, self.lr.sizes if self.lr else ()):
                if small != (height // scale, width // scale):
                    raise DataError(f"{self.lr.source}: the LR of {name} has {small[1]} x {small[0]} pixels; at scale {scale} its HR, {width} x {height}, "
                                    f"wants {width // scale} x {height // scale}")
            pixels = np.cumsum(sides[numbers].prod(1))
            self.drawn[least, scale] = numbers, pixels / pixels[-1]
        return self.drawn[least, scale]

    def identity(self) -> dict:
        """What a run on this bank is made of: where from, how many, and a fingerprint of names, sizes and a sample of the pixels."""
        known = {"data": self.source, "limit": self.limit, "pictures": len(self), "fingerprint": self._fingerprint()}
        return {**known, "pairs": self.lr.source} if self.lr else known

    def _fingerprint(self) -> str:
        print_ = hashlib.sha256(json.dumps([self.names, self.sizes]).encode())
        for at in np.linspace(0, max(len(self.pixels) - BLOCK, 0), BLOCKS).astype(int):
            print_.update(self.pixels[at:at + BLOCK].tobytes())
        print_.update(self.lr._fingerprint().encode() if self.lr else b"")
        return print_.hexdigest()

    @classmethod
    def build(cls, pictures: Iterable[tuple[str, object]], path: str | Path, total: int | None = None,
              progress: bool = True) -> "ImageBank":
        """Decode (name, source) pairs into a new bank at `path`; a source is whatever `read_image` takes.

        A picture that does not decode is left out, said aloud. Raises DataError when none is left or the disk is full.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, f".{glob.escape(path.name)}.*.part")
        partial, index = (path.with_name(f".{path.name}.{os.getpid()}{kind}.part") for kind in ("", ".json"))
        names, sizes, held, known, twins = [], [], hold(partial), {}, []
        try:
            with open(partial, "wb") as file:
                for name, source in tqdm(pictures, "decoding", total, unit=" pictures", disable=not progress, delay=1):
                    try:
                        image = read_image(source)
                    except ImageError as error:
                        tqdm.write(f"left out: {error}")
                        continue
                    _check_room(path.parent, image.nbytes)
                    file.write(image.tobytes())
                    names.append(name)
                    sizes.append(image.shape[:2])
                    twin = known.setdefault(hashlib.sha256(image).digest(), name)
                    twins += [f"{name} is {twin}"] if twin != name else []
            if twins:
                tqdm.write(f"note: {len(twins)} image{'s' * (len(twins) > 1)} stand{'s' * (len(twins) == 1)} there more than once (such as {twins[0]}), and count each time")
            if not names:
                raise DataError(f"{path.stem}: no pictures in it")
            os.replace(partial, path.with_suffix(".bin"))
            index.write_text(json.dumps({"names": names, "sizes": sizes}))
            os.replace(index, path.with_suffix(".json"))
        finally:
            release(held)
            partial.unlink(missing_ok=True)
            index.unlink(missing_ok=True)
        return cls(path)


def _checked(names, sizes) -> tuple[list[str], list[tuple[int, int]]]:
    """An index's columns. Raises ValueError or TypeError for any that no bank could have."""
    sizes = [(height, width) for height, width in sizes]
    if not names or len(names) != len(sizes) or not all(isinstance(name, str) for name in names):
        raise ValueError("names and sizes do not belong together")
    if not all(type(side) is int and 0 < side < 2**31 for size in sizes for side in size):
        raise ValueError("it holds sizes that no picture has")
    return names, sizes


def _check_room(folder: Path, need: int, reserve: int = 200_000_000) -> None:
    free = shutil.disk_usage(folder).free
    if free < need + reserve:
        raise DataError(f"{folder}: disk nearly full ({free / 1e9:.1f} GB free); free some, or name fewer pictures with limit=N")


def patches(bank: ImageBank, step: int, config, rank: int = 0, world: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """The batch of one training step -> lr (N, 3, hr_size / scale, ...), hr (N, 3, hr_size, hr_size), float32 in [0, 1].

    A pure function of (config.seed, step): the global batch of config.batch patches is drawn, and a rank takes its slice.
    The LR patch equals the crop of the LR picture exactly: it is shrunk together with the margin that the kernel reaches.
    With degradation "camera" each patch has a random damage of its own (see degradation.py).
    A bank with given LR pictures is cut in both. Pictures are drawn by their pixels; those smaller than a patch never, or, with
    pad_small, continued by their mirror image. Fields used: seed, scale, batch, hr_size, pad_small, min_detail, flips,
    degradation, photometric. Raises DataError when no picture is large enough.
    """
    random = np.random.default_rng([config.seed, step])
    places = [_place(bank, random, config) for _ in range(config.batch)]
    turns = random.integers(0, 8, config.batch) if config.flips else np.zeros(config.batch, int)
    share = slice(rank * config.batch // world, (rank + 1) * config.batch // world)
    randoms = None
    if config.degradation == "camera":
        randoms = [np.random.default_rng([config.seed, step, k, 2]) for k in range(share.start, share.stop)]
    if bank.lr:
        lr, hr = cut_pairs(bank, places[share], turns[share], config.scale, config.hr_size)
    else:
        lr, hr = cut(bank, places[share], turns[share], config.scale, config.hr_size, randoms)
    return photometric(lr, hr, config, step, rank) if config.photometric else (lr, hr)


def _place(bank: ImageBank, random: np.random.Generator, config) -> tuple[int, int, int]:
    """(picture, y, x) of one patch, at a multiple of the scale; nearly flat places are drawn again, up to 8 times."""
    scale, size = config.scale, config.hr_size
    numbers, shares = bank.usable(size, scale, config.pad_small)
    i = int(numbers[np.searchsorted(shares, random.random(), side="right")])
    height, width = (side // scale * scale for side in bank.sizes[i])
    for _ in range(8):
        y = int(random.integers(0, max(height - size, 0) // scale + 1)) * scale
        x = int(random.integers(0, max(width - size, 0) // scale + 1)) * scale
        if not config.min_detail or bank[i][y:y + size:4, x:x + size:4, 1].std() >= config.min_detail:
            break
    return i, y, x


def cut(bank: ImageBank, places, turns, scale: int, size: int, randoms=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut, degrade and turn patches. turns: 0-7, the eight symmetries of the square, applied to LR and HR alike.

    randoms: a generator of random numbers for each patch asks for the camera's degradation in place of bicubic.
    """
    reach = REACH if randoms else 4  # LR pixels
    margin = reach * scale
    wide = _gather_on_device if bank.on_device is not None else _gather
    x = wide(bank, places, margin, scale, size).permute(0, 3, 1, 2)  # uint8 (N, 3, size + 2 margin, ...)
    lr = damaged_patches(x, scale, randoms) if randoms else resize_levels(resize_levels(x.float(), -2, 1 / scale, scale), -1, 1 / scale, scale)
    lr, hr = lr[..., reach:-reach, reach:-reach], x[..., margin:-margin, margin:-margin]
    return tuple(_turn(part, turns).float() / 255 for part in (lr, hr))


def cut_pairs(bank: ImageBank, places, turns, scale: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut the same places out of HR and the given LR, and turn them alike."""
    small = [(i, y // scale, x // scale) for i, y, x in places]
    parts = [(bank.lr, small, 1, size // scale), (bank, places, scale, size)]
    cut_out = [(_gather_on_device if one.on_device is not None else _gather)(one, where, 0, step, side).permute(0, 3, 1, 2) for one, where, step, side in parts]
    return tuple(_turn(part, turns).float() / 255 for part in cut_out)


def _window(bank: ImageBank, place, margin: int, scale: int, size: int):
    i, y, x = place
    height, width = (side // scale * scale for side in bank.sizes[i])
    return i, mirror(y - margin, y + size + margin, height), mirror(x - margin, x + size + margin, width)


def _gather(bank: ImageBank, places, margin: int, scale: int, size: int) -> torch.Tensor:
    """uint8 (N, size + 2 margin, size + 2 margin, 3) through the memory map."""
    out = np.empty((len(places), size + 2 * margin, size + 2 * margin, 3), np.uint8)
    for k, (i, y, x) in enumerate(places):
        height, width = (side // scale * scale for side in bank.sizes[i])
        if margin <= y <= height - size - margin and margin <= x <= width - size - margin:
            out[k] = bank[i][y - margin:y + size + margin, x - margin:x + size + margin]
        else:
            _, rows, columns = _window(bank, places[k], margin, scale, size)
            out[k] = bank[i][rows[:, None].numpy(), columns.numpy()]
    return torch.from_numpy(out)


def _gather_on_device(bank: ImageBank, places, margin: int, scale: int, size: int) -> torch.Tensor:
    """The same on the GPU: one gather for the whole batch, no pixel crosses the bus."""
    windows = [_window(bank, place, margin, scale, size) for place in places]
    base = torch.tensor([int(bank.offsets[i]) for i, _, _ in windows])
    width = torch.tensor([bank.sizes[i][1] for i, _, _ in windows])
    rows, columns = torch.stack([w[1] for w in windows]), torch.stack([w[2] for w in windows])
    start = base[:, None] + rows * width[:, None] * 3
    device = bank.on_device.device
    index = start.to(device)[:, :, None] + columns.to(device)[:, None, :] * 3
    return bank.on_device[index[..., None] + torch.arange(3, device=device)]


def _turn(x: torch.Tensor, turns) -> torch.Tensor:
    if x.is_cuda:
        return torch.stack([torch.rot90(p.flip(-1) if t >= 4 else p, int(t) % 4, (-2, -1)) for p, t in zip(x, turns)])
    source, out = x.numpy(), np.empty(x.shape, x.numpy().dtype)  # numpy turns views, where torch copies
    for k, t in enumerate(turns):
        out[k] = np.rot90(source[k, ..., ::-1] if t >= 4 else source[k], t % 4, (-2, -1))
    return torch.from_numpy(out)
