"""Every answer at many seeds: its mark, whether a seed decides it, whether the first message names the mistake, what `check` says.

    python tests/runs/marks.py                      # the answers of tests/grading
    python tests/runs/marks.py FOLDER --seeds 40    # those of FOLDER: wrong.py, right.py, extra.py, in sections `# %% ID | exercise | what`

IDs that begin with R or Y are right answers, all others are wrong ones. Prints a line an answer, and exits with 1 when a mark
differs from seed to seed, a right answer loses points, a wrong one keeps them all, or `check` and `grade` disagree.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "grading")]


def collected(folder: Path | None) -> list[tuple]:
    """(answer, right?) of a folder, or of the tests."""
    import answers
    if folder is None:
        import test_marks
        return [(answer, False) for answer in test_marks.WRONG] + [(answer, True) for answer in test_marks.RIGHT]
    found = [answer for name in ("wrong.py", "right.py", "extra.py") if (folder / name).exists() for answer in answers.read_answers(folder / name)]
    return [(answer, answer.id[:1] in "RY") for answer in found]


def line(answer, right: bool, base: list[str], seeds: int) -> dict:
    """One answer at all seeds, and once in the notebook."""
    import answers
    from srgan_lib.grading.judge import load_exercises, message
    cells, kept = answers.place(base, answer), {}
    results = [answers.grade_answer(cells, answer.exercise, seed, kept) for seed in range(seeds)]
    points, accepted, _ = answers.check_answer(cells, answer.exercise, 0)
    marks, most = sorted({result.points for result in results}), load_exercises()[answer.exercise].points
    named = all(result.mistake for result in results)
    return {"marks": marks, "of": most, "named": named, "message": message(results[0]), "agree": accepted == (results[0].points == most),
            "good": len(marks) == 1 and (marks[0] == most) == right}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--seeds", type=int, default=40)
    arguments = parser.parse_args()
    import answers
    import torch
    torch.set_num_threads(1)
    base, began, bad = answers.solution_cells(), time.process_time(), []
    count = {True: [0, 0, 0], False: [0, 0, 0]}
    for answer, right in collected(arguments.folder):
        row = line(answer, right, base, arguments.seeds)
        tally = count[right]
        tally[0], tally[1], tally[2] = tally[0] + 1, tally[1] + row["good"], tally[2] + row["named"]
        said = "" if right and row["good"] else ("named   " if row["named"] else "unnamed ")
        marks = ", ".join(f"{mark:g}" for mark in row["marks"])
        print(f"{answer.id:4} {answer.exercise:25} {answer.what[:60]:60} {marks:>6} of {row['of']:<2} {'' if row['agree'] else 'CHECK DISAGREES '}{said}{row['message'][:400]}", flush=True)
        bad += [answer] * (not row["good"] or not row["agree"])
    wrong, fine = count[False], count[True]
    print(f"\n{wrong[1]} of {wrong[0]} wrong answers have one mark at {arguments.seeds} seeds, below the full one; {wrong[2]} are named at every seed; "
          f"{fine[1]} of {fine[0]} right ones have all points; {len(bad)} answers to look at; {time.process_time() - began:.0f} s of one processor")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
