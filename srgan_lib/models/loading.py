"""A generator by its name: shipped, a folder, the Hub, a published file, or two of them interpolated."""

import copy
import difflib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..errors import ModelError
from .mixed import Mixed
from .networks import ARCHITECTURES, Generator
from .published import load_published

WEIGHTS = Path(__file__).parents[1] / "weights"


def shipped() -> list[str]:
    """Names of the generators that come with the project."""
    return sorted(path.parent.name for path in WEIGHTS.glob("*/model.safetensors"))


def load_generator(name: str | Path, device: str | torch.device = "cpu", strength: float | str = 1) -> Generator | Mixed:
    """Load a shipped name, a `save_pretrained` folder or a Hub repo (OWNER/NAME) -> generator in eval mode, float32.

    Also a published ESRGAN file (.pth or .safetensors), or PSNR,GAN,ALPHA: two of these, interpolated. Only tensors are read,
    strictly. strength: of a GAN, from 0 (the image of the generator that it started from) to 1 (its own image alone); between
    them both run and their images are mixed. `usual_strength` tells which one a GAN was released with. Raises ModelError for
    an unknown name (with the nearest known one), an unreachable Hub, missing files, or weights of another architecture.
    """
    strength = _share(strength, "strength", "the generator that it started from", "the GAN alone")
    if strength < 1:
        start = _record(name).get("init")
        if not start:
            raise ModelError(f"{name}: strength is for a GAN with a record of the generator that it started from; this one has none")
        base = load_generator(start, device)
        return Mixed(base, load_generator(name, device), strength).eval() if strength else base
    if str(name).count(",") == 2 or str(name).endswith((".pth", ".safetensors")):
        return (interpolate(*str(name).split(",")) if "," in str(name) else load_published(name)).to(device)
    folder = _locate(str(name))
    try:
        config = _read_config(folder / "config.json")
        architecture = ARCHITECTURES[config.pop("architecture", "SRResNet")]
        generator = architecture(**config)
        generator.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    except KeyError as error:
        raise ModelError(f"{name}: unknown architecture {error}; known are {', '.join(ARCHITECTURES)}") from None
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise ModelError(f"{name}: does not load ({_first_lines(error)})") from None
    except Exception as error:  # safetensors raises its own type for a broken file
        raise ModelError(f"{name}: broken weights file ({_first_lines(error)})") from None
    return generator.float().eval().to(device)


def usual_strength(name: str | Path) -> float:
    """The strength that a generator was released with: what its training.json says, 1 where nothing is said."""
    return float(_record(name).get("strength", 1))


def _record(name: str | Path) -> dict:
    """What is written beside a shipped or local generator about its training: training.json, or the config of its run; {} without."""
    folder = WEIGHTS / str(name) if str(name) in shipped() else Path(name)
    for path in (folder / "training.json", folder.parent / "config.json"):
        if path.is_file() and (folder / "model.safetensors").is_file():
            try:
                return json.loads(path.read_text())
            except ValueError as error:
                raise ModelError(f"{path}: not JSON ({error})") from None
    return {}


def _read_config(path: Path) -> dict:
    config = json.loads(path.read_text())
    if not isinstance(config, dict) or any(isinstance(v, (int, float)) and not (isinstance(v, int) and 0 <= v <= 1024) for v in config.values()):
        raise ValueError("config.json holds values that no generator of ours has")  # a million blocks would be built first
    return config


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _locate(name: str) -> Path:
    folder = WEIGHTS / name if name in shipped() else Path(name)
    if folder.is_dir():
        missing = [file for file in ("config.json", "model.safetensors") if not (folder / file).is_file()]
        if missing:
            raise ModelError(f"{name}: {' and '.join(missing)} missing; want a folder written by save_pretrained")
        return folder
    if name.count("/") == 1 and not name.startswith((".", "/")):
        from ..data.hub import fetch_model
        return fetch_model(name)
    nearest = difflib.get_close_matches(name, shipped(), 1)
    raise ModelError(f"{name}: no such model{f', did you mean {nearest[0]}?' if nearest else ''} "
                     f"(shipped: {', '.join(shipped()) or 'none'}; also a folder or a Hub repo OWNER/NAME)")


def interpolate(psnr: Generator | str | Path, gan: Generator | str | Path, alpha: float | str) -> Generator:
    """(1 - alpha) * psnr + alpha * gan, weight by weight, batch-norm statistics included (Wang et al. 2018, eq. 4).

    psnr, gan: generators of one architecture, or what `load_generator` takes; alpha in 0..1, where 0 is psnr and 1 is gan,
    both to the last bit. -> a new generator in eval mode. Raises ModelError for another alpha or differing architectures.
    """
    first, second = (load_generator(one) if isinstance(one, (str, Path)) else one for one in (psnr, gan))
    alpha = _share(alpha, "alpha", "the first network", "the second")
    if settings(first) != settings(second):
        differing = sorted(key for key in {**settings(first), **settings(second)} if settings(first).get(key) != settings(second).get(key))
        raise ModelError(f"two generators of different architecture cannot be interpolated: they differ in {', '.join(differing)}")
    other = second.state_dict()
    mixed = copy.deepcopy(first)
    for key, value in mixed.state_dict().items():  # a count of batches cannot be mixed: the nearer one's
        theirs = other[key].to(value.device)
        value.copy_(torch.lerp(value, theirs.to(value.dtype), alpha) if value.is_floating_point() else theirs if alpha >= 0.5 else value)
    return mixed.eval()


def _share(number: float | str, name: str, zero: str, one: str) -> float:
    try:
        if 0 <= float(number) <= 1:
            return float(number)
    except ValueError:
        pass
    raise ModelError(f"{name} {number}: want a number from 0 ({zero}) to 1 ({one})")


def settings(generator: Generator) -> dict:
    """What decides a generator's shape and arithmetic: its class and the arguments it was made with."""
    return {**(generator._hub_mixin_config or {}), "architecture": type(generator).__name__}
