"""What a test process needs before huggingface_hub is imported: the loopback Hub, empty caches, the tiny profile.

Imported by the conftest files of tests/ and notebooks/; notebook kernels inherit it. A machine with a GPU, a token or a
warm cache runs the same tests as one without.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

from loopback import Hub

assert "huggingface_hub" not in sys.modules, "huggingface_hub read its settings before the tests could set them"

FOLDER = Path(tempfile.mkdtemp(prefix="srgan-tests-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
HUB = Hub({})

for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE"):
    os.environ.pop(name, None)
os.environ |= HUB.environment(FOLDER / "hub")
os.environ |= {"SRGAN_PROFILE": "tiny", "SRGAN_DATA": "sample", "SRGAN_CACHE": str(FOLDER / "cache"),
               "SRGAN_RUNS": str(FOLDER / "runs"), "SRGAN_PRECISION": "float32",
               "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
