"""Cards and publishing, against the loopback Hub: whole or not at all, bit for bit, without a secret or a path in it."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from samples import photograph

from srgan_lib.apps import evaluate as evaluation, publish
from srgan_lib.__main__ import main
from srgan_lib.apps.cards import batches, card, figures, gather, of_runs, patches, public_name
from srgan_lib.apps.recipes import recipe, recipes
from srgan_lib.training import COLAB, TINY, TrainConfig
from srgan_lib.errors import PublishError
from srgan_lib.models import WEIGHTS, SRResNet, load_generator, shipped
from srgan_lib.training import train

SECRET = "hf_NobodyMaySeeThis"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run folder as training leaves it, started from a generator at a path that is nobody's business."""
    from dataclasses import replace

    from srgan_lib.data import ImageBank
    folder = tmp_path_factory.mktemp("secret-place")
    config = replace(TINY.srresnet, blocks=1, channels=8, steps=4, log_every=2, valid_every=2)
    SRResNet(blocks=1, channels=8).save_pretrained(folder / "mine" / "generator")
    bank = ImageBank.build([("a.png", photograph(70, 80))], folder / "bank", progress=False)
    config = replace(config, init=str(folder / "mine" / "generator"))
    assert len(list(train(config, bank, folder / "run", bank, device="cpu"))) == 2
    return folder / "run"


@pytest.fixture
def writable(hub, monkeypatch):
    """The loopback Hub, and a token for it in the environment."""
    hub.token = SECRET
    monkeypatch.setenv("HF_TOKEN", SECRET)
    return hub


def contents(hub, repo: str) -> dict[str, bytes]:
    return hub.repos[repo]


def test_a_run_is_published_and_loads_back_bit_for_bit(writable, finished, capsys):
    assert main(["publish", str(finished), "somebody/tiny-x4", "--data", "div2k"]) == 0
    assert "/somebody/tiny-x4/commit/" in capsys.readouterr().out
    files = contents(writable, "somebody/tiny-x4")
    assert set(files) == {"README.md", "config.json", "log.jsonl", "model.safetensors", "training.json"}
    assert files["model.safetensors"] == (finished / "generator" / "model.safetensors").read_bytes()
    here, there = load_generator(finished / "generator").state_dict(), load_generator("somebody/tiny-x4").state_dict()
    assert here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in here)
    everything = b"".join(files.values())
    assert SECRET.encode() not in everything and b"secret-place" not in everything and b'"init": "mine"' in files["training.json"]
    assert sum(path.endswith("/commit/main") for verb, path in writable.requests if verb == "POST") == 1  # all files or none


def test_publishing_again_replaces_and_shipped_weights_can_be_published(writable):
    for _ in range(2):
        publish.push_to_hub("srresnet-x4", "somebody/again")
    state, original = load_generator("somebody/again").state_dict(), load_generator("srresnet-x4").state_dict()
    assert all(torch.equal(state[name], original[name]) for name in original)


def test_private_means_private(writable, finished):
    publish.push_to_hub(finished, "somebody/hidden", private=True)
    assert "somebody/hidden" in writable.private
    writable.repos["somebody/open"] = {}
    with pytest.raises(PublishError, match="is public"):
        publish.push_to_hub(finished, "somebody/open", private=True)
    assert writable.repos["somebody/open"] == {}


@pytest.mark.parametrize("where, status, words", [
    ("/api/repos/create", 401, "log in anew"), ("/api/repos/create", 403, "may not write there"), ("/preupload/", 403, "may not write there"),
    ("/objects/batch", 413, "too large"), ("/commit/main", 403, "may not write there"), ("/commit/main", 400, "did not take it"),
])
def test_what_fails_half_way_publishes_nothing_and_says_so(writable, finished, where, status, words):
    writable.refused[where] = status
    with pytest.raises(PublishError, match=words) as raised:
        publish.push_to_hub(finished, "somebody/half")
    assert "nothing was published" in str(raised.value) and SECRET not in str(raised.value)
    assert not writable.repos.get("somebody/half")


def test_what_comes_back_changed_is_not_called_done(writable, finished, monkeypatch):
    def spoilt(self, **options):
        commit = original(self, **options)
        writable.repos["somebody/spoilt"]["model.safetensors"] = b"torn"
        return commit

    from huggingface_hub import HfApi
    original = HfApi.upload_folder
    monkeypatch.setattr(HfApi, "upload_folder", spoilt)
    with pytest.raises(PublishError, match="model.safetensors comes back changed"):
        publish.push_to_hub(finished, "somebody/spoilt")


def test_without_a_login_or_a_hub_it_is_one_sentence(hub, finished, monkeypatch, capsys):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert main(["publish", str(finished), "somebody/net"]) == 2
    assert "not logged in" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", SECRET)
    from huggingface_hub import constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["publish", str(finished), "somebody/net"]) == 2
    error = capsys.readouterr().err
    assert "cannot be reached; nothing was published" in error and SECRET not in error
    assert not hub.repos


@pytest.mark.parametrize("folder, repo, words", [
    ("nowhere", "somebody/net", "no such model"), ("srgan-x4", "net", "want OWNER/NAME"), ("srgan-x4", "a/b/c", "not a name"),
    ("srgan-x4", "some body/net", "not a name"),
])
def test_bad_names_are_one_sentence(folder, repo, words, capsys):
    assert main(["publish", folder, repo, "--dry-run"]) == 2
    assert words in capsys.readouterr().err


def test_a_dry_run_prints_the_card_and_sends_nothing(hub, finished, capsys):
    assert main(["publish", str(finished), "somebody/net", "--dry-run", "--data", "My own photographs, CC0."]) == 0
    text = capsys.readouterr().out
    assert "My own photographs, CC0." in text and "model.safetensors (" in text and hub.requests == []


# --- cards -----------------------------------------------------------------------------------------------------------

def test_the_card_of_a_run_states_what_is_known(finished):
    record = {"model": str(finished), "data": "set5", "mean": {"psnr": 20.0, "ssim": 0.5, "paper_ssim": 0.6}, "bicubic": {"psnr": 28.4, "ssim": 0.8, "paper_ssim": 0.8}}
    (finished / "results.json").write_text(json.dumps(record))
    text = card(gather(finished), "somebody/net")
    (finished / "results.json").unlink()
    for words in ("SRResNet, ", "4 steps of 4 patches of 48 x 48 pixels", "Loss: l1 of the pixels;", "--set blocks=1", 'upscale("photo.jpg", "somebody/net")',
                  "| set5 | 20.00 | 0.5000 | 0.6000 | 28.40 |", "has not been recorded", "clean pictures shrunk", "On held-out pictures"):
        assert words in text, words
    assert text.startswith("---\nlicense: mit\n") and "secret-place" not in text


def test_the_card_of_bare_weights_admits_what_is_unknown(tmp_path):
    SRResNet(blocks=1, channels=4).save_pretrained(tmp_path)
    text = card(gather(tmp_path), "somebody/net")
    assert "no record of its training" in text and "Not measured yet." in text and "has not been recorded" in text
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(PublishError, match="not JSON"):
        gather(tmp_path)


@pytest.mark.parametrize("name", shipped())
def test_the_shipped_cards_are_the_generated_ones(name):
    assert (WEIGHTS / name / "README.md").read_text() == card(gather(name), name)
    assert "## Data and attribution" in card(gather(name), name) and "has not been recorded" not in card(gather(name), name)


def test_the_limits_follow_from_the_training(tmp_path):
    SRResNet(blocks=1, channels=4).save_pretrained(tmp_path)
    for training, words in (({"stage": "srgan"}, "clean pictures shrunk"), ({"stage": "srgan", "degradation": "camera"}, "made noisy"),
                            ({"stage": "srresnet", "limits": "For faces only."}, "## Limits\n\nFor faces only.")):
        (tmp_path / "training.json").write_text(json.dumps(training))
        assert words in card(gather(tmp_path), "somebody/net")


def test_the_recipe_repeats_what_differs_from_the_profile():
    text = recipe(replace(COLAB.srgan, steps=250, init="srresnet-x4"))
    assert "--set steps=250" in text and "--init srresnet-x4" in text and text.count("--set") == 1


def test_several_runs_become_commands_that_follow_one_another():
    text = recipes(replace(COLAB.srresnet, steps=9), [{"steps": 4}, {"steps": 5, "seed": 1, "frozen_batch_norm": True}])
    first, second = text.split(" && \\\n")
    assert "--run runs/srresnet-1 " in first and "--set steps=4" in first and "--init" not in first
    assert "--run runs/srresnet-2 " in second and "--init runs/srresnet-1/generator" in second and "--set frozen_batch_norm=True" in second
    assert recipes(COLAB.srresnet, []) == recipe(COLAB.srresnet)
    branches = recipes(replace(COLAB.srresnet, steps=9), [{"steps": 4}, {}, {"after": 1}])
    assert branches.count("--init runs/srresnet-1/generator") == 2 and "srresnet-2/generator" not in branches


def test_a_card_names_every_batch_and_patch_of_its_runs():
    training = {"stage": "srgan", "steps": 7, "batch": 8, "hr_size": 96, "runs": [{"steps": 4}, {"steps": 2}, {"steps": 1, "batch": 4, "hr_size": 128}]}
    assert (of_runs(training, "hr_size"), batches(training), patches(training)) == ([96, 128], "4 and 8", 52)
    assert (of_runs({"hr_size": 48}, "hr_size"), batches({"batch": 16}), patches({"steps": 3, "batch": 16})) == ([48], "16", 48)


def test_public_names(tmp_path):
    (tmp_path / "owner" / "net").mkdir(parents=True)
    assert [public_name(name) for name in ("", "auto", "srgan-x4", "owner/net", "/home/me/runs/first/generator", "./runs/a", "..")] == [
        "", "auto", "srgan-x4", "owner/net", "first", "a", "a folder"]


@pytest.mark.parametrize("path", ["C:\\Users\\jane.doe\\runs\\first\\generator", "/home/jane.doe/runs/first/generator", "/Users/jane.doe/first",
                                  "C:/Users/jane.doe/first", "\\\\server\\jane.doe\\first", "~jane.doe/first"])
def test_no_field_of_a_run_leads_to_somebodys_machine(tmp_path, path):
    SRResNet(blocks=1, channels=8).save_pretrained(tmp_path / "generator")
    paths = {key: path for key in ("init", "vgg_weights", "discriminator_init")}
    (tmp_path / "config.json").write_text(json.dumps(asdict(TrainConfig(stage="srgan", blocks=1, channels=8, content="vgg54")) | paths))
    release = gather(tmp_path)
    assert "jane" not in json.dumps(release.training) + card(release, "me/net") and release.training["discriminator_init"] == "first"


def test_results_of_both_test_sets_stand_beside_the_papers():
    records = [r for r in json.loads(evaluation.RESULTS.read_text()) if r["model"] == "srgan-x4"]
    text = figures(records, "srgan-x4")
    assert text.count("\n|") == 5 and "*the paper's srgan*" in text and "bicubic" in text
    worst = min(row["psnr"] for record in records for row in record["images"] if record["data"] == "set5")
    assert f"set5 {worst:.2f} to" in text and "14 pictures" in text
