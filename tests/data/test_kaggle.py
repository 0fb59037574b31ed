"""Kaggle's layout, imitated: sets below /kaggle/input, unpacked or not, and the secret that the Hub's client should find."""

import os
import shutil
import sys
import types

import pytest
from samples import save_photographs

from srgan_lib.data import images, kaggle, open_bank
from srgan_lib.errors import DataError


@pytest.fixture
def attached(tmp_path, monkeypatch, no_dev_data):
    monkeypatch.setattr(kaggle, "INPUT", tmp_path / "input")
    (tmp_path / "input").mkdir()
    return tmp_path / "input"


@pytest.mark.parametrize("place", ["div2k-dataset/DIV2K_train_HR", "div2k/DIV2K_train_HR/DIV2K_train_HR", "a/b/c/DIV2K_train_HR"])
def test_a_set_that_kaggle_unpacked_is_read_there(place, attached, capsys):
    save_photographs(attached / place, 3)
    assert [name for name, _ in images("div2k", "train", 2)] and len(list(images("div2k", "train", 2))) == 2
    assert len(open_bank("div2k", "train", progress=False)) == 3
    assert "note: div2k: read from" in capsys.readouterr().out


def test_an_archive_that_is_attached_as_it_is(attached, tmp_path):
    save_photographs(tmp_path / "DIV2K_valid_HR", 2)
    (attached / "mine").mkdir()
    shutil.make_archive(str(attached / "mine" / "DIV2K_valid_HR"), "zip", tmp_path, "DIV2K_valid_HR")
    assert len(list(images("div2k", "valid"))) == 2


def test_without_it_the_hub_is_asked(attached, hub):
    hub.refused.add("anything") if isinstance(hub.refused, set) else None
    with pytest.raises(DataError):
        list(images("div2k", "train", 1))


def secrets(monkeypatch, answer):
    class UserSecretsClient:
        def get_secret(self, name):
            if isinstance(answer, Exception):
                raise answer
            return answer
    monkeypatch.setitem(sys.modules, "kaggle_secrets", types.SimpleNamespace(UserSecretsClient=UserSecretsClient))


def test_the_secret_is_found_on_kaggle_alone_and_never_replaces_a_token(monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    secrets(monkeypatch, "of kaggle")
    kaggle.use_secret()
    assert "HF_TOKEN" not in os.environ
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.setenv("HF_TOKEN", "mine")
    kaggle.use_secret()
    assert os.environ["HF_TOKEN"] == "mine"
    monkeypatch.delenv("HF_TOKEN")
    secrets(monkeypatch, ConnectionError("the secret is not attached"))
    kaggle.use_secret()
    assert "HF_TOKEN" not in os.environ
    monkeypatch.setenv("HF_TOKEN", "")  # so that it is put back
    secrets(monkeypatch, "of kaggle")
    kaggle.use_secret()
    assert os.environ["HF_TOKEN"] == "of kaggle"
