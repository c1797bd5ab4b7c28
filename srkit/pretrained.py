"""Every way to a trained network: a recipe's name, a run, a file of weights, a network itself, what srkit ships."""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from srkit.files import SrkitError, check_numbers, digest, expanded, near, or_left_out
from srkit.generator import interpolate
from srkit.parts import find_part
from srkit.recipes import RECIPES, Recipe, find_recipe
from srkit.runs import Run, find_runs
from srkit.weights_files import SUFFIXES, check_weights, open_weights

FOLDER = Path(__file__).parent / "weights"
BEST = "srgan_light"  # of what srkit ships, the system that is shown first
INTERPOLATIONS, SHIPPED = ("bicubic", "nearest"), " (shipped)"
What = str | Path | Recipe | nn.Module


@dataclass(frozen=True)
class Method:
    """A way from LR to SR, and what is known of it.

    name: what a table calls it. does: a generator, in eval mode on the CPU unless it was given as it is; "bicubic" or
    "nearest"; or a folder of SR pictures that are there already. scale: None where any will do. source: where it comes
    from, in words. card: of a run or of what srkit ships, the record of its training; else empty.
    """

    name: str
    does: nn.Module | str | Path
    scale: int | None
    source: str
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def network(self) -> nn.Module:
        """The generator: (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W). SrkitError where it is none."""
        if not isinstance(self.does, nn.Module):
            raise SrkitError(f"{self.name} is no network: name a recipe, the folder of a run, or a file of weights.")
        return self.does


@dataclass(frozen=True)
class System:
    """A recipe that has weights, of a run or shipped with srkit; the network of each phase is loaded when called.

    name: the recipe's. label: a run's folder, or "NAME (shipped)". made: in words. cards: the record of each phase's
    training; empty of a public file. run: None where it is no run's.
    """

    name: str
    scale: int
    label: str
    made: str
    phases: Mapping[str, Callable[[], nn.Module]]
    cards: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    run: Run | None = None

    @property
    def smoke(self) -> bool:
        """Whether it only proves that the code runs."""
        return self.run is not None and self.run.config["profile"] == "smoke"

    @property
    def real(self) -> bool:
        """Whether it learned from LR with the faults of real photographs, as `real_light` did."""
        return any("HighOrder" in str(card["recipe"]["degradation"]) for card in self.cards.values())

    @property
    def psnr(self) -> Callable[[], nn.Module]:
        """Loads the network of the first phase."""
        return next(iter(self.phases.values()))

    @property
    def gan(self) -> Callable[[], nn.Module] | None:
        """Loads the network of the phase after it; None where there is none."""
        return [*self.phases.values(), None][1]


def load(
    name: What = "srresnet_light",
    scale: int | None = None,
    phase: str | None = None,
    runs: Path | str | None = None,
    recipe: str | Recipe | None = None,
) -> nn.Module:
    """A trained generator in eval mode on the CPU, by all that `resolve` understands.

    >>> load("srgan_light", scale=2).scale
    2
    """
    return resolve(name, scale, runs, phase=phase, recipe=recipe).network


def resolve(
    what: What,
    scale: int | None = None,
    runs: Path | str | None = None,
    *,
    phase: str | None = None,
    alpha: float | None = None,
    recipe: str | Recipe | None = None,
) -> Method:
    """What a word or a thing means, as something that enlarges.

    what: "bicubic" or "nearest"; a recipe or its name; a run, or its folder; a file of weights (.safetensors, .pth,
    .pt, .ckpt), srkit's own or a public one of an architecture that spandrel knows; a folder of SR pictures; or a
    network. Of a recipe's name the newest run in `runs` comes first, then what srkit ships, then the runs under smoke.
    scale: what it must enlarge by; None takes the recipe's, or whatever a file or a run has. phase: "psnr" or "gan";
    by default the last one that has weights. alpha: between the weights of the first phase, 0, and of the second, 1,
    both of one run. recipe: what a file of weights without a card is of, or where a run's own generator is defined.
    Raises SrkitError for what is unknown or damaged, of another scale, or not there.
    """
    check_numbers(1, scale=scale)
    if alpha is not None and not 0 <= alpha <= 1:
        raise SrkitError(f"alpha {alpha:g} does not lie between the PSNR weights, 0, and the GAN weights, 1.")
    if recipe is not None:
        recipe = find_recipe(recipe)
    method = _found(what, scale, _runs_folder(runs), phase, alpha, recipe)
    if scale and method.scale not in (None, scale):
        raise SrkitError(f"{method.name} enlarges {method.scale}-fold, not {scale}-fold: use --scale {method.scale}.")
    return method


def find_systems(runs: Path | str, first: str = "") -> list[System]:
    """All that has weights: runs, those of the recipe `first` and the newest first; what srkit ships; smoke's last.

    Public files of weights that lie in `runs` stand among the runs. What cannot be opened is left out, with a warning.
    """
    first = find_recipe(first).name if ".py:" in first else first
    mine = sorted([*filter(_opens, _trained(runs)), *_public(expanded(runs))], key=lambda s: s.name != first)
    return sorted([*mine, *shipped_systems(firsts=False)], key=lambda s: s.smoke)


def _found(
    what: What, scale: int | None, runs: Path | None, phase: str | None, alpha: float | None, recipe: Recipe | None
) -> Method:
    if isinstance(what, nn.Module):
        if alpha is not None:
            raise SrkitError("alpha lies between two sets of weights: name a recipe, and not a network.")
        check_weights(what, type(what).__name__)
        return Method(type(what).__name__, what, getattr(what, "scale", None), "a network given in Python")
    word, named = str(what.folder if isinstance(what, Run) else what), isinstance(what, str)
    if not word:
        raise SrkitError("a method without a name: give a recipe, a folder, a file of weights, bicubic or nearest.")
    if named and word in INTERPOLATIONS:
        return Method(word, word, None, word)
    if isinstance(what, Recipe) or (named and (word in RECIPES or ".py:" in word)):
        made = find_recipe(what if isinstance(what, Recipe) else word)
        return _of_name(made.name, scale or made.scale, runs, phase, alpha)
    path = expanded(word)
    if path.is_file() or path.suffix in SUFFIXES:
        if alpha is not None or phase:
            raise SrkitError(f"{path} holds one set of weights: name a recipe to choose a phase, or alpha between two.")
        network = open_weights(path, recipe, scale)
        return Method(path.stem, network, network.scale, str(path))
    if (path / "config.json").exists():
        return _of_system(_of_run(Run(path)), path.resolve().name, phase, alpha)
    if path.is_dir():
        return _ready_made(path)
    own = [system for system in _trained(runs) if system.name == word]
    if own:
        return _of_name(word, scale or own[0].scale, runs, phase, alpha)
    known = [*INTERPOLATIONS, *RECIPES]
    raise SrkitError(
        f"{word!r} is no method: {near(word, known)}give the folder of a run or of SR images, a file of weights, or "
        f"one of {', '.join(known)}."
    )


def _of_name(name: str, scale: int, runs: Path | None, phase: str | None, alpha: float | None) -> Method:
    """The newest run of a recipe at a scale, what srkit ships of it, or its newest run under smoke."""
    every = sorted([*_trained(runs), *shipped_systems()], key=lambda system: system.smoke)
    named = [system for system in every if system.name == name and system.scale == scale]
    for system in named:
        if (alpha is None or system.gan) and (phase is None or phase in system.phases):
            if system.smoke:
                warnings.warn(f"{name} x{scale} is that of {system.made}, which has hardly learned.", stacklevel=2)
            return _of_system(system, name if system.run else system.label, phase, alpha)
    wanted = f"{name} x{scale}" + (f" ({phase})" if phase else " after a second phase" if alpha is not None else "")
    here = ", ".join(f"{system.label} x{system.scale} ({', '.join(system.phases)})" for system in named)
    ours = ", ".join(f"{card['recipe']['name']} x{card['scale']} ({card['phase']})" for card in shipped()) or "none"
    here = f"here are {here}" if here else f"srkit ships {ours}"
    raise SrkitError(f"there are no weights of {wanted}: {here}; srkit train {name} --scale {scale} makes your own.")


def _of_system(system: System, name: str, phase: str | None, alpha: float | None) -> Method:
    if alpha is not None:
        if not system.gan:
            raise SrkitError(f"{system.label} has one phase, and alpha lies between two: leave --alpha out.")
        network = interpolate(system.psnr(), system.gan(), alpha)
        return Method(f"{name}, alpha {alpha:g}", network, system.scale, system.made)
    if system.run and not system.phases:
        system.run.generator()  # says that it has no weights yet
    last = phase or [*system.phases][-1]
    if last not in system.phases:
        raise SrkitError(f"{system.label} has no weights of a phase {last!r}: it has {', '.join(system.phases)}.")
    unfinished = system.run and not system.run.done and not phase
    title = f"{name}, {last} phase" if unfinished else name
    return Method(title, system.phases[last](), system.scale, system.made, system.cards[last])


def _ready_made(folder: Path) -> Method:
    """A folder of SR pictures, by its name; by its parent's too where that alone would be taken for a method's."""
    from srkit.data.sources import find_pictures

    whole = folder.resolve()
    if not find_pictures(folder):
        raise SrkitError(f"{folder} holds neither a run nor SR images: name another folder.")
    taken = whole.name in (*INTERPOLATIONS, *RECIPES)
    name = f"{whole.parent.name}-{whole.name}" if taken else whole.name
    return Method(name, folder, None, f"{folder}, SR pictures that were there")


def _runs_folder(runs: Path | str | None) -> Path | None:
    if runs is None:
        return None
    folder = expanded(runs)
    if not folder.is_dir():
        raise SrkitError(f"{folder} is no folder of runs: check the name, or leave --runs out.")
    if (folder / "config.json").exists():
        raise SrkitError(f"{folder} is a run itself: name the folder that it lies in with --runs.")
    return folder


def _trained(runs: Path | str | None) -> list[System]:
    """A system for each run, the newest first."""
    return [_of_run(run) for run in reversed(find_runs(runs))] if runs else []


def _opens(system: System) -> bool:
    """Whether the class of a run's network is at hand."""
    recorded = system.run.config["recipe"]["generator"]
    with or_left_out():
        if "from" in recorded:
            find_part(recorded["name"], recorded["from"], system.run.folder)
        return True
    return False


def _of_run(run: Run) -> System:
    phases = {phase: partial(run.generator, phase) for phase in run.phases}
    cards = {phase: run.config | {"scale": run.scale, "phase": phase} for phase in phases}
    label = run.folder.resolve().name
    return System(run.config["recipe"]["name"], run.scale, label, f"{run.folder} ({run.label})", phases, cards, run)


def _public(folder: Path) -> list[System]:
    """A system for each file of weights that lies in a folder."""
    found = []
    for path in sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES):
        with or_left_out():
            scale = open_weights(path).scale
            found.append(System(path.stem, scale, path.stem, str(path), {"public": partial(open_weights, path)}))
    return found


def _open(card: dict[str, Any]) -> nn.Module:
    path = FOLDER / card["file"]
    if not path.exists() or digest(path) != card["sha256"]:
        raise SrkitError(f"{path} is missing or damaged: reinstall srkit, or restore it from git.")
    return open_weights(path)


def shipped() -> list[dict[str, Any]]:
    """The cards of all weights that srkit ships."""
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


def shipped_systems(firsts: bool = True) -> list[System]:
    """The systems whose weights srkit ships, one a recipe and scale: those of the largest scale, and the best, first.

    A GAN recipe's first phase may be shipped under the name of the recipe that ends there, as srresnet_light is the
    first phase of srgan_light: the one of the same generator and degradation. firsts: whether it is listed too.
    """
    found: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    task = lambda card: str([card["recipe"][part] for part in ("generator", "degradation")])  # noqa: E731
    begin = {task(card): card for card in shipped() if card["phase"] == "psnr"}
    for card in shipped():
        phases = found.setdefault((card["recipe"]["name"], card["scale"]), {})
        if first := begin.get(task(card)):
            phases["psnr"] = first
        phases[card["phase"]] = card
    begun = [] if firsts else [cards["psnr"] for cards in found.values() if len(cards) > 1]
    systems = []
    for (name, scale), cards in found.items():
        if len(cards) > 1 or cards.get("psnr") not in begun:
            phases = {phase: partial(_open, card) for phase, card in cards.items()}
            systems.append(System(name, scale, name + SHIPPED, "shipped with srkit", phases, cards))
    return sorted(systems, key=lambda system: (-system.scale, system.name != BEST))
