"""What `check` can tell before grading does: names that will not be there, layers that may not be used.

The tests pass in the notebook, where every cell has run. Grading runs a selection of them (`submission`), so the cells that
the notebook has executed are put through the same selection here.
"""

import dis
import types

from .submission import Submission, select


def warnings(exercise, without: tuple[str, ...], namespace: dict) -> list[str]:
    """Sentences about what will cost points although the tests pass; namespace: the notebook's variables.

    exercise: the function or class; without: names that its solution may not use. In a script, without executed cells
    to look at, only the latter is found.
    """
    found, names, attributes = [], set(), set()
    _collect(exercise, namespace, names, attributes)
    if borrowed := sorted(attributes & set(without)):
        found.append(f"uses {', '.join(borrowed)}: the exercise is to write it")
    cells = namespace.get("In")
    kept = select([str(cell) for cell in cells]) if isinstance(cells, list) else None
    if kept and getattr(exercise, "__name__", "") in kept.names:  # whatever runs cells without keeping them in `In` leaves nothing to judge by
        found += [_reason(name, namespace[name]) for name in sorted(names & set(namespace)) if not _is_kept(name, kept)]
    return found


def _is_kept(name: str, kept: Submission) -> bool:
    return name in kept.names or name in kept.imported or name.startswith("__")


def _reason(name: str, value) -> str:
    if str(getattr(value, "__module__", "")).split(".")[0] == __package__.split(".")[0]:
        return f"{name} belongs to the course's library, which is not there then"
    return f"{name} is not there then: only imports, functions, classes and constants without a call are run"


def _collect(item, namespace: dict, names: set[str], attributes: set[str]) -> None:
    """Add the global names that a function or class uses, also by way of the notebook's own, and its attributes."""
    for code in _codes(item):
        for step in dis.get_instructions(code):
            if step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                attributes.add(step.argval)
            elif step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and step.argval not in names:
                names.add(step.argval)
                used = namespace.get(step.argval)
                if getattr(used, "__module__", None) == namespace.get("__name__"):
                    _collect(used, namespace, names, set())


def _codes(item):
    """The code objects of a function, of what decorators wrapped, or of a class, with those nested in them."""
    if isinstance(item, type):
        for member in vars(item).values():
            yield from _codes(member) if not isinstance(member, type) else ()
        return
    item = getattr(item, "__func__", item)
    item = getattr(item, "__wrapped__", item)
    waiting = [item.__code__] if isinstance(item, types.FunctionType) else []
    while waiting:
        code = waiting.pop()
        yield code
        waiting += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
