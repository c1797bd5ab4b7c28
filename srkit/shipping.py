"""For who maintains srkit: a run's weights, made ready to come with it."""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from srkit.files import SrkitError, replacing
from srkit.pretrained import FOLDER
from srkit.runs import Run


def check_worth(run: Run) -> None:
    """Raise SrkitError for a smoke run, which proves that the code runs, and no more."""
    if run.config["profile"] == "smoke":
        raise SrkitError(f"{run.folder} is a smoke run, whose numbers mean nothing: train it under another profile.")


def save_halves(source: Path, target: Path) -> None:
    """A file of weights in half precision."""
    whole = load_file(source)
    with replacing(target) as beside:
        save_file({key: value.half() if value.is_floating_point() else value for key, value in whole.items()}, beside)


def ship(run: Run, phase: str, facts: dict[str, Any], folder: Path = FOLDER) -> Path:
    """Write a run's weights, in half precision, and their card into `folder`; returns the card.

    facts: what the run's record does not know: licence of the data, commit, scores by set.
    """
    config = run.config
    name = f"{config['recipe']['name']}-x{run.scale}-{phase}"
    path = folder / f"{name}.safetensors"
    save_halves(run.weights(phase), path)
    steps = run.history().query("phase == @phase")["step"].max()
    kept = {
        key: config[key]
        for key in ("recipe", "profile", "seed", "data", "perceptual_weights", "versions", "device", "precision")
    }
    card = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "scale": run.scale,
        "phase": phase,
    }
    card |= kept | {"steps": int(steps), "seconds": config.get("seconds")} | facts
    with replacing(folder / f"{name}.json") as beside:
        beside.write_text(json.dumps(card, indent=2) + "\n")
    return folder / f"{name}.json"
