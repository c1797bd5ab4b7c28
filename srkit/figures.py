"""Figures for a page and a thesis: each written as PDF, PNG and the CSV it was drawn from, with what made it inside."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from srkit.files import SrkitError, expanded, replacing
from srkit.images import crop_at, luma, read_image
from srkit.progress import in_notebook

if TYPE_CHECKING:
    from srkit.runs import Run

STYLE = matplotlib.rc_params_from_file(Path(__file__).with_name("srkit.mplstyle"), use_default_template=False)
WIDTH = STYLE["figure.figsize"][0]  # inches: the text of an A4 page with 2.5 cm margins
COLOURS = {
    "bicubic": "#7F7F7F",
    "srresnet": "#0072B2",
    "srgan": "#D55E00",
    "esrgan": "#009E73",
    "pixelforge": "#CC79A7",
}
COLOURS |= {"two_stage_rrdb": "#E69F00", "bicubic_skip": "#56B4E9", "div2k_x2": "#000000", "wgan_gp": "#882255"}


@contextmanager
def _in_style() -> Iterator[None]:
    """The style, and nothing of it afterwards; but a notebook's backend, loaded by its first figure, stays switched on.

    rc_context alone would switch it off again, and no later figure would be shown.
    """
    with matplotlib.rc_context(STYLE):
        try:
            yield
        finally:
            interactive = matplotlib.is_interactive()
    matplotlib.interactive(interactive)


styled = _in_style()  # a decorator


def use_style() -> None:
    """Draw all that follows in srkit's style, as the notebooks do."""
    matplotlib.rcParams.update(STYLE)


def system_colours(systems: Iterable[str]) -> dict[str, str]:
    """A colour for each system, told apart by colour-blind readers: a recipe's is the same in every figure.

    Systems of other names get, in their order, the recipes' that are not among them, then darker ones.
    """
    systems = list(systems)
    named = [colour for name, colour in COLOURS.items() if name not in ("bicubic", *systems)]
    dark = [to_hex(np.multiply(to_rgb(colour), 0.55)) for colour in COLOURS.values() if colour != "#000000"]
    others = [name for name in systems if name not in COLOURS]
    return COLOURS | dict(zip(others, cycle([*named, *dark]), strict=False))


@styled
def save_figure(figure: Figure, name: str, table: pd.DataFrame, folder: Path | str, caption: str) -> list[Path]:
    """Write name.pdf, name.png (200 dpi) and name.csv into folder, and return the three paths.

    table: the numbers that the figure shows. caption: what made it (recipe, profile, seed, data); kept as the PDF's
    Subject and the PNG's Description. All three are written beside, and renamed when all are whole. Raises SrkitError
    for an empty table.
    """
    if table.empty:
        raise SrkitError(f"figure {name} has no numbers behind it: give the table that it was drawn from.")
    folder = expanded(folder)
    paths = [folder / f"{name}.{kind}" for kind in ("pdf", "png", "csv")]
    with replacing(paths[0]) as pdf, replacing(paths[1]) as png, replacing(paths[2]) as csv:
        figure.savefig(pdf, metadata={"Title": name, "Subject": caption, "CreationDate": None})
        figure.savefig(png, dpi=200, metadata={"Title": name, "Description": caption})
        table.to_csv(csv, index=False, float_format="%.6g")
    return paths


@styled
def show_row(pictures: Mapping[str, np.ndarray], width: float = WIDTH) -> Figure:
    """Pictures side by side under their titles: uint8 (H, W, 3) or (H, W), or float maps drawn in grey."""
    return show_grid([pictures], width)


@styled
def show_grid(rows: Sequence[Mapping[str, np.ndarray]], width: float = WIDTH) -> Figure:
    """Rows of pictures under their titles; all cells of one size, pixels drawn as squares."""
    columns = max(len(row) for row in rows)
    cell = width / columns
    heights = [max(np.shape(p)[0] / np.shape(p)[1] for p in row.values()) * cell + 0.25 for row in rows]
    how = {"figsize": (width, sum(heights)), "height_ratios": heights, "layout": "constrained", "squeeze": False}
    figure, axes = plt.subplots(len(rows), columns, **how)
    for axes_row, row in zip(axes, rows, strict=True):
        for axis in axes_row:
            axis.set_axis_off()
        for axis, (title, picture) in zip(axes_row, row.items(), strict=False):
            show_picture(axis, picture, title)
    return figure


@styled
def chart_over_row(pictures: Mapping[str, np.ndarray]) -> tuple[Figure, Axes]:
    """A chart above a row of pictures under their titles: the figure, and the chart's axis to draw on."""
    rows = [["chart"] * len(pictures), list(pictures)]
    figure, axes = plt.subplot_mosaic(rows, figsize=(WIDTH, 3.6), height_ratios=[1.5, 1], layout="constrained")
    for title, picture in pictures.items():
        show_picture(axes[title], picture, title)
    return figure, axes["chart"]


def show_picture(axis: Axes, picture: np.ndarray, title: str = "") -> None:
    """One picture on an axis without ticks; grey pictures and maps in grey."""
    levels = {"vmin": 0, "vmax": 255} if np.ndim(picture) == 2 and picture.dtype == np.uint8 else {}
    axis.imshow(picture, cmap=None if np.ndim(picture) == 3 else "gray", **levels)
    axis.set_title(title)
    axis.set_axis_off()


@styled
def compare(pictures: Mapping[str, np.ndarray], corner: tuple[int, int], size: int, whole: str = "HR") -> Figure:
    """The papers' comparison: one whole picture with the zoom marked, and each method's zoomed crop, in equal rows.

    pictures: uint8 (H, W, 3) by title, all of one size; `whole` is the one shown entire, left of the crops, or as the
    first cell of their grid where they alone would leave a hole in it. corner: (top, left) of the size x size crop.
    """
    height, width = pictures[whole].shape[:2]
    beside, rows = _layout(len(pictures))
    cells = [("the whole picture", pictures[whole])]
    cells += [(title.strip("\n"), crop_at(picture, corner, size)) for title, picture in pictures.items()]
    columns = -(-(len(cells) - beside) // rows)
    under = [cells[beside:][n : n + columns] for n in range(0, len(cells) - beside, columns)]  # the grid's rows
    lines = [max(title.count("\n") for title, _ in row) + 1 for row in under]
    ratio = min(4.0 if rows < 3 else 2.0, rows * width / height) if beside else 0
    figure = plt.figure(figsize=(WIDTH, rows * WIDTH / (ratio + columns) + 0.17 * sum(lines)), layout="constrained")
    grid = figure.add_gridspec(rows, columns + beside, width_ratios=[ratio] * beside + [1] * columns)
    for number, (title, picture) in enumerate(cells, -beside):
        row, column = divmod(max(number, 0), columns)
        place = grid[:, 0] if number < 0 else grid[row, beside + column]
        axis = figure.add_subplot(place, anchor="N")
        show_picture(axis, picture, "\n" * (lines[row] - 1 - title.count("\n")) + title)
        axis.title.set_fontsize(9 if columns < 4 else 7)
    marked = Rectangle((corner[1], corner[0]), size, size, fill=False, edgecolor="red", linewidth=1.5)
    figure.axes[0].add_patch(marked)
    return figure


def _layout(crops: int) -> tuple[bool, int]:
    """Whether the whole picture stands beside so many crops, and in how many rows they fill a grid."""
    for beside in (True, False):
        for rows in (2, 1, 3):
            columns, rest = divmod(crops + (not beside), rows)
            if not rest and columns <= (3 if rows == 1 else 5):
                return beside, rows
    return True, 3


def busiest(image: np.ndarray, size: int, step: int = 8) -> tuple[int, int]:
    """(top, left) of the size x size square with the steepest edges: where methods differ most."""
    grey = luma(image).astype(float)
    slope = np.diff(grey, axis=0, append=grey[-1:]) ** 2 + np.diff(grey, axis=1, append=grey[:, -1:]) ** 2
    sums = np.pad(slope, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    inside = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    top, left = np.unravel_index(inside[::step, ::step].argmax(), inside[::step, ::step].shape)
    return int(top) * step, int(left) * step


TERMS = ("pixel", "perceptual", "checkerboard", "adversarial")
SHARES = {f"share_{term}": term for term in TERMS}
PANELS = {f"{term} loss": {term: ""} for term in TERMS}  # of `loss_curves`: columns of the history with their labels
PANELS |= {
    "discriminator's loss": {"discriminator": ""},
    "D(HR), D(SR)": {"d_hr": "D(HR)", "d_sr": "D(SR)"},
    "share of the gradient at SR": SHARES,
    "validation PSNR-Y (dB)": {"psnr_y": ""},
}


@styled
def loss_curves(history: pd.DataFrame) -> Figure:
    """Every term of a run's history over its steps, a panel each, the phases shaded and named; PSNR-Y in dB.

    The shares of the gradient stand below the losses, where there are two terms or more.
    """
    history = history.dropna(axis="columns", how="all")
    shown = {title: {name: columns[name] for name in columns if name in history} for title, columns in PANELS.items()}
    shown = {title: columns for title, columns in shown.items() if len(columns) > (PANELS[title] is SHARES)}
    titles = [*shown]
    pairs = [titles[n : n + 2] for n in range(0, len(titles), 2)]
    places = [pair * (3 - len(pair)) for pair in pairs]  # one that is left over is wide
    figure, axes = plt.subplot_mosaic(places, figsize=(WIDTH, 1.7 * len(places)), sharex=True, layout="constrained")
    for title, columns in shown.items():
        axis = axes[title]
        for column, label in columns.items():
            line = history.dropna(subset=[column])
            axis.plot(line["step"], line[column], marker="." if len(line) < 40 else None, label=label, linewidth=1)
        axis.margins(y=0.2)  # room for the phases' names
        values = history[[*columns]]
        if len(columns) > 1 and values.min().min() >= 0 and values.max().max() <= 1:  # a critic's scores have no bounds
            axis.set_ylim(0, 1.15)
        if title in ("pixel loss", "perceptual loss") and values.min().min() > 0:
            axis.set_yscale("log")
        if any(columns.values()):
            axis.legend(fontsize=7)
        axis.set_title(title)
        axis.xaxis.set_tick_params(labelbottom=title in places[-1])
        axis.set_xlabel("step" if title in places[-1] else "")
        _mark_phases(axis, history)
    return figure


def _mark_phases(axis: Axes, history: pd.DataFrame) -> None:
    start = 0
    for number, (name, rows) in enumerate(history.groupby("phase", sort=False)):
        end = rows["step"].max()
        axis.axvspan(start, end, color="C7", alpha=0.12 * (number % 2), linewidth=0)
        axis.text((start + end) / 2, 1.0, name, transform=axis.get_xaxis_transform(), ha="center", va="top", fontsize=7)
        start = end


class LiveCurves:
    """A run while it trains, in the notebook: its curves, and a validation picture as it was and as it is now.

    Used as train(..., on_log=LiveCurves()). Drawn anew at most every `pause` seconds, and for at most a tenth of the
    time, so that training is not slowed; call `finish` with the run for its last state, which stays in the saved
    notebook. Outside a notebook nothing is drawn. hr: the HR of that validation picture, uint8 (H, W, 3).
    """

    def __init__(self, hr: np.ndarray | None = None, pause: float = 2.0):
        self.hr, self.pause, self.next, self.places = hr, pause, time.monotonic() + pause, []
        if in_notebook():
            from IPython.display import HTML, display

            begun = ("<i>The curves appear here, and below them a validation picture.</i>", "")
            self.places = [display(HTML(text), display_id=True) for text in begun]

    def __call__(self, run: "Run") -> None:
        if self.places and time.monotonic() > self.next:
            began = time.monotonic()
            self.finish(run)
            self.next = time.monotonic() + max(self.pause, 9 * (time.monotonic() - began))

    def finish(self, run: "Run") -> None:
        """Draw the run as it stands now."""
        if not self.places:
            return
        self._draw(self.places[0], loss_curves(run.history()), f"curves of {run.label}")
        samples = run.samples()
        if samples:
            shown = {f"{path.stem.replace('-', ', step ')}": read_image(path) for path in (samples[0], samples[-1])}
            shown |= {} if self.hr is None else {"HR": self.hr}
            self._draw(self.places[1], show_row(shown), f"validation picture of {run.label}")

    @staticmethod
    def _draw(place: Any, figure: Figure, alt: str) -> None:
        from IPython.display import Image

        picture = BytesIO()
        figure.savefig(picture, format="png", dpi=110)
        plt.close(figure)
        place.update(Image(picture.getvalue(), alt=alt))
