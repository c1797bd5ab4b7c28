"""Scores of a study's runs: on the degradation that each was trained for, and all on the bicubic one of the papers."""

import hashlib
from filecmp import cmp
from functools import cache
from pathlib import Path

from srkit.data.sources import find_images
from srkit.degradations import BICUBIC, DEGRADATIONS
from srkit.evaluation import evaluate
from srkit.files import SrkitError, expanded
from srkit.metrics import lpips_judge
from srkit.parts import defined_by, origin
from srkit.records import said
from srkit.runs import Run
from srkit.score_table import score_log
from srkit.study.plan import Planned

COMMON, OWN = "bicubic", "own"  # the two protocols
FILES = {COMMON: "scores.csv", OWN: "scores-own.csv"}


def protocols(own: object) -> dict[str, object]:
    """The degradations that a run is scored on: the common one, and its own where that is another."""
    return {COMMON: BICUBIC} | ({} if own == BICUBIC else {OWN: own})


def task(scale: int, degradation: object) -> str:
    """A scale and a degradation in words; one without a name by its kind and a digest of what it says and does.

    >>> task(4, BICUBIC)
    'x4, bicubic'
    """
    named = next((name for name, each in DEGRADATIONS.items() if each == degradation), None)
    made = defined_by(degradation)
    digest = hashlib.sha256("".join((said(degradation), *origin(made).values())).encode()).hexdigest()[:6]
    return f"x{scale}, {named or f'{made.__name__} {digest}'}"


def score_one(planned: Planned, runs_folder: Path | str, device: str | None = None) -> None:
    """Score each phase of a finished run on the study's test pictures, into scores.csv and scores-own.csv beside it.

    Rows have the phase as their method. A first phase that was taken from another of the study's runs is scored there.
    What is scored already is not done again.
    """
    run = Run(expanded(runs_folder) / planned.folder)
    if is_scored(planned, run):
        return
    lpips = lpips_judge(device or "cpu")
    networks = {phase: run.generator(phase).to(device or "cpu") for phase in _own_phases(planned, run)}
    for protocol, degradation in protocols(planned.recipe.degradation).items():
        how = {"lpips": lpips, "csv": run.folder / FILES[protocol], "degradation": degradation}
        for name, pictures in planned.study.test_pictures().items():
            evaluate(networks, pictures, run.scale, set_name=name, **how)


def first_trained_by(planned: Planned, run: Run) -> Run:
    """The study's run that trained a run's first phase: itself, or the one it is from that still has it."""
    first, theirs = run.phases[0], {each.folder for each in planned.study.runs()}
    found, seen = run, {run.folder.name}
    while (other := found.config.get("first_phase_from")) in theirs:
        source = Run(run.folder.parent / other)
        if not source.weights(first).exists() or not cmp(source.weights(first), run.weights(first), shallow=False):
            break
        if other in seen:  # each has the other's, after one was trained anew
            return run
        seen.add(other)
        found = source
    return found


def _own_phases(planned: Planned, run: Run) -> list[str]:
    """The phases that are scored as this run's."""
    return run.phases if first_trained_by(planned, run) is run else run.phases[1:]


def is_scored(planned: Planned, run: Run) -> bool:
    """Whether every phase has been scored on every picture of every test set since its weights were written.

    Of a set that is not at hand, any scores will do.
    """
    counts = {name: _pictures(place) for name, place in planned.study.test_places.items()}
    wanted = {(name, phase): count for name, count in counts.items() for phase in _own_phases(planned, run)}
    newest = max(run.weights(phase).stat().st_mtime for phase in run.phases)
    for protocol in protocols(planned.recipe.degradation) if wanted else ():
        path = run.folder / FILES[protocol]
        if not path.exists() or path.stat().st_mtime < newest - 1:  # a copied run's files have come in any order
            return False
        found = score_log(path).read().groupby(["set", "method"]).size()
        if any(found.get(each, 0) < pictures for each, pictures in wanted.items()):
            return False
    return True


@cache
def _pictures(place: str | Path) -> int:
    """How many pictures a test set has, counted once a process; 1 where it is not at hand."""
    try:
        return len(find_images(place)[0])
    except SrkitError:
        return 1
