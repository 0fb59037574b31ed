"""The bank of a set by its name, built on first use in the cache and reused after."""

import hashlib
from pathlib import Path

from tqdm import tqdm

from ..errors import DataError
from .bank import ImageBank
from .hub import cache_folder, listing
from .pairs import matched


def open_bank(source: str, split: str = "train", limit: int | None = None, progress: bool = True, pairs: str | None = None) -> ImageBank:
    """The bank of a named set, folder, archive or hf:// address, built on first use in the cache and reused after.

    It is keyed by what the source is (repo, commit, file, limit; or names, sizes, times and a sample of bytes), not by
    hashing gigabytes. pairs: a folder or archive with the LR pictures, which are then used in place of shrunk HR ones.
    """
    key, count, pictures = listing(source, split, limit)
    bank = _cached_bank(source, split, key, count, pictures, progress)
    bank.source, bank.limit = str(source), limit
    if pairs is not None:
        low_key, _, low = listing(pairs, split, None, sort_out=False)

        def in_order():
            found = dict(low())
            wanted = matched(bank.names, list(found), pairs)
            yield from ((name, found[wanted[name]]) for name in bank.names)

        bank.lr = _cached_bank(pairs, split, f"{key}|{low_key}", len(bank), in_order, progress)
        bank.lr.source = str(pairs)
        if bank.lr.names != bank.names:
            raise DataError(f"{pairs}: some of its images cannot be read; mend or remove them and their HR")
    return bank


def _cached_bank(source: str, split: str, key: str, count: int | None, pictures, progress: bool) -> ImageBank:
    slug = "".join(c if c.isalnum() or c in "-_" else "-" for c in Path(str(source)).name)[:40]
    path = cache_folder() / "banks" / f"{slug}-{split}-{hashlib.sha256(key.encode(errors='surrogateescape')).hexdigest()[:12]}"
    if path.with_suffix(".json").is_file():
        try:
            return ImageBank(path)
        except DataError as error:
            tqdm.write(f"note: {error}; it is built anew")
    return ImageBank.build(pictures(), path, count, progress)
