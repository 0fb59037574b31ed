"""Colours of videos: reading and writing against H.273's formulas and against the picture that went in."""

import numpy as np
import pytest
from recordings import av, nearly_identity, pictures, probe, record

from srgan_lib.errors import ImageError
from srgan_lib.upscaling import upscale_video
from srgan_lib.upscaling.colour import FULL, STUDIO, WEIGHTS, Look, Reader, guess, halved, look_of, to_frame
from srgan_lib.upscaling.streams import pyav


@pytest.fixture(scope="module")
def generator():
    return nearly_identity()


def edges(size=(64, 48)) -> np.ndarray:
    """Saturated stripes 16 pixels wide beside a ramp of greys; uint8 RGB."""
    colours = np.array([(214, 45, 27), (20, 200, 60), (30, 40, 220), (230, 220, 20)], np.uint8)
    picture = colours[np.arange(size[0]) // 16 % 4][None].repeat(size[1], 0)
    picture[size[1] // 2:] = np.linspace(0, 255, size[0]).astype(np.uint8)[None, :, None]
    return picture


def flat(levels, pix_fmt: str, size=(64, 48), tags=(2, 0)):
    """A decoded frame whose planes hold one level each."""
    frame = av.VideoFrame(*size, pix_fmt)
    frame.colorspace, frame.color_range = tags
    kind = np.uint8 if max(component.bits for component in frame.format.components) == 8 else np.uint16
    for plane, level in zip(frame.planes, levels):
        np.frombuffer(plane, kind)[:] = level
    return frame


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p12le"])
@pytest.mark.parametrize("full", [False, True])
def test_black_and_white_are_exact_at_every_depth(pix_fmt, full):
    # H.273, 8.3, equations 23 to 28: studio range 16..235 and full range 0..2^n - 1, both times 2^(n - 8)
    bits = {"10le": 10, "12le": 12}.get(pix_fmt[-4:], 8)
    black, white = (0, (1 << bits) - 1) if full else (16 << bits - 8, 235 << bits - 8)
    for level, value in ((black, 0), (white, 1)):
        rgb = Reader(pyav(), "h264")(flat((level, 1 << bits - 1, 1 << bits - 1), pix_fmt, tags=(1, FULL if full else STUDIO)))
        assert np.abs(rgb - value).max() < 1e-5


@pytest.mark.parametrize("matrix", sorted(WEIGHTS))
def test_a_colour_by_the_formula(matrix):
    # H.273, 8.3, equations 38 to 42, solved for R, G, B
    kr, kb = WEIGHTS[matrix]
    y, u, v = (150 - 16) / 219, (100 - 128) / 224, (170 - 128) / 224
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    want = [red, (y - kr * red - kb * blue) / (1 - kr - kb), blue]
    rgb = Reader(pyav(), "h264")(flat((150, 100, 170), "yuv420p", tags=(matrix, STUDIO)))
    assert np.abs(rgb - np.clip(want, 0, 1)).max() < 1e-4


@pytest.mark.parametrize("pix_fmt", ["nv12", "p010le", "yuyv422", "yuv411p", "yuv440p", "yuvj420p", "yuvj444p", "gray", "gray10le", "gbrp", "rgb24", "bgra"])
def test_whatever_a_decoder_hands_over(pix_fmt):
    for level in (0, 128, 255):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
        full = "j" in pix_fmt or pix_fmt.startswith("gray")
        frame = frame.reformat(format=pix_fmt, dst_color_range="JPEG" if full else "MPEG", interpolation=4 | 0x40000)
        assert np.abs(Reader(pyav(), "rawvideo")(frame) * 255 - level).max() < 1.2  # what the scaler itself rounded away


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("span", [STUDIO, FULL])
def test_written_and_read_again_greys_have_no_bias(deep, span):
    greys = np.linspace(0, 1, 256, dtype=np.float32)[None, :, None].repeat(32, 0).repeat(3, 2)
    frame = to_frame(pyav(), greys, Look((256, 32), deep, 1, span, 2, 2))
    frame.colorspace, frame.color_range = 1, span
    error = Reader(pyav(), "h264")(frame) - greys
    assert abs(error.mean()) < 2e-4 and np.abs(error).max() < (0.0011 if deep else 0.0045)


def test_chroma_sits_at_the_left_of_two_pixels():
    # H.264, E.2.1: chroma_sample_loc_type 0 where nothing is said. A ramp stays a ramp: its value there, not half a pixel on
    ramp = np.arange(32, dtype=np.float32)[None].repeat(4, 0)
    assert np.abs(halved(ramp)[:, 1:] - ramp[::2, 2::2]).max() == 0


def test_colour_edges_survive_better_than_by_ffmpegs_defaults(tmp_path, generator):
    # PyAV 18.1 / FFmpeg 8.1: interpolation="BICUBIC" alone rounds down (-1.1 levels) and puts chroma between the pixels
    source = record(tmp_path / "a.mkv", sound=(), frames=2, options={"qp": "0"}, pictures=[edges()] * 2, tags=(1, 1, 1, 1))
    upscale_video(source, tmp_path / "b.mkv", generator, crf=0)
    before, after = pictures(source, "ITU709")[0][1].astype(float), pictures(tmp_path / "b.mkv", "ITU709")[0][1].astype(float)
    assert abs((after[::2, ::2] - before).mean()) < 0.15
    want, greys = edges().astype(float), slice(26, None)
    assert abs((after[::2, ::2][greys] - want[greys]).mean()) < 0.2  # it was -1.1
    assert probe(tmp_path / "b.mkv")["tags"] == (1, 1, 1)


@pytest.mark.parametrize("lines", [48, 720])
def test_untagged_stays_untagged_and_keeps_its_hue(tmp_path, lines):
    colour, size = np.array((214, 45, 27), np.uint8), (64, lines)
    matrix = "ITU709" if lines >= 720 else "ITU601"  # what players take it for
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as out:
        video = out.add_stream("libx264", rate=2, options={"crf": "1"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.broadcast_to(colour, (lines, 64, 3)).copy(), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=matrix)
        frame.colorspace = 2
        out.mux(video.encode(frame))
        out.mux(video.encode(None))
    assert probe(source)["tags"] == (2, 2, 2)
    upscale_video(source, tmp_path / "b.mp4", nearly_identity())
    assert probe(tmp_path / "b.mp4")["tags"] == (2, 2, 2)
    assert np.abs(pictures(tmp_path / "b.mp4", matrix)[0][1].mean((0, 1)) - colour).max() < 2


def test_untagged_that_grows_past_720_lines_is_what_players_expect_there(tmp_path, capsys):
    source = record(tmp_path / "a.mkv", sound=(), frames=1, size=(32, 400), pictures=[np.broadcast_to(np.array((214, 45, 27), np.uint8), (400, 32, 3))])
    upscale_video(source, tmp_path / "b.mp4", nearly_identity())
    assert probe(tmp_path / "b.mp4")["tags"] == (2, 2, 2) and "BT.709" in capsys.readouterr().out
    assert np.abs(pictures(tmp_path / "b.mp4", "ITU709")[0][1].mean((0, 1)) - (214, 45, 27)).max() < 2.5
    assert (guess(719), guess(720)) == (6, 1)


@pytest.mark.parametrize("transfer", [16, 18])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_hdr_stays_hdr_with_ten_bits(tmp_path, generator, transfer, suffix, capsys):
    # H.273, table 3: 16 is PQ, 18 is HLG
    name, light = {16: "smpte2084", 18: "arib-std-b67"}[transfer], ":master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
    source = record(tmp_path / "a.mkv", "libx265", frames=3, pix_fmt="yuv420p10le", sound=(), tags=(9, 9, transfer, 1),
                    options={"x265-params": f"log-level=none:crf=1:colorprim=bt2020:transfer={name}:colormatrix=bt2020nc" + light})
    upscale_video(source, tmp_path / f"b{suffix}", generator)
    report = probe(tmp_path / f"b{suffix}")
    assert report["pix_fmt"] == "yuv420p10le" and report["tags"] == (9, 9, transfer) and len(report["times"]) == 3
    assert "10, in H.265" in capsys.readouterr().out
    with av.open(str(source)) as a, av.open(str(tmp_path / f"b{suffix}")) as b:
        before, after = next(a.decode(video=0)), next(b.decode(video=0))
        kinds = [{data.type.name: bytes(data) for data in map(frame.side_data.__getitem__, range(len(frame.side_data)))} for frame in (before, after)]
        luma = [np.frombuffer(frame.planes[0], np.uint16).reshape(frame.height, -1)[:, :frame.width].astype(int) for frame in (before, after)]
    for kind in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"):
        assert kinds[0][kind] == kinds[1][kind]
    assert np.abs(luma[1][::2, ::2] - luma[0]).mean() < 8  # of 1,023; 8 bits would leave steps of 4


def test_a_gentle_ramp_of_ten_bits_keeps_more_than_256_levels(tmp_path, generator):
    wide = np.linspace(64, 940, 512).astype(np.uint16)
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as out:
        video = out.add_stream("ffv1", rate=5)
        video.width, video.height, video.pix_fmt = 512, 16, "yuv420p10le"
        frame = flat((0, 512, 512), "yuv420p10le", (512, 16), (1, 1))
        np.frombuffer(frame.planes[0], np.uint16).reshape(16, -1)[:, :512] = wide
        out.mux(video.encode(frame))
        out.mux(video.encode(None))
    upscale_video(source, tmp_path / "b.mp4", generator, crf=0)
    with av.open(str(tmp_path / "b.mp4")) as film:
        row = np.frombuffer(next(film.decode(video=0)).planes[0], np.uint16)[:1024:2].astype(int)
    assert len(set(row.tolist())) > 400 and np.abs(row - wide).max() <= 4


def test_eight_bits_under_a_pq_tag_become_ten(tmp_path, generator):
    source = record(tmp_path / "a.mkv", frames=2, sound=(), tags=(9, 9, 16, 1))
    upscale_video(source, tmp_path / "b.mp4", generator)
    assert probe(tmp_path / "b.mp4")["pix_fmt"] == "yuv420p10le" and probe(tmp_path / "b.mp4")["tags"] == (9, 9, 16)


def test_matrices_that_cannot_be_converted_are_refused(tmp_path, generator):
    frame = flat((100, 100, 100), "yuv420p", tags=(8, 1))  # H.273: YCgCo
    with pytest.raises(ImageError, match="matrix 8"):
        look_of(frame, "h264", (64, 48))
    source = record(tmp_path / "a.mkv", frames=2, sound=(), tags=(10, 9, 14, 1))  # BT.2020 with constant luminance
    with pytest.raises(ImageError, match="matrix 10 of H.273"):
        upscale_video(source, tmp_path / "b.mp4", generator)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


def test_transparency_is_kept_in_mov_and_said_elsewhere(tmp_path, generator, capsys):
    clear = np.dstack([edges(), np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(48, 0)])
    source = record(tmp_path / "a.mov", "prores_ks", pix_fmt="yuva444p10le", frames=2, sound=(), pictures=[clear] * 2, options={"profile": "4444", "alpha_bits": "16"})
    upscale_video(source, tmp_path / "b.mov", generator)
    with av.open(str(tmp_path / "b.mov")) as film:
        rgba = next(film.decode(video=0)).reformat(format="rgba").to_ndarray()
    assert rgba.shape == (96, 128, 4) and np.abs(rgba[::2, ::2, 3].astype(int) - clear[..., 3]).mean() < 4
    capsys.readouterr()
    upscale_video(source, tmp_path / "b.mp4", generator)
    assert "transparency" in capsys.readouterr().out
    white = pictures(tmp_path / "b.mp4")[0][1]
    assert white[:, :4].min() > 240  # hidden there


def test_the_transparency_of_vp9_is_seen(tmp_path, generator, capsys):
    clear = np.dstack([edges(), np.full((48, 64), 128, np.uint8)])
    source = record(tmp_path / "a.webm", "libvpx-vp9", pix_fmt="yuva420p", frames=3, sound=(), pictures=[clear] * 3, setup=lambda out, video, tracks: video.metadata.update(alpha_mode="1"))
    upscale_video(source, tmp_path / "b.mov", generator)
    with av.open(str(tmp_path / "b.mov")) as film:
        rgba = next(film.decode(video=0)).reformat(format="rgba").to_ndarray()
    assert np.abs(rgba[..., 3].astype(int) - 128).mean() < 4


DEEP_RGB = ("rgb48le", "rgb48be", "bgr48le", "rgba64le", "gbrp10le", "gbrp12le", "gbrp16be", "gbrap12le", "x2rgb10le", "gray10be", "gray12le", "gray16be", "gray16le", "grayf32le", "grayf32be")


@pytest.mark.parametrize("pix_fmt", DEEP_RGB)
def test_white_of_deep_rgb_and_greys_is_white(pix_fmt):
    # FFmpeg 8.1: rgb24 to rgb48le puts white at 65283; what is deep already must not pass through that
    frame = av.VideoFrame(64, 48, pix_fmt)
    bits, order = max(component.bits for component in frame.format.components), ">" if pix_fmt.endswith("be") else "<"
    for share in (0, 0.5, 1):
        level = round(share * ((1 << bits) - 1))
        value, kind = (share, f"{order}f4") if "f32" in pix_fmt else (level * (1 | 1 << 10 | 1 << 20), "<u4") if pix_fmt == "x2rgb10le" else (level, f"{order}u2")
        for plane in frame.planes:
            plane.update(np.full(plane.buffer_size // np.dtype(kind).itemsize, value, kind).tobytes())
        assert np.abs(Reader(pyav(), "rawvideo")(frame) - (share if "f32" in pix_fmt else level / ((1 << bits) - 1))).max() < 1e-4


def test_full_range_greys_keep_their_levels(tmp_path, generator):
    # libx264 with pix_fmt gray and full range comes back stretched to 220 levels (FFmpeg 8.1): greys are written as yuv420p
    levels = np.linspace(0, 255, 64).astype(np.uint8)[None, :, None].repeat(48, 0).repeat(3, 2)
    source = record(tmp_path / "a.mkv", "ffv1", frames=2, pix_fmt="gray", sound=(), pictures=[levels] * 2, tags=(2, 2, 2, FULL))
    upscale_video(source, tmp_path / "b.mp4", generator, crf=1)
    report = probe(tmp_path / "b.mp4")
    assert report["pix_fmt"] in ("yuv420p", "yuvj420p") and report["range"] == FULL
    assert np.abs(pictures(tmp_path / "b.mp4")[0][1][::2, ::2].astype(int) - levels).max() <= 3
