"""What a recipe declares, and what it refuses: Recipe, and the Phases of its training."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from srkit import generator as generators
from srkit import parts
from srkit.degradations import BICUBIC
from srkit.discriminator import check_crop
from srkit.files import SrkitError
from srkit.losses import AdversarialLoss, Loss
from srkit.parts import options


@dataclass(frozen=True)
class OwnLoss(Loss):
    """A function or an object of one's own as a Loss; it counts as the pixel loss, unless it has a `term` itself."""

    loss: Any

    @property
    def term(self) -> str:
        return getattr(self.loss, "term", Loss.term)

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        return self.loss(sr, hr)

    def ready(self, device: torch.device | str) -> None:
        """Do what its own `ready` does, or put it on the device, where it is a network."""
        if hasattr(self.loss, "ready"):
            self.loss.ready(device)
        elif isinstance(self.loss, nn.Module):
            self.loss.to(device)


def _as_loss(loss: Any) -> Loss:
    """A loss as training takes it. SrkitError for a class, and for what cannot be called or is half an adversary."""
    if hasattr(loss, "for_discriminator") and not isinstance(loss, AdversarialLoss):
        name = type(loss).__name__
        raise SrkitError(f"{name} has a side for the discriminator: derive it from losses.AdversarialLoss.")
    if isinstance(loss, type) or not callable(loss):
        name = getattr(loss, "__name__", repr(loss))
        raise SrkitError(f"{name} is no loss: give one that is called with sr and hr, as {name}().")
    return loss if isinstance(loss, Loss) else OwnLoss(loss)


Schedule = Literal["constant", "step", "cosine"] | Callable[[int, int], float]


@dataclass(frozen=True)
class Phase:
    """One stretch of training. losses: each with its weight; an adversarial one among them brings in the discriminator.

    lr: learning rate of both networks, or of the generator where d_lr gives the discriminator's own (two time scales:
    Heusel et al. 2017, arXiv:1706.08500). schedule: "constant"; "step", a tenth of lr from the middle on; "cosine",
    down to 0 at the end; or a function of your own, schedule(step, steps), that gives the share of lr at a step of the
    phase, counted from 0. clip: the most that the norm of the generator's gradient may be, or None. crisp: whether the
    losses but for the adversarial one compare with HR after an unsharp mask, `srkit.high_order.crisp`.
    """

    name: Literal["psnr", "gan"]
    steps: int
    losses: Mapping[Any, float]
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Schedule = "constant"
    clip: float | None = None
    d_lr: float | None = None
    crisp: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "losses", {_as_loss(loss): weight for loss, weight in self.losses.items()})
        _check_schedule(self.schedule, self.steps)

    @property
    def adversarial(self) -> AdversarialLoss | None:
        """The adversarial loss, or None."""
        return next((loss for loss in self.losses if isinstance(loss, AdversarialLoss)), None)

    @property
    def discriminator_lr(self) -> float:
        """The learning rate of the discriminator."""
        return self.lr if self.d_lr is None else self.d_lr


def _check_schedule(schedule: Any, steps: int) -> None:
    """Raise SrkitError for a schedule that is no name that is known, nor a function that gives numbers."""
    if not callable(schedule):
        known = get_args(get_args(Schedule)[0])
        if schedule not in known:
            raise SrkitError(
                f"{schedule!r} is no schedule: choose {', '.join(known)}, or give a function(step, steps)."
            )
        return
    name = getattr(schedule, "__name__", type(schedule).__name__)
    for step in {0, steps // 2, max(0, steps - 1)}:
        try:
            share = float(schedule(step, steps))
        except (TypeError, ValueError, ArithmeticError) as error:
            raise SrkitError(f"the schedule {name} gives no number at step {step} of {steps} ({error}).") from error
        if not 0 <= share < math.inf:
            raise SrkitError(
                f"the schedule {name} gives {share} at step {step} of {steps}: a share of lr is 0 or more."
            )


@dataclass(frozen=True)
class Recipe:
    """One super-resolution system. Sizes are in pixels of HR; generator and discriminator are built when asked for.

    generator: called with scale; discriminator: called with crop. Either may be a class of your own: `srkit.parts` says
    what it must offer. degradation: how LR is made of HR. sharpen: amount of
    unsharp mask after the network, 0 for none. ema: decay of the running mean of the generator's weights, which is what
    gets evaluated and kept; 0 for none. alpha: the share of the second phase's weights in what is kept after it, where
    the rest is the first's (`srkit.generator.interpolate`), from 0 to 1; None for no first ones. It is applied at the
    end: validation on the way is without. reported: what the system's own page or paper says, on its own images.
    Raises SrkitError, when it is made, where its parts do not fit together.
    """

    name: str
    about: str
    cite: str
    generator: Callable[..., nn.Module]
    phases: tuple[Phase, ...]
    discriminator: Callable[..., nn.Module] | None = None
    degradation: Any = BICUBIC
    scale: int = 4
    crop: int = 96
    batch: int = 16
    sharpen: float = 0.0
    ema: float = 0.999
    alpha: float | None = None
    reported: str = ""

    def __post_init__(self) -> None:
        if self.scale not in generators.SCALES:
            good = ", ".join(map(str, generators.SCALES))
            raise SrkitError(f"{self.name}: a {self.scale}-fold scale is not built: choose one of {good}.")
        if self.crop % self.scale:
            raise SrkitError(f"{self.name}: a crop of {self.crop} pixels is not a multiple of the scale {self.scale}.")
        if self.alpha is not None and not (0 < self.alpha <= 1 and len(self.phases) > 1):
            raise SrkitError(
                f"{self.name}: alpha {self.alpha} mixes the second phase's weights with the first's: give a share "
                "above 0, up to 1, and two phases, or leave it out."
            )
        parts.check_name(self.name)
        object.__setattr__(self, "generator", parts.as_partial(self.generator, self.name, "generator"))
        judge = {}
        if self.discriminator is not None:
            object.__setattr__(self, "discriminator", parts.as_partial(self.discriminator, self.name, "discriminator"))
            judge = options(self.discriminator)
            if not parts.origin(self.discriminator.func):
                check_crop(self.crop, judge["channels"], self.scale)
        for phase in self.phases:
            if phase.adversarial and self.discriminator is None:
                raise SrkitError(
                    f"{self.name}: the adversarial loss in phase {phase.name} needs a discriminator: name one."
                )
            if phase.adversarial and phase.adversarial.penalty and judge.get("norm") == "batch":
                raise SrkitError(
                    f"{self.name}: a gradient penalty is on each picture alone, and batch norm mixes them: "
                    "give the critic instance norm."
                )
