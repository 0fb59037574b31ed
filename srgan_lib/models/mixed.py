"""How strong should the GAN be? Its image and that of the generator it started from, mixed pixel by pixel, most of it in texture."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..images import luma

COARSE, GAIN = 0.42, 1.36  # LR pixels: the Gaussian that parts what LR already tells from what may be invented; what makes up for its soft edge
WINDOW, AROUND, WIDE = 5, 15, 81  # HR pixels: where the energy of edges is measured, the ground near a pixel, and the ground far around it
EDGE, GRAIN = 150.0, 6.0   # squared levels of luma a pixel: see `share`; srgan_lib/weights/README.md tells how all of these were chosen
EVEN, SEEN = 0.32, 2.5     # the evenness that texture has; the slope, in squared levels a pixel, that texture has at least
MANY_WAYS = 0.8            # 1 - coherence of slopes that do not all point one way
LOUD = 10.0                # levels of luma that may be added where slopes are one level a pixel
TENSOR, LINE, ANGLES = 7, 11, 12  # HR pixels: where the direction of an edge is measured, and along which it is averaged; directions told apart
FLOOR = 0.05               # squared levels a pixel that are no structure


class Mixed(nn.Module):
    """Between the image that is safe, psnr(lr), and the one that is sharp, gan(lr): see `mix`.

    psnr, gan: generators of one scale. (N, 3, H, W) in [0, 1] -> (N, 3, scale H, scale W), not clamped; it costs what both cost, and a tenth of one.
    Mixing the images keeps colours. Mixing the weights of two networks does not (see `interpolate`).
    """

    def __init__(self, psnr: nn.Module, gan: nn.Module, strength: float):
        super().__init__()
        self.psnr, self.gan, self.strength = psnr, gan, strength
        self.scale, reach = gan.scale, max(WIDE // 2 + 1, len(bell(COARSE * gan.scale)) // 2)
        self.radius = max(psnr.radius, gan.radius) + math.ceil(reach / gan.scale)

    def forward(self, lr):
        return mix(self.psnr(lr), self.gan(lr), self.strength, self.scale)

    def extra_repr(self) -> str:
        return f"strength={self.strength:g}"  # what tells two mixes of the same networks apart


def mix(safe: torch.Tensor, sharp: torch.Tensor, strength: float, scale: int = 4) -> torch.Tensor:
    """Two images of one scene, (N, 3, H, W) in [0, 1], mixed: strength 0 is `safe`, 1 is `sharp` as it is.

    Between them each pixel has a `share` of its own of the texture that the sharp image adds: fine luma, at most LOUD times as
    high as the ground is steep, and pressed below that softly, d / sqrt(1 + (d / limit)**2). So a grain among others stays, and
    a mark that stands out from everything around it does not. The rest goes to edges: the difference of the two images averaged
    `along` them, which keeps what makes an edge steeper and drops what alternates on it, and no pixel leaves the range of its
    3 x 3 neighbours in `safe`, so nothing new is drawn. Colour stays that of `safe`, and coarse luma nearly so, for what
    makes edges steeper may change it a little: LR tells them already, a GAN sees to them last, and changes there only cost PSNR.
    """
    if strength in (0, 1):
        return sharp if strength else safe
    ground, difference = luma(safe), luma(sharp) - luma(safe)
    texture, added, limit = share(safe, strength), GAIN * fine(difference, scale), loudest(safe)
    padded = F.pad(ground, (1, 1, 1, 1), mode="replicate")
    steeper = (ground + along(difference, safe)).clamp(-F.max_pool2d(-padded, 3, 1), F.max_pool2d(padded, 3, 1)) - ground
    added = texture * added / (1 + (added / limit)**2).sqrt() + (1 - texture) * strength * steeper
    return safe + added / 219  # equal steps in R, G and B are a step of luma alone


def fine(values: torch.Tensor, scale: int) -> torch.Tensor:
    """Less their blur by a Gaussian of COARSE LR pixels: (N, 1, H, W) -> (N, 1, H, W). Half is left at 0.45 / scale cycles a pixel."""
    weights, (height, width) = bell(COARSE * scale), values.shape[-2:]
    reach = len(weights) // 2
    padded = F.pad(values, (reach, reach, 0, 0), mode="replicate")
    coarse = sum(weight * padded[..., k:k + width] for k, weight in enumerate(weights))  # sums, since autocast would halve a convolution
    padded = F.pad(coarse, (0, 0, reach, reach), mode="replicate")
    return values - sum(weight * padded[..., k:k + height, :] for k, weight in enumerate(weights))


def bell(sigma: float) -> list[float]:
    """The weights of a Gaussian at whole pixels, out to three sigma; their sum is 1."""
    reach = math.ceil(3 * sigma)
    weights = [math.exp(-(k / sigma)**2 / 2) for k in range(-reach, reach + 1)]
    return [weight / sum(weights) for weight in weights]


def share(safe: torch.Tensor, strength: float) -> torch.Tensor:
    """The share of the sharp image's texture in each pixel, (N, 3, H, W) in [0, 1] -> (N, 1, H, W), for a strength between 0 and 1.

    The odds are (strength / (1 - strength))**3 times EDGE / (E + GRAIN), E being the mean squared slope of luma in WINDOW: at edges
    the safe image is sharp already, and a false stroke is seen and costs most. Three factors, each at most 1, hold the GAN back
    where there is no texture. A and G are the arithmetic and the geometric mean of the squared slopes over WIDE. (G / A / EVEN)**4
    makes the odds small beside edges on an even ground, where GANs draw second lines and dots, and nothing hides them.
    ((1 - coherence) / MANY_WAYS)**2 does so where the slopes in AROUND all point one way, as beside wires (Weickert 1999: coherence
    of the structure tensor). The share itself, odds / (1 + odds), is multiplied by (G / SEEN)**3, small where there is hardly
    anything, such as in a sky or in water: no strength shall bring a weave there.
    """
    energy = steepness(safe)
    arithmetic, geometric = around(energy, WIDE) + FLOOR, geometric_mean(energy, WIDE)
    ways = 1 - sum(part**2 for part in direction(safe, AROUND)).sqrt()
    odds = (strength / (1 - strength))**3 * EDGE / (around(energy, WINDOW) + GRAIN)
    odds = odds * (geometric / arithmetic / EVEN).clamp(max=1)**4 * (ways / MANY_WAYS).clamp(max=1)**2
    return odds / (1 + odds) * (geometric / SEEN).clamp(max=1)**3


def loudest(safe: torch.Tensor) -> torch.Tensor:
    """How far texture may go from `safe`, in levels of luma: LOUD times the typical slope over AROUND or WIDE, whichever is smaller."""
    energy = steepness(safe)
    return LOUD * torch.minimum(geometric_mean(energy, AROUND), geometric_mean(energy, WIDE)).sqrt()


def along(values: torch.Tensor, safe: torch.Tensor) -> torch.Tensor:
    """`values`, (N, 1, H, W), averaged over LINE pixels along the edges of `safe`, (N, 3, H, W); evenly around where slopes point all ways.

    A line of each of ANGLES directions a is weighed by cos(a - edge)**(2 ANGLES - 2): those weights have one sum for every direction.
    """
    cos, sin = direction(safe, TENSOR)
    angles, reach = [math.pi * k / ANGLES for k in range(ANGLES)], LINE // 2
    lines = values.new_tensor([line(angle) for angle in angles]).unsqueeze(1)
    averages = F.conv2d(F.pad(values, (reach, reach, reach, reach), mode="replicate"), lines)
    total = weights = 0  # summed one by one: all at once would need more memory than the network
    for number, angle in enumerate(angles):
        weight = ((1 - cos * math.cos(2 * angle) - sin * math.sin(2 * angle)) / 2)**(ANGLES - 1)  # slopes point across edges
        total, weights = total + weight * averages[:, number:number + 1], weights + weight
    return total / weights


def line(angle: float) -> list[list[float]]:
    """LINE x LINE weights: a Gaussian of LINE / 4 pixels along the direction `angle`, of half a pixel across it; their sum is 1."""
    steps = range(-(LINE // 2), LINE // 2 + 1)
    ahead, aside = math.cos(angle), math.sin(angle)
    weights = [[math.exp(-((x * ahead + y * aside) / (LINE / 4))**2 / 2 - ((y * ahead - x * aside) / 0.5)**2 / 2) for x in steps] for y in steps]
    total = sum(map(sum, weights))
    return [[weight / total for weight in row] for row in weights]


def direction(safe: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where slopes point around each pixel: coherence times the cosine and the sine of twice the angle, twice (N, 1, H, W)."""
    across, down = slopes(safe)
    xx, xy, yy = around(across**2, side), around(across * down, side), around(down**2, side)
    return (xx - yy) / (xx + yy + FLOOR), 2 * xy / (xx + yy + FLOOR)


def steepness(image: torch.Tensor) -> torch.Tensor:
    """The squared slope of luma in each pixel: (N, 3, H, W) in [0, 1] -> (N, 1, H, W), squared levels a pixel."""
    across, down = slopes(image)
    return across**2 + down**2


def slopes(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The slopes of luma in each pixel along x and along y: (N, 3, H, W) in [0, 1] -> twice (N, 1, H, W), levels a pixel."""
    levels = luma(image)
    across, down = F.pad(levels, (1, 1, 0, 0), mode="replicate"), F.pad(levels, (0, 0, 1, 1), mode="replicate")
    return (across[..., 2:] - across[..., :-2]) / 2, (down[..., 2:, :] - down[..., :-2, :]) / 2


def around(values: torch.Tensor, side: int) -> torch.Tensor:
    """The mean over side x side pixels around each; at the border over those that are there."""
    for dimension in (-2, -1):
        ones = torch.ones_like(values[:1, :1, :, :1] if dimension == -2 else values[:1, :1, :1])
        values = sums(values, side, dimension) / sums(ones, side, dimension)
    return values


def sums(values: torch.Tensor, side: int, dimension: int) -> torch.Tensor:
    """Sums of `side` values around each along a dimension, zeros beyond the border, by the prime factors of side: 81 takes 4 sums of 3."""
    reach, step = side // 2, 1
    values = F.pad(values, (reach, reach) if dimension == -1 else (0, 0, reach, reach))
    for factor in (3, 5, 7):
        while side % (step * factor) == 0:
            length = values.shape[dimension] - (factor - 1) * step
            values, step = sum(values.narrow(dimension, k * step, length) for k in range(factor)), step * factor
    assert step == side, f"a window of {side} pixels is no product of 3, 5 and 7"
    return values


def geometric_mean(values: torch.Tensor, side: int) -> torch.Tensor:
    """The geometric mean of values + FLOOR in the same windows, so that one flat pixel does not make it 0."""
    return torch.exp(around((values + FLOOR).log(), side))
