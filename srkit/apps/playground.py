"""Notebook 07: a picture, a system, a scale and alpha, and what comes of them under one slider. Also the web page's."""

import html
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from math import isqrt
from pathlib import Path

import anywidget
import ipywidgets as widgets
import numpy as np
import pandas as pd
from traitlets import Bytes, Int, Unicode

from srkit.apps.slider import CompareSlider
from srkit.files import SrkitError
from srkit.generator import interpolate
from srkit.images import crop_to_multiple, header, read_image
from srkit.no_reference import CAUTION, niqe
from srkit.pretrained import System
from srkit.scoring import bicubic, enlarge, lr_of, scores
from srkit.tables import SHOWN
from srkit.upscaling import upscale

FIRST = {"psnr": "PSNR network", "gan": "GAN"}  # what the first weights of a system are, by their phase
LEAST = 16  # LR pixels a side of a crop: SSIM's window and the shaved border fit at every scale


@dataclass(frozen=True)
class Limits:
    """What one question may cost: bytes of an upload, LR pixels that a network enlarges, seconds."""

    upload_bytes: int = 8_000_000
    pixels: int = 400_000
    seconds: float = 60


class Upload(anywidget.AnyWidget):
    """A button for one file; content is empty where the file is over `limit` bytes. count tells one from the next."""

    _esm = Path(__file__).parent / "upload.js"
    limit = Int().tag(sync=True)
    name = Unicode().tag(sync=True)
    size = Int().tag(sync=True)
    content = Bytes().tag(sync=True, from_json=lambda value, widget: bytes(value), to_json=lambda value, widget: b"")
    count = Int().tag(sync=True)


class Playground:
    """The controls, the slider and the scores; everything in memory, nothing on disk.

    photographs: files by the name to show. systems: from `find_systems`. alpha: where its control begins. lpips: from
    `metrics.lpips_judge`, or None. Afterwards: pictures by label, scores by picture (NIQE alone where no HR is known;
    no column of what none could be given), and said, the last answer in words.
    """

    def __init__(
        self,
        photographs: Mapping[str, Path],
        systems: Sequence[System],
        limits: Limits | None = None,
        alpha: float = 1.0,
        lpips: Callable | None = None,
    ):
        self.files, self.systems, self.limits, self.lpips = photographs, systems, limits or Limits(), lpips
        self.own: dict[str, np.ndarray] = {}
        self.shown: tuple[str, Sequence[int] | None] = "", None  # a photograph and the part of it in the slider
        self.system, self.said, self.quiet = None, "", False
        self.turned = False  # to a system for real photographs, by an upload
        self.base, self.base_rows, self.known, self.pictures, self.scores = {}, {}, {}, {}, pd.DataFrame()
        self.hr = self.lr = self.gan = None
        scales = dict.fromkeys(system.scale for system in systems)
        self.photo = widgets.Dropdown(options=[*photographs], description="Photograph")
        self.upload = Upload(limit=self.limits.upload_bytes)
        kinds = [("HR: make it small first", True), ("LR: enlarge it", False)]
        self.truth = widgets.Dropdown(options=kinds, disabled=True, description="Take it as")
        self.scale = widgets.Dropdown(options=[(f"x{scale}", scale) for scale in scales], description="Scale")
        self.recipe = widgets.Dropdown(options=self._offer(), description="Recipe")
        self.alpha = widgets.FloatSlider(alpha, min=0, max=1, step=0.05, description="alpha", continuous_update=False)
        self.whole = widgets.Button(description="Whole picture")
        self.message, self.table = widgets.HTML(), widgets.HTML()
        blank = np.zeros((8, 8, 3), np.uint8)
        self.slider = CompareSlider({"LR": blank, "bicubic": blank}, cropping=True)
        self.refresh()
        self.slider.left, self.slider.right = 1, min(3 if self.gan else 2, len(self.slider.labels) - 1)
        self.upload.observe(lambda change: self._receive(), "count")
        self.photo.observe(lambda change: self.quiet or self._turn_to(change["new"]), "value")
        self.scale.observe(lambda change: setattr(self.recipe, "options", self._offer()), "value")
        self.recipe.observe(lambda change: self.quiet or self.refresh(), "value")
        self.truth.observe(lambda change: self.quiet or self.refresh(), "value")
        self.alpha.observe(lambda change: self._answer(self._mix), "value")
        self.whole.on_click(lambda button: self.refresh())
        self.slider.observe(lambda change: self.crop(change["new"]), "box")

    def view(self) -> widgets.VBox:
        """All of it, to be the last line of a cell."""
        rows = [self.photo, self.upload], [self.scale, self.recipe], [self.truth, self.alpha, self.whole]
        wrapped = widgets.Layout(flex_flow="row wrap", align_items="center")
        controls = [widgets.Box(row, layout=wrapped) for row in rows]
        return widgets.VBox([*controls, self.message, self.slider, self.table])

    def refresh(self) -> None:
        """Answer anew, for the whole of the chosen photograph."""
        self._answer(lambda: self._make(self.photo.value, None))

    def crop(self, box: Sequence[int]) -> None:
        """Go on with a part of what is shown: (top, left, height, width) in pixels of the slider."""
        if len(box) == 4:
            name, part = self.shown
            unit = 1 if self.hr is not None else self.system.scale
            top, left, height, width = (round(number / unit) for number in box)
            part = (top + part[0], left + part[1], height, width) if part else (top, left, height, width)
            self._answer(lambda: self._make(name, part))
        self.slider.box = []

    def _answer(self, question: Callable[[], str]) -> None:
        """Do what is asked within the limits, and say in words how it went."""
        self._say("Working ...")
        try:
            with within(self.limits.seconds):
                words = question()
        except SrkitError as error:
            words = str(error)
        except TimeoutError:
            words = f"This took more than {self.limits.seconds:g} seconds and was stopped: draw a smaller crop."
        self._say(words)

    def _say(self, words: str) -> None:
        self.said = words
        self.message.value = f'<p role="status">{html.escape(words)}</p>'

    def _make(self, name: str, part: Sequence[int] | None) -> str:
        began, system = time.perf_counter(), self.recipe.value
        picture = self.own[name] if name in self.own else read_image(self.files[name])
        if part:
            picture = picture[part[0] : part[0] + part[2], part[1] : part[1] + part[3]]
        unit = system.scale if self.truth.value else 1
        height, width = (side // unit for side in picture.shape[:2])
        if width * height > self.limits.pixels and not part and name in self.files:
            side = isqrt(self.limits.pixels) * unit
            whole = picture.shape[:2]
            return self._make(name, (*((s - min(s, side)) // 2 for s in whole), *(min(s, side) for s in whole)))
        _check_pixels(name, width, height, self.limits)
        if min(height, width) < LEAST:
            raise SrkitError(f"{width} x {height} LR pixels are too few: take a part of {LEAST} x {LEAST} or more.")
        if system is not self.system:
            self.psnr, self.gan = system.psnr(), system.gan and system.gan()
            self.system, self.alpha.disabled = system, not system.gan
        self.hr = crop_to_multiple(picture, unit) if self.truth.value else None
        self.lr = lr_of(self.hr, unit) if self.truth.value else picture
        self.base = {"LR": enlarge(self.lr, system.scale, "nearest"), "bicubic": enlarge(self.lr, system.scale)}
        self.base[FIRST.get(next(iter(system.phases)), "network")] = upscale(self.lr, self.psnr)
        self.known = {} if self.hr is None else {"HR": self.hr}
        self.base_rows = {label: self._scored(each, label) for label, each in (self.base | self.known).items()}
        self.shown = name, part
        self._mix()
        size = f"{width} x {height} became {width * system.scale} x {height * system.scale}"
        words = f"{name}: {size} in {time.perf_counter() - began:.1f} s."
        return words + ("" if self.gan else f" {system.label} has one set of weights here: alpha has nothing to mix.")

    def _mix(self) -> str:
        """Put the picture of the present alpha between the others."""
        began, alpha = time.perf_counter(), self.alpha.value
        mixed = {}
        if self.gan:
            mixed[f"GAN, alpha {alpha:.2f}"] = upscale(self.lr, interpolate(self.psnr, self.gan, alpha))
        rows = self.base_rows | {label: self._scored(sr, label) for label, sr in mixed.items()}
        self.pictures = self.base | mixed | self.known
        scored = pd.DataFrame.from_dict({label: rows[label] for label in self.pictures}, orient="index")
        self.scores = scored.dropna(how="all").dropna(how="all", axis="columns")
        self.slider.show(self.pictures)
        shown = "" if self.scores.empty else self.scores.to_html(float_format="%.4g", border=0, na_rep="")
        words = "" if self.known else "Other scores need a picture that is made small first, so that HR is known. "
        words += html.escape(CAUTION) if "NIQE" in self.scores else ""
        self.table.value = f"{shown}<p>{words}</p>"
        return f"alpha {alpha:.2f} in {time.perf_counter() - began:.2f} s."

    def _scored(self, sr: np.ndarray, label: str) -> dict[str, float]:
        if self.hr is None or label == "HR":
            return {"NIQE": _niqe(sr)}
        columns = ["psnr_y", "ssim_y", *(["lpips"] if self.lpips else []), "lpips_squeeze"]
        y = bicubic(self.hr, self.system.scale) if label == "bicubic" else None
        found = scores(sr, self.hr, self.system.scale, self.lpips, columns, y)
        return {SHOWN[column][0]: found[column] for column in columns} | {"NIQE": _niqe(sr)}

    def _offer(self) -> list[tuple[str, System]]:
        return [(system.label, system) for system in self.systems if system.scale == self.scale.value]

    def _receive(self) -> None:
        name, content = self.upload.name, self.upload.content
        self.upload.content = b""
        try:
            self.own[f"{name} (yours)"] = read_upload(name, content, self.upload.size, self.limits)
        except SrkitError as error:
            self._say(str(error))
            return
        self.quiet = True
        self.photo.options = [*self.files, *self.own]  # back to the first one, which is not asked for
        self.quiet = False
        self.photo.value = f"{name} (yours)"

    def _prefer(self, real: bool) -> None:
        """Turn to a system for real photographs, or to one for clean LR; the scale stays where it has one."""
        fit = [system for system in self.systems if system.real == real]
        if self.recipe.value.real != real and fit:
            best = min(fit, key=lambda system: system.scale != self.scale.value)
            self.scale.value, self.recipe.value = best.scale, best
        self.turned = real

    def _turn_to(self, name: str) -> None:
        self.quiet = True
        self.truth.value = self.truth.disabled = name not in self.own
        if name in self.own or self.turned:
            self._prefer(real=name in self.own)
        self.quiet = False
        self.refresh()


def _niqe(picture: np.ndarray) -> float:
    """NaN of a picture that is too small or too flat."""
    with suppress(SrkitError):
        return niqe(picture)
    return np.nan


def read_upload(name: str, content: bytes, size: int, limits: Limits) -> np.ndarray:
    """An uploaded file as uint8 (H, W, 3), from memory. Raises SrkitError where it is over a limit, or no picture."""
    if max(size, len(content)) > limits.upload_bytes:
        most = limits.upload_bytes / 1e6
        raise SrkitError(f"{name} has {size / 1e6:.1f} MB, and at most {most:g} MB are taken: make it smaller.")
    try:
        with header(BytesIO(content)) as picture:
            _check_pixels(name, *picture.size, limits)  # before a single pixel is decoded
        return read_image(BytesIO(content))
    except Exception as error:  # a decoder in want of sound data raises nearly anything
        if isinstance(error, SrkitError) and name in str(error):
            raise
        raise SrkitError(f"{name} does not open as a picture: give a PNG or a JPEG.") from error


def _check_pixels(name: str, width: int, height: int, limits: Limits) -> None:
    """Refuse a picture with more pixels than a network may enlarge."""
    if width * height > limits.pixels:
        raise SrkitError(
            f"{name} is {width} x {height}, {width * height:,} pixels, and at most {limits.pixels:,} are enlarged: "
            "give a smaller picture, or a part of it."
        )


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """TimeoutError when what is inside takes longer. Without effect on Windows and off the main thread."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    class OverError(BaseException):
        """No Exception: what is inside must not take it for a fault of a picture."""

    def stop(*_: object) -> None:
        raise OverError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except OverError:
        raise TimeoutError from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
