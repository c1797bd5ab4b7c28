"""What explains: diagrams drawn from their words, functions beside their slopes, what a run says in a sentence."""

import inspect
import re
import tomllib
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any

import pandas as pd
import torch
from IPython.display import Code
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from srkit.figures import WIDTH, styled
from srkit.files import SrkitError, replacing
from srkit.runs import Run


class Diagram:
    """A figure that a notebook shows as SVG, its words kept as text; as PNG where a program reads no SVG."""

    def __init__(self, figure: Figure):
        self.figure = figure
        plt.close(figure)  # else a notebook shows it a second time

    @styled
    def file(self, kind: str) -> bytes:
        """The diagram as "svg", "pdf" or "png"."""
        held, undated = BytesIO(), {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
        self.figure.savefig(held, format=kind, dpi=150, metadata=undated)
        return held.getvalue()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        svg = self.file("svg").decode()
        for length in re.findall(r'(?:width|height)="([\d.]+)pt"', svg):  # a screen has room for larger words
            svg = svg.replace(f'"{length}pt"', f'"{1.25 * float(length):.0f}pt"', 1)
        words = ", ".join(text.get_text().replace("\n", " ") for text in self.figure.axes[0].texts if text.get_text())
        png = b64encode(self.file("png")).decode()
        return {"image/svg+xml": svg[svg.index("<svg") :], "image/png": png, "text/plain": f"A diagram: {words}"}


def diagram(name: str, folder: Path | str) -> Diagram:
    """A diagram of diagrams.toml, which is also written into folder as diagram_NAME.svg and .pdf."""
    known = tomllib.loads(files("srkit.course").joinpath("diagrams.toml").read_text(encoding="utf-8"))
    if name not in known:
        raise SrkitError(f"there is no diagram {name!r}: choose one of {', '.join(known)}.")
    drawn = Diagram(draw_diagram(**known[name]))
    for kind in ("svg", "pdf"):
        with replacing(Path(folder) / f"diagram_{name}.{kind}") as beside:
            beside.write_bytes(drawn.file(kind))
    return drawn


@styled
def draw_diagram(rows: Sequence[Sequence[str]], arcs: Sequence[Sequence[str]] = (), bend: float = 0.35) -> Figure:
    """Boxes from left to right, a row each, with an arrow from each box to the next one of its row.

    rows: the words of the boxes, each box's its own; "" leaves a place empty, and no arrow crosses it. arcs: further
    arrows, as (words of the box it leaves, of the box it reaches, words beside it), bent upwards by `bend` of their
    length where they stay in a row; a gradient's is dashed. KeyError for an arc between boxes that are not there.
    """
    columns = max(len(row) for row in rows)
    places = {words: (x, y) for y, row in enumerate(rows) for x, words in enumerate(row) if words}
    inch = WIDTH / columns  # between the middles of two boxes
    rise = [bend * inch * abs(places[a][0] - places[b][0]) / 2 * (places[a][1] == places[b][1]) for a, b, _ in arcs]
    top = max([0.0, *(r - 0.1 - 0.7 * places[arc[0]][1] for r, arc in zip(rise, arcs, strict=True))])  # inches
    figure, axis = plt.subplots(figsize=(WIDTH, 0.7 * len(rows) + top))
    axis.set(xlim=(-0.5, columns - 0.5), ylim=(len(rows) - 0.5, -0.5 - top / 0.7))
    axis.set_axis_off()
    box = {"boxstyle": "round,pad=0.35", "facecolor": "#e3edf7", "edgecolor": "C0", "linewidth": 0.8}
    middle = {"ha": "center", "va": "center", "fontsize": 7}
    boxes = {words: axis.text(*place, words, bbox=box, **middle) for words, place in places.items()}
    neighbours = [(a, b, "") for row in rows for a, b in pairwise(row) if a and b]
    for (begin, end, words), lift in zip([*neighbours, *arcs], [0] * len(neighbours) + rise, strict=True):
        (x, y), (to_x, to_y) = places[begin], places[end]
        how = {"linestyle": "--", "color": "C3"} if "gradient" in words else {"linestyle": "-", "color": "0.2"}
        how |= {"patchA": boxes[begin].get_bbox_patch(), "patchB": boxes[end].get_bbox_patch(), "shrinkA": 1}
        bent = f"arc3,rad={(bend if to_x < x else -bend) * bool(lift)}"
        axis.annotate("", (to_x, to_y), (x, y), arrowprops=how | {"arrowstyle": "->", "connectionstyle": bent})
        at = {"xytext": (0, 72 * lift + 6 * bool(lift)), "textcoords": "offset points", "color": how["color"]}
        axis.annotate(words, ((x + to_x) / 2, (y + to_y) / 2), **at, **middle)
    return figure


def source(function: Callable) -> Code:
    """A function as it is written, as a notebook shows it."""
    return Code(dedent(inspect.getsource(function)), language="python")


def value_and_slope(functions: Mapping[str, Callable], x: torch.Tensor, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each function gives at every number of x, and its gradient by autograd: two tables, x in the column `name`.

    Each number is asked alone, so a function may end in a mean.
    """
    values, gradients = pd.DataFrame({name: x}), pd.DataFrame({name: x})
    for label, function in functions.items():
        leaf = x.clone().requires_grad_()
        y = torch.stack([function(number) for number in leaf])
        y.sum().backward()
        values[label], gradients[label] = y.detach().numpy(), leaf.grad.numpy()
    return values, gradients


@styled
def draw_value_and_slope(functions: Mapping[str, Callable], x: torch.Tensor, name: str) -> tuple[Figure, pd.DataFrame]:
    """`value_and_slope` side by side under one legend: the figure, and one table of both."""
    tables = value_and_slope(functions, x, name)
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.8), layout="constrained")
    for axis, table, label in zip(axes, tables, ("loss", "gradient of the loss"), strict=True):
        table.plot(name, ax=axis, ylabel=label, style=["-", "--", ":", "-."], linewidth=2, legend=False)
    figure.legend(list(functions), loc="outside upper center", ncols=3, fontsize=8)
    return figure, tables[0].merge(tables[1], on=name, suffixes=(", loss", ", gradient"))


def sentences(claims: Mapping[str, tuple[bool, str]]) -> Any:
    """A table for a thesis: each figure with the sentence that it supports, or that this run does not show it.

    claims: by the figure's name, whether the run's numbers bear the sentence out, and the sentence with its numbers.
    """
    shown = {name: said if holds else f"Your run does not show this: {said}" for name, (holds, said) in claims.items()}
    table = pd.DataFrame(shown.items(), columns=["figure", "sentence"]).style.hide()
    return table.set_properties(**{"text-align": "left"}, subset=["figure", "sentence"])


def sick_run(name: str) -> Run:
    """Settings and history, without weights, of a run of studies/sick.toml, such as "unguarded"; shipped with srkit."""
    return Run(Path(str(files("srkit.course"))) / "histories" / "sick" / f"{name}-sick-s0-photos")


JUDGED = {
    "verdicts": {"d_hr": "D(HR)", "d_sr": "D(SR)"},
    "share of the gradient": {"share_perceptual": "perceptual", "share_adversarial": "adversarial"},
    "validation PSNR-Y (dB)": {"psnr_y": ""},
    "grid (grey levels)": {"grid": "SR", "grid_bicubic": "bicubic"},
}


@styled
def draw_histories(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """A row for each history, of its last phase: verdicts, shares of the gradient at SR, PSNR-Y, and the grid."""
    figure, axes = plt.subplots(len(histories), len(JUDGED), figsize=(WIDTH, 1.1 * len(histories)), sharex="row")
    for place, (letter, history) in enumerate(histories.items()):
        phase = history["phase"].iloc[-1]
        last = history[history["phase"] == phase].dropna(axis="columns", how="all")
        before = history.loc[history["phase"] != phase, "step"].max()
        for axis, (title, columns) in zip(axes[place], JUDGED.items(), strict=True):
            shown = {column: label for column, label in columns.items() if column in last}
            for column, label in shown.items():
                line = last.dropna(subset=[column])
                axis.plot(line["step"] - (0 if pd.isna(before) else before), line[column], label=label, linewidth=1)
            axis.set_title("" if place else title)
            axis.tick_params(labelsize=6)
            if not shown:
                axis.text(0.5, 0.5, "none", transform=axis.transAxes, ha="center", va="center")
            elif place == 0 and len(shown) > 1:
                axis.legend(fontsize=6)
        axes[place][0].set_ylabel(letter, rotation=0, weight="bold", labelpad=8)
    return figure
