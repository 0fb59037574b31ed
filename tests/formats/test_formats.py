"""Formats, depth and metadata: every value as it is stored, nothing lost without a word, and no rare decoder for strangers."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps, PngImagePlugin
from samples import photograph

from srgan_lib.formats import known as formats, metadata
from srgan_lib.formats.deep import turned
from srgan_lib.errors import ImageError
from srgan_lib.images import open_picture, write_image
from srgan_lib.notes import collected, note
from srgan_lib.formats.sixteen import DeepImage

RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(0, 65536, (37, 53, 4)).astype(np.uint16)
PHOTO = Image.fromarray(photograph(30, 40))
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6">cat</a></x:xmpmeta>'


def encoded(image, format, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def png(levels: np.ndarray, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG of 8 or 16 bits by the specification alone: PNG, third edition, 5.3 and 11.2."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    levels = levels if levels.ndim == 3 else levels[..., None]
    rows = levels.astype(levels.dtype.newbyteorder(">")).reshape(len(levels), -1)
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[levels.shape[2]]
    parts = [(b"IHDR", struct.pack(">IIBBBBB", *levels.shape[1::-1], 8 * levels.itemsize, colour, 0, 0, 0)), *more,
             (b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff(levels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, levels, **options)
    return file.getvalue()


def quiet(source, **options):
    return open_picture(source, quiet=True, **options)


def levels_of(picture) -> np.ndarray:
    parts = [picture.deep if picture.deep.ndim == 3 else picture.deep[..., None], *([] if picture.alpha is None else [picture.alpha[..., None]])]
    return np.concatenate(parts, -1)


# ---------------------------------------------------------------- 16 bits


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_is_read_and_written_value_by_value(channels, tmp_path):
    stored = DEEP[..., :channels]
    picture = quiet(png(stored))
    assert picture.bits == 16 and np.array_equal(levels_of(picture), stored)
    DeepImage.of(stored).save(tmp_path / "a.png") if channels > 1 else write_image(stored[..., 0], tmp_path / "a.png")
    assert np.array_equal(levels_of(quiet(tmp_path / "a.png")), stored)
    with Image.open(tmp_path / "a.png") as image:  # Pillow's own decoder agrees on the high bytes
        assert channels in (1, 2) or np.array_equal(np.asarray(image), stored >> 8)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"compression": "zlib", "predictor": 2}, {"tile": (16, 16)}], ids=str)
def test_tiff_of_16_bits_is_read_as_tifffile_wrote_it(order, options):
    stored = DEEP[..., :3]
    assert np.array_equal(quiet(tiff(stored, photometric="rgb", byteorder=order, **options)).deep, stored)
    with_alpha = quiet(tiff(DEEP, photometric="rgb", byteorder=order, extrasamples=["unassalpha"], **options))
    assert np.array_equal(levels_of(with_alpha), DEEP)


def test_planes_of_16_bits_are_no_noise():  # Pillow 13.0 reads them as noise
    for compression in (None, "zlib"):
        planar = tiff(np.moveaxis(DEEP[..., :3], -1, 0), photometric="rgb", planarconfig="separate", compression=compression)
        assert np.array_equal(quiet(planar).deep, DEEP[..., :3])


def test_colours_multiplied_by_alpha_are_divided_again():
    alpha = DEEP[..., 3:] | 0x8000
    stored = np.concatenate([np.floor(DEEP[..., :3] * (alpha / 65535) + 0.5), alpha], -1).astype(np.uint16)
    read = quiet(tiff(stored, photometric="rgb", extrasamples=["assocalpha"]))
    assert np.abs(read.deep.astype(int) - DEEP[..., :3]).max() <= 1 and np.array_equal(read.alpha, alpha[..., 0])


def test_written_tiffs_are_read_by_tifffile_and_keep_exif(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"  # a folder of its own: Pillow 13.0 fails to write it beside compressed pixels
    for image in (DeepImage.of(DEEP[..., :3]), PHOTO, PHOTO.convert("L"), PHOTO.convert("RGBA")):
        write_image(image, tmp_path / "a.tif", compression="tiff_adobe_deflate", exif=exif.tobytes(), icc_profile=b"a profile", dpi=(300, 300))
        expected = image.deep if isinstance(image, DeepImage) else np.asarray(image)
        assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), expected)
        with Image.open(tmp_path / "a.tif") as read:
            assert read.getexif()[0x010F] == "a camera" and read.getexif().get_ifd(0x8769)[0x9003].startswith("2024")
            assert read.info["icc_profile"] == b"a profile" and read.info["dpi"] == (300, 300)


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_deep_jpeg_2000_keeps_white_white(bits, channels):  # Pillow 12.3 and 13.0 store white as 0; the depth stands in SIZ (15444-1, A.5.1)
    imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    stored = np.ascontiguousarray((DEEP[..., :channels] >> (16 - bits)).squeeze())
    stored[0] = 2**bits - 1
    picture = quiet(imagecodecs.jpeg2k_encode(stored, level=0, bitspersample=bits, reversible=True))
    assert picture.bits == bits and (picture.deep[0] == 65535).all()
    assert np.array_equal(np.round(picture.deep / 65535 * (2**bits - 1)).astype(int), stored)


def test_siz_and_jxl_headers():
    siz = b"\xff\x4f\xff\x51" + struct.pack(">HHIIIIIIIIH", 47, 0, 9, 9, 0, 0, 9, 9, 0, 0, 3) + bytes([11, 1, 1, 7, 1, 1, 0x8B, 1, 1])
    assert formats.siz_depths(b"boxes" + siz) == [12, 8, -12] and formats.siz_depths(siz[:30]) == []
    imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    for bits, kind in ((8, np.uint8), (10, np.uint16), (16, np.uint16)):
        data = np.ascontiguousarray(DEEP[..., :3] >> (16 - bits)).astype(kind)
        assert formats.jxl_depth(imagecodecs.jpegxl_encode(data, lossless=True, bitspersample=bits)) == bits


def test_ppm_beyond_255_levels():  # Netpbm's ppm: two bytes a value, the high one first
    stored = DEEP[..., :3] % 1024
    picture = quiet(b"P6 53 37 1023\n" + stored.astype(">u2").tobytes())
    assert np.array_equal(np.round(picture.deep / 65535 * 1023).astype(int), stored)


def test_a_grey_of_16_bits_with_a_colour_key_keeps_its_transparency():
    stored = DEEP[..., 0].copy()
    stored[:5] = 1234
    picture = quiet(png(stored, (b"tRNS", struct.pack(">H", 1234))))
    assert np.array_equal(picture.alpha == 0, stored == 1234) and np.array_equal(picture.deep, stored)
    colours = DEEP[..., :3].copy()
    colours[:5] = (1, 2, 3)
    keyed = quiet(png(colours, (b"tRNS", struct.pack(">3H", 1, 2, 3))))
    assert (keyed.alpha[:5] == 0).all() and (keyed.alpha[5:] == 65535).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pictures_are_turned_as_pillow_turns(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(DEEP[..., 0] // 257)
    image.info["exif"] = exif.tobytes()
    image.getexif()[0x0112] = orientation
    assert np.array_equal(turned(DEEP[..., 0] // 257, orientation), np.asarray(ImageOps.exif_transpose(image)))
    DeepImage.of(DEEP).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(levels_of(quiet(tmp_path / "a.png")), turned(DEEP, orientation))
    assert all(min(turned(DEEP[:height, :width, 0], orientation).strides) > 0 for height, width in ((1, 1), (1, 37), (37, 1)))


# ---------------------------------------------------------------- values that are no levels


FLOATS = RANDOM.random((20, 30)).astype(np.float32)


@pytest.mark.parametrize("values, words", [
    (FLOATS * 6000 + 500, "are stretched"), (FLOATS * 3, "are stretched"), (FLOATS - 0.5, "are stretched"), (FLOATS * 200, "levels 0 to 255"),
    ((FLOATS * 3000 - 300).astype(np.int16), "are stretched"), ((FLOATS * 200 - 100).astype(np.int8), "are stretched"),
    ((FLOATS * 2**31).astype(np.uint32), "are stretched"), (np.repeat(FLOATS[..., None], 3, 2) * 40, "are stretched")])
def test_other_ranges_are_stretched_and_that_is_said(values, words):
    picture = quiet(tiff(values, photometric="rgb" if values.ndim == 3 else "minisblack"))
    assert any(words in text for text in picture.notes) and picture.rgb.max() > 150 and picture.rgb.min() < 30
    assert np.corrcoef(picture.rgb[..., 0].ravel(), values.reshape(20, 30, -1)[..., 0].ravel())[0, 1] > 0.999


@pytest.mark.parametrize("values, words", [(np.where(FLOATS > 0.9, np.nan, FLOATS), "not finite"), (np.where(FLOATS > 0.9, np.inf, FLOATS), "not finite"),
                                           (np.full((4, 5), 7.5, np.float32), "every value"), (FLOATS.astype(np.complex64), "no levels")])
def test_what_has_no_range_is_refused(values, words):
    with pytest.raises(ImageError, match=words):
        quiet(tiff(values))


def test_floats_of_usual_ranges_are_what_they_say():
    assert np.abs(quiet(tiff(FLOATS)).deep - FLOATS * 65535.0).max() <= 0.51
    whole = np.floor(FLOATS * 255)
    assert np.array_equal(quiet(tiff(whole)).rgb[..., 0], whole) and not quiet(tiff(whole)).notes


def test_white_may_be_zero():
    assert np.array_equal(quiet(tiff(DEEP[..., 0], photometric="miniswhite")).deep, 65535 - DEEP[..., 0])


def test_bands_that_are_left_out_are_said():
    assert any("5 bands" in text for text in quiet(tiff(RANDOM.integers(0, 256, (9, 8, 5), np.uint8), photometric="rgb", planarconfig="contig")).notes)


# ---------------------------------------------------------------- what is opened


def test_suffixes_come_from_pillow():
    for suffix in (".jfif", ".jpe", ".jp2", ".tga", ".apng", ".pbm", ".pnm", ".dib", ".avif", ".heic", ".jxl", ".qoi"):
        assert suffix in formats.SUFFIXES
    assert not {".psd", ".fits", ".eps", ".pdf", ".h5", ".wmf", ".fli"} & set(formats.SUFFIXES)


@pytest.mark.parametrize("name, data, words", [("a.psd", b"8BPS\0\1" + bytes(60), "PSD, a rare format"), ("a.png", b"8BPS\0\1" + bytes(60), "PSD, a rare format"),
                                               ("a.fits", b"SIMPLE  =                    T" + bytes(60), "FITS, a rare format"),
                                               ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS, a rare format")])
def test_rare_formats_are_not_opened(name, data, words, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match=words):
        quiet(tmp_path / name)


def test_absent_plugins_are_named(monkeypatch):
    monkeypatch.setattr(formats, "formats", lambda: formats.COMMON[:2])
    for data, line in ((b"\0\0\0\x18ftypheic" + bytes(40), "pip install pillow-heif"), (b"\xff\x0a" + bytes(40), "pip install pillow-jxl-plugin")):
        assert line in formats.unknown(data, "a")


@pytest.mark.parametrize("module, kind", [("pillow_heif", "HEIF"), ("pillow_jxl", "JXL")])
def test_plugins_are_used(module, kind):
    pytest.importorskip(module, reason=f"{module} is not installed")
    assert kind in formats.formats()
    picture = quiet(encoded(PHOTO, kind, quality=95))
    assert np.abs(picture.rgb.astype(int) - np.asarray(PHOTO)).mean() < 8


def test_empty_paths_and_files_under_other_names(tmp_path):
    with pytest.raises(ImageError, match="empty"):
        quiet("")
    (tmp_path / "photo").write_bytes(encoded(PHOTO, "PNG"))
    (tmp_path / "letter").write_text("dear reader")
    assert formats.is_picture(tmp_path / "photo") and not formats.is_picture(tmp_path / "letter")
    assert np.array_equal(quiet(tmp_path / "photo").rgb, np.asarray(PHOTO))


# ---------------------------------------------------------------- several pictures in a file


def test_pages_and_second_pictures_are_not_called_animated():
    pages = encoded(PHOTO, "TIFF", save_all=True, append_images=[PHOTO.rotate(180), PHOTO.rotate(90)])
    picture = quiet(pages)
    assert "holds 3 pages; the first is used" in picture.notes[0] and picture.pages == [0, 1, 2]
    assert np.array_equal(quiet(pages, page=1).rgb, np.asarray(PHOTO.rotate(180)))
    small = PHOTO.resize((20, 15)).convert("L")
    phone = quiet(encoded(PHOTO, "MPO", save_all=True, append_images=[small]))
    assert "holds 2 images; the first is used (the second is a gain map" in phone.notes[0] and phone.pages == [0]
    with pytest.warns(UserWarning, match="holds 3 pages"):
        open_picture(pages)


# ---------------------------------------------------------------- metadata


def with_everything(kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x8298] = "(c) somebody"
    options = {"exif": exif.tobytes(), "dpi": (300, 300), "xmp": XMP}
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("parameters", "a cat, Steps: 20"), info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = {"exif": exif.tobytes(), "dpi": (300, 300), "pnginfo": info}
    return encoded(PHOTO, kind, **options)


def saved(picture, kind: str, **options):
    info = {**picture.info, "exif": picture.exif, "icc_profile": picture.icc}
    chosen = metadata.options({name: value for name, value in info.items() if value}, kind, **options)
    return encoded(Image.fromarray(picture.rgb), kind, **chosen)


@pytest.mark.parametrize("source", ["PNG", "JPEG"])
@pytest.mark.parametrize("target", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_dpi_xmp_texts_and_copyright_are_kept_or_said(source, target):
    with collected() as notes:
        picture = quiet(saved(quiet(with_everything(source)), target))
    assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.01) and b"cat" in picture.info["xmp"] and b'Orientation="1"' in picture.info["xmp"]
    kept = Image.Exif()
    kept.load(picture.exif)
    assert kept[0x8298] == "(c) somebody"
    if source == "PNG":
        assert picture.info.get("texts") == {"parameters": "a cat, Steps: 20"} or any("parameters" in text for text in notes)
    stripped = quiet(saved(quiet(with_everything(source)), target, strip=True))
    assert not stripped.info and not stripped.exif


def test_iptc_goes_from_jpeg_to_jpeg_and_tiff_and_is_said_elsewhere():
    block = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x08\x1c\x02\x19\0\x03cat"
    data = encoded(PHOTO, "JPEG", extra=b"\xff\xed" + struct.pack(">H", len(block) + 2) + block)
    picture = quiet(data)
    assert picture.info["iptc"] == b"\x1c\x02\x19\0\x03cat"
    assert quiet(saved(picture, "JPEG")).info["iptc"] == quiet(saved(picture, "TIFF")).info["iptc"] == picture.info["iptc"]
    with collected() as notes:
        saved(picture, "PNG")
    assert any("IPTC" in text for text in notes)


def test_gamma_and_cicp_are_kept_in_png_and_said_elsewhere():
    picture = quiet(png(np.asarray(PHOTO), (b"gAMA", struct.pack(">I", 100000)), (b"cICP", bytes([9, 16, 0, 1]))))
    assert quiet(saved(picture, "PNG")).info["colour"] == {b"gAMA": struct.pack(">I", 100000), b"cICP": bytes([9, 16, 0, 1])}
    with collected() as notes:
        saved(picture, "JPEG")
    assert any("gAMA" in text for text in notes)
    assert "colour" not in quiet(png(np.asarray(PHOTO), (b"gAMA", struct.pack(">I", 45455)))).info  # 1 / 2.2, what everybody shows


def test_hdr_colours_of_an_avif_become_a_pngs_cicp_and_usual_ones_nothing():
    # ISO 14496-12, 12.1.5: "colr", "nclx", primaries, transfer, matrix (16 bits each), a bit for full range
    for codes, wanted in (((9, 16, 9), {b"cICP": bytes([9, 16, 0, 1])}), ((12, 13, 6), {b"cICP": bytes([12, 13, 0, 1])}), ((1, 13, 6), {}), ((2, 2, 2), {})):
        box = b"colrnclx" + struct.pack(">HHHB", *codes, 0x80)
        assert metadata.nclx(bytes(20) + box + bytes(9)) == wanted
    data = encoded(PHOTO, "AVIF")
    at = data.find(b"colrnclx") + 8
    picture = quiet(data[:at] + struct.pack(">HH", 9, 16) + data[at + 4:])
    assert picture.info["colour"] == {b"cICP": bytes([9, 16, 0, 1])} and "colour" not in quiet(data).info
    with collected() as notes:
        saved(picture, "WEBP")
    assert any("cICP" in text for text in notes)


def test_xmp_keeps_its_keywords_and_loses_what_speaks_of_a_second_picture():
    # Ultra HDR image format 1.1, "Gain map XMP metadata"; Motion Photo format 1.0
    xmp = (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" Camera:MotionPhoto="1">'
           b'<dc:subject>cat</dc:subject><Container:Directory><rdf:Seq><rdf:li Item:Semantic="GainMap"/></rdf:Seq></Container:Directory></rdf:Description></x:xmpmeta>')
    picture = quiet(encoded(PHOTO, "JPEG", xmp=xmp))
    kept = picture.info["xmp"]
    assert b"<dc:subject>cat</dc:subject>" in kept and not any(word in kept for word in (b"hdrgm:Version", b"GainMap", b"MotionPhoto"))
    assert any("gain map" in text for text in picture.notes) and any("holds a short video behind the photograph" in text for text in picture.notes)


def test_the_callers_image_is_left_as_it_was():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(encoded(PHOTO, "PNG", exif=exif)))
    assert quiet(image).rgb.shape == quiet(image).rgb.shape == (40, 30, 3) and image.size == (40, 30)


def test_notes_are_printed_or_collected(capsys):
    note("one")
    with collected() as notes:
        note("two"), note("two")
    assert capsys.readouterr().out == "note: one\n" and notes == ["two"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet(encoded(PHOTO, "GIF", save_all=True, append_images=[PHOTO.rotate(90)]))


# ---------------------------------------------------------------- what people have besides


def test_unsigned_values_of_32_bits_are_not_taken_for_signed():  # Pillow 13.0 has one mode of 32 bits, which is signed
    values = np.linspace(0, 2**32 - 1, 60, dtype=np.uint64).reshape(6, 10).astype(np.uint32)
    picture = quiet(tiff(values))
    assert np.abs(picture.deep - values / (2**32 - 1) * 65535).max() < 1 and any("stretched" in text for text in picture.notes)
    assert np.array_equal(quiet(tiff(np.full((4, 5), 55746, np.int32))).deep, np.full((4, 5), 55746))


@pytest.mark.parametrize("shape", [(6, 10), (6, 10, 3)])
def test_missing_values_of_a_map_take_no_part_in_the_range(shape):  # GDAL's tag 42113, ASCII
    values = RANDOM.random(shape).astype(np.float32)
    values[0, 0] = -9999
    picture = quiet(tiff(values, photometric="rgb" if len(shape) == 3 else "minisblack", extratags=[(42113, 2, 6, "-9999", True)]))
    assert any("missing (-9999)" in text for text in picture.notes)
    assert np.abs(picture.deep[1:] - values[1:] * 65535.0).max() <= 0.51 and picture.deep[0, 0].max() < 65535 * 0.3


def test_greys_beyond_8_bits_that_pillow_cuts_are_said():
    header = struct.pack(">hBBHHHHii", 474, 0, 2, 2, 10, 6, 1, 0, 65535).ljust(512, b"\0")  # SGI, version 1.00: two bytes a channel
    assert any("16 bits a channel, of which Pillow reads 8" in text for text in quiet(header + DEEP[:6, :10, 0].astype(">u2").tobytes()).notes)
    imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    assert any("10 bits a channel" in text for text in quiet(imagecodecs.avif_encode(DEEP[..., 0] >> 6, bitspersample=10)).notes)


def test_greys_with_alpha_of_a_deep_jpeg_2000():  # PyAV 18.1 makes no array of them
    imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    picture = quiet(imagecodecs.jpeg2k_encode(np.ascontiguousarray(DEEP[..., :2]), level=0, reversible=True))
    assert picture.grey and np.array_equal(levels_of(picture), DEEP[..., :2])


def test_a_bmp_of_16_bits_a_pixel_has_not_16_a_channel():
    pixels = RANDOM.integers(0, 65536, (6, 10)).astype("<u2").tobytes()
    head = struct.pack("<IiiHHIIiiII", 40, 10, 6, 1, 16, 3, len(pixels), 0, 0, 0, 0) + struct.pack("<III", 0xF800, 0x7E0, 0x1F)  # BITFIELDS: 5, 6, 5
    picture = quiet(b"BM" + struct.pack("<IHHI", 14 + len(head) + len(pixels), 0, 0, 14 + len(head)) + head + pixels)
    assert picture.bits == 8 and not picture.notes


@pytest.mark.parametrize("options, words", [({}, ""), ({"imagej": True}, "ImageJ"), ({"ome": True}, "OME-XML")])
def test_descriptions_of_the_old_size_are_not_passed_on(options, words, tmp_path, caplog):
    picture = quiet(tiff(DEEP[..., 0], **options))
    assert any(words in text and "left out" in text for text in picture.notes) == bool(words)
    write_image(np.zeros((74, 106), np.uint8), tmp_path / "a.tif", compression="tiff_adobe_deflate", **({"exif": picture.exif} if picture.exif else {}))
    assert tifffile.imread(tmp_path / "a.tif").shape == (74, 106) and not caplog.records
    plain = quiet(tiff(DEEP[..., 0], description="my cat", metadata=None))
    exif = Image.Exif()
    exif.load(plain.exif)
    assert exif[0x010E] == "my cat"


def test_known_beginnings_are_called_by_their_name(capfd):
    whole = png(DEEP[..., 0])
    lossless = b"\xff\xd8\xff\xc3\0\x0b\x10\0\x06\0\x0a\x01\1\x11\0"  # ITU-T T.81, B.2.2: SOF3, 16 bits
    with pytest.raises(ImageError, match="a PNG that Pillow does not read"):
        quiet(whole[:20] + b"\xff" + whole[21:])
    with pytest.raises(ImageError, match="a JPEG that Pillow does not read.*12 bits, lossless"):
        quiet(lossless + b"\0" * 100)
    with pytest.raises(ImageError, match="not a picture: the file is empty"):
        quiet(b"")
    webp = tiff(DEEP[..., :3], photometric="rgb").replace(struct.pack("<HHII", 259, 3, 1, 1), struct.pack("<HHII", 259, 3, 1, 50001))
    with pytest.raises(ImageError, match="TIFF of a rare kind"):
        quiet(webp)
    assert capfd.readouterr().err == ""  # libtiff's own words


def test_flat_greys_of_16_bits_stay_flat(tmp_path):
    # Pillow 13.0 blends single bytes when it turns or shrinks mode I;16, and a number pasted into it becomes another one
    from recordings import nearly_identity

    from srgan_lib.upscaling.files import upscale_files
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.full((40, 60), 40_000, np.uint16)).save(tmp_path / "a.png", exif=exif)
    for options in ({"tile": 16}, {"long_side": 100}, {"ensemble": True}):
        assert upscale_files([tmp_path / "a.png"], str(tmp_path / "b.png"), nearly_identity(), **options) == 0
        result = quiet(tmp_path / "b.png").deep
        assert result.shape[0] > result.shape[1] and np.abs(result.astype(int) - 40_000).max() <= 1


def test_quality_100_of_jpeg_xl_is_without_loss(tmp_path):  # level=100 and distance=0 are not, `lossless` is
    pytest.importorskip("pillow_jxl", reason="pillow-jxl-plugin is not installed")
    from srgan_lib.upscaling.saving import save
    formats.formats()
    image = Image.fromarray(DEEP[..., :3].astype(np.uint8))
    save(image, str(tmp_path / "a.jxl"), 100)
    assert np.array_equal(quiet(tmp_path / "a.jxl").rgb, np.asarray(image))
