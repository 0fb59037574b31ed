"""PSNR, two SSIMs, NIQE, energy by frequency and a perceptual distance, under one protocol; `evaluate` makes the table.

The protocol: both pictures rounded to 8 bit, luma (BT.601, rounded to integers), `scale` pixels shaved from each border.
Greyscale pictures are compared on their greys.
"""

import math
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity
from tqdm import tqdm

from .data import shrink
from .errors import ImageError
from .images import Picture, crop_to_multiple, eight_bit, luma, open_picture, resize_bicubic, to_tensor
from .niqe import fits, niqe

BASELINES = ("nearest", "bilinear", "bicubic")
FLAT = 3.0  # grey levels a pixel: the steepest gradient within 4 pixels of a flat place
BANDS = tuple(k / 16 for k in range(2, 9))  # edges of rings of spatial frequency, cycles a pixel: from 1/8 to 1/2


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of two tensors in [0, 1]; inf when equal. A constant error of 0.1 is 20 dB."""
    error = (a.double() - b.double()).square().mean().item()
    return math.inf if error == 0 else -10 * math.log10(error)


def compared(picture: torch.Tensor, scale: int, grey: bool = False) -> torch.Tensor:
    """What the protocol compares: (1, 3, H, W) in [0, 1] -> luma or grey levels (H - 2 scale, W - 2 scale), whole numbers."""
    picture = eight_bit(picture)
    levels = picture[:, :1] * 255 if grey else luma(picture)
    return torch.floor(levels + 0.5)[0, 0, scale:-scale, scale:-scale]


def protocol_psnr(sr: torch.Tensor, hr: torch.Tensor, scale: int) -> float:
    """PSNR in dB of two (1, 3, H, W) pictures in [0, 1] as the protocol compares them: `scores` without its SSIMs."""
    return psnr(*(compared(picture, scale) / 255 for picture in (sr, hr)))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """The usual SSIM of two arrays of grey levels 0..255: Gaussian 11 x 11, sigma 1.5, valid region (Wang et al. 2004)."""
    return float(structural_similarity(a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False))


def paper_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """The SSIM that Ledig et al. printed, made with daala's tool: the window grows with the picture.

    Gaussian of sigma = 1.5 H / 256, to one tap beyond 3 sigma; at the border its weights are renormalised, and the map is
    averaged with the weight that was left. Grey levels 0..255 -> scalar.
    """
    sigma = 1.5 * a.shape[0] / 256
    radius = int(3 * sigma + 0.5) + 1
    taps = torch.exp(-torch.arange(-radius, radius + 1, dtype=torch.float64).square() / (2 * sigma**2))

    def blur(x):
        x = F.conv2d(x, taps.view(1, 1, -1, 1), padding=(radius, 0))
        return F.conv2d(x, taps.view(1, 1, 1, -1), padding=(0, radius))

    x, y = (torch.from_numpy(np.asarray(v, np.float64))[None, None] for v in (a, b))
    weight = blur(torch.ones_like(x))
    mean_x, mean_y = blur(x) / weight, blur(y) / weight
    variance_x, variance_y = blur(x * x) / weight - mean_x**2, blur(y * y) / weight - mean_y**2
    covariance = blur(x * y) / weight - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)
                  / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)))
    return float((similarity * weight).sum() / weight.sum())


def scores(sr: torch.Tensor, hr: torch.Tensor, scale: int, grey: bool = False) -> dict[str, float]:
    """psnr (dB), ssim and paper_ssim of (1, 3, H, W) pictures in [0, 1] under the protocol.

    Raises ValueError when the sizes differ or nothing is left after shaving.
    """
    if sr.shape != hr.shape:
        raise ValueError(f"SR is {tuple(sr.shape)} and HR {tuple(hr.shape)}: the sizes must agree")
    if min(hr.shape[-2:]) < 2 * scale + 11:
        raise ValueError(f"{hr.shape[-1]} x {hr.shape[-2]} pixels are too few to score at scale {scale}")
    a, b = compared(sr, scale, grey), compared(hr, scale, grey)
    return {"psnr": psnr(a / 255, b / 255), "ssim": ssim(a.numpy(), b.numpy()), "paper_ssim": paper_ssim(a.numpy(), b.numpy())}


def baseline(name: str, lr: torch.Tensor, scale: int) -> torch.Tensor:
    """Upscale without a network: "nearest", "bilinear" or "bicubic" (MATLAB's, 8 bit after each axis)."""
    if name == "bicubic":
        return resize_bicubic(lr, scale)
    if name not in BASELINES:
        raise ValueError(f"baseline {name!r}: want one of {', '.join(BASELINES)}")
    size = (lr.shape[-2] * scale, lr.shape[-1] * scale)
    return F.interpolate(lr, size=size, mode=name, **({} if name == "nearest" else {"align_corners": False}))


def evaluate(generator, pictures: Iterable[tuple[str, object]], scale: int = 4, progress: bool = True,
             degradation: str = "bicubic", perception: bool = False, lr: dict | None = None, sr: dict | None = None, also=None) -> list[dict]:
    """Score a generator, or a baseline's name, on (name, HR source) pairs -> one row per picture: name, psnr, ssim, paper_ssim.

    HR is cropped to a multiple of the scale, degraded, upscaled and compared under the protocol. A picture that cannot be
    scored is a row with name and error. degradation: "bicubic", or "camera", whose damage to a picture is drawn from the
    picture's number, with noise_left and edges_kept (see `restored`). perception: niqe and bands too (see `perceived`). lr: {name: source}
    of given LR pictures, taken in place of degraded ones; sr: of finished results, which are scored as they are. also: a function like
    `scores` whose columns are added. Raises DataError for another degradation.
    """
    rows = []
    pictures = tqdm(list(pictures), "scoring", unit=" pictures", disable=not progress, leave=False, delay=1)
    for number, (name, source) in enumerate(pictures):
        try:
            picture = source if isinstance(source, Picture) else open_picture(source)
            hr = crop_to_multiple(to_tensor(picture.rgb), scale)
            if min(hr.shape[-2:]) < 2 * scale + 11:
                raise ImageError(f"{picture.rgb.shape[1]} x {picture.rgb.shape[0]} pixels are too few to score at scale {scale}")
            compare = _result(generator, name, hr, number, scale, degradation, lr, sr), hr, scale, picture.grey
            extra = (perceived(*compare) if perception else {}) | (restored(*compare) if degradation == "camera" else {})
            extra |= also(*compare) if also else {}
            rows.append({"name": name, **scores(*compare), **extra})
        except (ImageError, LookupError) as error:
            rows.append({"name": name, "error": str(error.args[0])})
    return rows


def perceived(sr: torch.Tensor, hr: torch.Tensor, scale: int, grey: bool = False) -> dict:
    """niqe (None for an image that is too small for it) and bands, the `band_ratios`, of (1, 3, H, W) images in [0, 1] under the protocol."""
    levels = compared(sr, scale, grey)
    return {"niqe": niqe(levels) if fits(levels) else None, "bands": band_ratios(sr, hr, scale, grey)}


def restored(sr: torch.Tensor, hr: torch.Tensor, scale: int, grey: bool = False) -> dict:
    """What became of noise and of edges, on luma under the protocol, (1, 3, H, W) in [0, 1] twice.

    noise_left: grey levels, the spread of SR - HR in places that are flat in HR, slow changes over 9 pixels left out; None without
    a flat place. edges_kept: SR's gradient along HR's, over HR's, at the 2 % steepest places; 1 is as steep, 0 is gone.
    """
    a, b = (compared(image, scale, grey)[None, None].float() for image in (sr, hr))
    (rows_a, columns_a), (rows_b, columns_b) = (torch.gradient(levels, dim=(2, 3)) for levels in (a, b))
    steepness = torch.hypot(rows_b, columns_b)
    flat = F.max_pool2d(steepness, 9, 1, padding=4) < FLAT
    wrong = a - b
    wrong = wrong - F.avg_pool2d(wrong, 9, 1, padding=4, count_include_pad=False)
    steep = (steepness >= float(np.quantile(steepness.numpy(), 0.98))) & (steepness > 0)
    along = (rows_a * rows_b + columns_a * columns_b)[steep].sum() / steepness[steep].square().sum()
    return {"noise_left": float(wrong[flat].square().mean().sqrt()) if flat.any() else None, "edges_kept": float(along)}


def _result(generator, name: str, hr: torch.Tensor, number: int, scale: int, degradation: str, lr: dict | None, sr: dict | None) -> torch.Tensor:
    """What is compared with an HR picture: a finished result, or what the generator makes of its LR version."""
    from .upscaling import enlarge
    if sr is not None:
        return _given(sr, name, hr.shape[-2:], scale)
    low = shrink(hr, scale, degradation, number) if lr is None else _given(lr, name, [side // scale for side in hr.shape[-2:]], 1)
    return baseline(generator, low, scale) if isinstance(generator, str) else enlarge(low, generator)


def _given(sources: dict, name: str, size, slack: int) -> torch.Tensor:
    """The given picture of that name, less rows and columns that HR was cropped by (fewer than `slack`). Raises ImageError for another size."""
    if name not in sources:
        raise ImageError("no image of that name is given for it")
    found = to_tensor(open_picture(sources[name]).rgb)
    if any(not side <= got < side + slack for got, side in zip(found.shape[-2:], size)):
        raise ImageError(f"the image given for it has {found.shape[-1]} x {found.shape[-2]} pixels, {size[1]} x {size[0]} are wanted")
    return found[..., :size[0], :size[1]]


def mean(rows: list[dict]) -> dict[str, float]:
    """The mean of every numeric column of `evaluate`'s rows that have no error, None left out. Raises ValueError where none is left."""
    scored = [row for row in rows if "error" not in row]
    if not scored:
        raise ValueError("no pictures were scored")
    columns = {key: [row[key] for row in scored if row[key] is not None] for key in scored[0] if key != "name"}
    return {key: np.mean(values, 0).tolist() for key, values in columns.items() if values}


def checkerboard(picture: torch.Tensor, scale: int) -> float:
    """How strong is the grid that an upsampler leaves: luma energy at the sub-pixel frequencies, as a share of all variation.

    The sub-pixel frequencies are the multiples of 1 / scale cycles a pixel. Energy there is what repeats every `scale`
    pixels, so it survives folding: sum all pixels of one phase, and the Fourier transform of the scale x scale sums is the
    picture's, at these frequencies alone. Each window of 8 x 8 periods is weighted by Hann's, which keeps slow gradients out.
    (1, 3, H, W) in [0, 1] or beyond -> that energy over the variance, at most 1, next to 0 for one flat colour. Raises ValueError when no window fits.
    """
    side = 8 * scale
    if min(picture.shape[-2:]) < side:
        raise ValueError(f"{picture.shape[-1]} x {picture.shape[-2]} pixels hold no window of {side} x {side}")
    grey = luma(picture.double())
    windows = grey.unfold(2, side, side).unfold(3, side, side).reshape(-1, side, side)
    taps = torch.hann_window(side, dtype=torch.float64)
    folded = (windows * torch.outer(taps, taps)).reshape(-1, 8, scale, 8, scale).sum((1, 3)) / taps.sum()**2
    energy = torch.fft.fft2(folded).abs().square().flatten(1)[:, 1:].sum(1).mean()  # the first frequency is the mean's
    return min(1.0, float(energy / grey.var(correction=0).clamp(min=1e-12)))  # windows estimate the energy, so a pure grid may exceed 1 by a hair


def band_energies(levels: torch.Tensor, edges=BANDS) -> torch.Tensor:
    """Energy of grey levels (H, W) in rings of spatial frequency, edges in cycles a pixel -> (len(edges) - 1,).

    The image is windowed (Hann) so that its border does not count as an edge.
    """
    height, width = levels.shape
    window = torch.outer(*(torch.hann_window(side, periodic=False, dtype=torch.float64) for side in (height, width)))
    levels = levels.double()
    energy = torch.fft.fft2((levels - levels.mean()) * window).abs().square() / (height * width * window.square().sum())
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None, :]).double()
    return torch.stack([energy[(low <= frequency) & (frequency < high)].sum() for low, high in zip(edges, edges[1:])])


def band_ratios(sr: torch.Tensor, hr: torch.Tensor, scale: int, grey: bool = False, edges=BANDS) -> list[float]:
    """Energy of SR's luma over HR's in each ring of spatial frequency, (1, 3, H, W) in [0, 1] twice; 1 is as much as the original has.

    A blurred image lies far below 1 in the upper rings. A hatch or a dot pattern lies far above 1 in one ring and below in the others.
    """
    found, wanted = (band_energies(compared(image, scale, grey), edges) for image in (sr, hr))
    return (found / wanted).tolist()


@torch.no_grad()
def perceptual_distance(sr: torch.Tensor, hr: torch.Tensor, features) -> float:
    """Mean over places of the squared distance of unit-length VGG feature vectors, LPIPS without its learned weights.

    features: a `VGGLoss` (its layer and weights name the figure). (1, 3, H, W) in [0, 1] twice -> scalar, 0 when equal.
    """
    a, b = (F.normalize(features.embed(eight_bit(picture)), dim=1) for picture in (sr, hr))
    return float((a - b).square().sum(1).mean())
