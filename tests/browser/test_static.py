"""The page without a server in a real Chromium: what it makes of a picture, against upscale and evaluate."""

import json
import re
import shutil
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import torch
from conftest import NETWORK, by_srkit, enlarged, finished, give, served, written
from PIL import Image, ImageOps

from srkit.apps.static import build_static
from srkit.evaluation import evaluate, lr_of
from srkit.files import SrkitError
from srkit.pretrained import resolve
from srkit.resize import imresize


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
        page.get_by_text("The middle of the picture with").wait_for()
    assert np.abs(enlarged(page) - by_srkit(lr, alpha)).max() <= 1
    assert page.saved == f"cat_srgan_light_x4_alpha_{alpha:.2f}.png"
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


def test_a_picture_is_dropped_enlarged_compared_and_saved(opened, photograph, tmp_path):
    lr = photograph[:27, :33]
    page = opened()
    hand = page.context.new_cdp_session(page)
    for name, place in (
        ("beside.png", page.get_by_role("heading").first),
        ("on.png", page.get_by_label("Your picture")),
    ):
        box, file = place.bounding_box(), str(written(tmp_path, lr, name))
        what = {"x": box["x"] + 9, "y": box["y"] + 9, "data": {"items": [], "files": [file], "dragOperationsMask": 1}}
        for event in ("dragEnter", "dragOver", "drop"):  # as from a folder's window
            hand.send("Input.dispatchDragEvent", {"type": event, **what})
        page.get_by_text(f"{name}: 33 × 27").wait_for()
    sr = enlarged(page)
    assert np.abs(sr - by_srkit(lr)).max() <= 1
    assert page.locator(".corner.right option").all_inner_texts() == ["bicubic", "srgan_light x4, alpha 0.00"]
    with page.expect_download() as download:  # the picture on the slider's right is the same
        page.locator(".corner.right .save").click()
    assert np.array_equal(np.asarray(Image.open(download.value.path()).convert("RGB")), sr)


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
    assert np.abs(enlarged(page) - by_srkit(small)).max() <= 1


def test_offline_after_the_first_load_and_then_with_threads(opened, photograph, tmp_path):
    page = opened()
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.context.set_offline(True)
    page.reload()
    page.get_by_text("Choose a picture.").wait_for()
    assert page.evaluate("crossOriginIsolated")
    lr = photograph[:30, :40]
    give(page, written(tmp_path, lr))
    assert np.abs(enlarged(page) - by_srkit(lr)).max() <= 1


def test_a_page_that_is_built_anew_replaces_what_was_kept_and_nothing_else(static_folder, visit, tmp_path):
    shutil.copytree(static_folder, tmp_path / "page")
    with served(tmp_path / "page") as address:
        page = visit(address)
        page.evaluate("navigator.serviceWorker.ready.then(() => caches.open('of another page of this site'))")
        (first,) = set(page.evaluate("caches.keys()")) - {"of another page of this site"}
        sw = tmp_path / "page" / "sw.js"
        sw.write_text(sw.read_text().replace(first.split()[1], "anew"))
        page.reload()
        page.evaluate(
            "async (old) => { while (await caches.has(old)) await new Promise((r) => setTimeout(r, 50)); }", first
        )
        assert set(page.evaluate("caches.keys()")) == {f"{address} anew", "of another page of this site"}


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


def test_pictures_are_upright_by_their_exif(opened, tmp_path):
    page = opened()
    corners = np.kron(np.array([[40, 90, 140], [190, 240, 0]]), np.ones((8, 8)))  # what JPEG keeps: one colour a block
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        picture = Image.fromarray(corners.astype(np.uint8)).convert("RGB")
        picture.save(tmp_path / f"{orientation}.jpg", exif=exif, quality=100)
        give(page, tmp_path / f"{orientation}.jpg")
        upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / f"{orientation}.jpg")))
        assert np.abs(enlarged(page) - by_srkit(upright)).max() <= 4  # grey levels, of two JPEG decoders


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def test_transparent_wide_gamut_and_16_bit_pictures_are_taken_as_the_page_says(opened, photograph, tmp_path):
    page = opened()
    words = page.get_by_role("main").inner_text()
    assert "in sRGB, with 8 bits a channel, a transparent one on white." in words
    assert "srkit upscale keeps 16 bits, transparency, the colour profile and EXIF, reads TIFF" in words
    rgb, share = photograph[:16, :24], np.linspace(0, 1, 24)[None, :, None]

    half = np.dstack([rgb, np.broadcast_to(np.round(255 * share), (16, 24, 1))]).astype(np.uint8)
    give(page, written(tmp_path, half, "half.png"))
    on_white = np.round(rgb * share + 255 * (1 - share)).astype(np.uint8)
    assert np.abs(enlarged(page) - by_srkit(on_white)).max() <= 4

    deep = (rgb.astype(int) * 256 + 10 * np.arange(24)[:, None]).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    head, pixels = struct.pack(">IIBBBBB", 24, 16, 16, 2, 0, 0, 0), chunk(b"IDAT", zlib.compress(rows))
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b""))
    give(page, tmp_path / "deep.png")
    assert np.abs(enlarged(page) - by_srkit(rgb)).max() <= 1

    buffer = BytesIO()
    Image.new("RGB", (24, 16), (200, 120, 80)).save(buffer, "png")
    start, rest = buffer.getvalue()[:33], buffer.getvalue()[33:]
    (tmp_path / "wide.png").write_bytes(start + chunk(b"cICP", bytes([12, 13, 0, 1])) + rest)  # Display P3
    give(page, tmp_path / "wide.png")
    linear = ((np.array([200, 120, 80]) / 255 + 0.055) / 1.055) ** 2.4
    to_srgb = [[1.2249, -0.2249, 0], [-0.0421, 1.0421, 0], [-0.0196, -0.0786, 1.0983]]  # W3C, CSS Color 4
    srgb = 255 * (1.055 * (to_srgb @ linear) ** (1 / 2.4) - 0.055)
    colour = np.broadcast_to(np.round(srgb), (16, 24, 3)).astype(np.uint8)
    assert np.abs(enlarged(page) - by_srkit(colour)).max() <= 3


def test_an_upload_turns_to_a_network_for_real_photographs_and_the_courses_pictures_back(
    static_folder, visit, photograph, tmp_path
):
    shutil.copytree(static_folder, tmp_path / "page")
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


def test_bad_input_is_a_sentence(opened, photograph, tmp_path):
    page = opened()
    (tmp_path / "letter.png").write_text("no picture")
    (tmp_path / "half.png").write_bytes(written(tmp_path, photograph).read_bytes()[:5000])
    large = written(tmp_path, np.zeros((4000, 4000, 3), np.uint8), "large.png")
    unreadable = "does not open as a picture in this browser: save it as PNG or JPEG."
    for path, words in (
        (tmp_path / "letter.png", f"letter.png {unreadable}"),
        (tmp_path / "half.png", f"half.png {unreadable}"),
        (large, "256.0 megapixels would come of it, and"),
    ):
        page.get_by_label("Your picture").set_input_files(path)
        page.locator("#status.wrong", has_text=words).wait_for()
        assert page.get_by_role("button", name="Enlarge").is_disabled() == (path != large)
    give(page, written(tmp_path, np.zeros((8, 8, 3), np.uint8)))
    page.get_by_label("Its HR, if you have it").set_input_files(
        written(tmp_path, np.zeros((33, 32, 3), np.uint8), "hr.png")
    )
    page.locator("#status.wrong", has_text="HR is 32 × 33, not 32 × 32").wait_for()
    page.get_by_label("Take it as HR").check()
    page.get_by_label("Your picture").set_input_files(written(tmp_path, np.zeros((3, 9, 3), np.uint8), "thin.png"))
    page.locator("#status.wrong", has_text="thin.png has no 4 pixels a side: choose a larger picture.").wait_for()


def test_less_memory_makes_smaller_pictures_and_says_so_before_the_work(chromium, static_address, tmp_path):
    context = chromium.new_context()
    context.add_init_script("Object.defineProperty(navigator, 'deviceMemory', { value: 0.5 })")
    page = context.new_page()
    page.goto(static_address)
    page.get_by_text("Choose a picture.").wait_for()
    page.get_by_label("Your picture").set_input_files(written(tmp_path, np.zeros((450, 450, 3), np.uint8)))
    page.locator("#status.wrong", has_text="3.2 megapixels would come of it, and 3.0 megapixels are safe").wait_for()
    page.get_by_role("button", name="Enlarge").click()
    assert "3.0 megapixels are safe" in page.get_by_role("status").inner_text()
    assert page.get_by_role("button", name="Stop").is_disabled(), "the work has begun"
    context.close()


def test_a_network_that_does_not_load_is_a_sentence(opened, tmp_path):
    page = opened(service_workers="block")
    page.context.route("**/*.onnx", lambda route: route.fulfill(status=404))
    give(page, written(tmp_path, np.zeros((8, 8, 3), np.uint8)))
    page.get_by_role("button", name="Enlarge").click()
    assert re.match(r"The network does not work here \(.*srgan_light-x4.onnx.*\): reload the page", finished(page))
    assert page.get_by_role("button", name="Enlarge").is_enabled()


def test_where_webgpu_fails_webassembly_takes_over(static_folder, opened, photograph, tmp_path):
    page = opened(service_workers="block")
    there = "Object.defineProperty(navigator, 'gpu', { value: { requestAdapter: async () => ({ info: {} }) } });"
    source, asked = there + (static_folder / "worker.js").read_text(), []
    page.context.route("**/worker.js", lambda route: route.fulfill(body=source, content_type="text/javascript"))
    page.context.route("**/ort.webgpu.min.mjs", lambda route: (asked.append(route.request.url), route.abort()))
    page.reload()
    give(page, written(tmp_path, photograph[:20, :20]))
    assert np.abs(enlarged(page) - by_srkit(photograph[:20, :20])).max() <= 1
    assert asked, "WebGPU was not tried"


def test_a_browser_without_simd_is_told_so(chromium, static_address):
    context = chromium.new_context()
    context.add_init_script("WebAssembly.validate = () => false")
    page = context.new_page()
    page.goto(static_address)
    page.locator("#status.wrong", has_text="This browser has no WebAssembly SIMD: take a newer one.").wait_for()
    context.close()


def test_what_is_built_names_its_files(static_folder):
    folder = static_folder
    names = json.loads((folder / "files.json").read_text())
    assert all((folder / name).is_file() for name in names)
    site = json.loads((folder / "site.json").read_text())
    (network,) = site["networks"]
    assert (network["overlap"], network["kind"]) == (20, "PSNR to GAN")
    assert network["about"].startswith("0.23 M parameters added to the bicubic picture"), "of PSNR first"
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
