"""Where pictures come from: named sets on the Hugging Face Hub, archives, folders, and the embedded sample."""

import difflib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from ..notes import note
from .archives import pictures_in, zip_members
from .folders import pictures_below, sample_of
from .kaggle import attached, use_secret

BLOCK = 2**16  # bytes read ahead when members are read by range: small, or a few pictures cost many megabytes


@dataclass(frozen=True)
class DataSet:
    """A set on the Hub: repo and commit, the file of each split with its size in bytes, and what its authors allow.

    limit: pictures taken unless the caller says otherwise; the bank of the whole set would not fit a free Colab disk.
    """

    repo: str
    revision: str
    files: dict[str, str]
    megabytes: dict[str, int]
    licence: str
    limit: int | None = None


ACADEMIC = "academic use; see the authors' page"
DATASETS = {
    "div2k": DataSet("goodfellowliu/DIV2K", "d8a7b7e82add5be32adb51d9442b7932b1739e89",
                     {"train": "DIV2K_train_HR.zip", "valid": "DIV2K_valid_HR.zip"}, {"train": 3531, "valid": 449}, ACADEMIC),
    "flickr2k": DataSet("goodfellowliu/Flickr2K", "f53f233", {"train": "Flickr2K.zip"}, {"train": 11600}, ACADEMIC, 800),
    "coco": DataSet("presencesw/coco", "421006f14299dc1ec6d33fe972fb50dd5d244bba", {"train": "val2017.zip"}, {"train": 816},
                    "CC BY 4.0 annotations; pictures under their Flickr licences", 2000),
    "celeba": DataSet("AlexWortega/celeb", "2cd4efe18cce8fe0820a5d30e2255a62ba6822df", {"train": "img_align_celeba.zip"},
                      {"train": 1440}, "non-commercial research", 10_000),
    "celeba3k": DataSet("HK83/real_people_3000", "1adebfc", {"train": "img_align_celeba.zip"}, {"train": 20},
                        "non-commercial research"),
    "set5": DataSet("eugenesiow/Set5", "325646fe7cc8811e312562437885c5c018c74966", {"test": "data/Set5_HR.tar.gz"}, {"test": 1}, ACADEMIC),
    "set14": DataSet("eugenesiow/Set14", "5c964717e61b4931236a6dd5561750d11e5a7abb", {"test": "data/Set14_HR.tar.gz"}, {"test": 4}, ACADEMIC),
    "bsd100": DataSet("eugenesiow/BSD100", "600666edcba3b8386c367fcb03e72424a1ff9f86", {"test": "data/BSD100_HR.tar.gz"}, {"test": 14}, ACADEMIC),
    "urban100": DataSet("eugenesiow/Urban100", "57309de03db02ac12ee09ad6127e7b815c211328", {"test": "data/Urban100_HR.tar.gz"}, {"test": 130}, ACADEMIC),
}
SAMPLE = {  # photographs that scikit-image carries: nothing is downloaded
    "train": ("astronaut.png", "motorcycle_left.png", "hubble_deep_field.jpg", "ihc.png", "retina.jpg", "brick.png", "grass.png",
              "gravel.png", "camera.png"),
    "valid": ("chelsea.png", "coffee.png", "rocket.jpg"),
}
Pictures = Callable[[], Iterator[tuple[str, object]]]


def cache_folder() -> Path:
    """Where banks are kept: SRGAN_CACHE, else ~/.cache/srgan."""
    return Path(os.environ["SRGAN_CACHE"]) if os.environ.get("SRGAN_CACHE") else at_home("~") / ".cache" / "srgan"


def at_home(name: str) -> Path:
    """A path with its ~ replaced. Raises DataError for a user that this machine does not know."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise DataError(f"{name}: this machine knows no home folder of that user") from None


def images(name: str, split: str = "train", limit: int | None = None) -> Iterator[tuple[str, object]]:
    """Yield (picture name, source for `read_image`) of a named set, a folder, an archive, or hf://datasets/OWNER/REPO/FILE.

    Names are sorted, and `limit` takes the first ones. Reading a few members of a large zip on the Hub downloads those
    members only. Raises DataError in one sentence for unknown names (with the nearest known one), a Hub that cannot be
    reached, empty folders and broken archives.
    """
    return listing(name, split, limit)[2]()


def listing(source: str, split: str = "train", limit: int | None = None, sort_out: bool = True) -> tuple[str, int | None, Pictures]:
    """-> (key that changes when the content does, number of pictures if known, function that yields them).

    sort_out: where HR and LR stand side by side, HR alone (see pairs.py).
    """
    source = str(source)
    if not source.strip():
        raise DataError("the name of the data is empty; was a variable not set?")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise DataError(f"limit {limit}: want 1 or more pictures")
    if source == "sample":
        return _sample(split, limit)
    if source in DATASETS:
        return _named(source, split, limit)
    if source.startswith("hf://"):
        return _address(source, limit)
    path = at_home(source)
    if path.is_dir():
        return pictures_below(path, limit, sort_out)
    if path.is_file():
        stat = path.stat()
        key = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}:{sample_of(path, 64)}:{limit}:{sort_out}"
        return key, limit, lambda: pictures_in(path, str(path), limit, sort_out)
    nearest = difflib.get_close_matches(source, [*DATASETS, "sample"], 1)
    raise DataError(f"{source}: no such data set, folder or archive{f'; did you mean {nearest[0]}?' if nearest else ''} "
                    f"(known sets: sample, {', '.join(DATASETS)})")


def _address(source: str, limit: int | None):
    """hf://datasets/OWNER/REPO[@REVISION]/FILE; a part that would leave the repo, or that no repo is called by, is refused."""
    from huggingface_hub.utils import validate_repo_id
    parts = source.removeprefix("hf://datasets/").split("/")
    repo, _, revision = "/".join(parts[:2]).partition("@")
    try:
        if not source.startswith("hf://datasets/") or len(parts) < 3 or "" in parts:
            raise ValueError("it names no file")
        if {".", ".."} & {*parts, *revision.split("/")} or "\\" in source or "*" in source:
            raise ValueError("a part of it leads elsewhere")
        validate_repo_id(repo)
    except ValueError as error:
        raise DataError(f"{source}: want hf://datasets/OWNER/REPO/FILE.zip ({str(error).splitlines()[0][:100]})") from None
    return _on_hub(repo, revision or "main", "/".join(parts[2:]), limit)


def _sample(split: str, limit: int | None):
    import skimage.data
    if split not in ("train", "valid", "test"):
        raise DataError(f"sample: has no split {split!r}, only train, valid and test")
    names, folder = SAMPLE["train" if split == "train" else "valid"][:limit], Path(skimage.data.__file__).parent
    return f"sample:{split}:{limit}", len(names), lambda: ((name, folder / name) for name in names)


def _named(name: str, split: str, limit: int | None):
    data = DATASETS[name]
    local = Path(os.environ.get("SRGAN_DEV_DATA", "")) / "benchmarks" / name.capitalize() / "HR"
    if local.is_dir() and os.environ.get("SRGAN_DEV_DATA"):
        return pictures_below(local, limit)  # the same files, without a Hub
    if split not in data.files:
        if list(data.files) != ["test"]:
            raise DataError(f"{name}: has no split {split!r}, only {', '.join(data.files)}")
        split = "test"
    if on_kaggle := attached(data.files[split]):
        note(f"{name}: read from {on_kaggle}")
        return listing(str(on_kaggle), split, limit)
    return _on_hub(data.repo, data.revision, data.files[split], limit or data.limit, data.megabytes[split])


def _on_hub(repo: str, revision: str, file: str, limit: int | None, megabytes: int | None = None):
    key = f"{repo}@{revision}/{file}:{limit}"

    def pictures():
        label = f"{repo}/{file}"
        path = _cached(repo, revision, file)
        if path is None and limit and file.endswith(".zip"):
            yield from _by_range(repo, revision, file, limit, megabytes)
        else:
            yield from pictures_in(path or _download(repo, revision, file, megabytes), label, limit)

    return key, limit, pictures


def _cached(repo: str, revision: str, file: str) -> Path | None:
    from huggingface_hub import constants, try_to_load_from_cache
    found = try_to_load_from_cache(repo, file, revision=revision, repo_type="dataset")
    if isinstance(found, str) or not _is_commit(revision):
        return Path(found) if isinstance(found, str) else None
    snapshots = Path(constants.HF_HUB_CACHE, f"datasets--{repo.replace('/', '--')}", "snapshots")
    return next(snapshots.glob(f"{revision}*/{file}"), None)  # the client does not know abbreviated commits


def probe(what: str) -> None:
    """Ask the Hub for a sign of life for 3 s; DataError with the offline recipe otherwise (a cold client would retry for 23 s)."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session
    use_secret()
    try:
        if constants.HF_HUB_OFFLINE:
            raise OSError("HF_HUB_OFFLINE is set")
        get_session().head(constants.ENDPOINT, timeout=3)
    except Exception as error:  # requests' or httpx's own types, by client version
        raise DataError(f"{what}: the Hugging Face Hub cannot be reached ({type(error).__name__}); check the connection, or "
                        "download the file elsewhere and name its path instead, or use what needs none: --data sample, the shipped models") from None


ABSENT = {"RepositoryNotFoundError": "no such repository on the Hub, or a private one", "RevisionNotFoundError": "no such commit",
          "EntryNotFoundError": "no such file there", "RemoteEntryNotFoundError": "no such file there",
          "FileNotFoundError": "no such file there"}  # the client's own errors, and what its file system makes of them


def _explain(error: Exception, what: str) -> DataError:
    kind = type(error).__name__
    for known in (type(error.__cause__).__name__, kind):
        if known in ABSENT:
            return DataError(f"{what}: {ABSENT[known]}; check the name")
    reason = " ".join(str(error).split())[:160] or kind
    return DataError(f"{what}: the download failed ({kind}: {reason}); run again to go on, or name a local copy")


def _download(repo: str, revision: str, file: str, megabytes: int | None = None) -> Path:
    from huggingface_hub import hf_hub_download
    what = f"{repo}/{file}" + (f" ({megabytes} MB)" if megabytes else "")
    probe(what)
    try:
        return Path(hf_hub_download(repo, file, revision=full_commit(repo, revision), repo_type="dataset"))
    except Exception as error:
        raise _explain(error, what) from None


def full_commit(repo: str, revision: str) -> str:
    """The 40 digits of an abbreviated commit, as the Hub knows them; branch names and whole commits are returned as they are."""
    if len(revision) == 40 or not _is_commit(revision):
        return revision
    from huggingface_hub import HfApi
    return HfApi().dataset_info(repo, revision=revision).sha


def _is_commit(revision: str) -> bool:
    return len(revision) >= 7 and all(c in "0123456789abcdef" for c in revision)


def _by_range(repo: str, revision: str, file: str, limit: int, megabytes: int | None):
    """The first members of a zip on the Hub, by HTTP range: their own bytes and little more cross the network."""
    from huggingface_hub import HfFileSystem
    what = f"{repo}/{file}" + (f" (first {limit} pictures of {megabytes} MB)" if megabytes else "")
    probe(what)
    try:
        address = f"datasets/{repo}@{full_commit(repo, revision)}/{file}"
        with HfFileSystem().open(address, "rb", block_size=BLOCK) as stream:
            yield from zip_members(stream, what, limit)
    except DataError:
        raise
    except Exception as error:
        raise _explain(error, what) from None


def fetch_model(repo: str) -> Path:
    """The folder with a Hub model's config.json and model.safetensors, the cached one when the Hub is away. Raises DataError."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    files, offline = ("config.json", "model.safetensors"), False
    try:
        try:
            probe(f"model {repo}, which is no folder here")
        except DataError:
            offline = all(isinstance(try_to_load_from_cache(repo, file), str) for file in files)
            if not offline:
                raise
        return [Path(hf_hub_download(repo, file, local_files_only=offline)) for file in files][0].parent
    except DataError:
        raise
    except Exception as error:
        raise _explain(error, f"model {repo}") from None
