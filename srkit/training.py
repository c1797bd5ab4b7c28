"""Training: a phase for PSNR, then one with the discriminator; history, checkpoints and weights as it goes."""

import math
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from srkit import __version__
from srkit.dataset import Photographs, decode, find_photographs
from srkit.discriminator import frozen
from srkit.evaluation import lr_of, psnr_y, super_resolve
from srkit.files import SrkitError
from srkit.images import crop_to_multiple, write_image
from srkit.losses import Wasserstein, gradient_penalty
from srkit.patches import Patches
from srkit.profiles import Profile, find_profile, fit
from srkit.progress import Progress
from srkit.recipes import Phase, Recipe, describe, find_recipe
from srkit.runs import Run, run_folder, save_weights

TERMS = ("pixel", "perceptual", "adversarial", "discriminator", "d_hr", "d_sr", "grad_norm")
COLUMNS = ("phase", "step", "seconds", "images_per_second", "lr", *TERMS, "psnr_y")


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop, and its checkpoint is saved. The message says how to go on."""


def train(
    recipe: str | Recipe = "srgan",
    profile: str | Profile = "smoke",
    seed: int = 0,
    data: str | Path = "starter",
    *,
    scale: int | None = None,
    crop: int | None = None,
    runs: str | Path = "runs",
    resume: bool = False,
    force: bool = False,
    device: str | None = None,
    perceptual_weights: str | None = None,
    on_log: Callable[[Run], None] | None = None,
) -> Run:
    """Train a recipe under a profile, and return its run in runs/RECIPE-PROFILE-sSEED.

    resume goes on where the run stopped, starts where there is none, and returns a finished one at once; force starts
    anew over it. device: "cuda" where there is one, else "cpu". on_log is called with the run after each history line.
    Ctrl-C saves a checkpoint and raises Interrupted. Raises SrkitError for what cannot be trained on.
    """
    profile = find_profile(profile)
    profile = replace(profile, perceptual_weights=perceptual_weights or profile.perceptual_weights)
    recipe = fit(find_recipe(recipe), profile, scale, crop)
    photographs = find_photographs(data)
    run = Run(run_folder(runs, recipe, profile.name, seed, photographs.name))
    config = _config(recipe, profile, seed, photographs)
    if run.may_go_on(config, resume, force) and run.done:
        return run
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    for phase in recipe.phases:  # missing VGG weights stop the run here, not when the phase begins
        for loss in phase.losses:
            getattr(loss, "ready", lambda device: None)(device)
    patches = Patches(decode(photographs.train), recipe.scale, recipe.crop, recipe.degradation, seed)
    count, side = profile.validate_on
    valid = [middle(image, side, recipe.scale) for image in decode(photographs.valid[:count]).values()]
    if not resume:
        run.clear()
    run.write_config(config | {"device": _device_name(device)})
    trainer = Trainer(recipe, profile, patches, valid, run, seed, device)
    trainer.fit(on_log)
    run.write_config(run.config | {"seconds": round(trainer.seconds, 1)})
    return run


class Trainer:
    """The state of a training run and the loop that moves it on.

    Batch and step share one number, so whatever is in a checkpoint and the seed say all that is to come.
    """

    def __init__(
        self,
        recipe: Recipe,
        profile: Profile,
        patches: Patches,
        valid: list[np.ndarray],
        run: Run,
        seed: int,
        device: str,
    ):
        torch.manual_seed(seed)
        self.recipe, self.profile, self.patches, self.valid, self.run = recipe, profile, patches, valid, run
        self.device = torch.device(device)
        self.generator = self._place(recipe.generator())
        self.ema = deepcopy(self.generator).eval().requires_grad_(False)
        self.discriminator = self._place(recipe.discriminator()) if recipe.discriminator else None
        self.forward = compiled(self.generator) if profile.compile else self.generator
        self.step, self.last, self.seconds = 0, sum(phase.steps for phase in recipe.phases), 0.0
        self._begin(recipe.phases[0])

    def fit(self, on_log: Callable[[Run], None] | None = None) -> None:
        """Train every phase to its end, from the newest checkpoint where there is one."""
        self._restore()
        with stop_asked() as stop:
            end = 0
            for phase in self.recipe.phases:
                start, end = end, end + phase.steps
                if self.step < end:
                    if self.step == start > 0:
                        self._begin(phase)
                    self._train(phase, start, stop, on_log)
                if self.step == end:
                    save_weights(self.ema, self.run.weights(phase.name))

    def _train(self, phase: Phase, start: int, stop: threading.Event, on_log: Callable | None) -> None:
        end = start + phase.steps
        with Progress(phase.steps, f"{self.recipe.name}, {phase.name} phase", self.step - start) as bar:
            while self.step < end:
                began = time.perf_counter()
                lr, hr = (x.to(self.device) for x in self.patches.batch(self.step, self.recipe.batch))
                rate = learning_rate(phase, self.step - start)
                values = self.optimise(phase, lr, hr, rate)
                self.step += 1
                validating = self.step % self.profile.validate_every == 0 or self.step == end
                if validating or self.step % self.profile.log_every == 0:
                    row = {name: float(value) for name, value in values.items()}
                    if validating:
                        row["psnr_y"] = self.validate(phase)
                    self._log(phase, row | {"lr": rate}, time.perf_counter() - began)
                    note = f"PSNR-Y {row['psnr_y']:.2f} dB" if validating else None
                    on_log and on_log(self.run)
                self.seconds += time.perf_counter() - began
                if validating or stop.is_set():
                    self._save()
                bar.update(1, note if validating else None)
                if stop.is_set() and self.step < self.last:
                    raise Interrupted(
                        f"stopped at step {self.step}, nothing is lost: go on with --resume (in Python, resume=True)."
                    )

    def optimise(self, phase: Phase, lr: Tensor, hr: Tensor, rate: float) -> dict[str, Tensor]:
        """One step: in an adversarial phase of the discriminator too, and every critic_steps-th of the generator.

        lr, hr: (N, 3, h, w) and (N, 3, scale h, scale w) in [0, 1]. rate: of both optimisers. Returns what to log.
        """
        for group in (*self.g_optimizer.param_groups, *self.d_optimizer.param_groups):
            group["lr"] = rate
        sr = self.forward(lr)
        terms: dict[str, Tensor] = {}
        if (self.step + 1) % getattr(phase.adversarial, "critic_steps", 1) == 0:
            terms |= self._generator_step(phase, sr, hr)
        if phase.adversarial:
            terms |= self._discriminator_step(phase.adversarial, sr.detach(), hr)
        return terms

    def _generator_step(self, phase: Phase, sr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        total, terms = torch.zeros((), device=self.device), {}
        for loss, weight in phase.losses.items():
            value = self._fooling(loss, sr, hr) if loss is phase.adversarial else loss(sr, hr)
            terms[loss.term] = terms.get(loss.term, 0) + value.detach()
            total = total + weight * value
        self._descend(self.g_optimizer, total, terms, phase.clip, self.generator)
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
        self._descend(self.d_optimizer, total, terms)
        if isinstance(loss, Wasserstein):
            return terms | {"d_hr": real.detach().mean(), "d_sr": fake.detach().mean()}
        return terms | {"d_hr": real.detach().sigmoid().mean(), "d_sr": fake.detach().sigmoid().mean()}

    def _descend(
        self,
        optimizer: torch.optim.Optimizer,
        loss: Tensor,
        terms: dict[str, Tensor],
        clip: float | None = None,
        network: nn.Module | None = None,
    ) -> None:
        """One step down; stops before a loss that is not finite touches the weights. Notes the generator's gradient."""
        if not torch.isfinite(loss):
            bad = next((name for name, value in terms.items() if not torch.isfinite(value)), "total")
            raise SrkitError(
                f"the {bad} loss is not finite at step {self.step + 1}; {self.run.folder} keeps its last checkpoint: "
                "lower the learning rate or that loss's weight."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if network is not None:
            terms["grad_norm"] = nn.utils.clip_grad_norm_(network.parameters(), clip or math.inf)
        optimizer.step()

    def validate(self, phase: Phase) -> float:
        """Mean PSNR-Y in dB of the averaged generator on the validation photographs; the first SR goes to samples/."""
        scores = []
        for number, hr in enumerate(self.valid):
            sr = super_resolve(self.ema, lr_of(hr, self.recipe.scale, self.recipe.degradation))
            scores.append(psnr_y(sr, hr, self.recipe.scale))
            if number == 0:
                write_image(self.run.folder / "samples" / f"{phase.name}-{self.step:06}.png", sr)
        return float(np.mean(scores))

    @torch.no_grad()
    def _average(self) -> None:
        """Move the running mean of the weights; a young mean moves faster, or a short run would keep its beginning."""
        self.averaged += 1
        decay = min(self.recipe.ema, self.averaged / (self.averaged + 9))
        for mean, now in zip(self.ema.state_dict().values(), self.generator.state_dict().values(), strict=True):
            mean.lerp_(now, 1 - decay) if mean.is_floating_point() else mean.copy_(now)

    def _begin(self, phase: Phase) -> None:
        """Fresh optimisers; the generator goes on from its averaged weights."""
        self.generator.load_state_dict(self.ema.state_dict())
        self.averaged = 0
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), phase.lr, phase.betas)
        judge = self.discriminator.parameters() if phase.adversarial else [nn.Parameter(torch.zeros(()))]
        self.d_optimizer = torch.optim.Adam(judge, phase.lr, phase.betas)

    def _place(self, network: nn.Module) -> nn.Module:
        return network.to(self.device, memory_format=torch.channels_last).train()

    def _log(self, phase: Phase, row: dict[str, float], step_seconds: float) -> None:
        speed = {"seconds": self.seconds + step_seconds, "images_per_second": self.recipe.batch / step_seconds}
        self.run.append_history({"phase": phase.name, "step": self.step} | speed | row, COLUMNS)

    def _parts(self) -> dict[str, Any]:
        parts = {"generator": self.generator, "ema": self.ema, "g_optimizer": self.g_optimizer}
        if self.discriminator:
            parts |= {"discriminator": self.discriminator, "d_optimizer": self.d_optimizer}
        return parts

    def _save(self) -> None:
        state = {name: part.state_dict() for name, part in self._parts().items()}
        numbers = {"step": self.step, "averaged": self.averaged, "seconds": self.seconds}
        self.run.save_checkpoint(state | numbers | {"random": torch.get_rng_state()})

    def _restore(self) -> None:
        state = self.run.load_checkpoint()
        self.run.cut_history(state["step"] if state else 0)
        if state is None:
            return
        end = 0
        for phase in self.recipe.phases:  # the optimisers of the phase that the checkpoint was made in
            end += phase.steps
            if state["step"] <= end:
                self._begin(phase)
                break
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.step, self.averaged, self.seconds = state["step"], state["averaged"], state["seconds"]
        torch.set_rng_state(state["random"])


def compiled(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network through torch.compile; where there is no compiler it runs as it is, after a warning."""
    import torch._dynamo  # slow to import, and not needed under smoke

    torch._dynamo.config.suppress_errors = True
    return torch.compile(network)


def learning_rate(phase: Phase, step: int) -> float:
    """The rate at a step of a phase, counted from 0, by the phase's schedule."""
    if phase.schedule == "cosine":
        return phase.lr * (1 + math.cos(math.pi * step / phase.steps)) / 2
    return phase.lr * (0.1 if phase.schedule == "step" and step >= phase.steps / 2 else 1)


def middle(image: np.ndarray, side: int, scale: int) -> np.ndarray:
    """The middle of a picture, at most side x side, height and width multiples of scale."""
    height, width = (min(side, size) for size in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return crop_to_multiple(image[top : top + height, left : left + width], scale)


@contextmanager
def stop_asked() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, so the step in hand can end; a second one interrupts at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    for name in before:
        signal.signal(name, ask)
    try:
        yield asked
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _config(recipe: Recipe, profile: Profile, seed: int, photographs: Photographs) -> dict[str, Any]:
    counts = {"train": len(photographs.train), "valid": len(photographs.valid)}
    return {
        "recipe": describe(recipe),
        "profile": profile.name,
        "seed": seed,
        "data": {"name": photographs.name, "fingerprint": photographs.fingerprint} | counts,
        "perceptual_weights": profile.perceptual_weights,
        "versions": {"srkit": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "cpu"
