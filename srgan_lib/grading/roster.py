"""The class: who is in it, whose each file is, and who is missing."""

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from .collect import Collected, Handed
from .submission import GradingError
from .tables import headings, read_table

IDS = ("id", "student id", "student_id", "studentid", "id number", "idnumber", "sid", "sis user id", "matriculation number", "identifier", "username", "user",
       "sis login id", "email", "email address", "e-mail", "student")
NAMES = ("name", "full name", "fullname", "student name", "student")
FIRST, LAST = ("first name", "firstname", "given name"), ("last name", "lastname", "surname", "family name")
MAILS = ("email", "email address", "e-mail", "sis login id")


@dataclass
class Person:
    """One line of the roster. columns: all of it, for the platform that it came from."""

    id: str
    name: str = ""
    email: str = ""
    columns: dict[str, str] = field(default_factory=dict)


def read_roster(file: Path) -> dict[str, Person]:
    """{student id: person} of a CSV with the columns id and name, or of what Canvas and Moodle export.

    Raises GradingError for a file without them, a line without an id, or an id that stands there twice.
    """
    heads = headings(file)
    key = next((head for head in IDS if head in heads), None)
    if key is None:
        raise GradingError(f"{file}: a roster has the columns id and name, with a line of headings")
    found: dict[str, Person] = {}
    for row in read_table(file):
        name = next((row[head] for head in NAMES if row.get(head) and head != key), "") or " ".join(
            filter(None, (next((row[head] for head in part if row.get(head)), "") for part in (FIRST, LAST))))
        if "points possible" in (row.get("student") or "").lower():  # the second line of Canvas's export
            continue
        person = Person(re.sub(r"^Participant ", "", row[key]), name, next((row[head] for head in MAILS if row.get(head)), ""), row)
        if not person.id or person.id in found:
            raise GradingError(f"{file}, line {row['#']}: {f'{person.id} stands there twice' if person.id else 'a student without ' + key}")
        found[person.id] = person
    return found


def owner_in(roster: dict[str, Person], handed: Handed) -> str:
    """The roster's id for a file; what the file says, where the roster knows nobody, or several, of that name.

    In this order: the id itself, a platform's number, the name in either order, the mail, an id inside the file's name.
    """
    said = (handed.label, *handed.names)
    rules = (lambda p: {p.id.casefold()} & {text.casefold() for text in said},
             lambda p: handed.canvas and p.columns.get("id") == handed.canvas or handed.moodle and p.columns.get("identifier", "").endswith(" " + handed.moodle),
             lambda p: _spellings(p.name) & {_folded(text) for text in said},
             lambda p: p.email and p.email.split("@")[0].casefold() in {text.casefold() for text in said},
             lambda p: any(re.search(rf"(?<![0-9A-Za-z]){re.escape(p.id)}(?![0-9A-Za-z])", text, re.I) for text in said),
             lambda p: len(_folded(p.name)) > 5 and any(spelling in _folded(text) for text in said for spelling in _spellings(p.name)))
    for rule in rules:
        fits = [person.id for person in roster.values() if rule(person)]
        if len(fits) == 1:
            return fits[0]
        if fits:
            break
    return handed.label


def _folded(text: str) -> str:
    """Letters and digits without accents, case and order of the parts of a name."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return re.sub(r"[^\w]|_", "", "".join(letter for letter in plain if not unicodedata.combining(letter)))


def _spellings(name: str) -> set[str]:
    """A name as files spell it: each of its words may come first, as in "lovelaceada"."""
    words = name.replace(",", " ").split()
    return {_folded("".join(words[i:] + words[:i])) for i in range(len(words))}


def owners(found: Collected, roster: dict[str, Person]) -> dict[str, str]:
    """{path: student}, one file each; what is left out joins `found.refused` with a reason."""
    by_student: dict[str, list[Handed]] = {}
    for handed in found.files.values():
        by_student.setdefault(owner_in(roster, handed), []).append(handed)
    chosen = {}
    for student, files in by_student.items():
        best = files[0] if len(files) == 1 else max(files, key=rank)
        chosen[best.path] = student
        for handed in files:
            if handed is not best:
                found.refused.append((handed.source, f"stands aside: of {student}, {best.source} is graded"))
    return {path: chosen[path] for path in found.files if path in chosen}


def rank(handed: Handed) -> tuple:
    """Of several files of one student: a notebook before a script, one with exercises in it, the later, the fuller."""
    from .judge import load_exercises
    from .submission import is_script, load_notebook
    try:
        solved = len(set(load_exercises()) & set(load_notebook(handed.path).names))
    except Exception:  # what cannot be read is the last choice
        solved = -1
    file = Path(handed.path)
    return not is_script(file.name), solved > 0, handed.attempt, solved, file.stat().st_mtime if file.exists() else 0, handed.path


def listing(found: Collected, owners: dict[str, str], roster: dict[str, Person]) -> list[str]:
    """What is not graded, who is missing, unknown or late, a line each, each printable."""
    here = set(owners.values())
    lines = [f"not graded: {what} {reason}" for what, reason in found.refused]
    lines += [f"nothing from: {person.id} {person.name}".strip() for person in roster.values() if person.id not in here]
    lines += [f"not in the roster: {student} ({found.files[path].source})" for path, student in owners.items() if roster and student not in roster]
    lines += [f"late, says its name: {student} ({found.files[path].source})" for path, student in owners.items() if found.files[path].late]
    return ["".join(letter if letter.isprintable() else "?" for letter in line) for line in lines]
