"""Trained weights that come with srkit, each with a card that says how they were made."""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from srkit.files import SrkitError, replacing
from srkit.recipes import build_generator
from srkit.runs import Run, find_runs, load_weights

FOLDER = Path(__file__).parent / "weights"


def load(
    name: str = "srresnet_light", scale: int = 4, phase: str | None = None, runs: Path | str | None = None
) -> nn.Module:
    """A trained generator by its recipe's name, in eval mode on the CPU.

    A run's own weights come first: the newest run of that recipe and scale in `runs`, where one is named. Else those
    that srkit ships; of its last phase, or of the one named. Raises SrkitError where there are none, or a file is not
    what its card says.
    """
    mine = [run for run in find_runs(runs) if _is(run, name, scale, phase)] if runs else []
    if mine:
        return mine[-1].generator(phase)
    cards = shipped_systems().get((name, scale), {})
    if phase not in (None, *cards) or not cards:
        here = ", ".join(f"{card['recipe']['name']} x{card['scale']} ({card['phase']})" for card in shipped()) or "none"
        raise SrkitError(
            f"there are no weights of {name} x{scale}{f' ({phase})' if phase else ''}: srkit ships {here}; "
            f"srkit train {name} makes your own."
        )
    card = cards[phase or [*cards][-1]]
    path = FOLDER / card["file"]
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != card["sha256"]:
        raise SrkitError(f"{path} is missing or damaged: reinstall srkit, or restore it from git.")
    network = build_generator(card["recipe"]["generator"])
    load_weights(network, path)
    return network.eval()


def shipped() -> list[dict[str, Any]]:
    """The cards of all weights that srkit ships."""
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


def shipped_systems() -> dict[tuple[str, int], dict[str, dict[str, Any]]]:
    """By recipe and scale: the cards of its phases, in order.

    A GAN recipe's first phase may be shipped under the name of the recipe that ends there, as srresnet_light is the
    first phase of srgan_light: the one of the same generator and degradation.
    """
    found: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    task = lambda card: str([card["recipe"][part] for part in ("generator", "degradation")])  # noqa: E731
    firsts = {task(card): card for card in shipped() if card["phase"] == "psnr"}
    for card in shipped():
        phases = found.setdefault((card["recipe"]["name"], card["scale"]), {})
        first = firsts.get(task(card))
        if first:
            phases["psnr"] = first
        phases[card["phase"]] = card
    return found


def ship(run: Run, phase: str, facts: dict[str, Any], folder: Path = FOLDER) -> Path:
    """Write a run's weights, in half precision, and their card into `folder`; returns the card.

    facts: what the run's record does not know: licence of the data, commit, scores by set.
    """
    config = run.config
    name = f"{config['recipe']['name']}-x{run.scale}-{phase}"
    path = folder / f"{name}.safetensors"
    halves = {
        key: value.half() if value.is_floating_point() else value
        for key, value in load_file(run.weights(phase)).items()
    }
    with replacing(path) as beside:
        save_file(halves, beside)
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


def _is(run: Run, name: str, scale: int, phase: str | None) -> bool:
    return run.config["recipe"]["name"] == name and run.scale == scale and phase in (None, *run.phases)
