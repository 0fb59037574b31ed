"""How hard each term of the generator's loss pulls at SR: measured where a record is written, and nothing is changed by it."""

from dataclasses import replace

import pytest
import torch

from srgan_lib.data import ImageBank, images
from srgan_lib.losses import grid, total_variation
from srgan_lib.training import TINY, TrainConfig, train
from srgan_lib.training.checkpoint import RunFolder
from srgan_lib.training.terms import Terms, artifacts, consistency, smooth

CONFIG = TrainConfig(stage="srgan", content="l1", pixel_weight=0.5, consistency_weight=3.0, artifact_weight=4.0, smooth_weight=5.0, grid_weight=2.0, total_variation=0.1, adversarial_weight=0.03, hr_size=32)


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, 32, 32, generator=draw).requires_grad_(), torch.rand(2, 3, 32, 32, generator=draw)


def test_the_sum_is_the_weighted_sum_of_the_terms():
    sr, hr = pair()
    l1 = torch.nn.functional.l1_loss(sr, hr)
    expected = l1 + 0.5 * l1 + 3.0 * consistency(sr, hr, 4) + 4.0 * artifacts(sr, hr, hr) + 5.0 * smooth(sr, hr) + 2.0 * grid(sr - hr, 4) + 0.1 * total_variation(sr)
    terms = Terms(CONFIG, torch.nn.L1Loss())
    terms.steady = hr
    torch.testing.assert_close(terms(sr, hr), expected)


def test_consistency_sees_what_is_left_at_the_size_of_lr():
    """By hand: an error whose mean over every 4 x 4 pixels is zero is no error there; a constant one is."""
    hr, wave = torch.rand(1, 3, 16, 16), torch.tensor([1.0, -1, 1, -1]).repeat(4).expand(1, 3, 16, 16)
    assert float(consistency(hr + 0.1 * wave, hr, 4)) == pytest.approx(0, abs=1e-6)
    assert float(consistency(hr + 0.1, hr, 4)) == pytest.approx(0.1, rel=1e-4)


def test_artifacts_are_where_the_error_wavers_and_is_larger_than_the_average_networks():
    """By hand: an even error has no local variance; the right side of `sr` is nearer to HR than `steady`, so it does not count."""
    hr, noise = torch.full((1, 3, 24, 48), 0.5), torch.rand(1, 3, 24, 48, generator=torch.Generator().manual_seed(0))
    assert float(artifacts(hr + 0.1, hr, hr)) == pytest.approx(0, abs=1e-6)
    sr = (hr + 0.2 * noise).requires_grad_()
    steady = torch.cat([hr[..., :24], hr[..., 24:] + 1], 3)
    artifacts(sr, hr, steady).backward()
    assert bool((sr.grad[..., :24] > 0).all()) and float(sr.grad[..., 24:].abs().max()) == 0
    small, large = (float(artifacts(hr + size * noise, hr, hr)) for size in (0.1, 0.2))
    assert large / small == pytest.approx(2 * 2**2 * 2**0.4, rel=1e-3)  # the error, its local variance, the fifth root of the patch's


def test_smooth_counts_what_is_added_where_hr_is_smooth():
    """By hand: on an even ground every error counts in full; where HR varies by 1.5 grey levels it counts half, beside an edge next to nothing."""
    even, draw = torch.full((1, 3, 64, 64), 0.5), torch.Generator().manual_seed(0)
    assert float(smooth(even + 0.1, even)) == pytest.approx(0.1, rel=1e-4)
    chess = even + 1.5 / 255 * (1 - 2 * ((torch.arange(64)[:, None] + torch.arange(64)) % 2))
    assert float(smooth(chess + 0.1, chess)) == pytest.approx(0.05, rel=0.05)
    edge = torch.cat([even[..., :32], even[..., 32:] + 0.4], 3)
    marked = edge.clone()
    marked[..., 30:34] += 0.1  # at most two pixels from the edge
    far = edge.clone()
    far[..., 24:28] += 0.1
    assert float(smooth(marked, edge)) < 0.01 * float(smooth(far, edge))
    sr = (even + torch.rand(1, 3, 64, 64, generator=draw)).requires_grad_()
    smooth(sr, even).backward()
    assert bool((sr.grad > 0).all())


def test_a_pull_is_the_length_of_the_weighted_gradient_at_sr():
    """By hand: the gradient of a mean of |SR - HR| over n values is 1 / n in each of them, so its length is 1 / sqrt(n)."""
    sr, hr = pair()
    terms = Terms(CONFIG, torch.nn.L1Loss())
    terms.watching, terms.steady = True, hr
    terms(sr, hr)
    terms.adversarial(3 * sr.sum())
    assert {*terms.pulls} == {"content", "pixel", "consistency", "artifacts", "smooth", "grid", "total_variation", "adversarial"}
    assert float(terms.pulls["content"]) == pytest.approx(sr.numel()**-0.5, rel=1e-4)
    assert float(terms.pulls["pixel"]) == pytest.approx(0.5 * sr.numel()**-0.5, rel=1e-4)
    assert float(terms.pulls["adversarial"]) == pytest.approx(0.03 * 3 * sr.numel()**0.5, rel=1e-4)


def test_nothing_is_measured_where_nobody_watches():
    sr, hr = pair()
    terms = Terms(CONFIG, torch.nn.L1Loss())
    terms.steady = hr
    terms(sr, hr)
    loss = sr.sum()
    assert terms.adversarial(loss) is loss and terms.pulls == {}


def test_records_of_stage_2_hold_the_pulls_and_watching_changes_no_weight(tmp_path):
    bank = ImageBank.build(images("sample", "train", 2), tmp_path / "bank", progress=False)
    config = replace(TINY.srgan, blocks=1, channels=8, batch=2, hr_size=32, steps=4, content="l1", pixel_weight=0.5, artifact_weight=20.0, discriminator_head="pooled",
                     discriminator_channels=8, checkpoint_every=4, valid_every=4)
    often = list(train(replace(config, log_every=1), bank, tmp_path / "often", device="cpu"))
    seldom = list(train(replace(config, log_every=4), bank, tmp_path / "seldom", device="cpu"))
    assert [sorted(name for name in record if name.startswith("pull_")) for record in often] == [["pull_adversarial", "pull_artifacts", "pull_content", "pull_pixel"]] * 4
    assert seldom[-1]["pull_pixel"] == pytest.approx(seldom[-1]["pull_content"] / 2)
    one, other = (RunFolder(tmp_path / name).load()["networks"] for name in ("often", "seldom"))
    assert all(torch.equal(value, other[network][key]) for network in one for key, value in one[network].items())
    plain = list(train(replace(config, stage="srresnet", content="l1", pixel_weight=0.0, artifact_weight=0.0), bank, tmp_path / "first", device="cpu"))
    assert not [name for name in plain[-1] if name.startswith("pull_")]
