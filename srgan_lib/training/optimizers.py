"""What follows a loss: gradients, their mean over processes, and Adam, for the networks of one run."""

import torch
from accelerate import Accelerator
from torch import nn

from .config import TrainConfig, learning_rate, resting

LEAST_SCALE = 2.0**-10  # of fp16's loss; it begins at 65,536 and halves at each overflow


class Updates:
    """One Adam a network. Between `begin(step)` and `end()`, `updates("generator", loss)` moves that network by its loss.

    A network that rests in a step (`discriminator_every`, `generator_every`) stays as it is. scaled: the loss is scaled, as float16 wants it.
    """

    def __init__(self, networks: dict[str, nn.Module], config: TrainConfig, accelerator: Accelerator, scaled: bool = False):
        self.config, self.accelerator = config, accelerator
        self.parameters = {name: list(network.parameters()) for name, network in networks.items()}
        fused = accelerator.device.type in ("cpu", "cuda")
        self.optimizers = {name: torch.optim.Adam(p, config.learning_rate, fused=fused) for name, p in self.parameters.items()}
        self.scaler = torch.amp.GradScaler(accelerator.device.type, enabled=scaled)
        self.learning_rate, self.resting, self.watching = config.learning_rate, set(), False
        self.norms: dict[str, torch.Tensor] = {}  # of each network's gradient, where a record will be written

    def begin(self, step: int) -> None:
        """Set the rate of a step, and who rests in it."""
        self.learning_rate = learning_rate(self.config, step)
        self.resting = resting(self.config, step) if len(self.parameters) > 1 else set()
        self.watching = (step + 1) % self.config.log_every == 0 or step + 1 == self.config.steps
        self.norms = {}
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate

    def __call__(self, name: str, loss: torch.Tensor) -> None:
        """Backward, mean over processes, Adam."""
        if name in self.resting:
            return
        self.scaler.scale(loss).backward()
        if self.accelerator.num_processes > 1:
            self._average_gradients(self.parameters[name])
        if self.watching:
            self.norms[name] = self._norm(name)
        if self.config.gradient_clip:
            self.scaler.unscale_(self.optimizers[name])
            torch.nn.utils.clip_grad_norm_(self.parameters[name], self.config.gradient_clip)
        self.scaler.step(self.optimizers[name])
        self.optimizers[name].zero_grad(set_to_none=True)

    def end(self) -> None:
        """After the last update of a step: the loss scale follows what was seen."""
        self.scaler.update()

    def _norm(self, name: str) -> torch.Tensor:
        """The length of a network's gradient. With a loss scale single overflows belong to the method: only a scale that has
        fallen to nothing says that the gradient stays infinite."""
        if self.scaler.is_enabled():
            return torch.tensor(1.0 if self.scaler.get_scale() > LEAST_SCALE else float("inf"))
        return torch.nn.utils.get_total_norm([p.grad for p in self.parameters[name] if p.grad is not None])

    def _average_gradients(self, parameters: list[nn.Parameter]) -> None:
        """One all-reduce for all gradients; simpler than a wrapper, and safe with several forward passes a step."""
        flat = torch.cat([p.grad.reshape(-1) for p in parameters])
        flat = self.accelerator.reduce(flat, "mean")
        for p, piece in zip(parameters, flat.split([p.numel() for p in parameters])):
            p.grad.copy_(piece.view_as(p.grad))

    def state(self) -> dict:
        """What a checkpoint keeps of it."""
        return {"scaler": self.scaler.state_dict(), "optimizers": {name: one.state_dict() for name, one in self.optimizers.items()}}

    def restore(self, state: dict) -> None:
        if state["optimizers"].keys() != self.optimizers.keys():
            raise ValueError(f"optimizers of {', '.join(state['optimizers'])}")
        for name, optimizer in state["optimizers"].items():
            self.optimizers[name].load_state_dict(optimizer)
        self.scaler.load_state_dict(state["scaler"])
