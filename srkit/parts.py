"""What a part of a recipe must offer, and how a part of one's own is recorded and found again.

A generator is an nn.Module with a whole number `scale` and `forward`, and no more: LR (N, 3, H, W) in [0, 1], of any
height and width, to SR (N, 3, scale H, scale W); a little beyond [0, 1] is allowed, since SR is clipped when it is
shown. A class whose __init__ takes `scale`, `channels` or `blocks` gets them from the recipe and the profile; one that
does not is built as it is.

A discriminator is an nn.Module that turns pictures (N, 3, H, W) in [0, 1] into logits, any shape (N, ...). A class
whose __init__ takes `crop` is told the side of the pictures that it will see.

A loss is called with SR and HR, both (N, 3, H, W) in [0, 1], and returns a scalar with a gradient for SR; what it may
offer besides, and what an adversarial loss must, is in `losses.Loss` and `losses.AdversarialLoss`.

A degradation makes LR (N, 3, H, W) of HR (N, 3, scale H, scale W), both in [0, 1]; it is called with hr, scale and
seed, and what is random in it depends on the seed alone.

A schedule is called with step, from 0, and steps, and returns a phase's learning rate as a share of its lr, 0 or more.

Each may be defined anywhere: in a notebook's cell, in a file of one's own, in a package. It is recorded by its module,
its name and the SHA-256 of its source, with the source's text.
"""

import hashlib
import importlib
import importlib.util
import inspect
import linecache
import re
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from srkit.files import SrkitError, expanded, near
from srkit.paths import home

OWN = "srkit_user."  # before the names of modules that are files which the user named
NAMED: dict[str, Any] = {}  # what recipes that the user named or made in this process are built from, by name


def check_name(recipe: str) -> None:
    """Raise SrkitError for a recipe's name that can be no folder's, or would break a table's."""
    if not re.fullmatch(r"[^/\\,\s]+", recipe):
        raise SrkitError(f"{recipe!r} is no name for a recipe: it becomes a folder's, so leave out / , and spaces.")


def as_partial(part: Any, recipe: str, role: str) -> partial:
    """A class, a function or a partial of one, as a recipe keeps it. SrkitError for a network that is built already."""
    if isinstance(part, nn.Module) or not callable(part):
        name = type(part).__name__
        raise SrkitError(f"{recipe}: its {role} is a {name}: give the class, {name}, or partial({name}, ...).")
    return part if isinstance(part, partial) else partial(part)


def options(part: partial) -> dict[str, Any]:
    """What a part is built with: its own defaults, and what the recipe says instead."""
    named = {name: p.default for name, p in inspect.signature(part.func).parameters.items() if p.kind not in (2, 4)}
    return named | part.keywords


def with_options(part: partial, **values: Any) -> partial:
    """The part with other values of those options that it has; what it does not know is not told to it."""
    asked = options(part)
    return partial(part.func, *part.args, **part.keywords | {k: v for k, v in values.items() if k in asked})


def defined_by(part: Any) -> type | Callable:
    """What defines a loss, a degradation or a schedule: the function that it is, or its class."""
    return part if hasattr(part, "__name__") else type(part)


def origin(thing: type | Callable) -> dict[str, str]:
    """Of a class or a function of one's own: its module and the SHA-256 of its source. Empty for srkit's own."""
    module = getattr(thing, "__module__", "") or ""
    if module.partition(".")[0] == "srkit":
        return {}
    text = source(thing)
    return {"module": module.removeprefix(OWN)} | (
        {"sha256": hashlib.sha256(text.encode()).hexdigest()} if text else {}
    )


def source(thing: type | Callable) -> str:
    """The text of the file or the notebook's cell that defines it; empty where that is gone, and for libraries."""
    members = [thing, *vars(thing).values()] if isinstance(thing, type) else [thing]
    files = [getattr(getattr(member, "__code__", None), "co_filename", "<") for member in members]
    module = sys.modules.get(getattr(thing, "__module__", ""))
    if getattr(module, getattr(thing, "__name__", ""), None) is thing:  # it may have functions of `dataclass` alone
        files.append(getattr(module, "__file__", None) or "<")
    libraries = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")]  # known by their versions
    for file in files:
        if file.startswith("<") or any(folder in Path(file).parents for folder in libraries):
            continue
        linecache.checkcache(file)
        if lines := linecache.getlines(file):
            return "".join(lines)
    return ""


def load_file(word: str) -> Any:
    """What my_recipes.py:NAME means: the file is run as a module, and its NAME returned.

    Raises SrkitError, in one sentence, for a file that is missing or does not run, and a name that it does not have.
    """
    file, _, name = word.rpartition(":")
    path = expanded(file)
    path = (path if path.is_file() else home() / path).resolve()  # notebooks run in a folder of their own
    if not path.is_file():
        raise SrkitError(f"{file} is not there: name a Python file and a recipe in it, as my_recipes.py:MINE.")
    module = _run(path)
    if not hasattr(module, name):
        known = [key for key in vars(module) if not key.startswith("_")]
        raise SrkitError(f"{file} has no {name!r}: {near(name, known)}define it there, or name another one.")
    return getattr(module, name)


def _run(path: Path) -> ModuleType:
    """A file as a module under its own name, once a process; its folder is searched for what it imports."""
    name = OWN + path.stem
    loaded = sys.modules.get(name)
    if loaded and Path(loaded.__file__) == path:
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that a class's module, and with it its source, is found
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        if isinstance(error, SrkitError):
            raise SrkitError(f"{path.name}: {error}") from error
        lines = [at.lineno for at in traceback.extract_tb(error.__traceback__) if at.filename == str(path)]
        line = getattr(error, "lineno", None) or next(reversed(lines), None)
        words = getattr(error, "msg", None) or str(error) or "no words"
        at = f" at line {line}" if line else ""
        raise SrkitError(f"{path.name} does not run: {type(error).__name__}{at} ({words}).") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def remember(recipe: Any) -> None:
    """Keep what a recipe is built from, so that runs whose record names it are opened."""
    for part in filter(None, (recipe.generator, recipe.discriminator)):
        if origin(part.func):
            NAMED[part.func.__name__] = part.func


def find_part(name: str, where: Mapping[str, str], folder: Path | None = None) -> type[nn.Module]:
    """The class that a run's record names: one that was named or made in this process, or one that can be imported.

    folder: the run's. Nothing that lies there, or beside it, is ever imported. Warns where the source has changed.
    Raises SrkitError, with what to name, where it is not found.
    """
    module = where.get("module", "")
    found = NAMED.get(name) or getattr(sys.modules.get(module), name, None)
    if found is None and module and _lies_elsewhere(module, folder):
        try:
            found = getattr(importlib.import_module(module), name, None)
        except Exception as error:
            raise SrkitError(
                f"{name} is defined in {module}, which does not import ({type(error).__name__}: {error}): mend it, or "
                "name a recipe that has it by --recipe my_recipes.py:MINE."
            ) from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)) and found not in NAMED.values():
        here = module == "__main__"
        at, way = ("in a notebook", "run its cell first") if here else (f"in {module}", "import it first")
        of = f" of {folder}" if folder else ""
        raise SrkitError(
            f"the network {name}{of} was defined {at}, which is not here: {way}, or name a recipe that has it by "
            "--recipe my_recipes.py:MINE (its source is kept in config.json)."
        )
    if where.get("sha256") and origin(found).get("sha256") not in (None, where["sha256"]):
        warnings.warn(f"the source of {name} has changed since {folder or 'this'} was trained with it.", stacklevel=2)
    return found


def _lies_elsewhere(module: str, folder: Path | None) -> bool:
    """Whether a module can be imported, and from a place that came with no run."""
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])  # the package alone: nothing runs to find it
    except (ImportError, ValueError):
        return False
    if spec is None or module == "__main__":
        return False
    places = [Path(each).resolve() for each in [spec.origin, *(spec.submodule_search_locations or ())] if each]
    return folder is None or not any(folder.resolve().parent in place.parents for place in places)
