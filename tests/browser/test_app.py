"""The web page: upload, compare, download, what is refused in words, and what one visitor sees of another."""

import subprocess
import sys
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from conftest import pixels, place_in, serving
from PIL import Image

import srkit
from srkit.evaluation import enlarge
from srkit.generator import interpolate
from srkit.profiles import PROFILES
from srkit.runs import find_runs
from srkit.training import train

# Voila's page asks a CDN for icons, and logs extensions that do not fit it.
NOT_OURS = ("cdn.jsdelivr.net", "jupytext", "shared module is not a function")
SESSIONS = 2


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    pytest.importorskip("voila", reason="needs Voila: pip install voila")
    folder = tmp_path_factory.mktemp("app")
    tiny = replace(PROFILES["smoke"], psnr_steps=1, gan_steps=1, channels=4, blocks=1, validate_on=(1, 48))
    train("srgan", tiny, runs=folder / "runs", perceptual_weights="random")
    words = ["srkit", "app", f"--sessions={SESSIONS}", "--upload-mb=0.2", "--pixels=10000", f"--runs={folder}/runs"]
    with serving(words, folder) as address:
        yield address, folder


@pytest.fixture
def enter(app, visit):
    def come(**options):
        page = visit(app[0], accept_downloads=True, **options)
        page.locator(".srkit-slider [role=slider][aria-valuenow]").wait_for()
        page.said = page.locator("p[role=status]")
        return page

    return come


def png(picture: np.ndarray, kind: str = "png") -> bytes:
    file = BytesIO()
    Image.fromarray(picture).save(file, kind)
    return file.getvalue()


def upload(page, name: str, content: bytes) -> None:
    page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "image/png", "buffer": content})


def wait_until_said(page, words: str) -> str:
    page.locator("p[role=status]", has_text=words).wait_for()
    return page.said.inner_text()


def test_a_picture_is_uploaded_compared_and_saved_and_leaves_no_trace(app, enter):
    folder = app[1]
    before = {path for path in folder.rglob("*") if path.is_file()}
    lr = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    sent = png(lr)
    page = enter(viewport={"width": 1000, "height": 1200})
    assert "After 15 idle minutes this page forgets you" in page.content()
    assert not any(code in page.content() for code in ("find_systems", "import ", "WRITES"))
    upload(page, "my <b>noise</b>.png", sent)
    assert "my <b>noise</b>.png (yours): 56 x 40 became 224 x 160" in wait_until_said(page, "56 x 40 became")
    images = page.locator(".pane img")
    page.locator(".pane img[alt='GAN, alpha 1.00']").wait_for(state="attached")
    assert images.evaluate_all("all => all.map(i => [i.naturalWidth, i.naturalHeight])") == [[224, 160]] * 4
    made = {"bicubic": enlarge(lr, 4), "GAN, alpha 1.00": srkit.upscale(lr, "real_light_gan")}
    for label, expected in (made | {"PSNR network": srkit.upscale(lr, "real_light")}).items():
        if not page.get_by_label(f"Save {label} as PNG").count():  # only the two that are shown can be saved
            page.get_by_label("Picture on the right").select_option(label)
        with page.expect_download() as download:
            page.get_by_label(f"Save {label} as PNG").click()
        got = np.asarray(Image.open(download.value.path())).astype(int)
        assert got.shape == expected.shape
        assert abs(got - expected).max() <= 1  # another number of threads may round the other way
        assert (got != expected).mean() < 1e-3
    frame = page.locator(".frame")
    shown = pixels(frame)
    page.locator(".handle").focus()
    page.keyboard.press("Home")
    assert (pixels(frame) != shown).mean() > 0.1
    assert [problem for problem in page.problems if not any(word in problem for word in NOT_OURS)] == []

    left = {path for path in folder.rglob("*") if path.is_file()} - before
    for path in left:  # logs, locks and connection files, and nothing of the picture
        content = path.read_bytes()
        assert sent[40:80] not in content
        assert not content.startswith((b"\x89PNG", b"\xff\xd8"))


def test_alpha_is_moved_and_its_picture_follows(app, enter):
    page = enter(viewport={"width": 1000, "height": 1200})
    lr = np.random.default_rng(1).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    upload(page, "noise.png", png(lr))
    wait_until_said(page, "24 x 20 became")
    page.get_by_label("Recipe").select_option("srgan-smoke-s0")
    page.locator(".pane img[alt='GAN, alpha 1.00']").wait_for(state="attached")
    page.locator(".noUi-handle").focus()
    for alpha in ("0.95", "0.90", "0.85"):
        page.keyboard.press("ArrowLeft")
        page.locator(f".pane img[alt='GAN, alpha {alpha}']").wait_for(state="attached")
    page.get_by_label("Picture on the right").select_option("GAN, alpha 0.85")
    with page.expect_download() as download:
        page.get_by_label("Save GAN, alpha 0.85 as PNG").click()
    (run,) = find_runs(app[1] / "runs")
    expected = srkit.upscale(lr, interpolate(run.generator("psnr"), run.generator("gan"), 0.85))
    assert abs(np.asarray(Image.open(download.value.path())).astype(int) - expected).max() <= 1


def test_a_drawn_crop_is_gone_on_with_and_the_whole_comes_back(enter):
    page = enter(viewport={"width": 1000, "height": 1200})
    frame = page.locator(".frame")
    page.get_by_role("button", name="Draw a crop").click()
    start, end = place_in(frame, 0.25, 0.25), place_in(frame, 0.75, 0.75)
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end)
    assert page.locator(".box.shown").is_visible()
    page.mouse.up()
    assert "56 x 37 became 224 x 148" in wait_until_said(page, "56 x 37")
    page.get_by_role("button", name="Whole picture", exact=True).click()
    assert "112 x 75 became 448 x 300" in wait_until_said(page, "112 x 75")


def test_limits_are_said_in_words(enter):
    page = enter()
    rng = np.random.default_rng(0)
    upload(page, "heavy.png", png(rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)))
    assert "heavy.png has 0.3 MB, and at most 0.2 MB are taken" in wait_until_said(page, "heavy.png")
    upload(page, "wide.png", png(np.zeros((200, 300, 3), np.uint8)))
    assert "60,000 pixels, and at most 10,000 are enlarged" in wait_until_said(page, "wide.png")
    upload(page, "bomb.png", png(np.zeros((9000, 9000), np.uint8)))
    assert "81,000,000 pixels, and at most 10,000" in wait_until_said(page, "bomb.png")
    upload(page, "page.png", b"<html>no picture</html>")
    assert "page.png does not open as a picture" in wait_until_said(page, "page.png")
    upload(page, "fine.png", png(np.full((30, 30, 3), 90, np.uint8)))
    assert "30 x 30 became 120 x 120" in wait_until_said(page, "fine.png")


def test_visitors_do_not_see_each_others_pictures_and_one_too_many_is_told(app, enter, visit):
    first = enter()
    upload(first, "secret.png", png(np.full((30, 30, 3), 90, np.uint8)))
    wait_until_said(first, "secret.png")
    second = enter()
    assert "secret.png" in first.content()
    assert "secret.png" not in second.content()
    third = visit(app[0])
    assert third.answer.status == 503
    assert "All 2 places here are taken: please try again in some minutes" in third.inner_text("body")
    second.goto("about:blank")  # leaving gives the place back
    for _ in range(20):
        if third.goto(app[0]).status == 200:
            break
        third.wait_for_timeout(500)
    third.locator(".srkit-slider .handle").wait_for()


def test_files_and_notebooks_of_the_project_are_not_served(app, visit):
    for path in ("voila/files/07_playground.ipynb", "voila/files/references.bib", "api/kernels", "api/contents"):
        page = visit(f"{app[0]}/{path}")
        assert page.answer.status >= 400 or "srkit" not in page.content(), path


def test_a_port_that_is_taken_is_named(app, tmp_path):
    port = app[0].rpartition(":")[2]
    words = [sys.executable, "-P", "-m", "srkit", "app", "--port", port]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert (said.returncode, said.stderr) == (
        1,
        f"srkit: port {port} of 127.0.0.1 is taken by another program: name another one with --port.\n",
    )
