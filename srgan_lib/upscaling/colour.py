"""Colours of video: a decoded frame to RGB and back in floats, with H.273's matrices, both ranges, 8 to 16 bits.

FFmpeg's scaler only brings chroma to full size. The matrix is ours, since the scaler's own 16-bit white is 65,283.
"""

from dataclasses import asdict, dataclass

import numpy as np

from ..errors import ImageError

WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087),
           9: (0.2627, 0.0593)}  # H.273, table 4: code of the matrix: K_R, K_B
RGB, BT709, UNKNOWN, RESERVED, BT601 = 0, 1, 2, 3, 6
HDR = {16: "PQ", 18: "HLG"}  # H.273, table 3
STUDIO, FULL = 1, 2  # FFmpeg's codes of the range; 0, "not said", is taken for studio range
HD_LINES = 720  # players take an untagged video for BT.709 from here on, for BT.601 below
CENTRED = ("mjpeg", "mpeg1video")  # where chroma sits in the middle of four pixels; elsewhere at the left (H.264, E.2.1)
FLAGS = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
MONOCHROME = ("h264", "hevc", "av1", "vp9")  # their greys have studio range unless they say otherwise


@dataclass
class Look:
    """What an encoder must know of the pixels.

    size: (width, height); the tags are H.273's codes, as the source has them; light: x265's words; aspect: of a pixel, "" for square.
    """

    size: tuple[int, int]
    deep: bool
    matrix: int
    range: int
    primaries: int
    transfer: int
    alpha: bool = False
    light: str = ""
    aspect: str = ""

    asdict = asdict

    @property
    def guessed(self) -> int:
        """The matrix to compute with: the tag, or what a player takes for untagged."""
        return self.matrix if self.matrix in WEIGHTS else guess(self.size[1])


def guess(lines: int) -> int:
    return BT709 if lines >= HD_LINES else BT601


def is_rgb(frame) -> bool:
    return frame.format.is_rgb or frame.format.has_palette or frame.format.name.startswith(("bgr", "rgb", "gbr", "pal", "mono", "bayer"))


def has_alpha(frame) -> bool:
    return frame.format.name.startswith(("yuva", "rgba", "bgra", "argb", "abgr", "gbra", "ya", "pal", "ayuv", "vuya"))


def byte_order(frame) -> str:
    """numpy's sign for the order of a format's bytes."""
    return ">" if frame.format.name.endswith("be") else "<"


def depth(frame) -> int:
    return max(component.bits for component in frame.format.components)


def is_full(frame, codec: str = "") -> bool:
    """Whether levels run over the whole range."""
    grey = frame.format.name.startswith("gray") and codec not in MONOCHROME and not frame.color_range
    return frame.color_range == FULL or frame.format.name.startswith("yuvj") or grey


def look_of(frame, codec: str, size: tuple[int, int], alpha: bool = False) -> Look:
    """The look of a result of this size. Raises ImageError for colours that cannot be converted."""
    matrix = UNKNOWN if frame.colorspace in (UNKNOWN, RESERVED) else frame.colorspace
    if is_rgb(frame):
        matrix, span = guess(size[1]), STUDIO
    elif matrix in WEIGHTS or matrix in (UNKNOWN, RGB):
        matrix = matrix or UNKNOWN  # luma and chroma that call themselves RGB
        span = FULL if is_full(frame, codec) else STUDIO
    else:
        raise ImageError(f"its colours are coded by matrix {matrix} of H.273, which is not supported; "
                         "convert it first: ffmpeg -i INPUT -vf scale=out_color_matrix=bt709 -colorspace bt709 OUTPUT")
    deep = depth(frame) > 8 or frame.color_trc in HDR or alpha
    return Look(tuple(size), deep, matrix, span, frame.color_primaries, frame.color_trc, alpha)


class Reader:
    """Decoded frames to float32 (H, W, 3), RGB in [0, 1]."""

    def __init__(self, av, codec: str):
        self.av, self.codec, self.key, self.graph = av, codec, None, None

    def __call__(self, frame) -> np.ndarray:
        if is_rgb(frame):
            return self._rgb(frame)
        if frame.format.name.startswith("grayf"):  # shares of white, as floats
            share = plane_of(frame.planes[0], f"{byte_order(frame)}f{depth(frame) // 8}")[:, :frame.width]
            return share.astype(np.float32).clip(0, 1)[..., None].repeat(3, -1)
        full, bits = is_full(frame, self.codec), depth(frame)
        luma, *chroma = self._planes(frame)
        kr, kb = WEIGHTS[frame.colorspace if frame.colorspace in WEIGHTS else guess(frame.height)]
        unit = 65536 / (1 << bits)  # of one level of the source
        zero, span, chroma_span = (0, (1 << bits) - 1, (1 << bits) - 1) if full else (16 << bits - 8, 219 << bits - 8, 224 << bits - 8)
        y = (luma / unit - zero) / span
        u, v = ((plane / unit - (1 << bits - 1)) / chroma_span for plane in chroma)
        red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
        return np.stack([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue], -1).clip(0, 1).astype(np.float32)

    def alpha(self, frame) -> np.ndarray:
        """float32 (H, W) in [0, 1]."""
        rgba = frame.reformat(format="rgba64le").to_ndarray()
        return (rgba[..., 3].astype(np.float32) / max(int(rgba[..., 3].max()), 65280)).clip(0, 1)

    def _planes(self, frame) -> list[np.ndarray]:
        """Y, U and V of one size, each level shifted to the top of 16 bits."""
        frame = self._plain(frame)
        if frame.format.name.startswith("gray"):
            bits = depth(frame)
            luma = plane_of(frame.planes[0], f"{byte_order(frame)}u2" if bits > 8 else np.uint8)[:, :frame.width] * np.float32(1 << 16 - bits)
            return [luma, np.full_like(luma, 32768), np.full_like(luma, 32768)]
        key = (frame.format.name, frame.width, frame.height)
        if key != self.key:
            siting = "center" if self.codec in CENTRED else "left"
            same = "in_range=tv:out_range=tv:in_color_matrix=bt709:out_color_matrix=bt709"  # the same twice: no conversion
            self.key, self.graph = key, linked(self.av, frame, ("scale", f"{FLAGS}:{same}:in_chroma_loc={siting}"), ("format", "yuv444p16le"))
        self.graph.push(frame)
        return [plane_of(plane, np.uint16)[:, :frame.width].astype(np.float32) for plane in self.graph.pull().planes]

    def _plain(self, frame):
        """The same samples under a format's plain name: for yuvj the scaler would change the range."""
        if not frame.format.name.startswith("yuvj"):
            return frame
        plain = self.av.VideoFrame(frame.width, frame.height, frame.format.name.replace("yuvj", "yuv"))
        for target, source in zip(plain.planes, frame.planes):
            target_rows, source_rows = plane_of(target, np.uint8), plane_of(source, np.uint8)
            width = min(target_rows.shape[1], source_rows.shape[1])
            target_rows[:, :width] = source_rows[:, :width]
        return plain

    def _rgb(self, frame) -> np.ndarray:
        bits, name = depth(frame), frame.format.name
        if bits <= 8:
            return frame.reformat(format="rgb24").to_ndarray().astype(np.float32) / 255
        if name.startswith(("gbrp", "gbrap")) and name.endswith("le") and "f" not in name:
            green, blue, red = (plane_of(plane, np.uint16)[:, :frame.width] for plane in frame.planes[:3])
            return np.stack([red, green, blue], -1).astype(np.float32) / ((1 << bits) - 1)
        return frame.reformat(format="rgb48le").to_ndarray().astype(np.float32) / 65535


def linked(av, frame, *chain):
    """A filter graph of FFmpeg's for frames like this one: (filter, arguments) one after the other."""
    graph = av.filter.Graph()
    base = frame.time_base or "1/1000"
    entry = graph.add("buffer", f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base={base}")
    graph.link_nodes(entry, *(graph.add(*link) for link in chain), graph.add("buffersink")).configure()
    return graph


def plane_of(plane, kind) -> np.ndarray:
    """The samples of a plane, padding included; a view that can be written."""
    return np.frombuffer(plane, kind).reshape(-1, plane.line_size // np.dtype(kind).itemsize)[:plane.height]


def to_frame(av, sr: np.ndarray, look: Look, alpha: np.ndarray | None = None):
    """float32 RGB (H, W, 3) in [0, 1] -> a frame for the encoder, rounded once; chroma sits where H.264 expects it."""
    bits, full = (10 if look.deep else 8), look.range == FULL
    kr, kb = WEIGHTS[look.guessed]
    y = sr @ np.array([kr, 1 - kr - kb, kb], np.float32)
    chroma = (sr[..., 2] - y) / (2 * (1 - kb)), (sr[..., 0] - y) / (2 * (1 - kr))
    zero, span, chroma_span = (0, (1 << bits) - 1, (1 << bits) - 1) if full else (16 << bits - 8, 219 << bits - 8, 224 << bits - 8)
    small = chroma if look.alpha else [halved(plane) for plane in chroma]
    planes = [zero + span * y, *((1 << bits - 1) + chroma_span * plane for plane in small)]
    planes += [] if alpha is None else [alpha * ((1 << bits) - 1)]
    frame = av.VideoFrame(*look.size, pixel_format(look))
    for plane, values in zip(frame.planes, planes):
        kind = np.uint16 if bits > 8 else np.uint8
        plane_of(plane, kind)[:, :values.shape[1]] = np.floor(values + 0.5).clip(0, (1 << bits) - 1)
    return frame


def halved(plane: np.ndarray) -> np.ndarray:
    """4:2:0 of a plane of chroma: the mean of two rows, and 1-2-1 around each second column, where H.264 puts it."""
    rows = (plane[::2] + plane[1::2]) / 2
    wide = np.pad(rows, ((0, 0), (1, 1)), mode="edge")
    return (wide[:, :-2:2] + 2 * wide[:, 1:-1:2] + wide[:, 2::2]) / 4


def pixel_format(look: Look) -> str:
    return "yuva444p10le" if look.alpha else "yuv420p10le" if look.deep else "yuv420p"
