"""Losses: VGG against torchvision's own graph, adversarial losses against their definitions, gradients where they belong."""

import math
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from samples import photograph
from torch import nn

from srgan_lib import losses
from srgan_lib.errors import LossError
from srgan_lib.images import degrade, resize_bicubic, to_tensor
from srgan_lib.losses import (ADVERSARIAL, BCE, CONTENT, VGG_DEPTH, VGGLoss, adversarial_loss, content_loss, find_vgg, gradient_penalty,
                              grid, total_variation, vgg_features)

SR, HR = (to_tensor(photograph(32, 32, seed)) for seed in (1, 2))


# ---------------------------------------------------------------- content


@pytest.fixture(scope="module")
def vgg19():
    """torchvision's own network over the weights that "random" stands for."""
    with torch.device("meta"):
        network = torchvision.models.vgg19(weights=None)
    network.features.load_state_dict(vgg_features("vgg54", "random").state_dict(), strict=True, assign=True)
    return network.features.eval()


def paper_name(features: nn.Sequential, picture: torch.Tensor) -> dict[str, torch.Tensor]:
    """Feature maps by the paper's names: phi_ij is the j-th convolution (after activation) before the i-th max pooling."""
    maps, block, number = {}, 1, 0
    for layer in features:
        picture = layer(picture).clone()
        if isinstance(layer, nn.Conv2d):
            number += 1
            maps[f"vgg{block}{number}-pre"] = picture.clone()
        elif isinstance(layer, nn.ReLU):
            maps[f"vgg{block}{number}"] = picture.clone()
        else:
            block, number = block + 1, 0
    return maps


@pytest.mark.parametrize("layer", VGG_DEPTH)
def test_vgg_features_are_torchvisions_graph(vgg19, layer):
    with torch.no_grad():
        features = vgg_features(layer, "random")
        ours, theirs = features(SR), paper_name(vgg19, SR)[layer]
    assert torch.equal(ours, theirs)
    assert torchvision.models.vgg19.__name__ == "vgg19" and (ours < 0).any() == layer.endswith("-pre")
    assert not any(p.requires_grad for p in features.parameters()) and not features.training


def test_vgg_equals_torchvisions_graph_layer_by_layer(vgg19):
    ours, theirs, kinds = SR, SR, []
    with torch.no_grad():
        for mine, its in zip(vgg_features("vgg54", "random"), vgg19):
            ours, theirs = mine(ours), its(theirs)
            kinds.append(type(mine).__name__)
            assert type(mine) is type(its) and torch.equal(ours, theirs), len(kinds)
    blocks = [["Conv2d", "ReLU"] * number for number in (2, 2, 4, 4, 4)]
    assert kinds == sum([block + ["MaxPool2d"] for block in blocks], [])[:-1]  # Simonyan & Zisserman 2015, table 1, E


def test_vgg_is_normalised_as_imagenet_was():
    loss = VGGLoss("vgg22", "random", scale=1.0)
    theirs = torchvision.transforms.functional.normalize(SR, torchvision.models.VGG19_Weights.IMAGENET1K_V1.transforms().mean,
                                                         torchvision.models.VGG19_Weights.IMAGENET1K_V1.transforms().std)
    with torch.no_grad():
        assert torch.allclose(loss.embed(SR), loss.features(theirs), atol=1e-5)


@pytest.mark.parametrize("layer", VGG_DEPTH)
def test_the_vgg_loss_has_a_gradient_to_sr_and_none_to_vgg(layer):
    loss = VGGLoss(layer, "random", scale=1.0)
    sr, hr = SR.clone().requires_grad_(True), HR.clone().requires_grad_(True)
    value = loss(sr, hr)
    value.backward()
    assert value.requires_grad and sr.grad.abs().sum() > 0 and (sr.grad != 0).float().mean() > 0.9
    assert hr.grad is None and all(p.grad is None for p in loss.parameters())
    assert loss(HR, HR) == 0


def test_a_step_against_the_vgg_gradient_lowers_the_loss():
    loss, sr = VGGLoss("vgg22", "random"), SR.clone().requires_grad_(True)
    before = loss(sr, HR)
    gradient, = torch.autograd.grad(before, sr)
    with torch.no_grad():
        assert loss(sr - 0.1 * gradient / gradient.norm(), HR) < before


@pytest.mark.parametrize("layer", ["vgg22", "vgg54"])
def test_the_measured_scale_makes_bicubic_cost_its_pixel_mse(layer):
    from skimage import data
    hr = to_tensor(data.astronaut()[:192, 128:320])
    bicubic = resize_bicubic(degrade(hr, 4), 4)
    with torch.no_grad():
        ours = VGGLoss(layer, "random")(bicubic, hr)
    assert ours.item() == pytest.approx(F.mse_loss(2 * bicubic - 1, 2 * hr - 1).item(), rel=1e-4)


def test_a_fixed_scale_is_taken_as_given():
    with torch.no_grad():
        plain, papers = (VGGLoss("vgg22", "random", scale=scale)(SR, HR) for scale in (1.0, 1 / 12.75))
    assert papers.item() == pytest.approx(plain.item() / 12.75**2, rel=1e-4)


def test_random_vgg_is_the_same_each_time_and_leaves_the_global_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = (vgg_features("vgg22", "random").state_dict() for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_without_a_network_vgg_is_an_error_never_silently_random(tmp_path, monkeypatch, no_dev_data):
    def offline(*_, **__):
        raise URLError("Name or service not known")
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert find_vgg("vgg22") == "torchvision"
    for weights in ("torchvision", "auto"):
        with pytest.raises(LossError, match="cannot be downloaded .*vgg_weights=random"):
            content_loss("vgg22", weights)


def test_vgg_files_are_checked(tmp_path):
    from safetensors.torch import save_file
    shallow = {f"features.{k}": v for k, v in vgg_features("vgg22", "random").state_dict().items()}
    save_file(shallow, tmp_path / "vgg.safetensors")
    assert torch.equal(vgg_features("vgg22", str(tmp_path / "vgg.safetensors"))[0].weight, shallow["features.0.weight"])
    with pytest.raises(LossError, match="has no 10.weight, which vgg34 needs"):
        vgg_features("vgg34", str(tmp_path / "vgg.safetensors"))
    for path in (tmp_path / "nothing.safetensors", Path(__file__)):
        with pytest.raises(LossError, match="do not load"):
            vgg_features("vgg22", str(path))


def test_the_development_file_is_a_trained_vgg(dev_data):
    assert find_vgg("vgg34").endswith("conv3_4.safetensors") and find_vgg("vgg54") == "torchvision"
    first = vgg_features("vgg34", find_vgg("vgg34"))[0].weight
    assert not torch.equal(first, vgg_features("vgg34", "random")[0].weight)
    loss = content_loss("vgg34", "auto")
    assert 0 < loss.scale < 1  # the original network's features are in the hundreds
    blurred = F.avg_pool2d(HR, 3, 1, 1, count_include_pad=False)
    with torch.no_grad():
        assert 0 < loss(HR * 0.98, HR) < loss(blurred, HR)


def test_pixel_losses_by_name():
    assert content_loss("mse")(SR, HR).item() == pytest.approx(float(((SR - HR) ** 2).mean()), rel=1e-6)
    assert content_loss("l1")(SR, HR).item() == pytest.approx(float((SR - HR).abs().mean()), rel=1e-6)
    for wrong in ("vgg19", "", "MSE"):
        with pytest.raises(LossError, match=f"want one of {', '.join(CONTENT)}"):
            content_loss(wrong)
    with pytest.raises(LossError, match="VGG layer"):
        vgg_features("vgg11")


@pytest.mark.parametrize("period", [2, 4])
def test_grid_sees_what_repeats_and_nothing_else(period):
    phase = torch.zeros(period, period)
    phase[0, 0] = 0.1
    board = phase.repeat(64 // period, 64 // period).expand(2, 3, 64, 64)
    share = 1 / period**2
    assert grid(board, period).item() == pytest.approx(0.1 * 2 * share * (1 - share))  # by hand: one phase of 0.1, the others 0
    assert grid(torch.roll(board, (1, 3), (2, 3)), period).item() == pytest.approx(grid(board, period).item())
    assert grid(torch.full((1, 3, 64, 64), 0.3), period) == pytest.approx(0, abs=1e-7)
    noise = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)) - 0.5
    assert grid(noise, period) < 0.15 * noise.abs().mean()  # 64 of them average out to an eighth
    error = board.clone().requires_grad_(True)
    grid(error, period).backward()
    assert grid(error - 2 * error.grad, period) < grid(board, period)


def test_total_variation_of_a_ramp_is_its_slope():
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 3, 6, 8) * 0.1
    assert total_variation(ramp).item() == pytest.approx(0.1) and total_variation(torch.ones(1, 3, 5, 5)) == 0


# ---------------------------------------------------------------- adversarial


GENERATOR = torch.Generator().manual_seed(0)
HR_LOGITS, SR_LOGITS = 3 * torch.randn(16, 1, generator=GENERATOR), 3 * torch.randn(16, 1, generator=GENERATOR)


@pytest.mark.parametrize("name", ADVERSARIAL)
@pytest.mark.parametrize("hr_sign", [-80.0, 80.0])
@pytest.mark.parametrize("sr_sign", [-80.0, 80.0])
def test_losses_and_gradients_are_finite_at_logits_of_80(name, hr_sign, sr_sign):
    loss = adversarial_loss(name)
    hr_logits, sr_logits = torch.full((4, 1), hr_sign, requires_grad=True), torch.full((4, 1), sr_sign, requires_grad=True)
    for value in (loss.generator(sr_logits, hr_logits), loss.discriminator(hr_logits, sr_logits)):
        gradients = torch.autograd.grad(value, [hr_logits, sr_logits], allow_unused=True)
        assert value.isfinite() and all(g is None or g.isfinite().all() for g in gradients)


def test_a_lost_generator_still_learns():
    """The paper's -log D(G(x)), not log(1 - D(G(x))): the gradient is largest where D is sure."""
    for name in ("bce", "bce-smooth", "bce-noisy", "relativistic"):
        logits = torch.full((1, 1), -40.0, requires_grad=True)
        gradient, = torch.autograd.grad(adversarial_loss(name).generator(logits, torch.full((1, 1), 40.0)), logits)
        assert gradient.item() < -0.4


def test_bce_is_torchs():
    loss, torchs = adversarial_loss("bce"), nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(16, 1), torch.zeros(16, 1)
    assert torch.allclose(loss.generator(SR_LOGITS), torchs(SR_LOGITS, ones))
    assert torch.allclose(loss.discriminator(HR_LOGITS, SR_LOGITS), torchs(HR_LOGITS, ones) + torchs(SR_LOGITS, zeros))
    assert torch.allclose(BCE(real=0.9).discriminator(HR_LOGITS, SR_LOGITS), torchs(HR_LOGITS, 0.9 * ones) + torchs(SR_LOGITS, zeros))
    assert torch.allclose(loss.generator(SR_LOGITS), -SR_LOGITS.sigmoid().log().mean())  # Ledig et al. 2017, eq. 6


def test_undecided_discriminators_cost_two_logs_of_two():
    zero = torch.zeros(5, 1)
    assert adversarial_loss("bce").discriminator(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert adversarial_loss("relativistic").discriminator(zero, zero).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", ["bce", "bce-smooth", "bce-noisy"])
def test_targets_stay_between_zero_and_one(name, monkeypatch):
    targets, real = [], F.binary_cross_entropy_with_logits

    def spy(logits, target, *rest, **options):
        targets.append(target)
        return real(logits, target, *rest, **options)
    monkeypatch.setattr(losses.F, "binary_cross_entropy_with_logits", spy)
    torch.manual_seed(0)
    adversarial_loss(name).discriminator(torch.zeros(5000, 1), torch.zeros(5000, 1))
    hr_targets, sr_targets = targets
    assert hr_targets.unique().tolist() == pytest.approx([0.9 if name == "bce-smooth" else 1.0])
    assert sr_targets.min() >= 0 and sr_targets.max() <= 0.3 and sr_targets.mean().item() == pytest.approx(0.1 if "noisy" in name else 0, abs=0.01)


def test_lsgan_and_wasserstein_are_their_definitions():
    hr, sr = HR_LOGITS.numpy(), SR_LOGITS.numpy()
    lsgan, critic = adversarial_loss("lsgan"), adversarial_loss("wgan")
    assert lsgan.discriminator(HR_LOGITS, SR_LOGITS).item() == pytest.approx(np.mean((hr - 1) ** 2) + np.mean(sr**2), rel=1e-5)
    assert lsgan.generator(SR_LOGITS).item() == pytest.approx(np.mean((sr - 1) ** 2), rel=1e-5)
    assert critic.discriminator(HR_LOGITS, SR_LOGITS).item() == pytest.approx(np.mean(sr) - np.mean(hr), rel=1e-5)
    assert critic.generator(SR_LOGITS).item() == pytest.approx(-np.mean(sr), rel=1e-5)


def test_the_relativistic_average_is_its_definition():
    hr, sr = HR_LOGITS.double().numpy(), SR_LOGITS.double().numpy()
    d_hr, d_sr = (1 / (1 + np.exp(-(a - b.mean()))) for a, b in ((hr, sr), (sr, hr)))
    loss = adversarial_loss("relativistic")
    assert loss.discriminator(HR_LOGITS, SR_LOGITS).item() == pytest.approx(-(np.log(d_hr).mean() + np.log(1 - d_sr).mean()) / 2, rel=1e-5)
    assert loss.generator(SR_LOGITS, HR_LOGITS).item() == pytest.approx(-(np.log(1 - d_hr).mean() + np.log(d_sr).mean()) / 2, rel=1e-5)


class LinearCritic(nn.Module):
    """w . x: its gradient is w everywhere."""

    def __init__(self, count: int, norm: float):
        super().__init__()
        weight = torch.randn(count, generator=torch.Generator().manual_seed(1))
        self.weight = nn.Parameter(norm * weight / weight.norm())

    def forward(self, picture):
        return (picture.flatten(1) * self.weight).sum(1, keepdim=True)


@pytest.mark.parametrize("norm", [0.2, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_is_known(norm):
    critic = LinearCritic(3 * 8 * 8, norm)
    hr, sr = torch.rand(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    penalty = gradient_penalty(critic, hr, sr)
    assert penalty.item() == pytest.approx((norm - 1) ** 2, abs=1e-5)
    penalty.backward()  # through the gradient: d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|
    assert torch.allclose(critic.weight.grad, 2 * (norm - 1) * critic.weight.detach() / norm, atol=1e-4)
    assert adversarial_loss("wgan-gp").penalty(critic, hr, sr).item() == pytest.approx(10 * (norm - 1) ** 2, abs=1e-4)
    assert adversarial_loss("bce").penalty(critic, hr, sr) == 0


def test_the_penalty_is_taken_between_the_pictures():
    seen = []

    def critic(picture):
        seen.append(picture.detach())
        return picture.square().sum((1, 2, 3))
    hr, sr = torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    gradient_penalty(critic, hr, sr, torch.tensor([0.25, 1.0]).view(2, 1, 1, 1))
    assert seen[0][0].unique().tolist() == [0.25] and seen[0][1].unique().tolist() == [1.0]
    torch.manual_seed(0)
    gradient_penalty(critic, hr.expand(2, 3, 4, 4), sr)
    assert len(seen[1].flatten(1).unique(dim=1)[0]) == 1 and 0 < seen[1][0, 0, 0, 0] < 1 and seen[1][0, 0, 0, 0] != seen[1][1, 0, 0, 0]


def test_clipping_holds_every_weight():
    critic = LinearCritic(12, 5.0)
    adversarial_loss("wgan").constrain(critic)
    assert critic.weight.abs().max() <= 0.01
    adversarial_loss("bce").constrain(critic)


def test_unknown_adversarial_losses_are_named():
    with pytest.raises(LossError, match=f"want one of {', '.join(ADVERSARIAL)}"):
        adversarial_loss("hinge")
