"""The page: what it refuses, what it gives back, what it leaves behind; in a real browser with -m slow."""

import io
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import photograph

from srgan_lib.apps import demo
from srgan_lib.__main__ import main
from srgan_lib.errors import CourseError
from srgan_lib.models import SRResNet
from srgan_lib.notes import note
from srgan_lib.upscaling import upscale


def png_of(width: int, height: int) -> bytes:
    """A whole, black, small file whatever the size of the picture in it."""
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + width)) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def photo_bytes(height: int = 40, width: int = 56) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(photograph(height, width)).save(packed, "PNG")
    return packed.getvalue()


HOSTILE = {  # name: (content, words of the answer)
    "text.png": (lambda: b"not a picture at all", "Text.png: not a picture"),
    "cut.png": (lambda: photo_bytes()[:900], "Cut.png: broken picture"),
    "bomb.png": (lambda: png_of(60_000, 3_100), "larger than the limit of 6 megapixels"),
    "60mp.png": (lambda: png_of(10_000, 6_000), "10000 x 6000 pixels, larger than the limit of 6 megapixels"),
    "<img src=x onerror=alert(1)>.png": (lambda: b"<script>", "&lt;img src=x onerror=alert(1)&gt;.png: not a picture"),
    "empty.jpg": (lambda: b"", "not a picture"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("net")
    SRResNet(blocks=1, channels=4).eval().save_pretrained(folder)
    return str(folder)


def uploaded(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


# --- without a server ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_upload_is_one_sentence(name, tmp_path):
    content, words = HOSTILE[name]
    dropped, text = demo.receive(uploaded(tmp_path, name, content()))
    assert dropped is None and words in text and str(tmp_path) not in text and text.count("<") == 2


def test_the_result_is_that_of_upscale_with_everything_that_belongs_to_it(tmp_path, model):
    picture = Image.fromarray(np.dstack([photograph(40, 56), np.full((40, 56), 99, np.uint8)]))
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    picture.save(tmp_path / "my photo.png", exif=exif, icc_profile=b"a profile")
    expected = upscale(str(tmp_path / "my photo.png"), model)
    dropped, text = demo.receive(str(tmp_path / "my photo.png"))
    assert text == "<p>56 x 40 pixels.</p>"
    shares = []
    shown, result, text = demo.enlarge(dropped, model, tmp_path, shares.append)
    before, after = map(Image.open, shown)
    assert Path(result).name == "my photo-x4.png" and text.startswith("<p>224 x 160 pixels with")
    with Image.open(result) as image:
        assert image.mode == "RGBA" and np.array_equal(np.asarray(image), np.asarray(expected))
        assert image.info["icc_profile"] == b"a profile" and image.getexif()[0x010F] == "a camera"
    assert before.size == after.size == (224, 160) and before.mode == after.mode == "RGB" and shares == [1.0]


@pytest.mark.parametrize("kind", ["grey", "deep"])
def test_greys_and_16_bits(kind, tmp_path, model, monkeypatch):
    monkeypatch.setattr(demo, "PREVIEW", 100)
    grey = photograph(40, 56)[..., 0]
    Image.fromarray(grey if kind == "grey" else grey.astype(np.uint16) * 257).save(tmp_path / "a.png")
    shown, result, _ = demo.enlarge(demo.receive(str(tmp_path / "a.png"))[0], model, tmp_path, print)
    before, after = map(Image.open, shown)
    assert after.size == before.size == (100, 71) and Image.open(result).mode == {"grey": "L", "deep": "I;16"}[kind]
    levels = np.asarray(Image.open(result)).astype(float) / (1 if kind == "grey" else 257)
    assert abs(np.asarray(after).mean() - levels.mean()) < 1


def test_notes_and_warnings_reach_the_visitor(tmp_path, model, capsys):
    frames = [Image.fromarray(photograph(8, 9, seed)) for seed in range(3)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "pages.tif", save_all=True, append_images=frames[1:])
    for name, words in (("moving.gif", "moving.gif: animated, 3 frames; the first is used"), ("pages.tif", "holds 3 pages; the first is used")):
        dropped, text = demo.receive(str(tmp_path / name))
        assert words in text and str(tmp_path) not in text
        text = demo.enlarge(dropped, model, tmp_path, print)[-1]
        assert words in text and "36 x 32 pixels with" in text and str(tmp_path) not in text.replace(model, "")
    assert "frames" not in "".join(capsys.readouterr())


def test_a_video_is_called_a_video(tmp_path):
    pytest.importorskip("av")
    from recordings import record
    dropped, text = demo.receive(str(record(tmp_path / "film.avi", "mpeg4", sound=())))
    assert dropped is None and "<p>Film.avi: a video; this page takes images" in text and str(tmp_path) not in text


def test_notes_of_the_result_reach_the_visitor_too(tmp_path, model, monkeypatch):
    Image.fromarray(photograph(8, 9)).save(tmp_path / "a<b>.png")
    monkeypatch.setattr(demo, "save", lambda image, target: (note("something <odd>"), image.save(target)))
    text = demo.enlarge(demo.receive(str(tmp_path / "a<b>.png"))[0], model, tmp_path, print)[-1]
    assert "<li>something &lt;odd&gt;.</li>" in text


def test_a_name_of_255_bytes_has_a_result(tmp_path, model):
    _, result, text = demo.enlarge(demo.receive(uploaded(tmp_path, "猫" * 83 + ".png", photo_bytes(8, 9)))[0], model, tmp_path, print)
    assert result and Path(result).is_file() and "36 x 32" in text


def test_what_would_take_too_long_is_refused(tmp_path, model, monkeypatch):
    dropped = demo.receive(uploaded(tmp_path, "a.png", photo_bytes(720, 720)))[0]
    monkeypatch.setattr(demo, "MOST_SECONDS", 1e-6)
    *nothing, text = demo.enlarge(dropped, model, tmp_path, print)
    assert nothing == [None] * 2 and "takes longer than" in text and [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_nothing_dropped(tmp_path):
    assert "Drop a picture first" in demo.enlarge(None, "srgan-x4", tmp_path, print)[-1]
    assert demo.receive(None) == (None, "")


def test_old_files_and_folders_are_swept_and_young_ones_stay(tmp_path):
    (tmp_path / "folder").mkdir()
    uploaded(tmp_path / "folder", "a.png", b"a")
    demo.sweep(tmp_path, 60)
    assert len(list(tmp_path.rglob("*"))) == 2
    time.sleep(0.05)
    demo.sweep(tmp_path, 0.02)
    demo.sweep(tmp_path, -1)  # deleting the file was a change of its folder
    assert not list(tmp_path.iterdir())


def test_without_gradio_it_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo"]) == 2
    assert "pip install gradio" in capsys.readouterr().err


# --- with a server, through gradio's client --------------------------------------------------------------------------

@pytest.fixture(scope="module")
def served(model):
    """The page on loopback with a small model, ended when its tests are done."""
    pytest.importorskip("gradio", reason="gradio is not installed")
    blocks = demo.launch(models=[model], prevent_thread_lock=True, quiet=True)
    yield blocks
    blocks.close()


def client_of(served):
    from gradio_client import Client
    return Client(served.local_url, verbose=False)


def through(client, path: str, model: str):
    """One picture through the page -> (path of the result or None, sentence)."""
    from gradio_client import handle_file
    refused = client.predict(handle_file(path), api_name="/receive")
    _, result, text = client.predict(model, api_name="/enlarge")
    return result["value"], text if result["value"] else refused


def test_only_this_machine_can_reach_it_and_it_calls_nobody(served):
    import httpx
    assert served.server_name == "127.0.0.1" and served.share is False and served.share_url is None and served.analytics_enabled is False
    answer = httpx.get(served.local_url)
    assert answer.status_code == 200 and answer.headers["content-security-policy"] == demo.POLICY.decode()


def test_a_picture_goes_through_the_server(served, model, tmp_path):
    path = uploaded(tmp_path, "a.png", photo_bytes())
    result, text = through(client_of(served), path, model)
    assert "224 x 160 pixels" in text and np.array_equal(np.asarray(Image.open(result)), np.asarray(upscale(path, model)))


def test_hostile_uploads_and_then_a_good_one(served, model, tmp_path):
    client = client_of(served)
    for number, (content, words) in enumerate(HOSTILE.values()):
        result, text = through(client, uploaded(tmp_path, f"{number}.png", content()), model)
        assert result is None and words.split(": ")[-1] in text
    assert through(client, uploaded(tmp_path, "good.png", photo_bytes()), model)[0]


def test_twenty_at_once_end_in_a_picture_or_a_sentence(served, model, tmp_path):
    path = uploaded(tmp_path, "a.png", photo_bytes())

    def one(_):
        try:
            result, text = through(client_of(served), path, model)
            return text if result is None else "done"
        except Exception as error:  # the client's own kind of error carries the page's sentence
            return str(error)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(20)))
    assert answers.count("done") >= 1 and {answer.split("!")[0] for answer in answers} <= {"done", "Queue is full"}, answers
    assert through(client_of(served), path, model)[0]


def test_an_image_is_taken_while_the_line_of_computations_is_full(served, model, tmp_path, monkeypatch):
    from gradio_client import handle_file
    go, path = threading.Event(), uploaded(tmp_path, "a.png", photo_bytes())

    def held(*_):
        go.wait(60)
        return None, None, "computed"

    monkeypatch.setattr(demo, "enlarge", held)
    waiting = [client_of(served).submit(model, api_name="/enlarge") for _ in range(demo.MOST_WAITING + 1)]
    time.sleep(3)  # until all of them stand in the line
    client = client_of(served)
    try:
        assert "40 pixels" in client.predict(handle_file(path), api_name="/receive")
        with pytest.raises(Exception, match="Queue is full"):
            client.predict(model, api_name="/enlarge")
    finally:
        go.set()
    assert {job.result(60)[2] for job in waiting} == {"computed"}


def test_only_offered_models_and_uploaded_files_are_taken(served, tmp_path):
    import httpx
    with pytest.raises(Exception, match="not in the list of choices"):
        client_of(served).predict("somebody/else", api_name="/enlarge")
    path = uploaded(tmp_path, "private.png", photo_bytes())
    for claimed in (path, f"{demo.temporary_folder()}/../{tmp_path.name}/private.png"):
        call = httpx.post(f"{served.local_url}gradio_api/call/receive", json={"data": [{"path": claimed, "meta": {"_type": "gradio.FileData"}}]})
        answer = httpx.get(f"{served.local_url}gradio_api/call/receive/{call.json()['event_id']}", timeout=60).text
        assert "event: error" in answer and "pixels" not in answer
    assert Path(path).is_file()


def test_a_port_that_cannot_be_had(served):
    for port, words in ((served.server_port, "cannot be served"), (0, "want a number"), (99999, "want a number")):
        with pytest.raises(CourseError, match=words):
            demo.launch(port, prevent_thread_lock=True, quiet=True)


# --- in a browser ----------------------------------------------------------------------------------------------------

@pytest.fixture
def address(subprocess_environment, tmp_path):
    """`python -m srgan_lib demo` in a process of its own; at its end no temporary file is left."""
    pytest.importorskip("gradio", reason="gradio is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "tmp").mkdir()
    environment = {**subprocess_environment, "TMPDIR": str(tmp_path / "tmp")}
    server = subprocess.Popen([sys.executable, "-m", "srgan_lib", "demo", "--port", str(port)], env=environment, stdout=subprocess.DEVNULL)
    while socket.socket().connect_ex(("127.0.0.1", port)) and server.poll() is None:
        time.sleep(0.2)
    yield f"http://127.0.0.1:{port}/"
    server.terminate()
    assert server.wait(60) == 0 and not list((tmp_path / "tmp").glob("srgan-demo-*"))


def drop(page, path: Path, answer: str) -> None:
    """Give the page a file, and wait for what it says."""
    if page.locator("#picture [aria-label='Clear']").count():
        page.locator("#picture [aria-label='Clear']").click()
    page.locator("#picture input[type=file]").set_input_files(str(path))
    page.locator("#status", has_text=answer).wait_for()


@pytest.mark.slow
def test_the_page_in_a_browser(browser, address, tmp_path):
    """Upload, enlarge, move the slider, download, compare; hostile uploads between two good ones. Nothing leaves the machine."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000}, accept_downloads=True)
    page.set_default_timeout(300_000)
    reached = []
    page.on("requestfinished", lambda request: reached.append(request.url))
    page.goto(address)
    page.locator("#picture input[type=file]").wait_for(state="attached")
    for number, (content, words) in enumerate(HOSTILE.values()):
        drop(page, Path(uploaded(tmp_path, f"{number}.png", content())), words.split(": ")[-1])
    drop(page, Path(uploaded(tmp_path, "photo.png", photo_bytes(96, 128))), "128 x 96 pixels")
    page.locator("#start").click()
    page.locator("#status", has_text="512 x 384 pixels with srresnet-x4").wait_for()
    handle = page.locator("#slider .outer").bounding_box() or {}
    place = page.locator("#slider img").first.bounding_box()
    pictures = []
    for share in (0.5, 0.2):
        page.mouse.move(handle["x"] + handle["width"] / 2, place["y"] + place["height"] / 2)
        page.mouse.down()
        page.mouse.move(place["x"] + share * place["width"], place["y"] + place["height"] / 2, steps=5)
        page.mouse.up()
        for _ in range(50):  # the page draws in its own time
            handle = page.locator("#slider .outer").bounding_box()
            if abs(handle["x"] + handle["width"] / 2 - place["x"] - share * place["width"]) < 20:
                break
            page.wait_for_timeout(100)
        else:
            pytest.fail(f"the slider stands at {handle}, wanted {share:.0%} of {place}")
        pictures.append(page.screenshot(path=str(tmp_path / f"slider-{share}.png"), full_page=True))
    assert pictures[0] != pictures[1]
    with page.expect_download() as download:
        page.locator("#download").click()
    download.value.save_as(tmp_path / "result.png")
    assert download.value.suggested_filename == "photo-x4.png"
    assert np.array_equal(np.asarray(Image.open(tmp_path / "result.png")), np.asarray(upscale(str(tmp_path / "photo.png"), "srresnet-x4")))
    assert [url for url in reached if not url.startswith((address, "data:", "blob:"))] == []
    if os.environ.get("SRGAN_SCREENSHOTS"):
        shutil.copytree(tmp_path, os.environ["SRGAN_SCREENSHOTS"], dirs_exist_ok=True, ignore=lambda *_: ["tmp"])
