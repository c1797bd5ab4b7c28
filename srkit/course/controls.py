"""A control that teaches: a slider that draws one figure anew, and its twin, the same figure at a few values."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from io import BytesIO

import ipywidgets as widgets
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from srkit.figures import WIDTH, show_grid, styled

Frame = Mapping[str, np.ndarray] | pd.DataFrame
STILL = "Where the notebook runs, a slider stands here: it draws the figure below at each of its values."


def control(name: str, frame: Callable[[float], Frame], values: Sequence[float], twin: Sequence[float]) -> Figure:
    """Show a slider over `values`, which draws the frame of any of them; give its twin, the frames at those of `twin`.

    frame: of a value, pictures by titles that name it, or a table whose columns are drawn as lines over its index.
    name: what the values are of. A notebook without a kernel shows the twin alone.
    """
    live = slider(name, frame, values, twin[len(twin) // 2])
    display(live._repr_mimebundle_() | {"text/plain": STILL}, raw=True)
    return draw(name, {value: frame(value) for value in twin})


def slider(name: str, frame: Callable[[float], Frame], values: Sequence[float], start: float) -> widgets.VBox:
    """The live half of `control`: a slider, and below it, from its first move on, the frame at its value."""
    handle = widgets.SelectionSlider(options=[(f"{value:g}", value) for value in values], value=start, description=name)
    handle.style.description_width = "initial"
    picture = widgets.Image(layout={"display": "none", "max_width": "100%"})

    @cache
    def png(value: float) -> bytes:
        figure, file = draw(name, {value: frame(value)}), BytesIO()
        figure.savefig(file, format="png", dpi=110)
        plt.close(figure)
        return file.getvalue()

    def show(change: dict) -> None:
        picture.value, picture.layout.display = png(change["new"]), None

    handle.observe(show, "value")
    return widgets.VBox([handle, picture])


@styled
def draw(name: str, frames: Mapping[float, Frame]) -> Figure:
    """Several frames as columns, one alone as a row: its pictures, or its lines on axes that all frames share."""
    first, *more = frames.values()
    if not isinstance(first, pd.DataFrame):
        columns = [frame.items() for frame in frames.values()]
        return show_grid([dict(row) for row in zip(*columns, strict=True)] if more else [first])
    size = (WIDTH if more else 0.6 * WIDTH, 2.4)
    figure, axes = plt.subplots(1, len(frames), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, (value, table) in zip(axes[0], frames.items(), strict=True):
        table.plot(ax=axis, title=f"{name} {value:g}", legend=False, style=["0.7", "C0-", "C3--"])
    figure.legend([*first], loc="outside lower center", ncols=len(first.columns), fontsize=8)
    return figure
