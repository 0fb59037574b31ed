"""Upscaling in half precision: within a grey level of float32 almost everywhere, by tiles, images and videos; and the threads of a video."""

import copy
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from recordings import pictures, record
from samples import lively, photograph
from srgan_lib.errors import ImageError
from srgan_lib.models import EncoderDecoder, Mixed, RRDBNet, SRResNet, precision
from srgan_lib.upscaling import Upscaler, enlarge, upscale, upscale_files, upscale_video
from srgan_lib.upscaling import pictures as pictures_module
from srgan_lib.upscaling import workload
from srgan_lib.upscaling.pictures import SelfEnsemble, Shrunk, check_device
from srgan_lib.upscaling.pipeline import Ahead, Behind
from srgan_lib.upscaling.tiles import bytes_per_pixel, prepare
from srgan_lib.upscaling.workload import faster_model

NETWORKS = {"srresnet": lambda: SRResNet(blocks=2, channels=16), "x2": lambda: SRResNet(scale=2, blocks=1, channels=8), "x3": lambda: SRResNet(scale=3, blocks=1, channels=8),
            "transposed": lambda: SRResNet(blocks=1, channels=8, upsampling="transposed"), "plain": lambda: SRResNet(blocks=1, channels=8, normalization="none", output="tanh"),
            "rrdb": lambda: RRDBNet(blocks=1, channels=16, growth=8), "encoder": lambda: EncoderDecoder(channels=8),
            "mixed": lambda: Mixed(SRResNet(blocks=1, channels=8), SRResNet(blocks=1, channels=8), 0.4),
            "ensemble": lambda: SelfEnsemble(SRResNet(blocks=1, channels=8)), "shrunk": lambda: Shrunk(SRResNet(blocks=1, channels=8), 3)}


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_is_near_float32(name, kind):
    """bfloat16 keeps 8 bits of each product, so a few parts in 256 of the result's own spread; float16 keeps 11."""
    generator = lively(NETWORKS[name]())
    lr = torch.rand(1, 3, 24, 28)
    plain, half = enlarge(lr, generator), enlarge(lr, prepare(generator, kind))
    assert half.dtype == torch.float32 and half.shape == plain.shape
    assert (half - plain).abs().mean() < 0.02 * plain.std() and not torch.equal(half, plain)


@pytest.mark.parametrize("name", ["srresnet", "rrdb", "encoder", "mixed"])
def test_tiles_of_half_precision_fit(name):
    network = prepare(lively(NETWORKS[name]()), "bfloat16")
    lr = torch.rand(1, 3, 70, 60)
    torch.testing.assert_close(enlarge(lr, network, tile=24), enlarge(lr, network, tile=200), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("upsampling, kept", [("pixelshuffle", {"head.0", "skip"}), ("pixelshuffledirect", {"head.0", "skip", "upsample.layers.0"})])
def test_what_reads_the_image_stays_in_float32_and_what_writes_it_where_it_is_small(upsampling, kept):
    network = prepare(SRResNet(blocks=2, channels=16, upsampling=upsampling), "bfloat16")
    found = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, inputs, output, name=name: found.update({name: output.dtype}))
    network.body_end.register_forward_hook(lambda layer, inputs, output: found.update(skip=output.dtype))
    network(torch.rand(1, 3, 8, 8))
    single = {name for name, kind in found.items() if kind == torch.float32}
    assert single == kept and len(found) > 6


def test_the_generator_itself_stays_as_it_is():
    generator = lively(SRResNet(blocks=1, channels=8))
    before = copy.deepcopy(generator.state_dict())
    prepare(generator, "bfloat16")
    assert all(value.dtype == before[name].dtype and torch.equal(value, before[name]) for name, value in generator.state_dict().items())


def test_half_precision_takes_less_memory():
    generator = SRResNet(blocks=1, channels=64)
    assert bytes_per_pixel(prepare(generator, "bfloat16")) < 0.6 * bytes_per_pixel(prepare(generator))


def test_images_in_both_precisions_differ_by_little_and_have_names_of_their_own():
    generator, rgb = lively(SRResNet(blocks=2, channels=16)), photograph(30, 40)
    one, other = (np.asarray(upscale(rgb, generator, precision=kind, progress=False)).astype(int) for kind in ("float32", "bfloat16"))
    assert np.abs(one - other).mean() < 1
    prints = {Upscaler(generator, precision=kind).fingerprint() for kind in ("float32", "bfloat16", "float16")}
    assert len(prints) == 3


def test_auto_is_what_the_device_does_fastest(monkeypatch):
    monkeypatch.delenv("SRGAN_PRECISION", raising=False)
    for kind in ("float32", "bfloat16"):
        monkeypatch.setattr(precision, "automatic", lambda device, training=False: kind)
        assert Upscaler(SRResNet(blocks=1, channels=4)).precision == kind


def test_more_than_eight_bits_are_computed_in_float32(monkeypatch):
    monkeypatch.delenv("SRGAN_PRECISION", raising=False)
    monkeypatch.setattr(precision, "automatic", lambda device, training=False: "bfloat16")
    from PIL import Image
    generator, deep = lively(SRResNet(blocks=1, channels=8)), Image.fromarray(photograph(20, 22)[..., 0].astype(np.uint16) * 257)
    plain, auto, half = (np.asarray(upscale(deep, generator, precision=kind, progress=False)).astype(int) for kind in ("float32", "auto", "bfloat16"))
    assert np.array_equal(plain, auto) and not np.array_equal(plain, half)
    upscaler = Upscaler(generator)
    assert upscaler.for_depth(False) is upscaler and upscaler.for_depth(True) is upscaler.for_depth(True) and upscaler.precision == "bfloat16"
    asked = Upscaler(generator, precision="bfloat16")
    assert asked.for_depth(True) is asked


def test_a_folder_in_another_precision_is_computed_again(tmp_path, capsys):
    from PIL import Image
    (tmp_path / "in").mkdir()
    Image.fromarray(photograph(12, 14)).save(tmp_path / "in" / "a.png")
    generator = lively(SRResNet(blocks=1, channels=8))
    for kind in ("bfloat16", "bfloat16", "float32"):
        assert upscale_files([str(tmp_path / "in")], str(tmp_path / "out"), generator, precision=kind) == 0
    assert capsys.readouterr().out.count("1 already done") == 1


def test_a_video_in_half_precision(tmp_path):
    source = record(tmp_path / "a.mp4", frames=6)
    upscale_video(source, tmp_path / "b.mp4", lively(SRResNet(blocks=1, channels=8)), precision="bfloat16")
    assert len(pictures(tmp_path / "b.mp4")) == 6


def test_a_result_that_is_not_finite_names_float32():
    generator = SRResNet(blocks=1, channels=8).eval()
    generator.head[0].bias.data.fill_(1e6)  # float16 ends at 65,504
    with pytest.raises(ImageError, match="or --precision float32"):
        enlarge(torch.rand(1, 3, 8, 8), prepare(generator, "float16"))
    with pytest.raises(ImageError, match="use another model$"):
        generator.head[0].bias.data.fill_(float("nan"))
        enlarge(torch.rand(1, 3, 8, 8), generator)


@pytest.mark.parametrize("here, words", [(["cpu"], "want cpu$"), (["mps", "cpu"], "want mps or cpu$")])
def test_a_wrong_device_names_those_that_are_there(here, words, monkeypatch):
    monkeypatch.setattr(pictures_module, "devices", lambda: here)
    with pytest.raises(ImageError, match=words):
        check_device("gpu")


# ---------------------------------------------------------------- the faster model


@pytest.mark.parametrize("names, seconds, words", [
    ([], {}, ""), (["srresnet-lite-x4"], {"srresnet-lite-x4": 0.1}, "; --model srresnet-lite-x4 is about 10 times faster"),
    (["srresnet-lite-x4"], {"srresnet-lite-x4": 0.7}, ""), (["a-lite-x4", "b-lite-x4", "c-x4"], {"a-lite-x4": 0.25, "b-lite-x4": 0.2}, "; --model b-lite-x4 is about 5 times faster")])
def test_the_faster_model_is_named_where_one_is_shipped(names, seconds, words, monkeypatch):
    upscaler = Upscaler(SRResNet(blocks=1, channels=4), precision="float32")
    loaded = {name: SRResNet(blocks=1, channels=4) for name in seconds}
    monkeypatch.setattr(workload, "shipped", lambda: names)
    monkeypatch.setattr(workload, "load_generator", lambda name: loaded[name])
    monkeypatch.setattr(workload, "prepare", lambda network, precision: network)
    monkeypatch.setattr(workload, "seconds_per_pixel", lambda network, side: next((seconds[name] for name in loaded if loaded[name] is network), 1.0))
    assert faster_model(upscaler) == words


def test_a_model_of_another_scale_is_not_named():
    assert faster_model(Upscaler(SRResNet(scale=2, blocks=1, channels=4))) == ""


# ---------------------------------------------------------------- threads


class Odd(Exception):
    pass


def counted(count: int, closed: list, fails: bool = False):
    try:
        yield from range(count)
        if fails:
            raise Odd("read")
    finally:
        closed.append(threading.current_thread())


def test_the_thread_ahead_keeps_the_order_and_ends():
    closed = []
    assert list(Ahead(counted(50, closed), 3)) == list(range(50)) and closed[0] is not threading.current_thread()


def test_an_error_ahead_comes_behind_the_items_before_it():
    got, closed = [], []
    with pytest.raises(Odd):
        for item in Ahead(counted(5, closed, fails=True), 2):
            got.append(item)
    assert got == [0, 1, 2, 3, 4]


def test_the_thread_ahead_runs_a_few_items_ahead_and_can_be_ended():
    made, closed = [], []

    def items():
        for number in counted(1000, closed):
            made.append(number)
            yield number
    ahead = Ahead(items(), 2)
    assert next(iter(ahead)) == 0
    time.sleep(0.1)
    assert len(made) <= 5
    ahead.close()
    assert not ahead.thread.is_alive()


def test_the_thread_behind_does_all_in_order_before_it_ends():
    done = []
    behind = Behind(done.append, 2)
    for number in range(50):
        behind.put(number)
    behind.finish()
    assert done == list(range(50)) and not behind.thread.is_alive()


def test_an_error_behind_is_raised_once_and_ends_the_work():
    done = []

    def work(number):
        if number == 3:
            raise Odd("written")
        done.append(number)
    behind = Behind(work, 1)
    with pytest.raises(Odd):
        for number in range(100):
            behind.put(number)
    behind.close()
    assert done == [0, 1, 2] and not behind.thread.is_alive()
    with pytest.raises(Odd):
        behind.finish()


@pytest.mark.parametrize("place", ["run", "reader", "encoder"])
def test_an_error_in_any_thread_of_a_video_leaves_no_thread_and_no_file(place, tmp_path, monkeypatch):
    from srgan_lib.upscaling import video
    source, upscaler = record(tmp_path / "a.mp4", frames=12), Upscaler(SRResNet(blocks=1, channels=4))

    def fail(*_):
        raise Odd(place)
    if place == "run":
        monkeypatch.setattr(upscaler, "run", fail)
    else:
        monkeypatch.setattr(video, {"reader": "matrix_of", "encoder": "to_frame"}[place], fail)
    before = threading.active_count()
    with pytest.raises(Odd, match=place):
        upscale_video(source, tmp_path / "b.mp4", upscaler)
    assert threading.active_count() == before and [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_an_interrupt_ends_the_threads_and_the_next_run_goes_on(tmp_path, monkeypatch):
    from srgan_lib.upscaling import encoding, segments
    monkeypatch.setattr(encoding, "FRAMES", 5)
    source, upscaler, run = record(tmp_path / "a.mp4", frames=20), Upscaler(SRResNet(blocks=1, channels=4)), Upscaler.run
    calls = []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 13:
            raise KeyboardInterrupt
        run(self, *arguments)
    monkeypatch.setattr(Upscaler, "run", interrupted)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        upscale_video(source, tmp_path / "b.mp4", upscaler)
    assert threading.active_count() == before and (segments.part_of(tmp_path / "b.mp4") / "1.json").is_file()
    calls.clear()
    calls.extend([1] * 20)
    upscale_video(source, tmp_path / "b.mp4", upscaler)
    assert len(calls) - 20 < 20 - 9 and len(pictures(tmp_path / "b.mp4")) == 20
