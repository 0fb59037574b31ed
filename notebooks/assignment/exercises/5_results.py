"""Exercises 11 to 13: the score protocol, tiled upscaling, and, as a bonus, the gradient penalty."""

import torch
import torch.nn.functional as F
from torch import nn

from srgan_lib.grading.comparison import Either, computes, flat, proportional, same
from srgan_lib.grading.trial import Failed, Trial, copied, exercise


def weighted(rgb: torch.Tensor, red: float, green: float, blue: float, offset: float = 0.0) -> torch.Tensor:
    """A weighted sum of the channels in float64: (N, 3, H, W) -> (N, 1, H, W)."""
    return offset + torch.einsum("nchw,c->nhw", rgb.double(), torch.tensor([red, green, blue]).double())[:, None]


def studio_luma(rgb: torch.Tensor) -> torch.Tensor:
    return weighted(rgb, 65.481, 128.553, 24.966, 16)


def decibels(a: torch.Tensor, b: torch.Tensor, peak: float = 1.0) -> torch.Tensor:
    error = (a.double() - b.double()).square().flatten(1).mean(1)
    return 10 * torch.log10(peak**2 / error)


def eight_bit(x: torch.Tensor) -> torch.Tensor:
    return torch.floor(x.clamp(0, 1) * 255 + 0.5) / 255


def protocol(sr, hr, scale, shave=None, wide=None, bits=eight_bit, other=None, grey=studio_luma, whole=lambda y: torch.floor(y + 0.5), peak=255.0):
    """The reference score; the options are the usual mistakes."""
    a, b = (whole(grey(store(x.double()))) for x, store in ((sr, bits), (hr, other or bits)))
    shave = scale if shave is None else shave
    inner = (slice(None), slice(None), slice(shave, (wide or a.shape[2]) - shave), slice(shave, a.shape[3] - shave))
    return decibels(a[inner], b[inner], peak).mean()


def protocol_mistakes(sr, hr, scale) -> dict:
    def keep(y):
        return y

    def make(**options):
        return protocol(sr, hr, scale, **options)

    def clipped(x):
        return x.clamp(0, 1)
    borders = {f"the shaved border is {s} pixels wide at every scale; it is `scale` pixels": s for s in (1, 2, 3, 4, 6, 8)}
    floors = [torch.floor(x.clamp(0, 1).double() * 255) / 255 for x in (sr, hr)]
    return {
        # The first three are the likeliest to hit the right value by chance, see `_tells`.
        "the pictures are not rounded to 8 bit first": lambda: Either([make(bits=b, whole=w) for b in (keep, clipped) for w in (keep, torch.round)]),
        "only hr is brought to 8 bit; the upscaled picture passes through the same": lambda: Either([make(bits=b, other=eight_bit) for b in (keep, clipped)]),
        "the pictures are cut down to 8 bit, not rounded: half a level too dark": lambda: Either(
            [protocol(*floors, scale, bits=keep, whole=w) for w in (torch.round, torch.floor, keep)]),
        "the border is not shaved": lambda: make(shave=0),
        **{name: lambda s=s: make(shave=s) for name, s in borders.items()},
        "the shaved border is twice `scale`, half of it, or one pixel off": lambda: Either([make(shave=s) for s in (2 * scale, scale + 1, scale - 1, scale // 2)]),
        "only two of the four borders are shaved": lambda: Either(_shaved(sr, hr, scale)),
        "the width is used for the height as well: right for square pictures only": lambda: make(wide=sr.shape[3]),
        "the score is taken on RGB; the protocol compares luma": lambda: Either(
            [make(grey=lambda x: x * 255, whole=w, bits=b, shave=s) for w in (keep, torch.round) for b in (eight_bit, keep, clipped) for s in (0, scale)]),
        "the mean of the channels is taken for luma": lambda: Either([make(grey=lambda x: weighted(x, 85, 85, 85), whole=w) for w in (keep, torch.round)]),
        "the luma is not rounded to whole numbers": lambda: make(whole=keep),
        "neither the pictures nor the border are brought into the form of the protocol": lambda: Either([make(bits=b, whole=keep, shave=0) for b in (keep, clipped)]),
        "the luma is cut down to whole numbers, not rounded": lambda: make(whole=torch.floor),
        "the data range is 1, but luma here runs from 16 to 235: peak is 255": lambda: make(peak=1.0),
        "the peak is 219 or 235; by convention it is 255": lambda: Either([make(peak=p) for p in (219.0, 235.0)]),
        "luma has the full-range weights of JPEG": lambda: Either([make(grey=lambda x: weighted(x, 76.245, 149.685, 29.07), whole=w) for w in (keep, torch.round)]),
        "only the upscaled picture is brought to 8 bit; hr passes through the same": lambda: Either([make(other=keep), make(other=clipped)]),
        "luma is computed from values up to 255; it wants them in [0, 1]": lambda: make(bits=lambda x: eight_bit(x) * 255),
        "lr is scored as if it were hr": lambda: protocol(hr, hr, scale),
        "the mean squared error itself comes back; want decibels": lambda: 255.0**2 / 10 ** (make() / 10),
        "the logarithm is natural; decibels want base 10": lambda: make() * torch.tensor(10.0).log()}


def _shaved(sr, hr, scale) -> list:
    """The score with borders of one kind only."""
    cut = [(slice(scale, None), slice(scale, None)), (slice(None, -scale), slice(None, -scale)), (slice(scale, -scale), slice(None)), (slice(None), slice(scale, -scale))]
    return [protocol(sr[(..., *c)], hr[(..., *c)], scale, shave=0) for c in cut]


MOST_DRAWS = 500  # no seed was seen to need a hundred


def _first_of(draw, fits):
    """The first draw that fits; the last of MOST_DRAWS where none does."""
    for _ in range(MOST_DRAWS):
        made = draw()
        if fits(made):
            break
    return made


def _scored(trial: Trial, network: nn.Module, scale: int, spread: float, sides: tuple, stored=eight_bit):
    """(lr, sr, hr), with hr `stored`, whose values lie clear of every rounding boundary, so that float32 and float64 agree."""
    def draw():
        lr = trial.draw.picture(1, *sides)
        with torch.no_grad():
            sr = network.eval()(lr)
        return lr, sr, stored(sr + trial.draw.normal(*sr.shape) * spread)

    def clear(made):
        edges = torch.cat([*((x.double().clamp(0, 1) * 255).flatten() for x in made[1:]), *(studio_luma(eight_bit(x.double())).flatten() for x in made[1:])])
        return bool(((edges - torch.floor(edges)) - 0.5).abs().min() > 1e-4)
    return _first_of(draw, clear)


def _tells(sr, hr, scale: int, known) -> bool:
    """Whether no mistake hits the right value here by chance, besides those that are `known` to."""
    right, wrong = protocol(sr, hr, scale), protocol_mistakes(sr, hr, scale)
    return not any(f" {scale} pixels" not in name and not known(name) and computes(mistake, right) for name, mistake in wrong.items())


def _telling(trial: Trial, network: nn.Module, scale: int, sides: tuple):
    """The same with little noise, where each rounding counts, drawn again while a known mistake hits the right value by chance."""
    return _first_of(lambda: _scored(trial, network, scale, 0.006, sides),
                     lambda made: _tells(*made[1:], scale, lambda name: name.startswith("only the upscaled")))


def _plain(trial: Trial, scale: int) -> nn.Module:
    mix = nn.Conv2d(3, 3, 1)
    mix.weight.data = (torch.eye(3) * 0.8 + trial.draw.normal(3, 3) * 0.02)[..., None, None]
    mix.bias.data = torch.full((3,), 0.1)
    return nn.Sequential(nn.Upsample(scale_factor=scale), mix)


@exercise(7, rungs=(1.5, 2, 0.5, 1, 0.5, 0.5, 1), hints=(
    "Write the pipeline of the text as one line each: eval, network, clamp and round, luma, round, shave, psnr.",
    "torch.floor(255 * x.clamp(0, 1) + 0.5) / 255 is a picture as it would have been stored; both pictures pass through it.",
    "was = generator.training; generator.eval(); ...; generator.train(was)"),
    errors={r"Can't call numpy\(\) on Tensor that requires grad": "the result is still part of the graph: run the generator under torch.no_grad()",
            r"size of tensor a .* must match": "the two pictures are cut to different sizes: height and width are not the same, and both are cut alike"})
def score(trial: Trial) -> None:
    cases, pictures = trial.once("pictures", lambda: _score_cases(trial))
    found = trial.study(cases, lambda network, lr, hr, scale: protocol(pictures[id(lr)], hr, scale),
                        lambda network, lr, hr, scale: protocol_mistakes(pictures[id(lr)], hr, scale))
    # Where the noise is loud, no rounding decides this rung, and so no seed does.
    near = all(flat(g) is not None and flat(g).numel() == 1 and abs(float(flat(g)[0]) - float(w)) < 1.5 for g, w in zip(found.values[1::2], found.wants[1::2]))
    trial.climb("within 1.5 dB of the protocol", near, found)
    trial.climb("the protocol at scales 2, 3 and 4", found.right, found, support=not near)
    _overshooting(trial, found)
    _modes(trial, found)


def _score_cases(trial: Trial) -> tuple[list, dict]:
    """(cases, {id of lr: what the network makes of it}), in which no mistake hits the mark by chance."""
    cases, pictures = [], {}
    for scale, sides, spread in ((2, (9, 9), 0.01), (2, (8, 11), 0.05), (3, (7, 7), 0.006), (3, (9, 6), 0.03), (4, (7, 7), 0.008), (4, (6, 9), 0.02)):
        network, square = _plain(trial, scale), sides[0] == sides[1]
        lr, sr, hr = _first_of(lambda: _scored(trial, network, scale, spread, sides, stored=lambda x: x.clamp(0, 1)),
                               lambda made: _tells(*made[1:], scale, lambda name: square and "square" in name))
        cases.append(((network, lr, hr, scale), {"scale": f"scale {scale}", "sides": "square pictures" if square else "pictures whose height and width differ"}))
        pictures[id(lr)] = sr
    return cases, pictures


def _loud(trial: Trial) -> list:
    """[(network, lr, sr, hr, scale)], of networks that overshoot [0, 1]."""
    made = []
    for scale in (2, 4):
        network = nn.Sequential(nn.Upsample(scale_factor=scale), trial.draw.weigh(nn.Conv2d(3, 3, 1), 0.9))
        made.append((network, *_telling(trial, network, scale, (7, 8)), scale))
    return made


def _overshooting(trial: Trial, found) -> None:
    good, unclamped = True, True
    for loud, lr, sr, hr, scale in trial.once("overshooting", lambda: _loud(trial)):
        value, want = trial.must([(loud, lr, hr, scale)])[0]["value"], protocol(sr, hr, scale)
        good &= same(value, want)
        unclamped &= same(value, protocol(sr, hr, scale, bits=lambda x: torch.floor(x * 255 + 0.5) / 255))
    trial.climb("a network that overshoots [0, 1]", good, found if not found.right else "wrong",
                "values outside [0, 1] have to be clamped: a picture file cannot hold them" if unclamped else "", support=True)


def _with_norm(trial: Trial) -> tuple:
    """(the network in training mode, the same in eval mode, lr, sr, hr, scale)."""
    scale, norm = 3, nn.BatchNorm2d(3)
    norm.running_mean.fill_(0.4), norm.running_var.fill_(0.5)
    norm.weight.data.fill_(0.6), norm.bias.data.fill_(0.45)
    network = nn.Sequential(nn.Upsample(scale_factor=scale), trial.draw.weigh(nn.Conv2d(3, 3, 1)), norm)
    pictures = _telling(trial, network, scale, (6, 7))
    return *(copied(network)[0].train(mode) for mode in (True, False)), *pictures, scale


def _modes(trial: Trial, found) -> None:
    """Batch norm, gradients, and what comes back, for a network in either mode."""
    *both, lr, sr, hr, scale = trial.once("batch norm", lambda: _with_norm(trial))
    before, right = list(both[0].state_dict().values()), protocol(sr, hr, scale)
    turns = [trial.must([(network, lr, hr, scale)])[0] for network in both]
    first, second = (turn["modules"][0] for turn in turns)
    values, spoiled = [turn["value"] for turn in turns], not all(map(torch.equal, first["state"], before))
    trial.climb("a batch norm that was training: its running statistics", not spoiled and same(values[0], values[1]), "",
                "batch norm is left in train mode: it uses the picture's own statistics and spoils the running ones; call eval() first" if spoiled else "", support=not turns[0]["convolutions"] or turns[0]["kind"] not in ("number", "tensor"))
    trial.climb("a network with batch norm", same(values, [right, right]), found, support=True)
    tracked = any(record[-1] for turn in turns for record in turn["convolutions"])
    trial.climb("without gradients", not tracked and bool(turns[0]["convolutions"]), "no", "the network runs with gradients, which keeps every layer's values in "
                "memory: call it under torch.no_grad()" if tracked else "the generator did not run", support=True)
    kinds = [turn["kind"] for turn in turns]
    trial.contract("the contract: handed back as found, inputs left alone, a Python number returned", {
        "the generator comes back in eval mode although it was training": not all(first["training"]),
        "the generator comes back in train mode although it was evaluating": any(second["training"]),
        "lr or hr is overwritten: work on a copy": any(any(turn["changed"]) for turn in turns),
        f"a {kinds[0]} comes back; want a Python number: .item() makes one": any(kind != "number" for kind in kinds)})


def tiled(network, lr, tile: int, halo: int, scale: int, border=None, trim=None, place=None) -> torch.Tensor:
    """Tiles pasted without regard to their surroundings beyond `halo`; the options are the usual mistakes.

    border: pads the picture itself first; trim(margin): rows and columns thrown away for a margin in pixels of lr;
    place: how far apart in sr two neighbours of lr are pasted.
    """
    place = scale if place is None else place
    trim = trim or (lambda margin: margin * scale)
    n, _, height, width = lr.shape
    sr = torch.zeros(n, 3, height * scale, width * scale)
    padded = lr if border is None else F.pad(lr, (halo,) * 4, mode=border)
    shift = 0 if border is None else halo
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            top, left = max(y + shift - halo, 0), max(x + shift - halo, 0)
            part = network(padded[..., top:y + shift + tile + halo, left:x + shift + tile + halo])
            rows, columns = min(tile, height - y) * scale, min(tile, width - x) * scale
            y0, x0 = trim(y + shift - top), trim(x + shift - left)
            sr[..., y * place:y * place + rows, x * place:x * place + columns] = part[..., y0:y0 + rows, x0:x0 + columns]
    return sr


@exercise(7, rungs=(0.5, 1, 1.5, 1.5, 0.5, 1, 1), hints=(
    "Walk over the picture in steps of `tile`; cut out each tile with `halo` more pixels on every side, as far as there are any.",
    "Upscale the cut-out, then paste only what belongs to the tile: the halo, times scale, is thrown away.",
    "top = max(y - halo, 0); the tile begins (y - top) * scale rows below the upper edge of the upscaled cut-out."),
    errors={"Kernel size can't be greater|Expected .* non-zero size|non-empty": "a cut-out is empty or too small: at the first tile y - halo is negative, "
            "and a negative index counts from the end; max(y - halo, 0)",
            "expanded size|must match|shape": "the piece and its place differ in size: positions in sr are `scale` times those in lr, "
            "and the last tile of a row may be smaller"})
def upscale_tiled(trial: Trial) -> None:
    draw, groups, cases = trial.draw, {}, []
    for scale in (2, 3):
        halo, tile = (3, 5) if scale == 2 else (4, 4)
        looking, blind = _looking(trial, halo, scale), _looking(trial, 0, scale)
        for group, network, margin, side, height, width in (
                ("wide", looking, halo, 3 * halo + 2, 6 * halo + 4, 6 * halo + 4), ("fit", looking, halo, tile, 3 * tile, 3 * tile),
                ("fit", looking, halo, tile, 2 * tile, 4 * tile), ("rest", looking, halo, tile, 2 * tile + 1, 3 * tile + 2),
                ("rest", looking, halo, tile, 3 * tile + 2, 2 * tile + 1), ("low", looking, halo, tile, tile - 1, 4 * tile + 1),
                ("low", looking, halo, tile, 4 * tile + 1, tile - 2), ("none", blind, 0, tile, 2 * tile, 2 * tile), ("none", blind, 0, tile, 2 * tile + 1, tile + 3)):
            groups.setdefault(group, []).append(len(cases))
            cases.append(((network, draw.uniform(1, 3, height, width), side, margin, scale), {
                "scale": f"scale {scale}", "sides": "square pictures" if height == width else "pictures whose height and width differ",
                "halo": "a halo" if margin else "halo = 0", "rest": "sides that are multiples of tile" if not height % side + width % side else "other sides"}))
    found = trial.study(cases, _whole, _tile_mistakes)
    _tile_rungs(trial, cases, groups, found)


def _looking(trial: Trial, halo: int, scale: int) -> nn.Module:
    """A network that looks exactly as far as the halo."""
    first = nn.Conv2d(3, 4, 2 * halo - 1, padding=halo - 1) if halo else nn.Conv2d(3, 4, 1)
    last = nn.Conv2d(4, 3, 3, padding=1) if halo else nn.Conv2d(4, 3, 1)
    return trial.draw.weigh(nn.Sequential(first, nn.Softplus(), nn.Upsample(scale_factor=scale), last))


def _whole(network, lr, tile, halo, scale):
    with torch.no_grad():
        return network(lr)


def _tile_rungs(trial: Trial, cases: list, groups: dict, found) -> None:
    largest = 0
    for (arguments, _), turn in zip(cases, found.turns):
        first = [record for record in (turn or {"convolutions": []})["convolutions"] if record[1] == 3 and record[4] == 4]
        most = arguments[2] + 2 * arguments[3]
        if any(max(record[2:4]) > most for record in first):
            if any(max(record[2:4]) >= max(arguments[1].shape[2:]) > most for record in first):
                raise Failed("the whole picture, or a strip of it, went through the network at once", f"memory is bounded only if no more than a tile goes in at once: "
                             f"the network may see tile + 2 halo = {most} pixels a side, and saw {max(max(r[2:4]) for r in first)}")
            largest = max(largest, max(max(record[2:4]) for record in first) - most)
    if not any(turn["convolutions"] for turn in found.turns if turn):
        raise Failed("the generator did not run", found.mistake or "the pieces have to come from the generator")
    shapes = all(turn and isinstance(v, torch.Tensor) and v.shape == w.shape for turn, v, w in zip(found.turns, found.values, found.wants))
    trial.climb("the shape of the result", shapes, found, support=True)
    trial.climb("the middle of each tile", all(_middle(found.values[i], found.wants[i], *cases[i][0][2:]) for i in groups["wide"]), found)
    for label, group in (("tiles that fit", "fit"), ("height and width differ, the last tiles are smaller", "rest"), ("a picture lower than one tile", "low"),
                         ("halo = 0", "none")):
        trial.climb(label, all(found.passed[i] for i in groups[group]), found)
    turns = [turn for turn in found.turns if turn]
    trial.contract("the contract: no more than tile + 2 halo pixels a side at a time, the input left alone, a tensor returned", {
        f"the network was given {largest} pixels a side more than tile + 2 halo": largest > 0,
        "lr is overwritten: work on a copy": any(any(turn["changed"]) for turn in turns),
        "what comes back is not a tensor": any(turn["kind"] != "tensor" for turn in turns)})


def _middle(got, want, tile: int, halo: int, scale: int) -> bool:
    """Whether the pixels that lie further than the halo from every cut and border are right."""
    if not isinstance(got, torch.Tensor) or got.shape != want.shape:
        return False
    inner = slice(halo * scale, (tile - halo) * scale)
    return all(same(*(x[..., y * tile * scale:(y + 1) * tile * scale, z * tile * scale:(z + 1) * tile * scale][..., inner, inner] for x in (got, want)))
               for y in range(want.shape[2] // (tile * scale)) for z in range(want.shape[3] // (tile * scale)))


def _tile_mistakes(network, lr, tile: int, halo: int, scale: int) -> dict:
    whole = _whole(network, lr, tile, halo, scale)
    height, width = lr.shape[2] // tile * tile * scale, lr.shape[3] // tile * tile * scale
    make = torch.no_grad()(lambda *a, **k: tiled(network, lr, tile, *a, **k))
    return {
        "the tiles do not overlap: each is upscaled without its surroundings, which leaves seams": lambda: make(0, scale),
        "the overlap is smaller than `halo`": lambda: Either([make(h, scale) for h in range(1, halo)] or [whole]),
        "the border of the picture is padded; the halo should end where the picture ends": lambda: Either(
            [make(halo, scale, border) for border in ("constant", "reflect", "replicate") if border == "constant" or halo < min(lr.shape[2:])]),
        "the halo is thrown away where there is none: at the picture's own border the cut-out begins with the tile itself": lambda:
            make(halo, scale, trim=lambda _: halo * scale),
        "the halo is thrown away in pixels of lr; in the upscaled cut-out it is `scale` times as wide": lambda: make(halo, scale, trim=lambda margin: margin),
        "each piece is pasted at its position in lr; in sr it is `scale` times as far from the corner": lambda: make(halo, scale, place=1),
        "height and width are swapped": lambda: whole.transpose(2, 3),
        "overlaps are averaged or added; the halo is only there to be thrown away": lambda: Either(_blended(network, lr, tile, halo, scale)),
        "the strip that is left over at the bottom and right is missing: the last tiles are smaller": lambda: Either([
            whole[..., :height, :width], F.pad(whole[..., :height, :width], (0, whole.shape[3] - width, 0, whole.shape[2] - height))])}


@torch.no_grad()
def _blended(network, lr, tile: int, halo: int, scale: int) -> list:
    """Overlapping pieces added, averaged, or the later over the earlier."""
    total, count = torch.zeros(1, 3, *(s * scale for s in lr.shape[2:])), torch.zeros(1, 1, *(s * scale for s in lr.shape[2:]))
    later = total.clone()
    for y in range(0, lr.shape[2], tile):
        for x in range(0, lr.shape[3], tile):
            rows, columns = (slice(max(p - halo, 0), min(p + tile + halo, s)) for p, s in zip((y, x), lr.shape[2:]))
            place = (..., slice(rows.start * scale, rows.stop * scale), slice(columns.start * scale, columns.stop * scale))
            part = network(lr[..., rows, columns])
            total[place] += part
            count[place] += 1
            later[place] = part
    return [total / count, total, later]


def penalty(discriminator, x, weight, reduce=lambda g: g.flatten(1).norm(dim=1), shape=lambda n: (n - 1).square().mean()):
    """The reference gradient penalty at the pictures x, with a graph behind it; the options are the usual mistakes."""
    x = x.detach().requires_grad_()
    gradient, = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return weight * shape(reduce(gradient))


def penalty_mistakes(critic, real, fake, epsilon, weight: float) -> dict:
    def make(point=epsilon * real + (1 - epsilon) * fake, **options):
        return penalty(critic, point, weight, **options)
    n, right = len(real), make()
    return {
        "the gradient is taken at the real pictures; it belongs to the points between real and fake": lambda: make(real),
        "the gradient is taken at the fakes; it belongs to the points between real and fake": lambda: make(fake),
        "epsilon and 1 - epsilon are swapped: epsilon belongs to real": lambda: make(epsilon * fake + (1 - epsilon) * real),
        "the points lie half-way; epsilon says where they lie": lambda: make((real + fake) / 2),
        "the gradient is taken with respect to the discriminator's weights; want it with respect to the points": lambda: weight * (torch.cat(
            [g.flatten() for g in torch.autograd.grad(critic(epsilon * real + (1 - epsilon) * fake).sum(), list(critic.parameters()))]).norm() - 1).square(),
        "one epsilon is used for the whole batch; there is one for each pair": lambda: make(epsilon[:1] * real + (1 - epsilon[:1]) * fake) if n > 1 else right,
        "one norm is taken over the whole batch; want one for each picture": lambda: make(reduce=lambda g: g.norm()),
        "the norm is taken over the channels only; flatten first: want one for each picture": lambda: Either(
            [make(reduce=lambda g: g.norm(dim=1)), make(reduce=lambda g: g.norm(dim=(2, 3))), make(reduce=lambda g: g.norm(dim=-1))]),
        "the norm is taken over the batch: dim=0 are the pictures": lambda: Either([make(reduce=lambda g: g.norm(dim=0)), make(reduce=lambda g: g.flatten(1).norm(dim=0))]),
        "the squared norm is compared with 1; take the root first": lambda: make(reduce=lambda g: g.flatten(1).square().sum(1)),
        "the norm is the sum (or the largest) of the absolute values; want the root of the sum of squares": lambda: Either(
            [make(reduce=lambda g: g.flatten(1).abs().sum(1)), make(reduce=lambda g: g.flatten(1).abs().amax(1))]),
        "the mean of the squares is taken for their sum in the norm": lambda: make(reduce=lambda g: g.flatten(1).square().mean(1).sqrt()),
        "the gradient is divided by the batch size: sum the logits, do not average them": lambda: make(reduce=lambda g: (g / n).flatten(1).norm(dim=1)),
        "the norm is pulled to 0; here it is pulled to 1": lambda: make(shape=lambda s: s.square().mean()),
        "the distance from 1 is not squared": lambda: Either([make(shape=lambda s: (s - 1).abs().mean()), make(shape=lambda s: (s - 1).mean())]),
        "the mean is squared; want the mean of the squares": lambda: make(shape=lambda s: (s.mean() - 1).square()),
        "the sum over the batch is taken; want the mean": lambda: make(shape=lambda s: (s - 1).square().sum()),
        "only gradients longer than 1 are punished; this penalty is two-sided": lambda: make(shape=lambda n: (n - 1).relu().square().mean()),
        "the penalty is halved; there is no factor 1/2": lambda: right / 2,
        "the weight is written out as 10; use the argument": lambda: right / weight * 10,
        "the factor `weight` is missing": lambda: right / weight,
        "the weight is squared: it stands inside the square": lambda: right * weight}


def right_penalty(critic, real, fake, epsilon, weight):
    return penalty(critic, epsilon * real + (1 - epsilon) * fake, weight)


@exercise(6, rungs=(1.5, 1.5, 1, 1.5, 0.5), bonus=True, hints=(
    "x_hat = epsilon * real + (1 - epsilon) * fake, and it needs requires_grad.",
    "torch.autograd.grad(discriminator(x_hat).sum(), x_hat, create_graph=True)",
    "The norm is taken over all values of one picture: flatten(1).norm(dim=1); then (norm - 1)**2, mean, weight."),
    errors={"does not require grad|not have been used in the graph": "x_hat has to require a gradient before it goes through the discriminator",
            "scalar outputs": "grad wants a scalar: sum the logits first"})
def gradient_penalty(trial: Trial) -> None:
    draw, cases = trial.draw, []
    for n, (h, w), weight in ((1, (5, 5), 4.0), (1, (6, 5), 1.0), (2, (5, 6), 1.0), (3, (6, 6), 1.0), (4, (5, 7), 7.0), (2, (6, 6), 7.0)):
        critic = draw.weigh(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * (h - 2) * (w - 2), 1)), 0.8)
        real, fake, epsilon = draw.uniform(n, 3, h, w), draw.uniform(n, 3, h, w), 0.15 + 0.2 * draw.uniform(n, 1, 1, 1)
        lengths = penalty(critic, epsilon * real + (1 - epsilon) * fake, 1.0, shape=lambda length: length).detach()
        critic[3].weight.data *= (0.5 if n < 4 else 1.6) / (lengths.min() if n < 4 else lengths.max())  # from both sides of 1
        cases.append(((critic, real, fake, epsilon, weight), {"batch": "one picture" if n == 1 else "several pictures", "weight": f"weight {weight:g}",
                                                              "sides": "square pictures" if h == w else "pictures whose height and width differ"}))
    found = trial.study(cases, right_penalty, penalty_mistakes, backward=True)
    groups = [[i for i in range(len(cases)) if cases[i][0][4] == weight] for weight in (1.0, 7.0)]
    trial.climb("the squared distance of the length from 1", all(proportional(*found.answered(g)) is not None for g in groups), found)
    trial.climb("the value", found.right, found, support=True)
    _through(trial, cases, found)
    turns = [turn for turn in found.turns if turn]
    trial.contract("the contract: inputs left alone, one tensor returned", {
        "real, fake or epsilon is overwritten: work on a copy": any(any(turn["changed"]) for turn in turns),
        "what comes back is not one tensor": any(turn["kind"] != "tensor" or turn["value"].numel() != 1 for turn in turns)})


def _through(trial: Trial, cases: list, found, right=right_penalty) -> None:
    """The rung of the second derivative: what reaches the discriminator's weights, up to the factor that the value is off by."""
    ok, silent, loud = True, True, True
    for (arguments, _), turn, value, want in zip(cases, found.turns, found.values, found.wants):
        if turn is None or flat(value) is None or flat(value).numel() != 1:
            ok = False
            continue
        critic, point = arguments[0], arguments[3] * arguments[1] + (1 - arguments[3]) * arguments[2]
        parameters = list(critic.parameters())
        wanted = torch.autograd.grad(right(*arguments), parameters, materialize_grads=True)
        first = torch.autograd.grad(critic(point).sum(), parameters)
        got = [torch.zeros_like(p) if g is None else g for g, p in zip(turn["modules"][0]["gradients"], parameters)]
        factor = float(flat(value)) / float(want.detach()) if float(want.detach()) else 1.0
        ok &= same(got, [factor * g for g in wanted])
        silent &= not any(bool(g.any()) for g in got)
        loud &= same(got, list(first))
    mistake = ("no gradient reaches the discriminator: autograd.grad needs create_graph=True, else the penalty is a constant" if silent else
               "backward() leaves gradients of its own on the weights, and no graph; want torch.autograd.grad(..., create_graph=True)" if loud else "")
    trial.climb("a gradient reaches the discriminator's weights", not silent and not loud, "no", mistake)
    trial.climb("its gradient with respect to the discriminator's weights", ok, found if not found.right else "wrong", mistake, support=True)
