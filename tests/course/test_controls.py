"""The controls of the notebooks: what the slider draws, and the twin that stands where no kernel runs."""

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from srkit.course import controls
from srkit.course.controls import control, slider

VALUES = (1, 2, 3.5, 4)


def grey(value: float) -> dict[str, np.ndarray]:
    picture = np.full((8, 8), int(50 * value), np.uint8)
    return {f"value {value:g}": picture, f"inverted {value:g}": 255 - picture}


def line(value: float) -> pd.DataFrame:
    x = np.arange(5.0)
    return pd.DataFrame({"straight": value * x, "square": value * x**2}, index=pd.Index(x, name="x"))


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_pictures_stand_in_a_column_a_value():
    figure = control("value", grey, VALUES, twin=(1, 3.5))
    assert [axis.get_title() for axis in figure.axes] == ["value 1", "value 3.5", "inverted 1", "inverted 3.5"]
    shown = [axis.images[0].get_array() for axis in figure.axes]
    for picture, level in zip(shown, (50, 175, 205, 80), strict=True):
        assert (picture == level).all()


def test_lines_are_those_of_the_table_on_equal_axes():
    figure = control("slope", line, VALUES, twin=(1, 4))
    assert [axis.get_title() for axis in figure.axes] == ["slope 1", "slope 4"]
    for axis, value in zip(figure.axes, (1, 4), strict=True):
        straight, square = (drawn.get_ydata() for drawn in axis.lines)
        np.testing.assert_array_equal(straight, value * np.arange(5))
        np.testing.assert_array_equal(square, value * np.arange(5) ** 2)
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert [text.get_text() for text in figure.legends[0].texts] == ["straight", "square"]


def test_a_move_draws_the_frame_of_the_new_value_and_none_twice():
    asked = []
    handle, picture = slider("value", lambda value: asked.append(value) or grey(value), VALUES, 2).children
    assert (handle.value, picture.layout.display, asked) == (2, "none", [])  # nothing is drawn before somebody moves it
    for value in (4, 1, 4):
        handle.value = value
        drawn = np.asarray(Image.open(BytesIO(picture.value)).convert("L"))
        middle = drawn[len(drawn) // 2 :, drawn.shape[1] // 4]
        assert int(np.median(middle[: len(middle) // 2])) == 50 * value
    assert asked == [4, 1]
    assert picture.layout.display is None
    assert plt.get_fignums() == []


def test_the_slider_says_in_a_saved_notebook_that_it_needs_a_kernel(monkeypatch):
    shown = []
    monkeypatch.setattr(controls, "display", lambda data, raw: shown.append(data))
    controls.control("value", grey, VALUES, twin=(1, 2, 4))
    (data,) = shown
    assert data["text/plain"] == controls.STILL
    assert "application/vnd.jupyter.widget-view+json" in data
