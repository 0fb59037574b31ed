"""The drawings in docs/: what the script draws, with words for those who cannot see them, and text that a phone shows large enough."""

import re
import xml.etree.ElementTree as ElementTree

import drawings
import pytest

SVG = "{http://www.w3.org/2000/svg}"
each = pytest.mark.parametrize("draw", drawings.DRAWINGS, ids=lambda draw: draw.__name__)


@each
def test_the_stored_file_is_what_the_script_draws(draw):
    assert (drawings.DOCS / f"{draw.__name__}.svg").read_text() == draw().svg()


@each
def test_it_has_alternative_text_and_nothing_from_elsewhere(draw):
    root = ElementTree.fromstring(draw().svg())
    assert root.get("role") == "img" and len(root.get("aria-label")) > 60
    assert root.find(SVG + "title").text and root.find(SVG + "desc").text
    assert not re.search(r"href|url\(|@import|<script", draw().svg())


@each
def test_text_is_large_enough_on_a_phone_and_stays_inside(draw):
    """13 units of 480 are 10 pixels on a page of 374."""
    root = ElementTree.fromstring(draw().svg())
    width, height = (float(side) for side in root.get("viewBox").split()[2:])
    assert width <= 480
    for text in root.iter(SVG + "text"):
        size, x = float(text.get("font-size")), float(text.get("x"))
        length = 0.5 * size * len(text.text)  # of DejaVu Sans, the widest font that a browser is likely to choose, on average
        left = x - {"start": 0, "middle": length / 2, "end": length}[text.get("text-anchor")]
        assert size >= 13 and left >= 0 and left + length <= width and float(text.get("y")) < height, text.text
