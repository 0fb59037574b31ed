"""Model files of any architecture that spandrel knows (extra `models`), as generators whose tiles have no seams."""

import hashlib
import re
from pathlib import Path

import torch

from ..errors import ModelError
from .outside import Outside, looks_everywhere, measured
from .published import bytes_of, not_plain, state_of

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
SAFE_TORCH = (2, 10)  # the first whose weights_only reader is trusted with strangers' files


def load_foreign(path: str | Path) -> Outside:
    """A model file of any architecture that spandrel knows -> a generator. Only tensors are read, strictly.

    Raises ModelError for a file that cannot be read or recognised, for one that does not map RGB to RGB, and for one whose
    name says another scale than its tensors.
    """
    spandrel = _spandrel(path)
    if Path(path).suffix.lower() != ".safetensors" and tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2]) < SAFE_TORCH:
        raise ModelError(f"{path}: is read only by torch 2.10 or newer (this is {torch.__version__}), or as .safetensors")
    return from_state(spandrel, state_of(path), str(path))


def from_state(spandrel, state: dict, name: str) -> Outside:
    """The generator of a state dict, measured."""
    try:
        state = spandrel.canonicalize_state_dict(state)
    except Exception as error:  # not a mapping, or one of other things than tensors
        raise ModelError(f"{name}: holds no state dict, which maps names to tensors ({type(error).__name__})") from None
    if odd := not_plain(state):
        raise ModelError(f"{name}: {odd} is no plain tensor of finite numbers, of which weights are made")
    digest = digest_of(state)
    try:
        descriptor = spandrel.ModelLoader().load_from_state_dict(dict(state)).eval().float()
    except spandrel.UnsupportedModelError:
        raise ModelError(f"{name}: is of no architecture that spandrel {spandrel.__version__} knows") from None
    except Exception as error:  # a builder of its own for each architecture, and errors of any type
        raise ModelError(f"{name}: does not load ({type(error).__name__}: {' '.join(str(error).split())[:200]})") from None
    kind = descriptor.architecture.name
    if not isinstance(descriptor, spandrel.ImageModelDescriptor) or (descriptor.input_channels, descriptor.output_channels) != (3, 3):
        raise ModelError(f"{name}: a {kind} network from {descriptor.input_channels} to {descriptor.output_channels} channels"
                         f"{'' if isinstance(descriptor, spandrel.ImageModelDescriptor) else ' and a mask'}; only RGB to RGB is enlarged here")
    check_scale(name, descriptor.scale)
    descriptor.model.requires_grad_(False)
    needs = descriptor.size_requirements
    network = Outside(Runner(descriptor), descriptor.scale, f"{name}: {kind} {digest}", needs.minimum, needs.multiple_of)
    try:
        network.whole = looks_everywhere(descriptor.model, *(-(-side // needs.multiple_of) * needs.multiple_of for side in (max(16, needs.minimum), 192)))
    except Exception:  # a network that has no gradient is measured by differences alone
        network.whole = False
    return measured(network)


class Runner:
    """Calls a spandrel descriptor, which pads to the sizes that its network wants, on the device of the image."""

    def __init__(self, descriptor):
        self.descriptor = descriptor

    def __call__(self, lr: torch.Tensor) -> torch.Tensor:
        if self.descriptor.device != lr.device:
            self.descriptor.to(lr.device)
        return self.descriptor(lr).clone()


def check_scale(name: str, scale: int) -> None:
    """Raise ModelError where a file's name states another scale than its tensors.

    An ESRGAN network of scale 3 has the tensors of one of scale 2 and would be run as such: only its name can tell.
    """
    stem = Path(name).stem.lower()
    stated = {int(number) for pair in re.findall(r"(?<![a-z0-9])x([1-8])(?![a-z0-9])|(?<![a-z0-9])([1-8])x(?![a-z0-9])", stem.replace("_", "-")) for number in pair if number}
    if stated and scale not in stated:
        raise ModelError(f"{name}: its name says x{min(stated)}, and its tensors read as x{scale} (networks of scale 3 and 2 can look alike); "
                         "rename the file if the name is wrong")


def digest_of(state: dict) -> str:
    """A short name of the weights themselves."""
    digest = hashlib.sha256()
    for key, value in sorted(state.items()):
        digest.update(key.encode() + bytes_of(value))
    return digest.hexdigest()[:16]


def _spandrel(path):
    try:
        import spandrel
    except ImportError:
        raise ModelError(f"{path}: other architectures than ESRGAN's RRDBNet need spandrel, which is not installed: pip install spandrel") from None
    return spandrel
