"""A real Chromium, and servers that are gone when a test is over."""

import functools
import http.server
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srkit.apps import static
from srkit.data.sources import find_photographs
from srkit.files import SrkitError
from srkit.images import read_image
from srkit.pretrained import shipped_systems
from srkit.upscaling import upscale

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NETWORK = "srgan_light", 4  # of the page without a server
PATIENCE = 60_000  # ms: a busy machine with two cores starts a kernel, torch and a page in it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    if not CHROMIUM:
        pytest.skip("needs a Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        options = ["--no-sandbox", "--disable-background-networking"]
        browser = started.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """A function that opens an address as a new visitor; what goes wrong in the page is in `page.problems`."""
    contexts = []

    def open_page(address: str, **options: object):
        context = chromium.new_context(**({"viewport": {"width": 1000, "height": 900}} | options))
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.problems, page.asked = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda line: line.type == "error" and page.problems.append(f"{line.text} {line.location}"))
        page.answer = page.goto(address, timeout=PATIENCE)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            page.goto("about:blank")  # a page that is left says goodbye, one that is closed here does not
        context.close()


def pixels(locator) -> np.ndarray:
    """A screenshot of an element, (H, W, 3) uint8 as ints."""
    return np.asarray(Image.open(BytesIO(locator.screenshot())).convert("RGB")).astype(int)


def drag(page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*((a + b) / 2 for a, b in zip(start, end, strict=True)))
    page.mouse.move(*end, steps=3)
    page.mouse.up()


def place_in(locator, x: float, y: float) -> tuple[float, float]:
    """Where on the page a point lies that is given in shares of an element."""
    box = locator.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


@contextmanager
def serving(words: list[str], folder: Path, log: str = "server.log") -> Iterator[str]:
    """Run `python -m WORDS --port N` in `folder`, which also takes its settings and temporary files; the address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {"HOME": str(folder), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    environment |= {"IPYTHONDIR": str(folder / "ipython"), "JUPYTER_PREFER_ENV_PATH": "1"}
    for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        environment[f"JUPYTER_{name}"] = str(folder / "jupyter")
    words = [sys.executable, "-P", "-m", *words, f"--port={port}"]
    with (folder / log).open("w") as file:
        server = subprocess.Popen(
            words, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            until = time.monotonic() + 90
            while True:
                assert server.poll() is None, (folder / log).read_text()[-2000:]
                assert time.monotonic() < until, "the server does not answer"
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait(15)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder. Any web server will do: here the one that comes with Python."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def static_folder(tmp_path_factory):
    """The page without a server as it is built, with one of its networks."""
    pytest.importorskip("onnxruntime", reason="needs pip install srkit[export]")
    with pytest.MonkeyPatch.context() as patch:
        one = [system for system in shipped_systems() if (system.name, system.scale) == NETWORK]
        patch.setattr(static, "shipped_systems", lambda firsts: one)
        try:
            return static.build_static(tmp_path_factory.mktemp("static") / "page")
        except SrkitError as error:
            if "npm" not in str(error):
                raise
            pytest.skip(f"needs onnxruntime-web: {error}")


@pytest.fixture(scope="session")
def static_address(static_folder):
    with served(static_folder) as address:
        yield address


@pytest.fixture
def opened(visit, static_address):
    """A function that opens the page without a server; none that it opened may have written an error to its console."""
    pages = []

    def open_page(**options):
        pages.append(visit(static_address, **options))
        pages[-1].get_by_text("Choose a picture.").wait_for()
        return pages[-1]

    yield open_page
    assert [page.problems for page in pages] == [[]] * len(pages)


@pytest.fixture(scope="session")
def photograph() -> np.ndarray:
    return read_image(find_photographs("starter").valid[0])


def written(folder: Path, pixels: np.ndarray, name: str = "picture.png") -> Path:
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def give(page, path: Path, field: str = "Your picture") -> None:
    page.get_by_label(field).set_input_files(path)
    page.get_by_text(f"{path.name}: ").wait_for()


def finished(page) -> str:
    """Wait; what the page's status says then."""
    page.locator("#save:enabled, #status.wrong").first.wait_for()
    return page.get_by_role("status").inner_text()


def saved(page) -> np.ndarray:
    """Press the button: the picture in the file that comes. Its name is in `page.saved`."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").click()
    page.saved = download.value.suggested_filename
    picture = Image.open(download.value.path())
    assert picture.format == "PNG"
    return np.asarray(picture.convert("RGB")).astype(int)


def enlarged(page) -> np.ndarray:
    page.get_by_role("button", name="Enlarge").click()
    assert "a megapixel, by WebAssembly" in finished(page)
    return saved(page)


def by_srkit(lr: np.ndarray, alpha: float = 0) -> np.ndarray:
    return upscale(lr, *NETWORK, alpha=alpha, precision="fp32")
