"""Named sets, archives and models through the loopback Hub: little is transferred, nothing hangs, nothing hostile gets out."""

import contextlib
import io
import itertools
import os
import socket
import struct
import subprocess
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import photograph, save_photographs
from loopback import COMMIT
from PIL import Image

from srgan_lib.data import hub as room
from srgan_lib.data import open_bank
from srgan_lib.errors import DataError, ModelError
from srgan_lib.data import DATASETS, images
from srgan_lib.data.hub import full_commit
from srgan_lib.images import read_image
from srgan_lib.models import SRResNet, load_generator

numbers = itertools.count()


def png(seed: int, height: int = 30, width: int = 40) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photograph(height, width, seed)).save(file, "PNG")
    return file.getvalue()


def zipped(members: dict[str, bytes], **options) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def fresh_repo() -> str:
    """A name that no cache has seen."""
    return f"somebody/set{next(numbers)}"


def listed(pictures) -> dict[str, np.ndarray]:
    return {name: read_image(source) for name, source in pictures}


# ---------------------------------------------------------------- named sets


def test_div2k_comes_from_the_hub_once(hub):
    members = {f"DIV2K_valid_HR/{801 + n:04}.png": png(n) for n in range(3)}
    hub.repos["datasets/goodfellowliu/DIV2K"] = {"DIV2K_valid_HR.zip": zipped({"DIV2K_valid_HR/": b"", **members})}
    first = listed(images("div2k", "valid"))
    assert list(first) == sorted(members) and np.array_equal(first["DIV2K_valid_HR/0802.png"], photograph(30, 40, 1))
    asked = [path for _, path in hub.requests if "resolve" in path]
    assert asked and all(DATASETS["div2k"].revision in path for path in asked)  # the pinned commit, not the branch
    hub.requests.clear()
    again = listed(images("div2k", "valid"))
    assert list(again) == list(first) and hub.requests == []


def test_set5_is_a_tar_and_its_only_split_serves_every_name(hub):
    hub.repos["datasets/eugenesiow/Set5"] = {"data/Set5_HR.tar.gz": tarred({f"Set5_HR/{n}.png": png(n) for n in range(3)})}
    for split in ("test", "valid", "train"):
        assert list(listed(images("set5", split, limit=2))) == ["Set5_HR/0.png", "Set5_HR/1.png"]


def test_an_abbreviated_commit_is_resolved_once_and_recorded(hub, monkeypatch):
    repo = fresh_repo()
    hub.repos[f"datasets/{repo}"] = {"a.zip": zipped({"a.png": png(0)})}
    assert full_commit(repo, "f53f233") == "f53f233" + COMMIT[7:]
    assert full_commit(repo, COMMIT) == COMMIT and full_commit(repo, "main") == "main"
    monkeypatch.setitem(DATASETS, "short", replace(DATASETS["celeba3k"], repo=repo, revision="f53f233", files={"train": "a.zip"}))
    assert list(listed(images("short"))) == ["a.png"]
    assert any("f53f233" + COMMIT[7:] in path for _, path in hub.requests if "resolve" in path)
    hub.requests.clear()
    assert list(listed(images("short"))) == ["a.png"] and hub.requests == []


def test_hf_addresses_with_and_without_a_revision(hub):
    repo = fresh_repo()
    hub.repos[f"datasets/{repo}"] = {"folder/a.zip": zipped({"a.png": png(0)})}
    for address in (f"hf://datasets/{repo}/folder/a.zip", f"hf://datasets/{repo}@{COMMIT}/folder/a.zip"):
        assert list(listed(images(address))) == ["a.png"]
    for address in ("hf://datasets/somebody", "hf://datasets/somebody/set"):
        with pytest.raises(DataError, match="want hf://datasets/OWNER/REPO/FILE.zip"):
            images(address)


def test_the_bank_of_a_hub_set_is_built_once(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("SRGAN_CACHE", str(tmp_path))
    repo = fresh_repo()
    hub.repos[f"datasets/{repo}"] = {"a.zip": zipped({f"{n}.png": png(n) for n in range(3)})}
    address = f"hf://datasets/{repo}/a.zip"
    assert open_bank(address, limit=2, progress=False).names == ["0.png", "1.png"]
    hub.requests.clear()
    assert open_bank(address, limit=2, progress=False).names == ["0.png", "1.png"] and hub.requests == []


# ---------------------------------------------------------------- by range


class Sparse(io.FileIO):
    """A file whose large blocks are holes: 400 MB to a reader, a few on the disk."""

    def write(self, content) -> int:
        if len(content) < 2**20:
            return super().write(content)
        self.seek(len(content), os.SEEK_CUR)
        return len(content)


def test_ten_pictures_of_a_large_zip_cost_ten_pictures(hub, tmp_path):
    firsts = {f"DIV2K_train_HR/{n:04}.png": png(n, 200, 300) for n in range(1, 11)}
    with Sparse(tmp_path / "large.zip", "w") as file, zipfile.ZipFile(file, "w") as archive:
        for name, content in firsts.items():
            archive.writestr(name, content)
        for n in range(11, 801):
            archive.writestr(f"DIV2K_train_HR/{n:04}.png", bytes(2**20 if n > 430 else 2**10))
    size = (tmp_path / "large.zip").stat().st_size
    assert size > 300_000_000
    repo = fresh_repo()
    hub.repos[f"datasets/{repo}"] = {"large.zip": tmp_path / "large.zip"}
    found = dict(images(f"hf://datasets/{repo}/large.zip", limit=10))
    assert found == firsts
    assert hub.sent <= sum(map(len, firsts.values())) + 0.02 * size


def test_a_range_and_a_download_give_the_same_pictures(hub):
    repo = fresh_repo()
    hub.repos[f"datasets/{repo}"] = {"a.zip": zipped({f"{n}.png": png(n) for n in range(5)}, compression=zipfile.ZIP_DEFLATED)}
    by_range = dict(images(f"hf://datasets/{repo}/a.zip", limit=3))
    assert not any("GET" == verb and path.endswith("a.zip") and room._cached(repo, "main", "a.zip") for verb, path in hub.requests)
    whole = dict(images(f"hf://datasets/{repo}/a.zip"))
    assert list(by_range) == list(whole)[:3] and all(by_range[name] == whole[name] for name in by_range)


# ---------------------------------------------------------------- what is not there


@pytest.mark.parametrize("limit", [None, 2])
def test_missing_repositories_and_files_are_one_sentence(hub, limit):
    repo = fresh_repo()
    with pytest.raises(DataError, match=f"{repo}/a.zip.*no such repository") as caught:
        list(images(f"hf://datasets/{repo}/a.zip", limit=limit))
    assert "\n" not in str(caught.value) and "http" not in str(caught.value)
    hub.repos[f"datasets/{repo}"] = {"b.zip": zipped({"a.png": png(0)})}
    with pytest.raises(DataError, match="a.zip"):
        list(images(f"hf://datasets/{repo}/a.zip", limit=limit))


def test_unknown_names_come_with_the_nearest(hub):
    with pytest.raises(DataError, match=r"div2: no such data set, folder or archive; did you mean div2k\?"):
        images("div2")
    with pytest.raises(DataError, match="has no split 'test', only train, valid"):
        images("div2k", "test")
    with pytest.raises(ModelError, match="srresnet.*no such model"):
        load_generator("srresnet-x44")
    assert hub.requests == []


def closed_port() -> int:
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


COLD_START = """
import sys
from srgan_lib.data.hub import fetch_model, images
for attempt in (lambda: list(images("div2k")), lambda: list(images("div2k", limit=3)), lambda: list(images("celeba3k")),
                lambda: fetch_model("somebody/model")) * 2:
    try:
        attempt()
    except ValueError as error:
        print(error)
"""


def test_a_cold_start_without_a_network_is_one_sentence_soon(python, subprocess_environment, tmp_path):
    """The client alone retries for 23 s a file; the eight attempts would not end within the limit."""
    environment = {**subprocess_environment, "HF_ENDPOINT": f"http://127.0.0.1:{closed_port()}", "HF_HOME": str(tmp_path)}
    done = subprocess.run([python, "-c", COLD_START], capture_output=True, text=True, env=environment, timeout=120)
    said = done.stdout.splitlines()
    assert len(said) == 8 and done.returncode == 0, done.stderr
    assert all("cannot be reached" in line and "--data sample" in line for line in said)
    assert "(3531 MB)" in said[0] and "first 3 pictures" in said[1]
    assert done.stderr == ""


def test_offline_mode_is_taken_at_its_word(hub, monkeypatch):
    from huggingface_hub import constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="cannot be reached"):
        list(images(f"hf://datasets/{fresh_repo()}/a.zip"))
    assert hub.requests == []


def test_tokens_never_show(hub, monkeypatch, capsys):
    token = "hf_" + "secret" * 6
    monkeypatch.setenv("HF_TOKEN", token)
    repo = fresh_repo()
    said = []
    for address in (f"hf://datasets/{repo}/a.zip", f"hf://datasets/{repo}@abcdef1/a.zip"):
        for limit in (None, 2):
            with pytest.raises(DataError) as caught:
                list(images(address, limit=limit))
            said.append(str(caught.value))
    with pytest.raises(DataError) as caught:
        load_generator(fresh_repo())
    printed = "".join(capsys.readouterr())
    assert token not in " ".join([*said, str(caught.value), printed]) and token not in str(hub.requests)
    assert any(token in headers.get("Authorization", headers.get("authorization", "")) for headers in hub.headers)  # it was in use


# ---------------------------------------------------------------- hostile archives


def patched(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


def claiming(size: int) -> bytes:
    """A zip whose directory claims that its picture unpacks to `size` bytes."""
    honest = zipped({"a.png": bytes(5000)}, compression=zipfile.ZIP_DEFLATED)
    return patched(honest, struct.pack("<I", 5000), struct.pack("<I", size))


def encrypted() -> bytes:
    """A zip whose only member has the flag of encryption set in both its headers."""
    content = bytearray(zipped({"a.png": png(0)}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


def damaged() -> bytes:
    content = bytearray(zipped({"a.png": os.urandom(64) * 200}, compression=zipfile.ZIP_DEFLATED))
    content[45:75] = b"\xff" * 30
    return bytes(content)


HOSTILE = {
    "bomb.zip": (claiming(2_000_000_000), "a.png unpacks to 2000 MB, over the limit of 200 MB"),
    "liar.zip": (claiming(4000), "broken archive"),
    "encrypted.zip": (encrypted(), "broken archive .*encrypted"),
    "damaged.zip": (damaged(), "broken archive"),
    "cut.zip": (zipped({"a.png": png(0)})[:-30], "neither a folder nor a zip"),
    "cut.tar.gz": (tarred({"a.png": png(0), "b.png": png(1)})[:-900], "broken archive"),
    "text.zip": (zipped({"readme.txt": b"hello"}), "no pictures in this archive"),
    "empty.tar": (tarred({}, "w"), "no pictures in this archive"),
    "letter.zip": (b"dear reader", "neither a folder nor a zip"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_one_sentence(tmp_path, name):
    content, reason = HOSTILE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        list(images(str(tmp_path / name)))
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_tar_member_over_the_limit_is_not_unpacked(tmp_path):
    info = tarfile.TarInfo("a.png")
    info.size = 3 * 10**9
    (tmp_path / "bomb.tar").write_bytes(info.tobuf() + bytes(2**16))
    with pytest.raises(DataError, match="over the limit|broken archive"):
        list(images(str(tmp_path / "bomb.tar")))


def test_no_member_leaves_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SRGAN_CACHE", str(tmp_path / "deep" / "cache"))
    names = ["../../escaped.png", f"{tmp_path}/absolute.png", "a\\..\\..\\windows.png", "good.png"]
    (tmp_path / "a.zip").write_bytes(zipped({name: png(n) for n, name in enumerate(names)}))
    (tmp_path / "a.tar").write_bytes(tarred({name: png(n) for n, name in enumerate(names)}, "w"))
    for archive in ("a.zip", "a.tar"):
        assert len(open_bank(str(tmp_path / archive), progress=False)) == 4
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and "deep" not in path.parts]
    assert sorted(path.name for path in outside) == ["a.tar", "a.zip"]


def test_links_and_devices_in_a_tar_are_passed_over(tmp_path):
    (tmp_path / "secret.png").write_bytes(png(9))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("soft.png", tarfile.SYMTYPE), ("hard.png", tarfile.LNKTYPE), ("pipe.png", tarfile.FIFOTYPE), ("dir.png", tarfile.DIRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(tmp_path / "secret.png")
            archive.addfile(info)
        info = tarfile.TarInfo("z.png")
        info.size = len(png(0))
        archive.addfile(info, io.BytesIO(png(0)))
    assert [name for name, _ in images(str(tmp_path / "a.tar"))] == ["z.png"]


def test_what_macos_and_others_put_into_archives_is_passed_over(tmp_path):
    members = {"a/2.png": png(2), "a/1.png": png(1), "__MACOSX/a/._1.png": b"x", "a/._1.png": b"x", "a/notes.txt": b"x", "a/": b""}
    (tmp_path / "a.zip").write_bytes(zipped(members))
    assert [name for name, _ in images(str(tmp_path / "a.zip"))] == ["a/1.png", "a/2.png"]


# ---------------------------------------------------------------- folders and the sample


def test_folders_are_sorted_and_only_their_pictures_count(tmp_path):
    folder = save_photographs(tmp_path / "pictures", 2)
    (folder / "sub").mkdir()
    Image.fromarray(photograph(5, 5)).save(folder / "sub" / "Z.PNG")
    (folder / ".hidden.png").write_bytes(b"x")
    (folder / "folder.png").mkdir()
    (folder / "dangling.png").symlink_to(folder / "nothing")
    (folder / "notes.txt").write_text("x")
    assert [name for name, _ in images(str(folder))] == ["00.png", "01.png", os.path.join("sub", "Z.PNG")]
    assert [name for name, _ in images(str(folder), limit=1)] == ["00.png"]


def test_folders_without_pictures_are_said(tmp_path):
    with pytest.raises(DataError, match="no pictures in this folder"):
        images(str(tmp_path))


def test_the_sample_needs_no_network(hub):
    valid = listed(images("sample", "valid"))
    assert list(valid) == list(room.SAMPLE["valid"]) and all(min(picture.shape[:2]) >= 300 for picture in valid.values())
    assert len(list(images("sample", limit=2))) == 2 and hub.requests == []


def test_the_development_folder_stands_in_for_the_benchmarks(dev_data):
    assert sorted(name for name, _ in images("set5", "test")) == ["baby.png", "bird.png", "butterfly.png", "head.png", "woman.png"]


# ---------------------------------------------------------------- models


@pytest.fixture
def published(hub, tmp_path) -> tuple[str, SRResNet]:
    torch.manual_seed(0)
    generator = SRResNet(scale=2, blocks=2, channels=8).eval()
    generator.save_pretrained(tmp_path / "model")
    repo = fresh_repo()
    hub.repos[repo] = {name: tmp_path / "model" / name for name in ("config.json", "model.safetensors")}
    return repo, generator


def test_a_published_model_comes_back_bit_for_bit(published):
    repo, generator = published
    loaded = load_generator(repo)
    assert loaded.scale == 2 and not loaded.training
    ours, theirs = generator.state_dict(), loaded.state_dict()
    assert list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)
    lr = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(loaded(lr), generator(lr))


def test_a_cached_model_serves_without_the_hub(published, hub, monkeypatch):
    repo, _ = published
    load_generator(repo)

    def down(what):
        raise DataError(f"{what}: the Hugging Face Hub cannot be reached")
    monkeypatch.setattr(room, "probe", down)
    hub.repos.clear()
    assert load_generator(repo).scale == 2
    with pytest.raises(DataError, match="cannot be reached"):
        load_generator(fresh_repo())


def test_models_that_are_incomplete_or_foreign_are_refused(published, hub):
    repo, _ = published
    without = fresh_repo()
    hub.repos[without] = {"config.json": hub.repos[repo]["config.json"]}
    with pytest.raises(DataError, match="no such file there"):
        load_generator(without)
    other = fresh_repo()
    hub.repos[other] = {**hub.repos[repo], "config.json": b'{"architecture": "SRResNet", "scale": 2, "blocks": 3, "channels": 8}'}
    with pytest.raises(ModelError, match="does not load"):  # three blocks wanted, two there: strict
        load_generator(other)
    unknown = fresh_repo()
    hub.repos[unknown] = {**hub.repos[repo], "config.json": b'{"architecture": "Transformer"}'}
    with pytest.raises(ModelError, match="unknown architecture"):
        load_generator(unknown)
    with pytest.raises(DataError, match="no such repository"):
        load_generator(fresh_repo())
