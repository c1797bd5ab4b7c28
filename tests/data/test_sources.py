"""Which files a name or a folder means, and on which side of the split each one stands."""

import hashlib
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srkit.cli import main
from srkit.data.sources import find_images, find_photographs, find_pictures
from srkit.files import SrkitError


def lay(folder: Path, *places: str) -> Path:
    """Write one small picture a place, no two alike."""
    for place in places:
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(list(str(path).encode())).integers(0, 255, (12, 16, 3), np.uint8)
        Image.fromarray(noise).save(path)
    return folder


def names(paths) -> list[str]:
    return [path.name for path in paths]


# Several folders, files left out, files that validate


def test_several_folders_are_one_set_in_a_list_or_joined(tmp_path, monkeypatch):
    for folder in "ab":
        lay(tmp_path / folder, *(f"{folder}{n:02}.png" for n in range(10)))
    found = find_photographs([tmp_path / "a", tmp_path / "b"])
    assert found.name == "a+b"
    assert names(found.valid) == ["a09.png", "b09.png"], "every tenth of both together"
    assert len(found.train) == 18
    assert find_photographs(f"{tmp_path / 'a'}+{tmp_path / 'b'}") == found
    monkeypatch.setenv("SRKIT_DATA", str(tmp_path))
    assert find_photographs("a+b") == found
    assert find_images("a+b")[0] == sorted([*found.train, *found.valid])
    assert names(find_photographs("starter+b").valid) == ["chelsea.png", "rocket.jpg"], "where a set says, it is obeyed"
    lay(tmp_path / "c+d", "1.png", "2.png")
    assert find_photographs(tmp_path / "c+d").name == "c+d", "a folder that is there is one"


def test_files_are_left_out_and_chosen_to_validate_by_name_folder_or_path(tmp_path):
    for folder in "ab":
        lay(tmp_path / folder, *(f"{n}.png" for n in range(4)))
    both = [tmp_path / "a", tmp_path / "b"]
    found = find_photographs(both, without=["a/0.png", tmp_path / "b" / "1.png", "3.png"], valid=["b/2.png", "a/1.png"])
    assert found.valid == (tmp_path / "b" / "2.png", tmp_path / "a" / "1.png"), "in the order that was given"
    assert found.train == (tmp_path / "a" / "2.png", tmp_path / "b" / "0.png")
    for wrong in ({"without": ["4.png"]}, {"valid": ["c/1.png"]}, {"without": ["b.png"]}):
        with pytest.raises(SrkitError, match=r"png is not among the 8 photographs"):
            find_photographs(both, **wrong)


def test_what_is_left_out_by_its_folder_may_be_named_too_but_not_chosen(tmp_path):
    lay(tmp_path, "train/1.png", "train/2.png", "other/3.png")
    with pytest.warns(UserWarning, match=r"left out: 1 .*3\.png"):
        assert names(find_photographs(tmp_path, without=["3.png"]).train) == ["1.png"]
    with pytest.warns(UserWarning, match="left out"), pytest.raises(SrkitError, match=r"3\.png is not among the 2"):
        find_photographs(tmp_path, valid=["3.png"])


def test_chosen_files_replace_the_valid_folder_whose_others_do_not_train(tmp_path):
    lay(tmp_path, "train/1.png", "train/2.png", "valid/3.png", "valid/4.png")
    with pytest.warns(UserWarning, match=r"left out: 1 .*not among those that were chosen: 4\.png"):
        found = find_photographs(tmp_path, valid=["3.png"])
    assert (names(found.train), names(found.valid)) == (["1.png", "2.png"], ["3.png"])


def test_the_fingerprint_knows_which_side_a_picture_is_on(tmp_path):
    lay(tmp_path, "1.png", "2.png", "3.png")
    three = [find_photographs(tmp_path, valid=chosen) for chosen in (["3.png"], ["2.png", "3.png"])]
    assert names([*three[0].train, *three[0].valid]) == names([*three[1].train, *three[1].valid])
    assert three[0].fingerprint != three[1].fingerprint


def test_three_folders_of_real_photographs_are_one_set_without_the_one_of_the_test_pictures(shared):
    folders = [shared / "photos" / name for name in ("hires", "bsds400", "imagenet_half")]
    valid = ["bsds400/100075.jpg", "n01440764_tench.jpg"]
    found = find_photographs(folders, 4, without=["302003.jpg"], valid=valid)
    assert found.name == "hires+bsds400+imagenet_half"
    assert (len(found.train), names(found.valid)) == (128 + 400 + 850 - 3, ["100075.jpg", "n01440764_tench.jpg"])
    assert "302003.jpg" not in names(found.train)
    assert not found.lr


def test_a_users_folder_that_is_none_is_a_name_like_any_other():
    with pytest.raises(SrkitError, match="~nobody-of-this-name is no folder and no named set"):
        find_photographs("~nobody-of-this-name")


@pytest.mark.parametrize("nothing", ["", [], ["", "a"]])
def test_no_name_at_all_is_refused(nothing):
    with pytest.raises(SrkitError, match="no data is named"):
        find_photographs(nothing)


# What folders' names say


@pytest.mark.parametrize(
    ("word", "other", "last"),
    [
        ("train", "val", "test"),
        ("Train", "Valid", "Tests"),
        ("TRAINING", "VALIDATION", "TESTING"),
        ("trains", "vals", "test_set"),
        ("train_set", "validations", "testset"),
        ("DIV2K_train_HR", "DIV2K_valid_HR", "DIV2K_test_HR"),
        ("train2017", "val2017", "test-1"),
    ],
)
def test_known_names_of_splits_are_obeyed(tmp_path, word, other, last):
    lay(tmp_path, *(f"{folder}/{folder}{n}.png" for folder in (word, other, last) for n in range(2)))
    found = find_photographs(tmp_path)
    assert {path.parent.name for path in found.train} == {word}
    assert {path.parent.name for path in found.valid} == {other}
    assert {path.parent.name for path in find_images(tmp_path)[0]} == {last}
    shutil.rmtree(tmp_path / other)
    found = find_photographs(tmp_path)
    assert {path.parent.name for path in (*found.train, *found.valid)} == {word}, "what tests is never trained on"


def test_the_first_folder_that_names_a_side_decides(tmp_path):
    lay(tmp_path, "train/a/1.png", "train/test bench/2.png", "valid/train station/3.png")
    found = find_photographs(tmp_path)
    assert (names(found.train), names(found.valid)) == (["1.png", "2.png"], ["3.png"])


def test_other_folders_beside_a_known_one_are_left_out_and_named(tmp_path):
    lay(tmp_path, "train/1.png", "val/2.png", "holdout/3.png", "4.png")
    with pytest.warns(UserWarning, match=r"left out: 2 in .*, holdout, beside .* train and valid: 4\.png, 3\.png"):
        found = find_photographs(tmp_path)
    assert (names(found.train), names(found.valid)) == (["1.png"], ["2.png"])


@pytest.mark.parametrize("place", ["", "HR/"])
def test_pictures_that_lie_beside_a_valid_folder_train_where_no_folder_does(tmp_path, place):
    lay(tmp_path, f"{place}1.png", f"{place}2.png", "valid/3.png")
    found = find_photographs(tmp_path)
    assert (names(found.train), names(found.valid)) == (["1.png", "2.png"], ["3.png"])


def test_a_set_that_is_there_to_test_on_alone_does_not_train(tmp_path):
    lay(tmp_path, "test/1.png", "test/2.png")
    with pytest.raises(SrkitError, match="beside those to test on"):
        find_photographs(tmp_path)
    assert names(find_images(tmp_path)[0]) == ["1.png", "2.png"]


# What counts as a picture


def test_hidden_folders_are_not_there_and_links_are_followed(tmp_path):
    lay(tmp_path / "elsewhere", "t/1.png", "v/2.png")
    photos = lay(
        tmp_path / ".photos", "3.png", ".4.png", ".ipynb_checkpoints/5.png", "__MACOSX/6.png", "@eaDir/x/7.png"
    )
    for link, place in (("train", "t"), ("valid", "v"), ("train/round", "t"), ("up", "../.photos")):
        (photos / link).symlink_to(tmp_path / "elsewhere" / place, target_is_directory=True)
    assert names(find_pictures(photos)) == ["3.png", "1.png", "2.png"]
    with pytest.warns(UserWarning, match=r"3\.png"):
        found = find_photographs(photos)
    assert (names(found.train), names(found.valid)) == (["1.png"], ["2.png"])


@pytest.mark.parametrize("content", ["jfif", "jpe", "ppm", "pgm", "tga", "gif", "dib", "avif", "jp2", "qoi", "PNG"])
def test_what_pillow_opens_is_taken(tmp_path, content):
    Image.new("RGB", (8, 8)).save(tmp_path / f"a.{content}")
    assert names(find_pictures(tmp_path)) == [f"a.{content}"]
    from srkit.images import read_image

    assert read_image(tmp_path / f"a.{content}").shape == (8, 8, 3)


def test_pictures_that_do_not_open_here_are_counted_and_named(tmp_path):
    lay(tmp_path, "1.png")
    for name in ("a.HEIC", "b.heic", "c.mpo", "notes.txt", ".d.heic"):
        (tmp_path / name).write_bytes(b"")
    with pytest.warns(UserWarning, match=r"left out: 3 \.heic, \.mpo in .*as PNG or JPEG: a\.HEIC, b\.heic, c\.mpo"):
        assert names(find_pictures(tmp_path)) == ["1.png"]


def test_an_ordinary_folder_is_read_without_a_word(tmp_path):
    lay(tmp_path, "train/1.png", "valid/2.png")
    (tmp_path / "readme.txt").write_text("of the data")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_photographs(tmp_path)


# Identity


def test_pictures_that_differ_in_the_middle_alone_are_two(tmp_path):
    frame = np.zeros((400, 500, 3), np.uint8)  # as BMP 600 KB, whose beginning and end are black bars
    for n in range(5):
        frame[200, 250] = n + 1
        Image.fromarray(frame).save(tmp_path / f"{n}.bmp")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = find_photographs(tmp_path)
    assert len(before.train) + len(before.valid) == 5
    frame[200, 250] = 99
    Image.fromarray(frame).save(tmp_path / "1.bmp")
    assert find_photographs(tmp_path).fingerprint != before.fingerprint


def test_a_file_that_may_not_be_read_is_named_and_the_rest_goes_on(tmp_path, monkeypatch):
    lay(tmp_path, "1.png", "2.png", "3.png")
    whole = hashlib.file_digest

    def refused(file, kind):
        if file.name.endswith("1.png"):
            raise PermissionError(13, "Permission denied")
        return whole(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", refused)
    with pytest.warns(UserWarning, match=r"left out: .*1\.png cannot be read \(Permission denied\)"):
        found = find_photographs(tmp_path)
    assert (names(found.train), names(found.valid)) == (["2.png"], ["3.png"])


def test_srkit_data_without_a_name_lists_and_does_nothing_else(tmp_path, capsys):
    assert main(["data", "--degrade", "wild", "--out", str(tmp_path / "new")]) == 1
    assert "of which photographs?" in capsys.readouterr().err
    assert main(["data"]) == 0
    assert "set14" in capsys.readouterr().out
