"""Diagrams, slopes and sentences: what they draw and say, by what was put in."""

from base64 import b64decode
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from srkit.course.explain import (
    diagram,
    draw_diagram,
    draw_value_and_slope,
    sentences,
    sick_run,
    source,
    value_and_slope,
)
from srkit.files import SrkitError
from srkit.health import findings


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_every_box_stands_in_its_place_and_no_arrow_crosses_a_gap():
    figure = draw_diagram([["LR", "G", "SR"], ["", "HR", "D"]], [("SR", "D", "detached"), ("D", "HR", "gradient")])
    figure.draw_without_rendering()
    texts = {text.get_text(): text for text in figure.axes[0].texts if text.get_text()}
    assert set(texts) == {"LR", "G", "SR", "HR", "D", "detached", "gradient"}
    x = {name: texts[name].get_position()[0] for name in ("LR", "G", "SR", "HR", "D")}
    assert x["LR"] < x["G"] == x["HR"] < x["SR"] == x["D"]
    arrows = [text.arrow_patch for text in figure.axes[0].texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == 2 + 1 + 2
    assert [arrow.get_linestyle() for arrow in arrows].count("--") == 1  # the gradient's


def test_an_arc_between_boxes_that_are_not_there_is_refused():
    with pytest.raises(KeyError, match="nowhere"):
        draw_diagram([["LR", "SR"]], [("LR", "nowhere", "")])


def test_the_diagrams_of_the_course_by_name(tmp_path):
    drawn = diagram("phases", tmp_path)
    words = {text.get_text() for text in drawn.figure.axes[0].texts}
    assert {"D, frozen", "SR, detached", "gradient: moves G alone"} <= words
    with pytest.raises(SrkitError, match="no diagram 'unknown': choose one of course, degradation"):
        diagram("unknown", tmp_path)


def test_a_diagram_is_shown_as_svg_with_words_that_can_be_read_and_kept_as_svg_and_pdf(tmp_path):
    shown = diagram("phases", tmp_path)._repr_mimebundle_()
    assert plt.get_fignums() == [], "else a notebook shows it twice"
    written = (tmp_path / "diagram_phases.svg").read_text()
    for svg in (shown["image/svg+xml"], written):
        words = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
        assert {"D, frozen", "SR, detached", "gradient: moves G alone"} <= set(words)
    assert b64decode(shown["image/png"]).startswith(b"\x89PNG")
    assert (tmp_path / "diagram_phases.pdf").read_bytes().startswith(b"%PDF")
    diagram("phases", tmp_path)
    assert (tmp_path / "diagram_phases.svg").read_text() == written


def test_a_method_is_shown_as_it_is_written():
    assert source(HTMLParser.close).data.startswith("def close(self):\n")


def test_values_and_slopes_are_those_of_the_closed_form_each_number_alone():
    x = torch.linspace(-3, 3, 7)
    values, slopes = value_and_slope({"square": lambda z: z.square().mean(), "twice": lambda z: 2 * z}, x, "x")
    np.testing.assert_allclose(values, np.stack([x, x**2, 2 * x], axis=1))
    np.testing.assert_allclose(slopes, np.stack([x, 2 * x, np.full(7, 2)], axis=1))
    assert list(values) == list(slopes) == ["x", "square", "twice"]


def test_both_are_drawn_with_all_numbers_in_one_table():
    figure, table = draw_value_and_slope({"square": torch.square}, torch.linspace(-1, 1, 3), "x")
    np.testing.assert_allclose(table, [[-1, 1, -2], [0, 0, 0], [1, 1, 2]])
    assert list(table) == ["x", "square, loss", "square, gradient"]
    for axis, expected in zip(figure.axes, ([1, 0, 1], [-2, 0, 2]), strict=True):
        np.testing.assert_allclose(axis.lines[0].get_ydata(), expected)


def test_a_sentence_that_the_run_does_not_support_is_marked():
    table = sentences({"01_a": (True, "It gains 1 dB."), "01_b": (0.2 < 0.1, "It wins.")}).data
    assert table.to_dict("list") == {
        "figure": ["01_a", "01_b"],
        "sentence": ["It gains 1 dB.", "Your run does not show this: It wins."],
    }


@pytest.mark.parametrize(
    ("name", "ill"),
    [("sound", ""), ("loud", ""), ("ahead", "D has won"), ("unguarded", "raster"), ("unbound", "colours")],
)
def test_shipped_histories_are_as_ill_as_05_says(name, ill):
    run = sick_run(name)
    assert run.config["profile"] == "sick", "and not smoke"
    found = findings(run.history())
    assert bool(found) == bool(ill)
    assert ill in " ".join(found)
