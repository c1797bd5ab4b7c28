"""The page without a server in a real Chromium: what it makes of a picture, against upscale and evaluate."""

import functools
import http.server
import json
import re
import shutil
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from srkit.apps import static
from srkit.apps.static import build_static
from srkit.data.sources import find_photographs
from srkit.evaluation import evaluate, lr_of
from srkit.files import SrkitError
from srkit.images import read_image
from srkit.pretrained import resolve, shipped_systems
from srkit.resize import imresize
from srkit.upscaling import upscale

NETWORK = "srgan_light", 4


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The page as it is built, with one of its networks."""
    pytest.importorskip("onnxruntime", reason="needs pip install srkit[export]")
    with pytest.MonkeyPatch.context() as patch:
        one = [system for system in shipped_systems() if (system.name, system.scale) == NETWORK]
        patch.setattr(static, "shipped_systems", lambda firsts: one)
        try:
            return build_static(tmp_path_factory.mktemp("static") / "page")
        except SrkitError as error:
            if "npm" not in str(error):
                raise
            pytest.skip(f"needs onnxruntime-web: {error}")


@contextmanager
def served(folder):
    """The address of a folder. Any web server will do: here the one that comes with Python."""
    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def address(folder):
    with served(folder) as address:
        yield address


@pytest.fixture
def opened(visit, address):
    def open_page(**options):
        page = visit(address, **options)
        page.get_by_text("Choose a picture.").wait_for()
        return page

    return open_page


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return read_image(find_photographs("starter").valid[0])


def written(tmp_path, pixels: np.ndarray, name: str = "picture.png"):
    Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path / name


def give(page, path, field: str = "Your picture"):
    page.get_by_label(field).set_input_files(path)
    page.get_by_text(f"{path.name}: ").wait_for()


def finished(page) -> str:
    page.locator("#save:enabled, #status.wrong").first.wait_for()
    return page.get_by_role("status").inner_text()


def enlarged(page) -> np.ndarray:
    """Press the button, wait, save: the saved file."""
    page.get_by_role("button", name="Enlarge").click()
    assert "a megapixel, by WebAssembly" in finished(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").click()
    page.saved = download.value.suggested_filename
    picture = Image.open(download.value.path())
    assert picture.format == "PNG"
    return np.asarray(picture.convert("RGB"))


def set_alpha(page, alpha: float):
    page.get_by_label("alpha", exact=True).evaluate(
        "(slider, alpha) => { slider.value = alpha; slider.dispatchEvent(new Event('input')); }", alpha
    )


def table(page) -> dict[str, list[float]]:
    rows = [row.split("\t") for row in page.locator("#scores tbody").inner_text().strip().splitlines()]
    return {name: [float(psnr), float(ssim)] for name, psnr, ssim in rows}


@pytest.mark.parametrize(("height", "width", "alpha"), [(31, 45, 0), (141, 135, 1), (3, 150, 0.35)])
def test_a_picture_is_enlarged_as_srkit_upscale_does(height, width, alpha, opened, photograph, tmp_path):
    lr = photograph[40 : 40 + height, 60 : 60 + width]
    page = opened()
    give(page, written(tmp_path, lr, "cat.png"))
    if alpha:
        set_alpha(page, alpha)
        page.get_by_text("The middle of the picture").wait_for()
    sr, ours = enlarged(page), upscale(lr, *NETWORK, alpha=alpha, precision="fp32")
    assert page.saved == f"cat_srgan_light_x4_alpha_{alpha:.2f}.png"
    assert np.abs(sr.astype(int) - ours).max() <= 1
    assert page.get_by_role("slider", name="").count() or page.locator(".srkit-slider .handle").is_visible()
    assert page.problems == []
    assert {asked.split("/")[2] for asked in page.asked if asked.startswith("http")} == {page.url.split("/")[2]}


def test_a_picture_that_is_taken_as_hr_is_scored_as_srkit_evaluate_does(opened, photograph, tmp_path):
    file = written(tmp_path, photograph[:203, :277])
    page = opened()
    page.get_by_label("Take it as HR").check()
    give(page, file)
    page.get_by_role("button", name="Enlarge").click()
    finished(page)
    shown = table(page)
    ours = evaluate({"bicubic": "bicubic", "srgan_light x4, alpha 0.00": resolve(*NETWORK, alpha=0).network}, [file], 4)
    for row in ours.itertuples():
        assert shown[row.method] == [pytest.approx(row.psnr_y, abs=0.0101), pytest.approx(row.ssim_y, abs=0.001)]
    assert page.locator(".corner.right option").all_inner_texts() == ["bicubic", "srgan_light x4, alpha 0.00", "HR"]

    hr = photograph[:200, :276]  # the same with LR and HR as two files
    page.get_by_label("Take it as HR").uncheck()
    give(page, written(tmp_path, lr_of(hr, 4), "lr.png"))
    give(page, written(tmp_path, hr, "hr.png"), "Its HR, if you have it")
    page.get_by_role("button", name="Enlarge").click()
    finished(page)
    assert table(page) == shown


def test_bicubic_in_javascript_is_imresize(opened):
    page, random = opened(), np.random.default_rng(0)
    for height, width, scale in ((12, 30, 1 / 2), (27, 9, 1 / 3), (8, 36, 1 / 4), (1, 3, 2), (7, 5, 3), (2, 9, 4)):
        picture = random.integers(0, 256, (height, width, 4), dtype=np.uint8)
        picture[..., 3] = 255
        values = page.evaluate(
            """async ([data, width, scale]) => {
                const { resized } = await import("./picture.js");
                const picture = new ImageData(Uint8ClampedArray.from(data), width);
                return [...resized(picture, scale).data];
            }""",
            [picture.ravel().tolist(), width, scale],
        )
        ours = imresize(torch.from_numpy(picture[..., :3]).double().permute(2, 0, 1)[None], scale)[0].permute(1, 2, 0)
        theirs = np.reshape(values, (*ours.shape[:2], 4))[..., :3]
        assert np.abs(ours.clamp(0, 255).numpy() - theirs).max() < 0.51


def test_a_dropped_picture_is_taken(opened, photograph, tmp_path):
    content = list(written(tmp_path, photograph[:20, :30]).read_bytes())
    page = opened()
    page.locator("#drop").evaluate(
        """(place, content) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([Uint8Array.from(content)], "dropped.png"));
            place.dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true, bubbles: true }));
        }""",
        content,
    )
    page.get_by_text("dropped.png: 30 × 20").wait_for()
    assert page.problems == []


def test_stop_in_the_middle_and_another_picture_after_it(opened, photograph, tmp_path):
    page = opened()
    give(page, written(tmp_path, np.tile(photograph, (2, 2, 1)), "large.png"))
    page.get_by_role("button", name="Enlarge").click()
    page.locator("#progress:not([value='0'])").wait_for()
    page.get_by_role("button", name="Stop").click()
    share = float(page.get_by_role("progressbar").get_attribute("value"))
    assert 0 < share < 1
    assert page.get_by_role("status").inner_text() == "Stopped: what was done is shown."
    drawn = page.locator("#growing").evaluate("c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data[3]")
    assert drawn == 255, "the first tile is not seen"
    small = photograph[:20, :20]
    give(page, written(tmp_path, small, "small.png"))
    assert np.abs(enlarged(page).astype(int) - upscale(small, *NETWORK, alpha=0, precision="fp32")).max() <= 1
    assert page.problems == []


def test_offline_after_the_first_load_and_then_with_threads(opened, photograph, tmp_path):
    page = opened()
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.context.set_offline(True)
    page.reload()
    page.get_by_text("Choose a picture.").wait_for()
    assert page.evaluate("crossOriginIsolated")
    lr = photograph[:30, :40]
    give(page, written(tmp_path, lr))
    assert np.abs(enlarged(page).astype(int) - upscale(lr, *NETWORK, alpha=0, precision="fp32")).max() <= 1
    assert page.problems == []


def test_alpha_shows_the_middle_at_once(opened, photograph, tmp_path):
    page = opened()
    give(page, written(tmp_path, photograph))
    set_alpha(page, 0.5)
    page.get_by_text("The middle of the picture with srgan_light x4, alpha 0.50").wait_for()
    assert page.locator(".srkit-slider img").first.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [
        256,
        256,
    ]
    assert page.get_by_role("button", name="Save as PNG").is_disabled(), "a part is not the picture"
    for alpha in (0.6, 0.7, 0.8, 0.9):  # faster than they can be done
        set_alpha(page, alpha)
    page.get_by_text("The middle of the picture with srgan_light x4, alpha 0.90").wait_for()
    assert page.problems == []


def test_pictures_are_upright_and_on_white(opened, photograph, tmp_path):
    page = opened()
    exif = Image.Exif()
    exif[274] = 6  # lying on its side
    Image.fromarray(photograph[:20, :32]).save(tmp_path / "turned.jpg", exif=exif)
    give(page, tmp_path / "turned.jpg")
    assert enlarged(page).shape == (4 * 32, 4 * 20, 3)
    give(page, written(tmp_path, np.zeros((16, 16, 4), np.uint8), "clear.png"))
    assert enlarged(page).min() > 245


def test_an_upload_turns_to_a_network_for_real_photographs_and_the_courses_pictures_back(
    folder, visit, photograph, tmp_path
):
    shutil.copytree(folder, tmp_path / "page")
    site = json.loads((tmp_path / "page" / "site.json").read_text())
    site["networks"].append(site["networks"][0] | {"name": "of photographs", "real": True})
    (tmp_path / "page" / "site.json").write_text(json.dumps(site))
    with served(tmp_path / "page") as address:
        page = visit(address)
        page.get_by_text("Choose a picture.").wait_for()
        network, as_hr = page.locator("#network"), page.locator("#small")
        page.locator("#sample").select_option(index=1)
        page.get_by_text(f"{site['pictures'][0]}: ").wait_for()
        assert (network.input_value(), as_hr.is_checked()) == ("0", True)
        give(page, written(tmp_path, photograph[:40, :40]))
        assert (network.input_value(), as_hr.is_checked()) == ("1", False)
        network.select_option("0")
        as_hr.check()  # by hand, it stays: who has several HR pictures says so once
        give(page, written(tmp_path, photograph[:40, :40], "another.png"))
        assert (network.input_value(), as_hr.is_checked()) == ("1", True)
        page.locator("#sample").select_option(index=1)
        page.get_by_text(f"{site['pictures'][0]}: ").wait_for()
        assert network.input_value() == "0"


def test_bad_input_is_a_sentence(opened, tmp_path):
    page = opened()
    (tmp_path / "letter.png").write_text("no picture")
    large = written(tmp_path, np.zeros((4000, 4000, 3), np.uint8), "large.png")
    for path, words in (
        (tmp_path / "letter.png", "letter.png does not open as a picture in this browser: save it as PNG or JPEG."),
        (large, "256.0 megapixels would come of it, and"),
    ):
        page.get_by_label("Your picture").set_input_files(path)
        page.locator("#status.wrong", has_text=words).wait_for()
    give(page, written(tmp_path, np.zeros((8, 8, 3), np.uint8)))
    page.get_by_label("Its HR, if you have it").set_input_files(
        written(tmp_path, np.zeros((33, 32, 3), np.uint8), "hr.png")
    )
    page.locator("#status.wrong", has_text="HR is 32 × 33, not 32 × 32").wait_for()


def test_a_network_that_does_not_load_is_a_sentence(opened, tmp_path):
    page = opened(service_workers="block")
    page.context.route("**/*.onnx", lambda route: route.fulfill(status=404))
    give(page, written(tmp_path, np.zeros((8, 8, 3), np.uint8)))
    page.get_by_role("button", name="Enlarge").click()
    assert re.match(r"The network does not work here \(.*srgan_light-x4.onnx.*\): reload the page", finished(page))
    assert page.get_by_role("button", name="Enlarge").is_enabled()


def test_a_browser_without_simd_is_told_so(chromium, address):
    context = chromium.new_context()
    context.add_init_script("WebAssembly.validate = () => false")
    page = context.new_page()
    page.goto(address)
    page.locator("#status.wrong", has_text="This browser has no WebAssembly SIMD: take a newer one.").wait_for()
    context.close()


def test_narrow_dark_and_by_keyboard(opened, photograph, tmp_path):
    page = opened(viewport={"width": 400, "height": 800}, color_scheme="dark")
    give(page, written(tmp_path, photograph[:24, :24]))
    page.get_by_role("button", name="Enlarge").focus()
    page.keyboard.press("Enter")
    finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    edges = page.evaluate("[...document.querySelectorAll('main *')].map(e => e.getBoundingClientRect().right)")
    assert max(edges) <= 400
    names = page.evaluate(
        "[...document.querySelectorAll('button, input, select, progress')].filter(e => e.offsetParent)"
        ".every(e => e.labels?.length || e.textContent || e.ariaLabel)"
    )
    assert names, "something has no name for a screen reader"
    page.locator(".srkit-slider .handle").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".srkit-slider .handle").get_attribute("aria-valuenow") == "51"
    background = page.evaluate(
        "getComputedStyle(document.body).backgroundColor + getComputedStyle(document.body).color"
    )
    assert "255, 255, 255" in background


def test_what_is_built_names_its_files(folder):
    names = json.loads((folder / "files.json").read_text())
    assert all((folder / name).is_file() for name in names)
    site = json.loads((folder / "site.json").read_text())
    assert site["networks"][0]["overlap"] == 20
    assert "@VERSION@" not in (folder / "sw.js").read_text()
    sources = [path.read_text() for path in (*folder.glob("*.js"), *folder.glob("*.html"), *folder.glob("*.css"))]
    assert not any("http://" in text or "https://" in text for text in sources), "something is loaded from elsewhere"


def test_building_refuses_a_folder_of_other_files_and_another_runtime(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("my site")
    with pytest.raises(SrkitError, match="holds other files: name a new folder"):
        build_static(tmp_path / "mine")
    assert (tmp_path / "mine" / "index.html").read_text() == "my site"
    (tmp_path / "onnxruntime-web-1.27.0.tgz").write_bytes(b"another")
    with pytest.raises(SrkitError, match=r"is not the onnxruntime-web 1.27.0 that srkit knows: delete it"):
        build_static(tmp_path / "page", tmp_path)


def test_without_npm_one_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        SrkitError, match=r"npm, which fetches onnxruntime-web, is not installed: install Node.js, or lay"
    ):
        build_static(tmp_path / "page", tmp_path / "cache")
