"""Files of weights: srkit's own with their card, bare ones of a recipe, and public ones through spandrel."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from srkit.files import SrkitError, expanded, replacing
from srkit.recipes import Recipe, find_recipe
from srkit.records import build, build_generator
from srkit.wrappers import Padded, Sharpened

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
# The names under which others keep weights in a file.
WRAPPERS = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net")


def open_weights(path: Path | str, recipe: str | Recipe | None = None, scale: int | None = None) -> nn.Module:
    """A generator from a file of weights, in eval mode on the CPU.

    A safetensors file of a run, or with its card beside it, says itself what network it is of; any other is of the
    `recipe` that is named (at `scale`, or its own), or of a public architecture that spandrel recognises. No file ever
    runs code: what is not safetensors is opened with weights_only=True. Raises SrkitError for one that is not there,
    damaged, of another network, or of another scale than the one named.
    """
    path = expanded(path)
    if not path.is_file():
        raise SrkitError(f"{path} is not there: give a file of weights.")
    recipe = recipe and find_recipe(recipe)
    card = _card(path)
    if recipe and card and "from" not in card["generator"]:  # else the recipe says where the card's class is
        card = None
    if card:
        network, sharpening = build_generator(card["generator"], path.parent), card.get("sharpen", 0)
    elif recipe:
        network, sharpening = build(recipe, scale), recipe.sharpen
    else:
        return _public(path, _read(path), scale)
    load_weights(network, path, "what its card says" if card else f"{recipe.name} x{network.scale}")
    return (Sharpened(network, sharpening) if sharpening else network).eval()


def save_weights(network: nn.Module, path: Path) -> None:
    with replacing(path) as beside:
        save_file({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, beside)


def load_weights(network: nn.Module, path: Path, what: str = "") -> None:
    """Read a file into a network of the same shape, which is `what`; SrkitError where it is damaged or of another."""
    state, what = _read(path), what or f"this {type(network).__name__}"
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise SrkitError(
            f"{path} does not hold just the weights of {what}: name the recipe it is of by --recipe, and its --scale."
        ) from error
    check_weights(network, path)


def check_weights(network: nn.Module, name: object) -> None:
    """Raise SrkitError where a weight is not a finite number, which makes every answer NaN, or not float32."""
    for weight in filter(Tensor.is_floating_point, network.state_dict().values()):
        if not weight.isfinite().all():
            raise SrkitError(
                f"{name} holds weights that are not finite numbers: train them anew, or take an earlier file."
            )
        if weight.dtype != torch.float32:
            raise SrkitError(
                f"{name} holds {weight.dtype} weights, and srkit calculates in float32: give network.float()."
            )


def _card(path: Path) -> dict[str, Any] | None:
    """The recipe in the record beside a file of weights, a run's or a shipped one's; None where there is none."""
    for place in (path.with_suffix(".json"), path.parent / "config.json"):
        if path.suffix == ".safetensors" and place.exists():
            try:
                recipe = json.loads(place.read_text())["recipe"]
                _ = recipe["generator"]["name"]
                return recipe
            except (OSError, ValueError, KeyError, TypeError):
                continue  # somebody else's file
    return None


def _read(path: Path) -> Mapping[str, Tensor]:
    """The weights by name, out of what others wrap around them, perhaps of a DataParallel."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        raise SrkitError(f"{path} does not open as weights ({error}): fetch or train them anew.") from error
    except Exception as error:  # a damaged file fails in many ways, and one that holds code in another
        raise SrkitError(
            f"{path} does not hold just weights ({type(error).__name__}): save its state_dict as safetensors."
        ) from error
    for name in WRAPPERS:
        loaded = loaded[name] if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping) else loaded
    if not isinstance(loaded, Mapping) or not any(isinstance(value, Tensor) for value in loaded.values()):
        raise SrkitError(f"{path} does not hold just weights: save its state_dict as safetensors.")
    return {name.removeprefix("module."): value for name, value in loaded.items()}


def _public(path: Path, state: Mapping[str, Tensor], scale: int | None) -> nn.Module:
    """The network of somebody else, recognised by the names and shapes of its weights."""
    try:
        from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError
    except ImportError:
        raise SrkitError(
            f"{path} does not say what network it is of: name its recipe by --recipe, or, for a public file, "
            "pip install 'srkit[models]'."
        ) from None
    try:
        found = ModelLoader("cpu").load_from_state_dict(dict(state))
    except UnsupportedModelError:
        raise SrkitError(f"{path} is of no architecture that spandrel knows: name its recipe by --recipe.") from None
    except Exception as error:  # a file with weights missing fails wherever its architecture looks for them
        raise SrkitError(
            f"{path} looks like a known architecture and is not whole ({type(error).__name__}): fetch it anew."
        ) from error
    sizes = found.size_requirements
    if not isinstance(found, ImageModelDescriptor) or (found.input_channels, found.output_channels) != (3, 3):
        raise SrkitError(f"{path}, {found.architecture.name}, does not make RGB pictures of RGB pictures.")
    if found.purpose != "SR" or found.scale < 2:
        raise SrkitError(f"{path}, {found.architecture.name}, does not enlarge: give a network for super-resolution.")
    if scale and found.scale != scale:
        raise SrkitError(f"{path} enlarges {found.scale}-fold, not {scale}-fold: use --scale {found.scale}.")
    network = Padded(found.model, found.scale, sizes.multiple_of, sizes.minimum, found._call_fn)
    check_weights(network, path)
    return network.eval().requires_grad_()  # as any other network: what may be trained is what is counted
