"""The page in a real browser: two models compared, a strength chosen, several images, a colour profile kept, a Space's own app.py."""

import io
import socket
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageCms
from samples import photograph, save_photographs

from srgan_lib.__main__ import main
from srgan_lib.upscaling import upscale


@pytest.fixture
def space(subprocess_environment, tmp_path):
    """A Space's folder served by its own app.py -> its address."""
    pytest.importorskip("gradio", reason="gradio is not installed")
    assert main(["demo", "--space", str(tmp_path / "space")]) == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "tmp").mkdir()
    environment = {**subprocess_environment, "TMPDIR": str(tmp_path / "tmp"), "GRADIO_SERVER_PORT": str(port)}
    server = subprocess.Popen([sys.executable, "app.py"], cwd=tmp_path / "space", env=environment, stdout=subprocess.DEVNULL)
    while socket.socket().connect_ex(("127.0.0.1", port)) and server.poll() is None:
        time.sleep(0.2)
    yield f"http://127.0.0.1:{port}/"
    server.terminate()
    server.wait(60)


def choose(page, place: str, text: str) -> None:
    """Choose an entry of a dropdown."""
    page.locator(f"{place} input").first.click()
    page.get_by_role("option", name=text, exact=True).first.click()


@pytest.mark.slow
def test_two_models_a_profile_several_images_and_a_space(browser, space, tmp_path):
    page = browser.new_page(viewport={"width": 1200, "height": 1100}, accept_downloads=True)
    page.set_default_timeout(90_000)
    page.goto(space)
    page.locator("#picture input[type=file]").wait_for(state="attached")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(photograph(48, 64)).save(tmp_path / "a.png", icc_profile=profile)
    page.locator("#picture input[type=file]").set_input_files(str(tmp_path / "a.png"))
    page.locator("#status", has_text="64 x 48 pixels").wait_for()
    choose(page, "#model", "srgan-x4")
    page.wait_for_function("document.querySelector('#strength input[type=number]').value == 0.95")  # the strength that it was released with
    page.locator("#strength input[type=number]").fill("1")
    page.locator("#left button").first.click()
    choose(page, "#other", "srresnet-x4")
    page.locator("#start").click()
    page.locator("#status", has_text="256 x 192 pixels with srgan-x4, srresnet-x4 on the left").wait_for()
    page.locator("#slider img").nth(1).wait_for()
    shown = []
    for number in range(2):
        answer = page.request.get(page.locator("#slider img").nth(number).get_attribute("src"))
        image = Image.open(io.BytesIO(answer.body()))
        assert image.format == "PNG" and image.info["icc_profile"] == profile
        shown.append(np.asarray(image))
    wanted = [np.asarray(upscale(str(tmp_path / "a.png"), name, strength=1)) for name in ("srgan-x4", "srresnet-x4")]
    assert any(np.array_equal(one, wanted[0]) for one in shown) and any(np.array_equal(one, wanted[1]) for one in shown)
    page.screenshot(path=str(tmp_path / "compared.png"), full_page=True)
    save_photographs(tmp_path / "in", 3, 20, 24)
    page.locator("#several button").first.click()
    page.locator("#pictures input[type=file]").set_input_files([str(path) for path in sorted((tmp_path / "in").iterdir())])
    page.locator("#pictures", has_text="02").wait_for()
    page.locator("#size input, #size textarea").first.fill("60x50")
    page.locator("#start-all").click()
    page.locator("#status-all", has_text="Finished").wait_for()
    with page.expect_download() as download:
        page.locator("#download-all").click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.namelist() == [f"{number:02}-60x50.png" for number in range(3)]
        assert {Image.open(io.BytesIO(archive.read(name))).size for name in archive.namelist()} == {(60, 50)}
    page.locator("#example-cat").click()
    page.locator("#status", has_text="451 x 300 pixels").wait_for()
    page.screenshot(path=str(tmp_path / "page.png"), full_page=True)
