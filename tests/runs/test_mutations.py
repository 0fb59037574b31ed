"""Damaged files end in a picture or one sentence: 100 by default, 1,000 by marker."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="limits and memory are read from resource, which Windows lacks")


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_mutated_files_end_in_a_picture_or_a_sentence(count, subprocess_environment):
    script = Path(__file__).with_name("mutations.py")
    done = subprocess.run([sys.executable, script, str(count)], capture_output=True, text=True, env=subprocess_environment)
    assert done.returncode == 0, done.stderr[-2000:]  # a hang ends by SIGALRM, a crash by its own signal
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["ends"].keys() <= {"picture", "sentence", "large"}, report
    assert min(report["ends"][end] for end in ("picture", "sentence")) > count / 10
    assert report["grown_mb"] < 1500  # 80 megapixels, the limit, are 0.24 GB as RGB and twice that while being converted
