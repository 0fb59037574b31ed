"""Draw the course's drawings as SVG files into docs/: python tests/runs/drawings.py

Each file has its own background, so it is readable on any page. It turns dark where the reader's system asks for dark. Fills and strokes are
attributes of the shapes, so a viewer that drops the style sheet shows the light version. The width of 480 units keeps the text above 10 pixels
on a phone of 390.
"""

import json
import sys
from html import escape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from srgan_lib.models import usual_strength

DOCS = Path(__file__).parents[2] / "docs"
STRENGTH = Path(__file__).parents[2] / "srgan_lib" / "weights" / "strength.json"
PUBLISHED = (26.06, 3.99)  # Set14: the best published SRGAN weights of this architecture that were measured under the same protocol
WIDTH = 480
INK, PAPER = "#1b1f24", "#ffffff"
COLOURS = {  # Okabe and Ito's, as in srgan_lib.figures: line, light fill, dark fill
    "hr": ("#0072B2", "#e3f1fa", "#0d3550"), "sr": ("#D55E00", "#fdebdf", "#57290a"), "network": ("#5b6470", "#eef0f3", "#30363d"),
    "loss": ("#AA3377", "#f9e8f1", "#4f1f3b"), "update": ("#00805C", "#e2f5ee", "#0b3f31"), "plain": ("#5b6470", "#ffffff", "#161b22"),
}
BRIGHTER = {"hr": "#63b8ee", "sr": "#ff9a4d", "network": "#9aa4b0", "loss": "#f08fc0", "update": "#3fd0a4", "plain": "#9aa4b0"}  # lines on dark


class Drawing:
    """Shapes collected in order; `svg` adds title, description and colours for light and dark."""

    def __init__(self, title: str, description: str, height: int):
        self.title, self.description, self.height, self.shapes = title, description, height, []

    def text(self, x, y, words, size=14, anchor="middle", weight="normal", kind="ink"):
        fill = INK if kind == "ink" else COLOURS[kind][0]
        self.shapes.append(f'<text class="d-{kind}-text" x="{x}" y="{y}" fill="{fill}" font-size="{size}" text-anchor="{anchor}" '
                           f'font-weight="{weight}">{escape(words)}</text>')

    def box(self, x, y, width, height, lines, kind="network", bold=True):
        """A rounded box; the first line is bold and the others smaller."""
        line, fill, _ = COLOURS[kind]
        self.shapes.append(f'<rect class="d-{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="7" fill="{fill}" stroke="{line}" stroke-width="1.5"/>')
        top = y + height / 2 + 5 - 8.5 * (len(lines) - 1)
        for number, words in enumerate(lines):
            first = number == 0 and bold
            self.text(x + width / 2, top + 17 * number, words, 15 if first else 13, weight="bold" if first else "normal")

    def line(self, points, kind="network", arrow=True, dashed=False):
        path = "M" + " L".join(f"{x} {y}" for x, y in points)
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        self.shapes.append(f'<path class="d-{kind}-line" d="{path}" fill="none" stroke="{COLOURS[kind][0]}" stroke-width="2"{dash}/>')
        if arrow:
            self._head(*points[-2], *points[-1], kind)

    def _head(self, x0, y0, x, y, kind):
        length = max(abs(x - x0), abs(y - y0))
        dx, dy = (x - x0) / length, (y - y0) / length  # lines run along the axes
        corners = [(x, y), (x - 9 * dx - 5 * dy, y - 9 * dy - 5 * dx), (x - 9 * dx + 5 * dy, y - 9 * dy + 5 * dx)]
        self.shapes.append(f'<polygon class="d-{kind}-head" points="{" ".join(f"{a:g},{b:g}" for a, b in corners)}" fill="{COLOURS[kind][0]}"/>')

    def tick(self, x, y, width, height):
        self.shapes.append(f'<path class="d-plain-line" d="M{x} {y} l{width} {height}" stroke="{COLOURS["plain"][0]}" stroke-width="1.5"/>')

    def dot(self, x, y, kind="network", radius=4):
        self.shapes.append(f'<circle class="d-{kind}-head" cx="{x}" cy="{y}" r="{radius}" fill="{COLOURS[kind][0]}"/>')

    def plus(self, x, y):
        line, fill, _ = COLOURS["plain"]
        self.shapes.append(f'<circle class="d-plain" cx="{x}" cy="{y}" r="11" fill="{fill}" stroke="{line}" stroke-width="1.5"/>')
        self.text(x, y + 6, "+", 18)

    def svg(self) -> str:
        dark = [".d-paper{fill:#161b22}", ".d-ink-text{fill:#e6edf3}"]
        for kind, (_, _, fill) in COLOURS.items():
            dark += [f".d-{kind}{{fill:{fill};stroke:{BRIGHTER[kind]}}}", f".d-{kind}-line{{stroke:{BRIGHTER[kind]}}}",
                     f".d-{kind}-head,.d-{kind}-text{{fill:{BRIGHTER[kind]}}}"]
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" width="640" style="max-width:100%;height:auto" role="img" '
                f'aria-label="{escape(self.description)}" font-family="system-ui, Helvetica, Arial, sans-serif">')
        parts = [head, f"<title>{escape(self.title)}</title>", f"<desc>{escape(self.description)}</desc>",
                 f"<style>@media (prefers-color-scheme:dark){{{''.join(dark)}}}</style>",
                 f'<rect class="d-paper" width="{WIDTH}" height="{self.height}" rx="10" fill="{PAPER}"/>', *self.shapes, "</svg>"]
        return "\n".join(parts) + "\n"


def training() -> Drawing:
    """The data flow of one step of SRGAN training."""
    d = Drawing("One step of SRGAN training",
                "An HR patch is shrunk to LR, and the generator G enlarges LR to SR. The discriminator D reads HR and a detached SR; its loss updates "
                "D alone. A frozen D reads SR for the adversarial loss, and a frozen VGG19 reads HR and SR for the content loss; "
                "the sum of these two updates G alone.", 640)
    d.box(16, 40, 70, 50, ["HR", "96 x 96"], "hr")
    d.box(108, 40, 92, 50, ["degrade", "shrink x 4"], "plain")
    d.box(222, 40, 66, 50, ["LR", "24 x 24"], "hr")
    d.box(312, 40, 60, 50, ["G"], "network")
    d.box(396, 40, 68, 50, ["SR", "96 x 96"], "sr")
    for x0, x1, kind in ((86, 108, "hr"), (200, 222, "hr"), (288, 312, "hr"), (372, 396, "sr")):
        d.line([(x0, 65), (x1, 65)], kind)
    _readers(d)
    _losses(d)
    d.text(16, 604, "Solid: forward. Gradients run back along it, but not past detach().", 13, "start")
    d.text(16, 625, "Dashed: the weights that an optimizer changes.", 13, "start")
    return d


def _readers(d: Drawing) -> None:
    """HR and SR on two rails, and the three networks that read them."""
    d.line([(51, 90), (51, 232)], "hr")
    d.line([(51, 140), (372, 140), (372, 232)], "hr")
    d.dot(51, 140, "hr")
    d.line([(436, 90), (436, 232)], "sr")
    d.line([(436, 182), (196, 182)], "sr", arrow=False)
    d.line([(176, 182), (121, 182), (121, 232)], "sr")
    d.line([(240, 182), (240, 232)], "sr")
    d.dot(436, 182, "sr"), d.dot(240, 182, "sr")
    d.line([(196, 172), (196, 192)], "loss", arrow=False)
    d.line([(176, 172), (176, 192)], "loss", arrow=False)
    d.text(186, 165, "detach()", 14, weight="bold", kind="loss")
    d.box(16, 232, 140, 56, ["D", "is trained"])
    d.box(170, 232, 140, 56, ["D", "the same, frozen"])
    d.box(324, 232, 140, 56, ["VGG19", "frozen"])


def _losses(d: Drawing) -> None:
    """The three losses, and the optimizer that each of them feeds."""
    for x, words in ((16, ["discriminator", "loss (eq. 2)"]), (170, ["adversarial", "loss (eq. 6)"]), (324, ["content", "loss (eq. 5)"])):
        d.line([(x + 70, 288), (x + 70, 330)])
        d.box(x, 330, 140, 56, words, "loss")
    d.line([(240, 386), (240, 432)], "loss")
    d.line([(394, 386), (394, 432)], "loss")
    d.text(250, 412, "x 0.001", 13, "start")
    d.text(404, 412, "x 1", 13, "start")
    d.box(170, 432, 294, 44, ["sum: the loss of G (eq. 3)"], "loss")
    d.line([(86, 386), (86, 520)], "loss")
    d.line([(317, 476), (317, 520)], "loss")
    d.box(16, 520, 140, 52, ["Adam", "of D"], "update")
    d.box(170, 520, 294, 52, ["Adam", "of G"], "update")
    d.line([(16, 546), (7, 546), (7, 260), (16, 260)], "update", dashed=True)
    d.line([(464, 546), (473, 546), (473, 16), (342, 16), (342, 40)], "update", dashed=True)
    d.text(333, 22, "updates G", 13, "end", kind="update")
    d.text(14, 500, "updates D", 13, "start", kind="update")


def generator() -> Drawing:
    """SRGAN's generator with the names and shapes of this course."""
    d = Drawing("The generator, SRResNet",
                "From top to bottom: LR, head k9n64s1, sixteen residual blocks with a skip around each, body_end k3n64s1, a long skip around all of "
                "them, two convolutions k3n256s1 with pixel shuffle, tail k9n3s1, SR. The size stays H x W until the first shuffle.", 800)
    rows = [(16, 34, ["LR"], "hr", "3, H, W"), (74, 52, ["head: k9n64s1", "convolution, PReLU"], "network", "64, H, W"),
            (434, 52, ["body_end: k3n64s1", "convolution, batch norm"], "network", "64, H, W"),
            (558, 52, ["upsample: k3n256s1", "pixel shuffle x 2, PReLU"], "network", "64, 2H, 2W"),
            (634, 52, ["upsample: k3n256s1", "pixel shuffle x 2, PReLU"], "network", "64, 4H, 4W"),
            (710, 34, ["tail: k9n3s1"], "network", "3, 4H, 4W"), (760, 30, ["SR"], "sr", "3, 4H, 4W")]
    for y, height, words, kind, shape in rows:
        d.box(60, y, 220, height, words, kind)
        d.text(470, y + height / 2 + 5, shape, 14, "end")
    d.box(30, 160, 280, 244, [], "plain")
    d.text(40, 180, "body:", 14, "start", "bold")
    d.text(160, 180, "16 residual blocks", 14, "start", "bold")
    for y, height, words in ((212, 30, "k3n64s1, batch norm"), (260, 30, "PReLU"), (308, 30, "k3n64s1, batch norm")):
        d.box(60, y, 180, height, [words], bold=False)
    d.text(470, 376, "64, H, W", 14, "end")
    for y0, y1 in ((242, 260), (290, 308)):
        d.line([(150, y0), (150, y1)])
    d.line([(150, 126), (150, 212)]), d.line([(150, 338), (150, 358)])
    d.line([(150, 196), (278, 196), (278, 370), (161, 370)], "update"), d.dot(150, 196, "update")
    d.text(270, 280, "skip", 13, "end", kind="update")
    d.plus(150, 370)
    d.line([(150, 381), (150, 434)]), d.line([(150, 486), (150, 511)])
    d.line([(150, 144), (340, 144), (340, 522), (161, 522)], "update"), d.dot(150, 144, "update")
    d.text(348, 280, "long skip", 13, "start", kind="update")
    d.plus(150, 522)
    for y0, y1 in ((50, 74), (533, 558), (610, 634), (686, 710), (744, 760)):
        d.line([(150, y0), (150, y1)])
    return d


def discriminator() -> Drawing:
    """SRGAN's discriminator with the names and shapes of this course."""
    d = Drawing("The discriminator",
                "From top to bottom: HR or SR, eight convolutions of 3 x 3 from 64 to 512 channels of which every second one halves the size, "
                "flatten, a dense layer of 1024, a dense layer of 1, and the logit.", 600)
    rows = [("k3n64s1", "LeakyReLU", "64, 96, 96")]
    for channels, side in ((64, 48), (128, 48), (128, 24), (256, 24), (256, 12), (512, 12), (512, 6)):
        stride = 2 if (channels, side) in ((64, 48), (128, 24), (256, 12), (512, 6)) else 1
        rows.append((f"k3n{channels}s{stride}", "batch norm, LeakyReLU", f"{channels}, {side}, {side}"))
    d.box(30, 16, 270, 34, ["HR or SR"], "sr")
    d.text(470, 38, "3, 96, 96", 14, "end")
    for number, (name, then, shape) in enumerate(rows):
        y = 66 + 44 * number
        d.line([(165, y - 16), (165, y)])
        d.box(30, y, 270, 28, [])
        d.text(42, y + 19, name, 15, "start", "bold")
        d.text(290, y + 19, then, 13, "end")
        d.text(470, y + 19, shape, 14, "end")
    d.line([(312, 66), (320, 66), (320, 402), (312, 402)], "update", arrow=False)
    d.text(329, 112, "features", 13, "start", kind="update")
    for y, words, shape in ((418, ["head: dense 1024", "reads 18432 values, LeakyReLU"], "1024"), (488, ["head: dense 1"], "1")):
        d.box(30, y, 270, 48 if len(words) > 1 else 34, words)
        d.text(470, y + 24, shape, 14, "end")
    d.line([(165, 402), (165, 418)]), d.line([(165, 466), (165, 488)]), d.line([(165, 522), (165, 540)])
    d.box(30, 540, 420, 44, ["logit", "above 0: a photo; below 0: generated"], "loss")
    return d


def strength() -> Drawing:
    """PSNR against NIQE on Set14, one dot for each strength of the shipped SRGAN: it reads the record of strength.py."""
    rows = [row for row in json.loads(STRENGTH.read_text())["rows"] if row["set"] == "set14"]
    d = Drawing("Strength: PSNR against NIQE",
                "Two curves fall from srresnet-x4, at the upper right, to srgan-x4, at the lower left: the more of the GAN's image is mixed in, the lower "
                "the PSNR and the lower, so more natural, the NIQE. The curve of what the library does, a share for each pixel, and that of an even mix lie close "
                "together. A separate dot stands for published SRGAN weights, above both curves.", 400)
    place = lambda psnr, niqe: (round(70 + (psnr - 25.5) / 3 * 380, 1), round(40 + (6.75 - niqe) / 3.75 * 290, 1))
    for value in (26, 27, 28):
        d.tick(place(value, 6.75)[0], 330, 0, 8)
        d.text(place(value, 6.75)[0], 352, f"{value} dB", 13)
    for value in (4, 5, 6):
        d.tick(62, place(25.5, value)[1], 8, 0)
        d.text(54, place(25.5, value)[1] + 5, str(value), 13, "end")
    d.line([(70, 40), (70, 330), (450, 330)], "plain", arrow=False)
    even = [place(row["even"]["psnr"], row["even"]["niqe"]) for row in rows]
    d.line(even, "network", arrow=False, dashed=True)
    d.text(even[3][0] + 12, even[3][1] + 12, "an even mix", 13, "start", kind="network")
    places = [place(row["psnr"], row["niqe"]) for row in rows]
    d.line(places, "sr", arrow=False)
    right = 0  # where the last number to the right of its dot stands: the next one keeps clear of it
    for row, (x, y) in zip(rows, places):
        usual = row["strength"] == usual_strength("srgan-x4")
        d.dot(x, y, "sr", 6 if usual else 4)
        if row["strength"] in (0, 0.2, 0.4, 0.6, 0.8, 1) or usual:
            low = row["strength"] >= 0.6
            right = right if low else max(y + 5, right + 15)
            d.text(x - 6 if low else x + 10, y - 10 if low else right, f"{row['strength']:g}", 13, "end" if low else "start", kind="sr")
    d.dot(*place(*PUBLISHED), "hr", 6)
    d.text(place(*PUBLISHED)[0], place(*PUBLISHED)[1] - 12, "published weights", 13, kind="hr")
    d.text(70, 24, "NIQE (lower = more natural)", 13, "start")
    d.text(450, 370, "PSNR on Set14 (higher = closer to the original)", 13, "end")
    d.text(450, 391, f"numbers: strength; 0 is srresnet-x4, {usual_strength('srgan-x4'):g} the default", 13, "end")
    return d


def dense_block() -> Drawing:
    """ESRGAN's dense block: a dot where a convolution reads an earlier result."""
    d = Drawing("The dense block",
                "Five vertical lines carry x and the results of conv1 to conv4 downwards. Every convolution reads all lines to its left: conv1 64 "
                "channels, conv2 96, conv3 128, conv4 160, conv5 192. The result of conv5 times 0.2 is added to x.", 560)
    rails, kinds = [30, 72, 114, 156, 198], ["hr", "sr", "loss", "update", "network"]
    tops = [70 + 78 * number for number in range(5)]
    d.box(12, 14, 96, 32, ["x: 64"], "hr")
    d.line([(30, 46), (30, 489)], "hr")
    for number, y in enumerate(tops):
        middle, last = y + 22, number == 4
        d.line([(rails[0], middle), (250, middle)], "network")
        for rail, kind in zip(rails[:number + 1], kinds):
            d.dot(rail, middle, kind, 5)
        d.box(250, y, 130, 44, [f"conv{number + 1}", "" if last else "LeakyReLU 0.2"][:1 if last else 2], kinds[number + 1] if not last else "plain")
        d.text(470, middle + 5, f"reads {64 + 32 * number}", 14, "end")
        if not last:
            d.line([(315, y + 44), (315, y + 58), (rails[number + 1], y + 58), (rails[number + 1], tops[4] + 22)], kinds[number + 1], arrow=False)
            d.text(307, y + 74, "adds 32", 13, "end", kind=kinds[number + 1])
    d.box(250, 456, 130, 30, ["x 0.2"], "plain")
    d.line([(315, 426), (315, 456)]), d.text(323, 446, "64", 13, "start")
    d.line([(315, 486), (315, 500), (41, 500)])
    d.plus(30, 500)
    d.line([(30, 511), (30, 545)], "hr")
    d.text(48, 540, "x + 0.2 conv5(...): 64", 14, "start")
    d.text(130, 35, "A dot: this convolution reads this result.", 13, "start")
    return d


DRAWINGS = (training, generator, discriminator, dense_block, strength)

if __name__ == "__main__":
    for draw in DRAWINGS:
        (DOCS / f"{draw.__name__}.svg").write_text(draw().svg())
        print(f"docs/{draw.__name__}.svg")
