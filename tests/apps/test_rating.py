"""A rater's votes are kept at once, in an order that gives nothing away, and add up as they should."""

import numpy as np
import pandas as pd
import pytest

from srkit.apps.rating import GRADES, Study, correlations, invented_votes, opinions
from srkit.files import SrkitError


@pytest.fixture
def crops():
    return {
        (image, method): np.full((12, 12, 3), 20 * n, np.uint8)
        for n, (image, method) in enumerate((i, m) for i in ("a.png", "b, c.png") for m in ("HR", "bicubic", "gan"))
    }


def test_each_vote_is_in_the_file_at_once_and_the_next_session_goes_on(crops, tmp_path):
    path = tmp_path / "new" / "votes.csv"
    study = Study(crops, path, rater="Ada")
    for done, score in enumerate((5, 3, 1), 1):
        place = study.left()[0]
        study.vote(score)
        assert pd.read_csv(path).iloc[-1].tolist() == ["Ada", *place, score]
        assert len(study.left()) == len(crops) - done
    again = Study(crops, path, rater="Ada")
    assert again.left() == study.left()
    assert len(Study(crops, path, rater="Bob").left()) == len(crops)
    assert len(again.votes()) == 3


def test_a_line_that_was_cut_off_is_asked_again(crops, tmp_path):
    path = tmp_path / "votes.csv"
    study = Study(crops, path)
    study.vote(4)
    study.vote(4)
    path.write_text(path.read_text()[:-4])
    again = Study(crops, path)
    assert len(again.left()) == len(crops) - 1
    again.vote(2)
    assert again.votes()["score"].tolist() == [4, 2]


def test_each_rater_has_an_order_of_their_own_and_always_the_same(crops, tmp_path):
    orders = {name: Study(crops, tmp_path / "v.csv", rater=name).order for name in ("Ada", "Bob", "Eve")}
    assert len({tuple(order) for order in orders.values()}) == 3
    assert all(sorted(order) == sorted(crops) for order in orders.values())
    assert Study(crops, tmp_path / "v.csv", rater="Ada").order == orders["Ada"]


def test_the_page_shows_no_name_votes_and_ends(crops, tmp_path):
    study = Study(crops, tmp_path / "v.csv")
    picture, said, row, bar = study.widget().children
    assert [button.description for button in row.children] == [f"{n} {word}" for n, word in GRADES.items()]
    seen = set()
    for _ in range(len(crops)):
        seen.add(picture.value)
        assert not any(method in said.value for _, method in crops)
        row.children[1].click()
    assert len(seen) == len(crops)
    assert bar.value == bar.max == len(crops)
    assert all(button.disabled for button in row.children)
    assert (study.votes()["score"] == 4).all()
    row.children[0].click()  # nothing is left to rate
    assert len(study.votes()) == len(crops)


def test_a_study_wants_its_reference_grades_and_its_own_file(crops, tmp_path):
    with pytest.raises(SrkitError, match="no hidden reference"):
        Study({("a", "gan"): crops["a.png", "gan"]}, tmp_path / "v.csv")
    with pytest.raises(SrkitError, match="6 is no grade"):
        Study(crops, tmp_path / "v.csv").vote(6)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SrkitError, match="other.csv is no table of votes"):
        Study(crops, tmp_path / "other.csv")


def test_opinions_are_means_with_the_hidden_reference_as_five():
    votes = pd.DataFrame(
        {
            "rater": list("xyxyxy"),
            "image": "a",
            "method": ["HR", "HR", "gan", "gan", "bicubic", "bicubic"],
            "score": [5, 4, 4, 4, 1, 2],
        }
    )
    table = opinions(votes).set_index("method")
    assert table["mos"].to_dict() == {"HR": 4.5, "gan": 4.0, "bicubic": 1.5}
    assert table["against_hr"].to_dict() == {"HR": 5.0, "gan": 4.5, "bicubic": 2.0}
    assert (table.loc["bicubic", "low"], table.loc["bicubic", "high"]) == (1, 2)
    assert list(table.index) == ["HR", "gan", "bicubic"]


def test_correlations_are_over_the_mean_of_each_crop_without_the_reference():
    scores = pd.DataFrame({"image": "a", "method": list("pqrs"), "psnr_y": [20.0, 25, 30, 50], "lpips": [4.0, 3, 2, 1]})
    votes = scores[["image", "method"]].assign(rater="x", score=[1, 2, 3, 4])
    reference = pd.DataFrame({"image": ["a"], "method": ["HR"], "rater": ["x"], "score": [1]})
    table = correlations(pd.concat([votes, reference]), scores, ["psnr_y", "lpips"]).set_index("metric")
    assert (table["crops"] == 4).all()
    assert table.loc["psnr_y", "spearman"] == pytest.approx(1)
    assert table.loc["psnr_y", "pearson"] == pytest.approx(np.corrcoef([1, 2, 3, 4], [20, 25, 30, 50])[0, 1])
    assert table.loc["lpips", "pearson"] == pytest.approx(-1)


def test_invented_votes_say_that_they_are():
    scores = pd.DataFrame({"image": ["a", "a", "b", "b"], "method": list("pqpq"), "ssim_y": [0.9, 0.5, 0.8, 0.4]})
    votes = invented_votes(scores)
    assert votes["rater"].str.startswith("synthetic").all()
    assert votes["score"].between(1, 5).all()
    assert list(opinions(votes)["method"]) == ["HR", "p", "q"]
    pd.testing.assert_frame_equal(votes, invented_votes(scores))
