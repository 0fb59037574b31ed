"""A class through `grade`, in one command: how long it takes, and whether every honest student gets the points that are due.

    python tests/runs/class.py                       # 100 honest notebooks
    python tests/runs/class.py --hostile 20          # 80 honest ones and 20 that attack
    python tests/runs/class.py --students 30 --regrade

Honest notebooks are the solution with one answer of tests/grading replaced. Prints seconds of wall clock and, where a control
group for accounting can be made (Linux, as root), of processor time, sandbox included: on a busy machine half of the latter is
what two quiet cores take. Exits with 1 when an honest mark is off, or, with --regrade, when another row has changed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "grading")]
GROUP = Path("/sys/fs/cgroup/cpuacct") if Path("/sys/fs/cgroup/cpuacct").is_dir() else Path("/sys/fs/cgroup")


def honest(folder: Path, number: int) -> dict[str, dict]:
    """Write `number` notebooks -> {name: {exercise: points that are due}}, for the exercises that the answer touches."""
    import answers
    import test_marks
    from hostile import notebook
    base, due = answers.solution_cells(), {}
    for i in range(number):
        answer = (test_marks.WRONG + test_marks.RIGHT)[i * 7 % len(test_marks.WRONG + test_marks.RIGHT)]
        cells = answers.place(base, answer)
        (folder / f"student{i:03}.ipynb").write_bytes(notebook(cells))
        touched, kept = [answer.exercise, *(["score"] if answer.exercise in ("luma", "psnr") else [])], {}  # score calls both
        due[f"student{i:03}"] = {name: answers.grade_answer(cells, name, 1, kept).points for name in touched}
    return due


def hostile(folder: Path, number: int) -> None:
    """Write notebooks that attack when they are called, or already when they are loaded."""
    import answers
    import hostile as attacks
    base = answers.solution_cells()
    constants = f"COURSE = {str(ROOT)!r}\nNEIGHBOUR = {str(folder / 'student000.ipynb')!r}\nHOME = {str(Path.home())!r}\nPORT = 9\nimport os, sys"
    cells = [[constants, f"def luma(rgb):\n    {body}\n"] for body, _ in attacks.CALLS.values()] + [list(parts) for parts, _ in attacks.CELLS.values()]
    for i in range(number):
        (folder / f"zz{i:03}.ipynb").write_bytes(attacks.notebook([*base, *cells[i * 3 % len(cells)]]))


def timed(arguments: list[str]) -> tuple[float, float | None]:
    """Run `grade` -> seconds of wall clock, and of processor time in a group of its own, or None."""
    group, began = GROUP / f"class-{os.getpid()}", time.monotonic()
    try:
        group.mkdir()
        enter = f"echo $$ > {group}/cgroup.procs && exec "
    except OSError:
        group, enter = None, "exec "
    command = [sys.executable, "-m", "srgan_lib", "grade", *arguments]
    done = subprocess.run(["sh", "-c", enter + '"$@"', "sh", *command], cwd=ROOT, stdout=subprocess.DEVNULL)
    wall = time.monotonic() - began
    assert done.returncode == 0
    if group is None:
        return wall, None
    usage = group / "cpuacct.usage"
    seconds = int(usage.read_text()) / 1e9 if usage.exists() else int((group / "cpu.stat").read_text().split()[1]) / 1e6
    time.sleep(1)
    try:
        group.rmdir()
    except OSError:
        pass  # something still ends
    return wall, seconds


def wrong_marks(rows: list[dict], due: dict[str, dict]) -> list[str]:
    """Honest students whose points are not those that are due."""
    found = []
    for row in rows:
        name = Path(row["notebook"]).stem
        for e in row["exercises"] if name in due else ():
            want = due[name].get(e["name"], e["out_of"])
            if e["points"] != want:
                found.append(f"{name} {e['name']}: {e['points']:g}, due {want:g}: {e['message'][:200]}")
    missing = set(due) - {Path(row["notebook"]).stem for row in rows if row["exercises"]}
    return found + [f"{name}: no result" for name in sorted(missing)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--students", type=int, default=100)
    parser.add_argument("--hostile", type=int, default=0)
    parser.add_argument("--regrade", action="store_true", help="grade one again and compare the other rows")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root, folder = Path(temporary), Path(temporary) / "class"
        folder.mkdir()
        due = honest(folder, arguments.students - arguments.hostile)
        hostile(folder, arguments.hostile)
        files = ["--json", str(root / "g.json"), "--csv", str(root / "g.csv")]
        wall, work = timed([str(folder), *files, "--html", str(root / "html"), "--gradebook", str(root / "book")])
        rows = json.loads((root / "g.json").read_text("utf-8"))
        off = wrong_marks(rows, due)
        print(f"{len(rows)} notebooks, {arguments.hostile} of them hostile: {wall:.0f} s" + (f", {work:.0f} s of processor time" if work else ""))
        print("\n".join(off) or f"{len(due)} honest ones have the points that are due")
        if arguments.regrade:
            off += regraded(folder, root, files)
    return 1 if off or len(rows) != arguments.students else 0


def regraded(folder: Path, root: Path, files: list[str]) -> list[str]:
    """Grade student001 again -> what changed besides."""
    before = {name: (root / name).read_text("utf-8") for name in ("g.json", "g.csv")}
    wall, work = timed([str(folder / "student001.ipynb"), *files, "--only", "student001"])
    lines = [line for line, old in zip((root / "g.csv").read_text("utf-8").splitlines(), before["g.csv"].splitlines()) if line != old and "student001" not in line]
    rows, old = (json.loads(text) for text in ((root / "g.json").read_text("utf-8"), before["g.json"]))
    lines += [row["notebook"] for row, was in zip(rows, old) if row != was and "student001" not in row["notebook"]] + (["rows are lost"] if len(rows) != len(old) else [])
    print(f"one graded again in {wall:.0f} s" + (f", {work:.0f} s of processor time" if work else "") + f"; {len(lines)} other rows changed")
    return lines


if __name__ == "__main__":
    sys.exit(main())
