import shutil

import numpy as np
import pytest
from PIL import Image

from srkit import dataset
from srkit.data.sources import find_photographs
from srkit.dataset import decode, decode_all, stored
from srkit.files import SrkitError


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
    with pytest.raises(SrkitError, match="none of the 1 pictures"), pytest.warns(UserWarning, match="text"):
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
    assert sorted(path.name for path in kept.iterdir()) == ["hr.json", "hr.u8"]


def test_a_cache_that_was_cut_off_is_made_again(tmp_path):
    pictures = [(0, np.full((4, 5, 3), 7, np.uint8)), (2, np.full((3, 3, 3), 9, np.uint8))]
    stored(tmp_path / "hr.u8", pictures, 2, "test")
    (tmp_path / "hr.u8").write_bytes(b"short")
    again = stored(tmp_path / "hr.u8", pictures, 2, "test")
    assert list(again) == [0, 2]
    assert all(np.array_equal(again[number], picture) for number, picture in pictures)


def test_a_cache_whose_making_failed_leaves_nothing(tmp_path):
    def failing():
        yield 0, np.zeros((4, 4, 3), np.uint8)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        stored(tmp_path / "hr.u8", failing(), 2, "test")
    assert not list(tmp_path.iterdir())


def test_a_small_set_stays_in_memory(tmp_path):
    images, kept = decode_all(find_photographs(), tmp_path)
    assert kept is None
    assert len(images) == 3
    assert not list(tmp_path.iterdir())
