"""What a notebook calls: check, hint, status and model_answer. Everything is printed; nothing stops a notebook."""

import re
import textwrap
import traceback
from importlib import import_module

import torch

from .exercise import LEAST_WORDS, TESTS, Unanswered, Wrong, blank, words
from .texts import Text, lessons, texts

STATES: dict[str, str] = {}   # what each exercise came to in this kernel
RUNGS: dict[str, int] = {}    # how many hints have been read
WIDTH = 100


def check(key: str, *parts, **given) -> None:
    """Print what is right and what is wrong about an answer. Nothing happens to an answer that is still empty."""
    text = _find(key)
    if text:
        state, message = judge(text.key, *parts, **given)
        STATES[text.key] = state
        print(_wrapped(message))


def judge(key: str, *parts, **given) -> tuple[str, str]:
    """-> ("open", "wrong", "half" or "solved", what to say)."""
    text, test = texts()[key], _test(key)
    say, names = f"Exercise {key}: ", [*test.parts, *["why"] * test.explain]
    if len(parts) not in (0, len(names)):
        return "wrong", say + f"want {len(names)} parts, check(\"{key}\", {', '.join(names)}), as the cell under the question has it; got {len(parts)}."
    *values, why = parts if test.explain and parts else (*parts, None)
    if all(map(blank, values)) and blank(why):
        return "open", say + f"not answered yet. hint('{key}') gives a first hint."
    if test.explain and not isinstance(why, str) and why is not None:
        return "wrong", say + "the last part of the answer is a text in your own words."
    try:
        true = run(test, values, given) if values else []
    except Unanswered as missing:
        return "open", say + f"not answered yet: {missing}. hint('{key}') helps."
    except Wrong as wrong:
        return "wrong", say + f"not yet: {_sentence(str(wrong))} hint('{key}') helps."
    seen = "".join(f"\n  right: {sentence}" for sentence in true or [])
    return _explained(text, say, seen, why) if test.explain else ("solved", say + "solved." + seen)


def run(test, values: list, given: dict) -> list[str] | None:
    """The test on an answer, with random numbers of its own; an error in the student's code becomes a Wrong."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            return test.run(*values, **given)
        except (Unanswered, Wrong):
            raise
        except Exception as error:
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "srgan_lib" not in frame.filename.replace("\\", "/")]
            where = f" (line {frames[-1].lineno} of your cell: {frames[-1].line})" if frames and frames[-1].line else ""
            raise Wrong(f"it stops with {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}{where}") from None


def _explained(text: Text, say: str, seen: str, why: str | None) -> tuple[str, str]:
    found = words(why or "")
    if len(found) < LEAST_WORDS or len({word.lower() for word in found}) < LEAST_WORDS // 2:
        missing = "write" if not found else f"{len(found)} words so far; write"
        return "half", say + (f"the first part is right.{seen}\n  Now the explanation: " if seen else "") + f"{missing} at least {LEAST_WORDS} words in your own words."
    if _same(why, text.model):
        return "solved", say + "solved." + seen
    rubric = "".join(f"\n  - {line}" for line in text.rubric)
    return "solved", (say + f"answered. Compare your text with the model answer and mark it yourself.{seen}\n\nModel answer:\n{text.model}\n\n"
                      f"Your text is complete if it says:{rubric}")


def hint(key: str, rung: int | None = None) -> None:
    """Print the next hint of an exercise, or hint number `rung`; each is plainer than the one before."""
    text = _find(key)
    if text is None:
        return
    rung = RUNGS.get(text.key, 0) + 1 if rung is None else rung
    RUNGS[text.key] = max(RUNGS.get(text.key, 0), rung)
    if 1 <= rung <= len(text.hints):
        print(_wrapped(f"Hint {rung} of {len(text.hints)} for exercise {text.key}: {text.hints[rung - 1]}"))
    else:
        print(f"Exercise {text.key} has {len(text.hints)} hints. Its solution is in notebooks/solutions/{lessons()[text.lesson].stem}.ipynb.")


def status(lesson: int | str | None = None) -> None:
    """Print a line for each exercise: of one lesson, of "all", or of the lessons that this notebook has checked."""
    wanted = {f"{int(lesson):02d}"} if str(lesson).isdigit() else {texts()[key].lesson for key in STATES} if lesson is None else set()
    rows = [text for text in texts().values() if not wanted or text.lesson in wanted]
    states = {"solved": "solved", "half": "the explanation is missing", "wrong": "not right yet", "open": "open"}
    for text in rows:
        print(f"{text.key:4} {text.title:32} {states[STATES.get(text.key, 'open')]}")
    print(f"{sum(STATES.get(text.key) == 'solved' for text in rows)} of {len(rows)} solved")


def model_answer(key: str) -> str:
    """The model answer of an exercise as text, or an empty one for a key that no exercise has."""
    text = _find(key)
    return text.model if text else ""


def _find(key) -> Text | None:
    """The exercise of a key such as "2.3"; for another key the known ones are printed."""
    known, key = texts(), str(key).strip()
    if key not in known:
        near = [name for name in known if name.split(".")[0] == key.split(".")[0]] or known
        print(f"There is no exercise {key!r}. There are {', '.join(near)}.")
    return known.get(key)


def _test(key: str):
    import_module(f".lesson{texts()[key].lesson}", __package__)
    return TESTS[key]


def _same(one: str, other: str) -> bool:
    return words(one) == words(other)


def _sentence(text: str) -> str:
    text = text.strip()
    return text + ("" if text.endswith((".", "?")) else ".")


def _wrapped(message: str) -> str:
    lines = []
    for line in message.split("\n"):
        indent = re.match(r" *(- )?", line)[0]
        lines += textwrap.wrap(line, WIDTH, subsequent_indent=" " * len(indent)) or [""]
    return "\n".join(lines)
