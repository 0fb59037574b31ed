"""No seed decides a mark, and `check` and `grade` agree: on every wrong and every right answer of this folder.

A sample of seeds; `tests/runs/marks.py` tries forty.
"""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import alternatives  # noqa: E402
import answers  # noqa: E402
import further  # noqa: E402
import mistakes  # noqa: E402
import slips  # noqa: E402

from srgan_lib.grading.judge import load_exercises  # noqa: E402

WRONG = [answers.Answer("", name, what, [source]) for name, what, _, source in mistakes.MISTAKES + further.MISTAKES + slips.MISTAKES]
RIGHT = [answers.Answer("", name, what, [source]) for name, what, source in alternatives.ALTERNATIVES + further.ALTERNATIVES + slips.ALTERNATIVES]
SEEDS = 40


@pytest.fixture(scope="module")
def base():
    torch.set_num_threads(1)
    return answers.solution_cells()


@pytest.mark.parametrize("name", load_exercises())
def test_one_mark_at_every_seed_and_in_the_notebook(name, base):
    """Each answer at two seeds of forty, others for each; the first also by `check`, which has to say the same."""
    most = load_exercises()[name].points
    for number, (answer, right) in enumerate([(a, False) for a in WRONG if a.exercise == name] + [(a, True) for a in RIGHT if a.exercise == name]):
        cells, seeds, kept = answers.place(base, answer), [(7 * number + 3 * k) % SEEDS for k in (1, 2)], {}
        results = [answers.grade_answer(cells, name, seed, kept) for seed in seeds]
        assert len({result.points for result in results}) == 1, (answer.what, seeds, results)
        assert len({result.mistake for result in results if result.mistake}) <= 1, (answer.what, seeds, results)
        assert (results[0].points == most) == right, (answer.what, results[0])
        points, accepted, text = answers.check_answer(cells, name, seeds[0])
        assert accepted == right, (answer.what, text)
        assert points == results[0].points or "no points" in text, (answer.what, text, results[0])
