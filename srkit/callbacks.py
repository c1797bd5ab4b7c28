"""What a training keeps of itself: validation, history, words on its health, progress, checkpoints, TensorBoard."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from srkit import distributed
from srkit.device import find_device
from srkit.files import SrkitError, needed
from srkit.health import FEW, TRY, findings
from srkit.images import write_image
from srkit.metrics import grid
from srkit.progress import Progress
from srkit.recipes import Phase
from srkit.runs import Run
from srkit.scoring import enlarge, judged
from srkit.weights_files import load_weights

if TYPE_CHECKING:
    from srkit.training import Trainer

LOSSES = ("pixel", "perceptual", "checkerboard", "adversarial")
TERMS = (*LOSSES, "discriminator", "d_hr", "d_sr", "grad_norm", "d_grad_norm")
TERMS += ("red", "green", "blue")  # mean of SR - HR
TERMS += tuple(f"share_{name}" for name in LOSSES)  # of the gradient at SR
COLUMNS = ("phase", "step", "seconds", "images_per_second", "lr", *TERMS, "psnr_y", "grid", "grid_bicubic")


class Callback:
    """Told by a `Trainer` what happens, after those that stand before it. A method that is left out does nothing."""

    def on_start(self, trainer: "Trainer") -> None:
        """Before the first step."""

    def on_phase(self, trainer: "Trainer", phase: Phase, start: int) -> None:
        """Before the first step of a phase, which began at step `start` of the run."""

    def on_log(self, trainer: "Trainer", row: dict[str, Any], validates: bool) -> None:
        """After a step that is logged. row: a line of the history, to which may be added."""

    def on_save(self, trainer: "Trainer") -> None:
        """After a validation, and before a stop."""

    def on_step(self, trainer: "Trainer") -> None:
        """After each step, when all that belongs to it is done."""

    def on_end(self, trainer: "Trainer") -> None:
        """At the end of the training, whatever ended it."""


class Validation(Callback):
    """Adds mean PSNR-Y in dB and grid of the averaged generator, and bicubic's grid, on the validation photographs.

    The first SR goes to samples/.
    """

    COLUMNS = ("psnr_y", "grid")

    def __init__(self, pairs: list[tuple[np.ndarray, np.ndarray]], scale: int):
        self.pairs, self.scale = pairs, scale

    def on_log(self, trainer: "Trainer", row: dict[str, Any], validates: bool) -> None:
        if not validates:
            return
        found = []
        for number, (hr, lr) in enumerate(self.pairs):
            sr, score = judged(trainer.learner.ema, hr, self.scale, lr=lr, columns=self.COLUMNS)
            found.append([score[name] for name in self.COLUMNS])
            if number == 0:
                write_image(trainer.run.folder / "samples" / f"{row['phase']}-{row['step']:06}.png", sr)
        row |= zip(self.COLUMNS, np.mean(found, axis=0).tolist(), strict=True)
        row["grid_bicubic"] = self.grid_bicubic

    @cached_property
    def grid_bicubic(self) -> float:
        return float(np.mean([grid(enlarge(lr, self.scale), hr) for hr, lr in self.pairs]))


class History(Callback):
    """Writes each row into the run's history.csv; a term of one's own stands behind the usual ones."""

    def on_log(self, trainer: "Trainer", row: dict[str, Any], validates: bool) -> None:
        terms = dict.fromkeys(loss.term for phase in trainer.recipe.phases for loss in phase.losses)
        own = [column for term in terms if term not in LOSSES for column in (term, f"share_{term}")]
        trainer.run.append_history(row, (*COLUMNS, *own))


class TensorBoard(Callback):
    """Mirrors the history to the run's tensorboard/."""

    def on_start(self, trainer: "Trainer") -> None:
        tensorboard = needed("torch.utils.tensorboard", "pip install tensorboard")
        self.writer = tensorboard.SummaryWriter(str(trainer.run.folder / "tensorboard"), purge_step=trainer.step + 1)

    def on_log(self, trainer: "Trainer", row: dict[str, Any], validates: bool) -> None:
        for name in row.keys() - {"phase", "step"}:
            self.writer.add_scalar(name, row[name], row["step"])

    def on_end(self, trainer: "Trainer") -> None:
        self.writer.close()


class Health(Callback):
    """Says what looks ill when it is first seen, and what to try; `note` is for the progress bar."""

    def __init__(self) -> None:
        self.told, self.note = set(), None

    def on_log(self, trainer: "Trainer", row: dict[str, Any], validates: bool) -> None:
        if not validates:
            return
        found = {name: said for name, said in findings(trainer.run.history()).items() if name != FEW}
        for name in found.keys() - self.told:
            print(f"\nstep {trainer.step}: {name} ({found[name]}). Try this: {TRY[name]}.")
        self.told |= found.keys()
        self.note = "; ".join([f"PSNR-Y {row['psnr_y']:.2f} dB", *found])


class Bar(Callback):
    """A progress bar for each phase, with the last words of `health`."""

    def __init__(self, health: Health):
        self.health, self.bar = health, None

    def on_phase(self, trainer: "Trainer", phase: Phase, start: int) -> None:
        self.on_end(trainer)
        if trainer.step < start + phase.steps:
            self.bar = Progress(phase.steps, f"{trainer.recipe.name}, {phase.name} phase", trainer.step - start)

    def on_step(self, trainer: "Trainer") -> None:
        self.bar.update(1, self.health.note)

    def on_end(self, trainer: "Trainer") -> None:
        if self.bar is not None:
            self.bar.close()


class Call(Callback):
    """Calls a function with the run after each line of its history."""

    def __init__(self, function: Callable[[Run], None]):
        self.function = function

    def on_log(self, trainer: "Trainer", row: dict[str, Any], validates: bool) -> None:
        self.function(trainer.run)


class Checkpoint(Callback):
    """Keeps all that is needed to go on, and takes it up again at the start; the only one that each process has."""

    def on_save(self, trainer: "Trainer") -> None:
        if distributed.rank() > 0:
            return
        numbers = {"step": trainer.step, "seconds": trainer.seconds, "random": torch.get_rng_state()}
        numbers["history"] = trainer.run.history_text()
        there = find_device(trainer.learner.device)
        numbers[f"random_{there.kind}"] = there.random_state()
        trainer.run.save_checkpoint(trainer.learner.state_dict() | numbers)

    def on_start(self, trainer: "Trainer") -> None:
        run = trainer.run
        state = run.load_checkpoint()
        first = trainer.recipe.phases[0]
        shared = run.weights(first.name)  # without a checkpoint, another run's; see Run.share_first_phase
        distributed.any_of(False)  # all have read it before one goes on
        if distributed.rank() == 0:
            run.clear_unfinished()
            if not state:
                run.cut_history(first.steps if shared.exists() else 0)
        if state:
            self._restore(trainer, state)
        elif shared.exists():
            load_weights(trainer.learner.ema, shared)
            trainer.step = first.steps
        distributed.require_same_step(trainer.step)

    def _restore(self, trainer: "Trainer", state: dict[str, Any]) -> None:
        ends = np.cumsum([phase.steps for phase in trainer.recipe.phases])
        try:
            phase = trainer.recipe.phases[int(np.searchsorted(ends, state["step"]))]
            trainer.learner.load_state_dict(state, phase)
            trainer.step, trainer.seconds = state["step"], state["seconds"]
            torch.set_rng_state(state["random"])
            if distributed.rank() == 0:
                trainer.run.write_history(state["history"])
        except (KeyError, RuntimeError, ValueError, IndexError) as error:
            raise SrkitError(
                f"the checkpoint in {trainer.run.folder} is of another version of srkit ({error!r}): go on with that "
                "version, or start anew with --force."
            ) from error
        there = find_device(trainer.learner.device)
        if state.get(f"random_{there.kind}") is not None:  # of a device of this kind
            there.set_random_state(state[f"random_{there.kind}"])


def usual_callbacks(
    valid: list[tuple[np.ndarray, np.ndarray]],
    scale: int,
    tensorboard: bool = False,
    on_log: Callable[[Run], None] | None = None,
) -> list[Callback]:
    """What `srkit.training.train` has watch a run. valid: pairs of HR and LR; on_log is called after each log line."""
    if distributed.rank() > 0:
        return [Checkpoint()]
    health = Health()
    callbacks = [Checkpoint(), Validation(valid, scale), History(), health, Bar(health)]
    if tensorboard:
        callbacks.append(TensorBoard())
    if on_log:
        callbacks.append(Call(on_log))
    return callbacks
