"""Results with their uncertainty, and as a thesis wants them: LaTeX with booktabs, Markdown, one file to \\input."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import stats

from srkit.files import SrkitError, write_text

# column: its title, decimals, and whether more is better (1) or worse (-1)
SHOWN = {
    "psnr_y": ("PSNR-Y (dB)", 2, 1),
    "ssim_y": ("SSIM-Y", 4, 1),
    "psnr_rgb": ("PSNR-RGB (dB)", 2, 1),
    "ssim_rgb": ("SSIM-RGB", 4, 1),
    "lpips": ("LPIPS", 3, -1),
    "lpips_squeeze": ("LPIPS-squeeze", 3, -1),
    "grid": ("grid (levels)", 2, -1),
    "niqe": ("NIQE", 2, -1),
}
TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$"}
TEX |= {"–": r"\textendash{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "[": "{[}", "]": "{]}"}
TEX |= {"±": r"$\pm$"} | {sign: f"\\{sign}" for sign in "&%$#_{}"} | {"<": "$<$", ">": "$>$"}
LATIN, MORE = 0x17F, "–—‘’“”…€"  # the last letter, and what pdflatex sets besides
BEST, SECOND = "**{}**", "<u>{}</u>"  # as Markdown shows them


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
    if len(differences) == 1:  # either sign is as far from zero
        return 1.0
    how = {"permutation_type": "samples", "alternative": "greater", "n_resamples": draws, "batch": 1000}
    random = np.random.default_rng(seed)
    return float(stats.permutation_test((differences,), _distance_from_zero, rng=random, **how).pvalue)


def _distance_from_zero(values: np.ndarray, axis: int) -> np.ndarray:
    return np.abs(values.mean(axis=axis))


def paired_tests(
    rows: pd.DataFrame,
    against: str | Mapping[str, str] = "bicubic",
    column: str = "psnr_y",
    keys: Sequence[str] = ("set", "scale", "method"),
) -> pd.DataFrame:
    """Each method of `evaluate`'s rows against one of them, on the same pictures; by set and scale.

    A picture that was scored several times, as by runs of several seeds, counts once, with its mean: pictures, and not
    seeds, are what is drawn. against: one method for all, or each one's own by name. keys: the columns that say which
    scores are comparable, and whose they are. Columns: the keys, images, gain (the mean difference, `column` less that
    of `against`) with gain_low and gain_high, p of `paired_test`, and p_holm: p as it stands after Holm's correction
    (1979, Scandinavian Journal of Statistics 6(2)) for all the comparisons that are returned.
    Raises SrkitError where `against` is one method, and not among those of the rows.
    """
    lines = []
    for group_keys, group in rows.groupby([*keys[:2]], sort=False):
        each = group.pivot_table(column, "image", keys[2], sort=False)
        for method in each:
            other = against if isinstance(against, str) else against.get(method, method)
            if other == method or other not in each:
                continue
            both = each[[method, other]].dropna()
            gain = both[method] - both[other]
            line = (*group_keys, method, len(both), gain.mean(), *interval(gain), paired_test(*both.to_numpy().T))
            lines.append(line)
    if not lines and isinstance(against, str):
        raise SrkitError(f"nothing stands beside {against}: the rows hold {', '.join(rows[keys[2]].unique())}.")
    table = pd.DataFrame(lines, columns=[*keys, "images", "gain", "gain_low", "gain_high", "p"])
    return table.assign(p_holm=holm_corrected(table["p"]))


def holm_corrected(p: Sequence[float]) -> np.ndarray:
    """p of several tests after Holm's correction: the smallest times their number, the next times one less, and so on,

    never smaller than one before it, and at most 1. Below 0.05 there, the chance that any one of them is a false alarm
    is below 0.05. NaN stays, and does not count.

    >>> holm_corrected([0.01, 0.04, 0.02])
    array([0.03, 0.04, 0.04])
    """
    p = pd.Series(np.asarray(p, float))
    known = p.dropna().sort_values()
    return (known * np.arange(len(known), 0, -1)).cummax().clip(upper=1).reindex(p.index).to_numpy()


def results(rows: pd.DataFrame, baseline: str = "bicubic") -> pd.DataFrame:
    """From `evaluate`'s rows: a line a set, scale and method, with means, their intervals, and the gain in PSNR-Y.

    Columns: set, scale, method, images; each score with _low and _high; where the baseline is there, gain over it on
    the same pictures in dB, with gain_low, gain_high, p and p_holm of `paired_tests`; and degradation, where LR is not
    the papers' bicubic. Raises SrkitError for rows of several degradations, whose means say nothing.
    """
    keys, lines = ["set", "scale", "method"], []
    made = [*rows["degradation"].dropna().unique()] if "degradation" in rows else []
    if len(made) > 1:
        raise SrkitError(f"the rows are of several degradations ({', '.join(made)}): make a table of each.")
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
    return table if made in ([], ["bicubic"]) else table.assign(degradation=made[0])


def markdown(table: pd.DataFrame) -> str:
    """`results` as a Markdown table: best in bold, second underlined, intervals behind."""
    return as_markdown(_cells(table, list(SHOWN)))


def latex(table: pd.DataFrame, caption: str, label: str = "tab:results") -> str:
    """`results` as a LaTeX table: best in bold, second underlined, intervals behind. Wants booktabs."""
    columns = ["psnr_y", "ssim_y", "lpips" if "lpips" in table and table["lpips"].notna().any() else "lpips_squeeze"]
    return as_latex(_cells(table, columns), caption, label)


def as_markdown(cells: pd.DataFrame) -> str:
    """A table of texts as Markdown; a | within one is escaped."""
    cells = cells.map(lambda text: " ".join(text.replace("|", "\\|").split()))
    lines = [list(cells), ["---"] * cells.shape[1], *cells.to_numpy().tolist()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_latex(cells: pd.DataFrame, caption: str, label: str) -> str:
    """A table of texts as LaTeX, with what `scores_as_text` marks in them. Wants booktabs."""
    cells = cells.map(tex).rename(columns=tex)
    for mark, command in ((BEST, "textbf"), (SECOND, "underline")):
        begin, end = (re.escape(tex(each)) for each in mark.split("{}"))
        cells = cells.replace(rf"{begin}(.+?){end}", rf"\\{command}{{\1}}", regex=True)
    how = {"hrules": True, "position": "tbp", "position_float": "centering"}
    text = cells.style.hide(axis="index").to_latex(caption=tex(caption), label=label, **how)
    return text.replace(r"\centering", r"\centering\footnotesize\setlength{\tabcolsep}{3pt}")


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
    text += f"LR: {table['degradation'].iloc[0]}. " if "degradation" in table else ""
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
    write_text(path, latex(table, caption) if path.suffix == ".tex" else f"{markdown(table)}\n{caption}\n")


def write_thesis(folder: Path, rows: pd.DataFrame, figures: Sequence[str], made: str) -> list[Path]:
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
    write_text(folder / "results.tex", "\n".join(parts))
    write_text(folder / "results.csv", table.to_csv(index=False, float_format="%.6g"))
    write_text(folder / "references.bib", Path(__file__).with_name("references.bib").read_text(encoding="utf-8"))
    return [folder / name for name in ("results.tex", "results.md", "results.csv", "references.bib")]


def tex(text: str) -> str:
    """Text in which LaTeX finds no command, and nothing that pdflatex cannot set: other scripts stand as [U+4E2D]."""
    words = " ".join(unicodedata.normalize("NFC", text).split())
    known = {x: x.isprintable() and (x in TEX or ord(x) <= LATIN or x in MORE) for x in set(words)}
    signs = (TEX.get(x, x) if known[x] else f"{{[}}U+{ord(x):04X}{{]}}" for x in words)
    return re.sub("-(?=-)", "-{}", "".join(signs))


def scores_as_text(table: pd.DataFrame, columns: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """Means as text under the titles of SHOWN: rounded, the best and the second best of each group `by` marked.

    Behind a mean stands what the table has of its spread: [COLUMN_low, COLUMN_high], or ± COLUMN_std. Columns without
    a number are left out.
    """
    cells = {}
    for column in [c for c in columns if c in table and table[c].notna().any()]:
        title, digits, sign = SHOWN[column]
        ranks = (sign * table[column].round(digits)).groupby([table[key] for key in by]).rank("dense", ascending=False)
        texts = table[column].map(f"{{:.{digits}f}}".format)
        texts = [{1: BEST, 2: SECOND}.get(rank, "{}").format(text) for rank, text in zip(ranks, texts, strict=True)]
        behind = {f"{column}_std": " ± {}", f"{column}_low": " [{}", f"{column}_high": ", {}]"}
        for name in [name for name in behind if name in table]:
            more = ["" if np.isnan(x) else behind[name].format(f"{x:.{digits}f}") for x in table[name]]
            texts = [text + end for text, end in zip(texts, more, strict=True)]
        cells[title] = pd.Series(texts, table.index).where(table[column].notna(), "–")
    return pd.DataFrame(cells, index=table.index)


def p_as_text(p: float) -> str:
    """0.012, <0.001, or – where there is none."""
    return "–" if np.isnan(p) else f"{p:.3f}" if p >= 0.001 else "<0.001"


def _cells(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """`results` as text."""
    names = table[["set", "scale", "method"]].assign(scale="x" + table["scale"].astype(str))
    cells = names.join(scores_as_text(table, columns, ["set", "scale"]))
    return cells.assign(p=table["p_holm" if _several(table) else "p"].map(p_as_text)) if "p" in table else cells


def _several(table: pd.DataFrame) -> bool:
    """Whether a table of results makes more than one comparison, so that p is to be corrected for their number."""
    return table["p"].notna().sum() > 1
