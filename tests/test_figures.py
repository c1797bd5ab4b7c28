"""What save_figure promises: three files or none of a kind, and in each what made it."""

import importlib

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from srkit import figures
from srkit.figures import busiest, chart_over_row, compare, loss_curves, save_figure, show_grid
from srkit.files import SrkitError

CAPTION = "srgan x4, smoke profile, seed 0: bicubic (a < b)"


def draw() -> Figure:
    figure, axis = plt.subplots(figsize=(2, 1))
    axis.plot([0, 1])
    return figure


@pytest.fixture
def figure():
    yield draw()
    plt.close("all")


@pytest.fixture
def table():
    return pd.DataFrame({"image": ["a, b.png", "c.png"], "psnr_y": [28.125, 30.5], "step": [1, 20]})


def test_three_files_are_written_and_the_numbers_read_back(figure, table, tmp_path):
    paths = save_figure(figure, "01_test", table, tmp_path / "new" / "smoke", CAPTION)
    assert [path.name for path in paths] == ["01_test.pdf", "01_test.png", "01_test.csv"]
    assert sorted(paths) == sorted((tmp_path / "new" / "smoke").iterdir())
    pd.testing.assert_frame_equal(pd.read_csv(paths[2]), table)


def test_the_caption_is_in_the_pdf_and_the_png(figure, table, tmp_path):
    pdf, png, _ = save_figure(figure, "01_test", table, tmp_path, CAPTION)
    with Image.open(png) as picture:
        assert picture.text["Description"] == CAPTION
        assert picture.text["Title"] == "01_test"
        assert picture.size[0] == pytest.approx(400, abs=2)  # 2 inches at 200 dpi
    raw = pdf.read_bytes()
    assert raw.startswith(b"%PDF")
    assert b"/Subject (srgan x4, smoke profile, seed 0: bicubic \\(a < b\\))" in raw


def test_the_text_of_a_pdf_stays_text(figure, table, tmp_path):
    figure.axes[0].set_title("readable")
    pdf = save_figure(figure, "01_test", table, tmp_path, CAPTION)[0].read_bytes()
    assert b"/TrueType" in pdf or b"/CIDFontType2" in pdf  # fonttype 42; 3 would say /Type3
    assert b"/Type3" not in pdf


def test_the_same_drawing_gives_the_same_bytes(table, tmp_path):
    first, second = (
        [p.read_bytes() for p in save_figure(draw(), "01_test", table, tmp_path / f, CAPTION)] for f in "ab"
    )
    assert first == second
    plt.close("all")


def test_a_figure_without_numbers_is_refused(figure, tmp_path):
    with pytest.raises(SrkitError, match="01_test has no numbers"):
        save_figure(figure, "01_test", pd.DataFrame({"psnr_y": []}), tmp_path, CAPTION)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("broken", ["pdf", "png", "csv"])
def test_nothing_half_written_is_left_when_drawing_fails(figure, table, tmp_path, monkeypatch, broken):
    save_figure(draw(), "01_test", table, tmp_path, CAPTION)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broke(path, *_, **__):
        path.write_bytes(b"half a pic")
        raise MemoryError

    def savefig(path, **options):
        broke(path) if path.suffix == f".{broken}" else Figure.savefig(figure, path, **options)

    monkeypatch.setattr(figure, "savefig", savefig)
    if broken == "csv":
        monkeypatch.setattr(pd.DataFrame, "to_csv", lambda self, path, **options: broke(path))
    table["step"] += 1
    with pytest.raises(MemoryError):
        save_figure(figure, "01_test", table, tmp_path, CAPTION)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_is_a_file_is_named(figure, table, tmp_path):
    (tmp_path / "figures").write_text("")
    with pytest.raises(SrkitError, match="figures cannot be written"):
        save_figure(figure, "01_test", table, tmp_path / "figures", CAPTION)


def test_the_busiest_square_is_where_the_pattern_is():
    image = np.full((120, 200, 3), 90, np.uint8)
    image[56:80:2, 128:152] = 255
    assert busiest(image, 24) == (56, 128)
    assert busiest(image[:40, :40], 40) == (0, 0)


def test_a_grid_holds_every_picture_under_its_title():
    pictures = {"LR": np.zeros((4, 4, 3), np.uint8), "HR": np.zeros((8, 8), np.uint8)}
    figure = show_grid([pictures, {"SR": np.zeros((8, 8, 3), np.uint8)}])
    assert [axis.get_title() for axis in figure.axes] == ["LR", "HR", "SR", ""]
    plt.close("all")


def test_a_comparison_shows_the_marked_crop_of_each():
    rng = np.random.default_rng(0)
    pictures = {name: rng.integers(0, 255, (60, 90, 3), dtype=np.uint8) for name in ("HR", "bicubic", "SR")}
    figure = compare(pictures, (10, 30), 24)
    shown = {axis.get_title(): axis.images[0].get_array() for axis in figure.axes}
    for name, picture in pictures.items():
        assert np.array_equal(shown[name], picture[10:34, 30:54])
    box = figure.axes[0].patches[0]
    assert (box.get_x(), box.get_y(), box.get_width()) == (30, 10, 24)
    plt.close("all")


@pytest.mark.parametrize("count", [*range(1, 10), 12])
def test_a_comparison_has_no_holes_and_titles_of_equal_height(count):
    pictures = {"HR": np.zeros((60, 90, 3), np.uint8)}
    for number in range(1, count):
        pictures[f"method {number}\nwith a score" + "\nor two" * (number % 2)] = pictures["HR"]
    figure = compare(pictures, (0, 0), 20)
    figure.draw_without_rendering()
    whole, *crops = figure.axes
    grid, taken = whole.get_gridspec(), set()
    for spec in (axis.get_subplotspec() for axis in figure.axes):
        taken |= {(row, column) for row in spec.rowspan for column in spec.colspan}
    assert len(crops) == count
    assert len(taken) == grid.nrows * grid.ncols
    if count > 3:
        boxes = [axis.get_window_extent() for axis in crops]
        assert max(box.width for box in boxes) - min(box.width for box in boxes) < 1
        for row in range(grid.nrows):  # the whole picture's title belongs to the first
            titles = [axis.title for axis in figure.axes if axis.get_subplotspec().rowspan.start == row]
            assert len({round(title.get_window_extent().y0) for title in titles}) == 1
    plt.close("all")


def test_loss_curves_draw_what_the_history_holds():
    history = pd.DataFrame(
        {
            "phase": ["psnr", "psnr", "gan"],
            "step": [5, 10, 15],
            "pixel": [0.1, 0.05, np.nan],
            "adversarial": [np.nan] * 3,
            "psnr_y": [20.0, 22.0, 21.0],
        }
    )
    figure = loss_curves(history)
    drawn = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert drawn == ["pixel loss", "validation PSNR-Y (dB)"]
    plt.close("all")


def test_shares_stand_below_the_losses_and_an_odd_panel_leaves_no_hole():
    terms = {"perceptual": [2.0, 1], "adversarial": [1.0, 2], "share_perceptual": [0.7, 0.6]}
    history = pd.DataFrame({"phase": ["gan"] * 2, "step": [1, 2], **terms})
    alone = loss_curves(history)
    assert [axis.get_title() for axis in alone.axes] == [
        "perceptual loss",
        "adversarial loss",
    ]  # one share says nothing
    figure = loss_curves(history.assign(share_adversarial=[0.3, 0.4]))
    share = figure.axes[-1]
    assert share.get_title() == "share of the gradient at SR"
    np.testing.assert_allclose([line.get_ydata() for line in share.lines], [[0.7, 0.6], [0.3, 0.4]])
    figure.draw_without_rendering()
    assert share.get_position().width > 1.8 * figure.axes[0].get_position().width
    plt.close("all")


def test_a_backend_that_a_figure_switched_on_stays_on():
    def first_figure():
        matplotlib.interactive(True)  # as a notebook's backend does when it is loaded

    before = matplotlib.is_interactive()
    matplotlib.interactive(False)
    try:
        figures.styled(first_figure)()
        assert matplotlib.is_interactive()
    finally:
        matplotlib.interactive(before)


def test_a_chart_stands_over_its_row_of_pictures():
    figure, chart = chart_over_row({name: np.zeros((8, 8, 3), np.uint8) for name in ("LR", "SR", "HR")})
    figure.draw_without_rendering()
    pictures = [axis for axis in figure.axes if axis is not chart]
    assert [axis.get_title() for axis in pictures] == ["LR", "SR", "HR"]
    assert all(axis.get_position().y1 < chart.get_position().y0 for axis in pictures)


def test_the_style_holds_in_our_figures_and_nowhere_else(table, tmp_path):
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        before = dict(matplotlib.rcParams)
        importlib.reload(figures)
        figure = figures.show_row({"a": np.zeros((4, 4, 3), np.uint8), "b": np.zeros((4, 4, 3), np.uint8)})
        assert figure.dpi == figures.STYLE["figure.dpi"] != before["figure.dpi"]
        assert dict(matplotlib.rcParams) == before
        figures.use_style()
        assert matplotlib.rcParams["font.size"] == figures.STYLE["font.size"] != before["font.size"]
    plt.close("all")
