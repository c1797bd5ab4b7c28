"""Files that mean harm, or had an accident: a picture of the right size, or one sentence and no file. Never else."""

import random
import resource
import struct
import sys
import warnings
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageOps
from PIL.GifImagePlugin import GifImageFile
from PIL.PngImagePlugin import putchunk
from skimage import data

from srkit.cli import main
from srkit.files import SrkitError
from srkit.generator import SRResNet
from srkit.image_files import read_picture
from srkit.images import read_image
from srkit.upscaling import upscale_file

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def network() -> SRResNet:
    torch.manual_seed(0)
    return SRResNet(2, channels=2, blocks=1, norm=None, ends_kernel=3, skip=True).eval()


def peak_bytes() -> int:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def outcome(source, target, network, **options) -> str:
    """ "refused" in one sentence and without a file, or "enlarged" to the right size; anything else fails."""
    refused = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "the enlarged ")  # which says what was damaged beside the pixels
        try:
            upscale_file(source, target, network, **options)
        except SrkitError as error:
            refused = str(error)
    assert not [each for each in target.parent.iterdir() if each != target], "something half-written stays"
    if refused:
        assert "\n" not in refused
        assert source.name in refused
        assert not target.exists()
        return "refused"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow has doubts about damaged files, and opens some
        try:
            with Image.open(source) as before:
                width, height = ImageOps.exif_transpose(before).size
        except (OSError, SyntaxError, ValueError):  # Pillow refuses a PNG for text or EXIF that is damaged
            width, height = struct.unpack(">II", source.read_bytes()[16:24])
    with Image.open(target) as after:
        assert after.size in ((2 * width, 2 * height), (2 * height, 2 * width))
        after.load()
    target.unlink()
    return "enlarged"


KINDS = {
    "plain.png": ("RGB", {}),
    "palette.png": ("P", {}),
    "alpha.png": ("RGBA", {}),
    "deep.png": ("I;16", {}),
    "usual.jpg": ("RGB", {"quality": 90}),
    "progressive.jpg": ("RGB", {"quality": 85, "progressive": True}),
    "cmyk.jpg": ("CMYK", {}),
    "lossy.webp": ("RGBA", {"quality": 80}),
    "lossless.webp": ("RGB", {"lossless": True}),
    "plain.tif": ("RGB", {}),
    "lzw.tif": ("L", {"compression": "tiff_lzw"}),
    "deep.tif": (None, {}),
    "frame.gif": ("P", {}),
    "plain.bmp": ("RGB", {}),
    "bits.bmp": ("1", {}),
}


def real_file(folder, name: str) -> bytes:
    photo, (mode, options) = np.ascontiguousarray(data.astronaut()[20:52, 200:244]), KINDS[name]
    path = folder / f"real-{name}"
    if mode is None:
        tifffile.imwrite(path, photo.astype(np.uint16) * 257, photometric="rgb", compression="zlib")
    elif mode == "I;16":
        Image.fromarray(photo[..., 0].astype(np.uint16) * 257).save(path)
    else:
        exif = Image.Exif()
        exif[271], exif[274] = "Maker", 6
        options = options if name.endswith(("gif", "bmp")) else options | {"exif": exif.tobytes()}
        Image.fromarray(photo).convert(mode).save(path, **options)
    return path.read_bytes()


@pytest.mark.parametrize("name", KINDS)
def test_files_corrupted_at_random_places_are_enlarged_or_refused(tmp_path, network, name):
    """40 a kind, 600 in all."""
    real, chance, before = real_file(tmp_path, name), random.Random(name), peak_bytes()
    out = tmp_path / "out"
    out.mkdir()
    source, told = tmp_path / name, []
    for number in range(40):
        damaged = bytearray(real)
        for _ in range(chance.choice((1, 1, 2, 8, 40))):
            place = chance.randrange(len(damaged) if number % 2 else min(len(damaged), 200))  # half in the header
            damaged[place] = chance.choice((0, 255, damaged[place] ^ 1 << chance.randrange(8), chance.randrange(256)))
        if number % 8 == 7:
            start = chance.randrange(len(damaged))
            del damaged[start : start + chance.randrange(1, 40)]
        source.write_bytes(damaged)
        told.append(outcome(source, out / name, network, max_pixels=100_000))
    assert len(told) == 40
    assert peak_bytes() - before < 400e6


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_was_cut_is_refused_and_never_filled_up(tmp_path, name):
    real, chance = real_file(tmp_path, name), random.Random(name)
    source = tmp_path / name
    source.write_bytes(real)
    whole, refused = read_picture(source).pixels, 0
    for place in [*range(1, 30, 4), *(chance.randrange(len(real)) for _ in range(20)), len(real) * 9 // 10]:
        source.write_bytes(real[:place])
        for read in (lambda path: read_picture(path).pixels, read_image):
            try:
                pixels = read(source)
            except SrkitError:
                refused += 1
            else:  # all but the file's last mark was there
                assert pixels.shape[:2] == whole.shape[:2]
                assert read is read_image or (pixels == whole).all()
    assert refused >= 2 * 25


def png(width: int, height: int, pixels: bytes, colour: int = 0) -> bytes:
    from io import BytesIO

    file = BytesIO()
    file.write(b"\x89PNG\r\n\x1a\n")
    putchunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    putchunk(file, b"IDAT", zlib.compress(pixels, 9))
    putchunk(file, b"IEND", b"")
    return file.getvalue()


BOMBS = {
    "large.png": png(20_000, 20_000, bytes(30_000_000)),
    "huge.png": png(2**31 - 1, 2**31 - 1, b""),
    "zero.png": png(0, 7, b""),
    "large.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0),
    "large.gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",\0\0\0\0\xff\xff\xff\xff\0\2\2\x4c\1\0;",
    "large.tif": b"II*\0\x08\0\0\0\x04\0" + b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in ((256, 90_000), (257, 90_000), (273, 8), (262, 1))
    ) + b"\0\0\0\0",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_of_huge_pictures_are_refused_before_they_are_decoded(tmp_path, network, name):
    (tmp_path / name).write_bytes(BOMBS[name])
    (tmp_path / "out").mkdir()
    before = peak_bytes()
    assert outcome(tmp_path / name, tmp_path / "out" / name, network) == "refused"
    with pytest.raises(SrkitError):
        read_image(tmp_path / name)
    assert peak_bytes() - before < 200e6


def test_the_limit_of_pixels_is_the_callers(tmp_path, network):
    (tmp_path / "a.png").write_bytes(png(300, 300, bytes(301 * 300)))
    with pytest.raises(SrkitError, match="a.png is 300 x 300, over 89,999 pixels"):
        upscale_file(tmp_path / "a.png", tmp_path / "b.png", network, max_pixels=89_999)
    upscale_file(tmp_path / "a.png", tmp_path / "b.png", network, max_pixels=90_000)


NO_PICTURES = {
    "empty.png": b"",
    "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9' height='9'/></svg>",
    "page.png": b"<!DOCTYPE html><html><body>404 not found</body></html>",
    "zeros.jpg": bytes(5000),
    "script.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "archive.tif": b"PK\x03\x04" + bytes(200),
    "start.webp": b"RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff",
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture_is_refused_by_its_name(tmp_path, network, name):
    (tmp_path / name).write_bytes(NO_PICTURES[name])
    (tmp_path / "out").mkdir()
    assert outcome(tmp_path / name, tmp_path / "out" / name, network) == "refused"


def test_floats_are_refused_finite_or_not(tmp_path, network):
    values = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
    for number, bad in enumerate((0.5, np.nan, np.inf)):
        values[3, 3] = bad
        for shape in (values, np.dstack([values] * 3)):
            path = tmp_path / f"{number}.tif"
            tifffile.imwrite(path, shape, photometric="rgb" if shape.ndim == 3 else "minisblack")
            for read in (read_picture, read_image):
                with pytest.raises(SrkitError, match="does not open as a picture"):
                    read(path)


@pytest.mark.parametrize("values", [[[-5, 7]], [[70_000, 1]]])
def test_numbers_beyond_16_bits_are_refused_rather_than_clipped(tmp_path, values):
    tifffile.imwrite(tmp_path / "a.tif", np.array(values, np.int32))
    for read in (read_picture, read_image):
        with pytest.raises(SrkitError, match="not those of 8 or 16 bits"):
            read(tmp_path / "a.tif")


def test_of_a_thousand_frames_one_is_decoded(tmp_path, network, monkeypatch):
    frames = [Image.new("P", (12, 10), number % 7) for number in range(1000)]
    for number, frame in enumerate(frames):
        frame.putpalette([number % 256, 0, 0] * 256)
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    asked, usual = set(), GifImageFile._seek

    def watched(self, frame, update_image=True):
        asked.add(frame) if update_image else None
        return usual(self, frame, update_image)

    monkeypatch.setattr(GifImageFile, "_seek", watched)
    (tmp_path / "out").mkdir()
    assert outcome(tmp_path / "a.gif", tmp_path / "out" / "a.gif", network) == "enlarged"
    assert asked == {0}


@pytest.mark.parametrize("size", [(1, 1), (1, 60_000), (60_000, 1), (2, 1)])
def test_thin_and_tiny_pictures_are_enlarged(tmp_path, network, size):
    Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    assert outcome(tmp_path / "a.png", tmp_path / "out" / "a.png", network) == "enlarged"


def test_a_jpeg_too_long_for_its_kind_is_refused_in_words(tmp_path, network):
    Image.new("L", (60_000, 1)).save(tmp_path / "a.jpg")
    with pytest.raises(SrkitError, match="120000 x 2, more than JPEG can hold: choose --format png"):
        upscale_file(tmp_path / "a.jpg", tmp_path / "b.jpg", network)
    upscale_file(tmp_path / "a.jpg", tmp_path / "b.png", network)


def test_a_wrong_extension_is_seen_through(tmp_path, network):
    Image.new("RGB", (9, 8), "red").save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / "a.png")
    upscale_file(tmp_path / "a.png", tmp_path / "b.png", network)
    with Image.open(tmp_path / "b.png") as image:
        assert (image.format, image.size) == ("PNG", (18, 16))


def test_the_command_says_one_sentence_for_each_and_no_traceback(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, content in (BOMBS | NO_PICTURES).items():
        (folder / name).write_bytes(content)
    (folder / "folder.png").mkdir()
    assert main(["upscale", str(folder), "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr()
    lines = told.err.splitlines()
    assert len(lines) == len(BOMBS | NO_PICTURES) - 1  # an .eps is not looked for
    assert all(line.startswith("srkit: left out: ") for line in lines)
    assert not told.out
    assert not (tmp_path / "out").exists()
    assert main(["upscale", str(folder / "folder.png"), str(folder / "none.png"), "--out", str(tmp_path / "out")]) == 1
    assert "Traceback" not in capsys.readouterr().err
