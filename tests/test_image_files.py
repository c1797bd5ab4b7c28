"""What belongs to a picture besides its pixels: kept or named, and no reason to refuse sound pixels where it is bad."""

import os
import re
import struct
import zlib
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo, putchunk

from srkit.files import SrkitError
from srkit.generator import SRResNet
from srkit.image_files import Picture, read_picture, write_picture
from srkit.images import read_image
from srkit.upscaling import upscale_file

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)


def saved(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def png(path, pixels, *chunks, last=()):
    """A PNG with more chunks, before its pixels and behind them."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "png")
    plain = file.getvalue()

    def written(some):
        more = BytesIO()
        for name, data in some:
            putchunk(more, name, data)
        return more.getvalue()

    path.write_bytes(plain[:33] + written(chunks) + plain[33:-12] + written(last) + plain[-12:])
    return path


def exif(*entries) -> bytes:
    """Little-endian EXIF by hand, with tags of any type."""
    packed = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + b"\0\0\0\0"


LONG = zlib.compress(bytes(2_000_000))


@pytest.mark.parametrize(
    ("chunk", "lost"),
    [
        ((b"eXIf", b"garbage garbage"), "EXIF"),
        ((b"zTXt", b"Comment\0\0" + LONG), "text"),
        ((b"iCCP", b"x\0\0" + LONG), "profile"),
        ((b"iCCP", b"x\0\0garbage"), "profile"),
        ((b"gAMA", b"1"), "metadata"),
        ((b"cHRM", b"12"), "metadata"),
        ((b"pHYs", b"12"), "metadata"),
    ],
)
def test_a_png_with_a_bad_chunk_keeps_its_pixels_and_names_what_it_lost(tmp_path, photo, chunk, lost):
    places = {"before": png(tmp_path / "before.png", photo, chunk)}
    if chunk[0] == b"zTXt":
        places["after"] = png(tmp_path / "after.png", photo, last=[chunk])
    for path in places.values():
        picture = read_picture(path)
        np.testing.assert_array_equal(picture.pixels, photo)
        assert len(picture.lost) == 1
        assert lost in picture.lost[0]
        np.testing.assert_array_equal(read_image(path), photo)


@pytest.mark.parametrize("bits", [8, 16])
def test_bad_text_does_not_take_the_orientation_along(tmp_path, photo, bits):
    turn = (b"eXIf", exif((274, 3, 1, struct.pack("<HH", 6, 0)))[6:])
    path = png(tmp_path / "a.png", photo, (b"zTXt", b"Comment\0\0" + LONG), turn)
    if bits == 16:
        write_picture(tmp_path / "deep.png", Picture(photo.astype(np.uint16) * 257))
        deep = (tmp_path / "deep.png").read_bytes()
        path.write_bytes(deep[:33] + path.read_bytes()[33 : path.read_bytes().index(b"IDAT") - 4] + deep[33:])
    np.testing.assert_array_equal(read_picture(path).pixels // (257 if bits == 16 else 1), np.rot90(photo, -1))
    np.testing.assert_array_equal(read_image(path), np.rot90(photo, -1))


WRONG = {
    "a number for the maker": exif((271, 3, 1, b"\7\0\0\0"), (274, 3, 1, b"\6\0\0\0")),
    "words for the orientation": exif((271, 2, 4, b"abc\0"), (274, 2, 2, b"6\0\0\0")),
    "an orientation of 99": exif((274, 3, 1, b"\x63\0\0\0")),
    "a folder beyond the end": exif((271, 2, 4, b"abc\0"), (34665, 4, 1, b"\xff\xff\0\0"), (274, 3, 1, b"\6\0\0\0")),
    "words for a folder": exif((34665, 2, 4, b"abc\0"), (274, 3, 1, b"\6\0\0\0")),
    "words beyond the end": exif((271, 2, 400, b"\xff\xff\0\0")),
    "no EXIF at all": b"Exif\0\0garbage!!",
}


@pytest.mark.parametrize("suffix", ["jpg", "webp", "png"])
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_exif_is_no_reason_to_refuse_a_picture(tmp_path, photo, suffix, wrong):
    data = WRONG[wrong] if suffix != "webp" else WRONG[wrong][6:]
    path = saved(tmp_path / f"a.{suffix}", photo, exif=data, quality=95)
    turned = struct.pack("<HHIHH", 274, 3, 1, 6, 0) in data
    shape = (12, 9, 3) if turned else (9, 12, 3)
    picture = read_picture(path)
    assert picture.pixels.shape == read_image(path).shape == shape
    assert ("EXIF (damaged)" in picture.lost) == ("folder" in wrong or wrong == "no EXIF at all")
    write_picture(tmp_path / f"b.{suffix}", picture)
    assert read_picture(tmp_path / f"b.{suffix}").pixels.shape == shape, "turned once"


@pytest.mark.parametrize("profile", [SRGB, b"garbage"], ids=["of RGB", "garbage"])
def test_cmyk_with_a_profile_that_is_none_of_cmyk_is_converted_without(tmp_path, profile):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", icc_profile=profile)
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.pixels[4, 4] == pytest.approx([255, 0, 0], abs=6)
    assert "profile" in picture.lost[0]
    assert "icc_profile" not in picture.about


def test_resolution_text_and_colour_chunks_of_a_png_are_kept(tmp_path, photo):
    info = PngInfo()
    info.add_text("Author", "me")
    info.add_itxt("Title", "ü画")
    info.add(b"gAMA", struct.pack(">I", 45455))
    info.add(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
    info.add(b"sRGB", b"\0")
    saved(tmp_path / "a.png", photo, pnginfo=info, dpi=(300, 200))
    picture = read_picture(tmp_path / "a.png")
    assert not picture.lost
    for bits in (8, 16):
        picture.pixels = photo if bits == 8 else photo.astype(np.uint16) * 257
        assert write_picture(tmp_path / "b.png", picture) == []
        with Image.open(tmp_path / "a.png") as before, Image.open(tmp_path / "b.png") as after:
            assert after.info == before.info
            assert after.info["dpi"] == pytest.approx((300, 200), abs=0.02)
            assert after.info["Title"] == "ü画"
    picture.pixels, picture.kind = photo, "JPEG"
    assert write_picture(tmp_path / "b.jpg", picture) == ["gamma", "primaries", "rendering intent", "text"]
    with Image.open(tmp_path / "b.jpg") as after:
        assert after.info["dpi"] == (300, 200)


def test_a_comment_and_the_resolution_of_other_kinds_are_kept(tmp_path, photo):
    for suffix, options in {"jpg": {"comment": "hello", "dpi": (96, 96)}, "gif": {"comment": b"hello"}}.items():
        write_picture(tmp_path / f"b.{suffix}", read_picture(saved(tmp_path / f"a.{suffix}", photo, **options)))
        with Image.open(tmp_path / f"b.{suffix}") as after:
            assert after.info["comment"] == b"hello"
    for bits in (np.uint8, np.uint16):
        tifffile.imwrite(
            tmp_path / "a.tif", photo.astype(bits), photometric="rgb", resolution=(150, 150), software="lab"
        )
        write_picture(tmp_path / "b.tif", read_picture(tmp_path / "a.tif"))
        with tifffile.TiffFile(tmp_path / "b.tif") as after:
            assert after.pages[0].tags["XResolution"].value[0] / after.pages[0].tags["XResolution"].value[1] == 150
            assert after.pages[0].tags["ResolutionUnit"].value == 2
            assert after.pages[0].tags["Software"].value == "lab"


def test_what_counts_pixels_or_tells_a_shape_does_not_outlive_it(tmp_path, photo):
    made = Image.Exif()
    made[0x010E], made[0x8769] = "words", {0x9003: "2020:02:03 04:05:06", 40962: 12, 40963: 9}
    picture = read_picture(saved(tmp_path / "a.jpg", photo, exif=made.tobytes()))
    write_picture(tmp_path / "b.jpg", picture)
    with Image.open(tmp_path / "b.jpg") as after:
        assert dict(after.getexif().get_ifd(0x8769)) == {0x9003: "2020:02:03 04:05:06"}
        assert after.getexif()[0x010E] == "words"
    made[0x8769] = {40962: 12, 40963: 9}
    picture = read_picture(saved(tmp_path / "c.jpg", photo, exif=made.tobytes()))
    assert "words" in str(picture.about["exif"])
    assert picture.lost == []
    for name, options in {"imagej": {"imagej": True}, "ome": {"ome": True}, "shaped": {}}.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", np.stack([photo[..., 0]] * 5), **options)
        picture = read_picture(tmp_path / f"{name}.tif")
        write_picture(tmp_path / "b.tif", picture)
        with tifffile.TiffFile(tmp_path / "b.tif") as after:
            assert not after.pages[0].description
        assert any("further pages" in each for each in picture.lost), name


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif", "avif"])
def test_further_frames_are_named(tmp_path, photo, suffix):
    frames = [Image.fromarray(np.roll(photo, n, 0)) for n in range(3)]
    try:
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow writes no {suffix}")
    network = SRResNet(2, channels=2, blocks=1, norm=None, ends_kernel=3, skip=True).eval()
    with pytest.warns(UserWarning, match=rf"the enlarged .*b.{suffix} lacks further pages or frames"):
        upscale_file(tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}", network)
    with Image.open(tmp_path / f"b.{suffix}") as after:
        assert after.size == (24, 18)
        assert getattr(after, "n_frames", 1) == 1


@pytest.mark.parametrize("bits", [np.uint8, np.uint16])
def test_further_channels_are_named_and_not_taken_for_alpha(tmp_path, photo, bits):
    four = np.dstack([photo, photo[..., 0]]).astype(bits)
    tifffile.imwrite(tmp_path / "a.tif", four, photometric="rgb", extrasamples=["unspecified"])
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.pixels, four[..., :3])
    assert picture.lost == ["further channels"]


def test_xmp_and_a_scale_in_pixels_are_named(tmp_path, photo):
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/' />"
    assert read_picture(saved(tmp_path / "a.jpg", photo, xmp=xmp)).lost == ["XMP"]
    tifffile.imwrite(tmp_path / "a.tif", photo, photometric="rgb", resolution=(3.1, 3.1), resolutionunit="NONE")
    assert read_picture(tmp_path / "a.tif").lost == ["resolution"]


def test_a_png_text_that_is_called_as_a_setting_is_text(tmp_path, photo):
    info = PngInfo()
    for name in ("dpi", "gamma", "icc_profile", "exif", "transparency"):
        info.add_text(name, "words")
    picture = read_picture(saved(tmp_path / "a.png", photo, pnginfo=info))
    assert set(picture.about) == {"text"}
    write_picture(tmp_path / "b.png", picture)
    with Image.open(tmp_path / "b.png") as after:
        assert after.text["gamma"] == "words"


def test_what_is_too_long_for_the_other_kind_is_left_out_and_the_picture_is_not(tmp_path, photo):
    made = Image.Exif()
    made[0x010E] = "long " * 20_000
    picture = read_picture(saved(tmp_path / "a.png", photo, exif=made.tobytes()))
    picture.kind = "JPEG"
    assert write_picture(tmp_path / "b.jpg", picture) == ["EXIF"]
    assert read_image(tmp_path / "b.jpg").shape == photo.shape


@pytest.mark.parametrize("suffix", ["ppm", "tga", "jp2", "avif", "jfif", "jpe", "pgm", "dib"])
def test_rarer_kinds_come_back_as_themselves(tmp_path, suffix):
    y, x = np.mgrid[:32, :40]
    smooth = np.dstack([4 * y, 5 * x, 2 * (x + y)]).astype(np.uint8)
    smooth = smooth[..., 0] if suffix == "pgm" else smooth
    formats = {"jfif": "JPEG", "jpe": "JPEG", "pgm": "PPM"}
    try:
        Image.fromarray(smooth).save(tmp_path / f"a.{suffix}", format=formats.get(suffix), quality=95)
    except (KeyError, OSError, TypeError):
        pytest.skip(f"this Pillow writes no {suffix}")
    picture = read_picture(tmp_path / f"a.{suffix}")
    write_picture(tmp_path / f"b.{suffix}", picture)
    with Image.open(tmp_path / f"a.{suffix}") as before, Image.open(tmp_path / f"b.{suffix}") as after:
        assert (before.format, before.size) == (after.format, after.size)
    assert np.abs(read_picture(tmp_path / f"b.{suffix}").pixels.astype(int) - smooth).mean() < 3


def test_bits_that_another_kind_or_pillow_cannot_hold_are_named(tmp_path, photo):
    deep = Picture(photo.astype(np.uint16) * 257, "JPEG")
    assert write_picture(tmp_path / "b.jpg", deep) == ["bits beyond 8"]
    (tmp_path / "a.ppm").write_bytes(b"P6\n# words\n12 9\n65535\n" + (photo.astype(">u2") * 257).tobytes())
    assert read_picture(tmp_path / "a.ppm").lost == ["bits beyond 8"]


def test_a_file_without_the_right_to_read_it_is_told(tmp_path, photo, monkeypatch):
    path = saved(tmp_path / "a.png", photo)
    real = Image.open

    def shut(source, *more, **options):
        if source == path:
            raise PermissionError(13, "Permission denied", str(path))
        return real(source, *more, **options)

    monkeypatch.setattr(Image, "open", shut)
    with pytest.raises(SrkitError, match=re.escape("a.png cannot be read (Permission denied): mend its rights")):
        read_picture(path)


def test_colour_spaces_and_bits_that_pillow_drops_without_a_word_are_named(tmp_path, photo):
    info = PngInfo()
    info.add(b"cICP", b"\x09\x10\x00\x01")  # BT.2100 PQ
    Image.fromarray(photo).save(tmp_path / "a.png", pnginfo=info)
    assert read_picture(tmp_path / "a.png").lost == ["colour space (cICP)"]
    for bits in (8, 10):
        pixels = photo if bits == 8 else photo.astype(np.uint16) * 4
        (tmp_path / "a.avif").write_bytes(imagecodecs.avif_encode(pixels, bitspersample=bits))
        assert read_picture(tmp_path / "a.avif").lost == ["bits beyond 8"] * (bits > 8)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe with a name is made by Unix alone")
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", tmp_path):
        with pytest.raises(SrkitError, match="is no file: give a picture that is saved on disk"):
            read_picture(path)
