"""Other people's files: published ESRGAN weights in all their layouts, read as tensors alone."""

import re
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..errors import ModelError
from ..notes import note
from .networks import RRDBNet

WRAPPERS = ("params_ema", "params", "state_dict")  # what training code puts around a state dict
MENDED = "2.10"  # torch's version; its own kind of string compares as versions do
OWN_FILES = ("config.json", "model.safetensors")  # of a folder written by save_pretrained
MOST_NAMES = 1 << 20  # bytes at the end of a zip in which the names of its members are looked for
MOST_BLOCKS = 64  # more are not built to be compared; the published ones have 23 or 6
RENAMED = (  # older names -> today's, in the order of their age
    (r"model\.0\.", "conv_first."),
    (r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3."),
    (r"model\.1\.sub\.\d+\.(weight|bias)", r"conv_body.\1"),
    (r"RRDB_trunk\.(\d+)\.RDB(\d)\.", r"body.\1.rdb\2."),
    (r"trunk_conv\.", "conv_body."), (r"upconv(\d)\.", r"conv_up\1."), (r"HRconv\.", "conv_hr."),
)


def load_published(path: str | Path) -> RRDBNet:
    """A published ESRGAN file (.pth or .safetensors) -> RRDBNet in eval mode, float32. Nothing in the file is executed.

    Raises ModelError for a file that is absent, that holds more than tensors, or whose tensors are no RRDBNet's.
    """
    return from_published(state_of(path), str(path))


def state_of(path: str | Path):
    """What is in a .safetensors or .pth file, read as tensors alone. Raises ModelError for an absent file, or one that holds more."""
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    if kind := no_weights(path):
        raise ModelError(f"{path}: {kind}; want a file of weights (.pth or .safetensors), or a folder written by save_pretrained")
    if path.suffix != ".safetensors" and torch.__version__ < MENDED:
        note(f"{path}: torch before {MENDED} can be harmed by a crafted file of this kind (CVE-2026-24747); read only what you trust")
    try:
        with warnings.catch_warnings(action="ignore"):
            state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling, zip and safetensors raise types of their own
        raise ModelError(f"{path}: does not load as tensors alone ({type(error).__name__}); a file that needs more than that "
                         "could run code, so it is not read") from None
    return state


def no_weights(path: Path) -> str:
    """What a file is that no weights are in, by its first bytes, or where it stands; "" for what may hold some."""
    if all((path.parent / name).is_file() for name in OWN_FILES) and path.name in OWN_FILES:
        return f"is a part of a model, whose name is that of its folder, {path.parent}"
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not head:
        return "is empty"
    if head[8:9] == b"{" and path.suffix != ".safetensors":
        return "is a safetensors file without that ending" if b'"dtype"' in head else "holds no weights"
    if head.startswith(b"PK\x03\x04") and b"/constants.pkl" in path.read_bytes()[-MOST_NAMES:]:
        return "is a TorchScript program, which --engine torchscript runs"
    known = head.startswith((b"PK\x03\x04", b"\x80")) or head[8:9] == b"{"  # torch.save's zip since 1.6; a pickle of protocol 2 on; safetensors
    return "" if known else "holds no weights"


def from_published(state: dict, name: str = "state dict") -> RRDBNet:
    """A published state dict, of any layout -> RRDBNet in eval mode, float32; blocks, growth, channels and scale are inferred.

    Layouts: `conv_first, body.N.rdbM.convK, conv_body, conv_up1, ...`; `RRDB_trunk.N.RDBM.convK, trunk_conv, upconv1, HRconv`;
    `model.0, model.1.sub.N.RDBM.convK.0, ...`. Strict: ModelError names the keys that differ.
    """
    for wrapper in WRAPPERS:
        state = state.get(wrapper, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()):
        raise ModelError(f"{name}: holds no state dict, which maps names to tensors")
    if odd := not_plain(state):
        raise ModelError(f"{name}: {odd} is no plain tensor of finite numbers, of which weights are made")
    state = current_names(state)
    first = tuple(getattr(state.get("conv_first.weight"), "shape", ()))
    if len(first) == 4 and first[1] in (12, 48):
        raise ModelError(f"{name}: a pixel-unshuffle x{2 if first[1] == 12 else 1} network (as RealESRGAN_x2plus), which is not supported "
                         f"(conv_first.weight {first} for {(first[0], 3, *first[2:])}); take the x4 one and --scale 2")
    if kind := other_kind(state):
        raise ModelError(f"{name}: {kind}, which is not supported; take an ESRGAN generator, such as RealESRGAN_x4plus.pth")
    options = infer_options(state)
    with torch.device("meta"):  # compared before any memory is taken
        wanted = RRDBNet(**options).state_dict()
    differing = differences(state, wanted)
    if differing:
        raise ModelError(f"{name}: is no RRDBNet of {options['blocks']} blocks, {options['channels']} channels and growth "
                         f"{options['growth']}; {differing}")
    generator = RRDBNet(**options)
    generator.load_state_dict({key: value.float() for key, value in state.items()}, strict=True)
    return generator.eval()


def other_kind(state: dict) -> str:
    """What files that are published beside ESRGAN's hold, by the names of their tensors; "" for what may be ESRGAN's."""
    if "conv_first.weight" in state:
        return ""
    if getattr(state.get("body.0.weight"), "ndim", 0) == 4:
        return "a compact network (SRVGGNetCompact, as realesr-general-x4v3)"
    return "a discriminator" if "conv0.weight" in state and "conv9.weight" in state else ""


def not_plain(state: dict) -> str | None:
    """The name of the first tensor that is not `plain`; None where all are."""
    return next((key for key, value in state.items() if not plain(value)), None)


def bytes_of(tensor: torch.Tensor) -> bytes:
    """A tensor's bytes, of any type: NumPy has no bfloat16."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def plain(value: torch.Tensor) -> bool:
    """Whether a tensor has a real, finite number in memory for each of its places, none of them shared."""
    real = value.layout == torch.strided and not value.is_quantized and value.device.type == "cpu" and not value.is_complex()
    return real and value.untyped_storage().nbytes() >= value.numel() * value.element_size() and bool(torch.isfinite(value.float()).all())


def current_names(state: dict) -> dict:
    """The same tensors under today's names, whichever layout they came in; unknown names stay as they are."""
    numbers = sorted({int(match[1]) for key in state if (match := re.fullmatch(r"model\.(\d+)\.weight", key))} - {0})
    later = [*(f"conv_up{number}" for number in range(1, len(numbers) - 1)), "conv_hr", "conv_last"]
    renamed = (*RENAMED, *((rf"model\.{number}\.", f"{layer}.") for number, layer in zip(numbers, later)))

    def rename(key: str) -> str:
        return next((re.sub(old, new, key) for old, new in renamed if re.match(old, key)), key)

    return {rename(key): value for key, value in state.items()}


def infer_options(state: dict) -> dict[str, int]:
    """scale, blocks, channels and growth as today's names and shapes tell them; ESRGAN's own where they do not."""
    doublings = sum(bool(re.fullmatch(r"conv_up\d\.weight", key)) for key in state)
    blocks = len({match[1] for key in state if (match := re.match(r"body\.(\d+)\.", key))})

    def width(key, otherwise):
        return state[key].shape[0] if key in state and state[key].ndim == 4 else otherwise

    return {"scale": 2**doublings if doublings in (1, 2, 3) else 4, "blocks": min(blocks, MOST_BLOCKS),
            "channels": width("conv_first.weight", 64), "growth": width("body.0.rdb1.conv1.weight", 32)}


def differences(state: dict, wanted: dict) -> str:
    """What a state dict lacks, has too much, or has in another shape, three names of each; "" where nothing differs."""
    shapes = [f"{key} {tuple(state[key].shape)} for {tuple(wanted[key].shape)}" for key in wanted
              if key in state and state[key].shape != wanted[key].shape]
    kinds = {"lacks": [key for key in wanted if key not in state], "has besides": [key for key in state if key not in wanted],
             "other shapes": shapes}
    return "; ".join(f"{kind} {', '.join(map(str, keys[:3]))}" + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
                     for kind, keys in kinds.items() if keys)
