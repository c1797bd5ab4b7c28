"""Systems side by side: who is there, who is missing, and what a figure shows of them."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from skimage.data import chelsea

from srkit import comparison, pretrained
from srkit.course.notebooks import recipe_names
from srkit.evaluation import evaluate, psnr_y
from srkit.figures import compare
from srkit.files import SrkitError
from srkit.generator import SRResNet
from srkit.images import read_image, write_image
from srkit.recipes import RECIPES, SRGAN
from srkit.records import describe
from srkit.runs import Run
from srkit.weights_files import save_weights

WEIGHTS = pretrained.FOLDER


@pytest.fixture(autouse=True)
def _tidy(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "nothing shipped")
    yield
    plt.close("all")


@pytest.fixture
def runs(tmp_path):
    """A finished srgan of two phases at x4, a pixelforge at x2, and one of another seed."""
    for name, scale, phases, seed in (
        ("srgan", 4, ("psnr", "gan"), 0),
        ("pixelforge", 2, ("psnr",), 0),
        ("esrgan", 4, (), 1),
    ):
        run, network = Run(tmp_path / "runs" / f"{name}-{seed}"), SRResNet(scale=scale, channels=8, blocks=1, skip=True)
        parts = {"name": "SRResNet", "scale": scale, "channels": 8, "blocks": 1, "skip": True}
        recipe = describe(SRGAN) | {"name": name, "scale": scale, "generator": parts}
        recipe["phases"] = [phase for phase in recipe["phases"] if phase["name"] in phases]
        run.write_config({"recipe": recipe, "profile": "smoke", "seed": seed, "data": {"name": "starter"}})
        for phase in phases:
            save_weights(network, run.weights(phase))
    return tmp_path / "runs"


@pytest.fixture
def picture(tmp_path):
    write_image(tmp_path / "cat.png", chelsea()[:98, 100:231])
    return tmp_path / "cat.png"


def test_all_means_every_recipe_and_srgan_is_looked_at():
    assert sorted(recipe_names("all")) == sorted(RECIPES)
    assert recipe_names("all")[-1] == "srgan"
    assert recipe_names("wgan_gp") == ["wgan_gp"]
    with pytest.raises(SrkitError, match="nosuch"):
        recipe_names("nosuch")


def test_systems_of_this_profile_and_seed_are_found_and_the_missing_named(runs):
    systems, missing = comparison.load_systems(runs, "smoke", 0, "starter")
    assert {key: list(phases) for key, phases in systems.items()} == {
        ("srgan", 4): ["psnr", "gan"],
        ("pixelforge", 2): ["psnr"],
    }
    assert set(missing) == set(RECIPES) - {"srgan", "pixelforge"}
    assert comparison.load_systems(runs, "laptop", 0, "starter") == ({}, list(RECIPES))


def test_a_smoke_run_gives_way_to_the_shipped_weights_of_its_scale(runs, monkeypatch):
    run = Run(runs / "srgan-0")
    networks, caption = comparison.worth_judging(run)
    assert list(networks) == ["srgan, psnr phase", "srgan, gan phase"]
    assert "no more" in caption

    monkeypatch.setattr(pretrained, "FOLDER", WEIGHTS)
    networks, caption = comparison.worth_judging(run)
    cards = {card["recipe"]["name"]: card for card in pretrained.shipped() if card["scale"] == 4}
    assert list(networks) == ["srgan (shipped), psnr phase", "srgan (shipped), gan phase"]  # and no other's
    assert "no more" not in caption
    for name in ("srresnet", "srgan"):  # the former is the first phase of the latter
        assert f"{name}'s {cards[name]['phase']} phase, {cards[name]['steps']:,} steps" in caption

    run.write_config(run.config | {"recipe": run.config["recipe"] | {"name": "mine"}})
    assert next(iter(comparison.worth_judging(run)[0])) == "srgan_light (shipped), psnr phase"
    run.write_config(run.config | {"recipe": run.config["recipe"] | {"name": "srgan"}})

    run.write_config(run.config | {"profile": "laptop"})
    assert list(comparison.worth_judging(run)[0]) == ["srgan, psnr phase", "srgan, gan phase"]

    systems, missing = comparison.load_systems(runs, "nothing", 0, "starter")
    assert list(systems["srgan_light (shipped)", 4]) == ["psnr", "gan"]  # so that the plane has its arrow
    assert ("srresnet_light (shipped)", 4) not in systems  # it is that one's first phase, and shown once
    assert not {"srgan_light", "srresnet_light"} & set(missing)


def test_every_phase_has_its_rows_at_its_scale(runs, picture):
    systems, _ = comparison.load_systems(runs, "smoke", 0, "starter")
    table = comparison.score_systems(systems, [picture], "starter", None)
    assert table[["scale", "system", "phase"]].to_numpy().tolist() == [
        [2, "bicubic", ""],
        [2, "pixelforge", "psnr"],
        [4, "bicubic", ""],
        [4, "srgan", "psnr"],
        [4, "srgan", "gan"],
    ]
    figure = comparison.perception_distortion(table)
    assert [axis.get_title() for axis in figure.axes] == ["x2", "x4"]
    assert "SqueezeNet" in figure.axes[0].get_ylabel()
    assert table["lpips_squeeze"].notna().all()
    points = {tuple(line.get_xydata()[0]) for axis in figure.axes for line in axis.lines if len(line.get_xydata())}
    assert points == set(table[["psnr_y", "lpips_squeeze"]].itertuples(index=False, name=None))
    (axis,) = comparison.perception_distortion(table[table["phase"] == "gan"]).axes  # its first phase is not here
    (point,) = axis.lines
    assert (point.get_marker(), point.get_label()) == ("^", "srgan")
    assert "SqueezeNet" not in comparison.perception_distortion(table.assign(lpips=0.5)).axes[0].get_ylabel()


def test_one_crop_shows_one_place_in_all_systems(runs):
    systems, _ = comparison.load_systems(runs, "smoke", 0, "starter")
    pictures, table = comparison.look_at_systems(systems, chelsea()[:98, 100:231], lambda *_: 0.25)
    assert {picture.shape for picture in pictures.values()} == {(96, 128, 3)}
    assert table["method"].tolist() == ["bicubic, x2", "pixelforge, x2", "bicubic, x4", "srgan, x4"]
    titles = list(pictures)
    assert titles[0] == comparison.HR
    assert all("LPIPS 0.250" in title and " dB" in title for title in titles[1:])
    assert len(compare(pictures, (0, 0), 32, whole=comparison.HR).axes) == 6


def test_the_road_between_two_phases_has_both_ends():
    first, last = (SRResNet(scale=4, channels=8, blocks=1, skip=True) for _ in range(2))
    hr = chelsea()[:96, 100:228]
    ends = {"psnr": first, "gan": last}
    figure, table = comparison.between_phases(ends, hr, 4, (0, 0), 32, None)
    assert table["alpha"].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    for place, network in ((0, first), (5, last)):
        _, alone = comparison.look({"it": network}, hr, 4, None)
        assert table["psnr_y"][place] == pytest.approx(alone["psnr_y"][0])
    assert len(figure.axes) == 8


def test_the_worst_square_is_where_the_error_was_put():
    hr = chelsea()[:96, 100:228]
    sr = hr.copy()
    sr[33:63, 65:95] = 0
    worst = comparison.worst_squares({"cat": hr}, {"cat": sr}, 4, 32)
    assert len(worst) == 12
    assert worst.loc[0, ["top", "left"]].tolist() == [32, 64]
    assert worst["network"][0] == pytest.approx(psnr_y(sr[32:64, 64:96], hr[32:64, 64:96], 0), abs=1e-3)
    assert len(comparison.show_squares(worst.head(2), {"cat": hr}, {"cat": sr}, 4, "it").axes) == 8


def test_crops_to_rate_are_of_one_place_with_the_truth_among_them():
    truths = {"cat": chelsea()[:96, 100:228], "ear": chelsea()[:96, :96]}
    crops, scores = comparison.crops_to_rate({"bicubic": "bicubic", "near": "nearest"}, truths, 4, 32, None)
    assert set(crops) == {(image, method) for image in truths for method in ("HR", "bicubic", "near")}
    assert all(crop.shape == (32, 32, 3) for crop in crops.values())
    for line in scores.itertuples():
        assert line.psnr_y == psnr_y(crops[line.image, line.method], crops[line.image, "HR"], 0)
    assert np.isnan(scores["lpips"]).all()


def test_table_and_picture_have_the_same_scores(picture, tmp_path):
    """Of a grey photograph too, though one is read from a file and the other is an array of three channels."""
    write_image(tmp_path / "grey.png", read_image(picture)[..., 1])
    methods = {"bicubic": "bicubic", "near": "nearest"}
    for path in (picture, tmp_path / "grey.png"):
        table = evaluate(methods, [path], 4).set_index("method")
        _, shown = comparison.look(methods, read_image(path), 4, None)
        columns = ["psnr_y", "ssim_y", "lpips_squeeze", "grid"]
        pd.testing.assert_frame_equal(shown.set_index("method")[columns], table[columns])


def test_the_gallery_goes_from_the_greatest_gain_to_the_least(tmp_path):
    random = np.random.default_rng(0)
    flat, noise = np.full((64, 64, 3), 90, np.uint8), random.integers(0, 256, (64, 64, 3), np.uint8)
    photograph = chelsea()[100:164, 100:164]
    images = []
    for name, picture in {"flat": flat, "noise": noise, "cat": photograph}.items():
        write_image(tmp_path / "set" / f"{name}.png", picture)
        images.append(tmp_path / "set" / f"{name}.png")
    methods = {"nearest": "nearest", "bicubic": "bicubic"}
    table = evaluate(methods, images, 2)
    comparison.gallery(table, methods, images, 2, tmp_path / "gallery", count=3, size=32)
    psnr = table.pivot(index="image", columns="method", values="psnr_y")
    gain = (psnr["bicubic"] - psnr["nearest"]).fillna(0)  # both reproduce a flat picture: inf - inf
    made = sorted(path.name for path in (tmp_path / "gallery").glob("*.png"))
    assert made == [f"{n}-{name[:-4]}.png" for n, name in enumerate(gain.sort_values(ascending=False).index, 1)]
    assert {path.suffix for path in (tmp_path / "gallery").iterdir()} == {".png", ".pdf", ".csv"}


def test_a_gallery_shows_what_was_scored_when_lr_is_given_or_degraded(picture, tmp_path):
    dark = tmp_path / "dark.png"
    write_image(dark, read_image(picture)[::2, ::2] // 2)
    for more in ({"given": {picture: dark}}, {"degradation": lambda hr, scale, seed: hr[..., ::scale, ::scale] / 3}):
        methods = {"nearest": "nearest", "bicubic": "bicubic"}
        scored = evaluate(methods, [picture], 2, **more)
        comparison.gallery(scored, methods, [picture], 2, tmp_path / "gallery", size=32, **more)
        shown = pd.read_csv(tmp_path / "gallery" / "1-cat.csv")
        assert shown["psnr_y"].max() < 20
        np.testing.assert_allclose(shown["psnr_y"], scored["psnr_y"], rtol=1e-4)


def test_a_gallery_of_few_small_pictures_shows_each_once_and_of_one_method_is_refused(picture, tmp_path):
    methods = {"nearest": "nearest", "bicubic": "bicubic"}
    table = evaluate(methods, [picture], 2)
    comparison.gallery(table, methods, [picture], 2, tmp_path / "gallery", size=500)
    assert [path.name for path in (tmp_path / "gallery").glob("*.png")] == ["1-cat.png"]
    for few in ({"bicubic": "bicubic"}, methods | {"theirs": tmp_path}):
        with pytest.raises(SrkitError, match="two or more"):
            comparison.gallery(table, few, [picture], 2, tmp_path / "other")
