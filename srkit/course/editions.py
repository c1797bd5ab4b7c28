"""Three editions of the notebooks from one source: stubs for students, folded solutions, all answers for teachers."""

import re
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from srkit.course.exercises import exercises
from srkit.course.notebooks import chapters
from srkit.files import SrkitError, expanded, needed, write_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

EDITIONS = ("student", "solution", "teacher")
COST = re.compile(r"\*\*(\w+)\.\*\* \*\((\d+) points?, about (\d+) minutes?\)\*")  # of an exercise, above its text


@dataclass(frozen=True)
class Assigned:
    """An exercise of a notebook: its name, number, points and minutes, the cell of its answer and that of its check.

    Of a question to think about, which a teacher reads, both are the same cell.
    """

    name: str
    number: str
    points: int
    minutes: int
    answer: "NotebookNode"
    check: "NotebookNode"


def build(edition: str, out: Path | str, notebooks: Path | str | None = None) -> list[Path]:
    """Write an edition of the notebooks in `notebooks` (default: the project's) into the folder `out`.

    edition: "student", whose exercises are stubs; "solution", the stubs, and below each its solution, folded; or
    "teacher", solved, with points, minutes and what the checks look for. See docs/teach/editions.md.
    """
    if edition not in EDITIONS:
        raise SrkitError(f"there is no edition {edition!r}: choose one of {', '.join(EDITIONS)}.")
    import nbformat

    written = []
    for chapter in chapters(notebooks):
        target = expanded(out).resolve() / chapter.path.name
        if target == chapter.path:
            raise SrkitError(f"{out} holds the source of the editions: choose another folder with --out.")
        source = nbformat.read(chapter.path, as_version=4)
        notebook = _teacher(source) if edition == "teacher" else _stubs(source, edition == "solution")
        write_text(target, nbformat.writes(notebook) + "\n")
        written.append(target)
    return written


def assigned(notebook: "NotebookNode") -> list[Assigned]:
    """The exercises of a notebook of the source, in order; SrkitError where one does not say its points."""
    found, costs, answer = [], None, None
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader", {})
        if marks.get("solution"):
            answer = cell
        if marks.get("grade"):
            name = answer.metadata.nbgrader.grade_id
            if not costs:
                raise SrkitError(f"exercise {name} needs `**1.** *(3 points, about 10 minutes)*` above it.")
            (number, points, minutes), costs = costs, None
            found.append(Assigned(name, number, int(points), int(minutes), answer, cell))
        elif cell.cell_type == "markdown" and COST.search(cell.source):
            costs = COST.search(cell.source).groups()
    return found


def _stubs(source: "NotebookNode", solutions: bool) -> "NotebookNode":
    """The students' edition; with `solutions` a folded one below each exercise."""
    preprocessors = needed("nbgrader.preprocessors", "pip install nbgrader")
    from nbconvert.preprocessors import TagRemovePreprocessor
    from nbformat.v4 import new_markdown_cell

    notebook, _ = TagRemovePreprocessor(remove_cell_tags={"teacher"}).preprocess(deepcopy(source), {})
    for step in (
        preprocessors.ClearSolutions(code_stub={"python": "# Your code here."}, text_stub="*Your answer here.*"),
        preprocessors.LockCells(),
        preprocessors.ClearOutput(),
        preprocessors.ComputeChecksums(),
    ):
        notebook, _ = step.preprocess(notebook, {})
    solved = {one.check.id: one for one in assigned(source)}
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        one = solved.get(cell.id)
        if one and cell.cell_type == "code":  # "run all" goes on after an exercise that is still open
            cell.metadata.tags = [*cell.metadata.get("tags", []), "raises-exception"]
        if one and solutions:
            text = _without_markers(one.answer.source)
            text = f"```python\n{text}\n```" if one.answer.cell_type == "code" else text
            folded = f"<details>\n<summary>Solution of {one.number}</summary>\n\n{text}\n\n</details>"
            cells.append(new_markdown_cell(folded, id=f"{cell.id}-solution"))
    notebook.cells = cells
    return notebook


def _teacher(source: "NotebookNode") -> "NotebookNode":
    """The source without markers, and a table of its exercises below the title."""
    from nbformat.v4 import new_markdown_cell

    notebook, every = deepcopy(source), assigned(source)
    table = ["| no. | name | points | minutes | what the check says to a wrong answer |", "|" + " --- |" * 5]
    for one in every:
        known = exercises().get(one.name)
        way = " ".join(known.mistakes.values() or [known.hint]) if known else "Read by you; see its answer."
        table.append(f"| {one.number} | `{one.name}` | {one.points} | {one.minutes} | {way} |")
    points, minutes = sum(one.points for one in every), sum(one.minutes for one in every)
    head = f"**For the teacher.** {len(every)} exercises, {points} points, about {minutes} minutes.\n\n"
    for cell in notebook.cells:
        cell.source = _without_markers(cell.source)
    notebook.cells.insert(1, new_markdown_cell(head + "\n".join(table), id="for-the-teacher"))
    return notebook


def _without_markers(text: str) -> str:
    """A solved cell as a reader wants it: no markers, and no `...` that stood above the solution."""
    return re.sub(r"(.*= \.\.\..*\n)?.*(BEGIN|END) SOLUTION.*\n?", "", text).strip("\n")
