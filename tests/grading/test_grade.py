"""The assignment and its graders: fair to right answers, blunt to wrong ones, unharmed by hostile ones."""

import csv
import gc
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from srgan_lib import grading
from srgan_lib.grading import preview, sandbox, session, submission
from srgan_lib.grading.grade import FAILED_ATTEMPTS
from srgan_lib.grading.judge import grade_notebook, load_exercises
from srgan_lib.grading.reports import names, summary, write_csv, write_reports
from srgan_lib.grading.server import Sandbox
from srgan_lib.grading.trial import attempt, in_this_process

COURSE = Path(__file__).resolve().parents[2]
SOLUTION, STUDENT = (COURSE / "notebooks" / "assignment" / name for name in ("solution.ipynb", "assignment.ipynb"))
sys.path.insert(0, str(Path(__file__).parent))
import alternatives  # noqa: E402
import further  # noqa: E402
import mistakes  # noqa: E402
import slips  # noqa: E402
from hostile import CALLS, CELLS, FILES, LUMA, PSNR, notebook  # noqa: E402

MISTAKES, ALTERNATIVES = mistakes.MISTAKES + further.MISTAKES + slips.MISTAKES, alternatives.ALTERNATIVES + further.ALTERNATIVES + slips.ALTERNATIVES

linux = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox with forks and namespaces is Linux's")


@pytest.fixture(scope="module")
def exercises():
    torch.set_num_threads(1)
    return load_exercises()


@pytest.fixture(scope="module")
def box():
    with Sandbox(call_seconds=1) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def pieces():
    return submission.load_notebook(SOLUTION).pieces


def tried(exercises, pieces, name: str, source: str, seed: int = 0):
    """The result of one exercise in this process, with one definition of the solution replaced."""
    namespace, problems = session.load([*pieces, (99, 1, source)], 60)
    assert not problems
    return attempt(exercises[name], in_this_process(namespace), seed)


def by_name(row: dict) -> dict:
    return {exercise["name"]: exercise for exercise in row["exercises"]}


# 1. The solution and the blank assignment.

@linux
def test_solution_gets_everything_and_blank_gets_nothing(exercises):
    full, blank = grading.grade([SOLUTION, STUDENT], progress=False)
    assert [e["message"] for e in full["exercises"]] == [""] * len(exercises)
    assert full["points"] == full["out_of"] == sum(e.points for e in exercises.values())
    assert blank["points"] == 0 and blank["error"] is None
    assert {e["message"] for e in blank["exercises"]} == {"not started yet"}


def test_notebooks_are_read_side_by_side():
    """Python 3.11 fails here without `parse`: what the garbage collector calls lets another thread parse in the middle of a tree."""
    calls, interval, threshold = [lambda *_: sum(range(200))], sys.getswitchinterval(), gc.get_threshold()
    gc.callbacks.extend(calls)
    gc.set_threshold(50)
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            read = list(pool.map(submission.load_notebook, [SOLUTION] * 24))
    finally:
        gc.callbacks.remove(calls[0])
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval)
    assert len({len(one.pieces) for one in read}) == 1


def test_student_notebook_is_the_generated_one(tmp_path):
    grading.release(SOLUTION, tmp_path / "generated.ipynb")
    assert (tmp_path / "generated.ipynb").read_bytes() == STUDENT.read_bytes()
    given, solved = ("\n".join(submission.code_cells(submission.read_notebook(path))) for path in (STUDENT, SOLUTION))
    assert "SOLUTION" not in given and given.count(submission.STUB) == solved.count(submission.BEGIN) >= 14


def test_blank_notebook_runs_from_top_to_bottom(tmp_path):
    cells = submission.code_cells(submission.read_notebook(STUDENT))
    script = tmp_path / "blank.py"
    script.write_text("\n\n".join(cells), "utf-8")
    done = subprocess.run([sys.executable, str(script)], cwd=STUDENT.parent, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("not started yet") == len(load_exercises())


def test_headings_state_the_points(exercises):
    prose = "\n".join("".join(cell["source"]) for cell in submission.read_notebook(SOLUTION)["cells"] if cell["cell_type"] == "markdown")
    stated = [int(points) for points in re.findall(r"^### \d+\..*\((\d+) points\)", prose, re.M)]
    assert stated == [e.points for e in exercises.values()]
    full = sum(e.points for e in exercises.values() if not e.bonus)
    assert f"**{full} points are the full mark**" in prose and f"{sum(stated)} points in all" in prose


def test_cells_are_small_and_checks_stand_beneath(exercises):
    cells = submission.code_cells(submission.read_notebook(SOLUTION))
    for cell in cells:
        assert cell.count("\n") < (35 if "class " in cell else 25)
    for name in exercises:
        defined = next(i for i, cell in enumerate(cells) if re.search(rf"^(def|class) {name}\(", cell, re.M))
        assert cells[defined + 1] == f"check({name})" and '"""' in cells[defined]


# 2. and 3. Wrong and right answers.

def test_every_mistake_loses_points_and_is_named(exercises, pieces, capsys):
    assert len(MISTAKES) >= 30 and {name for name, *_ in MISTAKES} == set(exercises)
    for name, what, word, source in MISTAKES:
        used = submission.Submission()
        [submission._note(used, 1, node) for node in submission._parse(source)[0].body]
        if used.uses[name] & set(exercises[name].without):
            continue  # refused unseen, see test_borrowed_layer
        result = tried(exercises, pieces, name, source)
        print(f"{name:18} {what:38} {result.points:4g} of {result.out_of}  {result.mistake}")
        assert result.points < result.out_of, (name, what)
        assert word.lower() in result.mistake.lower(), (name, what, result)


@pytest.mark.parametrize("name, what, source", ALTERNATIVES, ids=[f"{a}: {b}" for a, b, _ in ALTERNATIVES])
def test_other_right_answers_get_everything(exercises, pieces, name, what, source):
    for seed in (0, 1):
        result = tried(exercises, pieces, name, source, seed)
        assert result.points == result.out_of, result


def test_remembered_answers_earn_nothing(exercises, pieces):
    """A submission that replays what was right under `check` fails on fresh inputs."""
    for name in ("luma", "psnr", "pixel_shuffle", "discriminator_loss"):
        namespace, _ = session.load(pieces, 60)
        right, answers = namespace[name], []
        attempt(exercises[name], in_this_process({name: lambda *a: answers.append(right(*a)) or answers[-1]}), 0)
        for seed in (0, 1):
            replay = iter(answers)
            result = attempt(exercises[name], in_this_process({name: lambda *a: next(replay)}), seed)
            assert (result.points > 0) == (seed == 0), (name, seed, result)


@pytest.mark.parametrize("lazy", [lambda *a: a[0], lambda *a: a[-1], lambda *a: torch.zeros(1), lambda *a: 0.0, lambda *a: None, lambda *a: torch.nan])
def test_lazy_answers_earn_nothing(exercises, lazy):
    for exercise in exercises.values():
        assert attempt(exercise, in_this_process({exercise.name: lazy}), 0).points == 0, exercise.name


def test_inputs_are_not_the_submission_s_to_change(exercises):
    def psnr(a, b, peak=1.0):
        b.copy_(a)
        return torch.full((len(a),), torch.inf)
    assert attempt(exercises["psnr"], in_this_process({"psnr": psnr}), 0).points == 0


def test_solution_passes_under_many_seeds(exercises, pieces):
    namespace, _ = session.load(pieces, 60)
    for seed in (1, 2):
        for exercise in exercises.values():
            result = attempt(exercise, in_this_process(namespace), seed)
            assert result.points == result.out_of, (seed, result)


def test_references_agree_with_scikit_image(exercises):
    """The judges' own luma and PSNR against another library's."""
    from skimage.color import rgb2ycbcr
    from skimage.metrics import peak_signal_noise_ratio
    tests = sys.modules[exercises["luma"].test.__module__]
    a, b = torch.rand(2, 1, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    theirs = torch.from_numpy(rgb2ycbcr(a[0].permute(1, 2, 0).double().numpy()))[..., 0]
    assert torch.allclose(tests.studio_luma(a)[0, 0], theirs, atol=2e-3)
    assert float(tests.decibels(a, b)) == pytest.approx(peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1.0), abs=1e-4)


# `check` and `hint`, as the student sees them.

def test_check_prints_what_failed_and_one_hint_more_each_time(exercises, capsys):
    def psnr(a, b, peak=1.0):
        return torch.zeros(len(a))
    FAILED_ATTEMPTS.clear()
    for level in (1, 2, 3, 3):
        grading.check(psnr)
        shown = capsys.readouterr().out
        assert shown.startswith("psnr: 0 of 5 points") and "got 0, want" in shown and f"hint {level} of 3" in shown
        assert shown.count("hint") == 1
    grading.hint(psnr, 2)
    assert exercises["psnr"].hints[1] in capsys.readouterr().out


def test_check_names_the_mistake_and_the_line_of_an_error(capsys):
    def luma(rgb):
        return rgb.mean(1, keepdim=True) * 255

    def pixel_shuffle(x, factor):
        return x.view(3)
    grading.check(luma)
    assert "plain mean" in capsys.readouterr().out
    grading.check(pixel_shuffle)
    assert "RuntimeError" in capsys.readouterr().out
    with pytest.raises(submission.GradingError, match="is not an exercise"):
        grading.check(print)


def test_check_warns_of_what_grading_will_not_run(capsys):
    cells = ["import torch\nfrom math import pi\nfrom srgan_lib.images import degrade\nW: tuple = (1.0, 2.0)\nK = torch.zeros(3)\nm = torch.zeros(2)",
             "def helper(x):\n    return x * K + W[0]", "def luma(rgb, m=0):\n    return helper(rgb * pi).mean() + m if m == 0 else degrade(rgb, 4)",
             "class Block(torch.nn.Module):\n    def forward(self, x):\n        return [step(x) for step in (torch.nn.functional.pixel_shuffle, m.add)]"]
    main = {"__name__": "notebook", "In": ["", *cells]}
    for cell in cells:
        exec(cell, main)
    assert [text.split()[0] for text in preview.warnings(main["luma"], (), main)] == ["K", "degrade"]
    assert "library" in preview.warnings(main["luma"], (), main)[1]
    assert [text[:20] for text in preview.warnings(main["Block"], ("pixel_shuffle",), main)] == ["uses pixel_shuffle: ", "m is not there then:"]
    for history in (None, [""]):  # a script; a runner that keeps no history
        assert preview.warnings(main["luma"], (), {**main, "In": history}) == []
    assert preview.warnings(len, (), main) == []

    def pixel_shuffle(x, factor):
        return torch.nn.functional.pixel_shuffle(x, factor)
    grading.check(pixel_shuffle)
    assert "no points when it is graded: uses pixel_shuffle" in capsys.readouterr().out


def test_importing_the_module_is_light():
    code = "import srgan_lib.grading, sys; print([m for m in ('torch', 'numpy', 'tqdm', 'srgan_lib.grading.trial') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=COURSE, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_question_does_not_load_the_compiler():
    """Each question has a process of its own, and torch._dynamo would cost it seconds of its time."""
    code = ("import sys, torch; from srgan_lib.grading.sandbox import ask; from srgan_lib.grading.props import Block\n"
            "x = torch.rand(1, 4, 3, 3, requires_grad=True)\n"
            "turns = ask({'name': 'f', 'seed': 0, 'backward': True, 'turns': [[x]]}, {'f': lambda x: torch.conv2d(x, torch.ones(1, 4, 1, 1)).sum()})['turns']\n"
            "built = ask({'name': 'f', 'seed': 0, 'build': {'arguments': [4], 'inputs': [x.detach()], 'training': True, 'seed': 1}}, {'f': Block})\n"
            "print(turns[0]['convolutions'], len(built['outputs']), 'torch._dynamo' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], cwd=COURSE, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[[1, 4, 3, 3, 1, True]] 1 False"


# The loader and the release.

def test_loader_keeps_definitions_and_constants_only(tmp_path):
    source = ("import torch, srgan_lib.models\nfrom srgan_lib.models import SRResNet\nfrom math import pi\nA = 3; B, C = 'x', [1, 2]\nD = torch.zeros(3)\n"
              "E = lambda: torch.zeros(3)\nF = [i for i in A]\ntorch.x = 3\nA += 1\nG: int = 4\nfor i in []: pass\nif True:\n    H = 1\nprint(A)\n"
              "@torch.no_grad()\ndef f(): return 1\nclass K: pass\n")
    (tmp_path / "n.ipynb").write_bytes(notebook([source]))
    loaded = submission.load_notebook(tmp_path / "n.ipynb")
    assert [piece[2] for piece in loaded.pieces] == [
        "import torch", "from math import pi", "A = 3", "B, C = ('x', [1, 2])", "E = lambda: torch.zeros(3)", "G: int = 4",
        "@torch.no_grad()\ndef f(): return 1", "class K:\n    pass"]
    assert {"A", "B", "C", "E", "f", "K"} <= set(loaded.names) and "D" not in loaded.names


def test_release_wants_markers_in_pairs(tmp_path):
    for cell in ("# BEGIN SOLUTION", "# END SOLUTION", "# BEGIN SOLUTION\n# BEGIN SOLUTION\n# END SOLUTION"):
        (tmp_path / "s.ipynb").write_bytes(notebook([cell]))
        with pytest.raises(submission.NotebookError, match="without its partner"):
            grading.release(tmp_path / "s.ipynb", tmp_path / "out.ipynb")


# 4. Hostile and broken notebooks.

@linux
def test_the_sandbox_stands_on_namespaces_here(box):
    if box.mode != "namespaces":
        pytest.skip(f"this machine does not allow namespaces; the sandbox is in its weaker mode, {box.mode!r}")


def hostile_cells(body: str, tmp_path: Path) -> list[str]:
    constants = f"COURSE = {str(COURSE)!r}\nNEIGHBOUR = {str(tmp_path / 'neighbour.ipynb')!r}\nHOME = {str(Path.home())!r}\nPORT = 9\n"
    return [PSNR, constants, f"def luma(rgb):\n    {body}\n"]


@linux
@pytest.mark.parametrize("what", CALLS)
def test_hostile_calls_cost_their_own_exercise_only(what, box, exercises, tmp_path):
    if box.mode != "namespaces":
        pytest.skip("needs namespaces")
    body, word = CALLS[what]
    (tmp_path / "neighbour.ipynb").write_bytes(notebook([LUMA]))
    (tmp_path / "hostile.ipynb").write_bytes(notebook(hostile_cells(body, tmp_path)))
    row = by_name(grade_notebook(tmp_path / "hostile.ipynb", box, 1, exercises))
    assert row["luma"]["points"] == 0 and re.search(word, row["luma"]["message"]), row["luma"]
    assert row["psnr"]["points"] == 5, row["psnr"]
    assert not any((folder / "owned").exists() for folder in (COURSE, Path.home()))
    unharmed(box)


@linux
@pytest.mark.parametrize("what", CELLS)
def test_hostile_cells_cost_their_own_notebook_only(what, box, exercises, tmp_path):
    cells, survives = CELLS[what]
    (tmp_path / "hostile.ipynb").write_bytes(notebook([PSNR, *cells]))
    row = grade_notebook(tmp_path / "hostile.ipynb", box, 1, exercises)
    assert row["points"] == (5 if survives else 0), row
    unharmed(box)


@linux
@pytest.mark.parametrize("what", FILES)
def test_broken_files_are_read_or_refused_in_a_sentence(what, box, exercises, tmp_path):
    content, word = FILES[what]
    (tmp_path / "student.ipynb").write_bytes(content)
    row = grade_notebook(tmp_path / "student.ipynb", box, 1, exercises)
    if word:
        assert row["points"] == 0 and row["error"].startswith("student.ipynb ") and word in row["error"] and "\n" not in row["error"]
    else:
        assert row["error"] is None and row["points"] == (9 if LUMA[:8].encode() in content else 0)


def unharmed(box) -> None:
    """The server lives and nothing was written; that other submissions get their points, the next test shows."""
    assert not (COURSE / "owned").exists() and not (Path.home() / "owned").exists() and box.server.poll() is None


@linux
def test_a_submission_that_a_busy_machine_held_up_gets_a_second_session(exercises, tmp_path):
    """The first session is late before it is asked anything, as on a machine that has no time for it."""
    (tmp_path / "n.ipynb").write_bytes(notebook([PSNR, LUMA]))
    with Sandbox() as box:
        opened, first = box.open, []

        def held_up(submission):
            session = opened(submission)
            if not first:
                first.append(session)
                session.over, session.late = "was not reached", True
            return session
        box.open = held_up
        row = grade_notebook(tmp_path / "n.ipynb", box, 1, exercises)
    assert row["points"] == 9 and first


def test_a_cell_that_is_no_python_is_named(box, exercises, tmp_path):
    (tmp_path / "n.ipynb").write_bytes(notebook([PSNR, "x = 1\ndef luma(rgb:\n    return"]))
    row = by_name(grade_notebook(tmp_path / "n.ipynb", box, 1, exercises))
    assert "cell 2 is not valid Python in line 2" in row["luma"]["message"] and row["psnr"]["points"] == 5


def test_borrowed_layer(box, exercises, tmp_path):
    source = next(source for name, what, _, source in MISTAKES if "own layer" in what)
    (tmp_path / "n.ipynb").write_bytes(notebook(["import torch.nn.functional as F", source]))
    row = by_name(grade_notebook(tmp_path / "n.ipynb", box, 1, exercises))
    assert row["pixel_shuffle"]["points"] == 0 and "uses pixel_shuffle" in row["pixel_shuffle"]["message"]


def test_answers_of_a_stranger_decode_or_raise_value_error():
    good = sandbox.encode({"turns": [{"value": torch.arange(6.).view(2, 3), "sizes": [[1, 2]], "nothing": None}]})
    assert torch.equal(sandbox.decode(good)["turns"][0]["value"], torch.arange(6.).view(2, 3))
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        bad = bytearray(good)
        for place in torch.randint(0, len(bad), (3,), generator=generator).tolist():
            bad[place] = int(torch.randint(0, 256, (), generator=generator))
        try:
            sandbox.decode(bytes(bad[:int(torch.randint(0, len(bad) + 1, (), generator=generator))]))
        except ValueError:
            continue
    for shape in ([-1, 4], [1 << 40], ["x"], [2.5], None, [1 << 31, 1 << 31]):
        with pytest.raises(ValueError):
            sandbox.decode(_forged(shape))


def _forged(shape) -> bytes:
    header = json.dumps({"__tensor__": ["torch.float32", shape]}).encode()
    return len(header).to_bytes(4, "big") + header


@pytest.mark.parametrize("mode", [pytest.param("limits", marks=linux), "process"])
def test_weaker_modes_grade_the_same_and_say_so(mode, exercises, tmp_path):
    (tmp_path / "n.ipynb").write_bytes(notebook([PSNR, LUMA]))
    (tmp_path / "loop.ipynb").write_bytes(notebook([PSNR, "def luma(rgb):\n    while True: pass"]))
    with Sandbox(mode=mode, call_seconds=1) as sandbox:
        rows = [grade_notebook(tmp_path / name, sandbox, 1, exercises) for name in ("n.ipynb", "loop.ipynb")]
    assert [row["isolation"] for row in rows] == [mode] * 2
    assert rows[0]["points"] == 9 and by_name(rows[1])["luma"]["points"] == 0
    if mode == "limits":
        assert rows[1]["points"] == 5


# 5. The command line and the files it leaves.

def command(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "srgan_lib", "grade", *map(str, arguments)], cwd=COURSE, capture_output=True, text=True, **options)


@linux
def test_command_line_results_and_resuming(tmp_path):
    for name, cells in (("ada", [PSNR, LUMA]), ("=grace", [PSNR]), ("ken", ["x ="])):
        (tmp_path / f"{name}.ipynb").write_bytes(notebook(cells))
    (tmp_path / "bad.ipynb").write_text("no notebook")
    files = {"json": tmp_path / "r.json", "csv": tmp_path / "r.csv", "report": tmp_path / "reports"}
    options = [item for name, file in files.items() for item in (f"--{name}", file)]
    first = command(tmp_path, *options)
    assert first.returncode == 0, first.stderr
    assert "grading" in first.stderr and "4 notebooks, mean" in first.stdout
    rows = json.loads(files["json"].read_text("utf-8"))
    assert {Path(row["notebook"]).stem: row["points"] for row in rows} == {"ada": 9, "=grace": 5, "ken": 0, "bad": 0}
    assert all({"notebook", "points", "out_of", "exercises", "error"} <= set(row) for row in rows)
    assert all({"name", "points", "out_of", "message"} <= set(e) for row in rows for e in row["exercises"])
    table = list(csv.DictReader(files["csv"].open()))
    assert [row["psnr"] for row in table if "ada" in row["notebook"]] == ["5"] or [row["psnr"] for row in table if "ada" in row["notebook"]] == ["5.0"]
    assert {file.name for file in files["report"].iterdir()} >= {"ada.md", "bad.md", "summary.md"}

    files["json"].write_text(json.dumps(rows[:-1]))  # as if it had been cut off before the last
    again = command(tmp_path, *options)
    assert again.returncode == 0 and "1/1" in again.stderr
    assert json.loads(files["json"].read_text("utf-8")) == rows
    assert grading.grade([row["notebook"] for row in rows], seed=rows[0]["seed"], finished=rows) == rows  # nothing left to do


def test_bad_usage_is_one_sentence_and_exit_code_2(tmp_path):
    (tmp_path / "n.ipynb").write_bytes(notebook([PSNR]))
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for arguments in ([tmp_path / "missing.ipynb"], [tmp_path / "empty"], [tmp_path / "n.ipynb", "--jobs", 0],
                      [tmp_path / "n.ipynb", "--json", tmp_path / "other.json"], [tmp_path / "n.ipynb", "--artifacts", tmp_path / "none"]):
        done = command(*arguments)
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr, done.stderr
    assert command().returncode == 2


def test_reports_are_safe_to_open(tmp_path):
    evil = {"name": "luma", "points": 0, "out_of": 4, "message": "`<script>` | [x](http://x)", "passed": []}
    rows = [{"notebook": f"/a/{who}/assignment.ipynb", "points": 3, "out_of": 4, "exercises": [evil], "error": None, "seed": 1} for who in ("=ada", "bob")]
    assert names(rows) == ["=ada-assignment", "bob-assignment"]
    write_reports(rows, tmp_path)
    assert "- failed: `'<script>' | [x](http://x)`" in (tmp_path / "bob-assignment.md").read_text()
    assert (tmp_path / "histogram.png").stat().st_size > 1000
    rows[0]["notebook"] = "=cmd()"
    write_csv(rows, tmp_path / "t.csv")
    assert "'=cmd()" in (tmp_path / "t.csv").read_text()
    assert "2 notebooks, mean 3.0" in summary(rows)


# The trained part.

@pytest.fixture
def trained(tmp_path):
    """(folder of artifacts, folder of pictures) with an untrained generator and broken ones."""
    from PIL import Image
    from skimage import data
    from srgan_lib.models import SRResNet
    pictures, root = tmp_path / "pictures", tmp_path / "artifacts"
    pictures.mkdir()
    Image.fromarray(data.astronaut()[:96, :120]).save(pictures / "a.png")
    SRResNet(blocks=1, channels=4).save_pretrained(root / "untrained")
    for name, text in (("missing", "{}"), ("huge", '{"architecture": "SRResNet", "channels": 100000}')):
        (root / name).mkdir()
        (root / name / "config.json").write_text(text)
    (root / "huge" / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    return root, pictures


def test_trained_generator_is_scored_against_bicubic(trained):
    from srgan_lib.grading.artifacts import POINTS, Artifact
    root, pictures = trained
    artifact = Artifact(root, str(pictures))
    points, text = artifact.score(root / "untrained")
    assert points == 0 and "against bicubic" in text
    assert artifact.verdict({"psnr": 29.5, "bicubic": 29.0}) == artifact.verdict({"psnr": 29.46, "bicubic": 29.0}) == (POINTS, "")
    assert artifact.verdict({"psnr": 29.25, "bicubic": 29.0})[0] == POINTS / 2 and artifact.verdict({"psnr": 28.0, "bicubic": 29.0})[0] == 0
    row = artifact.add({"notebook": "absent.ipynb", "points": 5, "out_of": 86, "exercises": []})
    assert row["points"] == 5 and row["out_of"] == 86 + POINTS and row["exercises"][0]["name"] == "trained generator"


@pytest.mark.parametrize("name", ["absent", "missing", "huge"])
def test_broken_trained_generators_get_a_sentence(trained, name):
    from srgan_lib.grading.artifacts import Artifact
    root, pictures = trained
    points, text = Artifact(root, str(pictures)).score(root / name)
    assert points == 0 and text and "\n" not in text and "Traceback" not in text


# The big ones.

@linux
@pytest.mark.slow
def test_every_mistake_in_the_sandbox_with_the_whole_matrix(tmp_path, exercises):
    """Each mistake costs its own exercise and no other; prints the matrix (run with -s)."""
    cells = submission.code_cells(submission.read_notebook(SOLUTION))
    for number, (name, what, _, source) in enumerate(MISTAKES):
        (tmp_path / f"{number:03}.ipynb").write_bytes(notebook([*cells, source]))
    rows = grading.grade(sorted(tmp_path.glob("*.ipynb")), seed=7)
    print("\n" + " " * 58 + " ".join(name[:9].ljust(9) for name in exercises))
    for row, (name, what, *_) in zip(rows, MISTAKES):
        print(f"{name:18} {what:38} " + " ".join(f"{e['points']:g}".ljust(9) for e in row["exercises"]))
        lost = {e["name"] for e in row["exercises"] if e["points"] < e["out_of"]}
        assert name in lost and lost - {name} <= ({"score"} if name in ("luma", "psnr") else set()), (name, what, lost)


@linux
@pytest.mark.slow
def test_a_hundred_submissions(tmp_path, exercises):
    """Right, wrong, blank and hostile ones in one command; prints the time (run with -s)."""
    cells = submission.code_cells(submission.read_notebook(SOLUTION))
    attacks = ["while True: pass", "import os; os._exit(1)", "return torch.ones(100 << 30)", "open('/owned', 'w')"]
    for number in range(100):
        own = MISTAKES[number % len(MISTAKES)][3] if number % 10 < 7 else f"def luma(rgb):\n    {attacks[number // 10 % 4]}" if number % 10 == 7 else ""
        (tmp_path / f"student{number:03}.ipynb").write_bytes(STUDENT.read_bytes() if number % 10 == 9 else notebook([*cells, own]))
    began = time.monotonic()
    done = command(tmp_path, "--json", tmp_path / "r.json", "--csv", tmp_path / "r.csv", "--report", tmp_path / "reports", timeout=1200)
    print(f"\n100 submissions in {time.monotonic() - began:.0f} s\n{done.stdout}")
    assert done.returncode == 0 and "100/100" in done.stderr
    rows = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert len(rows) == 100
    for number, row in enumerate(sorted(rows, key=lambda row: row["notebook"])):
        kind = number % 10
        assert row["points"] == 0 if kind == 9 else row["points"] == row["out_of"] if kind == 8 else 0 < row["points"] < row["out_of"], row
