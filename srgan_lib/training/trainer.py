"""Both stages of training: SRResNet on pixels, then SRGAN against a discriminator (Ledig et al. 2017, sec. 3.2)."""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

from ..data import ImageBank, patches
from ..errors import NotFiniteError, TrainingError
from ..losses import VGGLoss, adversarial_loss, content_loss, jittered
from ..models import choose_precision
from ..models.loading import not_finite
from ..models.precision import in_precision
from ..upscaling.memory import free_memory, out_of_memory
from .checkpoint import RunFolder
from .config import TrainConfig, make_discriminator, make_generator
from .device import decided, make_accelerator, threads_for
from .gradients import convolutions_pay, keep_freed_memory, with_fast_gradients
from .health import Health, first_broken
from .optimizers import Updates
from .result import export
from .steps import freeze_statistics, srgan_step, srresnet_step, update_ema
from .terms import Terms
from .validation import Validation


class Trainer:
    """The networks, optimizers and average of one run on one device; `step` advances them by one batch."""

    def __init__(self, config: TrainConfig, accelerator: Accelerator):
        self.config, self.accelerator = config, accelerator
        self.precision = choose_precision(config.precision, accelerator.device, training=True)
        if accelerator.device.type == "cpu":
            keep_freed_memory()
        self.generator = self._place(make_generator(config).train())
        if config.frozen_batch_norm:
            freeze_statistics(self.generator)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        with_fast_gradients(self.generator, convolutions_pay(config.channels, self.precision))
        self.content = self._content()
        networks = {"generator": self.generator}
        if config.stage == "srgan":
            self.adversarial = adversarial_loss(config.adversarial)
            self.adversarial.generator = self._noted(self.adversarial.generator)
            discriminator, fast = make_discriminator(config).train(), convolutions_pay(config.discriminator_channels, self.precision)
            self.discriminator = with_fast_gradients(self._place(discriminator), fast)
            penalty = self.adversarial.penalty
            self.adversarial.penalty = lambda _, hr, sr: penalty(self.discriminator, hr, sr)  # a gradient of a gradient: in float32
            self.discriminator.register_forward_pre_hook(lambda module, inputs: (self._shown(inputs[0]),))
            networks["discriminator"] = self.discriminator
        self.networks, self.noise, self.enlarged = networks, 0.0, None
        self.updates = Updates(networks, config, accelerator, scaled=self.precision == "float16")
        self.forwards = {name: in_precision(network, self.precision) for name, network in networks.items()}

    def _place(self, network: nn.Module) -> nn.Module:
        if self.accelerator.num_processes > 1 and self.accelerator.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return network.to(self.accelerator.device, memory_format=torch.channels_last)

    def _content(self):
        config = self.config
        main = content_loss(config.content, config.vgg_weights)
        if isinstance(main, nn.Module):
            main = main.to(self.accelerator.device, memory_format=torch.channels_last)
        if isinstance(main, VGGLoss):
            main.features = in_precision(main.features, self.precision)

        return Terms(config, main)

    def _noted(self, loss):
        return lambda *logits: self.content.adversarial(loss(*logits))

    def _enlarge(self, lr):
        return F.interpolate(lr, scale_factor=self.config.scale, mode="bicubic")

    def _shown(self, picture):
        """What D sees of an image: some noise on it, and the enlarged LR behind it, where there is one."""
        if self.noise:
            picture = picture + self.noise * torch.randn_like(picture)
        return picture if self.enlarged is None else torch.cat([picture, self.enlarged], 1)

    def step(self, lr, hr, step: int) -> dict[str, torch.Tensor]:
        """One training step on a batch -> the losses as tensors on the device (nothing waits for them here)."""
        config = self.config
        torch.manual_seed(config.seed * 1_000_003 + step)  # whatever is drawn inside a step depends on the step alone
        self.updates.begin(step)
        self.content.watching = self.updates.watching and config.stage == "srgan"
        lr, hr = (x.to(self.accelerator.device, memory_format=torch.channels_last, non_blocking=True) for x in (lr, hr))
        hr, generator, steady, enlarge = jittered(hr, config.jitter, self.forwards["generator"], self.average, self._enlarge)
        if config.artifact_weight:
            with torch.no_grad():
                self.content.steady = steady(lr)
        if config.stage == "srresnet":
            losses = srresnet_step(lr, hr, generator, self.content, self.updates)
        else:
            self.noise = config.instance_noise + (config.instance_noise_end - config.instance_noise) * step / config.steps
            self.enlarged = enlarge(lr) if config.discriminator_sees_lr else None
            losses = srgan_step(lr, hr, generator, self.forwards["discriminator"], self.content, self.adversarial,
                                config.adversarial_weight, self.updates)
            self.adversarial.constrain(self.discriminator)
        self.updates.end()
        update_ema(self.average, self.generator, min(config.ema, (1 + step) / (10 + step)))
        return {name: value.detach() for name, value in losses.items()}

    def pulls(self) -> dict[str, float]:
        """How hard each term of stage 2 pulled at SR in the last step that was watched (this process's patches): see `Terms`."""
        return {f"pull_{name}": float(value) for name, value in self.content.pulls.items()}

    def state(self, step: int, seconds: float) -> dict:
        """Everything that going on needs, after `step` steps: networks, average, optimizers, scaler."""
        networks = {name: network.state_dict() for name, network in {**self.networks, "average": self.average}.items()}
        return {"step": step, "seconds": seconds, "networks": networks, **self.updates.state()}

    def restore(self, state: dict) -> None:
        """Go on from a checkpoint. Raises TrainingError for one of other networks, NotFiniteError for one that is not finite."""
        networks = {**self.networks, "average": self.average}
        try:
            if state["networks"].keys() != networks.keys():
                raise ValueError(f"it holds {', '.join(state['networks'])}")
            for name, network in networks.items():
                network.load_state_dict(state["networks"][name])
            self.updates.restore(state)
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise TrainingError(f"the checkpoint is of other networks than this config describes ({reason}); nothing was changed: use "
                                "another folder, and --init to start from its generator") from None
        broken = [f"{name}.{key}" for name, network in networks.items() if (key := not_finite(network.state_dict()))]
        if broken:
            raise NotFiniteError(f"the checkpoint of step {state['step']} is not finite (NaN or infinite at {broken[0]}); move it away, so that the run "
                                 "goes on from the one before it, or begin anew in another folder")


def train(config: TrainConfig, bank: ImageBank, run: str | Path, valid: ImageBank | None = None, backup: str | Path | None = None,
          device: str | None = None, accept_changes: bool = False) -> Iterator[dict]:
    """Run one stage to its end and yield a record every config.log_every steps; call it again to go on after a stop.

    `precision=auto` is decided first, and what was chosen is stored: see `decided`.
    `run/` receives config.json, log.jsonl, checkpoints, samples of the `valid` pictures, and at the end generator/, the
    averaged generator as `save_pretrained` writes it. On one machine and thread count, a resumed run equals an uninterrupted
    one bit for bit on a CPU. Record fields: step, the mean losses since the last record, learning_rate, images_per_s,
    data_wait (share of the time), eta_s, precision, and psnr (dB, validation) at every config.valid_every steps.
    Raises TrainingError for a folder of another config (naming the fields), of other data, or in which another train is at
    work, for a full disk, and NotFiniteError for a loss, gradient or weight that is not finite.
    """
    accelerator = make_accelerator(device)
    config = decided(config, accelerator, run, backup)
    if config.batch % accelerator.num_processes:
        raise TrainingError(f"batch {config.batch} does not divide among {accelerator.num_processes} processes")
    with memory_explained(config):
        check_memory(config, accelerator.device)
        trainer = Trainer(config, accelerator)
        patches(bank, 0, config)  # what cannot start, for its pictures' size or its init, must not leave a run folder behind
        folder = RunFolder(run, backup, writes=accelerator.is_main_process)
        with folder.held():
            yield from _run(config, bank, trainer, folder, valid, accept_changes)


def _run(config, bank, trainer, folder, valid, accept_changes) -> Iterator[dict]:
    """Nothing is written into a folder that holds a run before everything has been checked and restored."""
    accelerator = trainer.accelerator
    if accelerator.is_main_process:
        folder.compare(config, accept_changes, bank.identity())
    accelerator.wait_for_everyone()  # a backup has been fetched
    validation = Validation(valid, config.scale, degradation=config.degradation) if valid is not None and accelerator.is_main_process else None
    state = folder.load()
    start, seconds = (state["step"], state.get("seconds", 0.0)) if state else (0, 0.0)
    if state:
        trainer.restore(state)
    accelerator.wait_for_everyone()
    folder.describe(config, bank.identity())
    folder.forget_after(start)
    del state
    if start >= config.steps and accelerator.is_main_process:
        export(trainer.average, folder.folder)
    yield from _loop(config, bank.to(accelerator.device), trainer, folder, validation, start, seconds)


@contextmanager
def memory_explained(config: TrainConfig) -> Iterator[None]:
    """Memory that runs out becomes a TrainingError; every other error passes."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise TrainingError(f"not enough memory for batch {config.batch} with patches of {config.hr_size} pixels, {config.blocks} blocks and "
                            f"{config.channels} channels; lower one of them") from None


def check_memory(config: TrainConfig, device: torch.device) -> None:
    """Raise TrainingError for a generator whose weights, average, gradient and Adam's two means do not fit, before it is built."""
    with torch.device("meta"):
        need = 5 * sum(4 * p.numel() for p in make_generator(replace(config, init="", frozen_batch_norm=False)).parameters())
    if need > (free := free_memory(device)):
        raise TrainingError(f"a generator of {config.blocks} blocks and {config.channels} channels needs {need / 1e9:.1f} GB of memory to be trained, "
                            f"{free / 1e9:.1f} GB are free")


def _loop(config, bank, trainer, folder, validation, start, seconds) -> Iterator[dict]:
    accelerator, health = trainer.accelerator, Health(folder.records(), config.adversarial)
    rank, world = accelerator.process_index, accelerator.num_processes
    sums, waited, since, saved = {}, 0.0, time.perf_counter(), start
    for step in range(start, config.steps):
        before = time.perf_counter()
        with threads_for(config, accelerator.device):
            lr, hr = patches(bank, step, config, rank, world)
            waited += time.perf_counter() - before
            losses = trainer.step(lr, hr, step)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0) + value
        done, last = step + 1, step + 1 == config.steps
        if done % config.log_every == 0 or done % config.checkpoint_every == 0 or last:
            count = done - max(start, (done - 1) // config.log_every * config.log_every)
            means = {name: float(accelerator.reduce(value.float(), "mean")) / count for name, value in sums.items()}
            first_broken(means, trainer, done, saved)
        if done % config.log_every == 0 or last:
            elapsed = time.perf_counter() - since
            seconds += elapsed
            record = {"step": done, **means, "learning_rate": trainer.updates.learning_rate,
                      "images_per_s": config.batch * count / elapsed, "data_wait": waited / elapsed,
                      "seconds": seconds, "eta_s": (config.steps - done) * elapsed / count, "precision": trainer.precision, **trainer.pulls()}
            if validation and (done % config.valid_every == 0 or last):
                record["psnr"], picture = validation(trainer.average)
                folder.sample(done, picture)
            health(record)
            folder.log(record)
            sums, waited, since = {}, 0.0, time.perf_counter()
        if done % config.checkpoint_every == 0 or last:
            folder.save(trainer.state(done, seconds))
            saved = done
        if last and accelerator.is_main_process:
            export(trainer.average, folder.folder)
        if done % config.log_every == 0 or last:
            yield record
