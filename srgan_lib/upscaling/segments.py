"""What a video has become so far: finished pieces of encoded frames in a folder beside the target, and what they were made from."""

import hashlib
import json
import os
import shutil
import struct
from pathlib import Path

from .colour import Look

FRAMES, SECONDS, FEWEST = 250, 300, 24  # a piece ends after so many frames (x264's usual distance of key frames), or so long, but not before
HEAD = struct.Struct("<qqBI")  # of a packet: time stamp, duration, key frame, bytes
LONGEST_NAME = 255  # bytes, on almost every file system


def part_of(target: Path) -> Path:
    """The folder of a target's pieces: one name, so that the next run finds what a killed one left."""
    name = f".{target.name}.part"
    short = hashlib.sha256(name.encode()).hexdigest()[:24]
    return target.with_name(name if len(os.fsencode(name)) <= LONGEST_NAME else f".{short}.part")


class Segments:
    """Pieces 0, 1, 2, ... in `folder`, kept only when they were made from the same source by the same means.

    state: what the job was at the end of the last piece.
    """

    def __init__(self, folder: Path, made_from: dict):
        self.folder, self.infos, self.along_decoding = folder, [], made_from.get("format") in ("mp4", "mov")
        if folder.is_dir() and self._read("made_from.json") == json.loads(json.dumps(made_from)):
            while info := self._read(f"{len(self.infos)}.json"):
                self.infos.append(info)
            return
        self.remove()
        folder.mkdir(parents=True)
        self._store("made_from.json", made_from)

    @property
    def state(self) -> dict:
        return self.infos[-1] if self.infos else {}

    @property
    def look(self) -> Look | None:
        if not self.infos:
            return None
        values = dict(self.state["look"])
        return Look(**values | {"size": tuple(values["size"])})

    def begin(self):
        """A file for the packets of the next piece."""
        return open(self.folder / f"{len(self.infos)}.packets", "wb")

    def finish(self, file, state: dict) -> None:
        """The piece is whole: from now on a new run goes on behind it."""
        file.flush()
        os.fsync(file.fileno())
        file.close()
        self._store(f"{len(self.infos)}.json", state)
        self.infos.append(json.loads(json.dumps(state)))

    def packets(self):
        """(time stamp, decoding time stamp, duration, key frame, bytes) of all packets, in the order they are decoded.

        The last one's duration makes the sum right: .mp4 counts a track's length along the decoding times.
        """
        heads = [head for head, _ in self._walk()]
        stamps, end = decoding_stamps([head[0] for head in heads]), self.end
        last = end - min(head[0] for head in heads) - (stamps[-1] - stamps[0])
        for number, ((head, file), dts) in enumerate(zip(self._walk(), stamps), 1):
            yield head[0], dts, last if self.along_decoding and number == len(heads) else head[1], bool(head[2]), file.read(head[3])

    @property
    def end(self) -> int:
        """The time stamp at which the last frame ends."""
        return max(head[0] + head[1] for head, _ in self._walk())

    def _walk(self):
        """(head, file) of each packet; the caller may read the packet's bytes, or not."""
        for number in range(len(self.infos)):
            with open(self.folder / f"{number}.packets", "rb") as file:
                while len(head := file.read(HEAD.size)) == HEAD.size:
                    head, place = HEAD.unpack(head), file.tell()
                    yield head, file
                    file.seek(place + head[3])

    def _read(self, name: str) -> dict | None:
        try:
            return json.loads((self.folder / name).read_text())
        except (OSError, ValueError, RecursionError):
            return None

    def _store(self, name: str, values: dict) -> None:
        new = self.folder / f"{name}.new"
        with open(new, "w") as file:
            json.dump(values, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.folder / name)

    def remove(self) -> None:
        if self.folder.is_dir() and not self.folder.is_symlink():
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            self.folder.unlink(missing_ok=True)


def store(file, packet, duration: int) -> None:
    """Append an encoder's packet to a piece."""
    data = bytes(packet)
    file.write(HEAD.pack(packet.pts, duration, packet.is_keyframe, len(data)))
    file.write(data)


def decoding_stamps(stamps: list[int]) -> list[int]:
    """Time stamps for decoding: rising by at least one, never behind the frame's own, whatever the pieces' encoders thought."""
    ordered = sorted(stamps)
    place = {stamp: number for number, stamp in enumerate(ordered)}
    delay = max((number - place[stamp] for number, stamp in enumerate(stamps)), default=0)
    step = min((b - a for a, b in zip(ordered, ordered[1:])), default=1)
    return [ordered[number - delay] if number >= delay else ordered[0] - (delay - number) * step for number in range(len(stamps))]
