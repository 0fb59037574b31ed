"""Hostile and broken notebooks, as compact as they come.

CALLS: bodies of an exercise (luma) that attack when they are called. CELLS: cells that attack while the notebook is loaded.
FILES: files that are not what they should be. Every notebook made of CALLS and CELLS also holds a right `psnr`.
"""

import json

PSNR = "import os, sys\nimport torch\n\ndef psnr(a, b, peak=1.0):\n    return 10 * torch.log10(peak ** 2 / (a - b).square().flatten(1).mean(1))\n"
LUMA = "def luma(rgb):\n    return 16 + 65.481 * rgb[:, 0:1] + 128.553 * rgb[:, 1:2] + 24.966 * rgb[:, 2:3]\n"

# what it tries: (body of luma, a word of the message that its author reads)
CALLS = {
    "endless loop": ("while True:\n        pass", "did not come to an end"),
    "endless loop that catches everything": (
        "while True:\n        try:\n            while True: pass\n        except BaseException: pass", "did not come to an end"),
    "sleeps for an hour": ("import time; time.sleep(3600)", "did not come to an end"),
    "os._exit": ("os._exit(0)", "ended the process"),
    "sys.exit": ("sys.exit(0)", "SystemExit"),
    "segmentation fault": ("import ctypes; ctypes.string_at(0)", "signal 11"),
    "fork bomb": ("while True:\n        try: os.fork()\n        except OSError: pass", "did not come to an end"),
    "100 GB": ("return torch.ones(100 << 30, dtype=torch.uint8)", "memory"),
    "many small allocations": ("kept = []\n    while True:\n        kept.append(bytearray(1 << 26))", "MemoryError|did not come"),
    "endless recursion": ("return luma(rgb)", "RecursionError"),
    "reads the tests": ("return open(COURSE + '/notebooks/assignment/exercises/1_pictures.py').read()", "FileNotFoundError"),
    "reads the solution": ("return open(COURSE + '/notebooks/assignment/solution.ipynb').read()", "FileNotFoundError"),
    "reads a neighbour's notebook": ("return open(NEIGHBOUR).read()", "FileNotFoundError"),
    "imports the library's answer": ("from srgan_lib.images import luma as answer; return answer(rgb)", "ModuleNotFoundError"),
    "imports the tests' references": ("from srgan_lib.grading.trial import EXERCISES; return EXERCISES", "ModuleNotFoundError"),
    "finds answers in memory": (
        "import gc; return [o for o in gc.get_objects() if type(o).__name__ == 'function' and o.__name__ in ('studio_luma', 'attempt')][0](rgb)", "IndexError"),
    "writes beside itself": ("open(COURSE + '/owned', 'w').write('x')", "FileNotFoundError|OSError|PermissionError"),
    "writes into Python": ("open(torch.__file__, 'a').write('x')", "OSError|PermissionError"),
    "writes into the home folder": ("open(HOME + '/owned', 'w').write('x')", "FileNotFoundError|OSError|PermissionError"),
    "fills the disk": ("file = open('big', 'wb')\n    while True: file.write(bytes(1 << 20))", "OSError|signal 25"),
    "uses the network": ("import socket; socket.create_connection(('127.0.0.1', PORT), 1)", "ConnectionRefusedError|OSError"),
    "kills every process": ("os.kill(-1, 9)", "did not come to an end|ended|Permission|ProcessLookup"),
    "kills its parent": ("os.kill(os.getppid(), 9); return rgb", "got shape|ended|was not reached"),
    "returns 1 GB": ("return torch.zeros(1 << 27, dtype=torch.float64)", "returned far too much|did not come|emory"),
    "returns a liar": ("class Liar(torch.Tensor):\n        __eq__ = __ne__ = lambda *a: True\n    return rgb.as_subclass(Liar)", "got shape|stopped"),
    "returns an object that explodes": ("class Bomb:\n        def __array__(self, *a, **k): raise KeyboardInterrupt\n    return Bomb()", "sense|Keyboard|ended|stopped"),
    "writes on every descriptor": (
        "for number in range(3, 200):\n        try: os.write(number, b'\\x00\\x00\\x00\\x04full' * 9)\n        except OSError: pass\n    return rgb", "nonsense|got shape|too much|sense|ended"),
}

# what it tries: (cells, does psnr still get its points)
CELLS = {
    "os._exit while loading": (["class Owned:\n    __import__('os')._exit(0)"], False),
    "endless loop while loading": (["class Owned:\n    while True:\n        pass"], True),
    "an exception in a decorator": (["@nothing\ndef f(): pass"], True),
    "training loop, download, plot": (["while True: pass", "for _ in range(10**12): pass", "print(open('/etc/passwd').read())", "raise SystemExit"], True),
    "patches torch by assignment": (["import torch\ntorch.log10 = lambda x: x\ntorch.Tensor.square = None"], True),
    "patches torch in a class body": (["class Owned:\n    import torch\n    torch.allclose = torch.equal = lambda *a, **k: True\n    "
                                       "torch.Tensor.__eq__ = torch.Tensor.allclose = lambda *a, **k: True"], True),
    "patches the grader": (["class Owned:\n    import sys\n    for name, module in list(sys.modules.items()):\n        if 'sandbox' in name:\n            "
                            "module.ask = lambda *a: {'turns': [{'value': 1, 'gradients': [], 'sizes': [], 'modules': []}]}"], True),
    "its own check": (["def check(*a):\n    return 'full marks'\nhint = check", "check(psnr)"], True),
    "answers before it is asked": (["class Owned:\n    import gc, multiprocessing.connection as c\n    for o in gc.get_objects():\n        "
                                    "if isinstance(o, c.Connection): o.send_bytes(b'full marks')"], False),
    "!pip and magics": (["!pip install torch\n%matplotlib inline\nimport torch\nfiles = !ls", "%%bash\nrm -rf /", "%%time\nTHREE = 3", "torch?"], True),
    "drive.mount": (["from google.colab import drive\ndrive.mount('/content/drive')"], True),
    "a cell that is no Python": (["def luma(rgb:\n    return"], True),
    "duplicated cells": (["def psnr(a, b, peak=1.0):\n    return 0", PSNR], True),
    "null bytes and nesting": (["x = 1\0", "(" * 5000 + ")" * 5000, "-" * 100000 + "1", "y = " + "-" * 900 + "1"], True),
}


def notebook(cells: list[str], **changes) -> bytes:
    """An nbformat 4 file of code cells."""
    made = [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": cell} for cell in cells]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made, **changes}).encode("utf-8", "surrogatepass")


COLAB = {"metadata": {"colab": {"provenance": [], "toc_visible": True}, "accelerator": "GPU", "kernelspec": {"name": "python3", "display_name": "Python 3"}},
         "nbformat_minor": 0}
# what it is: (bytes, a word of the refusal, or None where luma and psnr get their points)
FILES = {
    "cleared metadata": (json.dumps({"cells": [{"cell_type": "code", "source": LUMA + PSNR}]}).encode(), None),
    "saved by Colab": (notebook([LUMA.splitlines(keepends=True), PSNR.splitlines(keepends=True)], **COLAB), None),
    "nbformat 3": (json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": [
        {"cell_type": "code", "language": "python", "input": LUMA + PSNR, "outputs": [], "collapsed": False}]}]}).encode(), None),
    "with a byte-order mark": (b"\xef\xbb\xbf" + notebook([LUMA, PSNR]), None),
    "strange cells": (notebook([LUMA, PSNR]).replace(b'"cells": [', b'"cells": [null, 3, {"cell_type": "code"}, {"cell_type": "code", "source": 7}, '), None),
    "no JSON": (b"print('hello')", "not a notebook"),
    "a picture": (b"\x89PNG\r\n\x1a\n\xff\xfe", "cannot be read"),
    "empty": (b"", "not a notebook"),
    "a list": (b"[1, 2]", "not a notebook"),
    "no cells": (b'{"nbformat": 4}', "not a notebook"),
    "cells that are no list": (b'{"cells": 5}', "not a notebook"),
    "worksheets that hold none": (b'{"worksheets": [3, {"cells": 5}], "nbformat": 3}', None),
    "a number of 10,000 digits": (b'{"cells": ' + b"7" * 10000 + b"}", "not a notebook"),
    "very deep": (b"[" * 200000, "not a notebook"),
}
