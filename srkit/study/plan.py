"""What a study means: its entries, the runs they stand for, and how one of those is trained."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from srkit.data.pairs import size
from srkit.data.registry import NAMED
from srkit.data.sources import Photographs, all_photographs, find_images, find_photographs
from srkit.files import SrkitError, expanded
from srkit.profiles import Profile, fit
from srkit.recipes import Recipe
from srkit.records import describe
from srkit.runs import FIRST_PHASE, WORDS, Run, run_folder, what_matters
from srkit.study.variants import vary
from srkit.training import train

HOW = ("name", "about", "perceptual_weights", "compile", "log_every", "validate_every", "validate_on")  # no limits


@dataclass(frozen=True)
class Planned:
    """One run that a study means: `recipe` as it is trained, under a `profile` that changes nothing more of it.

    folder: its name below the study's folder of runs. first_phase: the same for runs that can share their first phase.
    """

    system: str
    seed: int
    recipe: Recipe
    profile: Profile
    folder: str
    study: "Study" = field(repr=False, compare=False)

    @property
    def first_phase(self) -> str:
        described = describe(self.recipe)
        same = [described[name] for name in FIRST_PHASE] + [described["phases"][0], self.profile.name, self.seed]
        return json.dumps(same)

    def first_weights(self, runs: Path) -> Path:
        """The file that is there when its first phase is done."""
        return Run(runs / self.folder).weights(self.recipe.phases[0].name)

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.recipe.phases)


@dataclass(frozen=True)
class Entry:
    """A system or a variant as the file has it; changes and drops are made after the profile was fitted."""

    name: str
    recipe: Recipe
    profile: Profile
    seeds: tuple[int, ...]
    scale: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    base: str | None = None
    group: str = ""
    found: str = ""

    @cached_property
    def built(self) -> tuple[Recipe, Profile]:
        """The recipe as it will be trained, and a profile that leaves it so. SrkitError where it cannot be built."""
        named = replace(self.recipe, name=self.name)
        recipe = vary(fit(named, self.profile, self.scale), self.changes, self.drop)
        limits = {each.name: each.default for each in fields(Profile) if each.name not in HOW}
        keeping = replace(self.profile, **limits)
        recipe = fit(recipe, keeping)
        try:
            with torch.device("meta"):
                for part in filter(None, (recipe.generator, recipe.discriminator)):
                    part()
        except (TypeError, ValueError, RuntimeError) as error:
            raise SrkitError(f"{self.name} cannot be built ({error}).") from error
        return recipe, keeping

    @cached_property
    def essence(self) -> tuple[Any, ...]:
        """What makes it train as it does: two entries that agree in it are the same."""
        recipe, profile = self.built
        told = {name: each for name, each in describe(recipe).items() if name not in ("name", *WORDS)}
        return told, replace(profile, name="")


@dataclass(frozen=True)
class Study:
    """What a study's file says, checked. See docs/howto/studies.md for the format, and `read_study`.

    against: the system that the others are compared with; by default the first. crops: which test pictures figures
    show, as SET/FILE; by default the first of each set. options: what `srkit.training.train` is given besides.
    """

    file: Path
    name: str
    entries: tuple[Entry, ...]
    data: str | tuple[str, ...]
    about: str = ""
    without: tuple[str, ...] = ()
    valid: tuple[str, ...] = ()
    min_side: int = 0
    tests: tuple[str, ...] = ()
    against: str = ""
    crops: tuple[str, ...] = ()
    threads: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)

    def runs(self) -> list[Planned]:
        """Every run, in the order to train them: those of one first phase together, the shortest of them first."""
        found = []
        for entry in self.entries:
            recipe, profile = entry.built
            for seed in entry.seeds:
                folder = run_folder("", recipe, profile.name, seed, self.data_name).name
                found.append(Planned(entry.name, seed, recipe, profile, folder, self))
        first = {}
        for place, planned in enumerate(found):
            first.setdefault(planned.first_phase, (planned.seed, place))
        return sorted(found, key=lambda planned: (first[planned.first_phase], planned.steps))

    def place(self, name: str) -> str | Path:
        """A set's name as it is, and a folder as the file means it."""
        return name if name in NAMED else (self.file.parent / expanded(name)).resolve()

    @property
    def places(self) -> list[str | Path]:
        """The sets' names and the folders that hold the photographs."""
        return [self.place(name) for name in ((self.data,) if isinstance(self.data, str) else self.data)]

    @property
    def data_name(self) -> str:
        """What runs call their photographs: the set, the folder, or the folder that the listed ones share."""
        if all(isinstance(each, Path) for each in self.places):
            return os.path.basename(os.path.commonpath(self.places))
        return "-".join(each if isinstance(each, str) else each.name for each in self.places)

    @cached_property
    def photographs(self) -> Photographs | str | Path:
        """The photographs to train and validate on, as `train` takes them. SrkitError where they are not there."""
        if len(self.places) == 1 and not (self.without or self.valid or self.min_side):
            return self.places[0]
        paths = all_photographs(self.places) if self.min_side else []
        small = [path for path in paths if min(size(path) or (0,)) < self.min_side]
        chosen = {"without": [*self.without, *small], "valid": self.valid, "white": self.options.get("white")}
        return replace(find_photographs(self.places, **chosen), name=self.data_name)

    @property
    def test_places(self) -> dict[str, str | Path]:
        """The test sets, each by its name or its folder's, as tables call it."""
        return {Path(place).name: place for place in map(self.place, self.tests)}

    def test_pictures(self) -> dict[str, list[Path]]:
        """The pictures of each test set. SrkitError where they are not there."""
        return {name: find_images(place)[0] for name, place in self.test_places.items()}

    def check_data(self) -> None:
        """Raise SrkitError, before anything runs, where photographs or test pictures are not there."""
        find_photographs(self.photographs)
        self.test_pictures()


def train_one(
    planned: Planned, runs_folder: Path | str, device: str | None = None, max_minutes: float | None = None
) -> Run:
    """Train one run of a study below `runs_folder`, or go on with it; returns at once where it is done.

    Several processes may train several runs at once. A run whose first phase another one has finished takes it from
    there, so train the first of each `Planned.first_phase` before the others.
    """
    study = planned.study
    how = {**study.options, "runs": runs_folder, "device": device, "max_minutes": max_minutes}
    return train(planned.recipe, planned.profile, planned.seed, study.photographs, resume=True, **how)


def is_trained(planned: Planned, run: Run) -> bool:
    """Whether a run is trained to its end, as the file says now; what else differs, `train` finds."""
    return run.done and is_of(planned, run)


def is_of(planned: Planned, run: Run) -> bool:
    """Whether a run's record says what the file says now: recipe, profile and the name of the photographs."""
    config, mine = run.config, json.loads(json.dumps(describe(planned.recipe)))
    named = config["profile"] == planned.profile.name and config["data"]["name"] == planned.study.data_name
    return named and what_matters(config["recipe"]) == what_matters(mine)
