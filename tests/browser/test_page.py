"""The slider's page from a file, with no network: what each hand movement and key does to the pixels."""

import numpy as np
import pytest
from conftest import drag, pixels, place_in
from PIL import Image

from srkit.apps.slider import CompareSlider

SIZE = 48, 64  # height and width; the frame shows 13 screen pixels a picture pixel
UNIT = 13
COLOURS = {"red": (220, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 230)}


def pattern(seed: int) -> np.ndarray:
    """Every pixel another colour, so that a screenshot tells which one it shows."""
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture
def opened(visit, tmp_path):
    """A function that opens pictures under a slider from a file, offline."""

    def open_slider(pictures, options=None, **state):
        path = CompareSlider(pictures, **state).to_html(tmp_path / "slider.html", "A slider")
        page = visit(f"file://{path}", offline=True, **(options or {}))
        page.frame = page.locator(".frame")
        page.handle = page.get_by_role("slider")
        page.locator("[role=slider][aria-valuenow]").wait_for()
        return page

    return open_slider


@pytest.fixture
def coloured(opened):
    def open_colours(**more):
        return opened({name: np.full((*SIZE, 3), colour, np.uint8) for name, colour in COLOURS.items()}, **more)

    return open_colours


def border(page) -> tuple[str, str, float]:
    """Seen in a screenshot: the colours on the left and the right, and where one ends, in shares of the width."""
    row = pixels(page.frame)[-20]
    names = [min(COLOURS, key=lambda name: abs(pixel - COLOURS[name]).sum()) for pixel in row]
    return names[0], names[-1], sum(name == names[0] for name in names) / len(names)


def now(page) -> int:
    return int(page.handle.get_attribute("aria-valuenow"))


def test_the_handle_follows_the_mouse_and_the_pixels_follow_the_handle(coloured):
    page = coloured()
    assert border(page) == ("red", "green", pytest.approx(0.5, abs=0.01))
    drag(page, place_in(page.handle, 0.5, 0.5), place_in(page.frame, 0.8, 0.3))
    assert border(page) == ("red", "green", pytest.approx(0.8, abs=0.01))
    assert now(page) == 80
    drag(page, place_in(page.frame, 0.1, 0.9), place_in(page.frame, -0.5, 0.9))  # held anywhere, and out of the frame
    assert now(page) == 0
    assert pixels(page.frame)[-20, 100].tolist() == list(COLOURS["green"])
    assert page.problems == []
    assert [address for address in page.asked if not address.startswith(("file:", "data:"))] == []


def test_keys_move_the_handle_and_the_focus_is_seen(coloured):
    page = coloured()
    before = pixels(page.frame)
    for _ in range(5):
        page.keyboard.press("Tab")
        if page.handle.evaluate("handle => handle === document.activeElement"):
            break
    assert (pixels(page.frame) != before).any()  # a ring
    moves = {"ArrowRight": 51, "ArrowUp": 52, "ArrowLeft": 51, "PageUp": 61, "PageDown": 51, "Home": 0, "End": 100}
    for key, expected in moves.items():
        page.keyboard.press(key)
        assert now(page) == expected, key
    assert border(page)[0] == "red"
    page.keyboard.press("ArrowRight")
    assert now(page) == 100
    assert page.problems == []


def test_a_screen_reader_is_told_what_there_is(coloured):
    page = coloured(position=25)
    facts = {name: page.handle.get_attribute(f"aria-{name}") for name in ("valuemin", "valuemax", "valuenow", "label")}
    assert facts == {"valuemin": "0", "valuemax": "100", "valuenow": "25", "label": "Border between red and green"}
    assert "25 % red" in page.handle.get_attribute("aria-valuetext")
    assert page.get_by_role("group", name="Comparison of red, green, blue").count() == 1
    assert [image.get_attribute("alt") for image in page.locator(".pane img").all()] == list(COLOURS)
    assert page.get_by_label("Picture on the left").input_value() == "0"
    unnamed = "[...document.querySelectorAll('button, a, select')].filter(e => !e.getAttribute('aria-label')).length"
    assert page.evaluate(unnamed) == 0


def test_number_keys_choose_the_pictures_and_swap_them(coloured):
    page = coloured()
    page.handle.focus()
    for key, sides in [
        ("3", ("red", "blue")),
        ("1", ("blue", "red")),
        ("Shift+Digit2", ("green", "red")),
        ("s", ("red", "green")),
        ("Shift+Digit2", ("green", "red")),
        ("9", ("green", "red")),
    ]:
        page.keyboard.press(key)
        assert border(page)[:2] == sides, key
    page.get_by_label("Picture on the right").select_option("blue")
    assert border(page)[:2] == ("green", "blue")
    page.get_by_role("button", name="Swap left and right").click()
    assert border(page)[:2] == ("blue", "green")
    assert page.problems == []


def seen(page) -> np.ndarray:
    """The picture pixel under every screen pixel's middle, as a screenshot shows it."""
    return pixels(page.frame)[UNIT // 2 :: UNIT, UNIT // 2 :: UNIT]


def test_pixels_are_shown_as_squares_and_none_is_changed(opened):
    left, right = pattern(0), pattern(1)
    page = opened({"left": left, "right": right})
    shown = seen(page)[12:20]  # below the labels and above the grip
    np.testing.assert_array_equal(shown[:, :28], left[12:20, :28])
    np.testing.assert_array_equal(shown[:, 36:], right[12:20, 36:])


def test_the_wheel_zooms_at_the_pointer_and_dragging_moves_all_pictures_together(opened):
    left, right = pattern(0), pattern(1)
    page = opened({"left": left, "right": right}, zoom=1)
    x, y = 16, 40  # this picture pixel is under the pointer, and stays there
    page.mouse.move(*place_in(page.frame, (x + 0.5) / 64, (y + 0.5) / 48))
    for _ in range(4):
        page.mouse.wheel(0, -150)
        page.wait_for_timeout(50)
    image = pixels(page.frame)
    np.testing.assert_array_equal(image[round((y + 0.5) * UNIT), round((x + 0.5) * UNIT)], left[y, x])
    transforms = {pane.evaluate("pane => pane.style.transform") for pane in page.locator(".pane img").all()}
    assert len(transforms) == 1
    drag(page, place_in(page.frame, 0.2, 0.8), place_in(page.frame, 0.2 + 2 * UNIT / 832, 0.8))
    assert now(page) == 50
    assert (pixels(page.frame) != image).mean() > 0.3
    page.keyboard.press("0")
    np.testing.assert_array_equal(seen(page)[12:20, :28], left[12:20, :28])


def test_zooming_out_of_the_whole_leaves_the_wheel_to_the_page(coloured):
    page = coloured(options={"viewport": {"width": 1000, "height": 400}})
    page.mouse.move(*place_in(page.frame, 0.5, 0.2))
    page.mouse.wheel(0, 200)
    for _ in range(100):
        if page.evaluate("scrollY") > 0:
            break
        page.wait_for_timeout(50)
    assert page.evaluate("scrollY") > 0


def test_the_loupe_shows_the_very_pixels_of_both_pictures(opened):
    left, right = pattern(0), pattern(1)
    page = opened({"left": left, "right": right})
    page.handle.focus()
    page.keyboard.press("l")
    page.mouse.move(*place_in(page.frame, 20.5 / 64, 30.5 / 48))
    for tile, picture in zip(page.locator(".lens canvas").all(), (left, right), strict=True):
        values = tile.evaluate("c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]")
        shown = np.reshape(values, (15, 15, 4))[..., :3]
        np.testing.assert_array_equal(shown, picture[23:38, 13:28])
        assert tile.evaluate("c => getComputedStyle(c).imageRendering") == "pixelated"
        big = pixels(tile)
        np.testing.assert_array_equal(big[4::8, 4::8][0], picture[23, 13:28])
    page.keyboard.press("l")
    assert page.locator(".lens").is_hidden()


def test_a_finger_moves_the_handle_and_two_fingers_zoom(coloured):
    page = coloured(options={"has_touch": True, "is_mobile": True, "viewport": {"width": 390, "height": 700}})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    send = page.context.new_cdp_session(page).send

    def touch(kind, *points):
        places = [dict(zip("xy", place_in(page.frame, *point), strict=True)) for point in points]
        send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    touch("touchStart", (0.5, 0.5))
    touch("touchMove", (0.4, 0.5))
    touch("touchMove", (0.25, 0.5))
    touch("touchEnd")
    assert now(page) == 25
    whole = page.locator(".bar button").nth(1).inner_text()
    touch("touchStart", (0.45, 0.5), (0.55, 0.5))
    touch("touchMove", (0.4, 0.5), (0.6, 0.5))
    touch("touchMove", (0.3, 0.5), (0.7, 0.5))
    touch("touchEnd")
    assert float(page.locator(".bar button").nth(1).inner_text()[:-1]) > 2 * float(whole[:-1])
    assert page.problems == []


def test_a_picture_is_saved_as_it_is(opened, tmp_path):
    left, right = pattern(0), pattern(1)
    page = opened({"left": left, "GAN, alpha 0.50": right})
    with page.expect_download() as download:
        page.get_by_label("Save GAN, alpha 0.50 as PNG").click()
    assert download.value.suggested_filename == "GAN_alpha_0.50.png"
    np.testing.assert_array_equal(np.asarray(Image.open(download.value.path())), right)
