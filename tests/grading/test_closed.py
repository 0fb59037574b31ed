"""An installation that is root's alone: submissions run in it all the same, and reach nothing more than before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hostile
import pytest

from srgan_lib.grading import walls

root = pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="root on Linux alone gives its number away")

GRADED = """
import json, sys
from pathlib import Path
from srgan_lib.grading.judge import grade_notebook, load_exercises
from srgan_lib.grading.server import Sandbox
with Sandbox(call_seconds=2, mode=sys.argv[2]) as box:
    row = grade_notebook(Path(sys.argv[1]), box, 0, load_exercises())
    psnr = next(item for item in row["exercises"] if item["name"] == "psnr")
    print(json.dumps([box.mode, row["error"], psnr["points"], psnr["message"]]))
"""
PSNR = """
import private_package
import ctypes, os
from pathlib import Path
import torch

def psnr(a, b, peak=1.0):
    rights = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff")) if Path("/proc/self").exists() else "0"
    if os.getuid() == 0 or int(rights, 16) & ~6:
        raise RuntimeError("too many rights: " + rights)
    try:
        open("/etc/srgan-probe", "w")
        raise RuntimeError("wrote outside")
    except OSError:
        pass
    handle = ctypes.create_string_buffer(8 + 128)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.open_by_handle_at(-100, handle, 0) != -1 or ctypes.get_errno() != 1:
        raise RuntimeError(f"a file by its handle: {ctypes.get_errno()}")
    return private_package.psnr(a, b, peak)
"""


@pytest.fixture
def closed(tmp_path) -> Path:
    """A Python whose environment is a folder of mode 0700, with a package of its own that nobody else may read."""
    home = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    packages = next((home / "lib").glob("python3*/site-packages"))
    (packages / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    (packages / "private_package").mkdir(mode=0o700)
    (packages / "private_package" / "__init__.py").write_text(hostile.PSNR)
    home.chmod(0o700)
    return home / "bin" / "python"


@root
@pytest.mark.parametrize("mode", ["namespaces", "limits"])
def test_a_closed_environment_grades_as_an_open_one(mode, closed, tmp_path, subprocess_environment):
    submission = tmp_path / "a.ipynb"
    submission.write_bytes(hostile.notebook([PSNR]))
    done = subprocess.run([str(closed), "-c", GRADED, str(submission), mode], env=subprocess_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    reached, error, points, message = json.loads(done.stdout)
    assert reached in (mode, "limits") and error is None and points > 0, message


@pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")
def test_what_others_may_read_is_told_from_what_they_may_not(tmp_path):
    folder = tmp_path / "packages"
    (folder / "inside").mkdir(parents=True)
    (folder / "file.py").write_text("")
    for path, closed, opened in ((folder, 0o700, 0o755), (folder / "inside", 0o750, 0o755), (folder / "file.py", 0o600, 0o644)):
        before = walls._closed(str(folder), False)
        path.chmod(closed)
        assert walls._closed(str(folder), False)
        path.chmod(opened)
        assert walls._closed(str(folder), False) == before
