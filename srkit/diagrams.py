"""Diagrams of networks and of training, drawn from the words in their boxes."""

from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from srkit.figures import WIDTH, styled


@styled
def diagram(rows: Sequence[Sequence[str]], arcs: Sequence[tuple[str, str, str]] = (), bend: float = 0.35) -> Figure:
    """Boxes from left to right, a row each, with an arrow from each box to the next one of its row.

    rows: the words of the boxes, each box's its own; "" leaves a place empty, and no arrow crosses it. arcs: further
    arrows, as (words of the box it leaves, of the box it reaches, words beside it), bent upwards by `bend` of their
    length where they stay in a row; a gradient's is dashed. Raises KeyError for an arc between boxes that are not there.
    """
    columns = max(len(row) for row in rows)
    places = {words: (x, y) for y, row in enumerate(rows) for x, words in enumerate(row) if words}
    inch = WIDTH / columns  # between the middles of two boxes
    rise = [bend * inch * abs(places[a][0] - places[b][0]) / 2 * (places[a][1] == places[b][1]) for a, b, _ in arcs]
    top = max([0.0, *(r + 0.15 - 0.7 * places[arc[0]][1] for r, arc in zip(rise, arcs, strict=True))])  # inches
    figure, axis = plt.subplots(figsize=(WIDTH, 0.7 * len(rows) + top))
    axis.set(xlim=(-0.5, columns - 0.5), ylim=(len(rows) - 0.5, -0.5 - top / 0.7))
    axis.set_axis_off()
    box = {"boxstyle": "round,pad=0.35", "facecolor": "#e3edf7", "edgecolor": "C0", "linewidth": 0.8}
    middle = {"ha": "center", "va": "center", "fontsize": 7}
    boxes = {words: axis.text(*place, words, bbox=box, **middle) for words, place in places.items()}
    neighbours = [(a, b, "") for row in rows for a, b in zip(row, row[1:], strict=False) if a and b]
    for (begin, end, words), lift in zip([*neighbours, *arcs], [0] * len(neighbours) + rise, strict=True):
        (x, y), (to_x, to_y) = places[begin], places[end]
        how = {"linestyle": "--", "color": "C3"} if "gradient" in words else {"linestyle": "-", "color": "0.2"}
        how |= {"patchA": boxes[begin].get_bbox_patch(), "patchB": boxes[end].get_bbox_patch(), "shrinkA": 1}
        bent = f"arc3,rad={(bend if to_x < x else -bend) * bool(lift)}"
        axis.annotate("", (to_x, to_y), (x, y), arrowprops=how | {"arrowstyle": "->", "connectionstyle": bent})
        at = {"xytext": (0, 72 * lift + 6 * bool(lift)), "textcoords": "offset points", "color": how["color"]}
        axis.annotate(words, ((x + to_x) / 2, (y + to_y) / 2), **at, **middle)
    return figure
