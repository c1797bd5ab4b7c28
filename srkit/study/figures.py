"""A study's figures, each drawn from what figures/STUDY/ keeps, without the runs."""

from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from srkit.comparison import perception_distortion
from srkit.figures import WIDTH, loss_curves, save_figure, show_grid, styled, system_colours
from srkit.images import read_image
from srkit.study.record import OWN, SCORES, Record
from srkit.study.tables import last_phases, made

ROW = 5  # pictures side by side at most: each as wide as it can be read on a page


def draw_study(record: Record) -> list[Path]:
    """Every figure of a study, as PDF, PNG and CSV; the paths."""
    paths = []
    for name, systems in groups(record).items():
        end = f"-{name}" if name else ""
        for what, draw in (("plane", draw_plane), ("curves", draw_curves), ("losses", draw_losses)):
            paths += save(record, f"{what}{end}", systems, *draw(record, systems))
        for place in record.study["crops"]:
            paths += save(record, f"crops-{place['folder']}{end}", systems, *draw_crops(record, systems, place))
    for system in alone(record):
        history = record.histories[record.histories["system"] == system]
        history = history[history["seed"] == history["seed"].min()]
        text = f"Losses and validation of {system}, seed {history['seed'].min()}, thinned."
        paths += save(record, f"history-{system}", [system], loss_curves(history), history, text)
    return paths


def groups(record: Record) -> dict[str, list[str]]:
    """The systems of each figure, by the name of the group: those of no group, and each group beside its bases."""
    names, against = record.study["groups"], record.study["against"]
    found = {}
    for group in dict.fromkeys(names.values()):
        inside = [name for name in record.systems if names[name] == group]
        bases = {against[name] for name in inside if group}
        if inside:
            found[group] = [name for name in record.systems if name in bases or name in inside]
    return found


def alone(record: Record) -> list[str]:
    """The systems that have a page of their own; the others are seen beside their group."""
    return groups(record).get("", [])


def draw_plane(record: Record, systems: list[str]) -> tuple[Figure, pd.DataFrame, str]:
    """The perception-distortion plane on the papers' bicubic LR: a panel a scale, means over all test pictures."""
    rows = record.common()
    rows = rows[rows["system"].isin([*systems, "bicubic"])]
    rows = rows.assign(scale=rows["task"].str[1].astype(int))
    scales = rows[rows["system"] != "bicubic"]["scale"].unique()
    table = rows.groupby(["scale", "system", "phase"], sort=False, as_index=False)[SCORES].mean()
    table = table[table["scale"].isin(scales)]
    pictures = rows.groupby(["set", "image"]).ngroups  # two sets may have an img_001.png each
    text = f"Means over the {pictures} pictures of {', '.join(record.study['tests'])}, bicubic LR."
    text += " A triangle is of a phase with a discriminator, a dot of one without; an arrow leads from first to second."
    return perception_distortion(table, _colours(record)), table, text


@styled
def draw_curves(record: Record, systems: list[str]) -> tuple[Figure, pd.DataFrame, str]:
    """Validation PSNR-Y over a phase's steps, a row of panels a task, a column a phase; the band holds all seeds."""
    table = record.histories[record.histories["system"].isin(systems)].dropna(subset=["psnr_y"])
    table = table[["system", "seed", "phase", "step", "psnr_y"]]
    for system in systems:
        first = record.run(system)["recipe"]["phases"][0]
        later = (table["system"] == system) & (table["phase"] != first["name"])
        table.loc[later, "step"] -= first["steps"]
    tasks = list(dict.fromkeys(record.run(name)["task"] for name in systems))
    phases = [phase for phase in ("psnr", "gan") if phase in set(table["phase"])]
    size = (WIDTH, 2.3 * len(tasks) + 0.14 * len(systems) / 4 + 0.3)
    figure, axes = plt.subplots(len(tasks), len(phases), figsize=size, squeeze=False, layout="constrained")
    lines, colours = {}, _colours(record)
    for (system, phase), part in table.groupby(["system", "phase"], sort=False):
        axis = axes[tasks.index(record.run(system)["task"]), phases.index(phase)]
        band = part.groupby("step")["psnr_y"].agg(["mean", "min", "max"])
        marker = "." if len(band) < 9 else ""
        (line,) = axis.plot(band["mean"], color=colours[system], linewidth=1, marker=marker)
        lines.setdefault(system, line)
        axis.fill_between(band.index, band["min"], band["max"], color=colours[system], alpha=0.2, linewidth=0)
    figure.supylabel("validation PSNR-Y (dB)", fontsize=9)
    for row, task in zip(axes, tasks, strict=True):
        for axis, phase in zip(row, phases, strict=True):
            axis.set_title(f"{task}: {phase} phase")
            axis.set_visible(axis.has_data())
    for axis in axes[-1]:
        axis.set_xlabel("step of the phase")
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=4, fontsize=7)
    text = "Each system on the photographs and the LR that it validates on; tasks differ in difficulty. The band holds"
    return figure, table, text + " all seeds; systems that share a first phase have one line there."


@styled
def draw_losses(record: Record, systems: list[str]) -> tuple[Figure, pd.DataFrame, str]:
    """Generator's and discriminator's loss by epoch, a panel a system; the generator's is the sum that it minimises."""
    table = pd.concat([losses_by_epoch(record, name) for name in systems])
    columns = min(4, len(systems))
    rows = -(-len(systems) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 1.5 * rows + 0.4), squeeze=False, layout="constrained")
    for axis in axes.flat[len(systems) :]:
        axis.set_visible(False)
    for axis, system in zip(axes.flat, systems, strict=False):
        own = table[table["system"] == system]
        for phase, part in own.groupby("phase", sort=False):
            if phase != own["phase"].iloc[0]:  # another phase minimises another sum
                axis.axvline(part["epoch"].min(), color="C7", linewidth=0.8, linestyle=":")
            part = part.dropna(subset=["generator"])
            axis.plot(part["epoch"], part["generator"], color="C0", linewidth=1)
        judge = own.dropna(subset=["discriminator"])
        right = axis.twinx()
        right.plot(judge["epoch"], judge["discriminator"], color="C1", linewidth=1)
        right.grid(False)
        right.set_visible(len(judge) > 0)
        axis.set_title(system, fontsize=7)
        for each in (axis, right):
            each.tick_params(labelsize=6)
        if own["generator"].min() > 0 and own["generator"].max() > 30 * own["generator"].min():
            axis.set_yscale("log")
    for axis in axes[-1]:
        axis.set_xlabel("epoch", fontsize=7)
    names = ["generator, left", "discriminator, right"][: 1 + table["discriminator"].notna().any()]
    lines = [Line2D([], [], color=f"C{n}", linewidth=1) for n in range(len(names))]
    figure.legend(lines, names, loc="outside lower center", ncols=2, fontsize=7)
    text = "Generator's loss: all terms with their weights, which change where a phase begins (dotted). An epoch: as"
    text += " many crops as there are training photographs."
    return figure, table, text


def losses_by_epoch(record: Record, system: str) -> pd.DataFrame:
    """system, phase, epoch, generator, discriminator: the losses of a system's first seed, averaged within epochs."""
    run = record.run(system)
    history = record.histories
    history = history[(history["system"] == system) & (history["seed"] == run["seed"])]
    total = pd.Series(0.0, history.index)
    for phase, weights in run["loss_weights"].items():
        whole = (history.reindex(columns=list(weights)) * pd.Series(weights)).sum(axis=1, skipna=False)
        total += whole.where(history["phase"] == phase, 0)
    epoch = history["step"] * run["recipe"]["batch"] / run["data"]["train"]
    wide = pd.DataFrame({"phase": history["phase"], "epoch": epoch, "generator": total})
    wide["discriminator"] = history["discriminator"]
    whole = np.ceil(wide["epoch"])
    by = [wide["phase"], (whole if whole.nunique() > 20 else history["step"]).rename("by")]
    return wide.groupby(by, sort=False).mean().reset_index(level=0).assign(system=system)


def draw_crops(record: Record, systems: list[str], place: dict, own: bool = False) -> tuple[Figure, pd.DataFrame, str]:
    """HR, bicubic and what each system makes of the same square of a picture, with the whole picture's scores.

    own: of each system's own degradation, where that is not the bicubic one.
    """
    folder, end = record.folder / "crops" / place["folder"], f"-{OWN}" if own else ""
    set_name, _, image = place["picture"].partition("/")
    rows = record.scores if own else record.common()
    rows = last_phases(rows[(rows["set"] == set_name) & (rows["image"] == image)])
    scales = {name: record.run(name)["recipe"]["scale"] for name in systems}
    tasks = {name: record.run(name)["task"] if own else f"x{scale}, bicubic" for name, scale in scales.items()}
    shown = {"HR": ("HR", "", "")}
    for system, scale in scales.items():
        title, file = f"bicubic, x{scale}", f"bicubic-x{scale}"
        if own:
            title, file = f"bicubic of {system}'s LR", f"{system}-bicubic"
        shown[title] = file, "bicubic", tasks[system]
    for system, scale in scales.items():
        title = f"{system}, x{scale}" if len(set(scales.values())) > 1 else system
        shown[title] = f"{system}{end}", system, tasks[system]
    pictures, lines = {}, []
    for title, (file, system, task) in shown.items():
        scored = rows[(rows["system"] == system) & (rows["task"] == task)]
        line = {"shown": title, "task": task, "set": set_name, "image": image, **place}
        text = "\n"
        if len(scored):
            mean = scored[scored["seed"] == scored["seed"].min()][SCORES].mean()
            line |= mean.to_dict()
            text = f"\n{mean['psnr_y']:.2f} dB" + (f", {mean['lpips']:.3f}" if mean["lpips"] == mean["lpips"] else "")
        pictures[title + text] = read_image(folder / f"{file}.png")
        lines.append({key: each for key, each in line.items() if key not in ("picture", "folder")})
    titles = list(pictures)
    columns = ceil(len(titles) / ceil(len(titles) / ROW))  # rows of as many as can be
    grid = [{title: pictures[title] for title in titles[n : n + columns]} for n in range(0, len(titles), columns)]
    figure = show_grid(grid)
    for axis in figure.axes:
        axis.title.set_fontsize(6)
    text = f"{set_name}, {image}, the {place['size']} x {place['size']} pixels with the steepest edges. PSNR-Y and "
    text += f"LPIPS of the whole picture. {'Each from its own LR.' if own else 'All from the bicubic LR.'}"
    return figure, pd.DataFrame(lines), text


def _colours(record: Record) -> dict[str, str]:
    """The same colour for a system in every figure of its study; groups share them, as no figure shows two."""
    first = alone(record)
    colours = system_colours(first)
    for systems in groups(record).values():
        colours |= system_colours([*first, *(name for name in systems if name not in colours)])
    return colours


def save(record: Record, name: str, systems: list[str], figure: Figure, table: pd.DataFrame, text: str) -> list[Path]:
    """Write one of a study's figures, with what made it; the paths."""
    paths = save_figure(figure, name, table, record.folder, f"{text} {made(record, systems)}")
    plt.close(figure)
    return paths
