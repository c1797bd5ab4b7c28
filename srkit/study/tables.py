"""A study's tables: mean and standard deviation over seeds, paired tests over pictures."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from srkit.files import write_text
from srkit.study.record import SCORES, Record
from srkit.tables import SHOWN, as_latex, as_markdown, holm_corrected, p_as_text, paired_tests, protocol, scores_as_text

KEYS = ["set", "task", "system"]


def last_phases(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each system, the rows of its last phase."""
    last = rows.groupby("system")["phase"].transform("last")
    return rows[rows["phase"] == last]


def means(rows: pd.DataFrame) -> pd.DataFrame:
    """A line a set, task and system: seeds, pictures, and each score's mean over both with _std over the seeds' means.

    The deviation is the sample's, with seeds - 1 in its denominator (Bessel); of one seed there is none, NaN.
    """
    by_seed = rows.groupby([*KEYS, "seed"], sort=False)[SCORES].mean().groupby(KEYS, sort=False)
    table = by_seed.mean().join(by_seed.std(ddof=1).add_suffix("_std"))
    images = rows.groupby(KEYS, sort=False)["image"].nunique()
    return table.assign(seeds=by_seed.size(), images=images).reset_index()


def compared(rows: pd.DataFrame, table: pd.DataFrame, against: dict[str, str]) -> pd.DataFrame:
    """`means` with what each system gains over the one that it is compared with, and how likely chance alone does that.

    against: by system. Two that were trained are compared on the seeds that both have. Columns: against; psnr_y_gain in
    dB and lpips_gain, each with its interval, _low and _high, and its _p, of `srkit.tables.paired_tests`; Holm's
    correction is within a set and task.
    """
    others, columns = {}, list(table)
    pairs = [(system, rival) for system, rival in against.items() if {system, rival} <= {*rows["system"]}]
    for score in ("psnr_y", "lpips"):
        tests = [paired_tests(_of_shared_seeds(rows, *pair), dict([pair]), score, KEYS) for pair in pairs]
        tests = pd.concat(tests or [paired_tests(rows[:0], {}, score, KEYS)]).set_index(KEYS)
        tests["p"] = tests.groupby(level=KEYS[:2])["p"].transform(holm_corrected)
        others |= {at: against[at[2]] for at in tests.index}
        table = table.join(tests.drop(columns=["images", "p_holm"]).add_prefix(f"{score}_"), on=KEYS)
    rivals = [others.get(at, "–") for at in table[KEYS].itertuples(index=False, name=None)]
    table.insert(len(columns), "against", rivals)
    return table


def _of_shared_seeds(rows: pd.DataFrame, system: str, rival: str) -> pd.DataFrame:
    """The rows of two systems, of the seeds that both have; of all seeds where they share none, or one is bicubic."""
    pair = rows[rows["system"].isin([system, rival])]
    mine, theirs = (set(pair.loc[pair["system"] == name, "seed"]) for name in (system, rival))
    shared = mine & theirs if "bicubic" not in (system, rival) else set()
    return pair[pair["seed"].isin(shared)] if shared else pair


@lru_cache(4)
def common_table(record: Record) -> pd.DataFrame:
    """Every system on the papers' bicubic LR, with what it is compared with in the study."""
    rows = _in_order(record, last_phases(record.common()))
    return compared(rows, means(rows), record.study["against"])


@lru_cache(4)
def own_table(record: Record) -> pd.DataFrame:
    """Every system on the task that it was trained for, compared with bicubic on the same."""
    rows = own_rows(record)
    return compared(rows, means(rows), dict.fromkeys(record.systems, "bicubic"))


def own_rows(record: Record) -> pd.DataFrame:
    """The scores of each system's last phase on the task that it was trained for, and bicubic's on the same."""
    rows, tasks = record.scores, {name: record.run(name)["task"] for name in record.systems}
    bicubic = (rows["system"] == "bicubic") & rows["task"].isin(tasks.values())
    return _in_order(record, last_phases(rows[(rows["task"] == rows["system"].map(tasks)) | bicubic]))


def overview(record: Record) -> pd.DataFrame:
    """Task, system, seeds, and for each test set "PSNR-Y / SSIM-Y / LPIPS", as text: the last phases at a glance."""
    table = pd.concat([common_table(record), own_table(record)]).drop_duplicates(KEYS)
    table["text"] = [
        f"{row.psnr_y:.2f}" + (f" ± {row.psnr_y_std:.2f}" if row.seeds > 1 else "")
        + f" / {row.ssim_y:.3f}" + (f" / {row.lpips:.3f}" if row.lpips == row.lpips else "")
        for row in table.itertuples()
    ]  # fmt: skip
    table["seeds"] = table["seeds"].astype(str).where(table["system"] != "bicubic", "–")
    wide = table.pivot(index=["task", "system", "seeds"], columns="set", values="text").reset_index()
    systems = {name: place for place, name in enumerate(["bicubic", *record.systems])}
    wide = wide.sort_values("system", key=lambda names: names.map(systems))
    own = {task: place for place, task in enumerate(wide.loc[wide["system"] != "bicubic", "task"].unique())}
    # Large scales first, of each the common task, then the others as the systems have them.
    order = {task: (-int(task[1]), not task.endswith(", bicubic"), own.get(task, len(own))) for task in wide["task"]}
    wide = wide.sort_values("task", key=lambda tasks: tasks.map(order), kind="stable", ignore_index=True)
    return wide[["task", "system", "seeds", *record.study["tests"]]].rename_axis(columns=None)


def _runs_table(record: Record) -> pd.DataFrame:
    """A line a run: what it was trained on and for how long. hours: of this run, without a first phase it was given."""
    lines = []
    for run in record.study["runs"]:
        steps = {f"{phase['name']}_steps": phase["steps"] for phase in run["recipe"]["phases"]}
        line = {name: run[name] for name in ("system", "seed", "task", "parameters")} | steps
        line |= {"batch": run["recipe"]["batch"], "crop": run["recipe"]["crop"], "hours": run.get("seconds", 0) / 3600}
        line |= {"device": run.get("device", ""), "precision": run.get("precision", ""), "threads": run["threads"]}
        line |= {"photographs": run["data"]["train"], "data": f"{run['data']['name']} {run['data']['fingerprint']}"}
        lines.append(line | {"first_phase_from": run["first_phase_from"] or ""})
    return pd.DataFrame(lines)


def unlike(runs: list[dict[str, Any]]) -> str:
    """What is not the same in all runs, in words; empty where data, steps, profile, precision and device all are."""
    told = {
        "photographs": lambda run: f"{run['data']['name']} ({run['data']['fingerprint']})",
        "profile": lambda run: run["profile"],
        "steps": lambda run: " + ".join(f"{phase['steps']:,} {phase['name']}" for phase in run["recipe"]["phases"]),
        "precision": lambda run: run.get("precision", "fp32"),
        "device": lambda run: run.get("device", "cpu"),
        "VGG": lambda run: run["perceptual_weights"],
    }
    sentences = []
    for what, value in told.items():
        by_value: dict[str, list[str]] = {}
        for run in runs:
            by_value.setdefault(value(run), []).append(run["system"])
        if len(by_value) > 1:
            parts = (f"{value} ({', '.join(dict.fromkeys(names))})" for value, names in by_value.items())
            sentences.append(f"{what}: {'; '.join(parts)}")
    return f"Not alike in {'. '.join(sentences)}." if sentences else ""


def made(record: Record, systems: list[str] | None = None) -> str:
    """What made the numbers, for captions: study, profile, steps, photographs, seeds; and what is not alike."""
    runs = [run for run in record.study["runs"] if not systems or run["system"] in systems]
    first = runs[0]
    seeds = sorted({run["seed"] for run in runs})
    text = f"Study {record.study['name']}: {first['profile']} profile, {first['data']['train']:,} photographs"
    text += f" ({first['data']['name']}), seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}."
    losses = (loss for run in runs for phase in run["recipe"]["phases"] for loss in phase["losses"])
    text += " VGG with random weights." * any(loss.get("weights") == "random" for loss in losses)
    missing = record.study["planned"] - len(record.study["runs"])
    text += f" {missing} of {record.study['planned']} runs are not done yet." if missing else ""
    return f"{text} {unlike(runs)}".strip()


def caption(record: Record, table: pd.DataFrame) -> str:
    """What stands under a table."""
    scales = " or ".join(sorted({task[1] for task in table["task"]}))
    text = f"{protocol(scales)}; means over the pictures and seeds, ± the standard deviation over seeds where there are"
    text += " several. LPIPS (AlexNet): lower is better."
    if "against" in table:
        text += " Gain and p: against the system named, on the seeds that both have; paired permutation test over"
        text += " pictures, Holm's correction. Best in bold, second underlined."
    return f"{text} {made(record)}"


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text: rounded to what its title says, the best and second of each set and task marked."""
    shown = table[KEYS].assign(seeds=table["seeds"].astype(str).where(table["system"] != "bicubic", "–"))
    shown = shown.join(scores_as_text(table, SCORES, KEYS[:2]))
    if table["psnr_y_p"].notna().any():
        shown["against"] = table["against"]
    for score, digits in (("psnr_y", 2), ("lpips", 3)):
        p, name = table[f"{score}_p"], SHOWN[score][0].removesuffix(" (dB)")
        if p.notna().any():
            gains = table[f"{score}_gain"].map(f"{{:+.{digits}f}}".format) + " (" + p.map(p_as_text) + ")"
            shown[f"gain in {name} (p)"] = gains.where(p.notna(), "–")
    return shown


def write_tables(record: Record) -> list[Path]:
    """common, own, runs and overview, each as .csv and .md, the first two as .tex; the paths."""
    paths = []
    for name, table in (("common", common_table(record)), ("own", own_table(record))):
        text, words = cells(table), caption(record, table)
        latex = as_latex(text, words, f"tab:{record.study['name']}-{name}")
        paths += _write(record.folder / name, table, f"{as_markdown(text)}\n{words}\n", latex)
    short = overview(record)
    words = f"PSNR-Y / SSIM-Y / LPIPS after the last phase. {caption(record, short)}"
    paths += _write(record.folder / "overview", short, f"{as_markdown(short)}\n{words}\n")
    table = _runs_table(record)
    text = table.map(lambda cell: f"{cell:.2f}" if isinstance(cell, float) else cell)
    for name in [name for name in table if name.endswith("_steps")]:
        text[name] = ["–" if np.isnan(cell) else f"{cell:,.0f}" for cell in table[name]]
    return paths + _write(record.folder / "runs", table, f"{as_markdown(text.astype(str))}\n{made(record)}\n")


def _in_order(record: Record, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows by set, as the study names them, then task, then bicubic and the systems in the file's order."""
    order = {name: place for place, name in enumerate(["bicubic", *record.systems])}
    sets = {name: place for place, name in enumerate(record.study["tests"])}
    keys = rows.assign(a=rows["set"].map(sets), b=rows["system"].map(order))
    return keys.sort_values(["a", "task", "b"], kind="stable")[list(rows)]


def _write(path: Path, table: pd.DataFrame, markdown: str, latex: str | None = None) -> list[Path]:
    paths, texts = [], {".csv": table.to_csv(index=False, float_format="%.6g"), ".md": markdown}
    texts |= {".tex": latex} if latex else {}
    for kind, text in texts.items():
        paths.append(path.with_name(path.name + kind))
        write_text(paths[-1], text)
    return paths
