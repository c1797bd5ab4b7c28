"""Training: a phase for PSNR, then one with the discriminator; history, checkpoints and weights as it goes."""

import math
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from srkit import __version__, distributed
from srkit.checking import require
from srkit.data.sources import Photographs, find_photographs
from srkit.dataset import Patches, checked_validation, decode_all
from srkit.files import SrkitError, check_numbers
from srkit.health import FEW, TRY, findings
from srkit.images import write_image
from srkit.metrics import grid
from srkit.paths import home
from srkit.profiles import Profile, find_profile, fit
from srkit.progress import Progress
from srkit.recipes import Phase, Recipe, find_recipe
from srkit.records import describe, sources
from srkit.resident import ResidentPatches, fits
from srkit.runs import Run, load_weights, run_folder, save_weights
from srkit.scoring import enlarge, judged
from srkit.steps import Learner, learning_rate
from srkit.stopping import explained, stop_asked

LOSSES = ("pixel", "perceptual", "checkerboard", "adversarial")
TERMS = (*LOSSES, "discriminator", "d_hr", "d_sr", "grad_norm", "d_grad_norm")
TERMS += ("red", "green", "blue")  # mean of SR - HR
TERMS += tuple(f"share_{name}" for name in LOSSES)  # of the gradient at SR
COLUMNS = ("phase", "step", "seconds", "images_per_second", "lr", *TERMS, "psnr_y", "grid", "grid_bicubic")


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
    anew over it. device: "cuda" where there is one, else "cpu". on_log is called with the run after each history line.
    max_minutes: the run is saved after so long, and returned as it is. accumulate: pieces that each batch is cut into,
    to save memory. precision: "fp32", "bf16" or "fp16"; by default the 16 bits that a GPU is quick at, and fp32 on a
    CPU. cache: where large sets are kept decoded; by default data/cache of the project. white: the largest value of
    16-bit files that hold fewer bits, such as 4095. tensorboard: mirror the history to the run's tensorboard/.
    Ctrl-C saves a checkpoint and raises Interrupted. Raises SrkitError for what cannot be trained on, or written.
    """
    check_numbers(0, seed=seed)
    check_numbers(1, scale=scale, crop=crop, batch=batch, accumulate=accumulate)
    check_numbers(1e-12, max_minutes=max_minutes)
    until = time.monotonic() + 60 * (max_minutes or math.inf)
    profile = find_profile(profile)
    profile = replace(profile, perceptual_weights=perceptual_weights or profile.perceptual_weights)
    recipe = fit(find_recipe(recipe), profile, scale, crop)
    recipe = replace(recipe, batch=batch or recipe.batch)
    device = distributed.begin(recipe.batch, device) or ("cuda" if torch.cuda.is_available() else "cpu")
    photographs = find_photographs(data, recipe.scale, white=white)
    run = Run(run_folder(runs, recipe, profile.name, seed, photographs.name))
    config = _config(recipe, profile, seed, photographs)
    going_on = run.may_go_on(config, resume, force)
    if going_on and run.done:
        return run
    if "parts" in config:  # of one's own: what cannot work is said here, and not after an hour
        require(recipe)
    for loss in [loss for phase in recipe.phases for loss in phase.losses]:
        if hasattr(loss, "ready"):  # missing VGG weights stop the run here; a loss of one's own may be a plain function
            loss.ready(device)
    images, kept = decode_all(photographs, Path(cache or home() / "data" / "cache"))
    patches = Patches(
        images, recipe.scale, recipe.crop, recipe.degradation, seed, kept, photographs.lr, photographs.white
    )
    valid = checked_validation(photographs, recipe.scale, *profile.validate_on, recipe.degradation)
    distributed.any_of(False, device)  # all have looked at what is there before one changes it
    with explained(run.folder, recipe):
        learner = Learner(recipe, device, seed, profile.compile, accumulate, precision)
        if distributed.rank() == 0:
            if not going_on:
                run.clear()
            how = {"device": _device_name(device), "precision": learner.precision, "accumulate": accumulate}
            run.write_config(config | how)
            shared = None if going_on or force else run.share_first_phase(config)
            if shared:
                run.write_config(run.config | {"first_phase_from": shared.folder.name})
                print(f"{recipe.name}: its first phase is that of {shared.folder.name}, and is taken from there.")
        distributed.any_of(False, device)  # and nobody looks for a checkpoint before an old one is removed
        trainer = Trainer(learner, profile, patches, valid, run, tensorboard)
        trainer.fit(on_log, until)
        if distributed.rank() == 0:
            health = findings(run.history()) if (run.folder / "history.csv").exists() else {}
            run.write_config(run.config | {"seconds": round(trainer.seconds, 1), "health": health})
    if max_minutes and not run.done and distributed.rank() == 0:
        print(f"The {max_minutes:g} minutes are over: {trainer.how_to_go_on()}")
    return run


class Trainer:
    """The loop that moves a learner on, and keeps what happened.

    Batch and step share one number, so a checkpoint and the seed say all that is to come.
    """

    def __init__(
        self, learner: Learner, profile: Profile, patches: Patches, valid: list[tuple], run: Run, tensorboard: bool
    ):
        self.learner, self.recipe, self.profile = learner, learner.recipe, profile
        self.patches = ResidentPatches(patches, learner.device) if fits(patches, learner.device) else patches
        self.valid, self.run = valid, run
        self.step, self.last, self.seconds = 0, sum(phase.steps for phase in self.recipe.phases), 0.0
        self.tensorboard, self.board, self.told = tensorboard, None, set()  # told: findings that were printed

    def fit(self, on_log: Callable[[Run], None] | None = None, until: float = math.inf) -> None:
        """Train every phase to its end, from the newest checkpoint where there is one; until time.monotonic() says."""
        self._restore()
        if self.tensorboard and distributed.rank() == 0:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, and not everybody's

            self.board = SummaryWriter(str(self.run.folder / "tensorboard"), purge_step=self.step + 1)
        with stop_asked() as stop, ThreadPoolExecutor(1) as reader:
            self.coming = reader.submit(self._batch, self.step)
            asked = lambda: stop.is_set() or time.monotonic() > until  # noqa: E731
            end, halt = 0, False
            for phase in self.recipe.phases:
                start, end = end, end + phase.steps
                if start <= self.step < end:
                    if self.step == start > 0:
                        self.learner.begin(phase)
                    halt = self._train(phase, start, reader, asked, on_log)
                if self.step == end and distributed.rank() == 0:
                    save_weights(self.learner.ema, self.run.weights(phase.name))
                if halt:
                    break
            if self.board:
                self.board.close()
        if stop.is_set() and self.step < self.last:
            raise Interrupted(self.how_to_go_on())

    def _train(
        self, phase: Phase, start: int, reader: ThreadPoolExecutor, asked: Callable, on_log: Callable | None
    ) -> bool:
        end, logged, halt = start + phase.steps, (self.step, self.seconds), False
        with Progress(phase.steps, f"{self.recipe.name}, {phase.name} phase", self.step - start) as bar:
            while self.step < end and not halt:
                began, note = time.perf_counter(), None
                lr, hr = self.coming.result()
                if not self.learner.lazy:  # a CPU has the next batch cut while it works, a GPU after it was given work
                    self.coming = reader.submit(self._batch, self.step + 1)
                rate = learning_rate(phase, self.step - start)
                validating = (self.step + 1) % self.profile.validate_every == 0 or self.step + 1 == end
                logging = validating or (self.step + 1) % self.profile.log_every == 0
                values = self.learner.step(phase, lr, hr, rate, self.step, balance=logging)
                self.step += 1
                if self.learner.lazy:
                    self.coming = reader.submit(self._batch, self.step)
                if logging:
                    self.learner.check()
                    seconds = self.seconds + time.perf_counter() - began
                    speed = (self.step - logged[0]) * self.recipe.batch / (seconds - logged[1])
                    row = {"phase": phase.name, "step": self.step, "seconds": seconds, "images_per_second": speed}
                    row |= {"lr": rate} | distributed.mean(values, self.learner.device)
                    if distributed.rank() == 0:
                        note = self._log(row, phase, validating)
                        if on_log:
                            on_log(self.run)
                self.seconds += time.perf_counter() - began
                if logging:
                    logged = self.step, self.seconds
                if logging or distributed.world() == 1:  # several processes must agree on it, which costs them time
                    halt = distributed.any_of(asked(), self.learner.device)
                if validating or halt:
                    self.learner.check()
                    self._save()
                bar.update(1, note)
        return halt

    def how_to_go_on(self) -> str:
        return f"stopped at step {self.step}, nothing is lost: go on with --resume (in Python, resume=True)."

    def _batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        pair = self.patches.batch(step, self.recipe.batch, (distributed.rank(), distributed.world()))
        return tuple(x.pin_memory() if self.learner.device.type == "cuda" and not x.is_cuda else x for x in pair)

    def validate(self, phase: Phase) -> dict[str, float]:
        """Mean PSNR-Y in dB and grid of the averaged generator, and bicubic's grid, on the validation photographs.

        The first SR goes to samples/.
        """
        columns, found = ("psnr_y", "grid"), []
        for number, (hr, lr) in enumerate(self.valid):
            sr, score = judged(self.learner.ema, hr, self.recipe.scale, lr=lr, columns=columns)
            found.append([score[name] for name in columns])
            if number == 0:
                write_image(self.run.folder / "samples" / f"{phase.name}-{self.step:06}.png", sr)
        return dict(zip(columns, np.mean(found, axis=0).tolist(), strict=True)) | self.bicubic

    @cached_property
    def bicubic(self) -> dict[str, float]:
        """What `validate` compares the grid with; the same at each validation."""
        return {"grid_bicubic": float(np.mean([grid(enlarge(lr, self.recipe.scale), hr) for hr, lr in self.valid]))}

    def _log(self, row: dict[str, Any], phase: Phase, validating: bool) -> str | None:
        """Write a line of the history; after a validation, returns the score and what looks ill."""
        if validating:
            row |= self.validate(phase)
        self.run.append_history(row, COLUMNS)
        if self.board:
            for name in row.keys() - {"phase", "step"}:
                self.board.add_scalar(name, row[name], row["step"])
        if not validating:
            return None
        found = {name: said for name, said in findings(self.run.history()).items() if name != FEW}
        for name in found.keys() - self.told:
            print(f"\nstep {self.step}: {name} ({found[name]}). Try this: {TRY[name]}.")
        self.told |= found.keys()
        return "; ".join([f"PSNR-Y {row['psnr_y']:.2f} dB", *found])

    def _save(self) -> None:
        if distributed.rank() > 0:
            return
        numbers = {"step": self.step, "seconds": self.seconds, "random": torch.get_rng_state()}
        numbers["history"] = self.run.history_text()
        if self.learner.device.type == "cuda":
            numbers["random_cuda"] = torch.cuda.get_rng_state(self.learner.device)
        self.run.save_checkpoint(self.learner.state_dict() | numbers)

    def _restore(self) -> None:
        state = self.run.load_checkpoint()
        first = self.recipe.phases[0]
        shared = self.run.weights(first.name)  # without a checkpoint, another run's; see Run.share_first_phase
        distributed.any_of(False, self.learner.device)  # all have read it before one goes on
        if distributed.rank() == 0:
            self.run.clear_unfinished()
            if not state:
                self.run.cut_history(first.steps if shared.exists() else 0)
        if not state and shared.exists():
            load_weights(self.learner.ema, shared)
            self.step = first.steps
        if not state:
            return
        ends = np.cumsum([phase.steps for phase in self.recipe.phases])
        try:
            self.learner.load_state_dict(state, self.recipe.phases[int(np.searchsorted(ends, state["step"]))])
            self.step, self.seconds = state["step"], state["seconds"]
            torch.set_rng_state(state["random"])
            if distributed.rank() == 0:
                self.run.write_history(state["history"])
        except (KeyError, RuntimeError, ValueError, IndexError) as error:
            raise SrkitError(
                f"the checkpoint in {self.run.folder} is of another version of srkit ({error!r}): go on with that "
                "version, or start anew with --force."
            ) from error
        if "random_cuda" in state and self.learner.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"], self.learner.device)


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


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "cpu"
