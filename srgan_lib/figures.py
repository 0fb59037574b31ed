"""The plots of the course: `show` for images side by side, and a few curves, all with one look and with alt text.

Every function draws, shows and closes its figure. Colours are Okabe and Ito's, which colour-blind readers can tell apart.
A method has one colour in the whole course (`METHODS`). Text and crops stay readable when a phone shrinks the figure to 360 pixels.
"""

import re
import sys

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle
from PIL import Image, ImageDraw, ImageFont

from .images import to_image, to_tensor
from .metrics import protocol_psnr

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
GREY = "#666666"
METHODS = {  # name in a label -> its colour; a method that goes on from another has a colour near to it
    "hr": "#000000", "bicubic": GREY, "encoder-decoder": "#CC79A7", "esrgan": "#009E73", "rrdb": "#009E73", "srresnet": "#0072B2", "srgan": "#D55E00",
    "mse": "#0072B2", "l1": "#0072B2", "vgg22": "#56B4E9", "vgg34": "#009E73", "vgg54": "#000000",
    "bce": "#D55E00", "bce-noisy": "#F0E442", "lsgan": "#E69F00", "wgan-gp": "#CC79A7", "relativistic": "#000000",
    "pixel shuffle": "#0072B2", "pixelshuffle": "#0072B2", "transposed": "#E69F00", "resize": "#009E73",
    "d(hr)": "#000000", "d(sr)": "#D55E00", "red": "#D55E00", "green": "#009E73", "blue": "#0072B2",
}
styled = plt.rc_context({"font.size": 12, "axes.titlesize": 13})  # read as a decorator
NAMES = {"lr": "LR", "sr": "SR", "hr": "HR", "srresnet": "SRResNet", "srgan": "SRGAN", "rrdb_lite": "RRDB lite"}


def colours(labels: list[str]) -> list[str]:
    """A colour for each label: its method's where it names one, else the next that is free."""
    found: list[str | None] = []
    for label in labels:
        named = [name for name in METHODS if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", label.lower())]
        colour = METHODS[max(named, key=len)] if named else None
        found.append(None if colour in found else colour)
    free = [colour for colour in COLOURS if colour not in found] or list(COLOURS)
    return [colour or free[found[:place].count(None) % len(free)] for place, colour in enumerate(found)]


@styled
def show(zoom: tuple[int, int, int] | None = None, reference: str = "hr", columns: int = 2, alt: str = "", **pictures) -> None:
    """Images side by side: show(lr=..., bicubic=..., sr=..., hr=..., zoom=(y, x, size)).

    Each is a uint8 (H, W, 3) array or a (1, 3, H, W) tensor in [0, 1]; smaller ones are enlarged pixel by pixel to the
    largest. zoom, in pixels of the largest, shows the whole images small and the same crop of each large, in `columns`.
    Titles carry PSNR (luma, dB) to `reference` where the sizes agree.
    """
    arrays = {name: to_image(p) if isinstance(p, torch.Tensor) else np.asarray(p) for name, p in pictures.items()}
    titles = {name: _title(name, array, arrays.get(reference)) for name, array in arrays.items()}
    height, width = max(array.shape[:2] for array in arrays.values())
    whole = [_enlarge(array, height, width) for array in arrays.values()]
    crops = [image[zoom[0]:zoom[0] + zoom[2], zoom[1]:zoom[1] + zoom[2]] for image in whole] if zoom else []
    parts = [(whole, list(titles.values()), (3 if len(arrays) > 4 else 2) if zoom else columns)]
    parts += [(crops, [title.split("  ")[0] for title in titles.values()], columns)] if zoom else []
    alt = alt or "Side by side: " + ", ".join(titles.values()) + (", with the same zoomed crop of each below" if zoom else "")
    _finish(_grids(parts, zoom), alt)


def _grids(parts: list[tuple[list[np.ndarray], list[str], int]], zoom: tuple[int, int, int] | None) -> plt.Figure:
    """One grid below the other, each (images, titles, columns), in one new figure; the first with the zoomed square in it."""
    columns = [min(c, len(images)) for images, _, c in parts]
    wide = 7 if max(columns) <= 4 else 10
    bands = [-(-len(images) // c) for (images, _, _), c in zip(parts, columns)]
    high = [band * (wide / c * images[0].shape[0] / images[0].shape[1] + 0.35) for (images, _, _), c, band in zip(parts, columns, bands)]
    figure = plt.figure(figsize=(wide, sum(high)), layout="constrained")
    for sub, (images, titles, _), c, band in zip(figure.subfigures(len(parts), 1, height_ratios=high, squeeze=False)[:, 0], parts, columns, bands):
        axes = sub.subplots(band, c, squeeze=False).flat
        for axis, image, title in zip(axes, images, titles):
            axis.imshow(image, interpolation="nearest")
            axis.set_title(title, fontsize=12 if c <= 3 else 9)
            if zoom and images is parts[0][0]:
                axis.add_patch(Rectangle(zoom[1::-1], zoom[2], zoom[2], fill=False, color=COLOURS[1], lw=1.5))
        for axis in sub.axes:
            axis.axis("off")
    return figure


def _title(name: str, array: np.ndarray, reference: np.ndarray | None) -> str:
    title = NAMES.get(name, name.replace("_", " "))
    if reference is None or reference is array or reference.shape != array.shape:
        return f"{title}  {array.shape[1]} x {array.shape[0]}" if name == "lr" else title
    return f"{title}  {protocol_psnr(to_tensor(array), to_tensor(reference), 4):.2f} dB"


def _enlarge(array: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = (np.arange(n) * size // n for n, size in ((height, array.shape[0]), (width, array.shape[1])))
    return array[rows[:, None], columns]


@styled
def lines(series: dict[str, tuple], xlabel: str, ylabel: str, title: str = "", log_x: bool = False, log_y: bool = False,
          level: tuple[str, float] | None = None, alt: str = "") -> None:
    """Curves: series maps a label to (x values, y values); level = (label, y) adds a dashed horizontal line."""
    figure, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
    for colour, (label, (x, y)) in zip(colours(list(series)), series.items()):
        axis.plot(x, y, color=colour, label=NAMES.get(label, label), lw=1.8)
    if level:
        axis.axhline(level[1], color=GREY, ls="--", lw=1.2, label=level[0])
    axis.set_xscale("log" if log_x else "linear")
    axis.set_yscale("log" if log_y else "linear")
    _decorate(axis, xlabel, ylabel, title)
    if len(series) + bool(level) > 2:  # too many to stand among the curves
        figure.legend(frameon=False, loc="outside lower center", ncols=2)
    else:
        axis.legend(framealpha=0.7, edgecolor="none")  # curves behind it stay pale, so the words can be read
    _finish(figure, alt or f"{ylabel} against {xlabel}: {', '.join(series)}")


def curves(records: list[dict], fields: dict[str, str], ylabel: str, title: str = "", **options) -> None:
    """Training records against step: fields maps a record's field to its label; records without a field are passed over."""
    series = {}
    for field, label in fields.items():
        having = [record for record in records if field in record]
        series[label] = ([record["step"] for record in having], [record[field] for record in having])
    lines(series, "step", ylabel, title, **options)


@styled
def points(places: dict[str, tuple[float, float]], xlabel: str, ylabel: str, title: str = "", method: str = "", alt: str = "") -> None:
    """Named points in a plane, each labelled where it stands; with `method`, points that name no method have that method's colour."""
    figure, axis = plt.subplots(figsize=(7, 4.4), layout="constrained")
    chosen = [METHODS.get(label, METHODS[method]) for label in places] if method else colours(list(places))
    for colour, (label, (x, y)), (across, up) in zip(chosen, places.items(), _label_places(list(places.values()), list(places))):
        axis.scatter([x], [y], color=colour, s=60)
        axis.annotate(NAMES.get(label, label), (x, y), xytext=(across, up), textcoords="offset points", fontsize=12, ha="left" if across > 0 else "right")
    axis.margins(0.18)
    _decorate(axis, xlabel, ylabel, title)
    _finish(figure, alt or f"{ylabel} against {xlabel} for {', '.join(places)}")


def _label_places(places: list[tuple[float, float]], labels: list[str]) -> list[tuple[int, int]]:
    """Where each point's label goes, in typographic points: above right, and elsewhere where it would cover a label or a point."""
    spots, taken, chosen = ((7, 5), (7, -15), (-7, 5), (-7, -15)), [], []
    at = np.array(places) / (1.4 * np.ptp(np.array(places), axis=0).clip(min=1e-9))  # in sides of the axes, with their margins
    for (x, y), label in zip(at, labels):
        wide = 0.014 * len(label)
        boxes = {(across, up): (x + 0.015 if across > 0 else x - 0.015 - wide, y + (0.01 if up > 0 else -0.06), wide, 0.05) for across, up in spots}
        free = [spot for spot, box in boxes.items() if not any(_touch(box, other) for other in taken + [(*point, 0, 0) for point in at])]
        chosen.append((free or spots)[0])
        taken.append(boxes[chosen[-1]])
    return chosen


def _touch(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two boxes (left, bottom, width, height) overlap."""
    return all(one[axis] < other[axis] + other[axis + 2] and other[axis] < one[axis] + one[axis + 2] for axis in (0, 1))


@styled
def bars(values: dict[str, float], ylabel: str, title: str = "", log_y: bool = False, alt: str = "") -> None:
    """One bar a name, its number above it."""
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    drawn = axis.bar(list(values), list(values.values()), color=colours(list(values)))
    axis.bar_label(drawn, fmt="{:.4g}", padding=2)
    axis.set_yscale("log" if log_y else "linear")
    axis.margins(y=0.12)
    axis.tick_params(axis="x", rotation=30 if sum(map(len, values)) > 50 else 0)
    _decorate(axis, "", ylabel, title)
    _finish(figure, alt or f"{ylabel}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))


@styled
def histogram(values: dict[str, np.ndarray], xlabel: str, ylabel: str = "share", bins: int = 40, title: str = "", alt: str = "") -> None:
    """Distributions over one axis, outlined so that overlapping ones stay legible."""
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    edges = np.histogram_bin_edges(np.concatenate([np.ravel(v) for v in values.values()]), bins)
    for colour, (label, sample) in zip(colours(list(values)), values.items()):
        sample = np.ravel(sample)
        axis.hist(sample, edges, weights=np.full(len(sample), 1 / len(sample)), histtype="step", lw=1.8, color=colour, label=label)
    _decorate(axis, xlabel, ylabel, title)
    axis.legend(frameon=False)
    _finish(figure, alt or f"Distribution of {xlabel}: {', '.join(values)}")


@styled
def maps(matrices: dict[str, np.ndarray], title: str = "", colours: str = "cividis", alt: str = "") -> None:
    """Matrices as coloured maps in two columns on one scale, with a colour bar."""
    columns = min(2, len(matrices))
    rows = -(-len(matrices) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.6 * columns, 3.4 * rows), squeeze=False, layout="constrained")
    low, high = min(np.min(m) for m in matrices.values()), max(np.max(m) for m in matrices.values())
    for axis, (label, matrix) in zip(axes.flat, matrices.items()):
        drawn = axis.imshow(matrix, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        axis.set_title(label, fontsize=12)
    for axis in axes.flat:
        axis.axis("off")
    figure.colorbar(drawn, ax=axes, shrink=0.8)
    figure.suptitle(title)
    _finish(figure, alt or f"Maps: {', '.join(matrices)}")


def strip(crops: dict[str, np.ndarray], zoom: int = 2) -> Image.Image:
    """Crops of one size side by side, enlarged pixel by pixel, each under its name: an image file without matplotlib."""
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
