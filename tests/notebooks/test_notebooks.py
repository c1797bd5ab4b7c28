"""The course itself: how its notebooks are kept, and one run of all of them under smoke."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from srkit.course.notebooks import Chapter, read_chapter
from srkit.files import SrkitError

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
COURSE = ("PROFILE", "RECIPE", "DATA", "SEED", "RUNS", "FIGURES")

each = pytest.mark.parametrize("path", PATHS or [None], ids=[p.stem for p in PATHS] or ["none yet"])
pytestmark = pytest.mark.skipif(not PATHS, reason=f"there are no notebooks in {NOTEBOOKS} yet")


def cells_of(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


@each
def test_is_committed_without_outputs(path):
    kept = [c for c in cells_of(path, "code") if c["outputs"] or c["execution_count"]]
    assert kept == [], "run: nbstripout notebooks/*.ipynb"
    metadata = json.loads(path.read_text())["metadata"]
    assert {"widgets", "papermill"} & set(metadata) == set()


@each
def test_takes_the_courses_parameters_and_declares_what_it_writes(path):
    chapter = read_chapter(path)
    assert tuple(chapter.parameters)[: len(COURSE)] == COURSE
    assert all(name.startswith(chapter.number) for name in chapter.writes if not Path(name).suffix)


@each
def test_is_short_enough_to_read(path):
    story = [cell for cell in cells_of(path, "code") if "nbgrader" not in cell["metadata"]]  # exercises aside
    lines = [line for cell in story for line in "".join(cell["source"]).splitlines() if line.strip()]
    assert len(lines) <= 225


@each
def test_has_a_title_and_no_path_of_one_machine(path):
    assert "".join(cells_of(path, "markdown")[0]["source"]).startswith("# ")
    text = path.read_text()
    assert not any(place in text for place in ("/home/", "/root/", "/Users/", "C:\\\\"))


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """All notebooks once, by the command, from and into a temporary folder with a space in its name."""
    place = tmp_path_factory.mktemp("a course")
    words = ["-m", "srkit", "course", "--profile", "smoke", "--runs", "runs", "--figures", "figures"]
    run = subprocess.run([sys.executable, *words], cwd=place, capture_output=True, text=True)
    return place, run


@pytest.mark.notebooks
@each
def test_runs_and_writes_its_figures(path, course):
    place, run = course
    copy = place / "runs" / "course-smoke" / path.name
    assert copy.exists(), f"not reached:\n{run.stderr[-2000:]}"
    broken = [o for c in cells_of(copy, "code") for o in c["outputs"] if o["output_type"] == "error"]
    assert not broken, f"{broken[0]['ename']}: {broken[0]['evalue']}"
    assert all(c["execution_count"] for c in cells_of(copy, "code") if "".join(c["source"]).strip())
    empty = [
        f.name for f in read_chapter(path).files(place / "figures" / "smoke") if not f.is_file() or not f.stat().st_size
    ]
    assert empty == []


@pytest.mark.notebooks
def test_the_course_ends_with_its_table(course):
    place, run = course
    assert run.returncode == 0, run.stderr[-2000:]
    for path in PATHS:
        assert any(line.startswith(path.stem + " ") for line in run.stdout.splitlines())
    assert str(place / "figures" / "smoke") in run.stdout


def test_a_chapter_that_declares_nothing_is_refused(tmp_path):
    path = tmp_path / "00_silent.ipynb"
    path.write_text(json.dumps({"cells": []}))
    with pytest.raises(SrkitError, match="no cell tagged `parameters`"):
        read_chapter(path)
    assert Chapter(path, "", {}, (), 0).number == "00"
