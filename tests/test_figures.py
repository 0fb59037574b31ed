"""Figures: every function draws, says in its titles what it must, passes its alt text on, and closes what it opened."""

import sys
import types
import warnings

import matplotlib
import numpy as np
import pytest
from samples import photograph

from srgan_lib import figures
from srgan_lib.images import degrade, resize_bicubic, to_image, to_tensor
from srgan_lib.metrics import scores

HR = to_tensor(photograph(64, 96))
LR = degrade(HR, 4)
SR = resize_bicubic(LR, 4)
RECORDS = [{"step": 10, "content": 0.3, "psnr": 21.0}, {"step": 20, "content": 0.2}, {"step": 30, "content": 0.1, "psnr": 23.0}]
DRAWINGS = {
    "show": lambda **o: figures.show(lr=LR, bicubic=SR, sr=to_image(SR), hr=HR, zoom=(8, 16, 24), **o),
    "show one": lambda **o: figures.show(picture=HR, **o),
    "show two rows": lambda **o: figures.show(a=HR, b=HR, c=HR, d=LR, e=SR, hr=HR, columns=3, zoom=(0, 0, 16), **o),
    "lines": lambda **o: figures.lines({"one": ([1, 2], [3, 4]), "two": ([1, 2], [4, 3])}, "x", "y", "title", level=("bicubic", 3.5), **o),
    "lines, logarithmic": lambda **o: figures.lines({"one": ([1, 10], [1, 100])}, "x", "y", log_x=True, log_y=True, **o),
    "curves": lambda **o: figures.curves(RECORDS, {"content": "content", "psnr": "PSNR"}, "loss", "title", **o),
    "points": lambda **o: figures.points({"bicubic": (1.0, 2.0), "srgan": (2.0, 1.0)}, "distortion", "perception", **o),
    "bars": lambda **o: figures.bars({"naive": 8.0, "bank": 7000.0}, "patches/s", log_y=True, **o),
    "histogram": lambda **o: figures.histogram({"a": np.arange(50.0), "b": photograph(8, 8)}, "level", **o),
    "maps": lambda **o: figures.maps({"a": np.eye(8), "b": np.ones((8, 8))}, "title", **o),
}


@pytest.fixture
def drawn(monkeypatch):
    """What was shown: (figure, alt text) as a notebook receives them."""
    matplotlib.use("Agg")
    shown = []
    display = types.SimpleNamespace(display=lambda figure, metadata: shown.append((figure, metadata["image/png"]["alt"])))
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    yield shown
    assert matplotlib.pyplot.get_fignums() == []


def texts(figure) -> list[str]:
    return [axis.get_title() for axis in figure.axes]


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_figure_draws_closes_and_carries_its_alt_text(drawn, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DRAWINGS[name](alt="what one sees")
        DRAWINGS[name]()
        for figure, _ in drawn:
            figure.canvas.draw()
    (first, alt), (_, own_alt) = drawn
    assert alt == "what one sees" and len(own_alt) > 8 and own_alt != alt
    assert 4 < first.get_size_inches()[0] <= 11.01


def test_outside_a_notebook_figures_are_shown_plainly(monkeypatch):
    matplotlib.use("Agg")
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    calls = []
    monkeypatch.setattr(figures.plt, "show", lambda: calls.append(1))
    DRAWINGS["bars"]()
    assert calls == [1] and figures.plt.get_fignums() == []


def test_titles_carry_psnr_under_the_protocol(drawn):
    DRAWINGS["show"]()
    titles = texts(drawn[0][0])
    dezibel = f"{scores(SR, HR, 4)['psnr']:.2f} dB"
    assert titles[:4] == ["LR  24 x 16", f"bicubic  {dezibel}", f"SR  {dezibel}", "HR"]
    assert dezibel in drawn[0][1]


def test_the_zoom_is_the_same_crop_of_each_pixel_by_pixel(drawn):
    DRAWINGS["show"]()
    axes = drawn[0][0].axes
    crops = [axis.images[0].get_array() for axis in axes[4:]]
    assert np.array_equal(crops[3], to_image(HR)[8:32, 16:40]) and np.array_equal(crops[1], to_image(SR)[8:32, 16:40])
    assert np.array_equal(crops[0], to_image(LR).repeat(4, 0).repeat(4, 1)[8:32, 16:40])  # nearest neighbour: its pixels stay visible
    assert all(axis.images[0].get_interpolation() == "nearest" and not axis.axison for axis in axes)


def test_curves_pass_over_records_without_the_field(drawn):
    DRAWINGS["curves"]()
    lines = drawn[0][0].axes[0].get_lines()
    assert [list(line.get_xdata()) for line in lines] == [[10, 20, 30], [10, 30]]


def test_colours_are_told_apart_by_colour_blind_readers():
    okabe_ito = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
    assert set(figures.COLOURS) == okabe_ito


def test_a_method_has_one_colour_in_the_whole_course():
    for labels in (["bicubic", "SRResNet", "SRGAN", "HR"], ["SRGAN, averaged weights", "HR", "the shipped SRResNet", "bicubic start"]):
        named = dict(zip(labels, figures.colours(labels)))
        assert {colour for label, colour in named.items() if "SRGAN" in label} == {figures.METHODS["srgan"]}
        assert {colour for label, colour in named.items() if "SRResNet" in label} == {figures.METHODS["srresnet"]}
        assert named["HR"] == figures.METHODS["hr"]
    assert figures.colours(["bce-noisy", "bce"]) == [figures.METHODS["bce-noisy"], figures.METHODS["bce"]]


def test_no_two_labels_of_a_figure_share_a_colour():
    for labels in (["SRResNet", "SRResNet, wider"], ["one", "SRResNet", "two", "SRResNet too"], list("abcdefgh"), list(figures.METHODS)[:6]):
        assert len(set(figures.colours(labels))) == len(labels)
    assert len(figures.colours(list("abcdefghijkl"))) == 12


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6])
def test_crops_are_120_pixels_wide_on_a_phone(drawn, number):
    for zoom in (None, (8, 16, 24)):
        figures.show(zoom=zoom, **{f"image {n}": HR for n in range(number)})
        figure = drawn[-1][0]
        figure.canvas.draw()
        crops = figure.axes[number if zoom else 0:]
        shown = [axis for axis in crops if axis.images]
        assert len(shown) == number
        assert all(axis.get_window_extent().width / figure.bbox.width * 360 >= 120 for axis in shown)  # a phone's page is 360 pixels wide
