"""Notebook 07 in JupyterLab: run it, and take hold of the slider."""

import json
import re

import numpy as np
import pytest
from conftest import PATIENCE, drag, pixels, place_in, serving

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

# What JupyterLab itself says on a machine without a network, or of extensions that are none of ours.
NOT_OURS = ("ERR_NAME_NOT_RESOLVED", "ERR_INTERNET_DISCONNECTED", "jupytext", "/api/contents", "/lsp/", "favicon")


@pytest.fixture(scope="module")
def lab(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    notebook = json.loads((project / "notebooks" / "07_playground.ipynb").read_text())
    (parameters,) = (cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", []))
    text = "".join(parameters["source"])
    for name in ("RUNS", "FIGURES"):
        text, count = re.subn(rf'{name}: str = "\w+"', f"{name}: str = {str(folder / name)!r}", text)
        assert count == 1
    parameters["source"] = text
    (folder / "07_playground.ipynb").write_text(json.dumps(notebook))
    words = ["jupyterlab", "--no-browser", "--allow-root", "--IdentityProvider.token=", "--ServerApp.port_retries=0"]
    with serving(words, folder) as address:
        yield address, folder


def test_the_slider_of_notebook_07_lives_in_jupyterlab(lab, visit):
    address, folder = lab
    page = visit(f"{address}/lab/tree/07_playground.ipynb", viewport={"width": 1400, "height": 1400})
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    last = folder / "FIGURES" / "smoke" / "07_playground.csv"
    for _ in range(PATIENCE // 200):  # JupyterLab moves the focus on from cell to cell while it runs
        if last.exists():
            break
        asked = page.locator(".jp-Dialog button", has_text="Select")  # which kernel, when it comes later than the click
        if asked.is_visible():
            asked.click()
        page.wait_for_timeout(200)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    frame = page.locator(".jp-OutputArea .srkit-slider .frame")
    frame.wait_for()
    frame.scroll_into_view_if_needed()
    handle = frame.get_by_role("slider")
    page.locator("[role=slider][aria-label='Border between bicubic and GAN, alpha 1.00']").wait_for()
    before = pixels(frame)

    drag(page, place_in(handle, 0.5, 0.4), place_in(frame, 0.85, 0.4))
    expect(handle).to_have_attribute("aria-valuenow", "85")  # a busy page follows the mouse a little later
    dragged = pixels(frame)
    changed = (dragged != before).any(axis=(0, 2))  # by column
    assert changed[int(0.55 * len(changed)) : int(0.8 * len(changed))].mean() > 0.9
    assert not changed[: int(0.4 * len(changed))].any()

    cells = page.locator(".jp-Cell").count()
    for key in ("Home", "PageUp", "ArrowRight"):
        page.keyboard.press(key)
    expect(handle).to_have_attribute("aria-valuenow", "11")
    for key in "bdd3":  # JupyterLab's keys for new and deleted cells, and a heading, are not meant here
        page.keyboard.press(key)
    page.keyboard.press("l")
    page.mouse.move(*place_in(frame, 0.5, 0.5))
    assert page.locator(".srkit-slider .lens").is_visible()
    assert page.locator(".jp-Cell").count() == cells
    assert (pixels(frame) != dragged).mean() > 0.1

    made = sorted(path.name for path in (folder / "FIGURES" / "smoke").iterdir())
    figures = [*(f"07_playground.{end}" for end in ("csv", "pdf", "png")), "07_slider.gif", "07_slider.html"]
    assert made == [*figures, "diagram_interpolation.pdf", "diagram_interpolation.svg"]
    assert [problem for problem in page.problems if not any(word in problem for word in NOT_OURS)] == []
    assert np.isfinite(before).all()
