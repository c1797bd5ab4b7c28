"""The page without a server, for everybody: by keyboard, by touch, by a screen reader, narrow, in the dark."""

import numpy as np
import pytest
from conftest import finished, give, pixels, place_in, written

NARROW = {"viewport": {"width": 400, "height": 800}}


def focused(page) -> str:
    """The id of the element that the keyboard is at, or its class."""
    return page.evaluate("document.activeElement.id || document.activeElement.className")


def tab_to(page, name: str) -> None:
    for _ in range(12):
        page.keyboard.press("Tab")
        if focused(page) == name:
            return
    raise AssertionError(f"Tab does not come to {name}")


def test_by_keyboard_alone(opened, tmp_path):
    page = opened()
    for field in ("file", "sample"):  # nothing before them, and in this order
        page.keyboard.press("Tab")
        assert focused(page) == field
    page.keyboard.press("ArrowDown")
    page.get_by_text("chelsea.png: ").wait_for()
    tab_to(page, "small")
    page.keyboard.press("Space")
    assert not page.locator("#small").is_checked()
    tab_to(page, "alpha")
    page.keyboard.press("End")
    page.get_by_text("The middle of the picture with srgan_light x4, alpha 1.00").wait_for()
    tab_to(page, "enlarge")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused(page) == "stop"
    page.keyboard.press("Enter")
    page.get_by_text("Stopped: what was done is shown.").wait_for()
    page.keyboard.press("Shift+Tab")
    assert focused(page) == "enlarge"
    page.locator("#small").check()  # less to do
    page.keyboard.press("Shift+Tab")
    tab_to(page, "enlarge")
    page.keyboard.press("Enter")
    finished(page)
    tab_to(page, "save")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "chelsea_srgan_light_x4_alpha_1.00.png"
    tab_to(page, "handle")
    page.keyboard.press("ArrowRight")
    assert page.locator(".handle").get_attribute("aria-valuenow") == "51"


def test_by_touch(opened, photograph, tmp_path):
    page = opened(has_touch=True, is_mobile=True, **NARROW)
    give(page, written(tmp_path, photograph[:48, :64]))
    alpha = page.get_by_label("alpha", exact=True)
    page.touchscreen.tap(*place_in(alpha, 0.5, 0.5))
    page.get_by_text("The middle of the picture with srgan_light x4, alpha 0.50").wait_for()
    page.get_by_role("button", name="Enlarge").tap()
    finished(page)
    hand, frame = page.context.new_cdp_session(page), page.locator(".frame")
    frame.scroll_into_view_if_needed()
    for event, share in (("touchStart", 0.5), ("touchMove", 0.4), ("touchMove", 0.2), ("touchEnd", None)):
        points = [] if share is None else [dict(zip("xy", place_in(frame, share, 0.5), strict=True))]
        hand.send("Input.dispatchTouchEvent", {"type": event, "touchPoints": points})
    page.locator(".handle[aria-valuenow='20']").wait_for()
    for each in page.locator("form :is(button, select, input[type=range], input[type=file]):visible").all():
        assert each.bounding_box()["height"] >= 36, f"{each.get_attribute('id')} is too low for a finger"


def test_a_screen_reader_hears_what_is_there_and_what_happens(opened, photograph, tmp_path):
    page = opened()
    seen = page.get_by_role("main").aria_snapshot()
    for line in (
        'heading "A picture, enlarged in this browser" [level=1]',
        'button "Your picture (choose it, or drop it on this page)"',
        'combobox "or one of the course\'s"',
        'checkbox "Take it as HR: make it small first, then enlarge and score"',
        'button "Its HR, if you have it"',
        'combobox "Network"',
        'slider "alpha": "0"',
        'button "Stop" [disabled]',
        'progressbar "Share of the picture that is enlarged"',
        "status: Choose a picture.",
    ):
        assert line in seen
    assert "img" not in seen, "a picture that is not there yet"
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    (alpha,) = [node for node in tree if node.get("role", {}).get("value") == "slider"]
    assert alpha["description"]["value"].startswith("from PSNR, 0, smooth and near the truth, to GAN, 1, with textures")

    page.evaluate(
        """() => {
            window.heard = [];
            const hear = () => heard.push(document.querySelector("[role=status]").textContent);
            new MutationObserver(hear).observe(document.querySelector("[role=status]"), { childList: true });
        }"""
    )
    page.get_by_label("Take it as HR").check()
    give(page, written(tmp_path, photograph[:48, :64]))
    page.get_by_role("button", name="Enlarge").click()
    finished(page)
    *heard, last = page.evaluate("heard")
    assert heard == ["Opening picture.png ...", "picture.png: 64 × 48.", "Enlarging ..."]
    assert last.startswith("64 × 48 pixels in ")
    seen = page.get_by_role("main").aria_snapshot()
    assert 'group "Comparison of bicubic, srgan_light x4, alpha 0.00, HR"' in seen
    assert 'slider "Border between bicubic and srgan_light x4, alpha 0.00"' in seen
    assert 'table "By the papers\' protocol, a border of scale pixels shaved"' in seen
    assert 'columnheader "PSNR-Y, dB"' in seen


def contrast(locator) -> float:
    """The largest of any two of an element's pixels and its ground, by WCAG 2.2."""
    levels = pixels(locator).reshape(-1, 3) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    light = linear @ [0.2126, 0.7152, 0.0722] + 0.05
    ground = np.median(light)
    return (np.maximum(light, ground) / np.minimum(light, ground)).max()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_and_readable(scheme, opened, photograph, tmp_path):
    page = opened(color_scheme=scheme, **NARROW)
    page.get_by_label("Take it as HR").check()
    give(page, written(tmp_path, photograph[:48, :64]))
    page.get_by_role("button", name="Enlarge").click()
    finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    edges = page.evaluate("[...document.querySelectorAll('main *')].map(e => e.getBoundingClientRect().right)")
    assert max(edges) <= 400
    for place in ("h1", "#about", "#meaning", "#status", ".help", "caption", "td >> nth=0", "h2", "main > p >> nth=-1"):
        assert contrast(page.locator(place)) >= 4.5, place
    (tmp_path / "letter.png").write_text("no picture")
    page.get_by_label("Your picture").set_input_files(tmp_path / "letter.png")
    assert contrast(page.locator("#status.wrong")) >= 4.5
    assert (np.median(pixels(page.locator("h1"))) < 40) == (scheme == "dark")
