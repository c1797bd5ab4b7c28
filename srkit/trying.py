"""How a part of a recipe is called when it is tried: what it raises and what it returns, in one sentence."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from srkit.declarations import OwnLoss
from srkit.files import SrkitError
from srkit.losses import AdversarialLoss
from srkit.parts import defined_by


def tried(call: Callable[[], Any], fault: str, advice: str = "") -> Any:
    """What a part of one's own makes; SrkitError, the fault and then what it raised, where it makes nothing."""
    try:
        return call()
    except SrkitError:
        raise
    except Exception as error:
        raise SrkitError(f"{fault} ({type(error).__name__}: {error}){advice}.") from error


def slope(name: str, value: Any, by: Tensor, to: str) -> Tensor:
    """The gradient of a scalar; SrkitError, naming what made it, where it is none or not finite, or has no gradient."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        made = f"a tensor of {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise SrkitError(f"{name} returns {made}, and not a scalar: take its mean.")
    if not value.isfinite():
        raise SrkitError(f"{name} is {value.item()} on noise: a loss must be finite.")
    found = torch.autograd.grad(value.sum(), by, allow_unused=True)[0] if value.requires_grad else None
    if found is None or not found.any():
        raise SrkitError(f"no gradient leads from {name} to {to}.")
    return found


def adversary(loss: AdversarialLoss, name: str) -> None:
    """Raise SrkitError where a side of an adversarial loss is no finite scalar with a gradient for the logits."""
    real, fake = (torch.tensor(logits).view(2, 1).requires_grad_() for logits in ([-0.5, 0.8], [-0.7, 0.4]))
    for side, logits, by, to in (
        ("for_generator", (fake, real) if loss.needs_real else (fake,), fake, "SR"),
        ("for_discriminator", (real, fake), real, "HR"),
    ):
        value = tried(partial(getattr(loss, side), *logits), f"{name}.{side} does not take logits")
        slope(f"{name}.{side}", value, by, f"the logits of {to}")


def name_of(loss: Any) -> str:
    """What messages call a loss or a degradation: its function's name, or its class's."""
    return defined_by(loss.loss if isinstance(loss, OwnLoss) else loss).__name__
