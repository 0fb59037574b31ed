"""What users do to a command line: closed streams, empty and odd values, weights that are no numbers, killed pages."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from samples import save_photographs

from srgan_lib.__main__ import main
from srgan_lib.apps import export, publish, temporary
from srgan_lib.apps.cards import gather, public_name
from srgan_lib.apps.turns import Turns
from srgan_lib.data import images
from srgan_lib.errors import CourseError, DataError, ImageError, ModelError, PublishError
from srgan_lib.formats.folders import sorted_out
from srgan_lib.images import resize_bicubic
from srgan_lib.models import SRResNet, load_generator
from srgan_lib.models.published import from_published
from srgan_lib.upscaling import enlarge, memory, upscale, upscale_files

SMALL = ["--profile", "tiny", "--device", "cpu", "--limit", "1", "--set", "steps=2", "--set", "blocks=1", "--set", "channels=4"]


@pytest.fixture
def net(tmp_path) -> Path:
    SRResNet(blocks=1, channels=4).save_pretrained(tmp_path / "net")
    return tmp_path / "net"


def refused(capsys, *arguments) -> str:
    assert main([str(a) for a in arguments]) == 2
    line, = [line for line in capsys.readouterr().err.splitlines() if line.startswith("srgan_lib: ")]
    return line


# --- names and values ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments", [["upscale", ""], ["upscale", "a.png", ""], ["upscale", "a.png", "-o", ""], ["train", "--data", "", "--run", "r"],
                                       ["train", "--data", "sample", "--run", ""], ["train", "--data", "sample", "--run", "r", "--init", ""],
                                       ["train", "--data", "sample", "--run", "r", "--backup", ""], ["train", "--data", "sample", "--run", "r", "--valid", ""],
                                       ["train", "--data", "sample", "--run", "r", "--set", ""], ["evaluate", "--model", "", "--data", "sample"],
                                       ["evaluate", "--model", "bicubic", "--data", "sample", "--json", ""], ["export", ""], ["export", "srgan-x4", "-o", ""],
                                       ["publish", "", "a/b"], ["publish", "srgan-x4", ""], ["demo", "--model", ""], ["benchmark", "--json", ""], ["grade", ""]])
def test_an_empty_name_is_refused_in_every_command(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(save_photographs(tmp_path / "here", 1))
    assert "is empty" in refused(capsys, *arguments)
    assert os.listdir(".") == ["00.png"]


def test_an_empty_name_is_refused_by_the_library_too():
    with pytest.raises(ModelError, match="is empty"):
        load_generator("")
    with pytest.raises(PublishError, match="is empty"):
        gather("")


@pytest.mark.parametrize("value", ["steps=1e3", "steps=", "steps=0", "steps=-1", "steps=" + "9" * 5000, "steps=" + "9" * 30, "batch=1000000000", "batch=2.5",
                                   "hr_size=99999999", "blocks=1000000000", "channels=100000000", "seed=-1", "seed=" + "9" * 25, "learning_rate=nan",
                                   "learning_rate=inf", "learning_rate=0", "ema=1.0", "ema=nan", "jitter=99999999", "scale=5", "scale=\u0664\u0664",
                                   "stage=", "init=~nosuchuser/net", "init=no such\nmodel", "flips=maybe", "photometric=2", "warmup=-1",
                                   "instance_noise=nan", "log_every=0", "nonsense", "=", "steps==3"])
def test_odd_values_of_set_are_one_sentence(value, tmp_path, capsys):
    refused(capsys, "train", "--data", "sample", "--run", tmp_path / "run", *SMALL, "--set", value)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(os.name == "nt", reason="a shell's redirections")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_change_nothing(closed, tmp_path, subprocess_environment):
    folder = save_photographs(tmp_path / "set", 1)
    command = f"{sys.executable} -m srgan_lib evaluate --model bicubic --data {folder} --json {tmp_path / 'a.json'} {closed}"
    assert subprocess.run(["sh", "-c", command], env=subprocess_environment, capture_output=True).returncode == 0
    assert json.loads((tmp_path / "a.json").read_text())["mean"]["psnr"] > 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_no_success(tmp_path, subprocess_environment):
    folder = save_photographs(tmp_path / "set", 1)
    done = subprocess.run(["sh", "-c", f"{sys.executable} -m srgan_lib evaluate --model bicubic --data {folder} > /dev/full"], env=subprocess_environment,
                          capture_output=True, text=True)
    assert done.returncode == 2 and "No space left" in done.stderr and "Traceback" not in done.stderr


def test_a_name_that_no_locale_can_print(tmp_path, subprocess_environment):
    folder = save_photographs(tmp_path / "set", 1)
    try:
        os.rename(folder / "00.png", os.fsencode(folder) + b"/\xff\xe9.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    environment = {**subprocess_environment, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run([sys.executable, "-m", "srgan_lib", "evaluate", "--model", "bicubic", "--data", str(folder)], env=environment, capture_output=True)
    assert done.returncode == 0 and b"\\udcff\\udce9.png" in done.stdout and b"Traceback" not in done.stderr


# --- weights ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_never_loaded_exported_or_published(value, net, tmp_path, capsys):
    state = load_file(net / "model.safetensors")
    state["head.0.bias"][0] = value
    save_file(state, net / "model.safetensors")
    save_photographs(tmp_path / "set", 1)
    for command in (["upscale", tmp_path / "set" / "00.png", "--model", net], ["export", net, "-o", tmp_path / "a.onnx"], ["publish", net, "a/b", "--dry-run"]):
        assert "not finite (NaN or infinite at head.0.bias)" in refused(capsys, *command)
    assert not (tmp_path / "a.onnx").exists() and os.listdir(tmp_path / "set") == ["00.png"]


def test_a_result_that_is_not_finite_is_never_an_image():
    network = SRResNet(blocks=1, channels=4).eval()
    network.tail.weight.data.fill_(3e38)
    with pytest.raises(ImageError, match="not finite"):
        enlarge(torch.rand(1, 3, 8, 8), network)


@pytest.mark.parametrize("change", [{"channels": 1024}, {"blocks": 1024}, {"channels": 1024, "blocks": 1024}])
def test_a_strangers_config_is_compared_before_anything_is_built(change, net, monkeypatch):
    config = json.loads((net / "config.json").read_text())
    (net / "config.json").write_text(json.dumps(config | change))
    built = []
    original = SRResNet.__init__

    def noted(self, *arguments, **options):
        original(self, *arguments, **options)
        built.append(next(self.parameters()).device.type)

    monkeypatch.setattr(SRResNet, "__init__", noted)
    with pytest.raises(ModelError, match="does not load"):
        load_generator(net)
    assert "cpu" not in built


@pytest.mark.parametrize("state", [
    {}, {1: torch.zeros(1)}, {"conv_first.weight": torch.zeros(())}, {"conv_first.weight": torch.zeros(1).expand(10**6, 3, 3, 3)},
    {"conv_first.weight": torch.full((4, 3, 3, 3), torch.nan)}, {"conv_first.weight": torch.zeros(4, 3, 3, 3, dtype=torch.complex64)},
    {"conv_first.weight": torch.zeros(4, 3, 3, 3).to_sparse()}, {"conv_first.weight": torch.empty(4, 3, 3, 3, device="meta")}, [1], 7, None,
    {"params": {"params": 3}}, {"state_dict": [torch.zeros(1)]}], ids=range(13))
def test_odd_published_files_are_one_sentence(state, tmp_path):
    with pytest.raises(ModelError):
        from_published(state)


# --- export, cards, publishing ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("found", [0.1, float("nan"), float("inf")])
def test_a_failed_check_keeps_the_earlier_file(found, net, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxscript")
    (tmp_path / "net.onnx").write_bytes(b"an earlier, good one")
    monkeypatch.setattr(export, "difference", lambda *_: found)
    monkeypatch.setattr(export, "export_onnx", lambda generator, target: Path(target).write_bytes(b"new"))
    assert "differs from PyTorch" in refused(capsys, "export", net, "-o", tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_bytes() == b"an earlier, good one"


def test_an_exporter_that_does_not_fit_is_one_sentence(net, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxscript")

    def old(*_, **__):
        raise AttributeError("module 'onnxscript' has no attribute 'values'")

    monkeypatch.setattr(torch.onnx, "export", old)
    assert "pip install -U onnx onnxscript" in refused(capsys, "export", net, "-o", tmp_path / "net.onnx")


@pytest.mark.parametrize("name, wanted", [("C:\\Users\\jane.doe\\runs\\srresnet\\generator", "srresnet"), ("C:\\Users\\jane.doe\\Downloads\\vgg19.pth", "vgg19.pth"),
                                          ("D:/photos/holiday", "holiday"), ("C:\\", "a folder"), ("C:generator", "a folder"), ("..\\runs\\a", "a"),
                                          ("\\\\server\\share\\jane\\set", "set"), ("~jane/set", "set"), ("/home/jane/runs/first/generator", "first")])
def test_paths_of_both_systems_lose_their_folders(name, wanted):
    assert public_name(name) == wanted


@pytest.mark.parametrize("file, content", [("training.json", "[]"), ("training.json", "7"), ("training.json", '{"stage": []}'), ("training.json", '{"stage": "x"}'),
                                           ("training.json", '{"stage": "srgan", "steps": "many"}'), ("training.json", "{"), ("results.json", "7"),
                                           ("results.json", "[1]"), ("results.json", "{}"), ("results.json", '{"data": 1, "mean": {"psnr": "x"}, "bicubic": 2}')])
def test_odd_records_are_one_sentence_at_publish(file, content, net, capsys):
    (net / file).write_text(content)
    assert main(["publish", str(net), "a/b", "--dry-run"]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


@pytest.fixture
def writable(hub, monkeypatch):
    hub.token = "hf_NobodyMaySeeThis"
    monkeypatch.setenv("HF_TOKEN", hub.token)
    return hub


def test_a_card_written_by_hand_stays(writable, net, capsys):
    mine = b"---\nlicense: cc-by-nc-4.0\n---\n# Mine\nBy hand.\n"
    writable.repos["somebody/mine"] = {"README.md": mine}
    publish.push_to_hub(net, "somebody/mine")
    assert writable.repos["somebody/mine"]["README.md"] == mine and "model.safetensors" in writable.repos["somebody/mine"]
    assert "written by hand" in capsys.readouterr().out


def test_our_own_card_changes_between_its_markers_only(writable, net):
    publish.push_to_hub(net, "somebody/net")
    card_there = writable.repos["somebody/net"]["README.md"].decode()
    assert card_there.count(publish.CARD) == 2 and "not been recorded" in card_there
    writable.repos["somebody/net"]["README.md"] = (card_there.replace("license: mit", "license: cc0-1.0") + "\nThanks to my cat.\n").encode()
    publish.push_to_hub(net, "somebody/net", data="My own photographs.")
    text = writable.repos["somebody/net"]["README.md"].decode()
    assert "license: cc0-1.0" in text and text.endswith("\nThanks to my cat.\n") and "My own photographs." in text and "not been recorded" not in text


# --- memory ----------------------------------------------------------------------------------------------------------

def machine(folder: Path, group: str, files: dict[str, str]) -> Path:
    for name, content in {"proc/meminfo": "MemTotal: 64000000 kB\nMemAvailable: 32000000 kB\n", "proc/self/cgroup": group, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"
GROUPS = {  # Linux's Documentation: admin-guide/cgroup-v2.rst (memory.max, memory.current, memory.stat) and cgroup-v1/memory.rst
    "container, v2": ("0::/\n", {f"{V2}/memory.max": "800", f"{V2}/memory.current": "300"}, 500),
    "nested, v2": ("0::/a/b\n", {f"{V2}/a/memory.max": "900", f"{V2}/a/memory.current": "300", f"{V2}/a/b/memory.max": "max", f"{V2}/a/b/memory.current": "5"}, 600),
    "the innermost, v2": ("0::/a/b\n", {f"{V2}/a/memory.max": "900", f"{V2}/a/memory.current": "0", f"{V2}/a/b/memory.max": "70", f"{V2}/a/b/memory.current": "5"}, 65),
    "files given back, v2": ("0::/\n", {f"{V2}/memory.max": "800", f"{V2}/memory.current": "700", f"{V2}/memory.stat": "anon 1\ninactive_file 400\n"}, 500),
    "Slurm, v1": ("5:cpu:/x\n4:memory:/slurm/job\n", {f"{V1}/slurm/memory.limit_in_bytes": "9223372036854771712", f"{V1}/slurm/memory.usage_in_bytes": "1",
                                                      f"{V1}/slurm/job/memory.limit_in_bytes": "1000", f"{V1}/slurm/job/memory.usage_in_bytes": "100"}, 900),
    "container, v1": ("4:memory:/docker/0123\n", {f"{V1}/memory.limit_in_bytes": "1000", f"{V1}/memory.usage_in_bytes": "400",
                                                  f"{V1}/memory.stat": "total_inactive_file 50\n"}, 650),
    "over its limit": ("0::/\n", {f"{V2}/memory.max": "10", f"{V2}/memory.current": "30"}, 0),
    "no limit": ("0::/user.slice\n", {f"{V2}/user.slice/memory.max": "max", f"{V2}/user.slice/memory.current": "30"}, 32_768_000_000),
    "odd lines": ("nonsense\n\n", {f"{V2}/memory.max": "text"}, 32_768_000_000),
}


@pytest.mark.parametrize("name", GROUPS)
def test_limits_of_every_group_around_us_are_seen(name, tmp_path, monkeypatch):
    group, files, left = GROUPS[name]
    monkeypatch.setattr(memory, "ROOT", machine(tmp_path, group, files))
    assert memory.free_memory(torch.device("cpu")) == left


# --- the page --------------------------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from srgan_lib.apps import temporary
print(temporary.temporary_folder(), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
def test_folders_of_dead_pages_are_removed_and_those_of_living_ones_are_not(tmp_path, subprocess_environment):
    environment = {**subprocess_environment, "TMPDIR": str(tmp_path)}
    pages = [subprocess.Popen([sys.executable, "-c", HOLDER], env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = [Path(page.stdout.readline().strip()) for page in pages]
    for folder in folders:
        (folder / "visitor.png").write_bytes(b"private")
    pages[0].kill()
    pages[0].wait()
    temporary.remove_orphans(tmp_path)
    assert not folders[0].exists() and (folders[1] / "visitor.png").exists()
    pages[1].kill()
    pages[1].wait()
    temporary.remove_orphans(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
@pytest.mark.parametrize("swept", ["gone", "being swept", "gone while it is opened"])
def test_a_page_whose_folder_another_sweeps_before_it_is_held_takes_a_new_one(swept, tmp_path, monkeypatch):
    taken, hold = [], temporary.hold

    def late(path, make):
        taken.append(path)
        if len(taken) == 1 and swept == "being swept":
            return None
        if len(taken) == 1:
            shutil.rmtree(path)
        if len(taken) == 1 and swept == "gone while it is opened":
            raise FileNotFoundError(path)
        return hold(path, make)

    monkeypatch.setattr(temporary, "hold", late)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = temporary.held_folder()
    assert len(taken) == 2 and taken[1] == folder.name
    monkeypatch.setattr(temporary, "hold", hold)
    temporary.remove_orphans(tmp_path)
    assert Path(folder.name).is_dir() and list(tmp_path.iterdir()) == [Path(folder.name)]


ENDED = """
import os, signal, sys, threading, torch
from argparse import Namespace
from srgan_lib.apps import demo

def launch(*_):
    demo.temporary_folder()
    threading.Thread(target=lambda: [torch.rand(600, 600) @ torch.rand(600, 600) for _ in range(10**6)], daemon=True).start()
    print("computing", flush=True)
    signal.pause()

demo.launch = launch
demo.run(Namespace(port=None, share=False, model=[], space=None))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signals there")
@pytest.mark.parametrize("kind", ["SIGTERM", "SIGHUP"])
def test_a_page_that_is_told_to_end_while_it_computes_ends_in_order(kind, tmp_path, subprocess_environment):
    environment = {**subprocess_environment, "TMPDIR": str(tmp_path)}
    page = subprocess.Popen([sys.executable, "-c", ENDED], env=environment, stdout=subprocess.PIPE, text=True)
    assert page.stdout.readline() == "computing\n" and list(tmp_path.glob("srgan-demo-*"))
    time.sleep(0.3)
    page.send_signal(getattr(signal, kind))
    assert page.wait(60) == 0 and not list(tmp_path.glob("srgan-demo-*"))


# --- the line before the network -------------------------------------------------------------------------------------

def test_visitors_compute_in_their_order_and_one_too_many_is_refused():
    line, order, entered, go = Turns(most=2), [], threading.Event(), threading.Event()

    def visit(name):
        with line.turn(name):
            order.append(name)
            entered.set()
            go.wait(60)

    visitors = [threading.Thread(target=visit, args=(name,)) for name in "abc"]
    for waiting, visitor in enumerate(visitors, 1):
        visitor.start()
        while len(line.line) < waiting:
            time.sleep(0.01)
    assert entered.wait(60) and order == ["a"]
    with pytest.raises(CourseError, match="Queue is full! 2 images are waiting"), line.turn("d"):
        pass
    go.set()
    for visitor in visitors:
        visitor.join(60)
    assert order == ["a", "b", "c"] and not line.line


def test_who_has_left_waits_no_longer():
    line = Turns(most=5)
    with line.turn("first"):
        line.leave("second")
        with pytest.raises(CourseError, match="was closed"), line.turn("second"):
            pass
    assert not line.line


# --- links that lead nowhere, numbers without end, devices that compute nothing ------------------------------------------

@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
@pytest.mark.parametrize("arguments", [["upscale", "loop"], ["upscale", "loop.png"], ["upscale", "a.png", "-o", "loop.png"],
                                       ["train", "--data", "loop", "--run", "r"], ["train", "--data", "sample", "--run", "loop"],
                                       ["train", "--data", "set", "--run", "r", "--valid", "loop"], ["train", "--data", "set", "--run", "r", "--backup", "loop"],
                                       ["evaluate", "--model", "bicubic", "--data", "loop"], ["export", "loop"], ["publish", "loop", "a/b", "--dry-run"]])
def test_a_link_to_itself_is_one_sentence_everywhere(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(save_photographs(tmp_path / "here", 1))
    os.rename("00.png", "a.png")
    save_photographs(tmp_path / "here" / "set", 1)
    for name in ("loop", "loop.png"):
        os.symlink(name, name)
    refused(capsys, *arguments, *(SMALL if arguments[0] == "train" else []))


@pytest.mark.parametrize("arguments", [["--max-megapixels", "inf"], ["--end", "inf"], ["--device", "meta"], ["--device", "hpu"]])
def test_what_is_no_number_or_no_device_is_one_sentence(arguments, net, tmp_path, capsys):
    save_photographs(tmp_path / "set", 1)
    refused(capsys, "upscale", tmp_path / "set" / "00.png", "--model", net, *arguments)
    assert os.listdir(tmp_path / "set") == ["00.png"]


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_a_folder_with_a_link_to_itself_is_done_and_a_file_named_twice_is_one(net, tmp_path):
    folder = save_photographs(tmp_path / "set", 1)
    (folder / "loop").symlink_to("loop")
    assert main(["upscale", str(folder), "--model", str(net), "-o", str(tmp_path / "out")]) == 0
    assert main(["upscale", str(folder / "00.png"), str(folder / "00.png"), "--model", str(net), "-o", str(tmp_path / "twice")]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".png"] == ["00-x4.png"]
    assert [path.name for path in (tmp_path / "twice").iterdir() if path.suffix == ".png"] == ["00-x4.png"]


@pytest.mark.skipif(os.name == "nt", reason="names of open files")
def test_a_result_on_standard_output_stands_alone(tmp_path, subprocess_environment):
    """What is for people then goes to standard error, so that the output is JSON and nothing else."""
    folder = save_photographs(tmp_path / "set", 1)
    with open(tmp_path / "out.json", "w") as out:
        done = subprocess.run([sys.executable, "-m", "srgan_lib", "evaluate", "--model", "bicubic", "--data", str(folder), "--json", "/dev/stdout"],
                              env=subprocess_environment, stdout=out, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0 and "00.png" in done.stderr
    assert json.loads((tmp_path / "out.json").read_text())["model"] == "bicubic"


# --- names of models -------------------------------------------------------------------------------------------------

def odd_models(here: Path, net: Path) -> list[str]:
    """Everything that a name can lead to and that is no model, made in a folder."""
    Image.new("RGB", (9, 9)).save(here / "photo.png")
    Image.new("RGB", (9, 9)).save(here / "photo.pth", "JPEG")
    (here / "notes").write_text("a text")
    (here / "empty.pth").touch()
    (here / "empty.safetensors").touch()
    (here / "folder" / "inner").mkdir(parents=True)
    (here / "folder" / "photo.png").write_bytes((here / "photo.png").read_bytes())
    (here / "bare").write_bytes((net / "model.safetensors").read_bytes())
    (here / "half").mkdir()
    (here / "half" / "config.json").write_text("{}")
    names = ["photo.png", "photo.pth", "notes", "empty.pth", "empty.safetensors", "folder", "folder/inner", "folder/photo.png", "bare", "half", "net/config.json",
             "net/model.safetensors", "notes/photo", "folder/gone.png", "folder/", "owner/name.", "owner/name@main", "a@b/c", "net,notes,0.5", "/dev/null", "~nobody-of-this-name/net"]
    if os.name != "nt":
        (here / "dead").symlink_to("gone")
        os.mkfifo(here / "pipe")
        names += ["dead", "pipe"]
    return names


def test_what_is_no_model_is_refused_without_a_look_at_the_hub(net, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr("srgan_lib.data.hub.fetch_model", asked.append)
    for name in odd_models(tmp_path, net):
        with pytest.raises((ModelError, DataError)) as caught:
            load_generator(name)
        assert "\n" not in str(caught.value) and "could run code" not in str(caught.value), name
    assert asked == []


@pytest.mark.parametrize("content", ["[]", "7", "[" * 100_000, '{"init": "srresnet-x4", "strength": "much"}', '{"init": "srresnet-x4", "strength": NaN}', '{"init": ["x"]}', "\xff"])
def test_a_broken_record_beside_a_model_is_one_sentence(content, net, tmp_path, capsys):
    (net / "training.json").write_bytes(content.encode("latin-1"))
    save_photographs(tmp_path / "set", 1)
    assert main(["upscale", str(tmp_path / "set" / "00.png"), "--model", str(net)]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[" * 100_000, "null", '{"scale": "4"}', '{"blocks": null}', '{"architecture": ["SRResNet"]}', '{"blocks": 1.0}', "\xff"])
def test_a_broken_config_of_a_model_is_one_sentence(content, net):
    (net / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ModelError, match="does not load"):
        load_generator(net)


# --- what is there already is never lost, and what cannot be written is refused before it is computed -----------------------

def never(*_, **__):
    raise AssertionError("it was computed first")


@pytest.mark.parametrize("name", ["folder", "photo.png", "net/config.json", "photo.png/a.json", "a" * 300])
def test_a_place_that_cannot_take_a_result_is_refused_before_it_is_computed(name, net, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    Image.new("RGB", (9, 9)).save("photo.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for module, function in (("evaluate", "score"), ("benchmark", "measure"), ("export", "export_onnx")):
        monkeypatch.setattr(f"srgan_lib.apps.{module}.{function}", never)
    for command in (["evaluate", "--model", "bicubic", "--data", "sample", "--json", name], ["benchmark", "--json", name], ["export", "net", "-o", name]):
        refused(capsys, *command)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_earlier_result_is_replaced(tmp_path):
    for _ in range(2):
        assert main(["evaluate", "--model", "bicubic", "--data", str(save_photographs(tmp_path / "set", 1)), "--json", str(tmp_path / "a.json")]) == 0
    assert json.loads((tmp_path / "a.json").read_text())["model"] == "bicubic"


def test_a_home_folder_that_the_shell_did_not_put_in(tmp_path, monkeypatch, capsys):
    """bash leaves ~ as it is behind --json= (its manual, "Tilde Expansion": only at the beginning of a word)."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(save_photographs(tmp_path / "set", 1))
    assert main(["evaluate", "--model", "bicubic", "--data", str(tmp_path / "set"), "--json=~/a.json"]) == 0
    assert (tmp_path / "home" / "a.json").is_file() and os.listdir(".") == ["00.png"]
    assert "no home folder of that user" in refused(capsys, "upscale", "00.png", "-o", "~nobody-of-this-name/a.png")
    assert os.listdir(".") == ["00.png"]


@pytest.mark.skipif(os.name == "nt", reason="names of open files")
@pytest.mark.parametrize("option, name", [("--json", "/dev/stdout"), ("--csv", "/dev/stdout"), ("--json", "-"), ("--json", "/dev/null"), ("--csv", "/dev/null")])
def test_grades_on_standard_output_are_whole_and_written_once(option, name, tmp_path, subprocess_environment):
    (tmp_path / "a.ipynb").write_text("{}")
    done = subprocess.run([sys.executable, "-m", "srgan_lib", "grade", "a.ipynb", option, name], env=subprocess_environment, cwd=tmp_path,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and os.listdir(tmp_path) == ["a.ipynb"]
    if name == "/dev/null":
        assert done.stdout  # the summary, for people
    elif option == "--json":
        assert [row["notebook"] for row in json.loads(done.stdout)] == ["a.ipynb"]
    else:
        assert done.stdout.splitlines()[0].startswith("notebook,student,points") and len(done.stdout.splitlines()) == 2


# --- the library with odd values ------------------------------------------------------------------------------------------

def test_one_name_is_one_file_and_not_its_letters(net, tmp_path, monkeypatch):
    """A text is a sequence of its letters, and "." and "/" among them were taken for folders."""
    monkeypatch.chdir(save_photographs(tmp_path / "set", 2))
    assert upscale_files("00.png", Path("a.png"), str(net)) == 0 and upscale_files(Path("00.png"), "b.png", str(net)) == 0
    assert sorted(os.listdir(".")) == ["00.png", "01.png", "a.png", "b.png"]


@pytest.mark.parametrize("options", [{"size": (0, 5)}, {"size": "9x9"}, {"size": (9.5, 9)}, {"long_side": -1}, {"quality": 1000}, {"quality": "x"}, {"tile": 0}, {"tile": -4},
                                     {"tile": "8"}, {"tile": 8.5}, {"format": 5}, {"pages": None}])
def test_odd_values_of_the_library_are_one_sentence(options, net, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(save_photographs(tmp_path / "set", 1))
    try:
        assert upscale_files(["00.png"], "a.jpg", str(net), **options) == 1
    except CourseError as error:
        assert "\n" not in str(error)
    assert os.listdir(".") == ["00.png"] and "Traceback" not in capsys.readouterr().err


def test_a_strength_that_would_be_ignored_is_refused():
    with pytest.raises(ModelError, match="strength"):
        upscale(Image.new("RGB", (8, 8)), SRResNet(blocks=1, channels=4).eval(), strength=0.5)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf"), -0.5])
def test_a_scale_that_is_none_is_a_value_error(scale):
    with pytest.raises(ValueError, match="whole number"):
        resize_bicubic(torch.zeros(1, 3, 8, 8), scale)


def test_a_split_that_there_is_not_is_not_the_training_images():
    with pytest.raises(DataError, match="no split 'validation'"):
        list(images("sample", "validation"))


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="rights of folders")
def test_a_folder_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    """Root may read everything, so the system's answer is put in its place (os.walk calls onerror, and goes on)."""
    folder, scandir = save_photographs(tmp_path / "set", 1), os.scandir
    (folder / "closed").mkdir()

    def refusing(path):
        if os.path.basename(path) == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found, left_out = sorted_out(folder, lambda path: path.suffix == ".png", "image")
    assert [path.name for path in found] == ["00.png"] and left_out == {"folder that cannot be read": 1}


def test_a_format_that_would_shrink_the_result_is_refused(net, tmp_path, capsys):
    """Pillow (12.3, 13.0) writes an ICNS of squares alone; an ICO of up to 256 pixels a side is whole, see test_situations.py."""
    folder = save_photographs(tmp_path / "set", 1)
    assert "would shrink the result" in refused(capsys, "upscale", folder / "00.png", "--model", net, "-o", tmp_path / "a.icns")
    assert not (tmp_path / "a.icns").exists()


def test_a_gif_says_that_it_has_few_colours(net, tmp_path, capsys):
    folder = save_photographs(tmp_path / "set", 1)
    assert main(["upscale", str(folder / "00.png"), "--model", str(net), "-o", str(tmp_path / "a.gif")]) == 0
    assert "GIF holds 256 colours" in capsys.readouterr().out


def test_a_readme_that_names_the_course_is_not_written_over_by_a_space(tmp_path, capsys):
    (tmp_path / "README.md").write_text("# My fork of srgan-course\n")
    assert "another one's" in refused(capsys, "demo", "--space", tmp_path)
    assert os.listdir(tmp_path) == ["README.md"]
    for _ in range(2):  # its own files it writes again
        assert main(["demo", "--space", str(tmp_path / "space")]) == 0
