"""Which records a chapter is made from, what must not become one, and what its reader is to be warned of."""

import json
import re
from collections.abc import Iterator, Sequence
from math import lcm
from pathlib import Path
from typing import Any

import pandas as pd

from srkit.degradations import DEGRADATIONS
from srkit.evaluation import enlarge, evaluate, lr_of, places, super_resolve
from srkit.figures import busiest
from srkit.files import SrkitError, near, replacing
from srkit.generator import count_parameters
from srkit.images import crop_at, crop_to_multiple, read_image, write_image
from srkit.pretrained import shipped
from srkit.records import describe
from srkit.runs import Run
from srkit.study.reader import read_study
from srkit.study.record import COLUMNS, CROP, KEPT, Record, read_record, thinned
from srkit.study.report import figures_of
from srkit.study.scores import COMMON, FILES, OWN, task
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
        path = Path(word).expanduser()
        if (path / "study.json").exists():
            records.append(read_record(path))
        elif path.suffix == ".toml":
            records.append(read_record(figures_of(read_study(path), figures)))
        elif path.is_dir():
            runs.append(Run(path))
        else:
            names = {card["recipe"]["name"] for card in shipped()}
            if word in names:
                raise SrkitError(
                    f"the weights of {word} come with srkit, and their figures do not belong beside the curves of another "
                    "run: name the folder of a run of your own."
                )
            raise SrkitError(f"{word} is neither a run's folder nor a study's file: {near(word, names)}check the name.")
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
            raise SrkitError(f"{run['folder']} is a smoke run, whose numbers mean nothing: train it under another profile.")
        if run["data"] != runs[0]["data"]:
            told = (f"{each['data']['name']} {each['data']['fingerprint']}" for each in (runs[0], run))
            raise SrkitError(
                f"{runs[0]['system']} and {run['system']} were trained on different data ({' and '.join(told)}): "
                "write a chapter of each."
            )


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


def check_votes(votes: pd.DataFrame, path: Path) -> None:
    """Raise SrkitError for votes that nobody gave."""
    if votes.empty:
        raise SrkitError(f"{path} holds no votes yet: ask people, or leave --votes out.")
    if votes["rater"].str.startswith("synthetic").any():
        raise SrkitError(f"{path} holds synthetic votes, which are nobody's opinion: ask people, or leave --votes out.")


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
            losses = [loss for phase in run["recipe"]["phases"] for loss in phase["losses"]]
            if judges := {loss["network"] for loss in losses if loss["name"] == "LPIPS"} & {"alex", "squeeze"}:
                name = f"{run['system']} was trained with LPIPS ({', '.join(sorted(judges))})"
                found.append(f"{name} among its losses, so that score flatters it.")
            if any(loss.get("weights") == "random" for loss in losses):
                found.append(f"{run['system']} was trained with a perceptual network of random weights.")
        data = record.study["runs"][0]["data"]["name"]
        chosen = [name for name in record.study["tests"] if name in looked_at or name.lower() == data.lower()]
        found += [f"{name} was used for choices, so its scores are too high." for name in chosen]
        if differ := unlike(record):
            found.append(differ.replace("Not alike in ", "The runs were not trained alike: ", 1))
        if missing := record.study["planned"] - len(record.study["runs"]):
            found.append(f"{missing} of the {record.study['planned']} runs that were planned are not done.")
    return list(dict.fromkeys(found))


def _of_runs(runs: Sequence[Run], folder: Path, images: Sequence[Path], lpips: Any) -> Record:
    """Runs as a study's record, written into a folder: study.json, scores.csv, histories.csv, crops."""
    records, histories, scores, named = [], [], [], {}
    for run in runs:
        config, name = run.config, run.config["recipe"]["name"]
        if not run.done:
            raise SrkitError(f"{run.folder} is not trained to its end: go on with --resume.")
        if any(each["system"] == name and each["recipe"] != config["recipe"] for each in records):
            name = re.sub(r"-s\d+(?=-|$)", "", run.folder.resolve().name)
        if any((each["system"], each["seed"]) == (name, config["seed"]) for each in records):
            raise SrkitError(f"{run.folder} is {name}, seed {config['seed']}, for the second time: leave one of them out.")
        record = {key: config[key] for key in KEPT if key in config} | {"system": name, "threads": None}
        record |= {"folder": run.folder.resolve().name, "health": config.get("health") or []}
        record |= {"task": task(run.scale, _degradation(config)), "first_phase_from": config.get("first_phase_from")}
        records.append(record | {"parameters": count_parameters(run.generator())})
        histories.append(thinned(run.history()).assign(system=name, seed=config["seed"]))
        named.setdefault(name, run)
    _check_runs(records)
    for run, record in zip(runs, records, strict=True):
        scores += _scored(run, record, folder, images, lpips)
    scores = pd.concat(scores, ignore_index=True) if scores else pd.DataFrame(columns=COLUMNS)
    scores = scores.drop_duplicates([*COLUMNS[:4], "set", "image"])
    said = {"name": next(iter(named)) if len(named) == 1 else "runs", "about": "", "systems": list(named), "runs": records}
    said |= {"against": dict.fromkeys(named, "bicubic"), "groups": dict.fromkeys(named, ""), "planned": len(runs)}
    said |= {"tests": list(scores["set"].unique()), "crops": list(_crops(named, scores, images, folder / "crops"))}
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("scores", scores), ("histories", pd.concat(histories, ignore_index=True))):
        with replacing(folder / f"{name}.csv") as beside:
            table.to_csv(beside, index=False, float_format="%.5g")
    with replacing(folder / "study.json") as beside:
        beside.write_text(json.dumps(said, indent=1) + "\n")
    return read_record(folder)


def _degradation(config: dict[str, Any]) -> Any:
    """A run's degradation, of its record."""
    recorded = config["recipe"]["degradation"]
    return next((each for each in DEGRADATIONS.values() if describe(each) == recorded), None) or degradation(recorded)


def _scored(
    run: Run, record: dict[str, Any], folder: Path, images: Sequence[Path], lpips: Any
) -> Iterator[pd.DataFrame]:
    """A run's scores, bicubic's among them: made now on the images that are given, or else those in its folder."""
    own = _degradation(run.config)
    for kind, how in {COMMON: DEGRADATIONS["bicubic"], OWN: own}.items():
        name, rows = task(run.scale, how), None
        if kind == OWN and own == DEGRADATIONS["bicubic"]:
            continue
        if images:
            methods = {"bicubic": "bicubic"} | {phase: run.generator(phase) for phase in run.phases}
            path = folder / f"{record['folder']}-{FILES[kind]}"
            rows = evaluate(methods, images, run.scale, lpips=lpips, csv=path, degradation=how)
        elif (run.folder / FILES[kind]).exists():
            rows = pd.read_csv(run.folder / FILES[kind], dtype={"image": str, "set": str, "method": str})
        if rows is None:
            continue
        last = {record["system"]: run.phases[-1], record["folder"]: run.phases[-1]}
        phase = rows["method"].map({"bicubic": ""} | {each: each for each in run.phases} | last)
        if phase.isna().any():
            other = rows["method"][phase.isna()].iloc[0]
            raise SrkitError(f"{run.folder / FILES[kind]} scores {other}, which is not of this run: take its rows out.")
        system = phase.map(lambda each: record["system"] if each else "bicubic")
        seed = phase.map(lambda each: record["seed"] if each else 0)
        yield rows.assign(phase=phase, system=system, seed=seed, task=name)[COLUMNS]


def _crops(
    named: dict[str, Run], scores: pd.DataFrame, images: Sequence[Path], folder: Path
) -> Iterator[dict[str, Any]]:
    """Squares of three pictures, chosen by rank: where the last system gains most on bicubic, the middle, the least."""
    if not images:
        return
    last = [*named][-1]
    common = last_phases(scores[scores["task"] == task(named[last].scale, DEGRADATIONS["bicubic"])])
    table = common.pivot_table("psnr_y", ["set", "image"], "system", sort=False)
    gain = (table[last] - table["bicubic"]).sort_values(ascending=False)
    ranks = {0: "most", len(gain) // 2: "middle", len(gain) - 1: "least"}
    files = {place: path for path, place in places(images).items()}
    for rank, why in ranks.items():
        name = "/".join(gain.index[rank])
        hr = crop_to_multiple(read_image(files[gain.index[rank]]), lcm(*(run.scale for run in named.values())))
        size = min(CROP, *hr.shape[:2])
        corner = busiest(hr, size)
        pictures = {"HR": hr}
        for system, run in named.items():
            own = _degradation(run.config)
            for end, how in {"": DEGRADATIONS["bicubic"], f"-{OWN}": own}.items():
                lr = lr_of(hr, run.scale, how)
                pictures[f"{system}{end}"] = super_resolve(run.generator(), lr)
                pictures[f"{system}-bicubic" if end else f"bicubic-x{run.scale}"] = enlarge(lr, run.scale)
        place = re.sub(r"[^\w-]+", "-", name.rpartition(".")[0])
        for title, picture in pictures.items():
            write_image(folder / place / f"{title}.png", crop_at(picture, corner, size))
        yield {"picture": name, "folder": place, "top": corner[0], "left": corner[1], "size": size, "rank": why}
