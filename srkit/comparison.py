"""Systems side by side: every one that has weights, on the same pictures under one protocol."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import nn

from srkit.apps.rating import REFERENCE
from srkit.evaluation import Truth, evaluate, places
from srkit.figures import WIDTH, busiest, compare, save_figure, show_grid, show_picture, styled, system_colours
from srkit.files import SrkitError, or_left_out
from srkit.generator import interpolate
from srkit.images import crop_at, crop_to_multiple
from srkit.metrics import in_colour, lumas, psnr_y, ssim_y
from srkit.pretrained import SHIPPED, find_systems, shipped_systems
from srkit.recipes import RECIPES
from srkit.runs import Run
from srkit.scoring import bicubic, enlarge, judged, lpips_squeeze, lr_of

HR = "HR\n\n"  # its title, as high as those with scores
SHOWN = ["psnr_y", "ssim_y", "lpips", "lpips_squeeze", "grid"]  # of the scores, in the table of a figure
Methods = Mapping[str, nn.Module | str]
Systems = dict[tuple[str, int], dict[str, nn.Module]]  # (system, scale): its networks by phase, in order


def load_systems(runs: Path, profile: str, seed: int, data: str) -> tuple[Systems, list[str]]:
    """The networks of a profile, seed and data set, those that are no run's, and the recipes that have no weights."""
    found, asked = {}, (profile, seed, data)
    for system in reversed(find_systems(runs)):
        config = system.run and system.run.config
        if config and not (system.run.done and (config["profile"], config["seed"], config["data"]["name"]) == asked):
            continue
        with or_left_out():
            name = system.name if config else system.label
            found[name, system.scale] = {phase: network() for phase, network in system.phases.items()}
    order = {name: place for place, name in enumerate(RECIPES)}
    systems = dict(sorted(found.items(), key=lambda item: order.get(item[0][0].removesuffix(SHIPPED), 99)))
    here = {name.removesuffix(SHIPPED) for name, _ in systems} | {system.name for system in shipped_systems()}
    return systems, [name for name in RECIPES if name not in here]


def worth_judging(run: Run) -> tuple[dict[str, nn.Module], str]:
    """The networks of a run by title, and what made them; for a smoke run, those that srkit ships of its recipe.

    A smoke run proves that the code runs, and its pictures and numbers mean nothing. Of a recipe that is not shipped at
    the run's scale the best system takes its place; where srkit ships none of the scale, the caption says so.
    """
    name = run.config["recipe"]["name"]
    systems = sorted((s for s in shipped_systems() if s.scale == run.scale), key=lambda system: system.name != name)
    if run.config["profile"] != "smoke" or not systems:
        warning = ". It shows that the code runs, and no more"
        caption = run.label + warning * (run.config["profile"] == "smoke")
        return {f"{name}, {phase} phase": run.generator(phase) for phase in run.phases}, caption
    system, made = systems[0], []
    for phase, card in system.cards.items():
        steps, photographs = f"{card['steps']:,} steps", f"{card['data']['train']:,} photographs"
        made.append(f"{card['recipe']['name']}'s {phase} phase, {steps} on {photographs}")
    named = {f"{system.label}, {phase} phase": network() for phase, network in system.phases.items()}
    return named, f"x{run.scale}, weights shipped with srkit: {'; '.join(made)}"


def score_systems(systems: Systems, images: list[Path], data: str, lpips: Callable | None) -> pd.DataFrame:
    """`evaluate`'s rows of bicubic and each system's phases, at its own scale; with columns system and phase."""
    tables = []
    for scale in sorted({scale for _, scale in systems}):
        methods = {"bicubic": "bicubic"}
        for name, phases in ((name, phases) for (name, at), phases in systems.items() if at == scale):
            methods |= {f"{name}, {phase} phase": network for phase, network in phases.items()}
        tables.append(evaluate(methods, images, scale, set_name=data, lpips=lpips))
    table = pd.concat(tables, ignore_index=True)
    parts = table["method"].str.removesuffix(" phase").str.partition(", ")
    return table.assign(system=parts[0], phase=parts[2])


def look(
    methods: Methods, hr: np.ndarray, scale: int, lpips: Callable | None, lr: np.ndarray | None = None
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """What methods make of one picture, or of its LR: SR under titles with scores, after HR; the scores by method."""
    hr = crop_to_multiple(hr, scale)
    pictures, lines = {HR: hr}, []
    for name, method in methods.items():
        sr, found = judged(method, hr, scale, lpips, lr, SHOWN)
        line = {"method": name, "scale": scale} | {column: found[column] for column in SHOWN}
        lines.append(line)
        under = f"\nLPIPS {line['lpips']:.3f}" if lpips else f"\nLPIPS-sq. {line['lpips_squeeze']:.3f}"
        title = name.replace(", ", "\n").replace(" (shipped)\n", "\nshipped, ")
        title = title.removesuffix(" phase") if "shipped" in title else title  # as wide as its picture
        pictures[title + f"\n{line['psnr_y']:.2f} dB{under}"] = sr
    return pictures, pd.DataFrame(lines)


def look_at_systems(systems: Systems, hr: np.ndarray, lpips: Callable | None) -> tuple[dict, pd.DataFrame]:
    """`look` with bicubic and each system after its last phase, whatever its scale; a crop shows one place in all."""
    scales = sorted({scale for _, scale in systems})
    hr, pictures, tables = crop_to_multiple(hr, lcm(*scales)), {}, []
    for scale in scales:
        last = {name: [*phases.values()][-1] for (name, at), phases in systems.items() if at == scale}
        named = {f"{name}, x{scale}": method for name, method in {"bicubic": "bicubic", **last}.items()}
        more, table = look(named, hr, scale, lpips)
        pictures |= more
        tables.append(table)
    return pictures, pd.concat(tables, ignore_index=True)


def check_gallery(methods: Methods) -> None:
    """SrkitError where these methods make no `gallery`."""
    if len(methods) < 2 or any(isinstance(method, Path) for method in methods.values()):
        raise SrkitError("a gallery compares two or more of bicubic, nearest and networks: name those alone.")


def gallery(
    table: pd.DataFrame,
    methods: Methods,
    images: Sequence[Path],
    scale: int,
    folder: Path,
    count: int = 6,
    size: int = 96,
    lpips: Callable | None = None,
    given: Mapping[Path, Path] | None = None,
    **how: Any,
) -> None:
    """A figure each of `count` pictures, chosen by rank and not by taste: from the most that the last method gains over
    the first to the least, in even steps, by LPIPS, or by PSNR-Y without it. The least is the gallery's failure.

    Writes 1-NAME.png, .pdf, .csv and so on into folder: the whole picture, and of its busiest size x size square HR, LR
    and each method. table: what `evaluate` made of these, of LR as given and how say. Raises what `check_gallery` does.
    """
    check_gallery(methods)
    column, better = ("lpips", -1) if lpips else ("psnr_y", 1)
    first, *_, last = methods
    of_each = table.pivot(index=["set", "image"], columns="method", values=column)
    gain = (better * (of_each[last] - of_each[first])).fillna(0).sort_values(ascending=False)
    truths = {at: Truth(path, scale, (given or {}).get(path), **how) for path, at in places(images).items()}
    for number, place in enumerate(np.unique(np.linspace(0, len(gain) - 1, count).round().astype(int)), 1):
        set_name, image = gain.index[place]
        truth = truths[set_name, image]
        hr = in_colour(truth.hr)
        side = min(size, *hr.shape[:2]) // scale
        pictures, scored = look(methods, hr, scale, lpips, truth.lr)
        lr = lr_of(hr, scale) if truth.lr is None else truth.lr
        top, left = (scale * corner for corner in busiest(lr, side, step=1))
        caption = f"{set_name}, {image}, x{scale}, LR {truth.degraded}: rank {place + 1} of {len(gain)} by what {last} "
        caption += f"gains over {first} in {column}. Scores of the whole picture."
        scored = scored.assign(image=image, set=set_name, rank=place + 1, of=len(gain), top=top, left=left)
        pictures = {"HR": pictures.pop(HR), "LR": enlarge(lr, scale, "nearest"), **pictures}
        figure = compare(pictures, (top, left), side * scale)
        save_figure(figure, f"{number}-{truth.path.stem}", scored, folder, caption)
        plt.close(figure)


def crops_to_rate(
    methods: Methods, truths: Mapping[str, np.ndarray], scale: int, size: int, lpips: Callable | None
) -> tuple[dict[tuple[str, str], np.ndarray], pd.DataFrame]:
    """For a `rating.Study`: of each picture the square with the steepest edges, as HR and by each method; scores."""
    crops, lines = {}, []
    for image, hr in truths.items():
        corner = busiest(hr, size)
        crops[image, REFERENCE] = crop_at(hr, corner, size)
        for method, sr in zip(methods, [*look(methods, hr, scale, False)[0].values()][1:], strict=True):
            crops[image, method] = crop_at(sr, corner, size)
            pair = crops[image, method], crops[image, REFERENCE]
            planes = [crop_at(plane, corner, size) for plane in lumas(sr, hr)]  # grey or not, by the whole picture
            line = {"image": image, "method": method, "psnr_y": psnr_y(*planes, 0), "ssim_y": ssim_y(*planes, 0)}
            line |= {"lpips": lpips(*pair, 0) if lpips else np.nan, "lpips_squeeze": lpips_squeeze(*pair, 0)}
            lines.append(line)
    return crops, pd.DataFrame(lines)


def _distance(alex: object) -> tuple[str, str]:
    """The column of LPIPS to show and its label: that by AlexNet, where it was made."""
    return ("lpips", "LPIPS, lower is better") if alex else ("lpips_squeeze", "LPIPS (SqueezeNet), lower is better")


@styled
def perception_distortion(table: pd.DataFrame, colours: Mapping[str, str] | None = None) -> Figure:
    """Blau and Michaeli's plane (arXiv:1711.06077), a panel a scale: PSNR-Y against LPIPS, or LPIPS-squeeze without it.

    table: `score_systems`' rows or their means. A triangle is of a phase with a discriminator, a dot of one without; an
    arrow leads from a system's first phase to its second.
    """
    distance, height = _distance(table["lpips"].notna().any())
    table = table.groupby(["scale", "system", "phase"], sort=False, as_index=False)[["psnr_y", distance]].mean()
    scales = list(table.groupby("scale"))
    figure, axes = plt.subplots(1, len(scales), figsize=(WIDTH, 3.6), squeeze=False)
    colours = colours or system_colours(table["system"].unique())
    for axis, (scale, part) in zip(axes.flat, scales, strict=True):
        for system, rows in part.groupby("system", sort=False):
            points = rows[["psnr_y", distance]].to_numpy()
            for number, (phase, point) in enumerate(zip(rows["phase"], points, strict=True)):
                marker, label = "^" if phase == "gan" else "o", None if number else system
                axis.plot(*point, marker, color=colours[system], label=label)
            for tail, tip in pairwise(points):
                axis.annotate("", tip, tail, arrowprops={"arrowstyle": "->", "color": colours[system], "shrinkB": 4})
        axis.set(title=f"x{scale}", xlabel="PSNR-Y (dB), right is better", ylabel=height)
        axis.margins(0.12)
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2 if len(scales) > 1 else 4, fontsize=7)
    return figure


@styled
def between_phases(
    phases: Mapping[str, nn.Module],
    hr: np.ndarray,
    scale: int,
    corner: tuple[int, int],
    size: int,
    lpips: Callable | None,
) -> tuple[Figure, pd.DataFrame]:
    """Network interpolation (Wang et al. 2018, section 3.4): crops and scores for alpha from 0, PSNR, to 1, GAN."""
    lines, crops = [], {}
    first, *_, last = [*phases.values()] * 2  # a system of one phase stays where it is
    for alpha in np.linspace(0, 1, 6):
        sr, found = judged(interpolate(first, last, float(alpha)), hr, scale, lpips, columns=SHOWN)
        lines.append({"alpha": alpha} | {column: found[column] for column in SHOWN})
        crops[f"alpha {alpha:.1f}"] = crop_at(sr, corner, size)
    table = pd.DataFrame(lines)
    figure = plt.figure(figsize=(WIDTH, 3.2), layout="constrained")
    grid = figure.add_gridspec(2, len(crops), height_ratios=(1, 1.4))
    for place, (title, crop) in enumerate(crops.items()):
        show_picture(figure.add_subplot(grid[0, place]), crop, title)
    shown = {"psnr_y": "PSNR-Y (dB)"} | dict([_distance(lpips)])
    for place, (column, label) in enumerate(shown.items()):
        axis = figure.add_subplot(grid[1, 3 * place : 3 * place + 3])
        axis.plot(table["alpha"], table[column], "o-", color=f"C{place}")
        axis.set(xlabel="alpha", title=label if len(phases) > 1 else f"{label}: one phase, nothing to mix")
        if len(phases) == 1:
            axis.set_ylim(table[column].min() * 0.98, table[column].max() * 1.02)
    return figure, table


def worst_squares(
    truths: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], scale: int, size: int
) -> pd.DataFrame:
    """Every size x size square, worst first: image, top, left, size, local PSNR-Y of the network and of bicubic."""
    rows = []
    for name, hr in truths.items():
        sr, y = (plane.astype(float) for plane in lumas(outputs[name], hr))
        errors = [(sr - y) ** 2, (bicubic(hr, scale) - y) ** 2]
        for top, left in np.ndindex(y.shape[0] // size, y.shape[1] // size):
            corner = top * size, left * size
            local = [10 * np.log10(255**2 / (crop_at(error, corner, size).mean() + 1e-6)) for error in errors]
            rows.append([name, *corner, size, *local])
    columns = ["image", "top", "left", "size", "network", "bicubic"]
    return pd.DataFrame(rows, columns=columns).sort_values("network", ignore_index=True)


def show_squares(
    places: pd.DataFrame, truths: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], scale: int, name: str
) -> Figure:
    """Rows of `worst_squares`, a row each: HR, bicubic, the network called `name`, and its error of luma."""
    grid = []
    for place in places.itertuples():
        hr, sr, corner = truths[place.image], outputs[place.image], (place.top, place.left)
        error = np.abs(np.subtract(*lumas(sr, hr), dtype=float))  # (H, W)
        pictures = {
            f"HR: {place.image}\nrow {place.top}, column {place.left}": hr,
            f"bicubic\n{place.bicubic:.1f} dB": enlarge(lr_of(hr, scale), scale),
            f"{name}\n{place.network:.1f} dB": sr,
            "error of luma\nwhite: 64 levels": np.minimum(error * 4, 255).astype(np.uint8),
        }
        grid.append({title: crop_at(picture, corner, place.size) for title, picture in pictures.items()})
    return show_grid(grid)


@styled
def score_dots(scores: pd.DataFrame) -> Figure:
    """Every picture's PSNR-Y and SSIM-Y, a row a method, and their means."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 0.45 * scores["method"].nunique() + 0.9), sharey=True)
    means = scores.groupby("method", sort=False)[["psnr_y", "ssim_y"]].mean()
    for axis, (column, label) in zip(axes, {"psnr_y": "PSNR-Y (dB)", "ssim_y": "SSIM-Y"}.items(), strict=True):
        axis.plot(scores[column], scores["method"], "o", color="C0", alpha=0.6, label="a photograph")
        axis.plot(means[column], means.index, "|", color="C1", markersize=16, markeredgewidth=2.5, label="mean")
        axis.set_xlabel(label)
    axes[0].margins(y=0.2)
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


@styled
def opinion_bars(mos: pd.DataFrame, title: str) -> Figure:
    """`rating.opinions` with their intervals."""
    figure, axis = plt.subplots(figsize=(WIDTH, 0.35 * len(mos) + 0.9))
    ends = [mos["mos"] - mos["low"], mos["high"] - mos["mos"]]
    axis.errorbar(mos["mos"], mos["method"], xerr=ends, fmt="o", capsize=3)
    axis.set(xlim=(0.9, 5.1), xlabel="MOS, 1 bad to 5 excellent, with 95 % interval", title=title)
    axis.invert_yaxis()
    return figure
