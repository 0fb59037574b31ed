"""The command line: python -m srgan_lib upscale | train | evaluate | benchmark | speedrun | grade | demo | publish | export.

Exit codes: 0 done; 2 bad input or usage, one sentence on standard error; 3 a run stopped by a loss that is not finite;
130 interrupted; 1 a fault of ours.
"""

import argparse
import os
import re
import sys
import warnings
from contextlib import nullcontext, redirect_stdout
from importlib import import_module

from .errors import CourseError
from .locks import descriptor

COMMANDS = {  # name: (module with add_arguments(parser) and run(arguments) -> exit code, what it does)
    "upscale": ("apps.upscale", "Upscale pictures, folders and videos."),
    "train": ("apps.train", "Train one stage, or go on with it after a stop."),
    "evaluate": ("apps.evaluate", "Score a model or a baseline against ground truth."),
    "benchmark": ("apps.benchmark", "Measure this machine: data, training steps, inference."),
    "speedrun": ("apps.speedrun", "Train from random weights to a fixed quality, against the clock."),
    "grade": ("grading.command", "Grade assignment notebooks."),
    "demo": ("apps.demo", "Serve a page that enlarges pictures in the browser."),
    "publish": ("apps.publish", "Put a trained generator on the Hub, with a model card."),
    "export": ("apps.export", "Write a generator as ONNX, for pictures of any size."),
}


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, and turn every expected error into one sentence and an exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    open_streams()
    parser = argparse.ArgumentParser("python -m srgan_lib", description="Train, judge and use super-resolution networks.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text, description=text)
    if arguments and arguments[0] in COMMANDS:  # only the module of the command asked for is imported
        module = import_module(f".{COMMANDS[arguments[0]][0]}", __package__)
        module.add_arguments(commands.choices[arguments[0]])
    parsed = parser.parse_args(arguments)
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        refuse_empty(arguments)
        parsed = at_home(parsed)
        with redirect_stdout(sys.stderr) if into_stdout(parsed) else nullcontext():  # so that a result there stands alone
            code = module.run(parsed)
        sys.stdout.flush()  # a full disk behind a redirected output is found here, not after the exit code
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return explain(error)


def open_streams() -> None:
    """Closed standard streams become ones that take nothing, so that no file of ours gets their numbers; names print in any locale."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDONLY)  # the lowest free number, this one
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w"))
            if number == 1:
                sys.__stdout__ = open(number, "w", closefd=False)  # what is meant to arrive there fails
        elif number and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def into_stdout(parsed: argparse.Namespace) -> bool:
    """Whether an option names standard output as the file of a result."""
    return any(descriptor(value) == 1 for value in vars(parsed).values() if isinstance(value, (str, os.PathLike)) and "\0" not in str(value))


def at_home(parsed: argparse.Namespace) -> argparse.Namespace:
    """The same with ~ replaced, which the shell leaves as it is in --json=~/a.json. Raises CourseError for a user that is not known."""
    def expanded(value):
        if isinstance(value, list):
            return [expanded(one) for one in value]
        if not isinstance(value, (str, os.PathLike)) or not re.match(r"~[\w.-]*(/|$)", str(value)):
            return value
        name = str(value)
        whole = os.path.expanduser(name)
        if whole.startswith("~") and "/" in name and not os.path.exists(name.split("/")[0]):
            raise CourseError(f"{name}: this machine knows no home folder of that user")
        return type(value)(whole)

    return argparse.Namespace(**{name: expanded(value) for name, value in vars(parsed).items()})


def refuse_empty(arguments: list[str]) -> None:
    """Raise CourseError for an empty argument: as a path it would mean the folder that we happen to be in."""
    for before, argument in zip(["", *arguments], arguments):
        if not argument.strip() or argument.startswith("--") and argument.endswith("="):
            name = before if before.startswith("-") else argument.rstrip("=") if argument.strip() else "an argument"
            raise CourseError(f"{name}: is empty; was a variable not set?")


def explain(error: Exception) -> int:
    """One sentence for an expected error and its exit code; anything else is a fault of ours and keeps its traceback."""
    if not (getattr(error, "exit_code", None) or isinstance(error, OSError)):
        raise error
    text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
    print(f"srgan_lib: {text}", file=sys.stderr)
    return getattr(error, "exit_code", 2)


if __name__ == "__main__":
    sys.exit(main())
