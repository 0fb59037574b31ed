"""The notebooks as files: one setup cell, executed in order, short cells, no secrets, and the library's own definitions.

That they run is nbval's part: `pytest notebooks`.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import colab
import pytest
from address import address, stored

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
STUDENT = FOLDER / "assignment" / "assignment.ipynb"  # generated, and unsolved: it cannot have been executed
NOTEBOOKS = sorted(path for path in FOLDER.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
LESSONS = [path for path in NOTEBOOKS if path.parent == FOLDER]
EXECUTED = [path for path in NOTEBOOKS if path != STUDENT]
SETUP = (ROOT / "tests" / "setup_cell.py.txt").read_text().removesuffix("\n")
SECRETS = re.compile(r"hf_[A-Za-z]{20,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|AKIA[A-Z0-9]{16}|sk-\w{20,}|-----BEGIN [A-Z ]*PRIVATE KEY")
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|work|mnt|opt|usr|var)/\w|\b[A-Z]:\\\w|site-packages")
BUILT_IN_VIEW = {"02_models": ("ResidualBlock", "SRResNet", "Discriminator"), "03_training": ("srresnet_step", "srgan_step"), "04_evaluation": ("psnr",),
                 "06_esrgan": ("DenseBlock", "RRDB", "RRDBNet")}


def name_of(path: Path) -> str:
    return str(path.relative_to(FOLDER))


each = pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
each_executed = pytest.mark.parametrize("path", EXECUTED, ids=name_of)
each_lesson = pytest.mark.parametrize("path", LESSONS, ids=name_of)


def source(cell: dict) -> str:
    return "".join(cell["source"])


def cells(path: Path, kind: str | None = None) -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["cells"] if kind in (None, cell["cell_type"])]


def texts(cell: dict) -> list[str]:
    """What a reader sees as text: the source, the text of each output, and the alt text of its images."""
    found = [source(cell)]
    for output in cell.get("outputs", []):
        found.append("".join(output.get("text", "")))
        found += ["".join(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
        found += [about["alt"] for about in output.get("metadata", {}).values() if isinstance(about, dict) and "alt" in about]
    return found


def definitions(tree: ast.Module) -> list[ast.AST]:
    return [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]


# ---------------------------------------------------------------- the frame


@each
def test_the_setup_cell_is_the_one_setup_cell(path):
    assert source(cells(path, "code")[0]) == SETUP


@each
def test_the_first_cell_opens_with_the_badge_of_this_notebook(path):
    first = cells(path)[0]
    names = [path, STUDENT] if path.name == "solution.ipynb" else [path]  # the solution becomes the students' notebook
    badges = [f"(https://colab.research.google.com/github/{address()}/blob/main/notebooks/{name_of(name)})" for name in names]
    line = source(first).splitlines()[0]
    assert first["cell_type"] == "markdown" and line.startswith("[![") and line.endswith(tuple(badges))


def test_the_public_address_is_the_same_everywhere():
    assert stored() == address()
    pages = [path for path in (ROOT / "README.md", *FOLDER.rglob("*.md"), *NOTEBOOKS) if path.is_file()]
    for page in pages:
        named = set(re.findall(r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)/", page.read_text()))
        assert named <= {address()}, page.name


@each_executed
def test_it_is_committed_executed_from_top_to_bottom(path):
    counts = [cell["execution_count"] for cell in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1))


def test_the_students_notebook_is_committed_empty():
    if not STUDENT.is_file():
        pytest.skip("no student notebook here")
    assert all(cell["execution_count"] is None and cell["outputs"] == [] for cell in cells(STUDENT, "code"))


@each
def test_it_is_small_and_without_widgets(path):
    assert path.stat().st_size < 1_000_000
    notebook = json.loads(path.read_text())
    assert "widgets" not in notebook["metadata"] and "widget-view" not in path.read_text()
    assert notebook["metadata"]["kernelspec"]["name"] == "python3" and notebook["nbformat"] == 4


@each
def test_no_output_is_an_error_or_a_warning(path):
    for cell in cells(path, "code"):
        for output in cell["outputs"]:
            assert output["output_type"] != "error" and output.get("name") != "stderr", source(cell)


# ---------------------------------------------------------------- the cells


@each
def test_cells_are_short(path):
    for cell in cells(path, "code"):
        text = source(cell)
        limit = 35 if re.search(r"^class ", text, re.M) else 25
        assert len(text.splitlines()) <= limit, text


@each
def test_cells_are_plain_python(path):
    """No magics, no shell, no trailing semicolon: what nbval and a reader of the diff can follow."""
    for cell in cells(path, "code"):
        text = source(cell)
        ast.parse(text)  # a magic or a shell command is no Python
        assert not re.search(r";\s*$", text, re.M), text


@each_lesson
def test_lessons_draw_with_the_one_figure_helper(path):
    for cell in cells(path, "code"):
        assert "matplotlib" not in source(cell) and "plt." not in source(cell), source(cell)


@each_lesson
def test_figures_have_alt_text(path):
    for cell in cells(path, "code"):
        for output in cell["outputs"]:
            for kind in ("image/png", "image/jpeg"):
                if kind in output.get("data", {}):
                    assert len(output["metadata"].get(kind, {}).get("alt", "")) > 8, source(cell)


@each
def test_nothing_of_a_machine_or_a_person_is_left(path):
    for cell in cells(path):
        for text in texts(cell):
            assert not SECRETS.search(text) and not MACHINE_PATHS.search(text), text[:2000]


@each_executed
def test_checked_cells_have_something_to_check(path):
    for cell in cells(path, "code"):
        if "nbval-check-output" in cell["metadata"].get("tags", []):
            assert cell["outputs"], source(cell)


@each_lesson
def test_every_definition_is_soon_followed_by_its_proof(path):
    code = cells(path, "code")
    for number, cell in enumerate(code):
        if definitions(ast.parse(source(cell))):
            assert any(following["outputs"] for following in code[number:number + 4]), source(cell)


# ---------------------------------------------------------------- prose and outputs agree


QUOTED = re.compile(r"<!-- outputs: ([^>]*?) -->")


@each_lesson
def test_numbers_that_prose_quotes_stand_in_the_prose_and_in_an_output_above(path):
    """`<!-- outputs: 24.82, 29.75 -->` in a markdown cell names what the cell quotes of the outputs above it."""
    seen = ""
    for cell in cells(path):
        if cell["cell_type"] == "code":
            seen += "\n".join(texts(cell)[1:])
            continue
        for marker in QUOTED.finditer(source(cell)):
            for number in marker[1].split(", "):
                exact = re.compile(rf"(?<![\d.]){re.escape(number)}(?![\d]|\.\d)")
                assert exact.search(QUOTED.sub("", source(cell))) and exact.search(seen), f"{number}: {source(cell)[:200]}"


def test_a_quoted_number_that_is_not_in_an_output_is_found(tmp_path):
    for shown, good in (("ends at 29.75 dB", True), ("ends at 29.76 dB", False), ("ends at 129.75 dB", False)):
        path = tmp_path / "one.ipynb"
        path.write_text(json.dumps({"cells": [
            {"cell_type": "code", "source": "", "outputs": [{"text": shown}]},
            {"cell_type": "markdown", "source": "It has 29.75 dB.<!-- outputs: 29.75 -->"}]}))
        if good:
            test_numbers_that_prose_quotes_stand_in_the_prose_and_in_an_output_above(path)
        else:
            with pytest.raises(AssertionError, match="29.75"):
                test_numbers_that_prose_quotes_stand_in_the_prose_and_in_an_output_above(path)


@pytest.mark.parametrize("name, drawings", [("02_models", ("generator", "discriminator")), ("03_training", ("training",)), ("06_esrgan", ("dense_block",))])
def test_the_drawings_in_a_lesson_are_those_of_docs(name, drawings):
    shown = ["".join(output["data"]["image/svg+xml"]) for cell in cells(FOLDER / f"{name}.ipynb", "code") for output in cell["outputs"]
             if "image/svg+xml" in output.get("data", {})]
    stored = [(ROOT / "docs" / f"{drawing}.svg").read_text() for drawing in drawings]
    assert [re.findall(r">([^<]+)</text>", one) for one in shown] == [re.findall(r">([^<]+)</text>", one) for one in stored]
    assert all("aria-label=" in one for one in shown)


# ---------------------------------------------------------------- one frame for all lessons

OPENING = re.compile(r"""\[!\[Open in Colab\][^\n]+

# 0\d · [^\n]+

\*\*Three things you will learn\*\*

1\. [^\n]+
2\. [^\n]+
3\. [^\n]+

\| time on a CPU \| time on a T4 \| download \|
\|---\|---\|---\|
\| [^|\n]+ \| [^|\n]+ \| [^|\n]+ \|

\S""")
CLOSING = ("What was shown", "Exercises")


@each_lesson
def test_a_lesson_opens_with_what_it_teaches_and_what_it_costs(path):
    assert OPENING.match(source(cells(path)[0]))


@each_lesson
def test_sections_are_numbered_and_appendices_follow_the_exercises(path):
    heads = re.findall(r"^## (.+)$", "\n".join(source(cell) for cell in cells(path, "markdown")), re.M)
    place = heads.index(CLOSING[0])
    assert tuple(heads[place:place + 2]) == CLOSING
    assert all(re.match(rf"{number}\. \S", head) for number, head in enumerate(heads[:place], 1)), heads
    assert all(head.startswith(f"Appendix {letter}. ") for letter, head in zip("ABCDEFGH", heads[place + 2:])), heads


@each_lesson
def test_a_caption_below_every_figure_says_what_to_see(path):
    """`**Figure 3.** *What is in it.*` opens the markdown cell below a cell that shows images."""
    number, page = 0, cells(path)
    for cell, below in zip(page, page[1:]):
        if any(kind.startswith("image/") for output in cell.get("outputs", []) for kind in output.get("data", {})):
            number += 1
            caption = re.match(rf"\*\*Figure {number}\.\*\* \*[^\n]{{30,}}\*$", source(below).split("\n")[0])
            assert below["cell_type"] == "markdown" and caption, source(cell)
    captions = [line for cell in page if cell["cell_type"] == "markdown" for line in source(cell).split("\n") if line.startswith("**Figure")]
    assert len(captions) == number


@each_lesson
def test_a_lesson_has_one_word_for_one_thing(path):
    """Image or photo, video, phone, session; names of files and fields in backticks are left aside, and so are the exercises."""
    for cell in cells(path, "markdown"):
        prose = re.sub(r"`[^`]*`|<!--.*?-->|https?://[^)\s]+", "", source(cell).split("## Exercises")[0])
        assert not re.search(r"\b(pictures?|photographs?|films?|telephones?|sittings?)\b", prose, re.I), prose[:200]


# ---------------------------------------------------------------- definitions are the library's


@pytest.fixture(scope="module")
def library() -> dict[str, list[str]]:
    """Name -> the syntax trees under that name: annotations count, docstrings, comments and layout do not."""
    trees: dict[str, list[str]] = {}
    for path in sorted((ROOT / "srgan_lib").rglob("*.py")):
        for node in definitions(ast.parse(path.read_text())):
            trees.setdefault(node.name, []).append(tree(node))
    return trees


def tree(node: ast.AST) -> str:
    """A definition as text, without its own and its methods' docstrings."""
    for part in ast.walk(node):
        if isinstance(part, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(part) is not None:
            part.body = part.body[1:] or [ast.Pass()]
    return ast.dump(node)


def shown(path: Path) -> list[ast.AST]:
    return [node for cell in cells(path, "code") for node in definitions(ast.parse(source(cell)))]


@each_lesson
def test_definitions_equal_the_librarys(path, library):
    differing = [node.name for node in shown(path) if node.name in library and tree(node) not in library[node.name]]
    assert differing == []


@each_lesson
def test_what_matters_is_built_in_view(path):
    assert set(BUILT_IN_VIEW.get(path.stem, ())) <= {node.name for node in shown(path)}


# ---------------------------------------------------------------- as if opened in Colab


def test_the_colab_check_believes_the_clone_alone(tmp_path):
    """A notebook that takes the library from this checkout has not shown that it runs in Colab."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("no git checkout here")
    repository = tmp_path / "repository.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(ROOT), str(repository)], check=True)
    for name, first, ran in (("clone", SETUP, True), ("checkout", f"import sys; sys.path.insert(0, {str(ROOT)!r})", False)):
        cell = {"cell_type": "code", "id": "one", "metadata": {}, "execution_count": None, "outputs": [], "source": first}
        path = tmp_path / f"{name}.ipynb"
        path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}))
        good, _, error = colab.run(path, Path(sys.executable), repository)
        assert good is ran and (ran or str(ROOT / "srgan_lib") in error), error
