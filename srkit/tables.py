"""Results with their uncertainty, and as a thesis wants them: LaTeX with booktabs, Markdown, one file to \\input."""

import re
import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import stats

from srkit.files import SrkitError, replacing

# column: its title, decimals, and whether more is better (1) or worse (-1)
SHOWN = {
    "psnr_y": ("PSNR-Y (dB)", 2, 1),
    "ssim_y": ("SSIM-Y", 4, 1),
    "psnr_rgb": ("PSNR-RGB (dB)", 2, 1),
    "ssim_rgb": ("SSIM-RGB", 4, 1),
    "lpips": ("LPIPS", 3, -1),
    "lpips_squeeze": ("LPIPS-squeeze", 3, -1),
    "grid": ("grid (levels)", 2, -1),
}
TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$", "–": r"\textendash{}"}
TEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"} | {"<": "$<$", ">": "$>$", "±": r"$\pm$", '"': r"\textquotedbl{}"}
TEX |= {"`": r"\textasciigrave{}", "[": "{[}", "]": "{]}"}
SET = 0x17F, "–—‘’“”…€"  # the last of Latin, and what pdflatex sets besides


def protocol(scale: object) -> str:
    """How the numbers were measured, in a sentence's beginning."""
    return f"PSNR (dB) and SSIM on BT.601 luma (16 to 235, rounded), {scale} pixels of border shaved"


def interval(values: Sequence[float], draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean: pictures drawn again with replacement, the middle 95 % of the means.

    Efron 1979, Annals of Statistics 7(1), by scipy.stats.bootstrap. Of fewer than ten pictures it is too narrow; of one
    there is none, NaN.
    """
    values = np.asarray(values, float)
    if len(values) < 2 or not np.isfinite(values).all():
        return np.nan, np.nan
    how = {"n_resamples": draws, "method": "percentile", "batch": 1000, "rng": np.random.default_rng(seed)}
    return tuple(float(end) for end in stats.bootstrap((values,), np.mean, **how).confidence_interval)


def paired_test(ours: Sequence[float], theirs: Sequence[float], draws: int = 10_000, seed: int = 0) -> float:
    """How often chance alone parts two methods' means as far: the two-sided p of a paired permutation test.

    Were the methods alike, each picture's difference might as well have the other sign. All signs are tried for up to
    13 pictures, else `draws` random ones. It tests the difference of means, which is what a table shows (Wilcoxon's
    tests ranks), asks for no normal distribution, and is exact on small sets: five pictures never come below 2 / 32.
    NaN where a difference is no number, as of two equal pictures, whose PSNR has no end.
    """
    with np.errstate(invalid="ignore"):
        differences = np.asarray(ours, float) - np.asarray(theirs, float)
    if not len(differences) or not np.isfinite(differences).all():
        return np.nan
    how = {"permutation_type": "samples", "alternative": "greater", "n_resamples": draws, "batch": 1000}
    random = np.random.default_rng(seed)
    return float(stats.permutation_test((differences,), _distance_from_zero, vectorized=True, rng=random, **how).pvalue)


def _distance_from_zero(values: np.ndarray, axis: int) -> np.ndarray:
    return np.abs(values.mean(axis=axis))


def paired_tests(
    rows: pd.DataFrame, against: str = "bicubic", column: str = "psnr_y", holm: bool = True
) -> pd.DataFrame:
    """Each method of `evaluate`'s rows against one of them, on the same pictures; by set and scale.

    A picture that was scored several times, as by runs of several seeds, counts once, with its mean: pictures, and not
    seeds, are what is drawn. Columns: set, scale, method, images, gain (the mean difference, `column` less that of
    `against`) with gain_low and gain_high, p of `paired_test`, and with `holm` p_holm: p as it stands after Holm's
    correction (1979, Scandinavian Journal of Statistics 6(2)) for all the comparisons that are returned.
    Raises SrkitError where `against` is not among the methods.
    """
    lines = []
    for (name, scale), group in rows.groupby(["set", "scale"], sort=False):
        each = group.pivot_table(column, "image", "method", sort=False)
        for method in [m for m in each if m != against and against in each]:
            both = each[[method, against]].dropna()
            gain = both[method] - both[against]
            low, high = interval(gain)
            line = {"set": name, "scale": scale, "method": method, "images": len(both), "gain": gain.mean()}
            lines.append(line | {"gain_low": low, "gain_high": high, "p": paired_test(*both.to_numpy().T)})
    if not lines:
        raise SrkitError(f"nothing stands beside {against}: the rows hold {', '.join(rows['method'].unique())}.")
    table = pd.DataFrame(lines)
    return table.assign(p_holm=holm_corrected(table["p"])) if holm else table


def holm_corrected(p: Sequence[float]) -> np.ndarray:
    """p of several tests after Holm's correction: the smallest times their number, the next times one less, and so on,

    never smaller than one before it, and at most 1. Below 0.05 there, the chance that any one of them is a false alarm
    is below 0.05. NaN stays, and does not count.
    """
    p = np.asarray(p, float)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return corrected


def results(rows: pd.DataFrame, baseline: str = "bicubic") -> pd.DataFrame:
    """From `evaluate`'s rows: a line a set, scale and method, with means, their intervals, and the gain in PSNR-Y.

    Columns: set, scale, method, images; each score with _low and _high; where the baseline is there, gain over it on
    the same pictures in dB, with gain_low, gain_high, p and p_holm of `paired_tests`.
    """
    keys = ["set", "scale", "method"]
    lines = []
    for names, own in rows.groupby(keys, sort=False):
        line = dict(zip(keys, names, strict=True)) | {"images": len(own)}
        for column in [c for c in SHOWN if c in rows]:
            values = own[column].dropna()
            line[column] = values.mean()
            line[f"{column}_low"], line[f"{column}_high"] = interval(values)
        lines.append(line)
    table = pd.DataFrame(lines)
    if baseline in set(rows["method"]) and rows["method"].nunique() > 1:
        table = table.merge(paired_tests(rows, baseline).drop(columns="images"), on=keys, how="left")
    return table


def markdown(table: pd.DataFrame) -> str:
    """`results` as a Markdown table: best in bold, second underlined, intervals behind."""
    table = table.map(lambda x: " ".join(x.replace("|", "\\|").split()) if isinstance(x, str) else x)
    cells = _cells(table, "**{}**", "<u>{}</u>", list(SHOWN))
    lines = [list(cells), ["---"] * cells.shape[1], *cells.to_numpy().tolist()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(table: pd.DataFrame, caption: str, label: str = "tab:results") -> str:
    """`results` as a LaTeX table: best in bold, second underlined, intervals behind. Wants booktabs."""
    columns = ["psnr_y", "ssim_y", "lpips" if "lpips" in table and table["lpips"].notna().any() else "lpips_squeeze"]
    table = table.map(lambda x: tex(x) if isinstance(x, str) else x)
    cells = _cells(table, r"\textbf{{{}}}", r"\underline{{{}}}", columns).rename(columns=tex)
    style = cells.style.hide(axis="index")
    text = style.to_latex(
        column_format=f"lr{'l' * (cells.shape[1] - 2)}",
        hrules=True,
        caption=tex(caption),
        label=label,
        position="tbp",
        position_float="centering",
    )
    return text.replace(r"\centering", r"\centering\footnotesize\setlength{\tabcolsep}{3pt}", 1)


def table_caption(table: pd.DataFrame, made: str = "") -> str:
    """What stands under a table of results: protocol, sets and images, how to read it."""
    scales = " or ".join(str(scale) for scale in sorted(table["scale"].unique()))
    sets = ", ".join(f"{name} ({count} images)" for name, count in dict(table[["set", "images"]].to_numpy()).items())
    text = f"{protocol(scales)}; means over {sets}, in brackets the bootstrap 95 % interval. "
    judges = {"lpips": "LPIPS (AlexNet)", "lpips_squeeze": "LPIPS-squeeze (SqueezeNet)"}
    judges = [word for column, word in judges.items() if column in table and table[column].notna().any()]
    text += f"{' and '.join(judges)}: lower is better. " if judges else ""
    if "p" in table:
        corrected = ", after Holm" if _several(table) else ""
        text += f"p: paired permutation test of PSNR-Y against bicubic{corrected}. "
    return f"{text}Best in bold, second underlined. {made}".strip()


def check_table(path: Path) -> None:
    """SrkitError where a table of results cannot be written to such a file."""
    if path.suffix not in (".tex", ".md"):
        raise SrkitError(f"{path} is neither .tex nor .md: name a LaTeX or a Markdown file.")


def write_table(path: Path, rows: pd.DataFrame, made: str = "") -> None:
    """`evaluate`'s rows as a table of results, LaTeX or Markdown by the suffix."""
    check_table(path)
    table = results(rows)
    caption = table_caption(table, made)
    text = latex(table, caption) if path.suffix == ".tex" else f"{markdown(table)}\n{caption}\n"
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_thesis(folder: Path, rows: pd.DataFrame, figures: Sequence[str], made: str, notebooks: Path) -> list[Path]:
    """results.tex, results.md, results.csv and references.bib into a folder of figures; the paths.

    results.tex has the table and each of the figures that is there, with its caption: \\input it behind
    \\newcommand{\\srkitfigures}{path/of/the/folder}, with booktabs and graphicx loaded.
    """
    write_table(folder / "results.md", rows, made)
    table = results(rows)
    parts = [r"% needs \usepackage{booktabs,graphicx}", r"\providecommand{\srkitfigures}{.}"]
    parts.append(latex(table, table_caption(table, made)))
    for name in figures:
        if (folder / f"{name}.png").exists():
            with Image.open(folder / f"{name}.png") as picture:
                caption = tex(picture.info.get("Description", name))
            shown = rf"\includegraphics[width=\linewidth]{{\srkitfigures/{name}.pdf}}"
            parts.append(f"\\begin{{figure}}[tbp]\n\\centering\n{shown}\n\\caption{{{caption}}}\n\\label{{fig:{name}}}")
            parts.append("\\end{figure}\n")
    with replacing(folder / "results.tex") as beside, replacing(folder / "results.csv") as csv:
        beside.write_text("\n".join(parts), encoding="utf-8")
        table.to_csv(csv, index=False, float_format="%.6g")
    if (notebooks / "references.bib").exists():
        with replacing(folder / "references.bib") as beside:
            shutil.copyfile(notebooks / "references.bib", beside)
    return [folder / name for name in ("results.tex", "results.md", "results.csv", "references.bib")]


def tex(text: str) -> str:
    """Text in which LaTeX finds no command, and nothing that pdflatex cannot set: other scripts stand as [U+4E2D]."""
    words = " ".join(unicodedata.normalize("NFC", text).split())
    signs = (TEX.get(x, x) if x.isprintable() and (x in TEX or ord(x) <= SET[0] or x in SET[1]) else _code(x) for x in words)
    return re.sub("-(?=-)", "-{}", "".join(signs))


def _code(sign: str) -> str:
    return f"{{[}}U+{ord(sign):04X}{{]}}"


def _cells(table: pd.DataFrame, bold: str, under: str, columns: Sequence[str]) -> pd.DataFrame:
    """The table as text: rounded, its best and second best of each set and scale marked, intervals in brackets."""
    cells = {"set": table["set"], "scale": "x" + table["scale"].astype(str), "method": table["method"]}
    for column in [c for c in columns if c in table and table[c].notna().any()]:
        title, digits, sign = SHOWN[column]
        better = (sign * table[column].round(digits)).groupby([table["set"], table["scale"]])
        ranks = better.rank(ascending=False, method="dense")
        cells[title] = [
            _cell(value, low, high, digits, {1: bold, 2: under}.get(rank, "{}"))
            for value, low, high, rank in zip(
                *(table[column + end] for end in ("", "_low", "_high")), ranks, strict=True
            )
        ]
    if "p" in table:
        less = "$<$0.001" if "text" in bold else "<0.001"
        shown = table["p_holm"] if _several(table) else table["p"]
        cells["p"] = ["–" if np.isnan(p) else f"{p:.3f}" if p >= 0.001 else less for p in shown]
    return pd.DataFrame(cells)


def _several(table: pd.DataFrame) -> bool:
    """Whether a table of results makes more than one comparison, so that p is to be corrected for their number."""
    return table["p"].notna().sum() > 1


def _cell(value: float, low: float, high: float, digits: int, mark: str) -> str:
    if np.isnan(value):
        return "–"
    return mark.format(f"{value:.{digits}f}") + ("" if np.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]")
