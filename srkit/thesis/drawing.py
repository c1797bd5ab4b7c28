"""The figures of a chapter, by the functions that draw a study's: for one column or two, and for slides."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from srkit.figures import STYLE, WIDTH, loss_curves
from srkit.files import replacing
from srkit.images import read_image
from srkit.study.figures import draw_crops, draw_curves, draw_losses, draw_plane, groups
from srkit.study.record import Record

COLUMN = 3.25  # inches of one column of two
SLIDE = 6.3, 3.54  # 16:9, small enough that the type is large when it fills a screen


def draw(record: Record, folder: Path, columns: int, words: Mapping[str, str]) -> dict[str, Path]:
    """Every figure of a record as PDF with its fonts in it; the paths by name. words: labels in another language."""
    paths = {}
    for name, figure in _figures(record):
        if columns == 2 and len(figure.axes) == 1:
            height = figure.get_figheight()
            figure.set_size_inches(COLUMN, max(height * COLUMN / WIDTH, 2.6))
        paths[name] = folder / f"{name}.pdf"
        _save(figure, paths[name], words)
        plt.close(figure)
    return paths


def draw_slides(records: Sequence[Record], folder: Path, words: Mapping[str, str]) -> list[Path]:
    """The same figures at 16:9 with large type, PDF and PNG, and the first crops under the slider as GIF; the paths."""
    from srkit.apps.slider import CompareSlider

    paths = []
    for record in records:
        for name, figure in _figures(record):
            figure.set_size_inches(*SLIDE)
            paths += [folder / f"{name}.{kind}" for kind in ("pdf", "png")]
            for path in paths[-2:]:
                _save(figure, path, words)
            plt.close(figure)
        for place in record.study["crops"][:1]:
            crops = record.folder / "crops" / place["folder"]
            last = record.systems[-1]
            names = (f"bicubic-x{record.run(last)['recipe']['scale']}", last, "HR")
            shown = {name: read_image(crops / f"{name}.png").repeat(8, 0).repeat(8, 1) for name in names}
            paths.append(CompareSlider(shown).to_gif(folder / f"slider-{place['folder']}.gif"))
    return paths


def _figures(record: Record) -> Iterator[tuple[str, Figure]]:
    """The figures of a record that it has the numbers for, each with its name."""
    for group, systems in groups(record).items():
        end = f"-{group}" if group else ""
        if record.common()["system"].isin(systems).any():
            yield f"plane{end}", draw_plane(record, systems)[0]
        if "psnr_y" in record.histories and record.histories["psnr_y"].notna().any():
            yield f"curves{end}", draw_curves(record, systems)[0]
        if len(systems) > 1:
            yield f"losses{end}", draw_losses(record, systems)[0]
        for place in record.study["crops"]:
            yield f"crops-{place['folder']}{end}", draw_crops(record, systems, place)[0]
    if len(record.systems) == 1:
        history = record.histories[record.histories["seed"] == record.histories["seed"].min()]
        yield "history", loss_curves(history)


def _save(figure: Figure, path: Path, words: Mapping[str, str]) -> None:
    """Write a figure, its labels in the language of `words` and then with a decimal comma."""
    with plt.rc_context(STYLE), replacing(path) as beside:
        if words:
            for text in figure.findobj(Text):
                text.set_text(words.get(text.get_text(), text.get_text()))
            figure.draw_without_rendering()
            for axis in figure.findobj(Axis):
                _with_comma(axis)
        figure.savefig(beside, dpi=305, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)


def _with_comma(axis: Axis) -> None:
    """Fix an axis's ticks where they are, their labels with a decimal comma."""
    low, high = axis.get_view_interval()
    ticks = [(place, text.get_text()) for place, text in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False)]
    ticks = [(place, text.replace(".", ",")) for place, text in ticks if min(low, high) <= place <= max(low, high)]
    axis.set_ticks([place for place, _ in ticks], labels=[text for _, text in ticks])
