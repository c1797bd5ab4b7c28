"""The course's notebooks as files: where they are, which parameters each takes, what each promises to write."""

import ast
import json
from dataclasses import dataclass
from pathlib import Path

from srkit.files import SrkitError
from srkit.paths import home

SUFFIXES = (".pdf", ".png", ".csv")


def recipe_names(recipe: str) -> list[str]:
    """The recipes that a RECIPE parameter means: itself, or for "all" every one, with srgan, the course's own, last."""
    from srkit.recipes import RECIPES, find_recipe

    if recipe == "all":
        return sorted(RECIPES, key=lambda name: name == "srgan")
    find_recipe(recipe)  # an error, where there is none such
    return [recipe]


def recipe_for(chapter: "Chapter", recipe: str) -> str:
    """The RECIPE that a notebook is given: of "all", the course's own where it is on a single system."""
    names = recipe_names(recipe)
    return recipe if chapter.number in ("05", "06") else names[-1]


def environment(profile: str, seed: int) -> str:
    """One line for the top of a notebook: device, versions, profile, seed.

    From here on figures have srkit's style, and a warning is a sentence of the output, without file and line.
    """
    import platform
    import warnings

    import torch

    from srkit import __version__
    from srkit.device import find_device
    from srkit.figures import use_style

    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
        print(f"Note: {message}") if category is UserWarning else usual(message, category, *where, **more)

    use_style()
    warnings.showwarning = show
    there = find_device()
    device = f"CPU, threads: {torch.get_num_threads()}" if there.kind == "cpu" else there.title
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, srkit {__version__}"
    return f"{device} | {versions} | {profile} profile, seed {seed}"


@dataclass(frozen=True)
class Chapter:
    """One notebook: its parameters with their defaults, the figures it writes, the number of its code cells."""

    path: Path
    parameters: dict[str, object]
    writes: tuple[str, ...]
    code_cells: int

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> str:
        return self.name.partition("_")[0]

    def files(self, folder: Path) -> list[Path]:
        """The files that it promises: each figure in its three forms; a name with a suffix is that one file."""
        return [folder / f"{name}{end}" for name in self.writes for end in ([""] if Path(name).suffix else SUFFIXES)]


def chapters(folder: Path | str | None = None) -> list[Chapter]:
    """All numbered notebooks of `folder` (default: the project's), in order. Raises SrkitError where there is none."""
    folder = Path(folder or home() / "notebooks").resolve()
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise SrkitError(f"{folder} holds no numbered notebooks: run from a checkout of srkit.")
    return [read_chapter(path) for path in paths]


def read_chapter(path: Path) -> Chapter:
    """What a notebook declares, read without running it; SrkitError where that is missing or computed."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError) as error:
        raise SrkitError(f"{path} is not a readable notebook ({error}): restore it from git.") from error
    _tagged(cells, "parameters", path)
    writes = _tagged(cells, "writes", path).partition("=")[2]
    import papermill

    try:
        found = papermill.inspect_notebook(plain_path(path))
    except ValueError as error:
        raise SrkitError(f"{path.name} does not say for which kernel it is ({error}): save it in Jupyter.") from error
    return Chapter(
        path=path,
        parameters={name: _literal(entry["default"], path) for name, entry in found.items()},
        writes=tuple(_literal(writes.strip() or "()", path)),
        code_cells=sum(cell["cell_type"] == "code" for cell in cells),
    )


def plain_path(path: Path) -> str:
    """The path as papermill takes it, which would put parameters between its braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def choose(everything: list[Chapter], only: str | None) -> list[Chapter]:
    """The chapters that `only` asks for: numbers or names between commas ("03,05", "losses"); None is all of them."""
    if not only:
        return everything
    words = [word.removesuffix(".ipynb") for part in only.split(",") if (word := part.strip())]
    if not words:
        raise SrkitError(f"--only {only!r} names no notebook: write it as --only 03,05, or leave it out.")
    names = {chapter.name: {chapter.name, *chapter.name.split("_", 1)} for chapter in everything}
    for word in words:
        if not any(word in each for each in names.values()):
            raise SrkitError(f"There is no notebook {word!r}: choose from {', '.join(names)}.")
    return [chapter for chapter in everything if names[chapter.name].intersection(words)]


def check_parameters(chapter: Chapter, given: dict[str, object]) -> None:
    """Refuse a parameter that the notebook does not have, or a value of another type than its default."""
    for name, value in given.items():
        if name not in chapter.parameters:
            known = ", ".join(chapter.parameters)
            raise SrkitError(f"{chapter.name} has no parameter {name}: it knows {known}.")
        default = chapter.parameters[name]
        numbers = isinstance(default, float) and type(value) is int
        if default is not None and type(value) is not type(default) and not numbers:
            wanted = f"of type {type(default).__name__}, such as {default!r}"
            raise SrkitError(f"{chapter.name} wants {name} to be {wanted}, and got {value!r}.")


def _tagged(cells: list[dict], tag: str, path: Path) -> str:
    for cell in cells:
        if tag in cell.get("metadata", {}).get("tags", []):
            return "".join(cell["source"])
    raise SrkitError(f"{path.name} has no cell tagged `{tag}`: every notebook of the course needs one.")


def _literal(text: str, path: Path) -> object:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError) as error:
        fault = f"{path.name} computes something in a cell of literals"
        raise SrkitError(f"{fault} ({error}): write the value out.") from error
