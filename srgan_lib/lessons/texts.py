"""The texts of the exercises, one Markdown file a lesson: title, words of the question, stub, hints, solution, model answer.

    # 2.3 An even overlap
    question: transposed convolution | stride 3     (words that stand in the lesson's question, so that no other is taken for it)
    shared: grid_energy                             (definitions of the lesson that the solution takes over)
    ## stub / ## hint / ## solution / ## model answer / ## rubric
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Text:
    """What is written about one exercise; code as it will stand in cells."""

    key: str
    title: str
    question: tuple[str, ...]
    shared: tuple[str, ...]
    stub: str
    hints: tuple[str, ...]
    solution: tuple[str, ...]
    model: str
    rubric: tuple[str, ...]

    @property
    def lesson(self) -> str:
        return f"{int(self.key.split('.')[0]):02d}"


def lessons() -> dict[str, Path]:
    """Lesson number, "00" to "07" -> the file of its exercises, which has the name of the notebook."""
    return {path.stem[:2]: path for path in sorted(FOLDER.glob("[0-9][0-9]_*.md"))}


@lru_cache
def texts() -> dict[str, Text]:
    """All exercises in the order of the lessons: "2.3" -> its text."""
    return {text.key: text for path in lessons().values() for text in parse(path.read_text("utf-8"))}


def parse(page: str) -> list[Text]:
    return [_exercise(part) for part in re.split(r"^# (?=\d+\.\d+ )", _marked(page), flags=re.M)[1:]]


def _marked(page: str) -> str:
    """Comments in code begin with # as headings do: a # inside a fence is hidden behind a zero byte."""
    return re.sub(r"^```python\n.*?^```$", lambda fence: fence[0].replace("\n#", "\n\0#"), page, flags=re.M | re.S)


def _exercise(part: str) -> Text:
    head, *rest = re.split(r"^## ", part, flags=re.M)
    first, _, fields = head.partition("\n")
    key, title = first.split(" ", 1)
    found = dict(re.findall(r"^(question|shared): (.*)$", fields, re.M))
    sections = [(name, body.strip()) for name, _, body in (section.partition("\n") for section in rest)]

    def bodies(name: str) -> tuple[str, ...]:
        return tuple(body for title, body in sections if title.strip() == name)

    return Text(key, title.strip(), tuple(re.split(r"\s*\|\s*", found["question"])), tuple(found.get("shared", "").split()),
                _code(bodies("stub")[0])[0], bodies("hint"), _code(bodies("solution")[0]), *_answer(bodies))


def _answer(bodies) -> tuple[str, tuple[str, ...]]:
    rubric = re.findall(r"^- (.*(?:\n  .*)*)", bodies("rubric")[0], re.M)
    return bodies("model answer")[0], tuple(" ".join(line.split()) for line in rubric)


def _code(body: str) -> tuple[str, ...]:
    """The fenced pieces of a section, each a cell."""
    return tuple(code.replace("\0", "").rstrip("\n") for code in re.findall(r"^```python\n(.*?)^```$", body, re.M | re.S))
