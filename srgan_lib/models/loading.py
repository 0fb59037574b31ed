"""A generator by its name: shipped, a folder, the Hub, a published file, or two of them interpolated."""

import copy
import difflib
import itertools
import json
import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ..data.hub import at_home
from ..errors import ModelError
from ..images import SUFFIXES as PICTURES
from .foreign import SUFFIXES, check_scale, load_foreign
from .mixed import Mixed
from .networks import ARCHITECTURES, Generator
from .outside import Outside
from .published import differences, load_published
from .repair import repair

WEIGHTS = Path(__file__).parents[1] / "weights"
NO_REPOS = (".json", ".txt", ".md", ".py", ".ipynb", ".zip", ".mp4", ".mov", ".mkv")
WORDS = ("architecture", "upsampling", "normalization", "output")  # of a config; all other fields are whole numbers


def shipped() -> list[str]:
    """Names of the generators that come with the project."""
    return sorted(path.parent.name for path in WEIGHTS.glob("*/model.safetensors"))


def load_generator(name: str | Path, device: str | torch.device = "cpu", strength: float | str = 1) -> Generator | Mixed | Outside:
    """Load a shipped name, a `save_pretrained` folder or a Hub repo (OWNER/NAME) -> generator in eval mode, float32.

    Also a published ESRGAN file (.pth or .safetensors), one of any architecture that spandrel knows, or PSNR,GAN,ALPHA: two of these,
    interpolated; where they have batch norm, the mixed network's activations are put right on the embedded sample. Only tensors are read,
    strictly. strength: of a GAN, from 0 (the image of the generator that it started from) to 1 (its own image alone); between
    them both run and their images are mixed: see `share`. `usual_strength` tells which one a GAN was released with. Raises ModelError for
    an unknown name (with the nearest known one), an unreachable Hub, missing files, weights of another architecture, or
    weights that are NaN or infinite.
    """
    if not str(name).strip():
        raise ModelError("the name of the model is empty; was a variable not set?")
    name = at_home(str(name)) if str(name).startswith("~") and str(name).count(",") != 2 else name
    strength = _share(strength, "strength", "the generator that it started from", "the GAN alone")
    if strength < 1:
        if not is_gan(name):
            raise ModelError(f"{name}: strength is for a GAN with a record of the generator that it started from; this one has none")
        base = load_generator(_record(name)["init"], device)
        return Mixed(base, load_generator(name, device), strength).eval() if strength else base
    if Path(name).is_file() or not Path(name).is_dir() and str(name).count(",") != 2 and str(name).lower().endswith(SUFFIXES):
        return load_model_file(name).to(device)
    if str(name).count(",") == 2 and not Path(name).is_dir():
        return _interpolated(*str(name).split(",")).to(device)
    folder = _locate(str(name))
    try:
        generator = _build(folder)
        generator.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    except (OSError, ValueError, RuntimeError, TypeError, MemoryError) as error:
        raise ModelError(f"{name}: does not load ({_first_lines(error)})") from None
    except Exception as error:  # safetensors raises its own type for a broken file
        raise ModelError(f"{name}: broken weights file ({_first_lines(error)})") from None
    if broken := not_finite(generator.state_dict()):
        raise ModelError(f"{name}: its weights are not finite (NaN or infinite at {broken}), so that every result would be black")
    return generator.float().eval().to(device)


def load_model_file(path: str | Path) -> Generator | Outside:
    """A published file: ESRGAN's RRDBNet by our own reader, any other architecture by spandrel. Raises ModelError."""
    try:
        generator = load_published(path)
    except ModelError as own:
        if not Path(path).is_file():
            raise
        try:
            return load_foreign(path)
        except ModelError as other:
            added = "" if str(other) == str(own) else f"; {str(other).removeprefix(f'{path}: ')}"
            raise ModelError(f"{own}{added}") from None
    check_scale(str(path), generator.scale)
    return generator


def usual_strength(name: str | Path) -> float:
    """The strength that a generator was released with: what its training.json says, 1 where nothing is said."""
    return _share(_record(name).get("strength", 1), f"{name}: the strength in its training.json,", "the generator that it started from", "the GAN alone")


def is_gan(name: str | Path) -> bool:
    """Whether it is a GAN with a record of the generator that it started from, which `strength` mixes it with."""
    record = _record(name)
    return bool(record.get("init")) and isinstance(record["init"], str) and record.get("stage", "srgan") == "srgan"


def _record(name: str | Path) -> dict:
    """What is written beside a shipped or local generator about its training: training.json, or the config of its run; {} without."""
    folder = WEIGHTS / str(name) if str(name) in shipped() else Path(name)
    for path in (folder / "training.json", folder.parent / "config.json"):
        if path.is_file() and (folder / "model.safetensors").is_file():
            return json_of(path)
    return {}


def json_of(path: Path) -> dict:
    """What a JSON file of fields holds. Raises ModelError for anything else."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # the last: thousands of brackets
        raise ModelError(f"{path}: not JSON ({_first_lines(error)})") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path}: holds no fields with names")
    return value


def not_finite(state: dict) -> str | None:
    """The name of the first tensor with a NaN or an infinity in it; None where all are finite."""
    return next((name for name, value in state.items() if value.is_floating_point() and not torch.isfinite(value).all()), None)


def _build(folder: Path) -> Generator:
    """The generator that config.json describes, with its shapes compared to the file's before any memory is taken."""
    config = _read_config(folder / "config.json")
    name = config.pop("architecture", "SRResNet")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {name!r}; known are {', '.join(ARCHITECTURES)}")
    with safe_open(folder / "model.safetensors", "pt") as file:
        shapes = {key: torch.empty(file.get_slice(key).get_shape(), device="meta") for key in file.keys()}
    if config.get("blocks", 0) > len(shapes):
        raise ValueError(f"{config['blocks']} blocks, and {len(shapes)} tensors in the file")
    with torch.device("meta"):
        wanted = ARCHITECTURES[name](**config).state_dict()
    if differing := differences(shapes, wanted):
        raise ValueError(differing.replace("other shapes", "size mismatch at"))
    return ARCHITECTURES[name](**config)


def _read_config(path: Path) -> dict:
    config = json_of(path)
    odd = [key for key, value in config.items() if not (isinstance(value, str) if key in WORDS else isinstance(value, int) and 0 <= value <= 1024)]
    if odd:  # a million blocks would be built first
        raise ValueError(f"config.json holds values that no generator of ours has, such as {odd[0][:50]} = {repr(config[odd[0]])[:50]}")
    return config


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _locate(name: str) -> Path:
    folder = WEIGHTS / name if name in shipped() else Path(name)
    if folder.is_dir():
        missing = [file for file in ("config.json", "model.safetensors") if not (folder / file).is_file()]
        if missing:
            own = "; did you mean " + str(folder / "generator") + "?" if (folder / "generator" / "model.safetensors").is_file() else ""
            raise ModelError(f"{name}: {' and '.join(missing)} missing; want a folder written by save_pretrained{own}")
        return folder
    if os.path.lexists(folder):
        raise ModelError(f"{name}: is no file and no folder; a link that leads nowhere, or a device, holds no model")
    if may_be_on_hub(name):
        from ..data.hub import fetch_model
        return fetch_model(name)
    nearest = difflib.get_close_matches(name.lower(), shipped(), 1)
    raise ModelError(f"{name}: no such model{f', did you mean {nearest[0]}?' if nearest else ''} "
                     f"(shipped: {', '.join(shipped()) or 'none'}; also a folder or a Hub repo OWNER/NAME)")


def may_be_on_hub(name: str) -> bool:
    """Whether OWNER/NAME could be a repo: the Hub's own rules, and no name of an image, a text or a file within a file."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id
    if name.count("/") != 1 or name.lower().endswith((*PICTURES, *NO_REPOS)) or os.path.isfile(name.split("/")[0]):
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def interpolate(psnr: Generator | str | Path, gan: Generator | str | Path, alpha: float | str, lr: torch.Tensor | None = None) -> Generator:
    """(1 - alpha) * psnr + alpha * gan, weight by weight, batch-norm statistics included (Wang et al. 2018, eq. 4).

    psnr, gan: generators of one architecture, or what `load_generator` takes; alpha in 0..1, where 0 is psnr and 1 is gan,
    both to the last bit. lr (N, 3, H, W) in [0, 1]: images on which the mixed network's activations are put right (`repair`);
    without them a network with batch norm darkens. -> a new generator in eval mode. Raises ModelError for another alpha or
    differing architectures.
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
    return mixed.eval() if lr is None or alpha in (0, 1) else repair(mixed.eval(), first.eval(), second.eval(), alpha, lr)


def sample_patches() -> torch.Tensor:
    """Six LR images of 64 x 64 from the embedded sample, on which `repair` measures."""
    from ..data import images
    from ..images import degrade, read_image, to_tensor
    centres = []
    for _, source in itertools.islice(images("sample", "train"), 6):
        picture = read_image(source)
        top, left = (side // 2 - 128 for side in picture.shape[:2])
        centres.append(to_tensor(picture[top:top + 256, left:left + 256]))
    return degrade(torch.cat(centres), 4)


def _interpolated(psnr: str, gan: str, alpha: str) -> Generator:
    first = load_generator(psnr)
    normalized = any(isinstance(layer, torch.nn.BatchNorm2d) for layer in first.modules())
    return interpolate(first, gan, alpha, sample_patches() if normalized else None)


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
