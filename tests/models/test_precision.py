"""Which precision is taken: what is asked for, else what a proof says, remembered for the next start."""

import json

import pytest
import torch

from srgan_lib.errors import ModelError
from srgan_lib.models import PRECISIONS, choose_precision, precision


@pytest.fixture
def proofs(tmp_path, monkeypatch):
    """An empty cache, hardware that is there, and a proof that says what `proofs` says: seconds in float32 and otherwise."""
    monkeypatch.setenv("SRGAN_CACHE", str(tmp_path))
    monkeypatch.delenv("SRGAN_PRECISION", raising=False)
    monkeypatch.setattr(precision, "in_hardware", lambda name: True)
    asked, answer = [], {"seconds": (3.0, 1.0)}

    def proof(name, kind):
        asked.append((name, kind))
        return dict(zip(("float32", name), answer["seconds"]))
    monkeypatch.setattr(precision, "_proof", proof)
    precision.faster.cache_clear()
    yield asked, answer
    precision.faster.cache_clear()


@pytest.mark.parametrize("seconds, chosen", [((3.0, 1.0), "bfloat16"), ((1.0, 1.0), "float32"), ((1.0, 4.0), "float32"), ((1.1, 1.0), "float32")])
def test_auto_follows_the_proof(proofs, seconds, chosen):
    proofs[1]["seconds"] = seconds
    assert choose_precision("auto", "cpu") == choose_precision("auto", "cpu", training=True) == chosen


def test_a_processor_without_the_instructions_needs_no_proof(proofs, monkeypatch):
    monkeypatch.setattr(precision, "in_hardware", lambda name: False)
    assert choose_precision("auto", "cpu") == "float32" and proofs[0] == []


def test_a_proof_is_made_once_for_a_processor_and_a_torch(proofs, tmp_path, monkeypatch):
    for _ in range(2):  # two starts
        precision.faster.cache_clear()
        choose_precision("auto", "cpu")
    assert proofs[0] == [("bfloat16", "cpu")]
    monkeypatch.setattr(precision, "processor", lambda: "another one")
    precision.faster.cache_clear()
    choose_precision("auto", "cpu")
    assert len(proofs[0]) == 2 and len(json.loads((tmp_path / "precision.json").read_text())) == 2


@pytest.mark.parametrize("content", ["{half", "[]", "3", '{"bfloat16 on cpu": {}}', '{"bfloat16 on cpu": {"float32": "x", "bfloat16": 1.0}}', '{"": 1}', "\xff\x00"])
def test_a_broken_record_of_proofs_is_made_anew(proofs, tmp_path, content):
    (tmp_path / "precision.json").write_bytes(content.encode("latin-1"))
    assert choose_precision("auto", "cpu") == "bfloat16" and len(proofs[0]) == 1
    assert len(json.loads((tmp_path / "precision.json").read_text())) == 1


def test_a_cache_that_cannot_be_written_is_no_trouble(proofs, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SRGAN_CACHE", str(tmp_path / "file"))
    assert choose_precision("auto", "cpu") == "bfloat16"


def test_the_real_proof_times_both(monkeypatch):
    times = precision._proof("bfloat16", "cpu", rounds=1)
    assert times.keys() == {"float32", "bfloat16"} and min(times.values()) > 0


def test_a_proof_draws_no_random_number():
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    precision._proof("bfloat16", "cpu", rounds=1)
    assert torch.equal(torch.rand(2), wanted)


def test_what_is_asked_for_is_taken(proofs, capsys):
    assert [choose_precision(name, "cpu") for name in ("float32", "bfloat16")] == ["float32", "bfloat16"]
    assert capsys.readouterr().out == ""


def test_emulated_precision_is_said(proofs, capsys):
    proofs[1]["seconds"] = (1.0, 4.0)
    assert choose_precision("bfloat16", "cpu") == "bfloat16"
    assert "note: this machine's cpu has no fast bfloat16" in capsys.readouterr().out
    assert choose_precision("auto", "cpu", training=True, began="bfloat16") == "bfloat16"
    assert "the run began so and keeps it" in capsys.readouterr().out


def test_a_run_keeps_what_it_began_with(proofs):
    assert choose_precision("auto", "cpu", began="float32") == "float32"


def test_the_environment_says_what_auto_means(proofs, monkeypatch):
    monkeypatch.setenv("SRGAN_PRECISION", "float32")
    assert choose_precision("auto", "cpu") == "float32" and choose_precision("bfloat16", "cpu") == "bfloat16"
    assert choose_precision("auto", "cpu", began="bfloat16") == "bfloat16"
    monkeypatch.setenv("SRGAN_PRECISION", "half")
    with pytest.raises(ModelError, match="SRGAN_PRECISION half: want one of auto, float32, bfloat16, float16"):
        choose_precision("auto", "cpu")


def test_unknown_names_and_devices_that_cannot(proofs, monkeypatch):
    with pytest.raises(ModelError, match="precision fp8: want one of"):
        choose_precision("fp8", "cpu")

    def refuse(*_):
        raise TypeError("BFloat16 is not supported on MPS\nand more")
    monkeypatch.setattr(precision, "_convolve", refuse)
    with pytest.raises(ModelError, match=r"precision bfloat16: cpu cannot compute in it here \(BFloat16 is not supported on MPS\); want float32 or auto$"):
        choose_precision("bfloat16", "cpu")
    with pytest.raises(ModelError, match="the run began so and keeps it$"):
        choose_precision("auto", "cpu", began="bfloat16")
    assert choose_precision("float32", "cpu") == "float32"


@pytest.mark.parametrize("real, capability, training, upscaling", [(True, (8, 0), "bfloat16", "float16"), (False, (7, 5), "float16", "float16"),
                                                                   (False, (6, 1), "float32", "float32")])
def test_cuda_by_what_the_card_has(monkeypatch, real, capability, training, upscaling):
    """bfloat16 from compute capability 8.0, tensor cores for float16 from 7.0 (CUDA C++ Programming Guide, 17.2)."""
    monkeypatch.delenv("SRGAN_PRECISION", raising=False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: real or including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    assert (choose_precision("auto", "cuda", training=True), choose_precision("auto", "cuda")) == (training, upscaling)


def test_apple_by_measurement(proofs):
    assert choose_precision("auto", "mps") == "float16" and choose_precision("auto", "mps", training=True) == "float32"
    precision.faster.cache_clear()
    proofs[1]["seconds"] = (1.0, 1.0)
    (precision._file()).unlink()
    assert choose_precision("auto", "mps") == "float32"


@pytest.mark.parametrize("cuda, mps, first", [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_a_gpu_is_taken_where_there_is_one(monkeypatch, cuda, mps, first):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert precision.default_device() == first and precision.devices()[-1] == "cpu"


def test_names():
    assert PRECISIONS == ("auto", "float32", "bfloat16", "float16") and {*PRECISIONS[1:]} == {*precision.DTYPES}
