#!/usr/bin/env bash
# Pillow 13.0.0 shows the first frame of an animated PNG with a palette in black once the reader has gone on to the second frame and come
# back, and so it does the second one from then on. Going back reads the frames' positions anew, but the palette chunk is not read again.
# A program that counts frames or durations first, and then reads the images, gets black ones. Opening the file anew gives the right colours.
# Two frames of two colours, made here. Exits 0 while the behaviour is as described, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==13.0.0
"$folder/venv/bin/python" - <<'PY'
import io
import sys

import PIL
from PIL import Image

first = Image.new("P", (16, 16), 0)
first.putpalette([200, 40, 30, 20, 180, 60])
second = first.copy()
second.paste(1, (0, 0, 8, 16))
file = io.BytesIO()
first.save(file, "PNG", save_all=True, append_images=[second], duration=100)


def colours(image, frames):
    """The colours of the two halves in each frame, in the order in which the frames are asked for."""
    found = []
    for frame in frames:
        image.seek(frame)
        found.append([image.convert("RGB").getpixel((x, 8)) for x in (3, 12)])
    return found


forward, back = colours(Image.open(file), (0, 1)), colours(Image.open(file), (1, 0, 1))
print("Pillow", PIL.__version__)
print("first, second:        ", forward)
print("second, first, second:", back)
right = forward == [[(200, 40, 30)] * 2, [(20, 180, 60), (200, 40, 30)]]
lost = back[0] == forward[1] and back[1:] == [[(0, 0, 0)] * 2] * 2
sys.exit(0 if right and lost else 1)
PY
