"""One step of training: the networks, their optimisers, and how a phase's losses move them."""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from srkit import distributed
from srkit.cuda_graphs import CapturedStep
from srkit.device import find_device
from srkit.discriminator import frozen
from srkit.files import SrkitError, find_named
from srkit.high_order import crisp
from srkit.losses import AdversarialLoss, gradient_penalty
from srkit.recipes import Phase, Recipe

MOST_SKIPPED = 50  # steps in a row: by then even a loss scale of 65536 is down to 6e-11
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Learner:
    """Generator, its running mean, discriminator, and an optimiser for each of the two that learn.

    recipe: as `srkit.profiles.fit` gives it. compiled: through torch.compile, which costs a minute at the first step.
    accumulate: pieces that a batch goes through in, one after another, where it does not fit in memory whole.
    precision: "fp32", "bf16" or "fp16", by autocast; by default the 16 bits that a GPU is quick at, and on a CPU fp32.
    """

    def __init__(
        self,
        recipe: Recipe,
        device: str = "cpu",
        seed: int = 0,
        compiled: bool = False,
        accumulate: int = 1,
        precision: Literal["fp32", "bf16", "fp16"] | None = None,
    ):
        torch.manual_seed(seed)
        self.recipe, self.device, self.accumulate = recipe, torch.device(device), accumulate
        there = find_device(device)
        self.precision = precision or there.precision
        half = find_named("precision", self.precision, PRECISIONS)
        self.autocast = partial(torch.autocast, self.device.type, half or torch.bfloat16)
        self.half, self.scaler = half, torch.amp.GradScaler(self.device.type, enabled=half == torch.float16)
        self.generator = self._place(recipe.generator())
        self.ema = deepcopy(self.generator).eval().requires_grad_(False)
        pairs = list(zip(self.ema.state_dict().values(), self.generator.state_dict().values(), strict=True))
        self.means = [list(side) for side in zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)]
        self.counts = [pair for pair in pairs if not pair[0].is_floating_point()]
        self.discriminator = self._place(recipe.discriminator()) if recipe.discriminator else None
        self.forward = compile_network(self.generator) if compiled else self.generator
        self.lazy = there.queued  # it is not waited for: what is not finite is looked at by `check`
        self.graphed = there.kind == "cuda" and not self.scaler.is_enabled() and distributed.world() == 1
        self.number, self.averaged, self.broken = (torch.zeros((), device=self.device) for _ in range(3))
        self.skipped = torch.zeros(2, device=self.device)  # steps in a row that fp16 skipped: generator, discriminator
        self.faults: dict[tuple[str, ...], Tensor] = {}  # the step at which each of these was not finite first, or 0
        self.begin(recipe.phases[0])

    def begin(self, phase: Phase) -> None:
        """Start a phase: fresh optimisers; the generator goes on from its running mean."""
        self.generator.load_state_dict(self.ema.state_dict())
        self.averaged.zero_()
        self.skipped.zero_()
        self.graphs: dict[bool, CapturedStep] = {}  # by whether the generator learns in the step
        adam = partial(torch.optim.Adam, betas=phase.betas, fused=True, capturable=self.graphed)
        self.g_optimizer, self.d_optimizer = adam(self.generator.parameters(), phase.lr), None
        if phase.adversarial:
            self.d_optimizer = adam(self.discriminator.parameters(), phase.discriminator_lr)

    def step(
        self, phase: Phase, lr: Tensor, hr: Tensor, rate: float, number: int = 0, balance: bool = False
    ) -> dict[str, Tensor]:
        """One step: in an adversarial phase of the discriminator too, and every critic_steps-th of the generator.

        lr, hr: (N, 3, h, w) and (N, 3, scale h, scale w) in [0, 1]. rate: of the generator's optimiser; the
        discriminator's keeps the ratio that the phase declares. number: of the step, from 0. balance: work out each
        term's share of the gradient too. Returns what to log: each loss term before its weight, both networks' gradient
        norms, the mean verdicts, the shares, and how much more red, green and blue SR is than HR. Raises SrkitError
        before a loss that is not finite touches a weight; on a GPU, which is not waited for at each step, `check`
        raises it, and no weight moves until then.
        """
        self._set_rate(self.g_optimizer, rate)
        if phase.adversarial:
            self._set_rate(self.d_optimizer, rate * phase.discriminator_lr / phase.lr)
        self.number.fill_(number + 1)
        learns = not phase.adversarial or (number + 1) % phase.adversarial.critic_steps == 0
        work = partial(self._work, phase, learns)
        if self.graphed and not balance:
            work = self.graphs.setdefault(learns, CapturedStep(work))
            return work(*(x.to(self.device, non_blocking=True) for x in (lr, hr)))
        return work(*(x.to(self.device, non_blocking=True) for x in (lr, hr)), balance=balance)

    def _work(self, phase: Phase, learns: bool, lr: Tensor, hr: Tensor, balance: bool = False) -> dict[str, Tensor]:
        """The step itself; learns: whether it is the generator's turn too."""
        pieces = [*zip(lr.chunk(self.accumulate), hr.chunk(self.accumulate), strict=True)]
        if learns:
            pairs, terms = self._generator_step(phase, pieces, balance)
        else:
            with torch.no_grad():
                pairs, terms = [(self._upscale(lr), hr) for lr, hr in pieces], {}
        if phase.adversarial:
            terms |= self._discriminator_step(phase.adversarial, pairs)
        self.scaler.update()
        return terms

    def check(self) -> None:
        """Raise SrkitError for a loss that was not finite, and name it and the step; and where fp16 moves nothing."""
        if self.skipped.max() >= MOST_SKIPPED:
            raise SrkitError(
                f"each of the last {MOST_SKIPPED} steps was skipped, as its gradient is not finite in fp16: go on with "
                "--resume --precision bf16, or fp32."
            )
        seen = [each for names, steps in self.faults.items() for each in zip(steps.tolist(), names, strict=True)]
        if bad := [(step, name) for step, name in seen if step]:
            step, name = min(bad, key=lambda each: each[0])  # what comes after it may be its fault
            raise SrkitError(
                f"the {name} is not finite at step {int(step)}: the checkpoint before it stays; start anew with "
                "--force and a lower learning rate, or a lower weight of that loss."
            )

    def state_dict(self) -> dict[str, Any]:
        """All of it, to go on from exactly here."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {"averaged": int(self.averaged)}

    def load_state_dict(self, state: dict[str, Any], phase: Phase) -> None:
        """Take up a state that was saved in `phase`."""
        self.begin(phase)
        for name, part in self._parts().items():
            if name in state or name != "scaler":  # which a run that went on in fp16 begins anew
                part.load_state_dict(state[name])
            for group in getattr(part, "param_groups", ()):
                group["capturable"] = self.graphed  # and not as where the state was saved
        self.averaged.fill_(state["averaged"])

    def _set_rate(self, optimizer: torch.optim.Optimizer, rate: float) -> None:
        """The learning rate of the step in hand; of a graph, in the GPU's memory, where replays read it."""
        for group in optimizer.param_groups:
            if not self.graphed:
                group["lr"] = rate
            elif isinstance(group["lr"], Tensor) and group["lr"].is_cuda:
                group["lr"].fill_(rate)
            else:
                group["lr"] = torch.full((), rate, device=self.device)

    def _upscale(self, lr: Tensor) -> Tensor:
        with self.autocast(enabled=self.half is not None):
            return self.forward(lr).float()

    def _generator_step(self, phase: Phase, pieces: list, balance: bool) -> tuple[list, dict[str, Tensor]]:
        self.g_optimizer.zero_grad()
        pairs, each = [], []
        for lr, hr in pieces:
            terms, weighted = {}, {}
            sr, truth = self._upscale(lr), crisp(hr) if phase.crisp else hr
            with self.autocast(enabled=self.half is not None):
                for loss, weight in phase.losses.items():
                    value = self._fooling(loss, sr, hr) if loss is phase.adversarial else loss(sr, truth)
                    terms[loss.term] = terms.get(loss.term, 0) + value.detach()
                    weighted[loss.term] = weighted.get(loss.term, 0) + weight * value
            if balance:
                terms |= gradient_shares({name: self.scaler.scale(value) for name, value in weighted.items()}, sr)
            self.scaler.scale(sum(weighted.values()) * (len(lr) / self._size(pieces))).backward()
            pairs.append((sr.detach(), hr))
            drift = (sr.detach() - hr).mean((0, 2, 3))
            each.append(terms | dict(zip(("red", "green", "blue"), drift, strict=True)))
        terms = self._mean(each, pieces)
        losses = {loss.term: terms[loss.term] for loss in phase.losses}
        terms["grad_norm"] = self._update(self.g_optimizer, self.generator, losses, phase.clip)
        self._average()
        return pairs, terms

    def _update(
        self, optimizer: Any, network: nn.Module, losses: Mapping[str, Tensor], clip: float | None = None
    ) -> Tensor:
        """Move the network by its gradients, if all is finite; returns their norm."""
        distributed.mean_gradients(network)
        self.scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(network.parameters(), clip or math.inf)
        watched = {f"{name} loss": value for name, value in losses.items()}
        if self.scaler.is_enabled():  # with it an overflow is usual: it skips the step and lowers the scale
            norm, which = norm.nan_to_num(nan=math.inf, posinf=math.inf), int(network is self.discriminator)
            self.skipped[which] = torch.where(norm.isfinite(), 0, self.skipped[which] + 1)
        else:
            watched["discriminator gradient" if network is self.discriminator else "gradient"] = norm
        names, finite = tuple(watched), torch.isfinite(torch.stack([*watched.values()]))
        first = self.faults.setdefault(names, torch.zeros(len(names), device=self.device))
        first.copy_(torch.where((first == 0) & ~finite, self.number, first))
        self.broken.copy_(torch.maximum(self.broken, first.amax()).clamp(max=1))
        if not self.lazy:
            self.check()
        elif not self.scaler.is_enabled():
            optimizer.found_inf = self.broken  # Adam stays where it is
        self.scaler.step(optimizer)
        return norm

    @staticmethod
    def _size(pieces: list) -> int:
        return sum(len(piece[0]) for piece in pieces)

    def _mean(self, each: list[dict[str, Tensor]], pieces: list) -> dict[str, Tensor]:
        """Mean of what the pieces of a batch gave, by their sizes."""
        shares = [len(piece[0]) / self._size(pieces) for piece in pieces]
        return {name: sum(terms[name] * share for terms, share in zip(each, shares, strict=True)) for name in each[0]}

    def _fooling(self, loss: AdversarialLoss, sr: Tensor, hr: Tensor) -> Tensor:
        """The generator's side of an adversarial loss; the discriminator passes gradients on and gathers none."""
        with frozen(self.discriminator):
            if not loss.needs_real:
                return loss.for_generator(self.discriminator(sr).float())
            with torch.no_grad():
                real = self.discriminator(hr).float()
            return loss.for_generator(self.discriminator(sr).float(), real)

    def _discriminator_step(self, loss: AdversarialLoss, pairs: list) -> dict[str, Tensor]:
        self.d_optimizer.zero_grad()
        each = []
        for sr, hr in pairs:
            with self.autocast(enabled=self.half is not None):
                real, fake = self.discriminator(hr).float(), self.discriminator(sr).float()
            total = loss.for_discriminator(real, fake)
            d_hr, d_sr = loss.verdicts(real.detach(), fake.detach())
            answers = {"d_hr": d_hr.mean(), "d_sr": d_sr.mean()}
            each.append({"discriminator": total.detach()} | answers)
            if loss.penalty:
                total = total + loss.penalty * gradient_penalty(self.discriminator, hr, sr)
            self.scaler.scale(total * (len(sr) / self._size(pairs))).backward()
        terms = self._mean(each, pairs)
        watched = {"discriminator": terms["discriminator"]}
        return terms | {"d_grad_norm": self._update(self.d_optimizer, self.discriminator, watched)}

    def _average(self) -> None:
        """Move the running mean of the weights; a young mean moves faster, or a short run would keep its beginning."""
        self.averaged += 1
        decay = (self.averaged / (self.averaged + 9)).clamp(max=self.recipe.ema)
        means, now = self.means
        change = torch._foreach_sub(now, means)
        torch._foreach_mul_(change, 1 - decay)
        torch._foreach_add_(means, change)
        for mean, now in self.counts:
            mean.copy_(now)

    def _place(self, network: nn.Module) -> nn.Module:
        if distributed.world() > 1 and self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return distributed.alike(network.to(self.device, memory_format=torch.channels_last)).train()

    def _parts(self) -> dict[str, Any]:
        names = ["generator", "ema", "discriminator", "g_optimizer", "d_optimizer"]
        names += ["scaler"] * self.scaler.is_enabled()
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def gradient_shares(weighted: Mapping[str, Tensor], sr: Tensor) -> dict[str, Tensor]:
    """What each weighted loss has to say: the norm of its gradient at SR, as a share of the sum of these norms.

    A loss's value says little of its influence: only the gradient at SR, (N, 3, H, W), moves the generator. In fp16
    the losses are to be scaled, or small gradients round to 0. Returns share_TERM for each, together 1; NaN where a
    gradient is not finite.
    """
    norms = {
        name: torch.autograd.grad(value, sr, retain_graph=True)[0].float().norm() for name, value in weighted.items()
    }
    whole = sum(norms.values()).clamp(min=1e-30)
    whole = torch.where(whole.isfinite(), whole, torch.nan)
    return {f"share_{name}": norm / whole for name, norm in norms.items()}


def learning_rate(phase: Phase, step: int) -> float:
    """The rate at a step of a phase, counted from 0, by the phase's schedule."""
    if callable(phase.schedule):
        return phase.lr * float(phase.schedule(step, phase.steps))
    if phase.schedule == "cosine":
        return phase.lr * (1 + math.cos(math.pi * step / phase.steps)) / 2
    return phase.lr * (0.1 if phase.schedule == "step" and step >= phase.steps / 2 else 1)


def compile_network(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network through torch.compile; where there is no compiler it runs as it is, after a warning."""
    from torch._dynamo import config  # slow to import, and not needed under smoke

    return config.patch(suppress_errors=True)(torch.compile(network).__call__)
