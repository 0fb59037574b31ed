"""The exercises of the lessons: each check against right answers, a blank and wrong ones; hints, status, and the notebooks made of them."""

import ast
import copy
import json
import re
import subprocess
import sys
from functools import lru_cache

import exercises as generator
import pytest
from lesson_answers import ANSWERS, WHY, images

from srgan_lib.lessons import check, hint, model_answer, session, status
from srgan_lib.lessons.exercise import TESTS
from srgan_lib.lessons.session import judge
from srgan_lib.lessons.texts import lessons, texts

KEYS = tuple(texts())
GIVEN = {"0.4": {"images": images()}}


@pytest.fixture(autouse=True)
def fresh():
    session.STATES.clear()
    session.RUNGS.clear()


def test_every_exercise_has_a_text_a_check_and_answers():
    assert len(KEYS) == 33 and set(ANSWERS) == set(KEYS)
    for key in KEYS:
        session._test(key)
    assert set(TESTS) == set(KEYS)
    for key, text in texts().items():
        assert 2 <= len(text.hints) <= 3 and text.solution and text.model and text.rubric and text.question[0], key
        assert f'check("{key}", ' in text.stub and f'check("{key}", ' in text.solution[-1] + "".join(text.solution), key


@pytest.mark.parametrize("key", KEYS)
def test_right_answers_pass_in_any_style(key):
    for answer in ANSWERS[key][0]:
        state, message = judge(key, *answer, **GIVEN.get(key, {}))
        assert state == "solved", message
        assert not TESTS[key].explain or texts()[key].model in message


@pytest.mark.parametrize("key", KEYS)
def test_wrong_answers_are_caught_and_named(key):
    wrong = ANSWERS[key][1]
    assert len(wrong) >= 2
    for answer, word in wrong:
        state, message = judge(key, *answer, **GIVEN.get(key, {}))
        assert state == "wrong" and word in message, message
        assert "stops with" not in message


@pytest.mark.parametrize("key", KEYS)
def test_a_blank_is_not_answered(key):
    assert generator.printed(texts()[key].stub).startswith(f"Exercise {key}: not answered yet")
    parts = len(ANSWERS[key][0][0])
    for blank in (None, "", ...):
        state, message = judge(key, *[blank] * (parts - 1), "" if TESTS[key].explain else blank)
        assert state == "open" and message == f"Exercise {key}: not answered yet. hint('{key}') gives a first hint."


@pytest.mark.parametrize("key", KEYS)
def test_nonsense_gets_a_sentence_and_no_traceback(key):
    parts = len(ANSWERS[key][0][0]) - TESTS[key].explain
    why = (WHY,) if TESTS[key].explain else ()
    for nonsense in ("a word", 777, [1, "two"], {"a": 1}, float("nan"), object(), True, lambda *a: "text", lambda: 1):
        state, message = judge(key, *[nonsense] * parts, *why, **GIVEN.get(key, {}))
        assert state in ("wrong", "open") and len(message) < 700, (nonsense, message)


@pytest.mark.parametrize("key", KEYS)
def test_a_part_too_many_or_too_few_is_said(key):
    answer = ANSWERS[key][0][0]
    for parts in (answer[:-1], (*answer, 1)):
        state, message = judge(key, *parts, **GIVEN.get(key, {}))
        assert (parts == () and state == "open") or (state == "wrong" and f"want {len(answer)} parts" in message), message


def test_an_error_in_the_answer_is_named_with_its_line():
    def box_rows(picture, scale):
        return picture.reshape(scale, 7, 1000)
    state, message = judge("1.1", box_rows)
    assert state == "wrong" and "ValueError" in message and "picture.reshape(scale, 7, 1000)" in message


@pytest.mark.parametrize("key", [key for key in KEYS])
def test_a_model_answer_is_shown_after_an_explanation_only(key):
    session._test(key)
    if not TESTS[key].explain:
        return
    *values, _ = ANSWERS[key][0][0]
    for short in ("", None, "because", "because " * 40, "It is so because of the other thing."):
        state, message = judge(key, *values, short, **GIVEN.get(key, {}))
        assert state == "half" and texts()[key].model[:40] not in message and "at least 15 words" in message, message
    state, message = judge(key, *values, texts()[key].model, **GIVEN.get(key, {}))
    assert state == "solved" and texts()[key].model[:40] not in message  # it is the model answer already


def test_hints_grow_plainer_and_end_at_the_solution(capsys):
    for _ in range(4):
        hint("2.3")
    lines = capsys.readouterr().out
    assert [f"Hint {n} of 3 for exercise 2.3" in lines for n in (1, 2, 3)] == [True] * 3 and "notebooks/solutions/02_models.ipynb" in lines
    hint("2.3", 1)
    assert capsys.readouterr().out.startswith("Hint 1 of 3")


def test_status_has_a_line_for_each_exercise(capsys):
    status()
    assert len(capsys.readouterr().out.splitlines()) == 34
    check("2.3", 4, [3, 6, 9], WHY)
    check("2.1", 774_731, 30.0, 23.5)
    check("2.4", (576, 2304), 3, "")
    capsys.readouterr()
    status()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[:4]] == ["yet", "open", "solved", "missing"] and lines[4] == "1 of 4 solved"
    status(6)
    assert len(capsys.readouterr().out.splitlines()) == 6


@pytest.mark.parametrize("call", [check, hint, model_answer])
def test_a_key_that_no_exercise_has_is_said(call, capsys):
    for key in ("2.7", "nine", 3.14):
        call(key)
        assert "There is no exercise" in capsys.readouterr().out


# ---------------------------------------------------------------- the notebooks


@pytest.mark.parametrize("lesson", lessons())
def test_the_lesson_and_its_solutions_are_what_is_generated(lesson):
    """After a change: python tests/runs/exercises.py"""
    path = generator.lesson_path(lesson)
    notebook = json.loads(path.read_text())
    assert generator.with_checks(copy.deepcopy(notebook), lesson) == notebook, "python tests/runs/exercises.py --lessons"
    solved = json.loads((generator.SOLUTIONS / path.name).read_text())
    assert generator.same_sources(generator.solutions(notebook, lesson), solved), "python tests/runs/exercises.py"


@pytest.mark.parametrize("lesson", lessons())
def test_the_committed_solutions_are_all_solved(lesson):
    solved = json.loads((generator.SOLUTIONS / generator.lesson_path(lesson).name).read_text())
    said = "".join("".join(output.get("text", "")) for cell in solved["cells"] for output in cell.get("outputs", []))
    for key in (key for key in KEYS if texts()[key].lesson == lesson):
        assert f"Exercise {key}: solved." in said, key


@pytest.mark.parametrize("lesson", lessons())
def test_a_stub_hides_no_function_of_its_lesson(lesson):
    """A reader who has run the stubs must still be able to use what the lesson has built."""
    built = set()
    for cell in json.loads(generator.lesson_path(lesson).read_text())["cells"]:
        if cell["cell_type"] == "code" and not generator.generated(cell):
            for node in ast.parse(generator.source(cell)).body:
                built |= {node.name} if hasattr(node, "name") else {alias.asname or alias.name for alias in getattr(node, "names", [])}
    for text in (text for text in texts().values() if text.lesson == lesson):
        stored = {node.id for node in ast.walk(ast.parse(text.stub)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        defined = {node.name for node in ast.parse(text.stub).body if hasattr(node, "name")}
        assert not (stored | defined) & built, text.key


LIST = """## What was shown

Much.

## Exercises

Some words before.

1. Look at `shrink_rows`,
   and at the second line.
2. Take LANCZOS.
3. Change min_detail:
   - a bullet inside stays.
4. Store a JPEG.

Next: notebook 02."""


def notebook(*sources, counts=True):
    cells = []
    for number, (kind, text) in enumerate(sources, 1):
        cells.append(generator.markdown(f"m{number}", text) if kind == "m" else generator.code(f"c{number}", text))
    for count, cell in enumerate((cell for cell in cells if cell["cell_type"] == "code"), 1):
        cell["execution_count"] = count if counts else None
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


APPENDIX = (("m", "## Appendix\n\nMore."), ("c", "4"))


@pytest.mark.parametrize("tail", [(), APPENDIX])
def test_a_list_becomes_cells_once_and_for_all(tail):
    once = generator.with_checks(notebook(("m", "# One"), ("c", "1"), ("m", LIST), *tail), "01")
    assert generator.with_checks(copy.deepcopy(once), "01") == once
    texts_ = [generator.source(cell) for cell in once["cells"]]
    assert texts_[2].endswith("## Exercises\n\nSome words before.") and texts_[2].startswith("## What was shown")
    assert "**Exercise 1.1.** Look at `shrink_rows`,\nand at the second line." in texts_
    assert "**Exercise 1.3.** Change min_detail:\n- a bullet inside stays." in texts_
    assert "**Exercise 1.4.** Store a JPEG." in texts_ and "Next: notebook 02." in texts_
    assert texts_[texts_.index("**Exercise 1.2.** Take LANCZOS.") + 1] == texts()["1.2"].stub
    counts = [cell["execution_count"] for cell in once["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1)) and len(counts) == (7 if not tail else 8)
    assert texts_[len(texts_) - len(tail):] == [text for _, text in tail]


@pytest.mark.parametrize("other", [LIST.replace("1. Look", "- Look").replace("2. ", "- ").replace("3. ", "- ").replace("4. ", "- "),
                                   LIST.replace("## Exercises", "# 9. Exercises for you"), LIST.replace("\n\nNext: notebook 02.", "")])
def test_the_section_is_found_however_it_is_written(other):
    once = generator.with_checks(notebook(("c", "1"), ("m", other), counts=False), "01")
    assert sum("exercise" in cell["metadata"].get("tags", []) and "check(" in generator.source(cell) for cell in once["cells"]) == 4
    assert all(cell["execution_count"] is None for cell in once["cells"] if cell["cell_type"] == "code")


def test_a_question_that_was_rewritten_keeps_its_words_and_its_check():
    once = generator.with_checks(notebook(("c", "1"), ("m", LIST)), "01")
    for cell in once["cells"]:
        cell["source"] = [line.replace("Take LANCZOS.", "What about LANCZOS, then?") for line in cell["source"]]
    again = generator.with_checks(copy.deepcopy(once), "01")
    assert again == once and any("**Exercise 1.2.** What about LANCZOS, then?" in generator.source(cell) for cell in again["cells"])


@pytest.mark.parametrize("broken, word", [(LIST.replace("4. Store a JPEG.", ""), "has the exercises"), (LIST.replace("LANCZOS", "JPEG"), "renumbered"),
                                          (LIST.replace("## Exercises", "## Questions"), "no heading")])
def test_what_cannot_be_matched_is_said(broken, word):
    with pytest.raises(SystemExit, match=word):
        generator.with_checks(notebook(("c", "1"), ("m", broken)), "01")


def test_the_command_says_what_is_stale():
    run = subprocess.run([sys.executable, str(generator.__file__), "--check"], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@lru_cache
def words(lesson: str) -> set[str]:
    """All words of a lesson's code and of the library's."""
    page = json.loads((generator.NOTEBOOKS / f"{lessons()[lesson].stem}.ipynb").read_text())
    code = [generator.source(cell) for cell in page["cells"] if cell["cell_type"] == "code"]
    code += [path.read_text() for path in (generator.ROOT / "srgan_lib").rglob("*.py") if path.parent.name != "lessons"]
    return set(re.findall(r"\w+", " ".join(code)))


@pytest.mark.parametrize("key", KEYS)
def test_a_hint_names_only_what_the_lesson_or_the_library_has(key):
    """A bare name in a hint's backticks stands in the lesson's code, in the library's, or in other code of the hint."""
    for text in texts()[key].hints:
        spans = re.findall(r"`([^`]+)`", text)
        names = {span for span in spans if span.isidentifier()}
        given = set(re.findall(r"\w+", " ".join(span for span in spans if not span.isidentifier())))
        assert names <= words(texts()[key].lesson) | given, text
