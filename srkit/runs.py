"""A run's folder: what was trained, on what, how it went, and the weights that came out."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from srkit import distributed
from srkit.files import SrkitError, expanded, locked, or_left_out, remove_unfinished, replacing, write_text
from srkit.recipes import RECIPES, Recipe
from srkit.weights_files import open_weights

if TYPE_CHECKING:
    import pandas as pd

    from srkit.csv_log import CsvLog

WRITTEN = ("config.json", "history.csv", "checkpoint*.pt", "generator-*.safetensors", "samples/*.png")
WORDS = ("about", "cite", "reported")  # of a recipe: what its result does not depend on
FIRST_PHASE = ("generator", "degradation", "scale", "crop", "batch", "ema")  # of a recipe: what its first phase is


class Run:
    """One recipe trained under one profile with one seed.

    config.json      the recipe as trained, profile, seed, data with fingerprint, versions, device, seconds
    history.csv      one line a logged step
    generator-PHASE.safetensors   the weights after each phase
    checkpoint.pt    all that is needed to go on; checkpoint-before.pt is the one before it
    samples/         the first validation picture as training went on
    """

    def __init__(self, folder: Path | str):
        self.folder = expanded(folder)

    @property
    def config(self) -> dict[str, Any]:
        path = self.folder / "config.json"
        try:
            config = json.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise SrkitError(f"{self.folder} holds no run: train one first, or name another folder.") from None
        except (OSError, ValueError) as error:
            raise SrkitError(f"{path} is damaged ({error}): train the run anew with --force.") from error
        try:  # all that is needed to name it and to build its network
            recipe = config["recipe"]
            _ = recipe["name"], recipe["scale"] + 0, recipe["generator"]["name"], config["profile"], config["seed"]
            _ = [phase["name"] for phase in recipe["phases"]], config["data"]["name"]
        except (KeyError, TypeError):
            raise SrkitError(f"{path} is not the record of a run of srkit: name another folder.") from None
        return config

    @property
    def label(self) -> str:
        """What made this run's numbers, for captions: "srgan x4, smoke profile, seed 0, starter photographs"."""
        config = self.config
        label = f"{config['recipe']['name']} x{config['recipe']['scale']}, {config['profile']} profile"
        label += f", seed {config['seed']}, {config['data']['name']} photographs"
        losses = (loss for phase in config["recipe"]["phases"] for loss in phase["losses"])
        return label + ", VGG with random weights" * any(loss.get("weights") == "random" for loss in losses)

    @property
    def scale(self) -> int:
        return self.config["recipe"]["scale"]

    @property
    def phases(self) -> list[str]:
        """The phases whose weights are here, in order."""
        names = [phase["name"] for phase in self.config["recipe"]["phases"]]
        return [name for name in names if self.weights(name).exists()]

    @property
    def done(self) -> bool:
        """Whether every phase was trained to its end."""
        return (self.folder / "config.json").exists() and len(self.phases) == len(self.config["recipe"]["phases"])

    def weights(self, phase: str) -> Path:
        return self.folder / f"generator-{phase}.safetensors"

    def generator(self, phase: str | None = None) -> nn.Module:
        """The trained generator in eval mode, on the CPU; of the last phase that has weights, or of the one named.

        A class of one's own must have been imported or named in this process, or be importable: see `parts.find_part`.
        """
        phases = self.phases
        if not phases or (phase and phase not in phases):
            here = f"weights of {', '.join(phases)}" if phases else "no weights yet"
            raise SrkitError(f"{self.folder} holds {here}: go on training it with --resume.")
        return open_weights(self.weights(phase or phases[-1]))

    def history(self) -> "pd.DataFrame":
        """history.csv: phase, step, seconds, losses ...; empty cells where a phase has no such term."""
        if not (self.folder / "history.csv").exists():
            raise SrkitError(f"{self.folder} has no history.csv: train the run first.")
        return self._log().read()

    def _log(self, columns: tuple[str, ...] | None = None) -> "CsvLog":
        from srkit.csv_log import CsvLog  # pandas is slow to import, and weights need none

        return CsvLog(self.folder / "history.csv", columns, ["phase"], ["phase", "step"], kind="history of a run")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from training this run meanwhile; SrkitError where another process does."""
        busy = f"{self.folder} is being trained by another process: wait for its end, or name another with --runs."
        with locked(self.folder, busy, 0) if distributed.rank() == 0 else nullcontext():
            yield

    def may_go_on(self, config: dict[str, Any], resume: bool, force: bool) -> bool:
        """Whether there is a run here to go on with. Refuses to write over one unasked, or to go on with another."""
        if force or not (self.folder / "config.json").exists():
            return False
        if not resume:
            raise SrkitError(
                f"{self.folder} holds a run already: go on with --resume (resume=True), or start anew with --force."
            )
        before, now = self.config, json.loads(json.dumps(config))
        for what in ("recipe", "profile", "seed", "data", "perceptual_weights"):
            theirs, mine = what_matters(before.get(what)), what_matters(now[what])
            if theirs != mine:
                changed = what
                if what == "recipe":
                    differ = [key for key in theirs | mine if theirs.get(key) != mine.get(key)]
                    changed = f"recipe ({', '.join(differ)})"
                raise SrkitError(
                    f"{self.folder} holds a run with a different {changed}: name another folder with --runs, "
                    "or remove it; srkit train starts anew with --force."
                )
        changed = [name for name, text in now.get("parts", {}).items() if before.get("parts", {}).get(name) != text]
        if changed:
            warnings.warn(
                f"the source of {', '.join(changed)} has changed since {self.folder} was begun.", stacklevel=3
            )
        return True

    def share_first_phase(self, config: dict[str, Any]) -> "Run | None":
        """Take weights and history of the first phase from a run beside this one that trained the very same; that run.

        The same is: network, losses, schedule, degradation, sizes, profile, seed, photographs, and in which precision
        and pieces of a batch.
        """
        mine = json.loads(json.dumps(config))
        first = mine["recipe"]["phases"][0]
        for other in reversed(find_runs(self.folder.parent)):
            theirs = other.config
            alike = all(theirs.get(key) == mine[key] for key in ("profile", "seed", "data", "precision", "accumulate"))
            alike &= all(theirs["recipe"].get(key) == mine["recipe"][key] for key in FIRST_PHASE)
            if alike and other.folder != self.folder and theirs["recipe"]["phases"][0] == first:
                with replacing(self.weights(first["name"])) as beside:
                    beside.write_bytes(other.weights(first["name"]).read_bytes())
                self.write_history(other.history_text())
                self.cut_history(first["steps"])
                return other
        return None

    def known_before(self, config: dict[str, Any]) -> dict[str, Any]:
        """What the record of a run that goes on has to keep: whose its first phase is; every device and version."""
        before = self.config

        def each(theirs: str, mine: str) -> str:
            return ", ".join(dict.fromkeys([*theirs.split(", "), mine]))

        kept = {name: each(before.get(name, config[name]), config[name]) for name in ("device", "precision")}
        past = before.get("versions", {})
        kept["versions"] = {name: each(past.get(name, mine), mine) for name, mine in config["versions"].items()}
        if "first_phase_from" in before:
            kept["first_phase_from"] = before["first_phase_from"]
        return kept

    def write_config(self, config: dict[str, Any]) -> None:
        write_text(self.folder / "config.json", json.dumps(config, indent=2) + "\n")

    def samples(self) -> list[Path]:
        """The first validation picture as training went on, oldest first: samples/PHASE-STEP.png."""
        return sorted((self.folder / "samples").glob("*-*.png"), key=lambda path: int(path.stem.split("-")[-1]))

    def append_history(self, row: dict[str, Any], columns: tuple[str, ...]) -> None:
        """Add one line to history.csv, whole or not at all; the header first where the file is new."""
        self._log(columns).append(row)

    def cut_history(self, step: int) -> None:
        """Forget the lines after `step`, and one that was not written to its end."""
        path = self.folder / "history.csv"
        if not step:
            path.unlink(missing_ok=True)
        elif path.exists():
            self._log().rewrite(lambda table: table[table["step"] <= step])

    def history_text(self) -> str:
        """history.csv as it stands, for a checkpoint."""
        path = self.folder / "history.csv"
        return path.read_text() if path.exists() else ""

    def write_history(self, text: str) -> None:
        """Put history.csv back to what a checkpoint holds: a resumed run writes the lines after it again."""
        if not text.strip():
            self.cut_history(0)
        else:
            write_text(self.folder / "history.csv", text)

    def clear(self) -> None:
        """Remove what training wrote here, and nothing else."""
        for pattern in (*WRITTEN, "tensorboard/events.*"):
            for path in self.folder.glob(pattern):
                path.unlink()
        self.clear_unfinished()

    def clear_unfinished(self) -> None:
        """Remove files that a killed process had begun to write beside their place."""
        for pattern in WRITTEN:
            remove_unfinished(self.folder / pattern)

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Write a checkpoint; the one before it stays as checkpoint-before.pt, or as it was where the disk is full."""
        path = self.folder / "checkpoint.pt"
        with replacing(path) as beside:
            with beside.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())  # on the disk, not only on its way there, before the old one moves
            if path.exists():
                path.replace(self.folder / "checkpoint-before.pt")

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The newest checkpoint that is whole, or None where none was written. SrkitError where none is whole."""
        damaged = []
        for path in (self.folder / "checkpoint.pt", self.folder / "checkpoint-before.pt"):
            try:
                state = torch.load(path, weights_only=True, map_location="cpu")
            except FileNotFoundError:
                continue
            except Exception as error:  # a truncated file fails in many ways, each as final as the next
                damaged.append(f"{path} is damaged ({type(error).__name__})")
            else:
                print(*(f"{each}: the one before it is used." for each in damaged), sep="\n", end="\n" * len(damaged))
                return state
        if damaged:
            raise SrkitError(f"{damaged[-1]}, and there is no whole one to go on from: start anew with --force.")
        return None


def run_folder(runs: Path | str, recipe: Recipe, profile: str, seed: int, data: str = "starter") -> Path:
    """runs/RECIPE-PROFILE-sSEED, and what is unusual about it: -x2 for another scale than the recipe's, -DATA."""
    usual = RECIPES.get(recipe.name, recipe)
    unusual = [f"x{recipe.scale}"] if recipe.scale != usual.scale else []
    unusual += [data] if data != "starter" else []
    return expanded(runs) / "-".join([recipe.name, profile, f"s{seed}", *unusual])


def find_runs(runs: Path | str) -> list[Run]:
    """Every run below a folder that has weights, oldest first; what is damaged is left out, with a warning."""
    found = []
    for path in sorted(expanded(runs).glob("*/config.json"), key=lambda path: path.stat().st_mtime):
        run = Run(path.parent)
        with or_left_out():
            found += [run] if run.phases else []
    return found


def what_matters(record: Any) -> Any:
    """What a record says of the result: not a recipe's words, nor what a part of one's own reads like and is called."""
    if isinstance(record, dict):
        words = {"from", "term", *(WORDS if "generator" in record else ())}
        said = {key: value for key, value in record.items() if value is not None and value is not False}
        return {key: what_matters(value) for key, value in said.items() if key not in words}
    return [what_matters(each) for each in record] if isinstance(record, list) else record
