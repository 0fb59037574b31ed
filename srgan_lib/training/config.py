"""What decides a run: the fields, the four budgets, and what follows from them."""

import math
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import nn

from ..data import DEGRADATIONS
from ..errors import TrainingError
from ..losses import ADVERSARIAL, CONTENT
from ..models import ARCHITECTURES, PRECISIONS, Discriminator, PatchDiscriminator, begin_as_bicubic, load_generator


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run; stored with it. The defaults are the paper's stage 1."""

    stage: str = "srresnet"          # "srresnet" (content loss alone) or "srgan" (content + adversarial)
    seed: int = 0
    init: str = ""                   # generator to start from: a shipped name, folder or Hub repo; "" = as `start` says
    start: str = "random"            # without init: "random" (the paper's) or "bicubic" (SRResNet begins as almost bicubic)
    architecture: str = "SRResNet"
    scale: int = 4
    blocks: int = 16
    channels: int = 64
    upsampling: str = "pixelshuffle"
    normalization: str = "batch"
    frozen_batch_norm: bool = False  # G trains with init's running statistics, as it will be used, instead of each batch's own
    output: str = "linear"
    batch: int = 16                  # patches a step, over all processes
    hr_size: int = 96                # pixels
    pad_small: bool = False          # images smaller than hr_size are continued by their mirror image; else they are never used
    flips: bool = True               # the eight symmetries of the square
    photometric: float = 0.0         # probability of each of brightness, darkening and saturation
    degradation: str = "bicubic"     # HR -> LR: the paper's, or "camera" (random blur, kernel, noise, JPEG: degradation.py)
    min_detail: float = 0.0          # patches with a smaller standard deviation (grey levels) are drawn again
    steps: int = 1_000_000
    learning_rate: float = 1e-4
    schedule: str = "constant"       # "constant", "drop" (a tenth from half-way, the paper's stage 2), "cosine"
    warmup: int = 0                  # steps of linear rise
    gradient_clip: float = 0.0       # a longer gradient of a network is shortened to this length; 0 = as it is (Pascanu et al. 2013)
    ema: float = 0.999               # decay of the averaged generator, which is what is validated and exported
    content: str = "mse"
    vgg_weights: str = "auto"
    pixel_weight: float = 0.0        # stage 2: l1 of the pixels beside a VGG loss
    total_variation: float = 0.0
    consistency_weight: float = 0.0  # of what SR - HR still holds when both are shrunk to LR's size, where nothing need be invented
    artifact_weight: float = 0.0     # stage 2: of what is invented and changes from step to step (`artifacts` in terms.py)
    smooth_weight: float = 0.0       # stage 2: of what is added where HR is smooth (`smooth` in terms.py)
    grid_weight: float = 0.0         # of what SR - HR repeats at the generator's scale: against a checkerboard
    adversarial: str = "bce"
    adversarial_weight: float = 1e-3
    discriminator_head: str = "dense"  # the paper's; "pooled" takes any size, "patch" judges many overlapping patches (PatchDiscriminator)
    discriminator_sees_lr: bool = False  # D gets LR too, enlarged, and can tell what does not belong there (conditional: Isola et al. 2017, sec. 3.1)
    discriminator_init: str = ""     # a .safetensors file of discriminator weights to start from; "" = random
    discriminator_channels: int = 64
    discriminator_normalization: str = "batch"  # "none" for a critic (wgan, wgan-gp), or to let D see the contrast of textures
    discriminator_every: int = 1     # D is updated in every n-th step only: n generator steps for each of the discriminator
    generator_every: int = 1         # and G: n critic steps for each of the generator (5 in Gulrajani et al. 2017)
    instance_noise: float = 0.0      # standard deviation on D's inputs at the first step, falling evenly to
    instance_noise_end: float = 0.0  # this one at the last
    jitter: int = 0                  # pixels: the losses see SR and HR rolled by up to this, so that no grid of theirs locks onto G's
    precision: str = "auto"          # "float32", "bfloat16", "float16"; auto is stored as what was chosen: models/precision.py
    log_every: int = 100
    valid_every: int = 1000
    checkpoint_every: int = 1000

    def __post_init__(self):
        """Raises TrainingError, one sentence, for a field that no run could have."""
        for field in fields(self):
            _check_value(field.name, field.type, getattr(self, field.name))
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise TrainingError(f"{LABELS.get(name, name)} {getattr(self, name)!r}: want one of {', '.join(map(str, known))}")
        if min(self.discriminator_every, self.generator_every) != 1:
            raise TrainingError(f"discriminator_every={self.discriminator_every}, generator_every={self.generator_every}: "
                                "want 1 for one of them and a positive number for the other")
        if self.hr_size % self.scale:
            raise TrainingError(f"hr_size {self.hr_size}: want a multiple of the scale, {self.scale}")
        if self.stage == "srgan" and self.discriminator_head == "dense" and self.hr_size % 16:
            raise TrainingError(f"hr_size {self.hr_size}: the discriminator's dense head wants a multiple of 16; discriminator_head=pooled takes any")
        if self.frozen_batch_norm and not self.init:
            raise TrainingError("frozen_batch_norm: wants init, whose running statistics it keeps")
        if self.start == "bicubic" and not self.init:
            self._check_bicubic_start()
        if self.grid_weight and self.hr_size < 8 * self.scale:
            raise TrainingError(f"grid_weight: wants hr_size of {8 * self.scale} or more at scale {self.scale}, got {self.hr_size}")

    def _check_bicubic_start(self):
        shuffled = self.upsampling in ("pixelshuffle", "pixelshuffledirect")
        if (self.architecture, self.output) != ("SRResNet", "linear") or not shuffled or self.channels < 3:
            raise TrainingError("start bicubic: wants architecture SRResNet, upsampling pixelshuffle or pixelshuffledirect, output linear and "
                                "3 or more channels; start=random takes any")


CHOICES = {
    "stage": ("srresnet", "srgan"), "start": ("random", "bicubic"), "architecture": ARCHITECTURES, "scale": (2, 3, 4, 8), "degradation": DEGRADATIONS,
    "upsampling": ("pixelshuffle", "pixelshuffledirect", "transposed", "resize"), "normalization": ("batch", "none"), "output": ("linear", "tanh"),
    "schedule": ("constant", "drop", "cosine"), "content": CONTENT, "adversarial": ADVERSARIAL,
    "precision": PRECISIONS, "discriminator_head": ("dense", "pooled", "patch"), "discriminator_normalization": ("batch", "none"),
}
BEFORE = {"precision": "float32"}  # what a run older than a field did, where that is not the default of today
LABELS = {"content": "content loss", "adversarial": "adversarial loss"}
AT_LEAST_ONE = ("blocks", "channels", "batch", "hr_size", "steps", "discriminator_channels", "log_every", "valid_every", "checkpoint_every")

AT_MOST = {"blocks": 1024, "channels": 4096, "discriminator_channels": 4096, "batch": 65_536, "hr_size": 16_384, "jitter": 16_384, "seed": 2**40,
           "steps": 10**12, "warmup": 10**12, "log_every": 10**12, "valid_every": 10**12, "checkpoint_every": 10**12,
           "discriminator_every": 10**6, "generator_every": 10**6}  # beyond these no machine goes, and numbers overflow


def _check_value(name: str, kind: type, value) -> None:
    """Raise TrainingError unless a value is of its field's type, finite and in the range that the field has."""
    right = {str: str, bool: bool, int: Integral, float: Real}[kind]
    if not isinstance(value, right) or (kind is not bool and isinstance(value, bool)):
        raise TrainingError(f"{name} {value!r}: want a value of type {kind.__name__}")
    if kind is float and not math.isfinite(value):
        raise TrainingError(f"{name} {value}: want a finite number")
    if name in AT_LEAST_ONE and value < 1:
        raise TrainingError(f"{name} {value}: want 1 or more")
    if value > AT_MOST[name] if name in AT_MOST else False:
        raise TrainingError(f"{name} {value}: want {AT_MOST[name]} or less")
    if name == "jitter" and value < 0:
        raise TrainingError(f"jitter {value}: want 0 or a number of pixels")
    if kind in (int, float) and name not in ("discriminator_every", "generator_every") and value < 0:
        raise TrainingError(f"{name} {value}: want 0 or more")
    if name == "learning_rate" and value == 0:
        raise TrainingError("learning_rate 0: want a positive number")
    if (name == "ema" and value >= 1) or (name == "photometric" and value > 1):
        raise TrainingError(f"{name} {value}: want a number from 0 to 1" + (", 1 left out" if name == "ema" else ""))


class Profile(NamedTuple):
    """The two stages of one budget."""

    srresnet: TrainConfig
    srgan: TrainConfig


def _profile(first: TrainConfig, **second) -> Profile:
    return Profile(first, replace(first, **{"stage": "srgan", "content": "vgg54", "warmup": 0, **second}))


PAPER = _profile(TrainConfig(), steps=200_000, schedule="drop")
COLAB = _profile(
    TrainConfig(steps=40_000, learning_rate=4e-4, schedule="cosine", warmup=500, content="l1", min_detail=4.0),
    steps=12_000, learning_rate=1e-4, schedule="drop")
TINY = _profile(
    TrainConfig(blocks=2, channels=16, batch=4, hr_size=48, steps=60, learning_rate=1e-3, schedule="cosine", content="l1",
                ema=0.9, log_every=10, valid_every=30, checkpoint_every=20),
    steps=20, learning_rate=1e-4, content="vgg22", vgg_weights="random", discriminator_channels=16, log_every=5, valid_every=10, checkpoint_every=10)
LIVE = _profile(  # a CPU, while the reader looks on: a small network past bicubic, then the shipped one against a discriminator
    TrainConfig(start="bicubic", blocks=2, channels=16, batch=4, hr_size=48, steps=2000, learning_rate=1e-3, schedule="cosine", warmup=100,
                content="l1", ema=0.99, log_every=50, valid_every=100, checkpoint_every=500),
    init="srresnet-x4", frozen_batch_norm=True, blocks=16, channels=64, start="random", steps=120, learning_rate=4e-4, warmup=10, ema=0.9,
    min_detail=6.0, adversarial_weight=2e-2, grid_weight=0.5, discriminator_channels=32, generator_every=3, content="l1",
    log_every=10, valid_every=20, checkpoint_every=60)
ENLARGING = ("upsample.", "conv_up")  # where generators of one architecture differ that differ in scale
PROFILES = {"tiny": TINY, "live": LIVE, "colab": COLAB, "paper": PAPER}


def learning_rate(config: TrainConfig, step: int) -> float:
    """The rate of step `step`, a pure function of the config."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = step / config.steps
    factor = {"constant": 1.0, "drop": 1.0 if done < 0.5 else 0.1, "cosine": 0.5 * (1 + math.cos(math.pi * done))}
    return config.learning_rate * factor[config.schedule]


def resting(config: TrainConfig, step: int) -> set[str]:
    """The network that is not updated in step `step` of stage 2, so that the other takes several steps for each of its own.

    Every step brings a fresh batch; one of the two is updated in each.
    """
    turns = {"discriminator": config.discriminator_every, "generator": config.generator_every}
    return {name for name, every in turns.items() if (step + 1) % every}


def make_generator(config: TrainConfig) -> nn.Module:
    """The generator of a config with weights from config.init, or from config.seed. Raises ModelError or TrainingError."""
    torch.manual_seed(config.seed)
    options = {"scale": config.scale, "channels": config.channels}
    if config.architecture == "SRResNet":
        options |= {key: getattr(config, key) for key in ("blocks", "upsampling", "normalization", "output")}
    if config.architecture == "RRDBNet":
        options |= {"blocks": config.blocks, "growth": config.channels // 2}  # 64 and 32 in Wang et al. 2018
    try:
        generator = ARCHITECTURES[config.architecture](**options)
    except ValueError as error:  # not every architecture has every scale
        raise TrainingError(str(error)) from None
    if config.init:
        start(generator, config.init)
    elif config.start == "bicubic":
        begin_as_bicubic(generator)
    return generator


def make_discriminator(config: TrainConfig) -> nn.Module:
    """The discriminator of a config, with weights from config.discriminator_init if it names a file. Raises TrainingError."""
    norm = "none" if config.adversarial.startswith("wgan") else config.discriminator_normalization  # a critic has no batch norm
    if config.discriminator_head == "patch":
        discriminator = PatchDiscriminator(norm, config.discriminator_channels)
    else:
        discriminator = Discriminator(config.hr_size, config.discriminator_head, norm, config.discriminator_channels)
    first = discriminator.features[0]
    if config.discriminator_sees_lr:  # its colours behind those of the image
        first = discriminator.features[0] = nn.Conv2d(2 * first.in_channels, first.out_channels, first.kernel_size, first.stride, first.padding)
    if config.discriminator_init:
        try:
            discriminator.load_state_dict(_seeing(load_file(config.discriminator_init), first.in_channels), strict=True)
        except Exception as error:  # safetensors raises a type of its own for a broken file
            raise TrainingError(f"discriminator_init {config.discriminator_init}: does not load ({' '.join(str(error).split())[:200]})") from None
    return discriminator


def _seeing(state: dict[str, torch.Tensor], inputs: int) -> dict[str, torch.Tensor]:
    """Weights of a discriminator that saw the image alone, for one that sees LR too: at first it takes no notice of it."""
    first = state["features.0.weight"]
    if first.shape[1] < inputs:
        state["features.0.weight"] = torch.cat([first, first.new_zeros(len(first), inputs - first.shape[1], *first.shape[2:])], 1)
    return state


def start(generator: nn.Module, init: str) -> None:
    """Fill a generator with init's weights, in place. Raises TrainingError for an init of another architecture.

    One of another scale gives all but the layers that enlarge: those that it lacks stay as they are, which is said aloud.
    """
    source = load_generator(init)
    state, own = source.state_dict(), generator.state_dict()
    differing = {key for key in {*state, *own} if key not in state or key not in own or state[key].shape != own[key].shape}
    foreign = sorted(key for key in differing if source.scale == generator.scale or not key.startswith(ENLARGING))
    if foreign or type(source) is not type(generator):
        raise TrainingError(f"init {init}: another architecture, differing at {', '.join(foreign[:3]) or type(source).__name__}")
    generator.load_state_dict(own | {key: state[key] for key in {*state} - differing})
    if differing:
        lacking = sorted(differing & {*own})
        print(f"note: init {init} enlarges by {source.scale}, this generator by {generator.scale}: "
              + (f"{', '.join(lacking)} begin at random" if lacking else f"{len(differing)} of its tensors are not needed"))
