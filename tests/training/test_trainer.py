"""Both stages: the steps do what the paper says, and a run is a pure function of its config."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from srgan_lib.training import RunFolder, read_log
from srgan_lib.training import learning_rate, make_generator
from srgan_lib.training.config import make_discriminator, resting
from srgan_lib.data import ImageBank, images, patches
from srgan_lib.errors import CourseError, NotFiniteError, TrainingError
from srgan_lib.training.health import Health
from srgan_lib.losses import ADVERSARIAL, BCE, adversarial_loss, jittered
from srgan_lib.models import Discriminator, SRResNet, load_generator
from srgan_lib.training import COLAB, LIVE, PAPER, TINY, Trainer, make_accelerator, srgan_step, train, update_ema
from srgan_lib.training import Validation

ROOT = Path(__file__).parents[2]
SMALL = replace(TINY.srresnet, blocks=1, channels=8, batch=2, hr_size=32, steps=12, log_every=4, valid_every=8, checkpoint_every=4)
GAN = replace(SMALL, stage="srgan", content="mse", discriminator_head="pooled", discriminator_channels=8, learning_rate=1e-4)


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return ImageBank.build(images("sample", "train", 2), tmp_path_factory.mktemp("bank") / "bank", progress=False)


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    return ImageBank.build(images("sample", "valid", 2), tmp_path_factory.mktemp("valid") / "bank", progress=False)


def finish(config, bank, run, **options):
    return list(train(config, bank, run, device="cpu", **options))


def networks(run):
    return RunFolder(run).load()["networks"]


def same(a, b) -> bool:
    return all(torch.equal(value, b[network][name]) for network in a for name, value in a[network].items())


@pytest.mark.parametrize("config", [SMALL, GAN, replace(GAN, jitter=7), replace(GAN, jitter=7, discriminator_sees_lr=True)],
                         ids=["srresnet", "srgan", "jitter", "conditional"])
def test_interrupted_at_a_record_and_resumed_equals_uninterrupted_bit_for_bit(config, bank, tmp_path):
    finish(config, bank, tmp_path / "whole")
    for _ in train(config, bank, tmp_path / "cut", device="cpu"):
        break
    records = finish(config, bank, tmp_path / "cut")
    assert records[-1]["step"] == config.steps
    assert same(networks(tmp_path / "whole"), networks(tmp_path / "cut"))
    assert [r["step"] for r in read_log(tmp_path / "cut")] == [4, 8, 12]


@pytest.mark.parametrize("config", [SMALL, GAN], ids=["srresnet", "srgan"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(config, bank, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        finish(replace(config, seed=seed), bank, tmp_path / name)
    assert same(networks(tmp_path / "a"), networks(tmp_path / "b"))
    assert not same(networks(tmp_path / "a"), networks(tmp_path / "c"))


def test_a_finished_run_yields_nothing_more_and_changes_nothing(bank, tmp_path):
    finish(SMALL, bank, tmp_path)
    before = networks(tmp_path)
    assert finish(SMALL, bank, tmp_path) == []
    assert same(before, networks(tmp_path))


def test_a_run_leaves_records_samples_and_a_generator(bank, valid, tmp_path):
    records = finish(SMALL, bank, tmp_path, valid=valid)
    assert [r["step"] for r in records] == [4, 8, 12] and records == read_log(tmp_path)
    assert {"content", "learning_rate", "images_per_s", "data_wait", "eta_s"} <= records[0].keys()
    assert [("psnr" in r) for r in records] == [False, True, True] and records[-1]["eta_s"] == 0
    assert {p.name for p in (tmp_path / "samples").iterdir()} == {"0000008.png", "0000012.png"}
    exported = load_generator(tmp_path / "generator").state_dict()
    assert all(torch.equal(value, exported[name]) for name, value in networks(tmp_path)["average"].items())


def test_training_lowers_the_loss(bank, tmp_path):
    records = finish(replace(SMALL, steps=60, learning_rate=2e-3), bank, tmp_path)
    assert records[-1]["content"] < 0.6 * records[0]["content"]


def test_one_batch_can_be_overfitted(bank):
    config = replace(SMALL, channels=16, steps=150, learning_rate=3e-3)
    trainer = Trainer(config, make_accelerator("cpu"))
    lr, hr = patches(bank, 0, config)
    losses = [float(trainer.step(lr, hr, step)["content"]) for step in range(150)]
    assert losses[-1] < 0.15 * losses[0]


def step_of(adversarial, weight=1e-3):
    """One GAN step on tiny networks with updates recorded instead of applied -> networks and what `update` saw."""
    torch.manual_seed(0)
    generator, discriminator = SRResNet(blocks=1, channels=8), Discriminator(32, "pooled", "none", 8)
    gradients = {}

    def update(name, loss):
        loss.backward()
        gradients[name] = {key: [None if p.grad is None else p.grad.clone() for p in network.parameters()]
                           for key, network in (("generator", generator), ("discriminator", discriminator))}
        generator.zero_grad(set_to_none=True)
        discriminator.zero_grad(set_to_none=True)

    calls = {"generator": 0, "discriminator": 0}
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        network.register_forward_hook(lambda *_, name=name: calls.__setitem__(name, calls[name] + 1))
    losses = srgan_step(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 32, 32), generator, discriminator, nn.MSELoss(), adversarial, weight, update)
    return losses, gradients, calls


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_each_step_moves_its_own_network_only(name):
    _, gradients, _ = step_of(adversarial_loss(name))
    assert all(g is None for g in gradients["discriminator"]["generator"])
    assert any(g is not None and g.abs().sum() > 0 for g in gradients["discriminator"]["discriminator"])
    assert all(g is None for g in gradients["generator"]["discriminator"])
    assert all(g is not None for g in gradients["generator"]["generator"])


def test_network_passes_are_the_minimum():
    """G once, shared by both steps; D three times: HR and detached SR for its own step, SR for G's."""
    _, _, calls = step_of(BCE())
    assert calls == {"generator": 1, "discriminator": 3}


def test_the_adversarial_term_reaches_the_generator():
    _, with_term, _ = step_of(BCE(), weight=1.0)
    _, without, _ = step_of(BCE(), weight=0.0)
    assert any(not torch.allclose(a, b) for a, b in zip(with_term["generator"]["generator"], without["generator"]["generator"]))


def test_turns_are_counted_from_the_step_alone():
    critic_first, generator_first = replace(GAN, generator_every=3), replace(GAN, discriminator_every=2)
    assert [resting(critic_first, step) for step in range(6)] == [{"generator"}, {"generator"}, set()] * 2
    assert [resting(generator_first, step) for step in range(4)] == [{"discriminator"}, set()] * 2
    for turns in ({"generator_every": 2, "discriminator_every": 2}, {"generator_every": 0}, {"discriminator_every": -1}):
        with pytest.raises(TrainingError, match="want 1 for one of them"):
            resting(replace(GAN, **turns), 0)


@pytest.mark.parametrize("fast, slow", [("discriminator", "generator"), ("generator", "discriminator")])
def test_one_network_takes_two_steps_while_the_other_waits(bank, fast, slow):
    """Two steps of a 2:1 run are two steps against an opponent that stands still, then one of the opponent's own."""
    def run(config, steps):
        trainer = Trainer(config, make_accelerator("cpu"))
        history = [{name: [p.clone() for p in trainer.updates.parameters[name]] for name in (fast, slow)}]
        for step in range(steps):
            trainer.step(*patches(bank, step, config), step)
            history.append({name: [p.detach().clone() for p in trainer.updates.parameters[name]] for name in (fast, slow)})
        return history

    def equal(a, b):
        return all(torch.equal(x, y) for x, y in zip(a, b))

    start, first, second = run(replace(GAN, **{f"{slow}_every": 2}), 2)
    alternating = run(GAN, 1)[1]
    assert equal(first[slow], start[slow]) and not equal(second[slow], first[slow])
    assert not equal(first[fast], start[fast]) and not equal(second[fast], first[fast])
    if fast == "discriminator":  # D's step comes first in srgan_step, so it is the ordinary one
        assert equal(first[fast], alternating[fast])


def test_ema_moves_by_one_minus_decay():
    average, model = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    with torch.no_grad():
        average.weight.fill_(1.0)
        model.weight.fill_(2.0)
        model.running_mean.fill_(4.0)
    update_ema(average, model, 0.9)
    torch.testing.assert_close(average.weight, torch.full((3,), 1.1))
    torch.testing.assert_close(average.running_mean, torch.full((3,), 0.4))


def test_jitter_rolls_hr_and_sr_together_and_zero_changes_nothing():
    hr, double = torch.rand(2, 3, 16, 12), nn.Upsample(scale_factor=2)
    assert jittered(hr, 0, double) == (hr, double)
    shifts = set()
    for seed in range(40):
        torch.manual_seed(seed)
        rolled, generator = jittered(hr, 3, double)
        at = [(down, right) for down in range(4) for right in range(4) if torch.equal(torch.roll(rolled, (-down, -right), (2, 3)), hr)]
        shifts.update(at)
        assert len(at) == 1 and torch.equal(torch.roll(generator(hr), (-at[0][0], -at[0][1]), (2, 3)), double(hr))
    assert len(shifts) > 10  # of 16


def test_d_sees_lr_where_the_image_lies(bank):
    """Behind HR, SR and what a penalty mixes of them: the same enlarged LR, rolled as they are."""
    config = replace(GAN, adversarial="wgan-gp", discriminator_sees_lr=True, jitter=7, hr_size=48)
    lr, hr = patches(bank, 0, config)
    trainer, seen = Trainer(config, make_accelerator("cpu")), []
    trainer.discriminator.features[0].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach()))
    trainer.step(lr, hr, 0)
    assert len(seen) == 4 and all(x.shape == (config.batch, 6, 48, 48) and torch.equal(x[:, 3:], seen[0][:, 3:]) for x in seen)
    small = [F.avg_pool2d(x, 8).flatten() for x in (seen[0][:, :3], seen[0][:, 3:])]  # HR, and LR as D saw it
    other = F.avg_pool2d(torch.roll(seen[0][:, 3:], (11, 11), (2, 3)), 8).flatten()
    assert (small[0] - small[1]).abs().mean() < 0.2 * (small[0] - other).abs().mean()


def test_a_discriminator_that_comes_to_see_lr_begins_with_the_opinions_it_had(tmp_path):
    config = replace(GAN, discriminator_head="patch", discriminator_normalization="none")
    torch.manual_seed(1)
    save_file(make_discriminator(config).state_dict(), tmp_path / "d.safetensors")
    config = replace(config, discriminator_init=str(tmp_path / "d.safetensors"))
    alone, seeing = make_discriminator(config), make_discriminator(replace(config, discriminator_sees_lr=True))
    image, lr = torch.rand(2, 2, 3, 32, 32)
    torch.testing.assert_close(seeing(torch.cat([image, lr], 1)), alone(image))
    save_file(seeing.state_dict(), tmp_path / "d.safetensors")
    with pytest.raises(TrainingError, match="discriminator_init .* does not load"):
        make_discriminator(config)  # the other way round it would lose what it looks at


def test_noise_on_what_d_sees_falls_evenly_from_one_strength_to_the_other(bank):
    config = replace(GAN, instance_noise=0.3, instance_noise_end=0.1, discriminator_sees_lr=True)
    trainer, (lr, hr) = Trainer(config, make_accelerator("cpu")), patches(bank, 0, config)
    for step, expected in ((0, 0.3), (config.steps // 2, 0.2), (config.steps, 0.1)):
        with trainer.discriminator.features[0].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach())):
            seen = []
            trainer.step(lr, hr, step)
        noise = seen[0][:, :3] - hr  # D sees HR first, and LR without noise
        assert float(noise.std()) == pytest.approx(expected, rel=0.05) and torch.equal(seen[0][:, 3:], seen[1][:, 3:])


def test_jitter_changes_neither_the_loss_of_the_pixels_nor_what_is_learnt_from_them(bank):
    lr, hr = patches(bank, 0, SMALL)
    trainers = [Trainer(replace(SMALL, jitter=jitter), make_accelerator("cpu")) for jitter in (0, 5)]
    losses = [float(trainer.step(lr, hr, 0)["content"]) for trainer in trainers]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for one, other in zip(*(trainer.generator.parameters() for trainer in trainers)):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_frozen_batch_norm_keeps_the_statistics_of_its_start_and_still_learns(bank, tmp_path):
    finish(SMALL, bank, tmp_path / "first")
    config = replace(SMALL, init=str(tmp_path / "first" / "generator"), frozen_batch_norm=True)
    finish(config, bank, tmp_path / "second")
    start, end = make_generator(config).state_dict(), networks(tmp_path / "second")["generator"]
    names = [name for name in start if name.endswith("weight")]
    statistics = [name for name in start if "running" in name or "tracked" in name]
    assert statistics and all(torch.equal(start[name], end[name]) for name in statistics)
    assert names and not any(torch.equal(start[name], end[name]) for name in names)
    trainer = Trainer(config, make_accelerator("cpu"))
    lr = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(trainer.generator(lr), trainer.average(lr))  # trained as it will be used


def test_validation_and_export_use_the_average_not_the_last_weights(bank, tmp_path):
    finish(replace(SMALL, ema=0.99), bank, tmp_path)
    state = networks(tmp_path)
    assert any(not torch.equal(value, state["generator"][name]) for name, value in state["average"].items())


def test_validation_judges_the_average_in_eval_mode(bank, valid, tmp_path, monkeypatch):
    judged = []
    monkeypatch.setattr(Validation, "__call__", lambda self, generator: judged.append(generator) or (0.0, np.zeros((3, 3, 3), np.uint8)))
    finish(replace(SMALL, steps=2, valid_every=2), bank, tmp_path, valid=valid)
    assert judged and not any(module.training for generator in judged for module in generator.modules())


@pytest.mark.parametrize("schedule, wanted", [("constant", [1, 1, 1]), ("drop", [1, 0.1, 0.1]), ("cosine", [1, 0.5, 0])])
def test_schedules(schedule, wanted):
    config = replace(SMALL, schedule=schedule, steps=100, learning_rate=1.0)
    assert [learning_rate(config, step) for step in (0, 50, 100)] == pytest.approx(wanted)


def test_warmup_rises_linearly():
    config = replace(SMALL, warmup=10, learning_rate=1.0, schedule="constant", steps=100)
    assert [learning_rate(config, step) for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1, 1])


def test_the_paper_profile_is_the_papers():
    first, second = PAPER
    assert (first.batch, first.hr_size, first.steps, first.learning_rate, first.content) == (16, 96, 1_000_000, 1e-4, "mse")
    assert (second.steps, second.schedule, second.content, second.adversarial, second.adversarial_weight) == (200_000, "drop", "vgg54", "bce", 1e-3)
    assert COLAB.srgan.stage == "srgan" and TINY.srgan.vgg_weights == "random"


def test_both_networks_are_trained_by_adam_as_in_the_paper():
    for optimizer in Trainer(replace(GAN, learning_rate=1e-4), make_accelerator("cpu")).updates.optimizers.values():
        assert isinstance(getattr(optimizer, "optimizer", optimizer), torch.optim.Adam)
        assert optimizer.param_groups[0]["betas"] == (0.9, 0.999) and optimizer.param_groups[0]["lr"] == 1e-4


@pytest.mark.parametrize("change", [{"init": "no/such/generator"}, {"hr_size": 4096}])
def test_what_cannot_start_leaves_no_run_behind(change, bank, tmp_path):
    with pytest.raises(CourseError):
        next(train(replace(SMALL, **change), bank, tmp_path / "run", device="cpu"))
    assert not (tmp_path / "run").exists()
    finish(replace(SMALL, steps=2), bank, tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_with_step_and_checkpoint_named(bank, tmp_path):
    with pytest.raises(NotFiniteError, match=r"step \d+: .* is not finite.*last checkpoint is step 4") as caught:
        good = finish_until(SMALL, bank, tmp_path, 4)
        finish(replace(SMALL, learning_rate=1e30, schedule="constant"), bank, tmp_path, accept_changes=True)
    assert good == 4 and caught.value.exit_code == 3
    assert finish(SMALL, bank, tmp_path, accept_changes=True)[-1]["step"] == SMALL.steps


def finish_until(config, bank, run, step):
    for record in train(config, bank, run, device="cpu"):
        if record["step"] >= step:
            return RunFolder(run).load()["step"]


def test_stage_two_starts_from_stage_one(bank, tmp_path):
    finish(SMALL, bank, tmp_path / "one")
    generator = make_generator(replace(GAN, init=str(tmp_path / "one" / "generator")))
    assert all(torch.equal(v, generator.state_dict()[k]) for k, v in load_generator(tmp_path / "one" / "generator").state_dict().items())
    with pytest.raises(TrainingError, match="another architecture, differing at"):
        make_generator(replace(GAN, blocks=2, init=str(tmp_path / "one" / "generator")))


@pytest.mark.parametrize("architecture, before, after, words", [
    ("SRResNet", 4, 2, "3 of its tensors are not needed"),
    ("SRResNet", 2, 4, "upsample.3.bias, upsample.3.weight, upsample.4.weight begin at random"),
    ("SRResNet", 2, 3, "upsample.0.bias, upsample.0.weight begin at random"), ("RRDBNet", 4, 2, "2 of its tensors are not needed")])
def test_a_generator_of_another_scale_gives_all_but_what_enlarges(architecture, before, after, words, tmp_path, capsys):
    one = replace(SMALL, architecture=architecture, blocks=2, scale=before)
    make_generator(one).save_pretrained(tmp_path / "one")
    given = load_generator(tmp_path / "one").state_dict()
    state = make_generator(replace(one, scale=after, seed=1, hr_size=24, init=str(tmp_path / "one"))).state_dict()
    assert words in capsys.readouterr().out
    kept = {key for key in state if not key.startswith(("upsample.", "conv_up")) or "begin" not in words}
    assert kept and all(torch.equal(state[key], given[key]) for key in kept)
    with pytest.raises(TrainingError, match="another architecture, differing at"):
        make_generator(replace(one, scale=after, blocks=1, hr_size=24, init=str(tmp_path / "one")))


@pytest.mark.parametrize("change, words", [
    ({"stage": "gan"}, "stage 'gan'"), ({"architecture": "UNet"}, "architecture 'UNet'"), ({"schedule": "step"}, "schedule 'step'"),
    ({"adversarial": "hinge", "stage": "srgan"}, "adversarial loss 'hinge'"), ({"content": "ssim"}, "content loss 'ssim'"),
    ({"frozen_batch_norm": True}, "wants init"), ({"grid_weight": 0.5, "hr_size": 16}, "wants hr_size of"),
    ({"hr_size": 4096}, "as large as a patch"), ({"jitter": -1}, "want 0 or a number of pixels")])
def test_a_wrong_field_is_one_sentence(change, words, bank, tmp_path):
    with pytest.raises(ValueError, match=words):
        finish(replace(SMALL, discriminator_head="pooled", **change), bank, tmp_path)


def test_health_warns_once_when_the_discriminator_has_won_and_when_it_has_lost():
    health = Health([])
    with pytest.warns(UserWarning, match="has won"):
        for _ in range(30):
            health({"d_sr": 0.001, "d_hr": 0.999})
    with pytest.warns(UserWarning, match="has lost") as caught:
        for _ in range(30):
            health({"d_sr": 0.5, "d_hr": 0.5})
    assert len(caught) == 1


@pytest.mark.parametrize("adversarial", ["relativistic", "lsgan", "wgan-gp"])
def test_scores_that_are_no_probabilities_give_no_warning(adversarial, recwarn):
    health = Health([], adversarial)
    for opinion in [0.001] * 30 + [0.5] * 30:
        health({"d_sr": opinion, "d_hr": opinion})
    assert not recwarn.list


def test_validation_measures_bicubic_as_bicubic(valid):
    validation = Validation(valid, 4)

    class Bicubic(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, lr):
            from srgan_lib.images import resize_bicubic
            return resize_bicubic(lr, 4)

    psnr, sheet = validation(Bicubic())
    assert psnr == pytest.approx(validation.bicubic_psnr) and sheet.ndim == 3


def test_memory_of_the_data_order_is_the_step_alone(bank):
    first = patches(bank, 7, SMALL)
    for step in (1, 5, 3):
        patches(bank, step, SMALL)
    assert all(torch.equal(a, b) for a, b in zip(first, patches(bank, 7, SMALL)))


def test_two_processes_follow_one(tmp_path):
    """Half the batch each, gradients averaged: the loss stays within 1e-4 for 20 steps, and only rank 0 writes."""
    common = ["-m", "srgan_lib", "train", "--data", "sample", "--limit", "2", "--profile", "tiny", "--device", "cpu"]
    for assignment in ("steps=20", "log_every=1", "valid_every=100", "normalization=none", "channels=8", "blocks=1", "learning_rate=1e-4"):
        common += ["--set", assignment]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SRGAN_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *common, "--run", str(tmp_path / "one")], check=True, env=environment, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_addr", "127.0.0.1", "--master_port", str(port)]
    common.insert(1, "--")  # without it torchrun takes --run for an abbreviation of its own --run-path
    subprocess.run([*torchrun, *common, "--run", str(tmp_path / "two")], check=True, env=environment, capture_output=True)
    one, two = (read_log(tmp_path / name) for name in ("one", "two"))
    assert [r["step"] for r in two] == list(range(1, 21))
    assert max(abs(a["content"] - b["content"]) for a, b in zip(one, two)) < 1e-4


# ---------------------------------------------------------------- where a generator begins


def test_a_run_from_before_the_field_start_goes_on(bank, tmp_path):
    """A stored config without `start` was a random start, and is read as one."""
    for _ in train(SMALL, bank, tmp_path, device="cpu"):
        break
    path = tmp_path / "config.json"
    stored = json.loads(path.read_text())
    del stored["start"]
    path.write_text(json.dumps(stored))
    assert finish(SMALL, bank, tmp_path)[-1]["step"] == SMALL.steps
    with pytest.raises(TrainingError, match="start: 'random' there, 'bicubic' here"):
        finish(replace(SMALL, start="bicubic"), bank, tmp_path)


def test_random_weights_are_drawn_as_before_the_field_start():
    torch.manual_seed(SMALL.seed)
    expected = SRResNet(blocks=SMALL.blocks, channels=SMALL.channels).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in make_generator(SMALL).state_dict().items())


def test_init_goes_before_start(bank, tmp_path):
    finish(SMALL, bank, tmp_path)
    generator = make_generator(replace(SMALL, start="bicubic", init=str(tmp_path / "generator")))
    exported = load_generator(tmp_path / "generator").state_dict()
    assert all(torch.equal(value, exported[name]) for name, value in generator.state_dict().items())


def test_a_run_that_begins_as_bicubic_stays_near_it(bank, valid, tmp_path):
    """Ten steps from a random start are 10 dB and more below bicubic; from bicubic they are within 1 dB."""
    config = replace(LIVE.srresnet, steps=10, valid_every=10)
    psnr = finish(config, bank, tmp_path, valid=valid)[-1]["psnr"]
    assert psnr == pytest.approx(Validation(valid, config.scale).bicubic_psnr, abs=1)


@pytest.mark.parametrize("changes, threads", [({}, 1), ({"batch": 64, "channels": 64, "hr_size": 96}, 2)])
def test_small_convolutions_are_not_shared_among_threads(bank, tmp_path, monkeypatch, changes, threads):
    """With a busy neighbour, two threads took 27 times as long as one for the profile `live`; large convolutions keep all of them."""
    seen, before = [], torch.get_num_threads()

    def step(trainer, lr, hr, number):
        seen.append(torch.get_num_threads())
        return {"content": torch.zeros(())}

    monkeypatch.setattr(Trainer, "step", step)
    torch.set_num_threads(2)
    try:
        for record in train(replace(SMALL, steps=8, **changes), bank, tmp_path / "run", device="cpu"):
            assert torch.get_num_threads() == 2, "the reader's own cells compute on all threads"
    finally:
        torch.set_num_threads(before)
    assert seen == [threads] * 8 and record["step"] == 8


def test_a_clipped_gradient_has_the_length_that_was_asked_for_and_a_short_one_stays():
    """Plain SGD in Adam's place: the weights move by the rate times the gradient, so the length of the move is that of the gradient."""
    from accelerate import Accelerator

    from srgan_lib.training.optimizers import Updates
    moves = {}
    for clip in (0.0, 0.5, 1e6):
        layer = nn.Linear(4, 1, bias=False)
        nn.init.zeros_(layer.weight)
        updates = Updates({"generator": layer}, replace(SMALL, gradient_clip=clip, learning_rate=1.0, warmup=0, schedule="constant"), Accelerator(cpu=True))
        updates.optimizers["generator"] = torch.optim.SGD(layer.parameters(), 1.0)
        updates.begin(0)
        updates("generator", layer(torch.full((1, 4), 3.0)).sum())  # a gradient of (3, 3, 3, 3): length 6
        moves[clip] = float(torch.linalg.vector_norm(layer.weight.detach()))
    assert moves == {0.0: pytest.approx(6.0), 0.5: pytest.approx(0.5, rel=1e-4), 1e6: pytest.approx(6.0)}
