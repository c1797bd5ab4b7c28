import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from srkit import dataset
from srkit.data.sources import find_photographs
from srkit.dataset import checked_validation, decode, decode_all, middle
from srkit.files import SrkitError
from srkit.image_files import Picture, write_picture
from srkit.images import to_image, to_tensor
from srkit.metrics import psnr_y
from srkit.resize import imresize

pytestmark = pytest.mark.filterwarnings("ignore:read as RGB")


def picture(path, seed=0, size=(64, 48), mode="RGB"):
    noise = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).convert(mode).save(path)
    return path


def test_the_starter_set_trains_and_validates_on_different_colour_photographs():
    starter = find_photographs("starter")
    images = decode([*starter.train, *starter.valid])
    assert len(starter.train) >= 3
    assert len(starter.valid) >= 2
    assert not set(starter.train) & set(starter.valid)
    for image in images.values():
        assert image.dtype == np.uint8
        assert min(image.shape[:2]) >= 256
        assert np.abs(image[..., 0].astype(int) - image[..., 2]).mean() > 1, "a grey picture"
    assert "motorcycle_right.png" not in {p.name for p in (*starter.train, *starter.valid)}, "a stereo twin leaks"


def test_every_tenth_picture_of_a_folder_validates(tmp_path):
    for n in range(20):
        picture(tmp_path / f"{n:02}.png", seed=n)
    found = find_photographs(tmp_path)
    assert [p.name for p in found.valid] == ["09.png", "19.png"]
    assert len(found.train) == 18


def test_train_and_valid_folders_are_taken_at_their_word(tmp_path):
    picture(tmp_path / "train" / "a.png", 1)
    picture(tmp_path / "valid" / "b.png", 2)
    found = find_photographs(tmp_path)
    assert [p.name for p in found.train + found.valid] == ["a.png", "b.png"]


def test_a_copy_under_another_name_never_stands_on_both_sides(tmp_path):
    one = picture(tmp_path / "train" / "one.png", 1)
    picture(tmp_path / "train" / "two.png", 2)
    (tmp_path / "valid").mkdir()
    shutil.copy(one, tmp_path / "valid" / "renamed.png")
    with pytest.warns(UserWarning, match=r"one\.png is the same picture as renamed\.png"):
        found = find_photographs(tmp_path)
    assert [p.name for p in found.train] == ["two.png"]


def test_the_fingerprint_knows_the_pictures_and_not_the_folder(tmp_path):
    for folder in ("a", "b"):
        for n in range(3):
            picture(tmp_path / folder / f"{n}.png", n)
    same = find_photographs(tmp_path / "a").fingerprint
    assert find_photographs(tmp_path / "b").fingerprint == same
    picture(tmp_path / "b" / "1.png", seed=99)
    assert find_photographs(tmp_path / "b").fingerprint != same


@pytest.mark.parametrize("content", ["missing", "empty", "text", "one"])
def test_a_folder_that_cannot_be_used_is_refused_by_name(tmp_path, content):
    folder = tmp_path / "my photos"
    if content != "missing":
        folder.mkdir()
    if content == "text":
        (folder / "notes.txt").write_text("no picture")
    if content == "one":
        picture(folder / "only.png")
    with pytest.raises(SrkitError, match="my photos"):
        find_photographs(folder)


def test_files_that_do_not_open_are_named_and_left_out(tmp_path):
    good = picture(tmp_path / "good.png")
    (tmp_path / "text.jpg").write_text("this is no JPEG")
    whole = picture(tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match="left out") as warned:
        images = decode(sorted(tmp_path.glob("*.*g")))
    assert set(images) == {good, tmp_path / "whole.jpg"}
    assert [any(name in str(w.message) for w in warned) for name in ("text.jpg", "cut.jpg")] == [True, True]
    with pytest.raises(SrkitError, match="none of the 0 pictures in this list opens"):
        decode([])
    with (
        pytest.raises(SrkitError, match=f"none of the 1 pictures in {tmp_path} opens"),
        pytest.warns(UserWarning, match="text"),
    ):
        decode([tmp_path / "text.jpg"])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_grey_transparent_and_palette_pictures_are_read_as_rgb(tmp_path, mode):
    path = picture(tmp_path / "odd.png", mode=mode)
    with pytest.warns(UserWarning, match=rf"read as RGB.*odd\.png \({mode}\)"):
        assert decode([path])[path].shape == (48, 64, 3)


def photograph(path, seed, height=40, width=60):
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_a_large_set_is_decoded_once_into_a_file_that_gives_the_same_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "LARGE", 0)
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = {folder / f"{n}.png": photograph(folder / f"{n}.png", n, 40 + n) for n in range(8)}
    (folder / "0broken.png").write_bytes(b"no picture")
    photographs = find_photographs(folder)
    with pytest.warns(UserWarning, match=r"left out: .*broken\.png"):
        images, kept = decode_all(photographs, tmp_path / "cache")
    assert [path.name for path in images] == [p.name for p in photographs.train if p.name != "0broken.png"]
    assert all(np.array_equal(image, pixels[path]) for path, image in images.items())
    monkeypatch.setattr(dataset, "read_levels", None)  # the second time nothing is decoded
    again, _ = decode_all(photographs, tmp_path / "cache")
    assert all(np.array_equal(again[path], image) for path, image in images.items())
    assert all(isinstance(image.base, np.memmap) or isinstance(image, np.memmap) for image in again.values())
    assert sorted(path.name for path in kept.glob("[!.]*")) == ["hr.json", "hr.u8"]


def test_a_small_set_stays_in_memory(tmp_path):
    images, kept = decode_all(find_photographs(), tmp_path)
    assert kept is None
    assert len(images) == 3
    assert not list(tmp_path.iterdir())


# Validation pictures


def test_validation_takes_the_middles_of_the_first_pictures(tmp_path):
    for n in range(4):
        photograph(tmp_path / f"{n}.png", n, 70 + n, 90)
    found = find_photographs(tmp_path, valid=["2.png", "0.png", "1.png"])
    pairs = checked_validation(found, 4, 2, 48)
    assert [hr.shape for hr, _ in pairs] == [(48, 48, 3)] * 2
    whole = np.asarray(Image.open(tmp_path / "2.png"))
    hr, lr = pairs[0]
    assert np.array_equal(hr, whole[12:60, 21:69])
    assert np.array_equal(lr, to_image(imresize(to_tensor(hr), 1 / 4)))


def test_validation_pictures_that_cannot_be_used_are_named_and_the_next_take_their_places(tmp_path):
    for name, size in {"a": (6, 5), "b": (1, 60), "c": (64, 64), "e": (40, 40), "t": (64, 64)}.items():
        picture(tmp_path / f"{name}.png", size=size, seed=ord(name))
    (tmp_path / "d.png").write_text("no picture")
    found = find_photographs(tmp_path, valid=[f"{name}.png" for name in "abcde"])
    with pytest.warns(UserWarning, match="left out") as said:
        pairs = checked_validation(found, 2, 2, 32)
    assert [hr.shape for hr, _ in pairs] == [(32, 32, 3)] * 2
    said = [str(each.message) for each in said]
    assert any("a.png is 6 x 5, b.png is 1 x 60, too small to validate on at x2" in each for each in said)
    assert any("d.png does not open" in each for each in said)
    assert all(np.isfinite(psnr_y(hr // 2, hr, 2)) for hr, _ in pairs)
    found = find_photographs(tmp_path, valid=["a.png", "b.png"])
    with pytest.raises(SrkitError, match="can validate: add one of 16"), pytest.warns(UserWarning, match="too small"):
        checked_validation(found, 2, 2, 32)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_the_smallest_picture_that_may_validate_has_a_score(tmp_path, scale):
    for n in range(2):
        photograph(tmp_path / f"{n}.png", n, 8 * scale, 8 * scale)
    ((hr, lr),) = checked_validation(find_photographs(tmp_path), scale, 1, 64)
    assert lr.shape == (8, 8, 3)
    assert np.isfinite(psnr_y(hr // 2, hr, scale))


def test_the_middle_of_a_picture_is_a_multiple_of_the_scale():
    image = np.arange(50 * 61).reshape(50, 61)
    assert np.array_equal(middle(image, 32, 3), image[9:39, 14:44])
    assert np.array_equal(middle(image, 100, 4), image[:48, :60])
    assert np.array_equal(middle(image, 31), image[9:40, 15:46])


# 16-bit files that hold fewer bits


def deep(path, kind, white):
    """A ramp from 0 to white in a 16-bit file; returns what 8 bits hold of it, by rounding."""
    values = np.linspace(0, white, 40 * 48).round().astype(np.uint16).reshape(40, 48)
    colours = np.stack([values, values[::-1], values[:, ::-1]], axis=2)
    if kind == "grey":
        Image.fromarray(values).save(path)
        colours = values[..., None].repeat(3, axis=2)
    else:
        write_picture(path, Picture(colours, kind))
    return np.floor(colours.astype(float) * 255 / white + 0.5).astype(np.uint8)


@pytest.mark.parametrize("white", [1023, 4095, 16383])
@pytest.mark.parametrize("kind", ["grey", "PNG", "TIFF"])
def test_data_of_fewer_bits_in_16_bit_files_is_said_and_read_by_its_white_level(tmp_path, white, kind):
    path = tmp_path / ("a.tif" if kind == "TIFF" else "a.png")
    wanted = deep(path, kind, white)
    with pytest.warns(UserWarning, match=rf"a\.\w+; of their 16 bits no value is over {white}\. .*white={white}\."):
        assert decode([path])[path].max() < 65, "nearly black"
    image = decode([path], white)[path]
    assert np.array_equal(image, wanted)
    assert image.max() == 255
    darker = path.with_stem("b")
    deep(darker, kind, 500)
    with pytest.warns(UserWarning, match=rf"no value is over {white}\."):
        decode([path, darker])


@pytest.mark.parametrize("kind", ["grey", "PNG", "TIFF"])
def test_whole_16_bit_files_and_dark_8_bit_ones_are_read_as_they_are(tmp_path, kind):
    whole, dark = tmp_path / ("a.tif" if kind == "TIFF" else "a.png"), tmp_path / "dark.png"
    wanted = deep(whole, kind, 65535)
    Image.fromarray(np.full((30, 30, 3), 9, np.uint8)).save(dark)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "nearly black")
        images = decode([whole, dark])
        assert np.abs(images[whole].astype(int) - wanted).max() <= 1
        assert decode([dark], 4095)[dark].max() == 9, "8 bits know their white"


def test_a_set_keeps_its_white_level_in_training_validation_and_cache(tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    for n, white in enumerate((4095, 4000)):
        deep(folder / f"{n}.png", "PNG", white)
    found = find_photographs(folder, white=4095)
    assert found.fingerprint != find_photographs(folder).fingerprint
    (image,) = decode_all(found, tmp_path)[0].values()
    assert image.max() == 255
    assert checked_validation(found, 2, 1, 40)[0][0].max() > 200
    monkeypatch.setattr(dataset, "LARGE", 0)
    (cached,) = decode_all(found, tmp_path / "cache")[0].values()
    assert np.array_equal(cached, image)
    with pytest.raises(SrkitError, match="a white level of 0"):
        find_photographs(folder, white=0)


def test_values_over_the_white_level_that_is_given_are_said(tmp_path):
    deep(tmp_path / "a.png", "grey", 4095)
    with pytest.warns(UserWarning, match="over white: a.png; values up to 4095 are cut at 1023. .*white=4095"):
        decode([tmp_path / "a.png"], 1023)
