"""Training: a phase for PSNR, then one with the discriminator; history, checkpoints and weights as it goes."""

import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from srkit import __version__
from srkit.dataset import Photographs, decode, find_photographs
from srkit.evaluation import lr_of, psnr_y, super_resolve
from srkit.images import crop_to_multiple, write_image
from srkit.patches import Patches
from srkit.profiles import Profile, find_profile, fit
from srkit.progress import Progress
from srkit.recipes import Phase, Recipe, describe, find_recipe
from srkit.runs import Run, run_folder, save_weights
from srkit.steps import Learner, learning_rate

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
    going_on = run.may_go_on(config, resume, force)
    if going_on and run.done:
        return run
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    for phase in recipe.phases:  # missing VGG weights stop the run here, not when the phase begins
        for loss in phase.losses:
            getattr(loss, "ready", lambda device: None)(device)
    patches = Patches(decode(photographs.train), recipe.scale, recipe.crop, recipe.degradation, seed)
    count, side = profile.validate_on
    valid = [middle(image, side, recipe.scale) for image in decode(photographs.valid[:count]).values()]
    if not going_on:
        run.clear()
    run.write_config(config | {"device": _device_name(device)})
    trainer = Trainer(Learner(recipe, device, seed, profile.compile), profile, patches, valid, run)
    trainer.fit(on_log)
    run.write_config(run.config | {"seconds": round(trainer.seconds, 1)})
    return run


class Trainer:
    """The loop that moves a learner on, and keeps what happened.

    Batch and step share one number, so a checkpoint and the seed say all that is to come.
    """

    def __init__(self, learner: Learner, profile: Profile, patches: Patches, valid: list[np.ndarray], run: Run):
        self.learner, self.recipe, self.profile = learner, learner.recipe, profile
        self.patches, self.valid, self.run = patches, valid, run
        self.step, self.last, self.seconds = 0, sum(phase.steps for phase in self.recipe.phases), 0.0

    def fit(self, on_log: Callable[[Run], None] | None = None) -> None:
        """Train every phase to its end, from the newest checkpoint where there is one."""
        self._restore()
        with stop_asked() as stop:
            end = 0
            for phase in self.recipe.phases:
                start, end = end, end + phase.steps
                if self.step < end:
                    if self.step == start > 0:
                        self.learner.begin(phase)
                    self._train(phase, start, stop, on_log)
                if self.step == end:
                    save_weights(self.learner.ema, self.run.weights(phase.name))

    def _train(self, phase: Phase, start: int, stop: threading.Event, on_log: Callable | None) -> None:
        end = start + phase.steps
        with Progress(phase.steps, f"{self.recipe.name}, {phase.name} phase", self.step - start) as bar:
            while self.step < end:
                began, note = time.perf_counter(), None
                lr, hr = self.patches.batch(self.step, self.recipe.batch)
                rate = learning_rate(phase, self.step - start)
                values = self.learner.step(phase, lr, hr, rate, self.step)
                self.step += 1
                validating = self.step % self.profile.validate_every == 0 or self.step == end
                if validating or self.step % self.profile.log_every == 0:
                    row = {"lr": rate} | {name: float(value) for name, value in values.items()}
                    if validating:
                        row["psnr_y"] = self.validate(phase)
                        note = f"PSNR-Y {row['psnr_y']:.2f} dB"
                    self._log(phase, row, time.perf_counter() - began)
                    if on_log:
                        on_log(self.run)
                self.seconds += time.perf_counter() - began
                if validating or stop.is_set():
                    self._save()
                bar.update(1, note)
                if stop.is_set() and self.step < self.last:
                    raise Interrupted(
                        f"stopped at step {self.step}, nothing is lost: go on with --resume (in Python, resume=True)."
                    )

    def validate(self, phase: Phase) -> float:
        """Mean PSNR-Y in dB of the averaged generator on the validation photographs; the first SR goes to samples/."""
        scores = []
        for number, hr in enumerate(self.valid):
            sr = super_resolve(self.learner.ema, lr_of(hr, self.recipe.scale, self.recipe.degradation))
            scores.append(psnr_y(sr, hr, self.recipe.scale))
            if number == 0:
                write_image(self.run.folder / "samples" / f"{phase.name}-{self.step:06}.png", sr)
        return float(np.mean(scores))

    def _log(self, phase: Phase, row: dict[str, float], step_seconds: float) -> None:
        speed = {"seconds": self.seconds + step_seconds, "images_per_second": self.recipe.batch / step_seconds}
        self.run.append_history({"phase": phase.name, "step": self.step} | speed | row, COLUMNS)

    def _save(self) -> None:
        numbers = {"step": self.step, "seconds": self.seconds, "random": torch.get_rng_state()}
        self.run.save_checkpoint(self.learner.state_dict() | numbers)

    def _restore(self) -> None:
        state = self.run.load_checkpoint()
        self.run.cut_history(state["step"] if state else 0)
        if state:
            ends = np.cumsum([phase.steps for phase in self.recipe.phases])
            self.learner.load_state_dict(state, self.recipe.phases[int(np.searchsorted(ends, state["step"]))])
            self.step, self.seconds = state["step"], state["seconds"]
            torch.set_rng_state(state["random"])


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
