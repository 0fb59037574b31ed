"""What of a notebook's cells may run when it is graded: imports, definitions, classes, constants without a call.

So nobody's training loop, download or mount runs. Decorators, default values and class bodies are code too and do run,
in the sandbox, under its limits: the selection saves time, the sandbox is what protects.
"""

import ast
import re
import threading
from dataclasses import dataclass, field

PARSING = threading.Lock()
STUB = 'raise NotImplementedError("your turn")'
MOST_CODE, MOST_CELL = 2 << 20, 300_000  # characters of code in a notebook, and in one cell
OTHER_LANGUAGE = re.compile(r"%%(?!time|timeit|capture|prun)\w")  # cells of bash, html, ...; the named ones hold Python
SHELL = re.compile(r"^(\s*)([%!?].*|\w[\w, ]*=\s*[%!].*|[\w.]+\?\??\s*)$")
# Calls that a constant may hold: they compute little and change nothing.
HARMLESS = set("""torch.device torch.cuda.is_available torch.backends.mps.is_available torch.jit.script torch.vmap torch.func.vmap torch.no_grad
torch.inference_mode torch.enable_grad functools.partial partial vmap math.sqrt math.log math.log2 math.log10 math.exp namedtuple
collections.namedtuple float int bool str len tuple list dict set frozenset range min max abs round OrderedDict collections.OrderedDict
SimpleNamespace types.SimpleNamespace os.environ.get functools.lru_cache lru_cache functools.wraps wraps""".split())


@dataclass
class Submission:
    """pieces: (cell, line, source) to execute in order; problems: {cell: sentence}; names: {definition: cell}.

    uses: {definition: attributes in it}; imports: modules; imported: the names that imports bind; skipped: {name: why a
    statement that binds it does not run}; notes: {definition: what is worth saying about where it stands}.
    """

    pieces: list[tuple[int, int, str]] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    uses: dict[str, set[str]] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def select(cells: list[str]) -> Submission:
    """What grading keeps of these code cells; one that is not Python is noted in `problems`."""
    submission, total = Submission(), 0
    for number, source in enumerate(cells, 1):
        total += len(source)
        if len(source) > MOST_CELL or total > MOST_CODE:
            submission.problems[number] = f"cell {number} is too long ({len(source):,} characters; {MOST_CELL:,} a cell and {MOST_CODE:,} in all are read)"
            continue
        try:
            tree, source = _parse(source)
            lines = rows(source)
            for node in map(_apart, tree.body):
                for part in node:
                    _take(submission, number, part, lines)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            submission.problems[number] = f"cell {number} is not valid Python{line} ({getattr(error, 'msg', type(error).__name__)})"
    return submission


def rows(source: str) -> list[str]:
    """The lines as Python counts them: not those of str.splitlines, which form feeds and U+2028 end as well."""
    return re.split(r"\r\n|\r|\n", source)


def parse(source: str) -> ast.Module:
    """ast.parse, one thread at a time: in Python 3.11 two threads that parse at once can both fail, on any source.

    They count the depth of the tree in one counter: SystemError, "AST constructor recursion depth mismatch", seen in 3.11.7.
    """
    with PARSING:
        return ast.parse(source)


def _parse(source: str) -> tuple[ast.Module, str]:
    """Parse a cell, without magics and shell commands where it is not Python as it stands -> tree, source used."""
    if OTHER_LANGUAGE.match(source.lstrip()):
        return ast.Module([], []), ""
    try:
        return parse(source), source
    except SyntaxError:
        plain, goes_on = [], False
        for line in rows(source):
            shell = SHELL.match(line)
            plain.append("" if goes_on else SHELL.sub(r"\1pass", line))
            goes_on = (goes_on or bool(shell)) and line.rstrip().endswith("\\")  # a shell command over several lines
        return parse("\n".join(plain)), "\n".join(plain)


def _apart(node: ast.stmt) -> list[ast.stmt]:
    """`import a, b` as two statements, so that a module that is not installed does not take the others along; the course's own library is left out."""
    if not isinstance(node, ast.Import):
        return [node]
    return [ast.copy_location(ast.Import([alias]), node) for alias in node.names if alias.name.split(".")[0] != "srgan_lib"]


def _take(submission: Submission, cell: int, node: ast.stmt, lines: list[str]) -> None:
    """Keep one statement, or note why the names that it binds will be missing."""
    kept = _kept(node, submission)
    for name in _bound(node):
        if kept is None:
            submission.skipped[name] = f"cell {cell} binds {name} by {_why(node)}, which is not run when it is graded"
    if kept is None:
        return
    name = getattr(node, "name", "")
    if name in submission.names:
        if _is_stub(node):
            submission.notes[name] = f"cell {cell} holds the empty stub of {name} once more; the answer in cell {submission.names[name]} is graded"
            return
        if submission.notes.get(name) != "stub":
            submission.notes[name] = f"{name} is defined in cells {submission.names[name]} and {cell}; the later one is graded"
    submission.pieces.append(_piece(cell, kept, lines))
    _note(submission, cell, kept)


def _is_stub(node: ast.stmt) -> bool:
    """Whether a definition is as it was handed out: nothing but the docstring and the stub."""
    if isinstance(node, ast.ClassDef):
        methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        return bool(methods) and all(map(_is_stub, methods))
    body = [part for part in getattr(node, "body", []) if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]
    return isinstance(node, ast.FunctionDef) and len(body) == 1 and isinstance(body[0], ast.Raise) and "your turn" in ast.unparse(body[0])


def _kept(node: ast.stmt, submission: Submission) -> ast.stmt | None:
    """The statement, or the part of it, that runs when it is graded; None where nothing does."""
    if isinstance(node, ast.ImportFrom):
        return node if (node.module or "").split(".")[0] != "srgan_lib" else None
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        whole = node.value is not None and all(_is_name(target, submission) for target in targets) and not _calls(node.value)
        return node if whole else None
    if isinstance(node, (ast.If, ast.Try)):
        return _inside(node, submission)
    return node if isinstance(node, (ast.Import, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) else None


def _inside(node: ast.If | ast.Try, submission: Submission) -> ast.stmt | None:
    """An `if` or `try` around imports and definitions, with nothing else left in it."""
    if isinstance(node, ast.If) and _calls(node.test):
        return None
    found = any(isinstance(part, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)) for part in ast.walk(node))
    if not found:
        return None
    for field_name in ("body", "orelse", "finalbody"):
        parts = [kept for part in getattr(node, field_name, []) if (kept := _kept(part, submission)) is not None]
        if hasattr(node, field_name):
            setattr(node, field_name, parts or ([ast.Pass()] if field_name == "body" else []))
    for handler in getattr(node, "handlers", []):
        handler.body = [kept for part in handler.body if (kept := _kept(part, submission)) is not None] or [ast.Pass()]
    return node


def _is_name(target: ast.expr, submission: Submission) -> bool:
    """Names, tuples of them, and attributes of what the notebook defines: torch.something is not the notebook's to assign."""
    if isinstance(target, ast.Attribute):
        return isinstance(target.value, ast.Name) and target.value.id in submission.names
    return isinstance(target, ast.Name) or isinstance(target, (ast.Tuple, ast.List)) and all(_is_name(one, submission) for one in target.elts)


def _calls(value: ast.expr) -> bool:
    """Whether evaluating the expression calls (what is not harmless), awaits or loops; a lambda's body is not evaluated."""
    if isinstance(value, ast.Lambda):
        return any(map(_calls, (*value.args.defaults, *filter(None, value.args.kw_defaults))))
    if isinstance(value, ast.Call):
        harmless = isinstance(value.func, (ast.Name, ast.Attribute)) and ast.unparse(value.func) in HARMLESS
        inner = isinstance(value.func, ast.Call) and not _calls(value.func)
        return not (harmless or inner) or any(map(_calls, [*value.args, *(k.value for k in value.keywords)]))
    if isinstance(value, (ast.Await, ast.Yield, ast.YieldFrom, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return True
    return any(_calls(child) for child in ast.iter_child_nodes(value))


def _why(node: ast.stmt) -> str:
    """In words, what keeps a statement from being run."""
    if isinstance(node, ast.ImportFrom):
        return "an import from the course's own library"
    calls = [ast.unparse(part.func)[:40] for part in ast.walk(node) if isinstance(part, ast.Call)]
    kind = {ast.For: "a loop", ast.While: "a loop", ast.With: "a with block", ast.AugAssign: "an assignment such as +="}.get(type(node))
    return kind or (f"a line that calls a function ({calls[0]})" if calls else "a statement that is no constant")


def _bound(node: ast.stmt) -> list[str]:
    """Names that a statement that is not kept would bind."""
    if isinstance(node, ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Import)):
        return []
    return list({part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)})[:50]


def _piece(cell: int, node: ast.stmt, lines: list[str]) -> tuple[int, int, str]:
    """(cell, line, source) of a statement with its decorators."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    text = lines[first - 1:node.end_lineno]
    if isinstance(node, ast.Import):
        return cell, first, ast.unparse(node)
    if isinstance(node, (ast.If, ast.Try)):
        return cell, first, ast.unparse(ast.fix_missing_locations(node))
    if len(text) == 1 or lines[node.end_lineno - 1][node.end_col_offset:].strip(" \t;").startswith(tuple("abcdefghijklmnopqrstuvwxyz")):
        text = [ast.unparse(node)]  # several statements may share a line
    return cell, first, "\n".join(text)


def _note(submission: Submission, cell: int, node: ast.stmt) -> None:
    """Note what a statement imports or defines, and which attributes it uses."""
    for part in ast.walk(node) if isinstance(node, (ast.If, ast.Try)) else [node]:
        if isinstance(part, (ast.Import, ast.ImportFrom)):
            submission.imports |= {alias.name for alias in part.names} if isinstance(part, ast.Import) else {part.module or ""}
            submission.imported |= {alias.asname or alias.name.split(".")[0] for alias in part.names}
        targets = [part.target] if isinstance(part, ast.AnnAssign) else getattr(part, "targets", [])
        stored = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        for name in [part.name] if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) else stored:
            submission.names[name] = cell
            submission.notes.pop(name, None) if submission.notes.get(name) == "stub" else None
            submission.uses[name] = {n.attr for n in ast.walk(part) if isinstance(n, ast.Attribute)}
            if _is_stub(part):
                submission.notes[name] = "stub"
