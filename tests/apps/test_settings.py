"""What the page offers beside the model: strength, scale, exact size, two models on the slider, several images, a Space."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from samples import photograph

from srgan_lib.__main__ import main
from srgan_lib.apps import demo, settings
from srgan_lib.apps.settings import Settings
from srgan_lib.errors import ImageError
from srgan_lib.models import SRResNet, load_generator
from srgan_lib.upscaling import upscale


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("net")
    SRResNet(blocks=1, channels=4).eval().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def gan(tmp_path_factory, model) -> str:
    """A GAN with a record of the generator that it started from."""
    import json
    folder = tmp_path_factory.mktemp("gan")
    SRResNet(blocks=1, channels=4).eval().save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps({"stage": "srgan", "init": model, "strength": 0.5}))
    return str(folder)


def dropped(folder: Path, height: int = 20, width: int = 28, **options):
    Image.fromarray(photograph(height, width)).save(folder / "a.png", **options)
    return demo.receive(str(folder / "a.png"))[0]


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_the_strength_is_that_of_upscale(tmp_path, gan, model):
    picture = dropped(tmp_path)
    for strength in (0, 0.25, 1):
        result = demo.enlarge(picture, gan, tmp_path, print, strength)[1]
        assert np.array_equal(pixels(result), np.asarray(upscale(str(tmp_path / "a.png"), gan, strength=strength)))
    assert settings.first_strength(gan) == 0.5 and settings.first_strength(model) == 1
    assert np.array_equal(pixels(demo.enlarge(picture, model, tmp_path, print, 0.3)[1]), np.asarray(upscale(str(tmp_path / "a.png"), model)))


def test_two_strengths_of_one_model_and_two_models_are_compared(tmp_path, gan, model):
    picture, shares = dropped(tmp_path), []
    shown, result, text = demo.enlarge(picture, gan, tmp_path, shares.append, 1, None, "", gan, 0)
    assert np.array_equal(pixels(shown[0]), np.asarray(upscale(str(tmp_path / "a.png"), model)))
    assert np.array_equal(pixels(shown[1]), pixels(result)) and "on the left" in text and shares == [0.5, 1.0]
    assert not np.array_equal(pixels(shown[0]), pixels(shown[1]))
    shown, *_ = demo.enlarge(picture, gan, tmp_path, print, 1, None, "", model, 0.2)
    assert np.array_equal(pixels(shown[0]), np.asarray(upscale(str(tmp_path / "a.png"), model)))


@pytest.mark.parametrize("scale, size, wanted, name", [("2", "", (56, 40), "a-x2.png"), (settings.OWN, "", (112, 80), "a-x4.png"),
                                                       (settings.OWN, "100x71", (100, 71), "a-100x71.png"), ("2", "50 × 40", (50, 40), "a-50x40.png"),
                                                       (None, "150x100", (150, 100), "a-150x100.png")])
def test_scale_and_exact_size(scale, size, wanted, name, tmp_path, model):
    shown, result, text = demo.enlarge(dropped(tmp_path), model, tmp_path, print, None, scale, size, model)
    assert Image.open(result).size == wanted == Image.open(shown[0]).size == Image.open(shown[1]).size
    assert Path(result).name == name and "{} x {} pixels".format(*wanted) in text


@pytest.mark.parametrize("scale, size, words", [("2", "100x100", "more than a scale of 2 reaches"), (None, "1000x1000", "more than a scale of 8 reaches"), (None, "axb", "want width x height"),
                                                (None, "0x4", "want width x height"), (None, "99999x99999", "megapixels, more than 96"), (None, "1x2x3", "want width x height")])
def test_a_size_that_cannot_be_is_one_sentence(scale, size, words, tmp_path, model):
    *nothing, text = demo.enlarge(dropped(tmp_path), model, tmp_path, print, None, scale, size)
    assert nothing == [None, None] and words in text and text.count("<p>") == 1


def test_a_result_of_too_many_pixels_is_refused(tmp_path, monkeypatch, model):
    monkeypatch.setattr(settings, "MOST_RESULT", 10_000)
    assert "become more than" in demo.enlarge(dropped(tmp_path, 40, 40), model, tmp_path, print)[-1]


def test_the_colour_profile_is_in_both_images_of_the_slider(tmp_path, model):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = dropped(tmp_path, icc_profile=profile)
    for other in (settings.BICUBIC, model):
        shown, result, _ = demo.enlarge(picture, model, tmp_path, print, None, None, "", other)
        assert [Image.open(path).info.get("icc_profile") for path in (*shown, result)] == [profile] * 3
        assert all(Image.open(path).format == "PNG" for path in shown)


def test_several_images_become_one_zip(tmp_path, model):
    (tmp_path / "in").mkdir()
    paths = []
    for number, name in enumerate(("a.png", "b.jpg", "c.png", "sub")):
        path = tmp_path / "in" / name
        if name == "sub":
            path.mkdir()
            path = path / "a.png"
        Image.fromarray(photograph(12, 14, number)).save(path)
        paths.append(str(path))
    Path(paths[2]).write_bytes(b"not an image")
    shares = []
    result, text = demo.enlarge_all(paths, model, tmp_path, shares.append)
    with zipfile.ZipFile(result) as archive:
        assert archive.namelist() == ["a-x4.png", "b-x4.png", "a-x4-2.png"] and archive.testzip() is None
        for name, path in zip(archive.namelist(), (paths[0], paths[1], paths[3])):
            assert np.array_equal(pixels(io.BytesIO(archive.read(name))), np.asarray(upscale(path, model)))
    assert "c.png: left out" in text and str(tmp_path) not in text and shares[-1] == 1 and shares == sorted(shares)


def test_several_that_are_none_or_too_many(tmp_path, model):
    (tmp_path / "a.png").write_bytes(b"no")
    assert demo.enlarge_all([], model, tmp_path, print)[0] is None and "Drop the images first" in demo.enlarge_all(None, model, tmp_path, print)[1].replace("drop", "Drop")
    assert "more than 20 at once" in demo.enlarge_all(["a"] * 21, model, tmp_path, print)[1]
    result, text = demo.enlarge_all([str(tmp_path / "a.png")], model, tmp_path, print)
    assert result is None and "Nothing was enlarged" in text and not list(tmp_path.rglob("*.zip")) and not list(tmp_path.rglob("*.part"))
    assert "want width x height" in demo.enlarge_all([str(tmp_path / "a.png")], model, tmp_path, print, None, None, "x")[1]


def test_strength_is_for_gans_alone():
    """srresnet-x2 started from srresnet-x4, but is no GAN: their images have different sizes."""
    from srgan_lib.errors import ModelError
    assert Settings.of("srresnet-x2", 0.5).strength is None and Settings.of("srgan-x4", 0.5).strength == 0.5
    with pytest.raises(ModelError, match="strength is for a GAN"):
        load_generator("srresnet-x2", strength=0.5)


def test_a_size_is_read_as_people_write_it():
    assert settings.size_of("") is None and settings.size_of(None) is None and settings.size_of(" 1920 × 1080 ") == (1920, 1080)
    with pytest.raises(ImageError):
        settings.size_of("1920")


def test_a_space_is_written_and_its_app_begins(tmp_path, subprocess_environment, capsys):
    folder = tmp_path / "space"
    for _ in range(2):
        assert main(["demo", "--space", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "app.py", "requirements.txt"]
    front = (folder / "README.md").read_text().split("---\n")[1]
    import yaml
    said = yaml.safe_load(front)
    assert said["sdk"] == "gradio" and said["app_file"] == "app.py" and (folder / said["app_file"]).is_file() and "gradio" not in (folder / "requirements.txt").read_text()
    code = f"import sys, srgan_lib.apps.demo as demo\ndemo.launch = lambda: print('launched')\nexec(open({str(folder / 'app.py')!r}).read())"
    assert subprocess.run([sys.executable, "-c", code], env=subprocess_environment, capture_output=True, text=True).stdout == "launched\n"
    (folder / "app.py").write_text("something of mine")
    assert main(["demo", "--space", str(folder)]) == 2 and (folder / "app.py").read_text() == "something of mine"
    (tmp_path / "file").write_text("")
    assert main(["demo", "--space", str(tmp_path / "file")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
