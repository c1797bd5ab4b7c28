"""One recipe made into another by dotted names: "generator.norm", "phases.gan.losses.adversarial.weight"."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import partial
from types import ModuleType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from torch import nn

from srkit import degradations, discriminator, generator, losses
from srkit.declarations import Phase, Recipe
from srkit.degradations import find_degradation
from srkit.files import SrkitError, near
from srkit.losses import Loss
from srkit.parts import options

FIXED = ("name", "phases", "scale")  # a recipe's name and scale are the entry's own


def vary(recipe: Recipe, changes: Mapping[str, Any], drop: list[str] | tuple[str, ...] = ()) -> Recipe:
    """The recipe with each change made, those of its networks first, and what `drop` names taken out of it.

    docs/howto/studies.md says what a name may be. Raises SrkitError for a name or a value that does not fit.
    """
    for path in sorted(changes, key=lambda path: path.startswith("phases")):  # a loss may ask for a kind of network
        try:
            recipe = _vary(recipe, path, changes[path])
        except SrkitError as error:
            said = str(error).removeprefix(f"{recipe.name}: ")
            raise SrkitError(said if path in said else f"{path}: {said}") from error
    for path in drop:
        recipe = _drop(recipe, path)
    return recipe


def degradation(value: Any) -> Any:
    """A degradation by its short name, such as "wild", or as a table, {"name": "BlurDown", "sigma": 2.0}."""
    if isinstance(value, str) and value not in _classes(degradations):
        return find_degradation(value)
    return _whole("degradation", value, degradations)


def update(thing: Any, changes: Mapping[str, Any], what: str) -> Any:
    """A dataclass, or a network as recipes keep it, with other fields or options, each checked against its type."""
    network = isinstance(thing, partial)
    if not network and not is_dataclass(thing):
        raise SrkitError(f"{type(thing).__name__} has no options to change: make its class a dataclass.")
    cls, owner = (thing.func, thing.func.__name__) if network else (type(thing), what)
    parameters = inspect.signature(cls).parameters
    hints = {name: _hint(parameters[name]) for name in (options(thing) if network else parameters)}
    values = {name: suited(f"{what}.{name}", value, known(name, hints, owner)) for name, value in changes.items()}
    return partial(thing.func, **thing.keywords | values) if network else replace(thing, **values)


def known(name: str, names: Mapping[str, Any], what: str) -> Any:
    """names[name]; SrkitError with the nearest names, or all of them, where there is none such."""
    if name in names:
        return names[name]
    way = near(name, names).strip() or f"choose one of {', '.join(names)}."
    raise SrkitError(f"{what} has no {name!r}: {way}")


def suited(path: str, value: Any, hint: Any, least: int = 1) -> Any:
    """TOML's value as Python's, where a field takes its kind: whole numbers from `least` on, others from 0, finite."""
    value = _native(value)
    if not _suits(value, hint):
        kind = " or ".join(map(repr, get_args(hint))) if get_origin(hint) is Literal else _in_words(hint)
        raise SrkitError(f"{path} = {value!r} does not fit: it takes {kind}.")
    numbers = [n for n in (value if isinstance(value, tuple) else (value,)) if type(n) in (int, float)]
    least = 0 if "float" in str(hint) else least
    if hint is not Any and not all(least <= n < math.inf for n in numbers):
        raise SrkitError(f"{path} = {value!r} is out of range: give a number of {least} or more.")
    return value


def _vary(recipe: Recipe, path: str, value: Any) -> Recipe:
    head, _, rest = path.partition(".")
    if head == "phases" and rest:
        name, _, rest = rest.partition(".")
        phase = known(name, {phase.name: phase for phase in recipe.phases}, f"{recipe.name}'s phases")
        changed = _vary_phase(phase, rest, value, path)
        return replace(recipe, phases=tuple(changed if each is phase else each for each in recipe.phases))
    names = {field.name: field.type for field in fields(Recipe) if field.name not in FIXED}
    known(head, names, "a recipe")
    part, rooms = getattr(recipe, head), {"generator": generator, "discriminator": discriminator}
    if rest and head not in (*rooms, "degradation"):
        raise SrkitError(f"{head} has no parts: write {head} alone.")
    if rest and part is None:
        raise SrkitError(f"{path}: this recipe has no {head}: name a whole one first.")
    if rest:
        new = update(part, {rest: value}, head)
    elif head in rooms:
        new = _whole(head, value, rooms[head])
    else:
        new = degradation(value) if head == "degradation" else suited(path, value, names[head])
    return replace(recipe, **{head: new})


def _vary_phase(phase: Phase, rest: str, value: Any, path: str) -> Phase:
    head, _, rest = rest.partition(".")
    if head != "losses" or not rest:
        hints = {field.name: field.type for field in fields(Phase) if field.name not in ("name", "losses")}
        return replace(phase, **{head: suited(path, value, known(head, hints, "a phase"))})
    term, _, option = rest.partition(".")
    here = _by_term(phase, term)
    if option:
        loss = known(term, here, f"phase {phase.name}")
        new, weight = loss, phase.losses[loss]
        if option == "weight":
            weight = suited(path, value, float)
        else:
            new = update(loss, {option: value}, f"phases.{phase.name}.losses.{term}")
    else:
        loss, table = here.get(term), value if isinstance(value, dict) else {"name": value}
        weight = suited(f"{path}.weight", table.get("weight", phase.losses.get(loss)), float)
        new = _whole(path, {name: each for name, each in table.items() if name != "weight"}, losses)
        if new.term != term:
            raise SrkitError(f"{type(new).__name__} is no {term} loss: write phases.{phase.name}.losses.{new.term}.")
    kept = {new if each is loss else each: weight if each is loss else old for each, old in phase.losses.items()}
    return replace(phase, losses=kept if loss else kept | {new: weight})


def _by_term(phase: Phase, wanted: str) -> dict[str, Loss]:
    """The losses of a phase by their terms. SrkitError where the term that is wanted is that of several."""
    if [loss.term for loss in phase.losses].count(wanted) > 1:
        raise SrkitError(f"phase {phase.name} has several {wanted} losses: give a class of your own another term.")
    return {loss.term: loss for loss in phase.losses}


def _drop(recipe: Recipe, path: str) -> Recipe:
    places = {f"phases.{phase.name}": (phase, None) for phase in recipe.phases}
    for phase in recipe.phases:
        here = _by_term(phase, path.removeprefix(f"phases.{phase.name}.losses."))
        places |= {f"phases.{phase.name}.losses.{term}": (phase, loss) for term, loss in here.items()}
    phase, gone = known(path, places, f"what {recipe.name} may drop")
    fewer = replace(phase, losses={loss: weight for loss, weight in phase.losses.items() if loss is not gone})
    kept = tuple(fewer if each is phase else each for each in recipe.phases if gone or each is not phase)
    if not kept or not fewer.losses:
        raise SrkitError(f"without {path} there is nothing left to train with: leave it in.")
    return replace(recipe, phases=kept)


def _whole(what: str, value: Any, module: ModuleType) -> Any:
    """A whole part of the kind that a module defines, from its name alone, or a table with its name and options."""
    table = {"name": value} if isinstance(value, str) else value
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise SrkitError(f"{what} = {value!r} does not fit: it takes a name, or a table with one.")
    cls = known(table["name"], _classes(module), module.__name__)
    more = {name: each for name, each in table.items() if name != "name"}
    return update(partial(cls) if issubclass(cls, nn.Module) else cls(), more, what)


def _classes(module: ModuleType) -> dict[str, type]:
    """The parts of recipes that a module defines: losses, degradations, and networks that take a scale or a crop."""
    own = [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__]
    sizes = {"scale", "crop"}
    return {cls.__name__: cls for cls in own if is_dataclass(cls) or sizes & inspect.signature(cls).parameters.keys()}


def _native(value: Any) -> Any:
    """A list is a tuple, "none" is None."""
    if isinstance(value, list):
        return tuple(map(_native, value))
    return None if value == "none" else value


def _hint(parameter: inspect.Parameter) -> Any:
    """The kind that a parameter takes: by its annotation, or else, as in a class of one's own, by its default."""
    if parameter.annotation is not parameter.empty and not isinstance(parameter.annotation, str):
        return parameter.annotation
    kinds = {bool: bool, str: str, tuple: tuple, int: float, float: float}
    return kinds.get(type(parameter.default), Any)


def _suits(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_suits(value, each) for each in args)
    if origin is Literal:
        return value in args
    if origin is tuple:
        each = args[:1] * len(value) if isinstance(value, tuple) and args[-1] is Ellipsis else args
        return isinstance(value, tuple) and len(each) == len(value) and all(map(_suits, value, each))
    if hint in (None, type(None)):
        return value is None
    if hint in (int, float):
        return type(value) is int or (hint is float and type(value) is float)
    return isinstance(value, origin or hint)


def _in_words(hint: Any) -> str:
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): '"none"'}
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(_in_words, get_args(hint)))
    if get_origin(hint) is tuple:
        return f"a list of {_in_words(get_args(hint)[0]).removeprefix('a ')}s"
    return words.get(hint, str(hint))
