"""Kaggle's notebooks: data sets that are attached lie in /kaggle/input, unpacked, and secrets come from a package of Kaggle's."""

import os
from pathlib import Path

INPUT = Path("/kaggle/input")
DEPTH = 4  # folders below INPUT in which a set is looked for


def attached(file: str) -> Path | None:
    """Where an archive of this name is attached: the archive itself, or the folder that Kaggle unpacked it into; None without one."""
    name = Path(file).name
    stem = name.removesuffix(".gz").removesuffix(".tar").removesuffix(".zip")
    for depth in range(1, DEPTH + 1):
        for wanted in (name, stem):
            found = sorted(INPUT.glob("/".join(["*"] * (depth - 1) + [wanted])))
            if found:
                return found[0]
    return None


def use_secret(name: str = "HF_TOKEN") -> None:
    """Let the Hub's client find the notebook's secret of this name, as it finds Colab's; nothing elsewhere, or where there is none."""
    if os.environ.get(name) or "KAGGLE_KERNEL_RUN_TYPE" not in os.environ:
        return
    try:
        from kaggle_secrets import UserSecretsClient
        os.environ[name] = UserSecretsClient().get_secret(name)
    except Exception:  # no such secret, not attached to this notebook, or no network: the Hub says what it then refuses
        return
