"""Grading: points where a check says so, a remark on every failure, and one bad submission does not stop the others."""

import json
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from srkit.course.grading import COLUMNS, grade
from srkit.files import SrkitError

TWO = {"numbers_for_one": ("1", "27"), "twenty_decibels": ("2", "100")}
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
    return new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})


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
            "hang": notebook(hang | {"numbers_for_one": "while True: pass"}),
            "rubbish": '{"cells": [',
            "well": notebook(RIGHT),
        },
        cell_seconds=3,
    )
    assert table["points"].groupby("student").sum().to_dict() == {"crash": 3, "hang": 0, "rubbish": 0, "well": 6}
    assert "the kernel died in the cell `import os`" in table.loc[("crash", "twenty_decibels"), "remark"]
    assert set(table.loc["hang", "remark"][:2]) == {"it took too long"}
    assert "not a readable notebook" in table.loc[("rubbish", "numbers_for_one"), "remark"]


def test_checks_that_were_deleted_or_changed_are_put_back_and_named(graded):
    deleted = without(notebook(RIGHT | {"numbers_for_one": "answer = 9"}), "numbers_for_one-check")
    cheat = notebook(RIGHT | {"numbers_for_one": "answer = 9"})
    for cell in cheat.cells:
        if cell.source.startswith('exercises.check("numbers_for_one"'):
            cell.source = "pass"
    patched = notebook({"twenty_decibels": "answer = 1"}, "exercises.check = lambda *_: print('Right')")
    gone = without(without(notebook(RIGHT), "twenty_decibels-check"), "twenty_decibels")
    table = graded({"deleted": deleted, "cheat": cheat, "patched": patched, "gone": gone})
    assert table["points"].groupby("student").sum().to_dict() == {"cheat": 3, "deleted": 3, "gone": 3, "patched": 0}
    for student, done in (("deleted", "deleted"), ("cheat", "changed")):
        remark = table.loc[(student, "numbers_for_one"), "remark"]
        assert remark.startswith(f"its check cell was {done}, and put back; Not yet.")
    assert table.loc[("gone", "twenty_decibels"), "remark"] == "its answer cell was deleted"


def test_an_answer_may_use_the_story_and_may_not_use_the_network(graded):
    net = "import urllib.request\nanswer = len(urllib.request.urlopen('http://127.0.0.1:1').read())"
    table = graded({"one": notebook(RIGHT | {"twenty_decibels": "answer = told", "numbers_for_one": net})})
    assert table.loc[("one", "twenty_decibels"), "points"] == 3
    assert "there is no network while a submission is graded" in table.loc[("one", "numbers_for_one"), "remark"]


def test_a_folder_without_notebooks_and_a_notebook_of_another_name(graded, tmp_path):
    with pytest.raises(SrkitError, match="holds no notebooks: give the folder that has a folder for each student"):
        grade(tmp_path / "source" / "none")
    other = tmp_path / "in" / "eve" / "homework.ipynb"
    other.parent.mkdir(parents=True)
    other.write_text(json.dumps({}))
    assert graded({})["remark"].tolist() == ["no notebook of the course has this name"]
    assert Path(other).read_text() == "{}"
