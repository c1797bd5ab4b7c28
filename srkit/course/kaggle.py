"""The notebooks on Kaggle: their badges, kernels built and pushed, and runs that a cut session left, gone on with."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from srkit import __version__
from srkit.course.notebooks import chapters, choose, plain_path, read_chapter, recipe_for
from srkit.data.download import kaggle
from srkit.data.registry import find_data
from srkit.files import SrkitError, expanded, write_text
from srkit.paths import home, inputs
from srkit.profiles import find_profile

TEXTS = tomllib.loads(files("srkit.course").joinpath("kaggle.toml").read_text(encoding="utf-8"))


def repository() -> str:
    """The address of the project's repository, from [project.urls] in pyproject.toml; empty where it is not set."""
    try:
        settings = tomllib.loads((home() / "pyproject.toml").read_text(encoding="utf-8"))
    except OSError:
        return ""
    return settings["project"].get("urls", {}).get("Repository", "").removesuffix("/")


def with_badges(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """A notebook with a cell below its title that opens it on Kaggle and Colab; without where no repository is set."""
    first, *cells = (cell for cell in notebook["cells"] if cell.get("id") != "badges")
    if address := repository():
        place = f"{address}/blob/main/notebooks/{name}.ipynb"
        colab = place.replace("https://github.com", "https://colab.research.google.com/github")
        text = TEXTS["badges"].format(place=place, colab=colab, address=address)
        lines = text.splitlines(keepends=True)
        cells.insert(0, {"cell_type": "markdown", "id": "badges", "metadata": {}, "source": lines})
    return notebook | {"cells": [first, *cells]}


def write_badges(folder: Path | None = None) -> list[Path]:
    """Write the badges into every notebook, or take them out where no repository is set; returns those that changed."""
    changed = []
    for chapter in chapters(folder):
        text = text_of(with_badges(json.loads(chapter.path.read_text(encoding="utf-8")), chapter.name))
        if text != chapter.path.read_text(encoding="utf-8"):
            write_text(chapter.path, text)
            changed.append(chapter.path)
    return changed


def text_of(notebook: dict[str, Any]) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def build(
    out: Path,
    user: str,
    profile: str = "gpu",
    recipe: str = "srgan",
    data: str = "starter",
    only: str | None = None,
    wheel: bool = True,
    previous: str | None = None,
) -> list[Path]:
    """Write, for each notebook, a folder with it and its kernel-metadata.json, for `kaggle kernels push -p`.

    user: whose kernels they are. wheel: whether to build the wheel of srkit too, which every kernel has attached as
    USER/srkit-wheel. previous: OWNER/KERNEL whose output is attached, for 05 to go on from.
    """
    import nbformat
    from nbformat.v4 import new_code_cell
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    find_profile(profile)
    if Path(data).is_dir():
        way = "make it a data set of Kaggle, and give kaggle:OWNER/SLUG"
        raise SrkitError(f"{data} is a folder of this machine: {way}.")
    source = find_data(data)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", user):
        raise SrkitError(f"{user!r} is no name on Kaggle: give the one in the address of your profile there.")
    attached = [*filter(None, [source.kaggle]), f"{user}/srkit-wheel"]
    fetched = TEXTS["fetch"].format(data=data) if source.archives or source.parts else ""
    chosen = [(chapter, recipe_for(chapter, recipe)) for chapter in choose(chapters(), only)]
    folders = [_wheel(out / "srkit-wheel", user)] if wheel else []
    for chapter, its_recipe in chosen:
        given = {"PROFILE": profile, "DATA": data, "RECIPE": its_recipe}
        given |= {"MAX_MINUTES": 500.0, "RESUME_FROM": previous or ""}  # a session is cut after 9 hours
        given = {name: value for name, value in given.items() if name in chapter.parameters}
        notebook = parameterize_notebook(load_notebook_node(plain_path(chapter.path)), given)
        notebook.cells.insert(1, new_code_cell(TEXTS["install"] + fetched, id="install"))
        slug = f"srkit-{chapter.name.replace('_', '-')}"
        metadata = {"id": f"{user}/{slug}", "title": slug.replace("-", " "), "code_file": chapter.path.name}
        metadata |= TEXTS["kernel"] | {"dataset_sources": attached, "kernel_sources": [previous] if previous else []}
        folders.append(out / slug)
        write_text(out / slug / chapter.path.name, nbformat.writes(notebook))
        write_text(out / slug / "kernel-metadata.json", json.dumps(metadata, indent=2) + "\n")
        read_chapter(out / slug / chapter.path.name)
    return folders


def push(out: Path) -> list[str]:
    """Give what `build` wrote to Kaggle's client, the wheel first; returns what it said."""
    wheels, kernels = (sorted(out.glob(f"*/{kind}-metadata.json")) for kind in ("dataset", "kernel"))
    if not kernels:
        raise SrkitError(f"{out} holds no built kernels: `srkit kaggle build` makes them.")
    said = []
    for folder in (path.parent for path in wheels):
        try:
            said.append(kaggle("datasets", "version", "-p", str(folder), "-r", "zip", "-m", f"srkit {__version__}"))
        except SrkitError:  # there is none of which this could be a version
            said.append(kaggle("datasets", "create", "-p", str(folder), "-r", "zip"))
    return said + [kaggle("kernels", "push", "-p", str(path.parent)) for path in kernels]


def bring_back(previous: str | Path, runs: Path) -> list[Path]:
    """Copy the runs of an earlier session into `runs`, to go on with; what is there already stays. The new folders.

    previous: a folder, or OWNER/KERNEL, whose output Kaggle attaches read-only. Raises SrkitError where it is not here.
    """
    places = [expanded(previous), inputs() / "notebooks" / previous, inputs() / Path(previous).name]
    found = [place for place in places if place.is_dir()]
    if not found:
        raise SrkitError(f"{previous} is not attached here: add the earlier notebook's output by Add Input.")
    brought = []
    for config in sorted([*found[0].glob("*/config.json"), *found[0].glob("runs/*/config.json")]):
        target = runs / config.parent.name
        if target.exists():
            continue
        beside = runs / f".{target.name}-new"
        shutil.rmtree(beside, ignore_errors=True)
        for path in (path for path in config.parent.rglob("*") if path.is_file()):
            copy = beside / path.relative_to(config.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)  # the content alone: what is attached may not be written to
        beside.replace(target)
        brought.append(target)
    return brought


def _wheel(folder: Path, user: str) -> Path:
    """Build srkit's wheel, and put the records of studies beside it, into a folder that is pushed as a data set."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as copy:  # setuptools leaves files where it builds, and takes old ones in
        for path in home().iterdir():
            if path.name in ("srkit", "pyproject.toml", "README.md", "LICENSE"):
                (shutil.copytree if path.is_dir() else shutil.copyfile)(path, Path(copy, path.name))
        words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), copy]
        done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise SrkitError(f"no wheel could be built of {home()} ({last}): build from a checkout.")
    metadata = {"title": "srkit wheel", "id": f"{user}/srkit-wheel", "licenses": [{"name": "other"}]}
    write_text(folder / "dataset-metadata.json", json.dumps(metadata, indent=2) + "\n")
    for record in home().glob("figures/*/study.json"):  # the real results that notebooks show; see course.studies
        print_only = shutil.ignore_patterns("*.pdf", "*.tex")
        shutil.copytree(record.parent, folder / record.parent.relative_to(home()), ignore=print_only)
    return folder
