"""Put a generator on the Hugging Face Hub with its card, its training record and its log; the command `publish`."""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from ..data.hub import probe
from ..data.kaggle import use_secret
from ..errors import DataError, PublishError
from .cards import card, gather
from .tables import between_markers

WEIGHT_FILES = ("config.json", "model.safetensors")
CARD = "srgan card"  # what stands between these markers of a card is ours, the rest its owner's
REFUSALS = {401: "the token is not valid; log in anew with `hf auth login`", 403: "this token may not write there",
            404: "there is no such account, or this token may not write there", 409: "somebody is writing to it; try again",
            413: "the file is too large", 429: "too many requests; wait five minutes"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="a run folder, a folder written by save_pretrained, or a shipped name")
    parser.add_argument("repo", metavar="OWNER/NAME", help="where to on the Hub; made if it does not exist")
    parser.add_argument("--data", help="what it was trained on: a sentence with attribution, or a named set")
    parser.add_argument("--private", action="store_true", help="only you can see it")
    parser.add_argument("--dry-run", action="store_true", help="print the card and the list of files, send nothing")


def run(arguments: argparse.Namespace) -> int:
    print(push_to_hub(arguments.folder, arguments.repo, arguments.private, arguments.data, arguments.dry_run))
    return 0


def push_to_hub(folder: str | Path, repo: str, private: bool = False, data: str | None = None, dry_run: bool = False) -> str:
    """Publish weights, config, card, training.json and log.jsonl in one commit -> its address, once it has been read back.

    folder and data: see `cards.gather`. The token is the one that `hf auth login`, HF_TOKEN or Colab's secrets hold.
    dry_run: -> the card and the list of files, and nothing is sent. Raises PublishError, and ModelError for weights that
    do not load; unless it says otherwise nothing was published.
    """
    _check_name(repo)
    with tempfile.TemporaryDirectory() as staging:
        files = stage(folder, repo, data, Path(staging))
        if dry_run:
            sizes = "\n".join(f"{path.name} ({path.stat().st_size:,} bytes)" for path in files)
            return f"{(Path(staging) / 'README.md').read_text()}\nwould be published as {repo}:\n{sizes}"
        api = _logged_in(repo)
        keep_card(api, repo, Path(staging))
        files = sorted(Path(staging).iterdir())
        commit = _send(api, repo, private, Path(staging), Path(folder).name)
        _read_back(api, repo, commit.oid, files)
    return commit.commit_url


def stage(folder: str | Path, repo: str, data: str | None, staging: Path) -> list[Path]:
    """Write what is to be published into `staging`."""
    release = gather(folder, data)
    for name in WEIGHT_FILES:
        shutil.copyfile(release.weights / name, staging / name)
    front, body = card(release, repo, repository()).split("\n---\n", 1)
    (staging / "README.md").write_text(f"{front}\n---\n<!-- {CARD} -->\n{body.rstrip()}\n<!-- /{CARD} -->\n", errors="backslashreplace")
    if release.training:
        (staging / "training.json").write_text(json.dumps(release.training, indent=1) + "\n")
    if release.log:
        (staging / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in release.log))
    return sorted(staging.iterdir())


def keep_card(api, repo: str, staging: Path) -> None:
    """Where the Hub has a card already, change only what stands between our markers in it; without markers it stays as it is.

    So licence, front matter and whatever somebody has written by hand are theirs. Raises PublishError where it cannot be read.
    """
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError
    card = staging / "README.md"
    try:
        with tempfile.TemporaryDirectory() as folder:
            there = Path(api.hf_hub_download(repo, card.name, local_dir=folder)).read_text()
    except (EntryNotFoundError, RepositoryNotFoundError):
        return
    except Exception as error:
        raise PublishError(f"{repo}: the card that is there cannot be read ({_reason(error)}); nothing was published") from None
    new = card.read_text()
    for marker in (CARD, "results"):  # cards of earlier versions have the second alone
        text = new.partition(f"<!-- {marker} -->\n")[2].partition(f"\n<!-- /{marker} -->")[0]
        changed = between_markers(there, text, marker)
        if changed is not None:
            card.write_text(changed)
            return
    print(f"note: the card of {repo} was written by hand and stays as it is; <!-- {CARD} --> and <!-- /{CARD} --> in it say where ours may stand")
    card.unlink()


def repository() -> str:
    """The library's public address, of an installed copy or of a checkout; empty if neither says."""
    import tomllib
    from importlib.metadata import PackageNotFoundError, metadata
    try:
        found = metadata("srgan-course").get("Project-URL", "").split(", ")[-1]
    except PackageNotFoundError:
        project = Path(__file__).parents[2] / "pyproject.toml"
        found = tomllib.loads(project.read_text())["project"]["urls"]["Repository"] if project.is_file() else ""
    return "" if "/OWNER/" in found else found


def _check_name(repo: str) -> None:
    from huggingface_hub.utils import validate_repo_id
    try:
        validate_repo_id(repo)
        if repo.count("/") != 1:
            raise ValueError("want OWNER/NAME")
    except ValueError as error:
        raise PublishError(f"{repo}: not a name for the Hub ({str(error).splitlines()[0]})") from None


def _logged_in(repo: str):
    """A client with the token that the Hub's own tools have stored. Raises PublishError without one, or without a Hub."""
    from huggingface_hub import HfApi, get_token
    use_secret()
    if not get_token():
        raise PublishError(f"{repo}: not logged in to the Hugging Face Hub; run `hf auth login` (in Colab: add the secret HF_TOKEN), then "
                           "the same command again")
    try:
        probe(repo)
    except DataError:
        raise PublishError(f"{repo}: the Hugging Face Hub cannot be reached; nothing was published") from None
    return HfApi()


def _send(api, repo: str, private: bool, staging: Path, source: str):
    """Make the repo if there is none, and add all files in one commit: the Hub shows either all of them or none."""
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.model_info(repo).private:
            raise PublishError(f"{repo}: exists and is public; make it private on its page first, or leave --private out")
        return api.upload_folder(repo_id=repo, folder_path=staging, commit_message=f"{source}: weights, card and training record")
    except PublishError:
        raise
    except Exception as error:  # requests' or httpx's own types, by client version
        raise PublishError(f"{repo}: {_reason(error)}; nothing was published, though an empty repo may have been made") from None


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return REFUSALS.get(status) or f"the Hub did not take it ({type(error).__name__}{f' {status}' if status else ''})"


def _read_back(api, repo: str, commit: str, files: list[Path]) -> None:
    """Download the commit and compare every byte. Raises PublishError."""
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            try:
                same = Path(api.hf_hub_download(repo, file.name, revision=commit, local_dir=folder)).read_bytes() == file.read_bytes()
            except Exception as error:
                raise PublishError(f"{repo}: sent as commit {commit}, but {file.name} cannot be read back ({_reason(error)}); look at its page") from None
            if not same:
                raise PublishError(f"{repo}: sent as commit {commit}, but {file.name} comes back changed; run the same command again")
