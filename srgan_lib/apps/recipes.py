"""A training in words and as commands: its losses, and what to type to train with the same settings."""

from dataclasses import asdict, replace

from ..training import COLAB, TrainConfig

NO_DIFFERENCE = {"stage", "init", "log_every", "valid_every", "checkpoint_every"}  # fields that a recipe need not repeat


def losses(config: TrainConfig) -> str:
    """What the generator was trained to make small."""
    content = f"{config.content} of the pixels" if config.content in ("mse", "l1") else f"{config.content} features of VGG19"
    content += " with random weights" if config.vgg_weights == "random" and config.content.startswith("vgg") else ""
    weighed = {"pixel_weight": "l1 of the pixels", "consistency_weight": "l1 at the size of LR", "artifact_weight": "what is wrong and wavers",
               "smooth_weight": "what is added where HR is smooth",
               "grid_weight": f"what repeats in SR - HR every {config.scale} pixels"}
    weighed |= {"adversarial_weight": config.adversarial} if config.stage == "srgan" else {}
    terms = [f"{getattr(config, field):g} x {what}" for field, what in weighed.items() if getattr(config, field)]
    return "Loss: " + ", ".join([content, *terms])


def recipes(config: TrainConfig, runs: list[dict]) -> str:
    """The command that trains with the same settings; of several runs, each a change of the config, one behind the other.

    Each starts from the generator of the run before, or of the run whose number it names as `after`.
    """
    commands = []
    for number, changes in enumerate(runs, 1):
        before = changes.get("after", number - 1)
        fields = changes | {"init": f"runs/{config.stage}-{before}/generator" if before else config.init}
        fields.pop("after", None)
        commands.append(recipe(replace(config, **fields), f"runs/{config.stage}-{number}"))
    return " && \\\n".join(commands) or recipe(config)


def recipe(config: TrainConfig, folder: str = "") -> str:
    profile = asdict(getattr(COLAB, config.stage))
    changed = [f"--set {key}={value}" for key, value in asdict(config).items() if key not in NO_DIFFERENCE and value != profile[key]]
    words = [f"python -m srgan_lib train --data DATA --run {folder or f'runs/{config.stage}'} --stage {config.stage} --profile colab"]
    return " \\\n    ".join([*words, *[f"--init {config.init}"] * bool(config.init), *(" ".join(changed[at:at + 4]) for at in range(0, len(changed), 4))])
