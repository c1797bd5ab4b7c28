"""The editions: what students get holds no solution, every exercise fails unsolved and passes solved."""

import re
from functools import cache
from pathlib import Path

import nbformat
import pytest

from srkit.course.editions import COST, assigned, build
from srkit.course.exercises import Unsolved, exercises
from srkit.course.grading import _defines
from srkit.course.notebooks import chapters
from srkit.files import SrkitError

pytest.importorskip("nbgrader", reason="the editions are made by nbgrader")

CHAPTERS = {chapter.name: chapter for chapter in chapters()}
READ = {name: nbformat.read(chapter.path, as_version=4) for name, chapter in CHAPTERS.items()}
SOURCES = {name: notebook for name, notebook in READ.items() if assigned(notebook)}
CHECKED = [(name, one.name) for name, nb in SOURCES.items() for one in assigned(nb) if one.check.cell_type == "code"]
each = pytest.mark.parametrize("name", SOURCES)


@pytest.fixture(scope="module")
def editions(tmp_path_factory) -> dict[str, dict]:
    """The three editions: notebooks by name."""
    place = tmp_path_factory.mktemp("editions")
    made = {edition: build(edition, place / edition) for edition in ("student", "solution", "teacher")}
    return {edition: {p.stem: nbformat.read(p, as_version=4) for p in paths} for edition, paths in made.items()}


def text(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells)


def solution_lines(notebook) -> set[str]:
    """Lines between markers, but for those so short that they might stand anywhere."""
    found = set()
    for one in assigned(notebook):
        inside = re.search(r"BEGIN SOLUTION.*?\n(.*?)\n[^\n]*END SOLUTION", one.answer.source, re.DOTALL).group(1)
        found |= {line.strip() for line in inside.splitlines() if len(line.strip()) > 8}
    return found


@each
def test_a_student_file_holds_no_solution_and_nothing_for_teachers(name, editions):
    student = editions["student"][name]
    assert nbformat.validate(student) is None
    story = "\n".join(cell.source for cell in SOURCES[name].cells if not cell.metadata.get("nbgrader"))
    assert [line for line in solution_lines(SOURCES[name]) if line in text(student) and line not in story] == []
    assert "SOLUTION" not in text(student)
    assert "teacher" in {tag for cell in SOURCES[name].cells for tag in cell.metadata.get("tags", [])}
    assert "### For the teacher" not in text(student)
    assert not any(cell.get("outputs") for cell in student.cells)


@each
def test_every_edition_has_all_exercises_and_the_story(name, editions):
    asked = [one.name for one in assigned(SOURCES[name])]
    assert len(asked) >= 4
    for edition, notebooks in editions.items():
        assert [one.name for one in assigned(notebooks[name])] == asked, edition
    cells = [cell for cell in SOURCES[name].cells if "teacher" not in cell.metadata.get("tags", [])]
    story = [cell.source for cell in cells if not cell.metadata.get("nbgrader")]
    assert [source for source in story if source not in text(editions["student"][name])] == []
    assert text(editions["solution"][name]).count("<details>\n<summary>Solution of ") == len(asked)
    assert [line for line in solution_lines(SOURCES[name]) if line not in text(editions["solution"][name])] == []
    assert [line for line in solution_lines(SOURCES[name]) if line not in text(editions["teacher"][name])] == []


@each
def test_the_teachers_table_names_every_exercise_with_its_points(name, editions):
    table = editions["teacher"][name].cells[1].source
    total = sum(one.points for one in assigned(SOURCES[name]))
    assert f"{len(assigned(SOURCES[name]))} exercises, {total} points" in table
    for one in assigned(SOURCES[name]):
        assert f"| {one.number} | `{one.name}` | {one.points} | {one.minutes} |" in table


@each
def test_points_are_those_of_nbgrader_and_two_questions_are_to_be_thought_about(name):
    found = assigned(SOURCES[name])
    assert [one.check.metadata.nbgrader.points for one in found] == [one.points for one in found]
    assert sum(one.check.cell_type == "markdown" for one in found) == 2
    assert len({one.name for one in found}) == len(found) == len({one.number for one in found})
    assert len(COST.findall(text(SOURCES[name]))) == len(found)
    known = [one.name for one in found if one.check.cell_type == "code"]
    assert [one for one in known if one not in exercises()] == []
    if "01" <= name[:2] <= "06" or name[:2] == "08":
        assert sum("def " in one.answer.source for one in found) >= 2


@each
def test_nbgrader_takes_the_student_edition_for_its_own(name, editions):
    from nbgrader.preprocessors import CheckCellMetadata
    from nbgrader.utils import determine_grade, is_grade, is_solution

    notebook, _ = CheckCellMetadata().preprocess(editions["student"][name], {})
    graded = [cell for cell in notebook.cells if is_grade(cell)]
    assert [cell.metadata.nbgrader.points for cell in graded] == [one.points for one in assigned(SOURCES[name])]
    for cell in graded:
        assert cell.metadata.nbgrader.checksum
        if not is_solution(cell):
            assert cell.metadata.editable is False
            assert determine_grade(cell)[1] == cell.metadata.nbgrader.points


@cache
def space(name: str) -> dict:
    """The names that parameters, imports and functions of a notebook define."""
    import numpy as np

    names = {"coins": np.random.default_rng(0).permutation(list("HHHBBB"))}
    for cell in SOURCES[name].cells:
        wanted = "parameters" in cell.metadata.get("tags", []) or _defines(cell.source)
        if cell.cell_type == "code" and wanted and not cell.metadata.get("nbgrader"):
            exec(cell.source, names)
    return names


@pytest.mark.parametrize(("name", "exercise"), CHECKED)
def test_unsolved_it_fails_and_solved_it_passes(name, exercise, editions, capsys):
    for edition, solved in (("student", False), ("solution", False), ("teacher", True)):
        one = next(one for one in assigned(editions[edition][name]) if one.name == exercise)
        names = dict(space(name))
        exec(one.answer.source, names)
        if solved:
            exec(one.check.source, names)
            assert capsys.readouterr().out.startswith("Right: ")
        else:
            assert "raises-exception" in one.check.metadata.tags
            with pytest.raises(Unsolved, match="Not answered yet"):
                exec(one.check.source, names)


def test_the_courses_own_notebooks_have_exercises():
    assert {name[:2] for name in SOURCES} >= {f"0{number}" for number in range(8)}


def test_what_the_texts_give_as_an_example_is_so():
    import numpy as np
    import torch

    def solved(name: str, exercise: str):
        names = dict(space(name))
        one = next(one for one in assigned(SOURCES[name]) if one.name == exercise)
        exec(one.answer.source, names)
        return names[exercise]

    weights = solved("01_dataset", "enlarging_weights")(0, 2)
    np.testing.assert_allclose(weights, [-0.0234, 0.2266, 0.8672, -0.0703, 0], atol=5e-5)
    pair = solved("01_dataset", "crop_pair")(torch.rand(1, 3, 43, 50), 3, 1, 2, 8)
    assert [crop.shape for crop in pair] == [(1, 3, 8, 8), (1, 3, 24, 24)]
    grey = solved("01_dataset", "degrade")(torch.full((1, 3, 8, 8), 102 / 255), torch.full((3, 3), 1 / 9), 2)
    torch.testing.assert_close(grey, torch.full((1, 3, 4, 4), 102 / 255))
    x = torch.rand(2, 3, 12, 6)
    small = solved("02_generator", "unshuffle")(x, 3)
    assert small.shape == (2, 27, 4, 2)
    assert torch.equal(torch.nn.PixelShuffle(3)(small), x)
    assert solved("02_generator", "field_by_counting")([(3, 2), (3, 1)]) == 7
    nothing = torch.zeros(4, 1)
    loss = solved("03_discriminator", "smoothed_loss")(nothing, nothing, 0.1)
    assert float(loss) == pytest.approx(1.386, abs=5e-4)
    assert solved("03_discriminator", "side_after")(97, [(3, 2, 1)]) == 49
    adds = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 1, bias=False))
    torch.nn.init.ones_(adds[1].weight)
    crops = torch.rand(2, 3, 4, 4)
    value = solved("03_discriminator", "penalty")(adds, crops, crops, torch.rand(2, 1, 1, 1))
    assert value.item() == pytest.approx(35.14, abs=5e-3)
    r, f = torch.tensor([3.0, 1.0]), torch.tensor([0.0, -1.0])
    loss = solved("04_losses", "relativistic_for_discriminator")(r, f)
    assert float(loss) == pytest.approx(0.203, abs=5e-4)
    one, two = ({"weight": torch.tensor(value), "count": torch.tensor(int(value))} for value in (1.0, 2.0))
    mean = solved("05_training", "average_weights")(one, two, 0.9)
    assert float(mean["weight"]) == pytest.approx(1.1)
    assert mean["count"] == 2
    black = torch.zeros(1, 3, 20, 20)
    assert solved("06_evaluation", "psnr_of_network")(black, black + 1, 2) == pytest.approx(1.3, abs=0.05)
    seen = solved("08_real_photographs", "count_photons")(torch.full((1, 3, 200, 200), 0.5), 100, torch.Generator())
    assert 255 * seen.std().item() == pytest.approx(18, abs=0.2)
    rising = np.add.outer(np.arange(60), np.arange(40)).astype(np.uint8)
    assert solved("08_real_photographs", "blockiness")(rising) == pytest.approx(1)


def test_an_exercise_without_its_points_is_refused():
    notebook = nbformat.read(CHAPTERS["01_dataset"].path, as_version=4)
    cell = next(cell for cell in notebook.cells if COST.search(cell.source) and "**5.**" in cell.source)
    cell.source = "**5.** How many?"
    with pytest.raises(SrkitError, match="exercise crop_pair needs .* above it"):
        assigned(notebook)


def test_an_edition_that_is_none_and_the_sources_own_folder_are_refused(tmp_path):
    with pytest.raises(SrkitError, match="there is no edition 'pupil': choose one of student, solution, teacher"):
        build("pupil", tmp_path)
    folder = Path(next(iter(CHAPTERS.values())).path).parent
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(SrkitError, match="holds the source of the editions"):
        build("student", folder)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert list(tmp_path.iterdir()) == []
