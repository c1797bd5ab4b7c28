"""Grade submissions: the checks of each, in a fresh kernel with time limits and no network."""

import ast
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from srkit.course.editions import assigned
from srkit.course.exercises import exercises
from srkit.course.notebooks import chapters
from srkit.course.runner import own_kernel
from srkit.files import SrkitError, expanded, write_text

if TYPE_CHECKING:
    import pandas as pd
    from nbformat import NotebookNode

COLUMNS = ["student", "notebook", "exercise", "points", "possible", "remark"]
PATIENCE = 5  # seconds that an interrupted cell has to end
OFFLINE = """
import socket as _socket
def _refused(*_, **__):
    raise OSError("there is no network while a submission is graded")
_socket.getaddrinfo = _socket.create_connection = _socket.socket.connect = _socket.socket.connect_ex = _refused
"""


def grade(
    submissions: Path | str,
    csv: Path | str | None = None,
    notebooks: Path | str | None = None,
    cell_seconds: float = 60,
    seconds: float = 600,
) -> "pd.DataFrame":
    """Points and a remark for each exercise of each submission, one row each; also written to `csv`.

    docs/teach/editions.md says how submissions lie there, and what of them is run. A cell that takes over
    `cell_seconds` is stopped, a submission after `seconds`. Checks are taken from `notebooks` (default: the project's).
    """
    import pandas as pd

    folder = expanded(submissions)
    files = sorted(path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    if not files:
        raise SrkitError(f"{submissions} holds no notebooks: give the folder that has a folder for each student.")
    course, rows, found = chapters(notebooks), [], {}
    for file in files:
        student = file.relative_to(folder).parts[0].removesuffix(".ipynb")
        chapter = next((chapter for chapter in course if chapter.name in file.stem), None)
        if chapter is None:
            rows.append((student, file.stem, "", None, None, "no notebook of the course has this name"))
        else:
            found.setdefault((student, chapter.name, chapter.path), []).append(file)
    for (student, name, source), several in found.items():
        newest = max(several, key=lambda file: file.stat().st_mtime)
        if len(several) > 1:
            said = f"{len(several)} files; graded is the newest, {newest.relative_to(folder)}"
            rows.append((student, name, "", None, None, said))
        rows += [(student, name, *row) for row in _grade_one(newest, source, cell_seconds, seconds)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    if csv:
        write_text(csv, table.to_csv(index=False))
    return table


def _grade_one(file: Path, source: Path, cell_seconds: float, seconds: float) -> list[tuple]:
    """Exercise, points, possible points and a remark, of one submission."""
    import nbformat

    original = nbformat.read(source, as_version=4)
    try:
        notebook = nbformat.read(file, as_version=4)
    except Exception as error:  # nbformat raises nearly anything
        fault = f"not a readable notebook ({type(error).__name__})"
        return [(one.name, 0, one.points, fault) for one in assigned(original)]
    remarks = _put_checks_back(notebook, original)
    story = "\n".join(cell.source for cell in original.cells if not cell.metadata.get("nbgrader"))
    short = _needed(notebook, original)
    fault = _execute(short, cell_seconds, seconds)
    missing = re.findall(r"NameError: name '(\w+)' is not defined", "\n".join(map(_error, short)))
    if any(re.search(rf"\b{name}\b", story) for name in missing):
        fault = _execute(notebook.cells, cell_seconds, seconds)
    cells = {_mark(cell, "grade_id"): cell for cell in notebook.cells if _mark(cell, "grade_id")}
    rows = []
    for one in assigned(original):
        cell = cells.get(_mark(one.check, "grade_id"))
        if one.check.cell_type == "markdown":
            read = cell is not None and "*Your answer here.*" not in cell.source
            rows.append((one.name, None if read else 0, one.points, "to be read" if read else "not answered"))
            continue
        answer = cells.get(one.name)
        if cell is None or answer is None:
            said = "its answer cell was deleted"
        elif f"Right: {exercises()[one.name].why}" in "".join(o.get("text", "") for o in cell.outputs):
            said = ""
        elif not cell.get("execution_count"):
            said = fault
        else:
            said = _error(answer) or _error(cell).removeprefix("Unsolved: ") or "its check did not say that it is right"
        remark = "; ".join(filter(None, (remarks.get(one.name), said)))
        rows.append((one.name, 0 if said else one.points, one.points, remark))
    return rows


def _put_checks_back(notebook: "NotebookNode", original: "NotebookNode") -> dict[str, str]:
    """Set every check to the original's, below its answer where it is gone; says what was amiss, by exercise."""
    remarks = {}
    for one in assigned(original):
        places = {_mark(cell, "grade_id"): index for index, cell in enumerate(notebook.cells)}
        answer, check = places.get(one.name), places.get(_mark(one.check, "grade_id"))
        if one.check.cell_type == "markdown":
            continue
        theirs = None if check is None else notebook.cells[check]
        if theirs is None and answer is not None:
            remarks[one.name] = "its check cell was deleted, and put back"
            notebook.cells.insert(answer + 1, one.check.copy())
        elif theirs and (theirs.cell_type, theirs.source) != (one.check.cell_type, one.check.source):
            remarks[one.name] = "its check cell was changed, and put back"
            notebook.cells[check] = one.check.copy()
    return remarks


def _needed(notebook: "NotebookNode", original: "NotebookNode") -> list["NotebookNode"]:
    """The code cells that exercises need: all but those of the story that do more than define something."""
    story = {cell.source for cell in original.cells if not cell.metadata.get("nbgrader")}
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code"
        and (cell.source not in story or "parameters" in cell.metadata.get("tags", []) or _defines(cell.source))
    ]


def _defines(source: str) -> bool:
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return False
    return all(isinstance(part, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef) for part in body)


def _execute(cells: list["NotebookNode"], cell_seconds: float, seconds: float) -> str:
    """Run code cells in a fresh kernel, outputs into them; "" or why it came to no end."""
    import psutil
    from nbclient import NotebookClient
    from nbclient.exceptions import DeadKernelError
    from nbformat.v4 import new_code_cell, new_notebook

    cells = [cell for cell in cells if cell.cell_type == "code"]
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    with tempfile.TemporaryDirectory() as place:
        prepare = new_code_cell(f"{OFFLINE}RUNS = FIGURES = {place!r}")
        first = next((i + 1 for i, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])), 0)
        notebook = new_notebook(cells=[*cells[:first], prepare, *cells[first:]])
        kernels = []
        client = NotebookClient(
            notebook,
            timeout=cell_seconds,
            allow_errors=True,
            interrupt_on_timeout=True,
            kernel_manager_class=own_kernel(kernels),
            resources={"metadata": {"path": place}},
        )
        until, number, stopped = time.monotonic() + seconds, 0, []

        def kill() -> None:
            stopped.append(True)
            psutil.Process(kernels[0].provisioner.pid).kill()

        try:
            with client.setup_kernel():
                for number, cell in enumerate(notebook.cells):
                    left = min(cell_seconds + PATIENCE, until - time.monotonic())
                    watch = threading.Timer(max(left, 0), kill)  # an interrupt can be ignored
                    watch.start()
                    try:
                        client.execute_cell(cell, number)
                    finally:
                        watch.cancel()
        except (DeadKernelError, RuntimeError):
            how, lines = "was stopped" if stopped else "died", notebook.cells[number].source.splitlines()
            first = next((line for line in lines if re.match(r"\s*[^#\s]", line)), "")
            return f"the kernel {how} in the cell `{first}`, before this check"
    return ""


def _error(cell: "NotebookNode") -> str:
    """The first line of the error that a cell ended with, "" where there is none."""
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            stopped = output.ename == "KeyboardInterrupt"
            return "it took too long" if stopped else f"{output.ename}: {output.evalue}".partition("\n")[0]
    return ""


def _mark(cell: "NotebookNode", name: str) -> object:
    return cell.metadata.get("nbgrader", {}).get(name)
