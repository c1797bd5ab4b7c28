"""Which records a chapter is made from, what must not become one, and what its reader is to be warned of."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from srkit import losses
from srkit.apps.rating import vote_log
from srkit.degradations import BICUBIC, DEGRADATIONS
from srkit.evaluation import evaluate, places
from srkit.files import SrkitError, expanded
from srkit.pretrained import shipped
from srkit.recipes import OWN
from srkit.records import describe
from srkit.runs import Run, what_matters
from srkit.score_table import score_log
from srkit.study.reader import read_study
from srkit.study.record import COLUMNS, SCORES, Record, by_term, described, read_record, write_crops, write_record
from srkit.study.report import figures_of
from srkit.study.scores import FILES, protocols, task
from srkit.study.tables import last_phases, unlike
from srkit.study.variants import degradation

FEW = 10  # pictures below which a bootstrap interval is too narrow


def open_records(
    what: Sequence[str], out: Path, images: Sequence[Path], figures: Path | None = None, lpips: Any = None
) -> list[Record]:
    """The records that a chapter is made from: one of all runs that are named, and one of each study.

    what: folders of runs, studies' files, or folders of studies' figures. images: HR pictures to score runs on; without
    them only scores that lie in a run's folder count. A record of runs is written into out/record. figures: where a
    study's figures are, by default figures/NAME. Raises SrkitError for what must not stand in a chapter.
    """
    runs, records = [], []
    for word in what:
        path = expanded(word)
        if (path / "study.json").exists():
            records.append(read_record(path))
        elif path.suffix == ".toml":
            records.append(read_record(figures_of(read_study(path), figures)))
        elif path.is_dir():
            runs.append(Run(path))
        else:
            if word in {card["recipe"]["name"] for card in shipped()}:
                why = "and their figures do not belong beside the curves of another run"
                raise SrkitError(f"the weights of {word} come with srkit, {why}: name the folder of a run of your own.")
            raise SrkitError(f"{word} is neither a run's folder nor a study's file: check the name.")
    if runs:
        records.insert(0, _of_runs(runs, out / "record", images, lpips))
    elif images:
        raise SrkitError("--images is scored by runs, and a study has test sets of its own: leave --images out.")
    for record in records:
        _check_runs(record.study["runs"])
        _check_scores(record.scores)
    return records


def _check_runs(runs: Sequence[dict[str, Any]]) -> None:
    """Raise SrkitError for smoke runs, and for runs of different data."""
    for run in runs:
        if run["profile"] == "smoke":
            raise SrkitError(f"{run['folder']} is a smoke run, whose numbers mean nothing: leave it out.")
        if run["data"] != runs[0]["data"]:
            told = (f"{each['system']} ({' '.join(map(str, each['data'].values()))})" for each in (runs[0], run))
            raise SrkitError(f"{' and '.join(told)} were trained on different data: write a chapter of each.")


def _check_scores(scores: pd.DataFrame) -> None:
    """Raise SrkitError where two systems of one task were not scored on the same pictures."""
    seen = {}
    scored = scores[scores["system"] != "bicubic"]
    for (task_name, system, seed), rows in scored.groupby(["task", "system", "seed"], sort=False):
        pictures = set(zip(rows["set"], rows["image"], strict=True))
        first, theirs = seen.setdefault(task_name, (f"{system} (seed {seed})", pictures))
        if pictures != theirs:
            raise SrkitError(
                f"{first} and {system} (seed {seed}) were not scored on the same pictures at {task_name}: "
                "score both on the same, by --images DIR."
            )


def read_votes(path: Path) -> pd.DataFrame:
    """The votes that notebook 06's rating page wrote. SrkitError where there are none, or nobody gave them."""
    votes = vote_log(path).read()
    if votes.empty or votes["rater"].str.startswith("synthetic").any():
        fault = "holds synthetic votes or none, which is nobody's opinion"
        raise SrkitError(f"{path} {fault}: ask people, or leave it out.")
    return votes


def warnings(records: Sequence[Record], looked_at: Sequence[str] = ()) -> list[str]:
    """What weakens a chapter's claims, a sentence each, by rules from the records. looked_at: sets used for choices."""
    found = []
    for record in records:
        seeds = pd.DataFrame(record.study["runs"]).groupby("system", sort=False)["seed"].nunique()
        if alone := [name for name, count in seeds.items() if count == 1]:
            found.append(f"One seed was trained of {', '.join(alone)}, so the spread between trainings is not known.")
        for name, count in record.scores.groupby("set", sort=False)["image"].nunique().items():
            if count < FEW:
                few = f"{name} has {count} picture{'s' * (count > 1)}, fewer than {FEW}"
                found.append(f"{few}: its intervals are too narrow, and a test on it finds little.")
        for run in {run["system"]: run for run in record.study["runs"]}.values():
            terms = [loss for phase in run["recipe"]["phases"] for loss in phase["losses"]]
            if judges := {loss["network"] for loss in terms if loss["name"] == "LPIPS"} & {"alex", "squeeze"}:
                name = f"{run['system']} was trained with LPIPS ({', '.join(sorted(judges))})"
                found.append(f"{name} among its losses, so that score flatters it.")
            if any(loss.get("weights") == "random" for loss in terms):
                found.append(f"{run['system']} was trained with a perceptual network of random weights.")
        if record.scores.empty:
            found.append(f"No test set was scored of {record.study['name']}.")
        data = record.study["runs"][0]["data"]["name"]
        chosen = [name for name in record.study["tests"] if name in looked_at or name.lower() == data.lower()]
        found += [f"{name} was used for choices, so its scores are too high." for name in chosen]
        if differ := unlike(record.study["runs"]):
            found.append(differ.replace("Not alike in ", "The runs were not trained alike: ", 1))
        if missing := record.study["planned"] - len(record.study["runs"]):
            found.append(f"{missing} of the {record.study['planned']} runs that were planned are not done.")
    return list(dict.fromkeys(found))


def _of_runs(runs: Sequence[Run], folder: Path, images: Sequence[Path], lpips: Any) -> Record:
    """Runs as a study's record, written into a folder."""
    records, scores, named = [], [], {}
    for run in runs:
        config, name = run.config, run.config["recipe"]["name"]
        if not run.done:
            raise SrkitError(f"{run.folder} is not trained to its end: go on with --resume.")
        if any(each["system"] == name and each["recipe"] != config["recipe"] for each in records):
            name = re.sub(r"-s\d+(?=-|$)", "", run.folder.resolve().name)
        if any((each["system"], each["seed"]) == (name, config["seed"]) for each in records):
            raise SrkitError(f"{run.folder} is {name}, seed {config['seed']}, a second time: leave one of them out.")
        own = _degradation(run)
        records.append(described(run, name, own) | {"loss_weights": _loss_weights(config), "threads": None})
        named.setdefault(name, (run, own))
    _check_runs(records)
    for run, record in zip(runs, records, strict=True):
        scores += _scored(run, record, folder, images, lpips)
    scores = pd.concat(scores, ignore_index=True) if scores else pd.DataFrame(columns=COLUMNS)
    scores = scores.drop_duplicates([name for name in COLUMNS if name not in SCORES])
    said = {"name": next(iter(named)) if len(named) == 1 else "runs", "about": "", "systems": list(named)}
    said |= {"runs": records, "against": dict.fromkeys(named, "bicubic"), "groups": dict.fromkeys(named, "")}
    said |= {"tests": list(scores["set"].unique()), "planned": len(runs)}
    said["crops"] = list(_crops(named, scores, images, folder / "crops")) if images else []
    return write_record(folder, said, scores, runs)


def _degradation(run: Run) -> Any:
    """What a run was trained for, of its record, or of a recipe of one's own that was named."""
    recorded, own = run.config["recipe"]["degradation"], OWN.get(run.config["recipe"]["name"])
    known = [*DEGRADATIONS.values(), *([own.degradation] if own else [])]
    found = next((each for each in known if what_matters(describe(each)) == what_matters(recorded)), None)
    if found is None and "from" in recorded:
        raise SrkitError(
            f"{run.folder} was trained against {recorded['name']}, a degradation of its writer's own: name a recipe "
            "that has it by --recipe my_recipes.py:MINE."
        )
    return found or degradation(recorded)


def _loss_weights(config: dict[str, Any]) -> dict[str, dict[str, float]]:
    """By phase and term, the weights of a run's losses."""
    terms = {name: each.term for name, each in vars(losses).items() if hasattr(each, "term")}
    return {
        phase["name"]: by_term(
            (loss.get("term") or terms.get(loss["name"], "pixel"), loss["weight"]) for loss in phase["losses"]
        )
        for phase in config["recipe"]["phases"]
    }


def _scored(
    run: Run, record: dict[str, Any], folder: Path, images: Sequence[Path], lpips: Any
) -> Iterator[pd.DataFrame]:
    """A run's scores, bicubic's among them: made now on the images that are given, or else those in its folder."""
    phases = {phase: phase for phase in run.phases} | {"bicubic": ""}
    phases |= dict.fromkeys((record["system"], record["folder"]), run.phases[-1])  # as srkit evaluate calls it
    for kind, how in protocols(_degradation(run)).items():
        path = run.folder / FILES[kind]
        if images:
            methods = {"bicubic": "bicubic"} | {phase: run.generator(phase) for phase in run.phases}
            kept = folder / f"{record['folder']}-{FILES[kind]}"
            rows = evaluate(methods, images, run.scale, lpips=lpips, csv=kept, degradation=how)
        elif path.exists():
            rows = score_log(path).read()
            known = ["bicubic" if how == BICUBIC else repr(how), "", np.nan]  # an older srkit did not say
            if not (rows["scale"].eq(run.scale) & rows["degradation"].isin(known)).all():
                raise SrkitError(f"{path} has scores at another scale or degradation than this run's: leave them out.")
        else:
            continue
        if other := set(rows["method"]) - set(phases):
            raise SrkitError(f"{path} scores {', '.join(sorted(other))}, which this run did not train: leave that out.")
        rows = rows.assign(phase=rows["method"].map(phases), system=record["system"], seed=record["seed"])
        rows.loc[rows["phase"] == "", ["system", "seed"]] = "bicubic", 0
        yield rows.assign(task=task(run.scale, how))[COLUMNS]


def _crops(
    named: dict[str, tuple[Run, Any]], scores: pd.DataFrame, images: Sequence[Path], folder: Path
) -> Iterator[dict[str, Any]]:
    """Squares of three pictures, chosen by rank: where the last system gains most on bicubic, the middle, the least."""
    last = [*named][-1]
    rows = last_phases(scores[scores["task"] == task(named[last][0].scale, BICUBIC)])
    pictures = rows.pivot_table("psnr_y", ["set", "image"], "system", sort=False)
    gain = (pictures[last] - pictures["bicubic"]).sort_values(ascending=False)
    files = {place: path for path, place in places(images).items()}
    for rank, why in {0: "most", len(gain) // 2: "middle", len(gain) - 1: "least"}.items():
        place = gain.index[rank]
        yield write_crops(folder, "/".join(place), files[place], named) | {"rank": why}
