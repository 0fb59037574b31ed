"""Both stages of training: the steps, the run, its config and its checkpoints."""

from .checkpoint import RunFolder, read_log
from .config import COLAB, LIVE, PAPER, PROFILES, TINY, TrainConfig, learning_rate, make_generator
from .device import decided, make_accelerator
from .steps import freeze_statistics, srgan_step, srresnet_step, update_ema
from .trainer import Trainer, train
from .validation import Validation

__all__ = [
    "COLAB", "LIVE", "PAPER", "PROFILES", "TINY", "RunFolder", "TrainConfig", "Trainer", "Validation", "decided", "freeze_statistics",
    "learning_rate", "make_accelerator", "make_generator", "read_log", "srgan_step", "srresnet_step", "train", "update_ema",
]
