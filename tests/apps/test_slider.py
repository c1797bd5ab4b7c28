"""The slider's Python side, its page, its animation and its figure. What a browser makes of it: tests/browser."""

import base64
import json
import re
from io import BytesIO

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image
from traitlets import TraitError

import srkit
from srkit.apps.slider import CompareSlider
from srkit.files import SrkitError


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 256, (48, 60, 3), dtype=np.uint8) for name in ("bicubic", "SR", "HR")}


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)))


def test_every_pixel_reaches_the_browser_unchanged(pictures):
    pictures["grey"] = pictures["HR"][..., 0]
    slider = srkit.CompareSlider(pictures)
    sent = slider.get_state(["_pictures", "labels"])
    assert sent["labels"] == list(pictures)
    for png, picture in zip(sent["_pictures"], pictures.values(), strict=True):
        np.testing.assert_array_equal(decoded(png), picture)


@pytest.mark.parametrize(
    ("size", "width"), [((64, 64), 640), ((300, 400), 800), ((720, 1280), 960), ((2000, 500), 160)]
)
def test_small_pictures_are_shown_in_whole_pixels_and_large_ones_fit(size, width):
    picture = np.zeros((*size, 3), np.uint8)
    assert CompareSlider({"a": picture, "b": picture}).width == width


def test_state_is_set_and_read_and_what_is_impossible_is_refused(pictures):
    slider = CompareSlider(pictures, position=20, right=2, zoom=4)
    assert (slider.position, slider.zoom, slider.left, slider.right) == (20, 4, 0, 2)
    slider.set_state({"position": 61.5, "centre": [0.25, 0.5], "loupe": True})  # as the browser sends it
    assert (slider.position, slider.centre, slider.loupe) == (61.5, (0.25, 0.5), True)
    for name, value in {"left": 3, "position": 101, "zoom": 0.5}.items():
        with pytest.raises(TraitError):
            setattr(slider, name, value)


def test_other_pictures_keep_the_view_and_those_that_stay_are_not_encoded_again(pictures):
    slider = CompareSlider(pictures, right=2, position=10)
    bytes_before = slider._pictures[0]
    other = 255 - pictures["SR"]
    slider.show({"bicubic": pictures["bicubic"], "alpha 0.5": other})
    assert slider._pictures[0] is bytes_before
    np.testing.assert_array_equal(decoded(slider._pictures[1]), other)
    assert (slider.position, slider.right) == (10, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: {"HR": p["HR"]}, "two pictures or more, and got 1"),
        (lambda p: p | {"LR": p["HR"][::4, ::4]}, r"bicubic 60 x 48, .* LR 15 x 12.*nearest neighbour first"),
        (lambda p: p | {"SR": p["SR"] / 255}, r"SR is float64 \(48, 60, 3\)"),
        (lambda p: p | {"SR": p["SR"][..., :2]}, "a slider shows uint8"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(pictures, change, words):
    with pytest.raises(SrkitError, match=words):
        CompareSlider(change(pictures))


def test_the_page_holds_all_it_needs_and_nothing_from_elsewhere(pictures, tmp_path):
    pictures["</script><b>"] = pictures["HR"]
    path = CompareSlider(pictures, position=30, loupe=True).to_html(tmp_path / "new" / "s.html", "A < B & co")
    page = path.read_text()
    assert "<title>A &lt; B &amp; co</title>" in page
    assert re.findall(r"https?://", page) == []
    assert page.count("</script>") == 1
    state = json.loads(re.search(r"const state = (.*);", page)[1])
    assert (state["position"], state["loupe"], state["labels"]) == (30, True, list(pictures))
    for uri, picture in zip(state["_pictures"], pictures.values(), strict=True):
        np.testing.assert_array_equal(decoded(base64.b64decode(uri.partition(",")[2])), picture)


def test_the_animation_shows_each_picture_and_wipes_from_one_to_the_next(tmp_path):
    flat = {name: np.full((96, 120, 3), grey, np.uint8) for name, grey in {"dark": 40, "light": 200}.items()}
    frames = []
    with Image.open(CompareSlider(flat).to_gif(tmp_path / "s.gif", seconds=2)) as gif:
        for number in range(gif.n_frames):
            gif.seek(number)
            frames.append((np.asarray(gif.convert("RGB")).astype(int)[50:], gif.info["duration"]))
    assert sum(duration == 2000 for _, duration in frames) == 2
    halfway = frames[6][0]
    assert abs(frames[0][0] - 40).max() <= 2
    assert abs(halfway[:, :60] - 200).max() <= 2
    assert abs(halfway[:, 60:] - 40).max() <= 2
    with Image.open(CompareSlider(flat).to_gif(tmp_path / "cut.gif", wipe=False)) as gif:
        assert gif.n_frames == 2


def test_labels_are_drawn_into_the_animation(pictures, tmp_path):
    black = {name: np.zeros((96, 120, 3), np.uint8) for name in ("A", "B")}
    with Image.open(CompareSlider(black).to_gif(tmp_path / "s.gif", wipe=False)) as gif:
        first = np.asarray(gif.convert("L")).copy()
        gif.seek(1)
        second = np.asarray(gif.convert("L"))
    assert first[:40, :60].max() > 200
    assert (first != second).any()
    assert first[50:].max() == 0


def test_the_twin_shows_the_part_that_is_zoomed_in_on(pictures):
    figure = CompareSlider(pictures, zoom=4, centre=(0.5, 0.5)).twin()
    shown = {axis.get_title(): axis.images[0].get_array() for axis in figure.axes}
    np.testing.assert_array_equal(shown["the whole picture"], pictures["HR"])
    for name, picture in pictures.items():
        np.testing.assert_array_equal(shown[name], picture[18:30, 24:36])
    assert CompareSlider(pictures).twin(32).axes[1].images[0].get_array().shape == (32, 32, 3)
    plt.close("all")


def test_pil_images_and_paths_are_compared_as_arrays_are(pictures, tmp_path):
    Image.fromarray(pictures["HR"]).save(tmp_path / "hr.png")
    transposed = {"a": Image.fromarray(pictures["SR"]), "b": str(tmp_path / "hr.png"), 3: tmp_path / "hr.png"}
    slider = CompareSlider(transposed)
    assert slider.labels == ["a", "b", "3"]
    for png, name in zip(slider._pictures, ("SR", "HR", "HR"), strict=True):
        np.testing.assert_array_equal(decoded(png), pictures[name])
    palette = Image.fromarray(pictures["SR"]).convert("P")
    slider.show({"palette": palette, "grey": palette.convert("L")})
    np.testing.assert_array_equal(decoded(slider._pictures[0]), np.asarray(palette.convert("RGB")))


def test_a_change_within_an_array_is_shown_when_it_is_shown_again(pictures):
    slider = CompareSlider(pictures)
    pictures["SR"][:] = 7
    assert not (decoded(slider._pictures[1]) == 7).all()
    slider.show(pictures)
    assert (decoded(slider._pictures[1]) == 7).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p | {"SR": np.zeros((0, 60, 3), np.uint8)}, r"SR is uint8 \(0, 60, 3\)"),
        (lambda p: list(p.values()), "two pictures or more, and got a list: give them by their labels"),
        (lambda p: {1: p["SR"], "1": p["HR"]}, "are the same word"),
        (lambda p: p | {"SR": "nowhere.png"}, "nowhere.png is not there"),
        (lambda p: p | {"SR": None}, "SR is object"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(pictures, change, words):
    with pytest.raises(SrkitError, match=words):
        CompareSlider(change(pictures))


def test_an_animation_is_a_gif(pictures, tmp_path):
    for name in ("x.mp4", "x", "x.png"):
        with pytest.raises(SrkitError, match="let it end in .gif"):
            CompareSlider(pictures).to_gif(tmp_path / name)
    with pytest.raises(SrkitError, match="seconds nan does not do"):
        CompareSlider(pictures).to_gif(tmp_path / "x.gif", seconds=float("nan"))
    assert not list(tmp_path.iterdir())
