"""ONNX: the same numbers as PyTorch's at sizes that the exporter never saw."""

import builtins
import json

import pytest
import torch
from samples import lively
from torch import nn

from srgan_lib.apps import export
from srgan_lib.__main__ import main
from srgan_lib.apps.engines import load_engine
from srgan_lib.models import EncoderDecoder, SRResNet, load_generator


@pytest.fixture
def tools():
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed")


@pytest.mark.parametrize("options", [{}, {"scale": 2}, {"scale": 3}, {"scale": 8}, {"upsampling": "transposed"}, {"upsampling": "resize"},
                                     {"normalization": "none", "output": "tanh"}], ids=str)
def test_plain_networks_compute_the_same(options):
    network, lr = lively(SRResNet(blocks=1, channels=4, **options)), torch.rand(2, 3, 13, 9)
    plain = export.plain(network)
    assert not any(isinstance(layer, (nn.BatchNorm2d, export.ShuffleConv2d)) and getattr(layer, "factor", 2) > 1 for layer in plain.modules())
    with torch.no_grad():
        assert (plain(lr) - network(lr)).abs().max() < 1e-5


@pytest.mark.parametrize("network", [SRResNet(blocks=2, channels=8), SRResNet(scale=3, blocks=1, channels=4, output="tanh"), EncoderDecoder(channels=4)],
                         ids=["x4", "x3 tanh", "encoder-decoder"])
def test_onnx_equals_torch_at_other_sizes(tools, network, tmp_path):
    network = lively(network)
    export.export_onnx(network, tmp_path / "net.onnx")
    assert export.difference(network, tmp_path / "net.onnx", [(8, 8), (1, 1), (1, 50), (41, 23), (64, 96)]) < export.TOLERANCE


def test_the_command(tools, tmp_path, capsys):
    lively(SRResNet(blocks=1, channels=4)).save_pretrained(tmp_path / "net")
    assert main(["export", str(tmp_path / "net"), "-o", str(tmp_path / "new" / "net.onnx")]) == 0
    assert "of PyTorch at 3 sizes" in capsys.readouterr().out and [path.name for path in (tmp_path / "new").iterdir()] == ["net.onnx"]
    assert main(["export", str(tmp_path / "none"), "-o", str(tmp_path / "a.onnx")]) == 2
    (tmp_path / "a file").write_text("")
    assert main(["export", str(tmp_path / "net"), "-o", str(tmp_path / "a file" / "net.onnx")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.fixture
def gan(tmp_path):
    """A saved GAN with a record of the generator that it started from, released at strength 0.7."""
    for name in ("base", "gan"):
        lively(SRResNet(blocks=1, channels=4)).save_pretrained(tmp_path / name)
    (tmp_path / "gan" / "training.json").write_text(json.dumps({"init": str(tmp_path / "base"), "strength": 0.7}))
    return tmp_path / "gan"


@pytest.mark.parametrize("kind", ["onnx", "torchscript", "openvino"])
def test_a_mix_is_written_whole(kind, gan, tmp_path, capsys):
    for name in {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",)}.get(kind, ()):
        pytest.importorskip(name, reason=f"{name} is not installed")
    target = tmp_path / f"mix{export.FORMATS[kind]}"
    assert main(["export", str(gan), "--strength", "0.7", "--to", kind, "-o", str(target)]) == 0
    assert "of PyTorch at 3 sizes" in capsys.readouterr().out
    lr, mixed = torch.rand(1, 3, 30, 41), load_generator(gan, strength=0.7)
    with torch.no_grad():
        assert (load_engine(target, kind, 1)(lr) - mixed(lr)).abs().max() < export.TOLERANCE < (mixed(lr) - load_generator(gan)(lr)).abs().max()


def test_without_a_strength_the_gan_alone_is_written_and_that_is_said(gan, tmp_path, capsys):
    assert main(["export", str(gan), "--to", "torchscript", "-o", str(tmp_path / "net.pt")]) == 0
    assert "is written at strength 1" in "".join(capsys.readouterr())
    assert main(["export", str(gan.parent / "base"), "--to", "torchscript", "-o", str(tmp_path / "base.pt")]) == 0
    assert "written at strength" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("options, words", [(["--strength", "0.5", "--to", "ncnn"], "loses the slopes"), (["--strength", "0.5", "--compare"], "loses the slopes"),
                                            (["--strength", "2"], "want a number from 0"), (["--strength", "much"], "want a number from 0")], ids=str)
def test_a_strength_that_cannot_be_written_is_one_sentence(options, words, gan, tmp_path, capsys):
    assert main(["export", str(gan), *options, "-o", str(tmp_path / "new")]) == 2
    said = capsys.readouterr().err
    assert words in said and len(said.strip().splitlines()) == 1 and not (tmp_path / "new").exists()


def test_a_file_that_differs_is_deleted(tools, tmp_path, monkeypatch, capsys):
    lively(SRResNet(blocks=1, channels=4)).save_pretrained(tmp_path / "net")
    monkeypatch.setattr(export, "difference", lambda *_: 0.1)
    assert main(["export", str(tmp_path / "net"), "-o", str(tmp_path / "net.onnx")]) == 2
    assert "differs from PyTorch" in capsys.readouterr().err and not (tmp_path / "net.onnx").exists()


def test_without_the_tools_it_is_one_sentence(tmp_path, monkeypatch, capsys):
    def absent(name, *arguments, **options):
        if name.startswith("onnx"):
            raise ImportError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **options)

    real = builtins.__import__
    SRResNet(blocks=1, channels=4).save_pretrained(tmp_path / "net")
    monkeypatch.setattr(builtins, "__import__", absent)
    assert main(["export", str(tmp_path / "net"), "-o", str(tmp_path / "net.onnx")]) == 2
    assert "pip install onnx onnxscript onnxruntime" in capsys.readouterr().err
