"""What a study keeps below figures/STUDY/: small files that its tables, figures and pages are drawn from.

study.json      the systems in order, what each is compared with, and each run's record
scores.csv      a line a system, seed, phase, protocol and test picture
histories.csv   each run's history, thinned to some 200 lines
crops/SET-PICTURE/SYSTEM.png   the same square of the same pictures; SYSTEM-own.png of its own degradation
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from srkit.csv_log import CsvLog
from srkit.evaluation import enlarge, evaluate, lr_of, super_resolve
from srkit.figures import busiest
from srkit.files import SrkitError, expanded, write_text
from srkit.generator import count_parameters
from srkit.images import crop_at, crop_to_multiple, read_image, write_image
from srkit.metrics import lpips_judge
from srkit.runs import Run
from srkit.score_table import score_log
from srkit.study.plan import Planned, Study
from srkit.study.scores import COMMON, FILES, OWN, first_trained_by, protocols, task
from srkit.study.variants import known
from srkit.study.work import finished

LINES = 200  # that a history is thinned to
CROP = 96  # pixels of HR
SCORES = ["psnr_y", "ssim_y", "lpips", "lpips_squeeze"]
COLUMNS = ["system", "seed", "phase", "task", "set", "image", *SCORES]
KEPT = ("recipe", "profile", "seed", "data", "perceptual_weights", "versions", "device", "precision", "seconds")


@dataclass(frozen=True, eq=False)  # told apart by identity, so that its tables are made once
class Record:
    """A study as its folder of figures keeps it."""

    folder: Path
    study: dict[str, Any]
    scores: pd.DataFrame
    histories: pd.DataFrame

    @property
    def systems(self) -> list[str]:
        """Those that have a finished run, in the file's order."""
        here = {run["system"] for run in self.study["runs"]}
        return [name for name in self.study["systems"] if name in here]

    def run(self, system: str) -> dict[str, Any]:
        """The record of a system's first run: its configuration, with system, hours, health and parameters."""
        found = [run for run in self.study["runs"] if run["system"] == system]
        if not found:
            raise SrkitError(f"{self.folder} has no finished run of {system}: choose one of {', '.join(self.systems)}.")
        return min(found, key=lambda run: run["seed"])

    def common(self) -> pd.DataFrame:
        """The scores of all systems on the papers' bicubic LR, each at its own scale."""
        return self.scores[self.scores["task"].str.endswith(f", {COMMON}")]


def read_record(folder: Path | str) -> Record:
    """The record in figures/STUDY/. SrkitError where there is none."""
    folder = expanded(folder)
    try:
        study = json.loads((folder / "study.json").read_text())
        for run in study["runs"]:
            _ = run["loss_weights"]  # an older srkit kept none, and no alpha
            run["recipe"].setdefault("alpha", None)
        scores = CsvLog(folder / "scores.csv", COLUMNS, ["system", "phase", "task", "set", "image"]).read()
        return Record(folder, study, scores, pd.read_csv(folder / "histories.csv", dtype={"system": str}))
    except (OSError, ValueError, KeyError) as error:
        raise SrkitError(f"{folder} keeps no study ({error}): make it with srkit study run FILE.") from error


def collect(study: Study, runs: Path, folder: Path) -> Record:
    """Write the record of what is finished of a study. SrkitError where nothing is."""
    if not study.tests:
        raise SrkitError(f"{study.file.name} names no test sets: write tests = [...] below [study].")
    done = {planned.folder: planned for planned in study.runs() if finished(planned, runs)}
    firsts = {name: first_trained_by(planned, Run(runs / name)).folder.name for name, planned in done.items()}
    done = [planned for name, planned in done.items() if firsts[name] in done]  # who has no first scores yet waits
    if not done:
        raise SrkitError(f"nothing of {study.name} is done yet: srkit study run {study.file} begins or goes on.")
    order = {entry.name: place for place, entry in enumerate(study.entries)}
    done.sort(key=lambda planned: (order[planned.system], planned.seed))
    records, trained = [], [Run(runs / planned.folder) for planned in done]
    for planned, run in zip(done, trained, strict=True):
        losses = {phase.name: phase.losses.items() for phase in planned.recipe.phases}
        weights = {name: by_term((loss.term, weight) for loss, weight in each) for name, each in losses.items()}
        more = {"loss_weights": weights, "threads": study.threads}
        records.append(described(run, planned.system, planned.recipe.degradation) | more)
    said = {"name": study.name, "about": study.about, "systems": list(order), "runs": records}
    said["against"] = {entry.name: entry.base if entry.base in order else study.against for entry in study.entries}
    said["groups"] = {entry.name: entry.group for entry in study.entries}
    said["found"] = {entry.name: entry.found for entry in study.entries}
    said |= {"tests": list(study.test_places), "planned": len(study.runs())}
    scores = pd.concat([*_scores(done, runs), *_bicubic(study, done, runs)], ignore_index=True)
    said["crops"] = list(_crops(study, done, runs, scores, folder / "crops"))
    return write_record(folder, said, scores, trained)


def by_term(losses: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The weight of each term of a history, of each loss's; NaN where losses of other weights are added in one term."""
    found = {}
    for term, weight in losses:
        found[term] = weight if found.get(term, weight) == weight else math.nan
    return found


def described(run: Run, system: str, degradation: Any) -> dict[str, Any]:
    """What a record says of a run."""
    config = run.config
    record = {name: config[name] for name in KEPT if name in config} | {"system": system}
    record |= {"folder": run.folder.resolve().name, "task": task(run.scale, degradation)}
    record |= {"health": config.get("health", []), "first_phase_from": config.get("first_phase_from")}
    return record | {"parameters": count_parameters(run.generator())}


def write_record(folder: Path, said: dict[str, Any], scores: pd.DataFrame, trained: Sequence[Run]) -> Record:
    """Write study.json, scores.csv, and histories.csv of the runs that `said` tells of, in its order."""
    told = zip(said["runs"], trained, strict=True)
    histories = [thinned(run.history()).assign(system=each["system"], seed=each["seed"]) for each, run in told]
    for name, table in (("scores", scores), ("histories", pd.concat(histories, ignore_index=True))):
        write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.5g"))
    write_text(folder / "study.json", json.dumps(said, indent=1) + "\n")
    return read_record(folder)


def thinned(history: pd.DataFrame) -> pd.DataFrame:
    """Every n-th line of each phase, so that some 200 are left, every n-th of its validations, and its last line."""
    kept, most = [history.groupby("phase").tail(1)], LINES // 2
    for _, rows in history.groupby(["phase", history["psnr_y"].notna()]):
        every = -(-len(rows) // most) if len(rows) > most + 1 else 1  # a phase's last line may come on top
        kept.append(rows.iloc[::every])
    return pd.concat(kept).drop_duplicates("step").sort_values("step")


def _scores(done: list[Planned], runs: Path) -> Iterable[pd.DataFrame]:
    for planned in done:
        run = Run(runs / planned.folder)
        source, first, rest = first_trained_by(planned, run), run.phases[:1], run.phases[1:]
        for protocol, degradation in protocols(planned.recipe.degradation).items():
            for holder, phases in ((source, first), (run, rest)):
                if (holder.folder / FILES[protocol]).exists():
                    rows = score_log(holder.folder / FILES[protocol]).read().rename(columns={"method": "phase"})
                    rows = rows[rows["phase"].isin(phases)].assign(system=planned.system, seed=planned.seed)
                    yield rows.assign(task=task(planned.recipe.scale, degradation))[COLUMNS]


def _bicubic(study: Study, done: list[Planned], runs: Path) -> Iterable[pd.DataFrame]:
    """Bicubic on every task that a run has, scored once and kept beside the runs."""
    recipes = [planned.recipe for planned in done]
    tasks = {task(r.scale, each): (r.scale, each) for r in recipes for each in protocols(r.degradation).values()}
    lpips = lpips_judge()
    for name, (scale, degradation) in tasks.items():
        kept = runs / f"bicubic-{re.sub('[^a-z0-9.]+', '-', name.lower())}.csv"
        how = {"lpips": lpips, "csv": kept, "degradation": degradation}
        for set_name, pictures in study.test_pictures().items():
            rows = evaluate({"bicubic": "bicubic"}, pictures, scale, set_name=set_name, **how)
            yield rows.assign(system="bicubic", seed=0, phase="", task=name)[COLUMNS]


def _crops(study: Study, done: list[Planned], runs: Path, scores: pd.DataFrame, folder: Path) -> Iterable[dict]:
    """Squares of the pictures to show, and of the failure: the picture where the systems gain least on bicubic."""
    firsts = {}
    for planned in done:  # by system and seed
        firsts.setdefault(planned.system, (Run(runs / planned.folder), planned.recipe.degradation))
    common = scores[scores["task"].str.endswith(f", {COMMON}")]
    common = common.assign(ours=common["system"] != "bicubic")
    means = common.pivot_table("psnr_y", ["task", "set", "image"], "ours")
    least = "/".join((means[True] - means[False]).groupby(["set", "image"]).mean().idxmin())
    sets = study.test_pictures()
    files = {f"{name}/{path.name}": path for name, pictures in sets.items() for path in pictures}
    shown = study.crops or [f"{name}/{pictures[0].name}" for name, pictures in sets.items()]
    for name in dict.fromkeys((*shown, least)):
        path = known(name, files, "the study's test sets")
        yield write_crops(folder, name, path, firsts) | ({"rank": "least"} if name == least else {})


def write_crops(folder: Path, name: str, path: Path, runs: Mapping[str, tuple[Run, Any]]) -> dict[str, Any]:
    """Write the square with the steepest edges of a test picture, as HR, by bicubic and by each system, into a folder.

    name: SET/FILE. runs: by system, each with its degradation. Returns what a record says of the square.
    """
    hr = crop_to_multiple(read_image(path), math.lcm(*(run.scale for run, _ in runs.values())))
    size = min(CROP, *hr.shape[:2])
    corner = busiest(hr, size)
    pictures = {"HR": hr}
    for system, (run, own) in runs.items():
        for protocol, degradation in protocols(own).items():
            lr = lr_of(hr, run.scale, degradation)
            end = "" if protocol == COMMON else f"-{OWN}"
            pictures[system + end] = super_resolve(run.generator(), lr)
            pictures[f"bicubic-x{run.scale}" if protocol == COMMON else f"{system}-bicubic"] = enlarge(lr, run.scale)
    place = name.rpartition(".")[0].replace("/", "-")
    for title, picture in pictures.items():
        write_image(folder / place / f"{title}.png", crop_at(picture, corner, size))
    return {"picture": name, "folder": place, "top": corner[0], "left": corner[1], "size": size}
