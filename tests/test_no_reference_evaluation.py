"""The table of NIQE: its numbers are those of niqe() on the files; what cannot be scored or does not fit is told."""

import numpy as np
import pandas as pd
import pytest
from skimage.data import astronaut, chelsea, coffee
from torch import nn

from srkit.cli import main
from srkit.files import SrkitError
from srkit.generator import sharpen
from srkit.images import read_image, to_image, to_tensor, write_image
from srkit.no_reference import niqe
from srkit.no_reference_evaluation import evaluate_without_reference, means, side_by_side
from srkit.scoring import enlarge

pytestmark = pytest.mark.usefixtures("one_thread")


class Nearest(nn.Module):
    """A network of scale 2 that counts its calls."""

    def __init__(self):
        super().__init__()
        self.scale, self.calls = 2, []

    def forward(self, lr):
        if lr.shape[2:] != (24, 24):  # of `srkit.fingerprints`
            self.calls.append(lr.shape)
        return nn.functional.interpolate(lr, scale_factor=2.0)


@pytest.fixture
def photos(tmp_path):
    """Two photographs that are large enough at x2, one that is not, and one that is flat."""
    write_image(tmp_path / "photos" / "cat.png", chelsea()[100:210, 100:220])
    write_image(tmp_path / "photos" / "below" / "face.png", astronaut()[:110, 170:290])
    write_image(tmp_path / "photos" / "small.png", coffee()[:40, :40])
    write_image(tmp_path / "photos" / "flat.png", np.full((110, 120, 3), 90, np.uint8))
    return tmp_path / "photos"


def test_the_command_gives_pictures_the_niqe_of_their_files_and_sharpened_copies_a_lower_one(tmp_path, capsys):
    for name, picture in {"cat.png": chelsea(), "face.png": astronaut()}.items():
        soft = enlarge(picture[100:200, 100:220], 2)
        write_image(tmp_path / "soft" / name, soft)
        write_image(tmp_path / "sharp" / name, to_image(sharpen(to_tensor(soft), 2)))
    folders = [str(tmp_path / name) for name in ("soft", "sharp")]
    out = [tmp_path / name for name in ("a.csv", "a.md", "a.tex")]
    for table in out[1:]:
        words = ["evaluate", "--no-reference", *folders, "--csv", str(out[0]), "--table", str(table)]
        assert main(words) == 0
    rows = pd.read_csv(out[0])
    assert len(rows) == 4  # what was there is not done again
    for row in rows.itertuples():
        assert row.niqe == pytest.approx(niqe(read_image(tmp_path / row.method / row.image)), abs=1e-5)
    of = rows.pivot(index="image", columns="method", values="niqe")
    assert (of["sharp"] < of["soft"]).all()
    said = capsys.readouterr().out
    assert f"cat.png {of.loc['cat.png', 'soft']:.2f}" in " ".join(said.split())
    assert "over the 2 pictures" in said
    assert "sharpening alone lowers it" in said
    assert f"| sharp | 2 | **{of['sharp'].mean():.2f}**" in out[1].read_text()
    assert "toprule" in out[2].read_text()


def test_methods_enlarge_photographs_and_means_are_over_those_that_all_could(photos, tmp_path, capsys):
    words = ["evaluate", "nearest", "bicubic", "--no-reference", "--images", str(photos), "--scale", "2"]
    words += ["--csv", str(tmp_path / "a.csv"), "--save", str(tmp_path / "sr")]
    assert main(words) == 1  # not all that was asked is there
    heard = capsys.readouterr()
    flat, small = heard.err.splitlines()
    assert flat.startswith(f"srkit: left out: {photos / 'flat.png'}: this picture is flat nearly everywhere")
    assert small.startswith(f"srkit: left out: {photos / 'small.png'}: a picture of 80 x 80 is too small for NIQE")
    rows = pd.read_csv(tmp_path / "a.csv").set_index(["method", "image"])
    assert rows["niqe"].isna().sum() == 4
    for method in ("nearest", "bicubic"):
        for path in (photos / "cat.png", photos / "below" / "face.png"):
            expected = niqe(enlarge(read_image(path), 2, method))
            assert rows.loc[(method, path.name), "niqe"] == pytest.approx(expected, abs=1e-5)
    assert "over the 2 pictures" in heard.out
    assert len(list((tmp_path / "sr" / "nearest").rglob("*.png"))) == 4


def test_a_picture_that_one_method_has_no_score_of_counts_in_no_mean():
    scores = {("a", "1"): 4.0, ("a", "2"): 40.0, ("b", "1"): 5.0, ("b", "2"): np.nan}
    table = pd.DataFrame([{"method": m, "set": "s", "image": i, "niqe": v} for (m, i), v in scores.items()])
    lines, over = means(table.assign(seconds=1.0))
    assert lines["niqe"].tolist() == [4, 5]
    assert "1 picture " in over
    assert side_by_side(table).loc[1, "a"] == 40
    lines, over = means(table[[True, False, False, False]].assign(seconds=1.0))
    assert lines[["images", "niqe"]].to_numpy().tolist() == [[1, 4]]


def test_a_file_goes_on_where_it_was_and_not_with_another_picture(photos, tmp_path):
    network, images, csv = Nearest(), [photos / "cat.png"], tmp_path / "a.csv"
    first = evaluate_without_reference({"it": network}, images, 2, csv=csv)
    again = evaluate_without_reference({"it": network}, images, 2, csv=csv)
    assert len(network.calls) == 1
    assert first["niqe"].tolist() == pytest.approx(again["niqe"].tolist(), abs=1e-5)
    write_image(photos / "cat.png", coffee()[100:220, 100:220])
    other = evaluate_without_reference({"it": network}, images, 2, csv=csv)
    assert other["niqe"].item() == pytest.approx(niqe(coffee()[100:220, 100:220].repeat(2, 0).repeat(2, 1)))
    assert len(pd.read_csv(csv)) == 1


def test_ready_made_pictures_are_matched_by_name_and_those_of_another_scale_refused(photos, tmp_path):
    for name, path in {"cat_x2.png": photos / "cat.png", "face.png": photos / "below" / "face.png"}.items():
        write_image(tmp_path / "theirs" / name, enlarge(read_image(path), 2, "nearest"))
    images, methods = [photos / "cat.png", photos / "below" / "face.png"], {"t": tmp_path / "theirs", "n": "nearest"}
    wide = side_by_side(evaluate_without_reference(methods, images, 2))
    assert wide["t"].tolist() == wide["n"].tolist()
    with pytest.raises(SrkitError, match="cat.png is 120 x 110 and its SR 240 x 220: that is not x3"):
        evaluate_without_reference({"t": tmp_path / "theirs"}, images, 3)
    problems = []
    evaluate_without_reference(methods, [*images, photos / "flat.png"], 2, problems=problems)
    assert [problem[:3] for problem in problems] == ["t: ", "n: "]
    assert "holds no picture for flat.png" in problems[0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["bicubic"], "bicubic enlarges photographs: name their folder with --images"),
        (["photos", "--scale", "4"], "go together: give them, or none"),
        (["bicubic", "--images", "photos"], "go together: give them, or none"),
        (["photos", "--save", "sr"], "go together: give them, or none"),
        (["photos", "--no-lpips", "--degradation", "mild"], "leave --degradation and --no-lpips out"),
        (["bicubic", "real_light_gan", "--images", "photos", "--scale", "4", "--gallery", "g"], "leave --gallery out"),
        (["photos", "--table", "t.docx"], "t.docx is neither .tex nor .md"),
        (["photos", "--csv", "scores.csv"], "scores.csv is no table of srkit evaluate --no-reference"),
        (["empty"], "empty holds neither a run nor SR images"),
        (["bicubic", "--images", "empty", "--scale", "2"], "empty holds no pictures"),
        (["photos/below/small"], "small.png: a picture of 40 x 40 is too small for NIQE"),
    ],
)
def test_what_does_not_go_together_is_one_sentence_and_leaves_nothing(words, says, photos, monkeypatch, capsys):
    monkeypatch.chdir(photos.parent)
    (photos.parent / "empty").mkdir()
    (photos.parent / "scores.csv").write_text("method,psnr_y\nbicubic,30\n")
    write_image(photos / "below" / "small" / "small.png", coffee()[:40, :40])
    before = set(photos.parent.rglob("*"))
    assert main(["evaluate", "--no-reference", *words]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert says in errors[0]
    assert {path for path in photos.parent.rglob("*") if path.suffix != ".lock"} == before


def test_without_it_images_and_scale_are_needed(photos):
    with pytest.raises(SystemExit) as left:
        main(["evaluate", str(photos)])
    assert left.value.code == 2
