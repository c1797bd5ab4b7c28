"""The files around the package hold together: dependencies, the conda way, the Makefile in awkward places."""

import ast
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from itertools import groupby
from pathlib import Path

import pytest
import yaml

from srkit.study.record import read_record
from srkit.study.report import system_page

# conda-forge's names where they are not PyPI's.
CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base", "jupyter-client": "jupyter_client"}
CONDA |= {"jupyter-server": "jupyter_server"}
# Used as programs, for their data, or through another library, or imported where they are installed.
PROGRAMS = {"ipykernel", "ipywidgets", "jupyterlab", "kaggle", "nbstripout", "pre-commit", "ruff", "scikit-image"}
PROGRAMS |= {"pytest-xdist", "furo", "jinja2", "myst-nb", "playwright", "tensorboard", "voila"}
IMPORTED_AS = {"pillow": "PIL", "ipython": "IPython", "jupyter-client": "jupyter_client", "pyyaml": "yaml"}
IMPORTED_AS |= {"cosmic-ray": "cosmic_ray", "jupyter-server": "jupyter_server"}


@pytest.fixture(scope="module")
def pyproject(project) -> dict:
    return tomllib.loads((project / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def requirements(pyproject) -> list[str]:
    extras = pyproject["project"]["optional-dependencies"].values()
    return [*pyproject["project"]["dependencies"], *(line for extra in extras for line in extra)]


def test_conda_installs_what_pip_installs(project, pyproject, requirements):
    environment = yaml.safe_load((project / "environment.yml").read_text())["dependencies"]
    listed = {line for line in environment if isinstance(line, str)}
    for_srkits_own_tests = pyproject["project"]["optional-dependencies"]["mutants"]
    requirements = [line for line in requirements if line not in for_srkits_own_tests]
    names = [re.match(r"[\w-]+", line)[0] for line in requirements]
    wanted = {CONDA.get(name, name) + line.removeprefix(name) for name, line in zip(names, requirements, strict=True)}
    assert listed == wanted | {"python" + pyproject["project"]["requires-python"], "pip"}
    assert environment[-1] == {"pip": ["--editable ."]}


def test_dependencies_have_lower_bounds_only(requirements):
    assert [line for line in requirements if not re.fullmatch(r"[\w-]+>=[\d.]+", line)] == []


def test_every_dependency_is_imported_somewhere(project, requirements):
    sources = [path.read_text() for folder in ("srkit", "tests", "docs") for path in (project / folder).rglob("*.py")]
    for path in (project / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        sources += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    imported = set()
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "needed":
            imported.add(node.args[0].value.partition(".")[0])
    names = {line.partition(">=")[0] for line in requirements} - PROGRAMS
    assert {name for name in names if IMPORTED_AS.get(name, name) not in imported} == set()


def test_the_version_is_one_everywhere(project, pyproject):
    version = pyproject["project"]["version"]
    assert f'__version__ = "{version}"' in (project / "srkit" / "__init__.py").read_text()
    assert yaml.safe_load((project / "CITATION.cff").read_text())["version"] == version
    assert re.search(r"^## (\S+)", (project / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version


def test_no_file_of_the_package_is_over_300_lines(project):
    lines = {path.name: len(path.read_text().splitlines()) for path in (project / "srkit").glob("*.py")}
    assert {name: count for name, count in lines.items() if count > 300} == {}


# A stand-in for Python that writes down how it was called; the Makefile is tried without installing anything.
STAND_IN = """#!/bin/sh
case "$*" in
  "-c import sys;"*) exit {too_old} ;;
  "-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  "-m pip install"*) echo "$PIP_FIND_LINKS" >> pip.log; exit $(cat pip-fails 2>/dev/null || echo 0) ;;
  "-c import torchvision") exit $(cat torchvision-fails 2>/dev/null || echo 0) ;;
  "-P -m srkit"*) for word in "$@"; do echo "$word"; done > "$COURSE_LOG" ;;
esac
"""


@pytest.fixture
def checkout(project, tmp_path):
    """A folder with a space and a quote in its name, the Makefile in it, and a stand-in for Python beside it."""
    if not shutil.which("make"):
        pytest.skip("needs make")
    folder = tmp_path / "it's my  course"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(project / name, folder)
    return folder


def make(checkout: Path, *words: str, cwd: Path | None = None, too_old: int = 0) -> subprocess.CompletedProcess:
    stand_in = checkout.parent / "python"
    stand_in.write_text(STAND_IN.format(too_old=too_old))
    stand_in.chmod(stat.S_IRWXU)
    cwd = cwd or checkout
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    environment = kept | {
        "PWD": str(cwd),
        "COURSE_LOG": str(checkout.parent / "course.log"),
        "PIP_FIND_LINKS": "/wheels",
    }
    words = ["make", f"PYTHON={stand_in}", *words]
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)


def test_make_installs_once_and_again_when_pyproject_or_place_change(checkout):
    log = checkout / "pip.log"
    for expected in (1, 1):
        assert make(checkout, "setup").returncode == 0
        assert len(log.read_text().splitlines()) == expected
    with (checkout / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    make(checkout, "setup")
    assert len(log.read_text().splitlines()) == 2
    moved = checkout.rename(checkout.with_name("moved"))
    make(moved, "setup")
    assert len((moved / "pip.log").read_text().splitlines()) == 3


def test_make_keeps_wheel_folders_out_of_the_installation(checkout):
    make(checkout, "setup")
    assert (checkout / "pip.log").read_text() == ".venv/no-links\n"
    assert list((checkout / ".venv" / "no-links").iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "words"), [("pip-fails", "mend what pip says"), ("torchvision-fails", "do not fit each other")]
)
def test_an_installation_that_failed_is_done_again(checkout, fault, words):
    (checkout / fault).write_text("1")
    stopped = make(checkout, "course")
    assert stopped.returncode != 0
    assert words in stopped.stderr
    assert not (checkout.parent / "course.log").exists()
    (checkout / fault).unlink()
    assert make(checkout, "course").returncode == 0
    assert len((checkout / "pip.log").read_text().splitlines()) == 2


def test_make_refuses_an_old_python(checkout):
    stopped = make(checkout, "course", too_old=1)
    assert stopped.returncode != 0
    assert "3.11 or newer" in stopped.stderr
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("way", ["inside", "-C", "-f"])
def test_make_course_passes_its_variables_on_from_any_folder(checkout, tmp_path, way):
    elsewhere = checkout if way == "inside" else tmp_path / "else where"
    (elsewhere / "my pictures").mkdir(parents=True)
    place = {"inside": [], "-C": ["-C", str(checkout)], "-f": ["-f", str(checkout / "Makefile")]}[way]
    done = make(checkout, *place, "course", "PROFILE=laptop", "DATA=my pictures", "ONLY=03,05", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    words = (tmp_path / "course.log").read_text().splitlines()
    given = dict(zip(words[4::2], words[5::2], strict=True))
    assert words[:4] == ["-P", "-m", "srkit", "course"]
    assert {key: given[key] for key in ("--profile", "--recipe", "--only", "--seed")} == {
        "--profile": "laptop",
        "--recipe": "srgan",
        "--only": "03,05",
        "--seed": "0",
    }
    assert (checkout if way == "-C" else elsewhere).joinpath(given["--data"]).resolve() == elsewhere / "my pictures"


def test_make_alone_explains_itself_and_installs_nothing(checkout):
    said = make(checkout)
    assert "make course" in said.stdout
    assert not (checkout / ".venv").exists()


def test_the_lowest_versions_are_those_of_pyproject_each_exactly(project, requirements, tmp_path):
    program = re.search(r"-c '(import re, tomllib.*?)' >", (project / "Makefile").read_text())[1].replace("$$", "$")
    done = subprocess.run([sys.executable, "-c", program], cwd=project, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == sorted(line.replace(">=", "==") for line in requirements)


def test_the_readmes_first_table_is_the_studys(project):
    page, kept = (project / name for name in ("README.md", "figures/systems/overview.md"))
    table = page.read_text().partition("<!-- systems -->\n")[2].partition("<!-- end of systems -->")[0]
    assert table == kept.read_text(), "python studies/ship.py readme studies/systems.toml"


@pytest.mark.parametrize("name", ["systems", "choices"])
def test_each_systems_page_says_what_the_studys_record_says(project, name):
    record = read_record(project / "figures" / name)
    pages = sorted((record.folder / "pages").glob("*.md"))
    assert pages
    for page in pages:
        assert page.read_text() == system_page(record, page.stem), f"srkit study figures studies/{name}.toml"


def test_the_systems_of_a_task_stand_together_below_its_bicubic(project):
    lines = (project / "figures/systems/overview.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in lines if line.startswith("| x")]
    tasks = [list(systems) for _, systems in groupby(rows, key=lambda row: row[0])]
    assert len(tasks) == len({task for task, _ in rows})
    assert {systems[0][1] for systems in tasks} == {"bicubic"}
