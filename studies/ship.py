"""Finished runs of a study: kept beside its file, and made ready to come with srkit.

python studies/ship.py keep studies/systems.toml
python studies/ship.py box studies/systems.toml --run srgan-systems-s0-photos --phase gan
python studies/ship.py box studies/box.toml --run light-x2-box-s0-photos --phase psnr --name srresnet_light
python studies/ship.py readme studies/systems.toml
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from srkit.data.sources import find_images, find_photographs  # noqa: E402
from srkit.evaluation import evaluate  # noqa: E402
from srkit.files import SrkitError, digest, replacing, write_text  # noqa: E402
from srkit.metrics import lpips_judge  # noqa: E402
from srkit.pretrained import FOLDER, shipped  # noqa: E402
from srkit.recipes import RECIPES  # noqa: E402
from srkit.runs import Run  # noqa: E402
from srkit.study import read_study  # noqa: E402
from srkit.study.record import KEPT, thinned  # noqa: E402
from srkit.study.scores import COMMON, FILES, protocols, task  # noqa: E402
from srkit.study.variants import known  # noqa: E402
from srkit.study.work import runs_of  # noqa: E402

SCORES = {"psnr_y": "psnr_y", "ssim_y": "ssim_y", "lpips": "lpips_alex", "lpips_squeeze": "lpips_squeeze"}
program = typer.Typer(help=__doc__.splitlines()[0], pretty_exceptions_enable=False)


@program.command()
def keep(file: Path, runs: Path | None = None, finished: Path = HERE / "finished") -> None:
    """Copy what is finished of a study's runs: settings, thinned history, weights in half precision, scores."""
    study = read_study(file)
    for planned in study.runs():
        run, there = Run(runs_of(study, runs) / planned.folder), Run(finished / study.name / planned.folder)
        config, kept = (each.folder / "config.json" for each in (run, there))
        if not config.exists() or not run.phases:
            continue
        check_worth(run)
        there.folder.mkdir(parents=True, exist_ok=True)
        same = kept.exists() and kept.read_bytes() == config.read_bytes() and there.phases == run.phases
        if not same:  # what came from here has half its weights' bits and of its history these lines already
            shutil.copyfile(config, kept)
            history = run.history().query("phase in @run.phases")  # of a phase that was stopped there are no weights
            with replacing(there.folder / "history.csv") as beside:
                thinned(history).to_csv(beside, index=False, float_format="%.6g")
            for phase in run.phases:
                save_halves(run.weights(phase), there.weights(phase))
            for name in FILES.values():  # of other weights
                (there.folder / name).unlink(missing_ok=True)
        scores = [name for name in FILES.values() if _size(run.folder / name) > _size(there.folder / name)]
        for name in scores:
            shutil.copyfile(run.folder / name, there.folder / name)
        if scores or not same:
            print(there.folder)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@program.command()
def box(
    file: Path,
    run: Annotated[str, typer.Option()],
    phase: str = "gan",
    sets: list[str] | None = None,
    licence: str | None = None,
    note: str = "Scored once, after all was chosen.",
    name: str | None = None,
    finished: Path = HERE / "finished",
    weights: Path = FOLDER,
) -> None:
    """Score a kept run's phase on sets, by default the study's, and write weights and card for srkit.

    What the kept run's scores.csv holds is not scored again. The licence is by default that of like weights. The name
    is what srkit calls them, where that is not the study's name of the system.
    """
    study = read_study(file)
    planned = known(run, {each.folder: each for each in study.runs()}, study.name)
    kept, scores, judge = Run(finished / study.name / run), {}, lpips_judge(download=False)
    check_worth(kept)
    photographs, trained = find_photographs(study.photographs), kept.config["data"]["fingerprint"]
    if photographs.fingerprint != trained:
        raise SrkitError(f"{run} was trained on other photographs, {trained}, than {file} means here.")
    licence = licence or next((card["licence"] for card in shipped() if card["data"]["fingerprint"] == trained), None)
    if not licence:
        raise SrkitError("how these photographs may be used is not known: say it with --licence.")
    for place in sets or map(study.place, study.tests):
        for protocol, degradation in protocols(planned.recipe.degradation).items():
            how = {} if protocol == COMMON else {"degradation": degradation}
            how |= {"set_name": Path(place).name, "lpips": judge, "csv": kept.folder / FILES[protocol]}
            table = evaluate({phase: kept.generator(phase)}, find_images(place)[0], kept.scale, **how)
            title = Path(place).name + ("" if protocol == COMMON else f", {task(kept.scale, degradation)}")
            scores[title] = table[[*SCORES]].mean().dropna().rename(SCORES).round(4).to_dict()
    listed = weights / f"photographs-{trained}.txt"
    write_text(listed, "\n".join(sorted(path.name for path in photographs.train)) + "\n")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True).stdout
    facts = {"licence": licence, "commit": commit.strip(), "command": f"srkit study run studies/{file.name}"}
    facts |= {"scores": scores, "note": note, "photographs": listed.name}
    print(ship(kept, phase, facts, weights, name))


@program.command()
def readme(file: Path, page: Path = HERE.parent / "README.md") -> None:
    """Write a study's overview, as figures/STUDY/ keeps it, into README between its two marks."""
    name = read_study(file).name
    before, _, after = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, mark, after = after.partition(f"<!-- end of {name} -->\n")
    if not mark:
        raise SrkitError(f"{page} has no <!-- {name} --> with an <!-- end of {name} --> below it: write both.")
    overview = (HERE.parent / "figures" / name / "overview.md").read_text(encoding="utf-8")
    write_text(page, f"{before}<!-- {name} -->\n{overview}{mark}{after}")


def check_worth(run: Run) -> None:
    """Raise SrkitError for a smoke run, which proves that the code runs, and no more."""
    if run.config["profile"] == "smoke":
        raise SrkitError(f"{run.folder} is a smoke run, whose numbers mean nothing: train it under another profile.")


def save_halves(source: Path, target: Path) -> None:
    """A file of weights in half precision."""
    whole = load_file(source)
    with replacing(target) as beside:
        save_file({key: value.half() if value.is_floating_point() else value for key, value in whole.items()}, beside)


def seconds(history: pd.DataFrame, phase: str) -> float:
    """What training took to a phase's end. The clock begins anew after a first phase that was trained elsewhere."""
    clock = history["seconds"][: history.index[history["phase"] == phase][-1] + 1]
    spent = clock.diff().fillna(clock)
    return round(spent.where(spent >= 0, clock).sum(), 1)


def ship(run: Run, phase: str, facts: dict[str, object], folder: Path, name: str | None = None) -> Path:
    """Write a run's weights, in half precision, and their card into `folder`; returns the card.

    facts: what the run's record does not know: licence of the data, commit, scores by set.
    """
    recipe = run.config["recipe"]
    name = name or recipe["name"]
    path = folder / f"{name}-x{run.scale}-{phase}.safetensors"
    save_halves(run.weights(phase), path)
    card = {"file": path.name, "sha256": digest(path), "scale": run.scale, "phase": phase}
    last = phase == run.phases[-1]
    recipe = recipe | {"name": name} | ({} if last else {"alpha": None})
    said = last and recipe["about"] not in {each.about for each in RECIPES.values()}  # by the study, of the last phase
    if name in RECIPES and not said:
        recipe["about"] = RECIPES[name].about
    card |= {part: run.config.get(part) for part in KEPT} | {"recipe": recipe}
    history = run.history()
    card |= {"steps": int(history.query("phase == @phase")["step"].max()), "seconds": seconds(history, phase)} | facts
    write_text(path.with_suffix(".json"), json.dumps(card, indent=2) + "\n")
    return path.with_suffix(".json")


if __name__ == "__main__":
    try:
        program()
    except SrkitError as error:
        sys.exit(f"ship: {error}")
