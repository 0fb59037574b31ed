"""Exercises 11 to 13: the score protocol, tiled upscaling, and, as a bonus, the gradient penalty."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from srgan_lib.grading.trial import Either, Failed, Trial, computes, exercise


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


def protocol(sr, hr, scale, shave=None, bits=eight_bit, other=None, grey=studio_luma, whole=lambda y: torch.floor(y + 0.5), peak=255.0):
    """The reference score; the options are the usual mistakes."""
    a, b = (whole(grey(store(x.double()))) for x, store in ((sr, bits), (hr, other or bits)))
    shave = scale if shave is None else shave
    inner = (slice(None), slice(None), slice(shave, a.shape[2] - shave), slice(shave, a.shape[3] - shave))
    return decibels(a[inner], b[inner], peak).mean()


def protocol_mistakes(sr, hr, scale) -> dict:
    def keep(y):
        return y
    return {
        "the border is not shaved": lambda: protocol(sr, hr, scale, shave=0),
        "the score is taken on RGB; the protocol compares luma": lambda: Either(
            [protocol(sr, hr, scale, grey=lambda x: x * 255, whole=w, bits=b, shave=s) for w in (keep,) for b in (eight_bit, keep) for s in (0, scale)]),
        "the pictures are not rounded to 8 bit first": lambda: Either([protocol(sr, hr, scale, bits=b, whole=w) for b in (
            keep, lambda x: x.clamp(0, 1)) for w in (keep, torch.round)]),
        "the luma is not rounded to whole numbers": lambda: protocol(sr, hr, scale, whole=keep),
        "the pictures are cut down to 8 bit, not rounded: half a level too dark": lambda: Either(
            [protocol(sr, hr, scale, bits=lambda x: torch.floor(x.clamp(0, 1) * 255) / 255, whole=w) for w in (torch.round, torch.floor, keep)]),
        "the data range is 1, but luma here runs from 16 to 235: peak is 255": lambda: protocol(sr, hr, scale, peak=1.0),
        "the peak is 219 or 235; by convention it is 255": lambda: Either([protocol(sr, hr, scale, peak=p) for p in (219.0, 235.0)]),
        "luma has the full-range weights of JPEG": lambda: protocol(sr, hr, scale, grey=lambda x: weighted(x, 76.245, 149.685, 29.07)),
        "only the upscaled picture is brought to 8 bit; hr passes through the same": lambda: protocol(sr, hr, scale, other=keep),
        "luma is computed from values up to 255; it wants them in [0, 1]": lambda: protocol(sr, hr, scale, bits=lambda x: eight_bit(x) * 255),
        "lr is scored as if it were hr": lambda: protocol(hr, hr, scale),
        "the shaved border is not `scale` pixels wide": lambda: Either([protocol(sr, hr, scale, shave=s) for s in (1, 2, 3, 4, 6, 8) if s != scale])}


def _scored(trial: Trial, network: nn.Module, scale: int, spread: float, stored=eight_bit):
    """(lr, sr, hr), with hr `stored`, whose values lie clear of every rounding boundary, so that float32 and float64 agree."""
    while True:
        lr = trial.draw.picture(1, *trial.draw.sides(7, 10))
        with torch.no_grad():
            sr = network.eval()(lr)
        hr = stored(sr + trial.draw.normal(*sr.shape) * spread)
        edges = torch.cat([*((x.double().clamp(0, 1) * 255).flatten() for x in (sr, hr)), *(studio_luma(eight_bit(x.double())).flatten() for x in (sr, hr))])
        if ((edges - torch.floor(edges)) - 0.5).abs().min() > 1e-4:
            return lr, sr, hr


@exercise(7, rungs=(8, 2, 3, 1), hints=(
    "Write the pipeline of the text as one line each: eval, network, clamp and round, luma, round, shave, psnr.",
    "torch.floor(255 * x.clamp(0, 1) + 0.5) / 255 is a picture as it would have been stored; both pictures pass through it.",
    "was = generator.training; generator.eval(); ...; generator.train(was)"),
    errors={"numpy": "the result is still part of the graph: run the generator under torch.no_grad()"})
def score(trial: Trial) -> None:
    draw, scale = trial.draw, trial.draw.integer(2, 4)
    mix = nn.Conv2d(3, 3, 1)
    mix.weight.data = (torch.eye(3) * 0.8 + draw.normal(3, 3) * 0.02)[..., None, None]
    mix.bias.data = torch.full((3,), 0.1)
    network = nn.Sequential(nn.Upsample(scale_factor=scale), mix)
    while True:
        lr, sr, hr = _scored(trial, network, scale, 0.006, stored=lambda x: x.clamp(0, 1))
        right, wrong = protocol(sr, hr, scale), protocol_mistakes(sr, hr, scale)
        if not any(computes(mistake, right) for mistake in wrong.values()):  # no mistake hits the mark by chance
            break
    trial.expect("a picture, start to end", trial.call(network, lr, hr, scale)["value"], right, wrong)
    loud = nn.Sequential(nn.Upsample(scale_factor=scale), draw.weigh(nn.Conv2d(3, 3, 1), 0.9))
    lr, sr, hr = _scored(trial, loud, scale, 0.05)
    trial.expect("a network that overshoots [0, 1]", trial.call(loud, lr, hr, scale)["value"], protocol(sr, hr, scale), {
        "values outside [0, 1] have to be clamped: a picture file cannot hold them": lambda: protocol(
            sr, hr, scale, bits=lambda x: torch.floor(x * 255 + 0.5) / 255)})
    _score_in_training(trial, scale)


def _score_in_training(trial: Trial, scale: int) -> None:
    norm = nn.BatchNorm2d(3)
    norm.running_mean.fill_(0.4), norm.running_var.fill_(0.5)
    norm.weight.data.fill_(0.6), norm.bias.data.fill_(0.45)
    network = nn.Sequential(nn.Upsample(scale_factor=scale), trial.draw.weigh(nn.Conv2d(3, 3, 1)), norm)
    lr, sr, hr = _scored(trial, network, scale, 0.05)
    before, right = list(network.state_dict().values()), protocol(sr, hr, scale)
    turns = [trial.call(network.train(mode), lr, hr, scale) for mode in (True, False)]
    first, second = (turn["modules"][0] for turn in turns)
    trial.expect("batch norm: evaluated in eval mode, handed back as found",
                 [turns[0]["value"], first["state"], first["training"], second["training"]], [right, before, True, False], {
        "batch norm is left in train mode: it uses the picture's own statistics and spoils the running ones; call eval() first": lambda:
            not same_state(first["state"], before),
        "the generator comes back in eval mode although it was training": lambda: first["training"] is False,
        "the generator comes back in train mode although it was evaluating": lambda: second["training"] is True})
    trial.expect("without gradients", [any(turn["tracked"]) for turn in turns], [False, False], {
        "the network runs with gradients, which keeps every layer's values in memory: call it under torch.no_grad()": lambda: True})


def same_state(got, want) -> bool:
    return len(got) == len(want) and all(torch.equal(g, w) for g, w in zip(got, want))


def tiled(network, lr, tile: int, halo: int, scale: int, border=None, trim=None) -> torch.Tensor:
    """Tiles pasted without regard to their surroundings beyond `halo`; the options are the usual mistakes.

    border: pads the picture itself first; trim(margin): rows and columns thrown away for a margin in pixels of lr.
    """
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
            sr[..., y * scale:y * scale + rows, x * scale:x * scale + columns] = part[..., y0:y0 + rows, x0:x0 + columns]
    return sr


@exercise(7, rungs=(3, 2, 2), hints=(
    "Walk over the picture in steps of `tile`; cut out each tile with `halo` more pixels on every side, as far as there are any.",
    "Upscale the cut-out, then paste only what belongs to the tile: the halo, times scale, is thrown away.",
    "top = max(y - halo, 0); the tile begins (y - top) * scale rows below the upper edge of the upscaled cut-out."),
    errors={"Kernel size can't be greater|Expected .* non-zero size|non-empty": "a cut-out is empty or too small: at the first tile y - halo is negative, "
            "and a negative index counts from the end; max(y - halo, 0)",
            "expanded size|must match|shape": "the piece and its place differ in size: positions in sr are `scale` times those in lr, "
            "and the last tile of a row may be smaller"})
def upscale_tiled(trial: Trial) -> None:
    draw, scale = trial.draw, trial.draw.integer(2, 3)
    halo, tile = draw.integer(3, 4), draw.integer(4, 5)  # the network looks exactly as far as the halo
    first = nn.Conv2d(3, 4, 2 * halo - 1, padding=halo - 1)
    network = draw.weigh(nn.Sequential(first, nn.Softplus(), nn.Upsample(scale_factor=scale), nn.Conv2d(4, 3, 3, padding=1)))
    for label, height, width in (("tiles that fit", 4 * tile, 4 * tile),
                                 ("height and width differ, the last tiles are smaller", 2 * tile + 1, 3 * tile + 2),
                                 ("a picture lower than one tile", tile - 1, 4 * tile + 1)):
        lr = draw.uniform(1, 3, height, width)
        with torch.no_grad():
            _tiles(trial, label, network, lr, network(lr), tile, halo, scale)


def _tiles(trial: Trial, label: str, network, lr, whole, tile: int, halo: int, scale: int) -> None:
    """One rung: equal to the whole picture at once, without the network having seen more than a tile and its halo."""
    turn, most = trial.call(network, lr, tile, halo, scale), tile + 2 * halo
    if max((max(size[-2:]) for size in turn["sizes"]), default=math.inf) > most:
        raise Failed(f"{label}: the network was given more than tile + 2 halo = {most} pixels a side",
                     "the whole picture, or a long strip of it, went through the network at once; memory is bounded only if tiles do")
    height, width = lr.shape[2] // tile * tile * scale, lr.shape[3] // tile * tile * scale
    trial.expect(label, turn["value"], whole, {
        "the tiles do not overlap: each is upscaled without its surroundings, which leaves seams": lambda: tiled(network, lr, tile, 0, scale),
        "the overlap is smaller than `halo`": lambda: Either([tiled(network, lr, tile, h, scale) for h in range(1, halo)]),
        "the border of the picture is padded; the halo should end where the picture ends": lambda: Either(
            [tiled(network, lr, tile, halo, scale, border) for border in ("constant", "reflect", "replicate")]),
        "the halo is thrown away where there is none: at the picture's own border the cut-out begins with the tile itself": lambda:
            tiled(network, lr, tile, halo, scale, trim=lambda _: halo * scale),
        "the halo is thrown away in pixels of lr; in the upscaled cut-out it is `scale` times as wide": lambda:
            tiled(network, lr, tile, halo, scale, trim=lambda margin: margin),
        "height and width are swapped": lambda: whole.transpose(2, 3),
        "the strip that is left over at the bottom and right is missing": lambda: Either([
            whole[..., :height, :width], F.pad(whole[..., :height, :width], (0, whole.shape[3] - width, 0, whole.shape[2] - height))])})


def penalty(discriminator, x, weight, reduce=lambda g: g.flatten(1).norm(dim=1), shape=lambda n: (n - 1).square().mean()):
    """The reference gradient penalty at the pictures x, with a graph behind it; the options are the usual mistakes."""
    x = x.detach().requires_grad_()
    gradient, = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return weight * shape(reduce(gradient))


@exercise(6, rungs=(3, 3), bonus=True, hints=(
    "x_hat = epsilon * real + (1 - epsilon) * fake, and it needs requires_grad.",
    "torch.autograd.grad(discriminator(x_hat).sum(), x_hat, create_graph=True)",
    "The norm is taken over all values of one picture: flatten(1).norm(dim=1); then (norm - 1)**2, mean, weight."),
    errors={"does not require grad|not have been used in the graph": "x_hat has to require a gradient before it goes through the discriminator",
            "scalar outputs": "grad wants a scalar: sum the logits first"})
def gradient_penalty(trial: Trial) -> None:
    draw, n = trial.draw, trial.draw.integer(2, 4)
    critic = draw.weigh(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 16, 1)), 0.8)
    real, fake, epsilon = draw.uniform(n, 3, 6, 6), draw.uniform(n, 3, 6, 6), 0.15 + 0.2 * draw.uniform(n, 1, 1, 1)
    weight = float(draw.integer(4, 9))  # not the 10 that everybody writes
    mix = epsilon * real + (1 - epsilon) * fake
    lengths = penalty(critic, mix, 1.0, shape=lambda length: length).detach()
    critic[3].weight.data *= 0.5 / lengths.min()  # from both sides of 1, if possible, and surely from below
    right = penalty(critic, mix, weight)
    gradients = list(torch.autograd.grad(right, list(critic.parameters()), allow_unused=True))
    wrong = {
        "the gradient is taken at the real pictures; it belongs to the points between real and fake": lambda: penalty(critic, real, weight),
        "the gradient is taken at the fakes; it belongs to the points between real and fake": lambda: penalty(critic, fake, weight),
        "epsilon and 1 - epsilon are swapped: epsilon belongs to real": lambda: penalty(critic, epsilon * fake + (1 - epsilon) * real, weight),
        "one norm is taken over the whole batch; want one for each picture": lambda: penalty(critic, mix, weight, lambda g: g.norm()),
        "the norm is taken over the channels only; want one for each picture": lambda: penalty(critic, mix, weight, lambda g: g.norm(dim=1)),
        "the squared norm is compared with 1; take the root first": lambda: penalty(critic, mix, weight, lambda g: g.flatten(1).square().sum(1)),
        "the norm is pulled to 0; here it is pulled to 1": lambda: penalty(critic, mix, weight, shape=lambda s: s.square().mean()),
        "the mean is squared; want the mean of the squares": lambda: penalty(critic, mix, weight, shape=lambda s: (s.mean() - 1).square()),
        "only gradients longer than 1 are punished; this penalty is two-sided": lambda: penalty(critic, mix, weight, shape=lambda n: (n - 1).relu().square().mean()),
        "the weight is written out as 10; use the argument": lambda: penalty(critic, mix, 10.0),
        "the factor `weight` is missing": lambda: penalty(critic, mix, 1.0)}
    turn = trial.call(critic, real, fake, epsilon, weight, backward=True)
    trial.expect("the value", turn["value"], right, wrong)
    got = [g if g is not None else torch.zeros_like(p) for g, p in zip(turn["modules"][0]["gradients"], critic.parameters())]
    want = [g if g is not None else torch.zeros_like(p) for g, p in zip(gradients, critic.parameters())]
    trial.expect("its gradient with respect to the discriminator's weights", got, want, {
        "no gradient reaches the discriminator: autograd.grad needs create_graph=True, else the penalty is a constant": lambda:
            [torch.zeros_like(p) for p in critic.parameters()],
        "backward() leaves gradients of its own on the weights, and no graph; want torch.autograd.grad(..., create_graph=True)": lambda:
            list(torch.autograd.grad(critic(mix).sum(), list(critic.parameters()), materialize_grads=True))})
