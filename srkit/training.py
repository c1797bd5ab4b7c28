"""Training: a phase for PSNR, then one with the discriminator; history, checkpoints and weights as it goes."""

import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from srkit import __version__, distributed
from srkit.callbacks import Callback, usual_callbacks
from srkit.checking import require
from srkit.data.sources import Photographs, find_photographs
from srkit.dataset import Patches, checked_validation, decode_all
from srkit.device import find_device
from srkit.files import check_numbers, expanded
from srkit.generator import interpolate
from srkit.health import findings
from srkit.paths import home
from srkit.profiles import Profile, find_profile, fit
from srkit.recipes import Phase, Recipe, find_recipe
from srkit.records import describe, sources
from srkit.resident import ResidentPatches, fits
from srkit.runs import Run, run_folder
from srkit.steps import Learner, learning_rate
from srkit.stopping import explained, stop_asked
from srkit.weights_files import load_weights, save_weights


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
    batch: int | None = None,
    accumulate: int = 1,
    precision: str | None = None,
    max_minutes: float | None = None,
    cache: str | Path | None = None,
    white: int | None = None,
    runs: str | Path = "runs",
    resume: bool = False,
    force: bool = False,
    device: str | None = None,
    perceptual_weights: str | None = None,
    tensorboard: bool = False,
    on_log: Callable[[Run], None] | None = None,
) -> Run:
    """Train a recipe under a profile, and return its run in runs/RECIPE-PROFILE-sSEED.

    resume goes on where the run stopped, starts where there is none, and returns a finished one at once; force starts
    anew over it. device: by default the best there is, see `srkit.device`. on_log is called with the run after each
    line of its history. max_minutes: the run is saved after so long, and returned as it is. accumulate: pieces that
    each batch is cut into, to save memory. precision: "fp32", "bf16" or "fp16"; by default the 16 bits that a GPU is
    quick at, and fp32 on a CPU. cache: where large sets are kept decoded; by default data/cache of the project. white:
    the largest value of 16-bit files that hold fewer bits, such as 4095. tensorboard: mirror the history to the run's
    tensorboard/. Ctrl-C saves a checkpoint and raises Interrupted. Raises SrkitError for what cannot be trained on, or
    written.
    """
    check_numbers(0, seed=seed)
    check_numbers(1, scale=scale, crop=crop, batch=batch, accumulate=accumulate)
    check_numbers(1e-12, max_minutes=max_minutes)
    seed, scale, crop, batch = (each if each is None else int(each) for each in (seed, scale, crop, batch))  # of numpy
    until = time.monotonic() + 60 * (max_minutes or math.inf)
    profile = find_profile(profile)
    profile = replace(profile, perceptual_weights=perceptual_weights or profile.perceptual_weights)
    recipe = fit(find_recipe(recipe), profile, scale, crop)
    recipe = replace(recipe, batch=batch or recipe.batch)
    there = find_device(distributed.begin(recipe.batch, device) or device)
    photographs = find_photographs(data, recipe.scale, white=white)
    run = Run(run_folder(runs, recipe, profile.name, seed, photographs.name))
    config = _config(recipe, profile, seed, photographs)
    if run.may_go_on(config, resume, force) and run.done:
        return run
    if "parts" in config:  # of one's own: what cannot work is said here, and not after an hour
        require(recipe)
    for loss in [loss for phase in recipe.phases for loss in phase.losses]:
        loss.ready(there.name)  # missing VGG weights stop the run here
    images, kept = decode_all(photographs, expanded(cache or home() / "data" / "cache"))
    pairs = photographs.lr, photographs.white, photographs.directed
    patches = Patches(images, recipe.scale, recipe.crop, recipe.degradation, seed, kept, *pairs)
    valid = checked_validation(photographs, recipe.scale, *profile.validate_on, recipe.degradation)
    with run.locked(), explained(run.folder, recipe, there):
        going_on = run.may_go_on(config, resume, force)
        distributed.any_of(False)  # all have looked at what is there before one changes it
        learner = Learner(recipe, there.name, seed, profile.compile, accumulate, precision)
        if distributed.rank() == 0:
            config |= {"device": there.title, "precision": learner.precision, "accumulate": accumulate}
            if going_on:
                config |= run.known_before(config)
            else:
                run.clear()
            run.write_config(config)
            shared = None if going_on or force else run.share_first_phase(run.config)
            if shared:
                run.write_config(run.config | {"first_phase_from": shared.folder.name})
                print(f"{recipe.name}: its first phase is that of {shared.folder.name}, and is taken from there.")
        distributed.any_of(False)  # and nobody looks for a checkpoint before an old one is removed
        callbacks = usual_callbacks(valid, recipe.scale, tensorboard, on_log)
        trainer = Trainer(learner, profile, patches, run, callbacks)
        trainer.fit(until)
        if distributed.rank() == 0:
            health = findings(run.history()) if (run.folder / "history.csv").exists() else {}
            run.write_config(run.config | {"seconds": round(trainer.seconds, 1), "health": health})
        distributed.any_of(False)  # the run is whole for whoever returns
    if max_minutes and not run.done and distributed.rank() == 0:
        print(f"The {max_minutes:g} minutes are over: {trainer.how_to_go_on()}")
    return run


class Trainer:
    """The loop that moves a learner on; its callbacks keep what happens: see `srkit.callbacks`.

    Batch and step share one number, so a checkpoint and the seed say all that is to come.
    """

    def __init__(self, learner: Learner, profile: Profile, patches: Patches, run: Run, callbacks: Sequence[Callback]):
        self.learner, self.recipe, self.profile, self.run = learner, learner.recipe, profile, run
        self.patches = ResidentPatches(patches, learner.device) if fits(patches, learner.device) else patches
        self.callbacks, self.step, self.seconds, self.halt = callbacks, 0, 0.0, False

    def fit(self, until: float = math.inf) -> None:
        """Train every phase to its end, from the newest checkpoint where there is one; until time.monotonic() says."""
        with stop_asked() as stop, self._watched():
            for phase, start, end in self._phases():
                for lr, hr in self._batches(end):
                    rate = learning_rate(phase, self.step - start)
                    logs, validates = self._due(end)
                    values = self.learner.step(phase, lr, hr, rate, self.step, balance=logs)
                    self.step += 1
                    if logs:
                        self._tell("on_log", self._row(phase, rate, values), validates)
                        self.before = self.step, self.seconds
                    self.halt = distributed.any_of(stop.is_set() or time.monotonic() > until)
                    if validates or self.halt:
                        self.learner.check()
                        self._tell("on_save")
                    self._tell("on_step")
                if self.step == end and distributed.rank() == 0:
                    save_weights(self._kept(phase), self.run.weights(phase.name))
        if stop.is_set() and self.step < sum(phase.steps for phase in self.recipe.phases):
            raise Interrupted(self.how_to_go_on())

    def _kept(self, phase: Phase) -> nn.Module:
        """The running mean of the weights, after a second phase mixed with the first's where the recipe says so."""
        ema, first = self.learner.ema, self.recipe.phases[0]
        if self.recipe.alpha is None or phase is first:
            return ema
        before = deepcopy(ema)
        load_weights(before, self.run.weights(first.name))
        return interpolate(before, ema, self.recipe.alpha)

    def how_to_go_on(self) -> str:
        return f"stopped at step {self.step}, nothing is lost: go on with --resume (in Python, resume=True)."

    @property
    def seconds(self) -> float:
        """For how long the run was trained, all its sittings together."""
        return time.perf_counter() - self._began

    @seconds.setter
    def seconds(self, value: float) -> None:
        self._began = time.perf_counter() - value

    def _phases(self) -> Iterator[tuple[Phase, int, int]]:
        """Each phase with the steps of the run at which it begins and ends; a new one starts with fresh optimisers."""
        end = 0
        for phase in self.recipe.phases:
            start, end = end, end + phase.steps
            if self.step == start > 0:
                self.learner.begin(phase)
            self.before = self.step, self.seconds
            self._tell("on_phase", phase, start)
            yield phase, start, end
            if self.halt:
                return

    def _batches(self, end: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """LR and HR of the steps to come. A CPU has the next ones cut while it works; a GPU works on by itself."""
        with ThreadPoolExecutor(1) as reader:
            coming = None
            while self.step < end and not self.halt:
                batch = coming.result() if coming else self._batch(self.step)
                if not self.learner.lazy:
                    coming = reader.submit(self._batch, self.step + 1)
                yield batch

    def _batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        pair = self.patches.batch(step, self.recipe.batch, (distributed.rank(), distributed.world()))
        return tuple(x.pin_memory() if self.learner.device.type == "cuda" and not x.is_cuda else x for x in pair)

    def _due(self, end: int) -> tuple[bool, bool]:
        """Whether the coming step is logged, and whether it is validated too."""
        validates = (self.step + 1) % self.profile.validate_every == 0 or self.step + 1 == end
        return validates or (self.step + 1) % self.profile.log_every == 0, validates

    def _row(self, phase: Phase, rate: float, values: dict[str, torch.Tensor]) -> dict[str, Any]:
        """What the history says of the step that was made; before: the step that was logged before, and its seconds."""
        self.learner.check()
        (step, seconds), now = self.before, self.seconds
        speed = (self.step - step) * self.recipe.batch / (now - seconds)
        row = {"phase": phase.name, "step": self.step, "seconds": now, "images_per_second": speed, "lr": rate}
        return row | distributed.mean(values, self.learner.device)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """The callbacks hear of the start, and of the end whatever it is."""
        self._tell("on_start")
        try:
            yield
        finally:
            self._tell("on_end")

    def _tell(self, event: str, *what: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *what)


def _config(recipe: Recipe, profile: Profile, seed: int, photographs: Photographs) -> dict[str, Any]:
    counts = {"train": len(photographs.train), "valid": len(photographs.valid)}
    counts |= {"given_lr": len(photographs.lr)} if photographs.lr else {}
    own = sources(recipe)
    return ({"parts": own} if own else {}) | {
        "recipe": describe(recipe),
        "profile": profile.name,
        "seed": seed,
        "data": {"name": photographs.name, "fingerprint": photographs.fingerprint} | counts,
        "perceptual_weights": profile.perceptual_weights,
        "versions": {"srkit": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }
