"""The metrics of the field through pyiqa (extra `metrics`), each with the protocol that papers use: `evaluate --metrics`."""

import difflib
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO

import torch

from ..errors import DataError
from ..images import eight_bit

SHAVED = ("psnr", "psnry", "ssim", "ssimc", "niqe", "ms_ssim")  # pixels of the border are left out, as the classic protocol has it
PREFIX = "pyiqa_"  # of a column; our own PSNR, SSIM and NIQE stand beside them
WAIT = 10  # seconds for an answer of the place where weights lie


class FieldMetrics:
    """Metrics by their pyiqa names, loaded once; call it with SR and HR to get their columns.

    All get RGB in [0, 1], rounded to 8 bit as it would have been stored; those of SHAVED lose `scale` pixels of each border, the others
    see the whole image. pyiqa itself takes the luma where a metric wants it (PSNR and SSIM on Y without rounding it, NIQE on Y rounded).
    Raises DataError for an unknown name, a missing package, or weights that cannot be had.
    """

    def __init__(self, names: str, device: str | torch.device = "cpu"):
        pyiqa = _pyiqa()
        self.version, self.device, self.said = pyiqa.__version__, device, set()
        self.metrics = {name: _load(pyiqa, name, device) for name in dict.fromkeys(filter(None, map(str.strip, names.lower().split(","))))}
        if not self.metrics:
            raise DataError("--metrics: names none; want names such as lpips,dists,niqe")

    @torch.no_grad()
    def __call__(self, sr: torch.Tensor, hr: torch.Tensor, scale: int, grey: bool = False) -> dict[str, float | None]:
        """{column: value} of (1, 3, H, W) in [0, 1]; None, said aloud once, where a metric cannot take an image of that size."""
        row = {}
        for name, metric in self.metrics.items():
            images = [eight_bit(image).to(self.device) for image in (sr, hr)[:1 if metric.metric_mode == "NR" else 2]]
            images = [image[..., scale:-scale, scale:-scale] if name in SHAVED else image for image in images]
            try:
                row[PREFIX + name] = float(metric(*images))
            except Exception as error:  # each metric fails in its own way where an image is too small for it
                row[PREFIX + name] = None
                self._say(name, f"{images[0].shape[-1]} x {images[0].shape[-2]} pixels: {' '.join(str(error).split())[:120]}")
        return row

    def _say(self, name: str, text: str) -> None:
        if name not in self.said:
            self.said.add(name)
            print(f"note: {name} is left out for an image of {text}", file=sys.stderr)

    def protocol(self) -> str:
        """What was measured, and which way is better, for people."""
        return "; ".join(f"{name} on {'the shaved image' if name in SHAVED else 'the whole image'}, {'lower' if metric.lower_better else 'higher'} is better"
                         for name, metric in self.metrics.items()) + f" (RGB in, pyiqa {self.version})"


def _pyiqa():
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", str(WAIT))
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", str(WAIT))
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(StringIO()):
            import pyiqa
    except ImportError as error:
        missing = error.name if error.name and error.name != "pyiqa" else ""
        raise DataError(f"--metrics needs pyiqa, which is not {f'complete ({missing} is missing)' if missing else 'installed'}: pip install pyiqa") from None
    return pyiqa


def _load(pyiqa, name: str, device) -> Callable:
    known = pyiqa.list_models()
    if name not in known:
        nearest = difflib.get_close_matches(name, known, 1)
        raise DataError(f"--metrics {name}: pyiqa {pyiqa.__version__} has no such metric{f'; did you mean {nearest[0]}?' if nearest else ''}")
    options = {"test_y_channel": True, "color_space": "ycbcr"} if name in ("psnr", "psnry", "ssim", "ms_ssim") else {}
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(StringIO()):
            metric = pyiqa.create_metric(name, device=device, **options)
    except Exception as error:  # of the Hub, of urllib, of the zip of weights
        raise DataError(f"--metrics {name}: its weights cannot be had here ({type(error).__name__}: {' '.join(str(error).split())[:120]}); "
                        "run it once with a network, or leave it out") from None
    if metric.metric_mode not in ("FR", "NR"):
        raise DataError(f"--metrics {name}: compares sets of images, not one image with another")
    return metric.eval()
