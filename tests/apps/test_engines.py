"""Exported files: the same numbers as PyTorch's by every engine, behind our tiles, in the layout that other programs want."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from samples import lively, photograph

from srgan_lib.__main__ import main
from srgan_lib.apps import engines, exporters
from srgan_lib.apps.engines import load_engine
from srgan_lib.apps.export import TOLERANCE, plain
from srgan_lib.errors import ModelError
from srgan_lib.images import to_tensor
from srgan_lib.models import EncoderDecoder, SRResNet
from srgan_lib.upscaling import enlarge, upscale

NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",), "ncnn": ("pnnx", "ncnn"), "torchscript": ()}


def wanted(kind: str) -> None:
    for name in NEEDED[kind]:
        pytest.importorskip(name, reason=f"{name} is not installed")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("nets") / "net-x4"
    lively(SRResNet(blocks=2, channels=8)).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("kind", NEEDED)
def test_each_format_is_written_checked_and_run_behind_tiles(kind, model, tmp_path, capsys):
    wanted(kind)
    ending = exporters.FORMATS[kind]
    target = tmp_path / "upscayl" if kind == "ncnn" else tmp_path / f"net{ending}"
    assert main(["export", model, "--to", kind, "-o", str(target)]) == 0
    assert "of PyTorch at 3 sizes" in capsys.readouterr().out
    file = target / "net-x4.param" if kind == "ncnn" else target
    assert {path.name for path in file.parent.iterdir()} == {file.name, *({f"{file.stem}.bin"} if kind in ("ncnn", "openvino") else set())}
    Image.fromarray(photograph(47, 61)).save(tmp_path / "a.png")
    expected = np.asarray(upscale(str(tmp_path / "a.png"), model)).astype(int)
    command = ["upscale", "--tile", "16", "-o", str(tmp_path / "b.png"), "--engine", kind]
    assert main([*command, "--model", str(file), str(tmp_path / "a.png")]) == 0
    assert abs(np.asarray(Image.open(tmp_path / "b.png")).astype(int) - expected).max() <= 1
    (tmp_path / "b.png").unlink()
    assert main([*command, str(file), str(tmp_path / "a.png")]) == 0
    assert abs(np.asarray(Image.open(tmp_path / "b.png")).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("kind", NEEDED)
@pytest.mark.parametrize("network", [SRResNet(scale=3, blocks=1, channels=4, output="tanh"), EncoderDecoder(channels=4)], ids=["x3 tanh", "encoder-decoder"])
def test_other_networks(kind, network, tmp_path):
    wanted(kind)
    if kind == "onnx":
        pytest.skip("test_export.py holds it")
    if kind == "ncnn" and isinstance(network, EncoderDecoder):
        pytest.skip("held by the next test")
    network = lively(network)
    path = tmp_path / f"net{exporters.FORMATS[kind]}"
    exporters.write(kind, plain(network), path)
    assert exporters.worst(network, path, kind, [(8, 8), (1, 1), (1, 50), (41, 23)]) < TOLERANCE


def test_what_a_converter_writes_wrong_is_not_written(tmp_path, capsys):
    """pnnx 20261020 keeps the padding of one size of the encoder-decoder."""
    wanted("ncnn")
    lively(EncoderDecoder(channels=4)).save_pretrained(tmp_path / "net")
    assert main(["export", str(tmp_path / "net"), "--to", "ncnn", "-o", str(tmp_path / "new")]) in (0, 2)
    said = "".join(capsys.readouterr())
    assert "of PyTorch at 3 sizes" in said or (not (tmp_path / "new").exists() and len(said.splitlines()) == 1), said


def test_the_folder_that_upscayl_takes(model, tmp_path):
    """As in upscayl/upscayl at 8a615f5, resources/models/RealESRGAN_General_x4_v3.param: magic, counts, blobs "data" and "output", layer types."""
    wanted("ncnn")
    assert main(["export", model, "--to", "ncnn", "-o", str(tmp_path)]) == 0
    lines = [line.split() for line in (tmp_path / "net-x4.param").read_text().splitlines()]
    assert lines[0] == ["7767517"] and lines[2] == ["Input", "input.1", "0", "1", "data"]
    assert int(lines[1][0]) == len(lines) - 2 and lines[-1][0] == "PixelShuffle" and "output" in lines[-1]
    assert {line[0] for line in lines[2:]} <= {"Input", "Split", "Convolution", "PReLU", "ReLU", "PixelShuffle", "Interp", "BinaryOp"}
    blobs = [blob for line in lines[2:] for blob in line[4 + int(line[2]):4 + int(line[2]) + int(line[3])]]
    assert len(set(blobs)) == len(blobs) == int(lines[1][1])


def test_ncnn_weights_are_float32(model, tmp_path):
    wanted("ncnn")
    assert main(["export", model, "--to", "ncnn", "-o", str(tmp_path)]) == 0
    parameters = sum(value.numel() for value in plain(SRResNet(blocks=2, channels=8)).parameters() if value.ndim > 0)
    assert (tmp_path / "net-x4.bin").stat().st_size > 3.9 * parameters


def test_the_table(model, capsys):
    assert main(["export", model, "--compare"]) == 0
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[1].split()[0] for row in rows] == ["PyTorch", *exporters.FORMATS]
    for row in rows[1:]:
        assert "not at hand here" in row[2] or float(row[2]) < 255 * TOLERANCE


def test_names_of_ncnn_files_carry_the_scale():
    from srgan_lib.apps.export import target_of
    assert [target_of(name, "ncnn", None, 4).name for name in ("srgan-x4", "4x_mine", "mine", "x40")] == \
        ["srgan-x4.param", "4x_mine.param", "mine-x4.param", "x40-x4.param"]


def refused(capsys, *arguments) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    line, = capsys.readouterr().err.strip().splitlines()
    return line


@pytest.mark.parametrize("kind", NEEDED)
def test_a_broken_file_is_one_sentence(kind, tmp_path, capsys):
    wanted(kind)
    Image.fromarray(photograph(8, 8)).save(tmp_path / "a.png")
    (tmp_path / "net.any").write_bytes(b"not a network")
    (tmp_path / "net.bin").write_bytes(b"")
    assert "net.any" in refused(capsys, "upscale", "--engine", kind, tmp_path / "net.any", tmp_path / "a.png")
    assert "no such file" in refused(capsys, "upscale", "--engine", kind, "--model", tmp_path / "none", tmp_path / "a.png")
    assert "want an exported file and an image" in refused(capsys, "upscale", "--engine", kind, tmp_path / "net.any")
    assert "leave --strength" in refused(capsys, "upscale", "--engine", kind, "--strength", "1", tmp_path / "net.any", tmp_path / "a.png")


def test_somebody_elses_architecture_is_not_exported(tmp_path, capsys):
    spandrel = pytest.importorskip("spandrel.architectures.SPAN", reason="spandrel is not installed")
    from safetensors.torch import save_file
    save_file(spandrel.SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2).state_dict(), tmp_path / "a.safetensors")
    assert "the course's own generators" in refused(capsys, "export", tmp_path / "a.safetensors", "-o", tmp_path / "a.onnx")


class Fixed:
    """An engine that takes images of at least 32 pixels alone."""

    def __call__(self, lr):
        if min(lr.shape[-2:]) < 32:
            raise RuntimeError("too small")
        return lr.repeat(2, -1).repeat(2, -2)


def test_a_network_that_wants_more_than_a_few_pixels_is_given_them(tmp_path, monkeypatch):
    monkeypatch.setitem(engines.OPENED, "onnx", lambda path, threads: Fixed())
    (tmp_path / "a.onnx").write_bytes(b"")
    network = load_engine(tmp_path / "a.onnx")
    lr = to_tensor(photograph(40, 7))
    assert network.scale == 2 and network.minimum == 32
    assert torch.equal(enlarge(lr, network), lr.repeat_interleave(2, -1).repeat_interleave(2, -2))


@pytest.mark.parametrize("run, words", [
    (lambda lr: lr[:, :1], "no enlarged RGB image"), (lambda lr: lr.repeat(2, -1), "no enlarged RGB image"), (lambda lr: 1 / 0, "takes no RGB image of 10, 16, 32, 64"),
], ids=["grey", "wider", "fails"])
def test_a_network_for_something_else_is_one_sentence(run, words, tmp_path, monkeypatch):
    monkeypatch.setitem(engines.OPENED, "onnx", lambda path, threads: run)
    (tmp_path / "a.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=re.escape(words)):
        load_engine(tmp_path / "a.onnx")


def test_without_the_package_it_is_one_sentence(model, tmp_path, monkeypatch, capsys):
    import sys
    for name in ("openvino", "pnnx"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "pip install openvino" in refused(capsys, "export", model, "--to", "openvino", "-o", tmp_path / "a.xml")
    assert "pip install pnnx" in refused(capsys, "export", model, "--to", "ncnn", "-o", tmp_path)
    assert not list(tmp_path.iterdir())
