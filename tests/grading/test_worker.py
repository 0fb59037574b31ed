"""One process an exercise: it answers all questions, dies alone, and cannot stretch its time; what a class shares is drawn once."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hostile import notebook

from srgan_lib.grading import pages, trial
from srgan_lib.grading.exercise import Exercise
from srgan_lib.grading.judge import load_exercises
from srgan_lib.grading.server import Sandbox
from srgan_lib.grading.submission import load_notebook
from srgan_lib.grading.trial import Trial, attempt

COURSE = Path(__file__).resolve().parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox with forks is Linux's")
CELL = """
import os, signal, stat, threading, time
COUNT = []

def is_socket(number):
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False

def luma(what):
    COUNT.append(1)
    if what == "die soon":
        threading.Timer(0.2, os._exit, [0]).start()
    if what == "loop":
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
        while True:
            pass
    if what == "drip":
        number = next(n for n in range(3, 128) if is_socket(n))
        os.write(number, (1 << 20).to_bytes(8, "big"))
        while True:
            os.write(number, b"x")
            time.sleep(0.05)
    return [os.getpid(), len(COUNT)]

psnr = luma
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    file = tmp_path_factory.mktemp("worker") / "a.ipynb"
    file.write_bytes(notebook([CELL]))
    with Sandbox(seconds=60, call_seconds=1) as box:
        session = box.open(load_notebook(file))
        yield session
        session.close()


def asked(session, name: str, what="") -> dict:
    """The value of one call, or the error."""
    answer = session.put({"name": name, "seed": 0, "turns": [[what]], "backward": False})
    return answer["turns"][0]["value"] if "turns" in answer else answer["error"]


@linux
def test_an_exercise_keeps_its_process_and_no_other_one_s(opened):
    (first, one), (second, two) = asked(opened, "luma"), asked(opened, "luma")
    (other, again) = asked(opened, "psnr")
    assert first == second != other and (one, two, again) == (1, 2, 1)
    assert asked(opened, "luma")[1] == 1  # nothing of the first process is left


@linux
def test_a_process_that_died_between_two_questions_is_replaced(opened):
    before = asked(opened, "luma", "die soon")
    time.sleep(1)
    after = asked(opened, "luma")
    assert after[0] != before[0] and after[1] == 1


@linux
@pytest.mark.parametrize("what", ["loop", "drip"])  # the one ignores the limit's signal, the other never stops sending
def test_a_call_that_does_not_end_is_ended_and_the_next_is_answered(what, opened):
    error = asked(opened, "luma", what)
    assert error["type"] == "Died" and "did not come to an end within 1 s" in error["text"] and error["lost"] < 30
    assert asked(opened, "luma")[1] == 1


def test_what_a_class_shares_is_made_once_and_the_draws_go_on_alike(monkeypatch):
    monkeypatch.setattr(trial, "KEPT", {})
    monkeypatch.setattr(trial, "MOST_KEPT", 2)
    made, exercise = [], Exercise("own", 1, (1,), (), lambda one: None, {}, (), False)

    def drawn(seed: int) -> list:
        one = Trial(exercise, None, seed)
        made.append(one.once("inputs", lambda: [one.draw.uniform(3), seed]))
        return [made[-1][0], one.draw.uniform(3)]
    first, second, other = drawn(1), drawn(1), drawn(2)
    assert made[0] is made[1] and all(map(torch.equal, first, second)) and not torch.equal(first[1], other[1])
    drawn(3), drawn(4)
    assert len(trial.KEPT) == 2  # the oldest are dropped
    assert drawn(1)[0] is not first[0] and all(map(torch.equal, drawn(1), first))


def test_the_second_of_a_class_gets_what_the_first_got(monkeypatch):
    """A remembered reference is worth as much as a fresh one: the same answer, the same result, whoever came before."""
    exercises = load_exercises()

    def alone(name: str):
        monkeypatch.setattr(trial, "KEPT", {})
        return attempt(exercises[name], lazy, 5)

    def lazy(question: dict) -> dict:
        return {"error": {"type": "ValueError", "text": "no", "line": None}}
    for name in exercises:
        assert alone(name) == attempt(exercises[name], lazy, 5), name


def test_draws_for_the_score_come_to_an_end():
    tests = sys.modules[load_exercises()["score"].test.__module__]
    draws = iter(range(10**6))
    assert tests._first_of(lambda: next(draws), lambda made: made == 3) == 3
    assert tests._first_of(lambda: next(draws), lambda made: False) == 3 + tests.MOST_DRAWS


def test_only_private_memory_is_joined_into_large_pages():
    maps = ("00200000-00a00000 rw-p 00000000 00:00 0 \n00b00000-01100000 rw-p 00000000 00:00 0                          [heap]\n"
            "02000000-04000000 rw-p 00000000 08:01 77                         /usr/lib/some library.so\n04000000-06000000 r--p 00000000 00:00 0 \n"
            "06000000-08000000 rw-s 00000000 00:01 9                          /dev/zero (deleted)\n08100000-08300000 rw-p 00000000 00:00 0 \n")
    assert pages._private(maps) == [(0x200000, 0xA00000), (0xC00000, 0x1000000)]


@linux
def test_joining_pages_leaves_values_alone():
    """In a process of its own, as the server does it, and for its children."""
    code = ("import os, random, sys; from srgan_lib.grading import pages\nvalues = [random.Random(0).randbytes(1000) for _ in range(20_000)]; pages.collapse()\n"
            "child = os.fork(); same = values == [random.Random(0).randbytes(1000) for _ in range(20_000)]\nos._exit(not same) if not child else sys.exit(os.waitpid(child, 0)[1] or not same)")
    assert subprocess.run([sys.executable, "-c", code], cwd=COURSE).returncode == 0
