"""Every kind of picture file comes in as RGB uint8, and what does not open says so in a sentence."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2ycbcr

from srkit.files import SrkitError
from srkit.images import crop_at, crop_to_multiple, luma, read_image, to_image, to_tensor, write_image


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)


def test_reads_rgb_as_it_is(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture)


def test_what_was_read_can_be_changed(tmp_path, picture):
    for mode in ("RGB", "RGBA", "L", "P"):
        Image.fromarray(picture).convert(mode).save(tmp_path / "a.png")
        read_image(tmp_path / "a.png")[0, 0] = 0


def test_lays_rgba_on_white(tmp_path, picture):
    alpha = np.zeros((10, 14, 1), np.uint8)
    alpha[:, 7:] = 255
    alpha[0, 0] = 51  # a fifth
    Image.fromarray(np.concatenate([picture, alpha], axis=2)).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(read[:, 7:], picture[:, 7:])
    assert (read[1:, :7] == 255).all()
    np.testing.assert_allclose(read[0, 0], 0.8 * 255 + 0.2 * picture[0, 0], atol=1)


def test_lays_grey_with_alpha_on_white(tmp_path):
    values = np.zeros((6, 8, 2), np.uint8)
    values[:, 4:, 1] = 255
    Image.fromarray(values).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert read.shape == (6, 8, 3)
    assert (read[:, :4] == 255).all()
    assert (read[:, 4:] == 0).all()


def test_looks_up_a_palette_and_its_transparent_colour(tmp_path):
    image = Image.new("P", (4, 2))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((3, 1), 1)
    image.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[1, 3].tolist() == [0, 0, 255]
    image.save(tmp_path / "b.png", transparency=0)
    read = read_image(tmp_path / "b.png")
    assert read[0, 0].tolist() == [255, 255, 255]
    assert read[1, 3].tolist() == [0, 0, 255]


def test_grey_gets_three_equal_channels(tmp_path):
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.dstack([grey] * 3))


def test_black_and_white_of_one_bit(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0].tolist() == [[255] * 3, [0] * 3]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grey_of_16_bits_is_scaled_and_not_clipped(tmp_path, suffix):
    values = np.array([[0, 128, 129, 257], [1000, 32768, 65534, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    expected = [[0, 0, 1, 1], [4, 128, 255, 255]]
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}"), np.dstack([expected] * 3))


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg")[4, 4] == pytest.approx([255, 0, 0], abs=4)


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, 3), (8, 1)])
def test_turns_a_photograph_upright(tmp_path, picture, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(picture, turn))


def test_a_truncated_jpeg_is_named(tmp_path):
    path = tmp_path / "cut.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(SrkitError, match=r"cut.jpg does not open as a picture .*: replace it or leave it out\.$"):
        read_image(path)


@pytest.mark.parametrize("content", [b"these are words", b""])
def test_text_called_jpg_is_named(tmp_path, content):
    (tmp_path / "words.jpg").write_bytes(content)
    with pytest.raises(SrkitError, match="words.jpg does not open as a picture"):
        read_image(tmp_path / "words.jpg")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(SrkitError, match="none.png is not there"):
        read_image(tmp_path / "none.png")
    with pytest.raises(SrkitError, match="is no file"):
        read_image(tmp_path)


def test_writes_and_reads_again(tmp_path, picture):
    write_image(tmp_path / "new" / "a.png", picture)
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), picture)
    write_image(tmp_path / "grey.png", picture[..., 0])
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png")[..., 2], picture[..., 0])


def test_a_failed_write_leaves_the_old_picture_and_nothing_else(tmp_path, picture, monkeypatch):
    path = tmp_path / "a.png"
    write_image(path, picture)

    def fail(self, where, **options):
        where.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_image(path, 255 - picture)
    monkeypatch.undo()
    np.testing.assert_array_equal(read_image(path), picture)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_luma_is_that_of_scikit_image():
    colours = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    theirs = rgb2ycbcr(colours)[..., 0]
    ours = luma(colours)
    assert ours.dtype == np.uint8
    assert np.abs(ours - theirs).max() <= 0.5 + 1e-9  # rounded, with nothing else between


def test_luma_of_black_white_and_grey():
    ends = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    assert luma(ends).tolist() == [[16, 235]]
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert luma(grey) is grey


def test_every_level_survives_the_round_trip():
    levels = np.arange(256, dtype=np.uint8)
    colour = np.stack([levels, levels[::-1], np.roll(levels, 100)], axis=1).reshape(16, 16, 3)
    tensor = to_tensor(colour)
    assert tensor.shape == (1, 3, 16, 16)
    assert tensor.dtype == torch.float32
    assert (tensor.min(), tensor.max()) == (0, 1)
    np.testing.assert_array_equal(to_image(tensor), colour)
    np.testing.assert_array_equal(to_image(tensor[0]), colour)
    grey = colour[..., 0]
    assert to_tensor(grey).shape == (1, 1, 16, 16)
    np.testing.assert_array_equal(to_image(to_tensor(grey)), grey)


def test_to_image_clips_and_rounds():
    values = torch.tensor([-0.5, 0.4 / 255, 0.6 / 255, 254.6 / 255, 1.5]).reshape(1, 1, 1, 5)
    assert to_image(values).tolist() == [[0, 0, 1, 255, 255]]


def test_to_tensor_does_not_share_memory(picture):
    tensor = to_tensor(picture)
    before = tensor.clone()
    picture[:] = 0
    torch.testing.assert_close(tensor, before)


def test_crops(picture):
    assert crop_to_multiple(picture, 4).shape == (8, 12, 3)
    np.testing.assert_array_equal(crop_to_multiple(picture, 4), picture[:8, :12])
    assert crop_to_multiple(picture[..., 0], 3).shape == (9, 12)
    np.testing.assert_array_equal(crop_at(picture, (2, 5), 4), picture[2:6, 5:9])


def test_reads_from_memory_as_from_a_file(picture):
    file = BytesIO()
    Image.fromarray(picture).save(file, "png")
    np.testing.assert_array_equal(read_image(file), picture)
    with pytest.raises(SrkitError, match="does not open as a picture"):
        read_image(BytesIO(b"words"))
