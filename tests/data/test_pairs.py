"""Given LR and HR pairs: matched by name, checked by size, trained on as they are."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from srkit.cli import main
from srkit.data import pairs
from srkit.data.sources import find_images, find_photographs
from srkit.dataset import Patches, checked_validation, decode
from srkit.evaluation import enlarge, lr_of, psnr_y
from srkit.files import SrkitError
from srkit.images import read_image, write_image

pytestmark = pytest.mark.usefixtures("one_thread")


def ramp(height, width, blue=0):
    """A picture whose every pixel says where it is: red the row, green the column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, blue)], axis=2).astype(np.uint8)


def lay(folder: Path, *places: str, scale: int = 4, up: bool = False) -> Path:
    """Write pairs, HR place and LR place in turn; LR is every scale-th pixel of HR, so no resize made it."""
    for n, (hr, lr) in enumerate(zip(places[::2], places[1::2], strict=True)):
        image = ramp(98 + 2 * n, 101, blue=n)
        write_image(folder / hr, image)
        rows, columns = (-(-side // scale) if up else side // scale for side in image.shape[:2])
        write_image(folder / lr, image[::scale, ::scale][:rows, :columns])
    return folder


LAYOUTS = {
    "DIV2K": ("DIV2K_train_HR/0001.png", "DIV2K_train_LR_bicubic/X4/0001x4.png"),
    "wild": ("DIV2K_train_HR/0001.png", "DIV2K_train_LR_wild/0001x4w1.png"),
    "mild": ("DIV2K_train_HR/0001.png", "DIV2K_train_LR_mild/0001x4m.png"),
    "small letters": ("hr/baby.png", "lr/baby.png"),
    "capitals": ("HR/baby_HR.png", "LR/baby_LR.png"),
    "Urban100": ("set/HR/img_001_SRF_4_HR.png", "set/LR/img_001_SRF_4_LR.png"),
    "high and low": ("train/high_res/0.png", "train/low_res/0.png"),
    "GT": ("GTmod12/a b.png", "LRbicx4/a b.png"),
    "kinds of file": ("hr/photo.png", "lr/photo-x4.bmp"),
    "words": ("high/0.png", "low/0.png"),
    "one folder, Urban100": ("img_000_SRF_4_HR.png", "img_000_SRF_4_LR.png"),
    "one folder, scale last": ("img_HR_x4.png", "img_LR_x4.png"),
    "one folder, high and low": ("0_high.png", "0_low.png"),
    "one folder, LR alone": ("train/baby.png", "train/baby_LR.png"),
    "one folder, scale alone": ("0001.png", "0001x4.png"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pairs_are_found_whatever_the_usual_names(tmp_path, layout):
    hr, lr = (tmp_path / name for name in LAYOUTS[layout])
    lay(tmp_path, *LAYOUTS[layout])
    assert find_images(tmp_path, 4) == ([hr], {hr: lr})


@pytest.mark.parametrize(
    "names", [("summit_high.png", "valley_low.png"), ("max.png", "max2.png"), ("a.png", "ax4.png")]
)
def test_pictures_that_are_no_pairs_by_their_names_and_sizes_are_all_hr(tmp_path, names):
    for n, name in enumerate(names):
        write_image(tmp_path / name, ramp(40, 50, n))
    assert find_images(tmp_path) == ([tmp_path / name for name in names], {})


def test_results_beside_pairs_in_one_folder_are_left_out_and_named(tmp_path):
    lay(tmp_path, "img_1_SRF_4_HR.png", "img_1_SRF_4_LR.png")
    write_image(tmp_path / "img_1_SRF_4_bicubic.png", ramp(98, 101, 9))
    with pytest.warns(UserWarning, match=r"left out: 1 .*neither HR nor LR.*: img_1_SRF_4_bicubic\.png"):
        hr, lr = find_images(tmp_path, 4)
    assert [path.name for path in (*hr, *lr.values())] == ["img_1_SRF_4_HR.png", "img_1_SRF_4_LR.png"]


def test_sizes_that_look_like_pairs_are_said_with_the_way_to_say_so(tmp_path):
    lay(tmp_path, "large/a.png", "small/a.png", "large/b.png", "small/b.png")
    with pytest.warns(
        UserWarning, match=r"a\.png is 4 times as large as .*a\.png, as 1 more are: .*call their folders HR"
    ):
        assert len(find_images(tmp_path, 4)[0]) == 4


def test_pairs_compare_upright_sizes(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn
    hr = ramp(96, 120)
    for kind in ("png", "jpg"):
        write_image(tmp_path / kind / "lr" / "a.png", hr[::4, ::4])
        (tmp_path / kind / "hr").mkdir()
        Image.fromarray(np.rot90(hr)).save(tmp_path / kind / "hr" / f"a.{kind}", exif=exif)
        ((large, small),) = find_images(tmp_path / kind, 4)[1].items()
        assert np.abs(read_image(large)[::4, ::4].astype(int) - read_image(small)).mean() < 3


def test_an_lr_file_that_does_not_open_is_named_and_the_rest_goes_on(tmp_path):
    lay(tmp_path, *(f"{kind}/{n}.png" for n in range(4) for kind in ("hr", "lr")))
    (tmp_path / "lr" / "1.png").write_bytes(b"")
    whole = (tmp_path / "lr" / "2.png").read_bytes()
    (tmp_path / "lr" / "2.png").write_bytes(whole[: len(whole) // 2])  # its header is sound
    with pytest.warns(UserWarning, match=r"left out: 1 that do not open: 1\.png"):
        found = find_photographs(tmp_path, 4)
    assert [path.name for path in found.train] == ["0.png", "2.png"]
    with pytest.warns(UserWarning, match=r"left out: .*lr/2\.png does not open"):
        patches = Patches(decode(found.train), 4, 32, given=found.lr)
    assert (len(patches.hr), len(patches.lr)) == (1, 1)


def test_names_that_only_look_like_endings_stay_apart(tmp_path):
    names = ["box2.png", "box3.png", "chr.png", "c.png", "x4.png"]
    lay(tmp_path, *(f"{side}/{name}" for name in names for side in ("hr", "lr")))
    _, found = find_images(tmp_path, 4)
    assert {hr.name: lr.name for hr, lr in found.items()} == {name: name for name in names}


def test_train_and_val_keep_pictures_of_one_name_apart(tmp_path):
    sides = ("train", "val")
    lay(tmp_path, *(f"{side}/{kind}_res/{n}.png" for side in sides for n in range(3) for kind in ("high", "low")))
    found = find_photographs(tmp_path, 4)
    assert (len(found.train), len(found.valid), len(found.lr)) == (3, 3, 6)
    assert all(hr.parent.parent == lr.parent.parent and hr.name == lr.name for hr, lr in found.lr.items())
    assert find_images(tmp_path, 4)[0] == list(found.valid), "what validates is what is scored"


@pytest.mark.parametrize("low", ["train/LR/X4", "train_sharp_bicubic/X4"])
def test_frames_of_one_name_in_many_clips_are_paired_clip_by_clip(tmp_path, low):
    high = "train/HR" if "LR" in low else "train_sharp"
    lay(
        tmp_path,
        *(
            f"{side}/{clip:03}/{n:08}.png"
            for clip in range(3)
            for n in range(2)
            for side in (f"HR/{high}", f"LR/{low}")
        ),
    )
    _, found = find_images(tmp_path, 4)
    assert len(found) == 6
    assert all((hr.parent.name, hr.name) == (lr.parent.name, lr.name) for hr, lr in found.items())
    assert all(read_image(hr)[0, 0, 2] == read_image(lr)[0, 0, 2] for hr, lr in found.items()), "blue says which"


def test_clips_whose_folders_do_not_agree_are_left_out_and_never_mixed(tmp_path):
    lay(tmp_path, *(f"{kind}{clip}/{n}.png" for clip in range(2) for n in range(2) for kind in ("HR/clip", "LR/x")))
    with pytest.warns(UserWarning, match="left out"), pytest.raises(SrkitError, match="no LR picture of"):
        find_images(tmp_path, 4)


def test_without_folders_of_both_kinds_there_are_no_pairs(tmp_path):
    write_image(tmp_path / "DIV2K_train_HR" / "a.png", ramp(32, 32))
    write_image(tmp_path / "DIV2K_valid_HR" / "b.png", ramp(32, 32, 1))
    found = find_photographs(tmp_path)
    assert ([p.name for p in found.train], [p.name for p in found.valid], found.lr) == (["a.png"], ["b.png"], {})


def test_the_unmatched_are_named_and_left_out(tmp_path):
    lay(tmp_path, "hr/a.png", "lr/a.png", "hr/b.png", "lr/b.png", "hr/c.png", "lr/other.png")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = find_photographs(tmp_path, 4)
    assert [path.name for path in (*found.train, *found.valid)] == ["a.png", "b.png"]
    assert {str(each.message) for each in said} == {
        "left out: 1 HR without LR: c.png.",
        "left out: 1 LR without HR: other.png.",
    }


@pytest.mark.parametrize("up", [False, True])
def test_sizes_may_be_rounded_either_way_and_the_crops_stay_aligned(tmp_path, up):
    lay(tmp_path, "hr/a.png", "lr/a.png", "hr/b.png", "lr/b.png", up=up)
    found = find_photographs(tmp_path, 4)
    patches = Patches(decode(found.train), 4, 32, given=found.lr)
    lr, hr = patches.batch(0, 64)
    blocks = hr.unfold(2, 4, 4).unfold(3, 4, 4).amin((-2, -1))  # the pixel of least row and column, in every turn
    torch.testing.assert_close(blocks[:, :2], lr[:, :2])


def test_a_wrong_scale_is_named_with_the_right_one(tmp_path):
    lay(tmp_path, "hr/a.png", "lr/a.png", "hr/b.png", "lr/b.png", scale=2)
    with pytest.raises(SrkitError, match=r"a\.png is 101 x 98 and its LR 50 x 49: that is x2, not x4"):
        find_photographs(tmp_path, 4)
    assert len(find_photographs(tmp_path).lr) == 2
    write_image(tmp_path / "lr" / "b.png", ramp(7, 30))
    with pytest.warns(UserWarning, match=r"1 of another scale than x2: b\.png"):
        assert [path.name for path in find_images(tmp_path, 2)[0]] == ["a.png"]


def test_of_several_scales_the_asked_one_is_taken(tmp_path):
    for scale in (2, 4):
        lay(
            tmp_path,
            *(f"{side}/{n}{end}.png" for n in "ab" for side, end in (("HR", ""), (f"LR/X{scale}", f"x{scale}"))),
            scale=scale,
        )
    assert {path.parent.name for path in find_photographs(tmp_path, 2).lr.values()} == {"X2"}
    assert {path.parent.name for path in find_photographs(tmp_path, 4).lr.values()} == {"X4"}


def test_no_name_in_common_is_an_error(tmp_path):
    lay(tmp_path, "hr/a.png", "lr/b.png")
    with (
        pytest.raises(SrkitError, match="no LR picture of .* has the name of an HR one"),
        pytest.warns(UserWarning, match="left out"),
    ):
        find_photographs(tmp_path, 4)


def test_the_fingerprint_knows_the_lr_pictures(tmp_path):
    lay(tmp_path, "hr/a.png", "lr/a.png", "hr/b.png", "lr/b.png")
    before = find_photographs(tmp_path, 4).fingerprint
    write_image(tmp_path / "lr" / "b.png", read_image(tmp_path / "lr" / "b.png")[::-1])
    assert find_photographs(tmp_path, 4).fingerprint != before


def test_given_lr_kept_in_a_file_is_the_same_as_in_memory(tmp_path):
    lay(tmp_path / "set", "hr/a.png", "lr/a.png", "hr/b.png", "lr/b.png")
    found = find_photographs(tmp_path / "set", 4)
    images = decode(found.train)
    here = Patches(images, 4, 32, given=found.lr).batch(0, 8)
    kept = Patches(images, 4, 32, given=found.lr, cache=tmp_path / "cache", seed=0).batch(0, 8)
    assert all(torch.equal(a, b) for a, b in zip(here, kept, strict=True))
    assert len(list((tmp_path / "cache").glob("*.u8"))) == 1


def test_validation_shows_hr_and_given_lr_of_one_place(tmp_path):
    lay(tmp_path, "hr/a.png", "lr/a.png", "hr/b.png", "lr/b.png")
    found = find_photographs(tmp_path, 4)
    ((hr, lr),) = checked_validation(found, 4, 1, 64)
    assert (hr.shape, lr.shape) == ((64, 64, 3), (16, 16, 3))
    assert np.array_equal(hr[::4, ::4], lr)


@pytest.mark.parametrize(("track", "scale", "end"), [("unknown_x2", 2, "X2/{}x2"), ("wild", 4, "{}x4w1")])
def test_a_track_of_div2k_takes_its_hr_pictures_from_div2k(tmp_path, monkeypatch, track, scale, end):
    monkeypatch.setenv("SRKIT_DATA", str(tmp_path))
    sides = {"train": ("0001", "0002"), "valid": ("0803",)}
    for side, names in sides.items():
        for name in names:
            lr = f"div2k_{track}/{side}/DIV2K_{side}_LR_{track.partition('_')[0]}/{end.format(name)}.png"
            lay(tmp_path, f"div2k/{side}/DIV2K_{side}_HR/{name}.png", lr, scale=scale)
            image = read_image(tmp_path / f"div2k/{side}/DIV2K_{side}_HR/{name}.png") + int(name[-1])
            write_image(tmp_path / f"div2k/{side}/DIV2K_{side}_HR/{name}.png", image)
    found = find_photographs(f"div2k_{track}", scale)
    assert found.name == f"div2k_{track}"
    assert [path.stem for path in found.train] == ["0001", "0002"]
    assert [path.stem for path in found.valid] == ["0803"]
    assert all(lr.stem.startswith(hr.stem) and f"div2k_{track}" in lr.parts for hr, lr in found.lr.items())


@pytest.fixture
def photographs(tmp_path):
    """Pairs of real photographs, whose LR is darker than any resize would make it."""
    starter = find_photographs()
    for side, paths in (("train", starter.train), ("valid", starter.valid)):
        for path, hr in decode(paths).items():
            hr = hr[: hr.shape[0] // 4 * 4, : hr.shape[1] // 4 * 4]
            write_image(tmp_path / "pairs" / side / "HR" / f"{path.stem}.png", hr)
            write_image(tmp_path / "pairs" / side / "LR" / f"{path.stem}x4.png", lr_of(hr, 4) // 2)
    return tmp_path / "pairs"


def test_training_on_pairs_takes_the_given_lr_and_so_does_its_score(photographs, tmp_path, capsys):
    words = ["--data", str(photographs), "--runs", str(tmp_path / "runs"), "--profile", "smoke"]
    assert main(["train", "bicubic_skip", *words]) == 0
    (run,) = (path for path in (tmp_path / "runs").iterdir())
    from srkit.runs import Run

    history = Run(run).history()
    assert Run(run).config["data"]["given_lr"] == 5
    hr, lr = (photographs / "valid" / name for name in ("HR/rocket.png", "LR/rocketx4.png"))
    hr = read_image(hr)
    dark = psnr_y(hr // 2, hr, 4)  # where the network begins: it adds to the bicubic upscaling of what it is given
    assert history["psnr_y"].dropna().iloc[-1] > dark + 3, "it did not learn to brighten"
    capsys.readouterr()
    csv = tmp_path / "scores.csv"
    words = ["--images", str(photographs), "--scale", "4", "--no-lpips", "--csv", str(csv)]
    assert main(["evaluate", "bicubic", str(run), *words]) == 0
    scores = pd.read_csv(csv).set_index("method")
    assert set(scores.index) == {"bicubic", run.name}
    assert "rocket" in csv.read_text()
    assert "astronaut" not in csv.read_text(), "what was trained on is scored"
    bicubic = scores.loc[["bicubic"], "psnr_y"].iloc[-1]
    assert bicubic == pytest.approx(psnr_y(enlarge(read_image(lr), 4), hr, 4), abs=0.01), "not of the given LR"


def test_a_given_lr_of_another_size_is_refused():
    path = Path(__file__)
    with pytest.raises(SrkitError, match="does not open"):
        pairs.read_lr(path, ramp(8, 8), 2)


def test_pillow_agrees_on_the_scales(tmp_path):
    for name, size in (("a", (40, 30)), ("b", (11, 8)), ("c", (10, 7))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    a, b, c = (tmp_path / f"{name}.png" for name in "abc")
    assert pairs.scales(a, b) == []
    assert pairs.scales(a, c) == [4]


@pytest.mark.parametrize("names", [("HR_{}", "LR_{}"), ("{}-original", "{}-small"), ("large {}", "tiny {}")])
def test_pairs_by_other_words_in_their_names_are_told(tmp_path, names):
    for n, who in enumerate(("astronaut", "coffee", "cat")):
        for name, size in zip(names, (64, 16), strict=True):
            write_image(tmp_path / f"{name.format(who)}.png", ramp(size, size, blue=n))
    with pytest.warns(UserWarning, match="is 4 times as large as .*, as 2 more are: if they are pairs, call their"):
        find_photographs(tmp_path)


def test_numbered_pictures_of_two_sizes_are_no_pairs(tmp_path):
    for n in range(8):
        write_image(tmp_path / f"img_{n}.png", ramp(64 >> (n == 3), 64 >> (n == 3), blue=n))
    with warnings.catch_warnings(action="error"):
        find_photographs(tmp_path)


def test_a_nearly_black_lr_of_12_bits_beside_a_bright_hr_is_refused(tmp_path):
    folder = lay(tmp_path / "pairs", "HR/a.png", "LR/a.png", "HR/b.png", "LR/b.png")
    lr = read_image(folder / "LR" / "b.png")[..., 1].astype(np.uint16) * 16
    Image.fromarray(lr).save(folder / "LR" / "b.png")
    with pytest.raises(SrkitError, match=r"b.png is nearly black, and HR is not: of its 16 bits no value is over \d+"):
        pairs.read_lr(folder / "LR" / "b.png", read_image(folder / "HR" / "b.png"), 4)
    black = (read_image(folder / "HR" / "b.png") // 16).astype(np.uint8)
    assert pairs.read_lr(folder / "LR" / "b.png", black, 4).shape == (25, 25, 3)
