"""Fixtures of all tests: the loopback Hub, small image banks, the development data where they are at hand."""

import os
import sys
from pathlib import Path

import environment  # first: it sets what huggingface_hub reads when it is imported
import pytest
import torch
from samples import photograph

from srgan_lib.data import ImageBank

ROOT = Path(__file__).parent.parent
torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """torch's random numbers are the same in a test whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def dev_data() -> Path:
    """The folder of development data; the tests that want it are skipped where it is absent."""
    folder = os.environ.get("SRGAN_DEV_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SRGAN_DEV_DATA names no folder with benchmarks and weights")
    return Path(folder)


@pytest.fixture
def no_dev_data(monkeypatch) -> None:
    """As on a user's machine: named sets come from the Hub, VGG weights from torchvision."""
    monkeypatch.delenv("SRGAN_DEV_DATA", raising=False)


@pytest.fixture
def hub(no_dev_data):
    """The loopback Hub of this process; counters at zero. Register files with hub.repos["datasets/OWNER/NAME"] = {...}."""
    from huggingface_hub import constants
    assert constants.ENDPOINT == environment.HUB.endpoint
    environment.HUB.sent = 0
    environment.HUB.requests.clear()
    environment.HUB.headers.clear()
    yield environment.HUB
    environment.HUB.repos.clear()
    environment.HUB.refused.clear()
    environment.HUB.private.clear()
    environment.HUB.token = ""


@pytest.fixture
def subprocess_environment(no_dev_data) -> dict[str, str]:
    """The environment of a Python child that imports srgan_lib from this checkout."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}


@pytest.fixture(scope="session")
def bank(tmp_path_factory) -> ImageBank:
    """Three pictures, none with a side that 2, 3 and 4 all divide."""
    pictures = [(f"{n}.png", photograph(61 + 10 * n, 83 + 7 * n, n)) for n in range(3)]
    return ImageBank.build(pictures, tmp_path_factory.mktemp("banks") / "small", progress=False)


@pytest.fixture
def python() -> str:
    return sys.executable
