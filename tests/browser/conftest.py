"""A real Chromium, and servers that are gone when a test is over."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
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
