"""The house: which room may import which, how long a module may be, and that a start stays cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "srgan_lib"
FLOORS = (  # from the ground up; imports run down
    {"errors", "locks", "notes"}, {"formats"}, {"images", "niqe"}, {"data", "losses"}, {"models"}, {"upscaling"}, {"inference", "metrics"}, {"training", "figures"},
    {"apps"}, {"lessons"}, {"grading"},
    {"__main__"},
)
HEIGHT = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
MODULES = {".".join(path.relative_to(LIBRARY).with_suffix("").parts): path for path in sorted(LIBRARY.rglob("*.py"))}
PACKAGES = {name.removesuffix(".__init__") for name in MODULES if name.endswith(".__init__")}


def imports(name: str, text: str | None = None) -> list[tuple[str, int]]:
    """(module of the library, line) for every import in a module, inside functions too."""
    found, place = [], ["srgan_lib", *name.split(".")[:-1]]
    for node in ast.walk(ast.parse(text or MODULES[name].read_text())):
        if isinstance(node, ast.ImportFrom):
            base = place[:len(place) - node.level + 1] if node.level else []
            full = ".".join([*base, *filter(None, [node.module])])
            found += [(module, node.lineno) for alias in node.names for module in [_module(f"{full}.{alias.name}") or _module(full)] if module]
        elif isinstance(node, ast.Import):
            found += [(module, node.lineno) for alias in node.names for module in [_module(alias.name)] if module]
    return found


def _module(full: str) -> str | None:
    """The library's module of a dotted name, a package by its __init__; None for what is no module of the library."""
    name = full.removeprefix("srgan_lib.")
    if not full.startswith("srgan_lib."):
        return None
    return f"{name}.__init__" if name in PACKAGES else name if name in MODULES else None


def room(module: str) -> str:
    return module.split(".")[0]


def running_up(name: str, text: str | None = None) -> list[str]:
    """The lines that import from a higher floor, or from another room of the same floor."""
    here = room(name)
    return [f"srgan_lib/{name.replace('.', '/')}.py:{line} imports {module}: {here} stands on floor {HEIGHT[here]}, {room(module)} on {HEIGHT[room(module)]}"
            for module, line in imports(name, text) if room(module) != here and HEIGHT[room(module)] >= HEIGHT[here]]


@pytest.mark.parametrize("name", [name for name in MODULES if name != "__init__"])
def test_imports_run_down(name):
    assert running_up(name) == []


def test_an_import_that_runs_up_is_found_wherever_it_stands():
    text = "def f():\n    if f:\n        from ..apps.cards import card\nimport srgan_lib.grading.judge\nfrom ..training import train\n"
    lines = running_up("upscaling.tiles", text)
    assert len(lines) == 3 and all(f"tiles.py:{line} " in found for line, found in zip((5, 4, 3), sorted(lines, reverse=True)))
    assert running_up("models.networks", "from ..losses import BCE") == []
    assert running_up("losses", "from .data import bank") != []  # the same floor


def test_no_circle():
    graph = {name: {module for module, _ in imports(name) if module != name} for name in MODULES}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name):], name])
        if name not in done:
            for module in sorted(graph[name]):
                visit(module, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_nobody_but_the_command_line_reaches_the_grader():
    assert [name for name in MODULES if room(name) not in ("grading", "__main__") and any(room(m) == "grading" for m, _ in imports(name))] == []


def test_modules_fit_a_sitting_and_functions_a_screen():
    lengths = {name: path.read_text().count("\n") for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 250} == {}
    functions = {f"{name}.{node.name}": node.end_lineno - node.lineno + 1 for name, path in MODULES.items()
                 for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
    assert {name: length for name, length in functions.items() if length > 40} == {}
    assert sorted(functions.values())[len(functions) // 2] <= 12
    packages = ("formats", "training", "upscaling", "apps", "lessons", "grading", "__main__")  # these may grow; the rest is the core that lessons import
    core = [path for name, path in MODULES.items() if room(name) not in packages]
    assert sum(bool(line.strip()) for path in core for line in path.read_text().splitlines()) < 3500


@pytest.mark.parametrize("start", ["import srgan_lib", "import srgan_lib.grading", "from srgan_lib.__main__ import main; main(['--help'])",
                                   "from srgan_lib.__main__ import main; main(['upscale', '--help'])"])
def test_a_cheap_start_imports_no_torch(start):
    code = f"import sys\ntry:\n    {start}\nexcept SystemExit:\n    pass\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=LIBRARY.parent, stdout=subprocess.DEVNULL).returncode == 0
