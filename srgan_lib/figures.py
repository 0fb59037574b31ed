"""The plots of the course: `show` for pictures side by side, and a few curves, all with one look and with alt text.

Every function draws, shows and closes its figure. Colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle
from PIL import Image, ImageDraw, ImageFont

from .images import to_image, to_tensor
from .metrics import protocol_psnr

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
NAMES = {"lr": "LR", "sr": "SR", "hr": "HR", "srresnet": "SRResNet", "srgan": "SRGAN"}


def show(zoom: tuple[int, int, int] | None = None, reference: str = "hr", columns: int = 4, alt: str = "", **pictures) -> None:
    """Pictures side by side: show(lr=..., bicubic=..., sr=..., hr=..., zoom=(y, x, size)).

    Each is a uint8 (H, W, 3) array or a (1, 3, H, W) tensor in [0, 1]; smaller ones are enlarged pixel by pixel to the
    largest. zoom, in pixels of the largest, adds a row with the same crop of each. Titles carry PSNR (luma, dB) to
    `reference` where the sizes agree.
    """
    arrays = {name: to_image(p) if isinstance(p, torch.Tensor) else np.asarray(p) for name, p in pictures.items()}
    titles = {name: _title(name, array, arrays.get(reference)) for name, array in arrays.items()}
    height, width = max(array.shape[:2] for array in arrays.values())
    whole = {name: _enlarge(array, height, width) for name, array in arrays.items()}
    rows = [whole] + ([{name: array[zoom[0]:zoom[0] + zoom[2], zoom[1]:zoom[1] + zoom[2]] for name, array in whole.items()}] if zoom else [])
    columns = min(columns, len(arrays))
    bands = -(-len(arrays) // columns)
    wide = 11 / columns
    heights = [wide * next(iter(row.values())).shape[0] / next(iter(row.values())).shape[1] for row in rows]
    figure, axes = plt.subplots(bands * len(rows), columns, squeeze=False, layout="constrained",
                                figsize=(11, bands * (sum(heights) + 0.35)), height_ratios=heights * bands)
    for axis in axes.flat:
        axis.axis("off")
    for number, name in enumerate(arrays):
        band, column = divmod(number, columns)
        for r, row in enumerate(rows):
            axes[band * len(rows) + r, column].imshow(row[name], interpolation="nearest")
        axes[band * len(rows), column].set_title(titles[name], fontsize=12)
        if zoom:
            axes[band * len(rows), column].add_patch(Rectangle(zoom[1::-1], zoom[2], zoom[2], fill=False, color=COLOURS[1], lw=1.5))
    _finish(figure, alt or "Side by side: " + ", ".join(titles.values()) + (", with the same zoomed crop of each below" if zoom else ""))


def _title(name: str, array: np.ndarray, reference: np.ndarray | None) -> str:
    title = NAMES.get(name, name.replace("_", " "))
    if reference is None or reference is array or reference.shape != array.shape:
        return f"{title}  {array.shape[1]} x {array.shape[0]}" if name == "lr" else title
    return f"{title}  {protocol_psnr(to_tensor(array), to_tensor(reference), 4):.2f} dB"


def _enlarge(array: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = (np.arange(n) * size // n for n, size in ((height, array.shape[0]), (width, array.shape[1])))
    return array[rows[:, None], columns]


def lines(series: dict[str, tuple], xlabel: str, ylabel: str, title: str = "", log_x: bool = False, log_y: bool = False,
          level: tuple[str, float] | None = None, alt: str = "") -> None:
    """Curves: series maps a label to (x values, y values); level = (label, y) adds a dashed horizontal line."""
    figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for colour, (label, (x, y)) in zip(COLOURS * len(series), series.items()):
        axis.plot(x, y, color=colour, label=label, lw=1.8)
    if level:
        axis.axhline(level[1], color="#666666", ls="--", lw=1.2, label=level[0])
    axis.set_xscale("log" if log_x else "linear")
    axis.set_yscale("log" if log_y else "linear")
    _decorate(axis, xlabel, ylabel, title)
    axis.legend(frameon=False)
    _finish(figure, alt or f"{ylabel} against {xlabel}: {', '.join(series)}")


def curves(records: list[dict], fields: dict[str, str], ylabel: str, title: str = "", **options) -> None:
    """Training records against step: fields maps a record's field to its label; records without a field are passed over."""
    series = {}
    for field, label in fields.items():
        having = [record for record in records if field in record]
        series[label] = ([record["step"] for record in having], [record[field] for record in having])
    lines(series, "step", ylabel, title, **options)


def points(places: dict[str, tuple[float, float]], xlabel: str, ylabel: str, title: str = "", alt: str = "") -> None:
    """Named points in a plane, each labelled where it stands."""
    figure, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for colour, (label, (x, y)) in zip(COLOURS * len(places), places.items()):
        axis.scatter([x], [y], color=colour, s=60)
        axis.annotate(label, (x, y), xytext=(7, 5), textcoords="offset points", fontsize=11)
    axis.margins(0.18)
    _decorate(axis, xlabel, ylabel, title)
    _finish(figure, alt or f"{ylabel} against {xlabel} for {', '.join(places)}")


def bars(values: dict[str, float], ylabel: str, title: str = "", log_y: bool = False, alt: str = "") -> None:
    """One bar a name, its number above it."""
    figure, axis = plt.subplots(figsize=(8, 3.4), layout="constrained")
    drawn = axis.bar(list(values), list(values.values()), color=(COLOURS * len(values))[:len(values)])
    axis.bar_label(drawn, fmt="{:.4g}", padding=2)
    axis.set_yscale("log" if log_y else "linear")
    axis.margins(y=0.12)
    _decorate(axis, "", ylabel, title)
    _finish(figure, alt or f"{ylabel}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))


def histogram(values: dict[str, np.ndarray], xlabel: str, ylabel: str = "share", bins: int = 40, title: str = "", alt: str = "") -> None:
    """Distributions over one axis, outlined so that overlapping ones stay legible."""
    figure, axis = plt.subplots(figsize=(8, 3.4), layout="constrained")
    edges = np.histogram_bin_edges(np.concatenate([np.ravel(v) for v in values.values()]), bins)
    for colour, (label, sample) in zip(COLOURS * len(values), values.items()):
        sample = np.ravel(sample)
        axis.hist(sample, edges, weights=np.full(len(sample), 1 / len(sample)), histtype="step", lw=1.8, color=colour, label=label)
    _decorate(axis, xlabel, ylabel, title)
    axis.legend(frameon=False)
    _finish(figure, alt or f"Distribution of {xlabel}: {', '.join(values)}")


def maps(matrices: dict[str, np.ndarray], title: str = "", colours: str = "cividis", alt: str = "") -> None:
    """Matrices as coloured maps side by side on one scale, with a colour bar."""
    figure, axes = plt.subplots(1, len(matrices), figsize=(min(11, 3.6 * len(matrices)), 3.4), squeeze=False, layout="constrained")
    low, high = min(np.min(m) for m in matrices.values()), max(np.max(m) for m in matrices.values())
    for axis, (label, matrix) in zip(axes[0], matrices.items()):
        drawn = axis.imshow(matrix, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        axis.set_title(label, fontsize=12)
        axis.axis("off")
    figure.colorbar(drawn, ax=axes[0], shrink=0.8)
    figure.suptitle(title)
    _finish(figure, alt or f"Maps: {', '.join(matrices)}")


def strip(crops: dict[str, np.ndarray], zoom: int = 2) -> Image.Image:
    """Crops of one size side by side, enlarged pixel by pixel, each under its name: a picture file without matplotlib."""
    height, width = (zoom * side for side in next(iter(crops.values())).shape[:2])
    sheet = Image.new("RGB", (len(crops) * (width + 8) - 8, height + 30), "white")
    for number, (label, crop) in enumerate(crops.items()):
        left = number * (width + 8)
        sheet.paste(Image.fromarray(crop).resize((width, height), Image.Resampling.NEAREST), (left, 30))
        ImageDraw.Draw(sheet).text((left + width // 2, 15), label, "black", ImageFont.load_default(20), anchor="mm")
    return sheet


def _decorate(axis, xlabel: str, ylabel: str, title: str) -> None:
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _finish(figure, alt: str) -> None:
    """Show with the alt text as metadata in a notebook (screen readers, HTML export), plainly elsewhere."""
    if "ipykernel" in sys.modules:
        from IPython.display import display
        display(figure, metadata={"image/png": {"alt": alt}})
    else:
        plt.show()
    plt.close(figure)
