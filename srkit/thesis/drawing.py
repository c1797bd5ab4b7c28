"""The figures of a chapter, by the functions that draw a study's: for one column or two, and for slides."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import Formatter, FuncFormatter

from srkit.figures import STYLE, WIDTH, loss_curves
from srkit.files import replacing
from srkit.images import read_image
from srkit.study.figures import draw_crops, draw_curves, draw_losses, draw_plane, groups
from srkit.study.record import Record

COLUMN = 3.25  # inches of one column of two
HIGHEST = 7.5  # so that a caption has room below it
SLIDE = 6.3, 3.54  # 16:9, small enough that the type is large when it fills a screen
SMALLEST = 8  # points there


def draw(record: Record, folder: Path, columns: int, words: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Every figure of a record as PDF with its fonts in it: its path, and whether it is wider than a column of two."""
    drawn = {}
    for name, figure in _figures(record):
        wide = columns == 1 or len(figure.axes) > 1
        figure.set_size_inches(WIDTH if wide else COLUMN, min(figure.get_figheight(), HIGHEST))
        drawn[name] = {"path": folder / f"{_file_name(record, name)}.pdf", "wide": wide}
        _save(figure, drawn[name]["path"], words)
    return drawn


def draw_slides(records: Sequence[Record], folder: Path, words: Mapping[str, str]) -> list[Path]:
    """The same figures at 16:9 with large type, PDF and PNG, and the first crops under the slider as GIF; the paths."""
    from srkit.apps.slider import CompareSlider

    paths = []
    for record in records:
        for name, figure in _figures(record, one_task=True):
            figure.set_size_inches(*SLIDE)
            for text in figure.findobj(Text):
                text.set_fontsize(max(text.get_fontsize(), SMALLEST))
            for kind in ("png", "pdf"):
                paths.append(folder / f"{_file_name(record, name)}.{kind}")
                _save(figure, paths[-1], words)
        for place in record.study["crops"][:1]:
            crops = record.folder / "crops" / place["folder"]
            last = record.systems[-1]
            names = (f"bicubic-x{record.run(last)['recipe']['scale']}", last, "HR")
            shown = {name: read_image(crops / f"{name}.png").repeat(8, 0).repeat(8, 1) for name in names}
            paths.append(CompareSlider(shown).to_gif(folder / f"{_file_name(record, 'slider')}.gif"))
    return paths


def _file_name(record: Record, name: str) -> str:
    """A figure's, in letters that LaTeX takes as they are."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", f"{record.study['name']}-{name}")


def _figures(record: Record, one_task: bool = False) -> Iterator[tuple[str, Figure]]:
    """The figures of a record that it has the numbers for, each with its name. one_task: curves apart by task."""
    for group, systems in groups(record).items():
        end = f"-{group}" if group else ""
        if record.common()[["lpips", "lpips_squeeze"]].notna().any(axis=None):
            yield f"plane{end}", draw_plane(record, systems)[0]
        if len(systems) > 1:
            for task in dict.fromkeys(record.run(name)["task"] for name in systems) if one_task else [""]:
                some = [name for name in systems if task in ("", record.run(name)["task"])]
                word = re.sub(r"\W+", "-", task)
                yield f"curves{end}{'-' * one_task}{word}", draw_curves(record, some)[0]
            yield f"losses{end}", draw_losses(record, systems)[0]
        for number, place in enumerate(record.study["crops"], 1):
            yield f"crops-{number}-{place['folder']}{end}", draw_crops(record, systems, place)[0]
    if len(record.systems) == 1:
        history = record.histories[record.histories["seed"] == record.histories["seed"].min()]
        yield "history", loss_curves(history)


def _save(figure: Figure, path: Path, words: Mapping[str, str]) -> None:
    """Write a figure, its labels in the language of `words` and then with a decimal comma."""
    with plt.rc_context(STYLE), replacing(path) as beside:
        if words:
            figure.draw_without_rendering()  # its formatters learn how many decimals they show
            for text in figure.findobj(Text):
                text.set_text(re.sub(r"(?<=\d)\.(?=\d)", ",", words.get(text.get_text(), text.get_text())))
            for axis in figure.findobj(Axis):
                axis.set_major_formatter(_with_comma(axis.get_major_formatter()))
        figure.savefig(beside, dpi=220, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
    plt.close(figure)


def _with_comma(formatter: Formatter) -> FuncFormatter:
    return FuncFormatter(lambda value, place: formatter(value, place).replace(".", ","))
