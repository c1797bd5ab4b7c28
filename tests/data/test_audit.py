"""The report on a folder: each matter is planted, and must be found, and nothing else."""

import shutil

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from skimage import data

from srkit.cli import main
from srkit.data.audit import alike, fingerprint, jpeg_quality, report
from srkit.files import SrkitError


@pytest.fixture
def folder(tmp_path):
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        Image.fromarray(getattr(data, name)()).save(tmp_path / f"{name}.png")
    return tmp_path


def found(folder, *against):
    return [row for row in report(folder, against) if row[0].startswith("look: ")]


def test_a_good_folder_has_nothing_to_look_at(folder):
    assert found(folder) == []
    rows = dict(report(folder))
    assert rows["pictures"] == "4"
    assert rows["sizes"] == "short side 300 to 512, median 427; longest 640 px"
    assert rows["split"] == "3 train, 1 validate"
    assert rows["near-duplicates"] == rows["leaks from train to valid"] == "none"


@pytest.mark.parametrize("change", ["smaller", "JPEG", "mirrored", "brighter", "grey"])
def test_a_picture_that_shows_the_same_scene_is_named_and_is_a_leak_across_the_split(folder, change):
    picture = Image.open(folder / "astronaut.png")
    twin = {
        "smaller": lambda: picture.resize((200, 200)),
        "JPEG": lambda: picture,
        "mirrored": lambda: ImageOps.mirror(picture),
        "brighter": lambda: picture.point(lambda value: min(255, value + 30)),
        "grey": lambda: picture.convert("L"),
    }[change]()
    twin.save(folder / "zebra.jpg", quality=40 if change == "JPEG" else 95)  # the last name validates
    said = found(folder)
    assert ("look: near-duplicates", "astronaut.png is zebra.jpg") in said
    assert ("look: leaks from train to valid", "astronaut.png is zebra.jpg") in said
    assert len(said) == 2 + (change in ("grey", "JPEG"))


def test_grey_pictures_low_quality_and_files_that_do_not_open_are_named(folder):
    Image.fromarray(data.camera()).save(folder / "camera.png")
    Image.fromarray(data.immunohistochemistry()).save(folder / "cells.jpg", quality=60)
    (folder / "text.jpg").write_text("no picture")
    said = dict(found(folder))
    assert said["look: grey"] == "1: camera.png"
    assert said["look: JPEG below 85"].startswith("1: cells.jpg")
    assert "text.jpg does not open" in said["look: does not open"]


def test_a_broken_picture_of_the_other_set_is_named_and_the_rest_compared(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("sets") / "other"
    other.mkdir()
    (other / "broken.png").write_bytes((folder / "coffee.png").read_bytes()[:999])
    alone = [row for row in found(folder, other) if "other" in row[0]]
    assert [what for what, _ in alone] == ["look: does not open, of other"]
    assert "broken.png does not open" in alone[0][1]
    shutil.copy(folder / "coffee.png", other / "same.png")
    assert ("look: also in other", "coffee.png is same.png") in found(folder, other)


def test_a_png_with_more_text_than_pillow_reads_is_a_picture_like_any_other(folder):
    text = PngInfo()
    text.add_text("long", "x" * 3_000_000, zip=True)
    Image.fromarray(data.immunohistochemistry()).save(folder / "words.png", pnginfo=text)
    assert dict(report(folder))["pictures"] == "5"


def test_what_cannot_be_split_has_a_report_all_the_same(folder, tmp_path_factory):
    twins = tmp_path_factory.mktemp("twins")
    for name in ("a.png", "b.png"):
        shutil.copy(folder / "coffee.png", twins / name)
    with pytest.warns(UserWarning, match="is the same picture"):
        said = dict(found(twins))
    assert said["look: near-duplicates"] == "a.png is b.png"
    assert "on one side" in said["look: cannot be split"]


def test_few_bits_in_16_bit_files_are_named_with_the_white_level_that_is_likely(folder):
    Image.fromarray(data.camera().astype(np.uint16) * 16).save(folder / "camera.png")  # 12 bits
    said = dict(found(folder))
    assert said["look: nearly black"] == "1 of 16 bits: camera.png; white is likely 4095 there"


@pytest.mark.parametrize("quality", [25, 50, 75, 85, 92, 95, 100])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_quality_of_a_jpeg_is_what_pillow_was_asked_for(tmp_path, quality, mode):
    picture = Image.fromarray(data.coffee()).convert(mode)
    picture.save(tmp_path / "a.jpg", quality=quality)
    assert jpeg_quality(tmp_path / "a.jpg") == pytest.approx(quality, abs=1)
    picture.save(tmp_path / "a.png")
    assert jpeg_quality(tmp_path / "a.png") is None


def test_alike_agrees_with_comparing_every_bit():
    random = np.random.default_rng(0)
    some = {n: random.random((2, 256)) < 0.5 for n in range(6)}
    others = {f"near {n}": bits ^ (random.random((2, 256)) < 0.08) for n, bits in some.items()}
    wanted = set()
    for a, bits in some.items():
        for b, theirs in others.items():
            if any(sum(x != y for x, y in zip(each, theirs[0], strict=True)) <= 32 for each in bits):
                wanted.add((a, b))
    assert wanted
    assert set(alike(some, others)) == wanted
    assert alike(some, {}) == alike({}, some) == []


def test_many_twins_are_counted_and_not_all_listed(tmp_path):
    for n in range(7):
        Image.fromarray(data.coffee()).resize((200 + n, 160)).save(tmp_path / f"{n}.png")
    said = [words for what, words in found(tmp_path) if what == "look: near-duplicates"]
    assert len(said) == 11
    assert said[-1] == "and 11 more"  # 7 over 2 is 21


def test_a_photograph_of_bsds_is_recognised_in_set5(shared, tmp_path):
    photographs = shared / "photos" / "bsds400"
    for name in ("302003.jpg", "100075.jpg", "100080.jpg"):
        shutil.copy(photographs / name, tmp_path)
    assert found(tmp_path, shared / "benchmarks" / "Set5") == [("look: also in Set5", "302003.jpg is woman.png")]


def test_the_fingerprint_of_a_picture_and_its_mirror_image_change_places():
    image = data.chelsea()
    assert np.array_equal(fingerprint(image)[::-1], fingerprint(image[:, ::-1].copy()))


def test_the_command_prints_the_report(folder, capsys):
    assert main(["data", str(folder), "--report", "--against", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "pictures" in said
    assert "short side 300 to 512" in said
    assert main(["data", str(folder / "nothing"), "--report"]) == 1


def test_a_folder_without_a_picture_that_opens_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(SrkitError, match="holds no picture that opens"):
        report(tmp_path)
