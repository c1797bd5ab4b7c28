"""How a recipe is written into a run's record, and its generator built from there again."""

import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from srkit import generator as generators
from srkit import losses, parts
from srkit.declarations import OwnLoss
from srkit.files import SrkitError
from srkit.losses import Loss
from srkit.recipes import Phase, Recipe


def describe(thing: Any) -> Any:
    """A recipe or a part of one as plain dictionaries, for a run's record: {"name": "SRResNet", "scale": 4, ...}.

    A part of one's own has "from" too, its module and the SHA-256 of its source.
    """
    if isinstance(thing, partial):
        return _named(thing.func) | {key: describe(value) for key, value in thing.keywords.items()}
    if isinstance(thing, Phase):
        weighed = [describe(loss) | _own_term(loss) | {"weight": weight} for loss, weight in thing.losses.items()]
        return {key: describe(value) for key, value in vars(thing).items()} | {"losses": weighed}
    if isinstance(thing, Recipe):
        return {key: describe(value) for key, value in vars(thing).items()}
    if thing is None or isinstance(thing, str | int | float):
        return thing
    if isinstance(thing, tuple | list):
        return [describe(item) for item in thing]
    if isinstance(thing, Mapping):
        return {str(key): describe(value) for key, value in thing.items()}
    if isinstance(thing, type) or not hasattr(thing, "__dict__") or hasattr(thing, "__code__"):
        return _named(thing) if callable(thing) else str(thing)
    if isinstance(thing, OwnLoss):
        return describe(thing.loss)
    if is_dataclass(thing):
        return _named(type(thing)) | {key: describe(value) for key, value in vars(thing).items()}
    return _named(type(thing)) | {
        key: value for key, value in vars(thing).items() if isinstance(value, str | int | float)
    }


def _own_term(loss: Loss) -> dict[str, str]:
    """The term of a loss of one's own, where it is not the pixel loss's; srkit's are told by their names."""
    known = getattr(losses, type(loss).__name__, Loss)
    return {"term": loss.term} if loss.term != known.term else {}


def said(thing: Any) -> str:
    """What a thing says of itself, in the next process too: repr, but for a function's address."""
    return re.sub(" at 0x[0-9a-f]+", "", repr(thing))


def _named(thing: Any) -> dict[str, Any]:
    where = parts.origin(thing)
    return {"name": thing.__name__} | ({"from": where} if where else {})


def sources(recipe: Recipe) -> dict[str, str]:
    """The text that defines each part of one's own, by its name, for a run's record."""
    things = [part.func for part in (recipe.generator, recipe.discriminator) if part]
    used = [getattr(loss, "loss", loss) for phase in recipe.phases for loss in phase.losses]
    used += [recipe.degradation, *(phase.schedule for phase in recipe.phases if callable(phase.schedule))]
    things += map(parts.defined_by, used)
    return {thing.__name__: parts.source(thing) for thing in things if parts.origin(thing)}


def build(recipe: Recipe, scale: int | None = None) -> nn.Module:
    """A recipe's generator with fresh weights, at its scale or another one. SrkitError where it has none such."""
    scale = scale or recipe.scale
    network = parts.with_options(recipe.generator, scale=scale)()
    if getattr(network, "scale", None) != scale:
        raise SrkitError(f"{recipe.name}: its {type(network).__name__} is not for x{scale}: take another --scale.")
    return network


def build_generator(description: Mapping[str, Any], folder: Path | None = None) -> nn.Module:
    """The generator that `describe` wrote down, with fresh weights. folder: of the run whose record it is."""

    def built(value: Any) -> Any:
        if isinstance(value, Mapping) and "from" in value:
            return parts.find_part(value["name"], value["from"], folder)
        return tuple(value) if isinstance(value, list) else value

    kind = built(description) if "from" in description else getattr(generators, description["name"], None)
    if not callable(kind):
        raise SrkitError(f"this srkit has no generator {description['name']!r}: open it with the version that made it.")
    options = {key: built(value) for key, value in description.items() if key not in ("name", "from")}
    try:
        return kind(**options)
    except TypeError as error:  # of another version, with other options
        way = "open it with the version that made it"
        raise SrkitError(f"this srkit builds no {description['name']} of that record ({error}): {way}.") from error
