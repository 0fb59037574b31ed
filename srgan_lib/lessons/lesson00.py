"""Checks of notebook 00. Ranges come from runs on six of the sample's photos with the shipped weights, as said at each."""

from ..images import luma
from .exercise import Unanswered, Wrong, blank, choice, number, numbers, test, within


@test("0.1")
def own_photo(steps, better):
    photo, shrunk = numbers(steps, "photo shrunk", "steps")
    if abs(shrunk) < 0.05 < photo:
        raise Wrong("the shrunk photo has no steps at all: resize_bicubic wants values in [0, 1], so shrink first and take the luma afterwards")
    if min(photo, shrunk) < 0.05:
        raise Wrong("a mean step is larger than that: take .abs() before the mean, and grey levels of 255")
    if abs(shrunk / photo - 1) < 1e-6:
        raise Wrong("both steps are equal: the same image was measured twice")
    # 0.89 to 1.66 on twelve of the sample's images shrunk by resize_bicubic; a camera's soft pixels give more
    within(shrunk / photo, 0.75, 3, "the step of the shrunk photo over that of the photo")
    choice(better, ("photo", "shrunk"), "better")
    return [f"shrinking by two changes the mean step by a factor of {shrunk / photo:.2f}"]


@test("0.2")
def shrinks_back(back, closest):
    values = numbers(back, "bicubic srresnet srgan", "back")
    bicubic, srresnet, srgan = values
    if max(values) < 32:
        raise Wrong("these are comparisons with HR; shrink each enlargement by degrade(x, 4) and compare it with lr")
    if min(values) > 90:
        raise Wrong("lr was compared with itself")
    if srresnet <= max(bicubic, srgan):
        raise Wrong("SRResNet should be the closest; are the names in the right order?")
    # measured on the sample's images: bicubic 33.0 to 49.1, SRResNet 46.5 to 58.3, SRGAN 39.9 to 52.1 at strength 0.95 and 33.2 to 46.5 dB alone
    for value, (low, high), name in zip(values, ((30, 53), (43, 62), (28, 61)), ("bicubic", "srresnet", "srgan")):
        within(value, low, high, name, " dB")
    if choice(closest, ("bicubic", "srresnet", "srgan"), "closest") != "srresnet":
        raise Wrong(f"closest: your own numbers say SRResNet, with {srresnet:.1f} dB; a higher PSNR is closer")
    return [f"SRResNet is {srresnet - max(bicubic, srgan):.1f} dB closer to LR than the next one"]


@test("0.3")
def sixteen_times(passes):
    once, twice = numbers(passes, "once twice", "passes")
    if twice == once:
        raise Wrong("both numbers are equal: the second has to come from an image shrunk by four twice")
    if twice > once:
        raise Wrong("twice is better than once: are the two in the wrong order, or was the second compared with an enlargement instead of the original?")
    # measured on the three validation photos: 30.9 -> 24.7, 27.5 -> 22.7, 28.2 -> 25.5 dB by SRResNet, and 1.5 to 2 dB less by SRGAN
    within(once, 20, 42, "once", " dB")
    within(once - twice, 1, 12, "the loss from once to twice", " dB")
    return [f"the second pass costs {once - twice:.1f} dB"]


@test("0.4")
def invented(place, images=None):
    if blank(images):
        raise Unanswered("images is empty: hand over (srresnet, srgan, hr)")
    if not isinstance(place, (list, tuple)) or len(place) != 3:
        raise Wrong("place: want (row, column, size), as in zoom")
    row, column, size = (int(number(value, "place")) for value in place)
    if not 12 <= size <= 64:
        raise Wrong(f"a square of {size} pixels is no detail: want 12 to 64")
    height, width = images[2].shape[-2:]
    if not (0 <= row <= height - size and 0 <= column <= width - size):
        raise Wrong(f"the square leaves the image of {height} rows and {width} columns")
    srresnet, srgan, hr = (luma(image)[..., row:row + size, column:column + size] for image in images)
    added = (srgan - srresnet).std().item()
    # on the cat photo the squares of 32 pixels have 0.5 grey levels in flat places and 4 to 9 in fur
    if added < 1.5:
        raise Wrong(f"here SRGAN adds only {added:.1f} grey levels to SRResNet: nothing was invented; look for texture")
    excess = (srgan - hr).square().mean().sqrt().item() - (srresnet - hr).square().mean().sqrt().item()
    if excess <= 0:
        raise Wrong("here SRGAN is closer to HR than SRResNet is: what it drew is in HR")
    return [f"here SRGAN's error is {excess:.1f} grey levels larger than SRResNet's, by detail that HR does not have"]
