"""The course itself: how its notebooks are kept, and one run of all of them under smoke."""

import ast
import builtins
import dis
import json
import re
import subprocess
import sys
from pathlib import Path
from types import CodeType

import pandas as pd
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


def lines_of(path: Path) -> tuple[int, int]:
    """Lines that are not blank: of code to read, and of all of it.

    To read are neither imports nor exercises, nor the cells that are folded since they only draw.
    """
    read, everything = 0, 0
    for cell in cells_of(path, "code"):
        source = "".join(cell["source"])
        lines = sum(bool(line.strip()) for line in source.splitlines())
        everything += lines
        folded = cell["metadata"].get("jupyter", {}).get("source_hidden")
        if not folded and "nbgrader" not in cell["metadata"]:
            imports = (n for n in ast.parse(source).body if isinstance(n, ast.Import | ast.ImportFrom))
            read += lines - sum(n.end_lineno - n.lineno + 1 for n in imports)
    return read, everything


@each
def test_is_short_enough_to_read(path):
    read, everything = lines_of(path)
    assert read <= 150
    assert everything <= 245


@each
def test_imports_what_it_is_about_and_the_rest_from_one_place(path):
    code = "\n".join("".join(cell["source"]) for cell in cells_of(path, "code"))
    found = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert sum(node.end_lineno - node.lineno + 1 for node in found) <= 10
    assert "import srkit\nfrom srkit import " in code


@each
def test_a_folded_cell_only_draws(path):
    folded = [c for c in cells_of(path, "code") if c["metadata"].get("jupyter", {}).get("source_hidden")]
    for source in ("".join(cell["source"]) for cell in folded):
        assert re.search(r"\b(diagram|save_figure|write)\(", source), source
        assert not re.search(r"\b(assert|import|print)\b|\btrain\(", source), source


@each
def test_has_the_form_of_all_others(path):
    texts = ["".join(cell["source"]) for cell in cells_of(path, "markdown")]
    opening, text, code = texts[0], "\n".join(texts), "\n".join("".join(c["source"]) for c in cells_of(path, "code"))
    assert re.match(rf"# {path.stem[:2]} \w[^\n]+: [^\n]+\n", opening)
    assert all(
        part in opening for part in ("**You will learn**\n", "**What it needs:**", "[glossary](../docs/glossary")
    )
    numbers = re.findall(r"^## (\d+\.?) ", text, re.MULTILINE)
    assert numbers == [str(n + 1) for n in range(len(numbers))]
    for heading in ("Quiz", "Exercises", "For your thesis"):
        assert len(re.findall(rf"^## {heading}$", text, re.MULTILINE)) == 1
    asked = re.search(r"^## Quiz$(.*?)(^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]
    assert len(re.findall(r"<details><summary>.+\?</summary>\n.+</details>", asked)) == 3
    exercises = re.findall(r"^\*\*(\w+)\.\*\* \*\(\d", text, re.MULTILINE)
    assert exercises == [str(n + 1) for n in range(len(exercises))]
    assert texts[-1].rpartition("\n")[2].startswith("**Next:** ")
    assert all(call in code for call in ("diagram(", "sentences("))
    assert not re.search(r"\((True|PROFILE != \"smoke\"), ", code), "no number of the run bears the sentence out"
    assert ("control(" in code) == ("01" <= path.stem[:2] <= "05")
    named = set(re.findall(r"\(\.\./docs/([\w/-]+\.md)\)", text))
    assert [name for name in named if not (NOTEBOOKS.parent / "docs" / name).exists()] == []


@each
def test_keeps_pythons_names_and_settings(path):
    code = "\n".join("".join(cell["source"]) for cell in cells_of(path, "code"))
    assert not re.search(r"set_num_threads|raise_signal|^(random|input|list|type|sum|max|min) =", code, re.MULTILINE)


def names(code: CodeType, kind: str) -> set[str]:
    """What a piece of code stores or loads by name, and what the functions in it do."""
    inside = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    own = {step.argval for step in dis.get_instructions(code) if step.opname == kind}
    return own.union(*(names(each, kind) for each in inside))


@each
def test_a_function_uses_only_what_stands_above_it(path):
    known = set(dir(builtins))
    for node in ast.parse("\n".join("".join(cell["source"]) for cell in cells_of(path, "code"))).body:
        code = compile(ast.Module([node], []), path.name, "exec")
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            assert names(code, "LOAD_GLOBAL") <= known | {node.name}, node.name
        known |= names(code, "STORE_NAME")


@each
def test_every_figure_that_it_writes_has_a_true_name(path):
    chapter = read_chapter(path)
    code = "\n".join("".join(cell["source"]) for cell in cells_of(path, "code"))
    said = re.findall(rf'"({chapter.number}_\w+)[",]', code.partition("WRITES =")[0])
    assert set(said) <= set(chapter.writes)


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
    draws = re.compile(r"\b(save_figure|write|diagram|control)\(")
    shown = [c for c in cells_of(copy, "code") if draws.search("".join(c["source"]))]
    unseen = [c for c in shown if not any("image/png" in o.get("data", {}) for o in c["outputs"])]
    assert ["".join(c["source"]) for c in unseen if "def write" not in "".join(c["source"])] == []
    empty = [
        f.name for f in read_chapter(path).files(place / "figures" / "smoke") if not f.is_file() or not f.stat().st_size
    ]
    assert empty == []


@pytest.mark.notebooks
def test_the_first_picture_is_of_one_system_and_says_how_long_each_phase_took(course):
    place, _ = course
    rows = pd.read_csv(place / "figures" / "smoke" / "00_first_picture.csv").set_index("method")
    cards = [json.loads(p.read_text()) for p in (NOTEBOOKS.parent / "srkit" / "weights").glob("sr*_light-x4-*.json")]
    expected = {{"psnr": "network", "gan": "GAN"}[card["phase"]]: card["steps"] for card in cards}
    assert rows["steps"].dropna().to_dict() == expected


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
    assert Chapter(path, {}, (), 0).number == "00"
