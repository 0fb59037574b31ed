"""Scores: known values, scikit-image as the oracle, and the published numbers of bicubic to the last digit."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from samples import photograph
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srgan_lib import metrics
from srgan_lib.data import images
from srgan_lib.images import crop_to_multiple, degrade, luma, open_picture, resize_bicubic, to_image, to_tensor
from srgan_lib.metrics import (band_energies, band_ratios, baseline, checkerboard, compared, evaluate, mean, paper_ssim, psnr, scores, ssim)
from srgan_lib.models import SRResNet

A, B = (photograph(70, 90, seed) for seed in (0, 1))
GREY_A, GREY_B = (picture[..., 1].astype(np.float64) for picture in (A, B))


def test_psnr_of_a_constant_error_of_a_tenth_is_20_db():
    assert psnr(torch.full((1, 3, 8, 8), 0.6), torch.full((1, 3, 8, 8), 0.5)) == pytest.approx(20, abs=1e-5)
    assert psnr(torch.zeros(4), torch.ones(4)) == 0


def test_psnr_is_scikit_images():
    assert psnr(to_tensor(A), to_tensor(B)) == pytest.approx(peak_signal_noise_ratio(A, B, data_range=255), abs=1e-4)


def test_scores_are_symmetric_and_perfect_on_equals():
    a, b = to_tensor(A), to_tensor(B)
    assert scores(a, b, 4) == pytest.approx(scores(b, a, 4))
    assert scores(a, a, 4) == {"psnr": math.inf, "ssim": pytest.approx(1), "paper_ssim": pytest.approx(1)}
    for value in (ssim(GREY_A, GREY_B), paper_ssim(GREY_A, GREY_B)):
        assert -1 <= value < 0.9


def test_the_usual_ssim_is_wang_2004():
    """Gaussian 11 x 11 of sigma 1.5, valid region, by hand."""
    offsets = np.arange(-5, 6)
    taps = np.exp(-offsets**2 / 4.5)
    window = torch.from_numpy(np.outer(taps, taps) / taps.sum() ** 2)[None, None]
    x, y = (torch.from_numpy(v)[None, None] for v in (GREY_A, GREY_B))
    mean_x, mean_y, xx, yy, xy = (F.conv2d(v, window) for v in (x, y, x * x, y * y, x * y))
    c1, c2 = 6.5025, 58.5225
    similarity = ((2 * mean_x * mean_y + c1) * (2 * (xy - mean_x * mean_y) + c2)
                  / ((mean_x**2 + mean_y**2 + c1) * (xx - mean_x**2 + yy - mean_y**2 + c2)))
    assert ssim(GREY_A, GREY_B) == pytest.approx(similarity.mean().item(), abs=1e-6)
    assert ssim(GREY_A, GREY_B) != pytest.approx(structural_similarity(GREY_A, GREY_B, data_range=255), abs=1e-3)  # 7 x 7 uniform


@pytest.mark.parametrize("height", [60, 256])
def test_the_papers_ssim_has_a_window_that_grows(height):
    """Gaussian blurs by scipy over zeros; dividing by the blurred ones renormalises the window at the border."""
    a, b = (photograph(height, 64, seed)[..., 0].astype(np.float64) for seed in (2, 3))
    sigma = 1.5 * height / 256

    def blur(v):
        return gaussian_filter(v, sigma, mode="constant", radius=int(3 * sigma + 0.5) + 1)
    weight = blur(np.ones_like(a))
    mean_a, mean_b, aa, bb, ab = (blur(v) / weight for v in (a, b, a * a, b * b, a * b))
    similarity = ((2 * mean_a * mean_b + 6.5025) * (2 * (ab - mean_a * mean_b) + 58.5225)
                  / ((mean_a**2 + mean_b**2 + 6.5025) * (aa - mean_a**2 + bb - mean_b**2 + 58.5225)))
    assert paper_ssim(a, b) == pytest.approx((similarity * weight).sum() / weight.sum(), abs=1e-9)


def test_what_is_compared_is_whole_luma_inside_the_shave():
    picture = to_tensor(A)
    for scale in (2, 3, 4):
        levels = compared(picture, scale)
        assert levels.shape == (70 - 2 * scale, 90 - 2 * scale) and torch.equal(levels, levels.round())
        assert (levels - luma(picture)[0, 0, scale:-scale, scale:-scale]).abs().max() <= 0.5001
    border = picture.clone()
    border[..., :4, :] = border[..., -4:, :] = border[..., :4] = border[..., -4:] = 0
    assert scores(border, picture, 4)["psnr"] == math.inf


def test_pictures_are_rounded_to_8_bit_before_they_are_compared():
    picture = to_tensor(A)
    assert torch.equal(compared(picture + 0.4 / 255, 4), compared(picture, 4))
    assert torch.equal(compared(picture * 3 - 1, 4), compared((picture * 3 - 1).clamp(0, 1), 4))


def test_greyscale_is_compared_on_its_greys():
    grey, other = (to_tensor(np.repeat(picture[..., :1], 3, 2)) for picture in (A, B))
    assert torch.equal(compared(grey, 4, grey=True), torch.from_numpy(A[4:-4, 4:-4, 0]).float())
    flattered = scores(other, grey, 4)["psnr"] - scores(other, grey, 4, grey=True)["psnr"]
    assert flattered == pytest.approx(20 * math.log10(255 / 219), abs=0.02)  # studio range would count for 1.32 dB


def test_the_mean_is_of_the_decibels_not_of_the_errors():
    """10 and 40 dB are 25 dB on average; the PSNR of their mean squared error would be 13 dB."""
    assert metrics.mean([{"name": "a", "psnr": 10.0}, {"name": "b", "psnr": 40.0}]) == {"psnr": 25.0}


def test_sizes_that_cannot_be_scored_are_refused():
    with pytest.raises(ValueError, match="sizes must agree"):
        scores(torch.zeros(1, 3, 40, 40), torch.zeros(1, 3, 40, 44), 4)
    with pytest.raises(ValueError, match="too few to score"):
        scores(torch.zeros(1, 3, 18, 40), torch.zeros(1, 3, 18, 40), 4)
    with pytest.raises(ValueError, match="no pictures"):
        mean([])
    with pytest.raises(ValueError, match="want one of nearest, bilinear, bicubic"):
        baseline("lanczos", torch.zeros(1, 3, 4, 4), 4)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_baselines_have_the_size_and_evaluate_follows_the_protocol(scale):
    lr = degrade(to_tensor(A), scale)
    for name in metrics.BASELINES:
        assert baseline(name, lr, scale).shape == (1, 3, 70 // scale * scale, 90 // scale * scale)
    assert np.array_equal(to_image(baseline("nearest", lr, scale)), to_image(lr).repeat(scale, 0).repeat(scale, 1))
    row, = evaluate("bicubic", [("a", A)], scale, progress=False)
    hr = crop_to_multiple(to_tensor(A), scale)
    assert row == {"name": "a", **scores(resize_bicubic(lr, scale), hr, scale)}


def test_a_generator_is_evaluated_like_a_baseline():
    class Bicubic(torch.nn.Module):
        scale, radius = 4, 8

        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, lr):
            return resize_bicubic(lr, 4)
    pictures = [("a", A), ("b", B)]
    ours, known = (evaluate(generator, pictures, 4, progress=False) for generator in (Bicubic().eval(), "bicubic"))
    assert [row["name"] for row in ours] == ["a", "b"]
    assert mean(ours) == pytest.approx(mean(known), abs=1e-3) and set(mean(ours)) == {"psnr", "ssim", "paper_ssim"}


BICUBIC = {  # psnr, ssim, the paper's ssim; Ledig et al. 2017 print 28.43, 0.8211 and 25.99, 0.7486 at x4
    (4, "set5"): (28.416, 0.8101, 0.8213), (4, "set14"): (25.990, 0.7023, 0.7487),
    (2, "set5"): (33.640, 0.9292, 0.9356), (2, "set14"): (30.218, 0.8683, 0.8946),
}


@pytest.mark.parametrize("scale, name", [pytest.param(*key, marks=[pytest.mark.slow] if key == (2, "set14") else []) for key in BICUBIC])
def test_bicubic_scores_what_has_been_published(dev_data, scale, name):
    found = mean(evaluate("bicubic", images(name, "test"), scale, progress=False))
    published = BICUBIC[scale, name]
    assert found["psnr"] == pytest.approx(published[0], abs=0.001)
    assert (found["ssim"], found["paper_ssim"]) == pytest.approx(published[1:], abs=0.0001)


# ---------------------------------------------------------------- checkerboard


def grid(scale: int, side: int, seed: int = 0) -> torch.Tensor:
    """A random pattern of mean zero that repeats every `scale` pixels, grey, (1, 3, side, side)."""
    pattern = torch.randn(scale, scale, generator=torch.Generator().manual_seed(seed))
    return (pattern - pattern.mean()).repeat(side // scale, side // scale).expand(1, 3, side, side)


SLOPE = torch.linspace(0, 1, 96).expand(1, 3, 96, 96)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_grid_alone_is_all_checkerboard(scale):
    assert checkerboard(0.5 + 0.1 * grid(scale, 96), scale) == pytest.approx(1, rel=1e-5)


def test_no_grid_is_no_checkerboard():
    assert checkerboard(torch.full((1, 3, 64, 64), 0.5), 4) < 1e-9
    assert checkerboard(SLOPE, 4) < 1e-5
    assert checkerboard(grid(3, 96), 4) < 1e-3  # another period is not this upsampler's


@pytest.mark.parametrize("amplitude", [0.003, 0.03])
def test_the_energy_of_a_grid_on_a_slope_is_its_mean_square(amplitude):
    picture = SLOPE + amplitude * grid(4, 96)
    expected = (amplitude * grid(4, 96)).square().mean() / picture.var(correction=0)
    assert checkerboard(picture, 4) == pytest.approx(float(expected), rel=0.1, abs=1e-6)


def test_it_is_the_spectrum_at_the_sub_pixel_frequencies():
    """One window, by numpy's transform: multiples of 1/4 cycle a pixel, the mean's left out."""
    picture = to_tensor(A)[..., :32, :32]
    taps = torch.hann_window(32, dtype=torch.float64).numpy()
    spectrum = np.abs(np.fft.fft2(luma(picture.double())[0, 0].numpy() * np.outer(taps, taps)) / taps.sum() ** 2) ** 2
    energy = spectrum[::8, ::8].sum() - spectrum[0, 0]
    assert checkerboard(picture, 4) == pytest.approx(energy / luma(picture.double()).numpy().var(), rel=1e-6)


def test_a_picture_smaller_than_eight_periods_is_refused():
    with pytest.raises(ValueError, match="hold no window of 32 x 32"):
        checkerboard(torch.rand(1, 3, 31, 64), 4)


@torch.no_grad()
@pytest.mark.parametrize("seed", range(3))
def test_untrained_upsamplers_differ_as_they_should(seed):
    shares = {}
    for kind in ("pixelshuffle", "transposed", "resize"):
        torch.manual_seed(seed)
        generator = SRResNet(blocks=1, channels=16, upsampling=kind).eval()
        shares[kind] = checkerboard(generator(SLOPE[..., :24, :24])[..., 16:-16, 16:-16], 4)
    assert shares["resize"] < 0.1 * min(shares["pixelshuffle"], shares["transposed"])


# ---------------------------------------------------------------- energy by frequency


def wave(frequency: float, size: int = 256) -> torch.Tensor:
    """(1, 3, size, size): grey with a horizontal wave of so many cycles a pixel."""
    return (0.5 + 0.2 * torch.cos(2 * torch.pi * frequency * torch.arange(size))).expand(1, 3, size, size)


@pytest.mark.parametrize("ring, frequency", enumerate((0.15, 0.22, 0.28, 0.34, 0.40, 0.46)))
def test_a_wave_counts_in_its_own_ring(ring, frequency):
    energies = band_energies(compared(wave(frequency), 4))
    assert energies.argmax() == ring and energies[ring] > 0.98 * energies.sum()


def test_a_hatch_shows_as_too_much_in_one_ring_and_blur_as_too_little_above():
    hr = crop_to_multiple(to_tensor(open_picture(dict(images("sample", "valid"))["chelsea.png"]).rgb), 4)
    assert band_ratios(hr, hr, 4) == [1.0] * 6
    blurred = band_ratios(resize_bicubic(degrade(hr, 4), 4), hr, 4)
    assert blurred[0] < 1 and max(blurred[2:]) < 0.2
    hatch = 0.02 * torch.cos(2 * torch.pi * 0.40 * torch.arange(hr.shape[-1]))
    assert band_ratios(hr + hatch, hr, 4)[4] > 1.5 and max(band_ratios(hr + hatch, hr, 4)[:3]) < 1.05


def test_perception_is_a_column_where_asked_for_and_none_on_a_small_image():
    pictures = [("large", photograph(200, 220)), ("small", photograph(60, 80))]
    rows = evaluate("bicubic", pictures, 4, progress=False, perception=True)
    assert rows[0]["niqe"] > 0 and rows[1]["niqe"] is None and len(rows[0]["bands"]) == 6
    assert mean(rows)["niqe"] == rows[0]["niqe"] and len(mean(rows)["bands"]) == 6
    assert "niqe" not in evaluate("bicubic", pictures, 4, progress=False)[0]


def edge_and_flat() -> torch.Tensor:
    """(1, 3, 120, 160): flat on the left, one vertical edge of 100 grey levels on the right."""
    hr = torch.full((1, 3, 120, 160), 80 / 255)
    hr[..., 110:] = 180 / 255
    return hr


def test_noise_left_is_the_spread_of_the_noise_that_was_added():
    """Subtracting the mean of 9 x 9 pixels leaves 80 of 81 parts of white noise's variance."""
    noise = 6 * torch.randn(1, 1, 120, 160, generator=torch.Generator().manual_seed(0)) / 255
    hr = edge_and_flat()
    found = metrics.restored(hr + noise.expand(-1, 3, -1, -1), hr, 4)
    assert found["noise_left"] == pytest.approx(6 * (219 / 255) * (80 / 81)**0.5, rel=0.03)  # luma has 219 steps for 255 levels
    assert metrics.restored(hr, hr, 4) == {"noise_left": 0.0, "edges_kept": pytest.approx(1)}


def test_edges_kept_is_the_share_of_the_gradient():
    hr = edge_and_flat()
    assert metrics.restored(0.5 * hr + 0.2, hr, 4)["edges_kept"] == pytest.approx(0.5, abs=0.02)
    assert metrics.restored(torch.full_like(hr, 0.4), hr, 4)["edges_kept"] == pytest.approx(0, abs=1e-6)


def test_without_a_flat_place_there_is_no_figure_of_noise():
    hr = torch.rand(1, 3, 60, 60, generator=torch.Generator().manual_seed(0))
    assert metrics.restored(hr, hr, 4)["noise_left"] is None


def test_evaluate_has_both_under_a_camera_and_neither_under_bicubic():
    pictures = [("a", photograph(120, 160))]
    assert {"noise_left", "edges_kept"} <= {*evaluate("bicubic", pictures, 4, progress=False, degradation="camera")[0]}
    assert not {"noise_left", "edges_kept"} & {*evaluate("bicubic", pictures, 4, progress=False)[0]}
