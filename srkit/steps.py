"""One step of training: the networks, their optimisers, and how a phase's losses move them."""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from srkit.discriminator import frozen
from srkit.files import SrkitError
from srkit.losses import Wasserstein, gradient_penalty
from srkit.recipes import Phase, Recipe


class Learner:
    """Generator, its running mean, discriminator, and an optimiser for each of the two that learn.

    recipe: as `srkit.profiles.fit` gives it. compiled: through torch.compile, which costs a minute at the first step.
    """

    def __init__(self, recipe: Recipe, device: str = "cpu", seed: int = 0, compiled: bool = False):
        torch.manual_seed(seed)
        self.recipe, self.device = recipe, torch.device(device)
        self.generator = self._place(recipe.generator())
        self.ema = deepcopy(self.generator).eval().requires_grad_(False)
        self.discriminator = self._place(recipe.discriminator()) if recipe.discriminator else None
        self.forward = compile_network(self.generator) if compiled else self.generator
        self.begin(recipe.phases[0])

    def begin(self, phase: Phase) -> None:
        """Start a phase: fresh optimisers; the generator goes on from its running mean."""
        self.generator.load_state_dict(self.ema.state_dict())
        self.averaged = 0
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), phase.lr, phase.betas)
        self.d_optimizer = None
        if phase.adversarial:
            self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), phase.lr, phase.betas)

    def step(self, phase: Phase, lr: Tensor, hr: Tensor, rate: float, number: int = 0) -> dict[str, Tensor]:
        """One step: in an adversarial phase of the discriminator too, and every critic_steps-th of the generator.

        lr, hr: (N, 3, h, w) and (N, 3, scale h, scale w) in [0, 1]. rate: of both optimisers. number: of the step, from
        0. Returns what to log: each loss term before its weight, the generator's gradient norm, the mean verdicts.
        Raises SrkitError before a loss that is not finite touches a weight.
        """
        for optimizer in filter(None, (self.g_optimizer, self.d_optimizer)):
            for group in optimizer.param_groups:
                group["lr"] = rate
        lr, hr = lr.to(self.device), hr.to(self.device)
        sr = self.forward(lr)
        terms: dict[str, Tensor] = {}
        if (number + 1) % getattr(phase.adversarial, "critic_steps", 1) == 0:
            terms |= self._generator_step(phase, sr, hr)
        if phase.adversarial:
            terms |= self._discriminator_step(phase.adversarial, sr.detach(), hr)
        return terms

    def state_dict(self) -> dict[str, Any]:
        """All of it, to go on from exactly here."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {"averaged": self.averaged}

    def load_state_dict(self, state: dict[str, Any], phase: Phase) -> None:
        """Take up a state that was saved in `phase`."""
        self.begin(phase)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.averaged = state["averaged"]

    def _generator_step(self, phase: Phase, sr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        total, terms = torch.zeros((), device=self.device), {}
        for loss, weight in phase.losses.items():
            value = self._fooling(loss, sr, hr) if loss is phase.adversarial else loss(sr, hr)
            terms[loss.term] = terms.get(loss.term, 0) + value.detach()
            total = total + weight * value
        _require_finite(total, terms)
        self.g_optimizer.zero_grad(set_to_none=True)
        total.backward()
        terms["grad_norm"] = nn.utils.clip_grad_norm_(self.generator.parameters(), phase.clip or math.inf)
        self.g_optimizer.step()
        self._average()
        return terms

    def _fooling(self, loss: Any, sr: Tensor, hr: Tensor) -> Tensor:
        """The generator's side of an adversarial loss; the discriminator passes gradients on and gathers none."""
        with frozen(self.discriminator):
            if not getattr(loss, "needs_real", False):
                return loss.for_generator(self.discriminator(sr))
            with torch.no_grad():
                real = self.discriminator(hr)
            return loss.for_generator(self.discriminator(sr), real)

    def _discriminator_step(self, loss: Any, sr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        real, fake = self.discriminator(hr), self.discriminator(sr)
        total = loss.for_discriminator(real, fake)
        terms = {"discriminator": total.detach()}
        if hasattr(loss, "penalty"):
            total = total + loss.penalty * gradient_penalty(self.discriminator, hr, sr)
        _require_finite(total, terms)
        self.d_optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.d_optimizer.step()
        verdict = (
            torch.Tensor.clone if isinstance(loss, Wasserstein) else torch.sigmoid
        )  # a critic's score has no bounds
        return terms | {"d_hr": verdict(real.detach()).mean(), "d_sr": verdict(fake.detach()).mean()}

    @torch.no_grad()
    def _average(self) -> None:
        """Move the running mean of the weights; a young mean moves faster, or a short run would keep its beginning."""
        self.averaged += 1
        decay = min(self.recipe.ema, self.averaged / (self.averaged + 9))
        for mean, now in zip(self.ema.state_dict().values(), self.generator.state_dict().values(), strict=True):
            mean.lerp_(now, 1 - decay) if mean.is_floating_point() else mean.copy_(now)

    def _place(self, network: nn.Module) -> nn.Module:
        return network.to(self.device, memory_format=torch.channels_last).train()

    def _parts(self) -> dict[str, Any]:
        names = ("generator", "ema", "discriminator", "g_optimizer", "d_optimizer")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def learning_rate(phase: Phase, step: int) -> float:
    """The rate at a step of a phase, counted from 0, by the phase's schedule."""
    if phase.schedule == "cosine":
        return phase.lr * (1 + math.cos(math.pi * step / phase.steps)) / 2
    return phase.lr * (0.1 if phase.schedule == "step" and step >= phase.steps / 2 else 1)


def compile_network(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network through torch.compile; where there is no compiler it runs as it is, after a warning."""
    import torch._dynamo  # slow to import, and not needed under smoke

    torch._dynamo.config.suppress_errors = True
    return torch.compile(network)


def _require_finite(total: Tensor, terms: dict[str, Tensor]) -> None:
    if not torch.isfinite(total):
        bad = next((name for name, value in terms.items() if not torch.isfinite(value)), "total")
        raise SrkitError(
            f"the {bad} loss is not finite: lower the learning rate or that loss's weight, and go on from the last "
            "checkpoint with --resume."
        )
