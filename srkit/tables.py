"""Results with their uncertainty, and as a thesis wants them: LaTeX with booktabs, Markdown, one file to \\input."""

import shutil
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from srkit.files import SrkitError, replacing

# column: its title, decimals, and whether more is better (1) or worse (-1)
SHOWN = {
    "psnr_y": ("PSNR-Y (dB)", 2, 1),
    "ssim_y": ("SSIM-Y", 4, 1),
    "psnr_rgb": ("PSNR-RGB (dB)", 2, 1),
    "ssim_rgb": ("SSIM-RGB", 4, 1),
    "lpips": ("LPIPS", 3, -1),
}
TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$", "–": "--"}
TEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"} | {"<": "$<$", ">": "$>$"}


def protocol(scale: object) -> str:
    """How the numbers were measured, in a sentence's beginning."""
    return f"PSNR (dB) and SSIM on BT.601 luma (16 to 235, rounded), {scale} pixels of border shaved"


def interval(values: Sequence[float], draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean: pictures drawn again with replacement, the middle 95 % of the means.

    Efron 1979, Annals of Statistics 7(1). Of fewer than ten pictures it is too narrow; of one there is none, NaN.
    """
    values = np.asarray(values, float)
    if len(values) < 2 or not np.isfinite(values).all():
        return np.nan, np.nan
    means = np.random.default_rng(seed).choice(values, (draws, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def paired_test(ours: Sequence[float], theirs: Sequence[float], draws: int = 10_000, seed: int = 0) -> float:
    """How often chance alone parts two methods' means as far: the two-sided p of a paired permutation test.

    Were the methods alike, each picture's difference might as well have the other sign. All signs are tried for up to
    13 pictures, else `draws` random ones. It tests the difference of means, which is what a table shows (Wilcoxon's
    tests ranks), asks for no normal distribution, and is exact on small sets: five pictures never come below 2 / 32.
    """
    differences = np.asarray(ours, float) - np.asarray(theirs, float)
    count = len(differences)
    if count <= 13:
        signs = np.array(list(product((1, -1), repeat=count)))
    else:
        signs = np.random.default_rng(seed).choice((1, -1), (draws, count))
        signs[0] = 1  # what was seen is one of the ways
    means = np.abs(signs @ differences)
    return float((means >= means[0] - 1e-9).mean())


def results(rows: pd.DataFrame, baseline: str = "bicubic") -> pd.DataFrame:
    """From `evaluate`'s rows: a line a set, scale and method, with means, their intervals, and the gain in PSNR-Y.

    Columns: set, scale, method, images; each score with _low and _high; gain over the baseline on the same pictures in
    dB, with gain_low, gain_high and the p of `paired_test`.
    """
    lines = []
    for (name, scale), group in rows.groupby(["set", "scale"], sort=False):
        psnr = group.pivot_table("psnr_y", "image", "method")
        for method, own in group.groupby("method", sort=False):
            line = {"set": name, "scale": scale, "method": method, "images": len(own)}
            for column in [c for c in SHOWN if c in rows]:
                values = own[column].dropna()
                low, high = interval(values)
                line |= {column: values.mean(), f"{column}_low": low, f"{column}_high": high}
            if baseline in psnr and method != baseline:
                both = psnr[[method, baseline]].dropna()
                gain = both[method] - both[baseline]
                low, high = interval(gain)
                line |= {"gain": gain.mean(), "gain_low": low, "gain_high": high, "p": paired_test(*both.to_numpy().T)}
            lines.append(line)
    return pd.DataFrame(lines)


def markdown(table: pd.DataFrame) -> str:
    """`results` as a Markdown table: best in bold, second underlined, intervals behind."""
    cells = _cells(table, "**{}**", "<u>{}</u>", list(SHOWN))
    lines = [list(cells), ["---"] * cells.shape[1], *cells.to_numpy().tolist()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(table: pd.DataFrame, caption: str, label: str = "tab:results") -> str:
    """`results` as a LaTeX table: best in bold, second underlined, intervals behind. Wants booktabs."""
    cells = _cells(table.map(lambda x: tex(x) if isinstance(x, str) else x), r"\textbf{{{}}}", r"\underline{{{}}}")
    lines = [" & ".join(line) + r" \\" for line in [[tex(title) for title in cells], *cells.to_numpy().tolist()]]
    lines.insert(1, r"\midrule")
    return "\n".join(
        [
            *(r"\begin{table}[tbp]", r"\centering\footnotesize\setlength{\tabcolsep}{3pt}"),
            *(rf"\caption{{{tex(caption)}}}", rf"\label{{{label}}}"),
            *(rf"\begin{{tabular}}{{lr{'l' * (cells.shape[1] - 2)}}}", r"\toprule", *lines),
            *(r"\bottomrule", r"\end{tabular}", r"\end{table}", ""),
        ]
    )


def table_caption(table: pd.DataFrame, made: str = "") -> str:
    """What stands under a table of results: protocol, sets and images, how to read it."""
    scales = " or ".join(str(scale) for scale in sorted(table["scale"].unique()))
    sets = ", ".join(f"{name} ({count} images)" for name, count in dict(table[["set", "images"]].to_numpy()).items())
    text = f"{protocol(scales)}; means over {sets}, in brackets the bootstrap 95 % interval. "
    text += "LPIPS (AlexNet): lower is better. " if "lpips" in table and table["lpips"].notna().any() else ""
    text += "p: paired permutation test of PSNR-Y against bicubic. " if "p" in table else ""
    return f"{text}Best in bold, second underlined. {made}".strip()


def write_table(path: Path, rows: pd.DataFrame, made: str = "") -> None:
    """`evaluate`'s rows as a table of results, LaTeX or Markdown by the suffix."""
    table = results(rows)
    if path.suffix not in (".tex", ".md"):
        raise SrkitError(f"{path} is neither .tex nor .md: name a LaTeX or a Markdown file.")
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
    """Text in which LaTeX finds no command."""
    return "".join(TEX.get(sign, sign) for sign in text)


def _cells(table: pd.DataFrame, bold: str, under: str, columns: Sequence[str] = ("psnr_y", "ssim_y", "lpips")):
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
        cells["p"] = ["–" if np.isnan(p) else f"{p:.3f}" if p >= 0.001 else less for p in table["p"]]
    return pd.DataFrame(cells)


def _cell(value: float, low: float, high: float, digits: int, mark: str) -> str:
    if np.isnan(value):
        return "–"
    return mark.format(f"{value:.{digits}f}") + ("" if np.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]")
