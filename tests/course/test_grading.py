"""Grading: points where a check says so, a remark on every failure, and one bad submission does not stop the others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from srkit.course.grading import COLUMNS, grade
from srkit.files import SrkitError

TWO = {"numbers_for_one": ("1", "27"), "twenty_decibels": ("2", "100")}
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
THINK = {"grade": True, "grade_id": "think", "locked": False, "points": 2, "schema_version": 3, "solution": True}


def notebook(answers: dict[str, str], *more: str, think: str = "*Your answer here.*") -> nbformat.NotebookNode:
    """A notebook with the course's parameters, a story, two exercises and a question."""
    cells = [new_code_cell('PROFILE: str = "smoke"', metadata={"tags": ["parameters"]})]
    cells += [new_code_cell("from srkit.course import exercises"), new_code_cell("told = 100")]
    cells += [new_code_cell(source) for source in more]
    for name, (number, _) in TWO.items():
        marks = {"schema_version": 3, "task": False}
        cells.append(new_markdown_cell(f"**{number}.** *(3 points, about 5 minutes)* How many?"))
        answer = {"nbgrader": marks | {"grade": False, "grade_id": name, "locked": False, "solution": True}}
        cells.append(new_code_cell(answers.get(name, "answer = ..."), metadata=answer))
        check = {"grade": True, "grade_id": f"{name}-check", "locked": True, "solution": False, "points": 3}
        cells.append(new_code_cell(f'exercises.check("{name}", answer)', metadata={"nbgrader": marks | check}))
    cells.append(new_markdown_cell("**3.** *(2 points, about 5 minutes)* *Think.* Why?"))
    cells.append(new_markdown_cell(think, metadata={"nbgrader": THINK | {"task": False}}))
    cells.append(new_code_cell("WRITES = []", metadata={"tags": ["writes"]}))
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


NAME = "00_few.ipynb"
STUBBORN = """import time
while True:
    try:
        time.sleep(1)
    except KeyboardInterrupt:
        pass"""
RIGHT = {name: f"answer = {right}" for name, (_, right) in TWO.items()}


@pytest.fixture
def graded(tmp_path):
    """Grades submissions, given by student, and gives their rows by student and exercise."""
    source = tmp_path / "source"
    source.mkdir()
    nbformat.write(
        notebook(RIGHT, think="<!-- BEGIN SOLUTION -->\nSo.\n<!-- END SOLUTION -->"), source / "00_few.ipynb"
    )

    def run(submissions: dict[str, nbformat.NotebookNode | str], **options: object) -> pd.DataFrame:
        for student, submitted in submissions.items():
            place = tmp_path / "in" / student / "00_few (1).ipynb"
            place.parent.mkdir(parents=True)
            place.write_text(submitted if isinstance(submitted, str) else nbformat.writes(submitted))
        return grade(tmp_path / "in", notebooks=source, **options).set_index(["student", "exercise"])

    return run


def without(submitted: nbformat.NotebookNode, grade_id: str) -> nbformat.NotebookNode:
    submitted.cells = [c for c in submitted.cells if c.metadata.get("nbgrader", {}).get("grade_id") != grade_id]
    return submitted


def test_points_hints_and_questions_to_be_read_come_as_a_table(graded, tmp_path):
    wrong = RIGHT | {"twenty_decibels": "answer = 10"}
    table = graded({"ann": notebook(RIGHT, think="Since."), "ben": notebook(wrong)}, csv=tmp_path / "grades.csv")
    assert table.loc["ann", "points"].tolist()[:2] == [3, 3]
    assert table.loc[("ann", "think"), "remark"] == "to be read"
    assert pd.isna(table.loc[("ann", "think"), "points"])
    assert table.loc["ben", "points"].tolist() == [3, 0, 0]
    assert table.loc[("ben", "twenty_decibels"), "remark"] == "Not yet. Solve 10 log10 f = 20 for f."
    assert table.loc[("ben", "think"), "remark"] == "not answered"
    written = pd.read_csv(tmp_path / "grades.csv")
    assert written.columns.tolist() == COLUMNS
    assert written["possible"].tolist() == [3, 3, 2] * 2


def test_whoever_crashes_hangs_or_sends_no_notebook_is_named_and_the_others_graded(graded):
    crash, hang = (RIGHT | {"twenty_decibels": code} for code in ("import os\nos._exit(1)", "while True:\n    pass"))
    table = graded(
        {
            "crash": notebook(crash),
            "hang": notebook(hang),
            "stubborn": notebook({"numbers_for_one": STUBBORN}),
            "rubbish": '{"cells": [',
            "well": notebook(RIGHT),
        },
        cell_seconds=2,
    )
    assert table["points"].groupby("student").sum().to_dict() == {
        "crash": 3,
        "hang": 3,
        "rubbish": 0,
        "stubborn": 0,
        "well": 6,
    }
    assert "the kernel died in the cell `import os`" in table.loc[("crash", "twenty_decibels"), "remark"]
    assert table.loc[("hang", "twenty_decibels"), "remark"] == "it took too long"
    assert "the kernel was stopped in the cell `import time`" in table.loc[("stubborn", "numbers_for_one"), "remark"]
    assert "not a readable notebook" in table.loc[("rubbish", "numbers_for_one"), "remark"]


def test_checks_that_were_deleted_or_changed_are_put_back_and_named(graded):
    deleted = without(notebook(RIGHT | {"numbers_for_one": "answer = 9"}), "numbers_for_one-check")
    cheat = notebook(RIGHT | {"numbers_for_one": "answer = 9"})
    for cell in cheat.cells:
        if cell.source.startswith('exercises.check("numbers_for_one"'):
            cell.source = "pass"
    patched = notebook({"twenty_decibels": "answer = 1"}, "exercises.check = lambda *_: print('Right')")
    as_text = notebook(RIGHT)
    for number, cell in enumerate(as_text.cells):
        if cell.source.startswith("exercises.check"):
            as_text.cells[number] = new_markdown_cell(cell.source, metadata=cell.metadata)
    gone = without(without(notebook(RIGHT), "twenty_decibels-check"), "twenty_decibels")
    table = graded({"deleted": deleted, "cheat": cheat, "patched": patched, "gone": gone, "as text": as_text})
    points = {"as text": 6, "cheat": 3, "deleted": 3, "gone": 3, "patched": 0}
    assert table["points"].groupby("student").sum().to_dict() == points
    for student, done in (("deleted", "deleted"), ("cheat", "changed")):
        remark = table.loc[(student, "numbers_for_one"), "remark"]
        assert remark.startswith(f"its check cell was {done}, and put back; Not yet.")
    assert table.loc[("gone", "twenty_decibels"), "remark"] == "its answer cell was deleted"


def test_an_answer_may_use_the_story_and_may_not_use_the_network(graded):
    net = "import urllib.request\nanswer = len(urllib.request.urlopen('http://127.0.0.1:1').read())"
    late = "answer = told\nraise ValueError('after the answer')"
    table = graded({"one": notebook(RIGHT | {"twenty_decibels": late, "numbers_for_one": net})})
    assert table.loc[("one", "twenty_decibels"), "points"] == 3
    assert "there is no network while a submission is graded" in table.loc[("one", "numbers_for_one"), "remark"]


def test_of_two_files_the_newest_is_graded_and_named(graded, tmp_path):
    old = tmp_path / "in" / "one" / "00_few.ipynb"
    old.parent.mkdir(parents=True)
    nbformat.write(notebook({}), old)
    os.utime(old, (1, 1))
    nbformat.write(notebook(RIGHT), old.with_name("00_few (1).ipynb"))
    table = graded({})
    assert table["points"].sum() == 6
    assert table.loc[("one", ""), "remark"] == "2 files; graded is the newest, one/00_few (1).ipynb"


def test_a_folder_without_notebooks_and_a_notebook_of_another_name(graded, tmp_path):
    with pytest.raises(SrkitError, match="holds no notebooks: give the folder that has a folder for each student"):
        grade(tmp_path / "source" / "none")
    other = tmp_path / "in" / "eve" / "homework.ipynb"
    other.parent.mkdir(parents=True)
    other.write_text(json.dumps({}))
    assert graded({})["remark"].tolist() == ["no notebook of the course has this name"]
    assert Path(other).read_text() == "{}"


@pytest.mark.slow
def test_nbgrader_itself_takes_the_source_and_gives_the_same_points(tmp_path, monkeypatch):
    gradebook = pytest.importorskip("nbgrader.api", reason="needs nbgrader")
    programs = Path(sys.executable).parent  # nbgrader calls alembic by its name
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "nbgrader_config.py").write_text(f"c = get_config()\nc.CourseDirectory.root = {str(tmp_path)!r}\n")
    solved = notebook(RIGHT, think="<!-- BEGIN SOLUTION -->\nSo.\n<!-- END SOLUTION -->")
    answers = {f"source/few/{NAME}": solved, f"submitted/ann/few/{NAME}": notebook(RIGHT, think="Since.")}
    answers[f"submitted/ben/few/{NAME}"] = notebook(RIGHT | {"twenty_decibels": "answer = 10"})
    for place, made in answers.items():
        (tmp_path / place).parent.mkdir(parents=True)
        for number, cell in enumerate(made.cells):
            cell.id = f"cell-{number}"
        nbformat.write(made, tmp_path / place)
    for words in (["generate_assignment", "few", "--create"], ["autograde", "few", "--create"]):
        done = subprocess.run([sys.executable, "-m", "nbgrader", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    with gradebook.Gradebook(f"sqlite:///{tmp_path}/gradebook.db") as book:
        points = {one.student.id: (one.score, one.max_score) for one in book.assignment_submissions("few")}
    assert points == {"ann": (6, 8), "ben": (3, 8)}
