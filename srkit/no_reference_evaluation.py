"""Methods scored on photographs that have no HR, and pictures as they are: the table of their NIQE."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from srkit.csv_log import CsvLog
from srkit.data.pairs import size
from srkit.data.sources import find_pictures
from srkit.evaluation import Truth, places, ready_made, sr_paths, tell
from srkit.files import SrkitError, expanded, write_text
from srkit.fingerprints import fingerprint
from srkit.images import read_image, write_image
from srkit.no_reference import CAUTION, niqe
from srkit.pretrained import What, resolve
from srkit.score_table import Results
from srkit.scoring import enlarge, super_resolve
from srkit.tables import as_latex, as_markdown, check_table, interval, scores_as_text

COLUMNS = ("method", "set", "scale", "image", "width", "height", "niqe", "seconds", "key")


def evaluate_without_reference(
    methods: Mapping[str, What],
    images: Sequence[Path | str] = (),
    scale: int = 1,
    *,
    set_name: str | None = None,
    save: Path | str | None = None,
    csv: Path | str | None = None,
    problems: list[str] | None = None,
) -> pd.DataFrame:
    """NIQE of what methods make of photographs that have no HR: one row a picture and method.

    methods: by name, what `pretrained.resolve` understands. images: photographs, each of which is LR and enlarged by
    `scale`; the pictures of a folder of SR are matched with them by name. Without images every method is a folder of
    pictures, scored as they are; scale is then 1, and the set is called like the method.
    set_name, save, csv and problems are those of `evaluation.evaluate`; the CSV file is one of its own.

    A picture that NIQE cannot judge, as it is too small or flat, has NaN in its row; it and what cannot be read or
    enlarged are named in `problems`, or by a warning where no list is given. Raises SrkitError where no picture has a
    score, a method is unknown or of another scale, and where one that enlarges is given no images.
    """
    does = {name: resolve(method, scale if images else None).does for name, method in methods.items()}
    if images:
        where = places(map(expanded, images), set_name)
        work = [(name, path, place) for path, place in where.items() for name in does]
    else:
        if idle := [name for name, method in does.items() if not isinstance(method, Path)]:
            raise SrkitError(f"{idle[0]} enlarges photographs: name their folder with --images, and --scale.")
        where = {name: places(find_pictures(folder), name) for name, folder in does.items()}
        work = [(name, path, place) for name, theirs in where.items() for path, place in theirs.items()]
    ready = {n: ready_made(f, list(where)) for n, f in does.items() if images and isinstance(f, Path)}
    targets = sr_paths(where) if images and save else {}
    prints = {name: fingerprint(method) if csv else b"" for name, method in does.items()}
    words, kind = ("method", "set", "image", "key"), "table of srkit evaluate --no-reference"
    results = Results(CsvLog(csv, COLUMNS, words, floats="%.6f", kind=kind) if csv else None)
    table, found = [], {}  # and whose each problem is
    for name, path, (set_, image) in work:
        row = {"method": name, "set": set_, "scale": scale, "image": image}
        target = expanded(save) / name / targets[path] if path in targets else None
        try:
            source = ready[name](path) if name in ready else path
            row["key"] = Truth(source, scale).key(prints[name])
            known = results.find(row, False)
            if known is None or math.isnan(known["niqe"]) or (target and not target.exists()):
                sr, seconds = _made(does[name], source, scale)
                if images:
                    _check_size(sr, path, scale)
                if target:
                    write_image(target, sr)
                known = row | {"width": sr.shape[1], "height": sr.shape[0], "niqe": math.nan, "seconds": seconds}
                try:
                    known["niqe"] = niqe(sr)
                except SrkitError as error:
                    found.setdefault(f"{source}: {error}", []).append(name)
                results.append(known)
            table.append(known)
        except SrkitError as error:
            found.setdefault(str(error), []).append(name)
    results.tidy()
    some = {problem: ", ".join(names) + ": " for problem, names in found.items() if images and len(names) < len(does)}
    found = [some.get(problem, "") + problem for problem in found]
    if all(math.isnan(row["niqe"]) for row in table):
        raise SrkitError(found[0] if found else "there is no picture to score: name a folder of photographs.")
    tell(found, problems)
    return pd.DataFrame(table)[list(COLUMNS)]


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """A line a picture, a column a method: NIQE, NaN where there is none."""
    picture = ["set", "image"] if table.duplicated(["method", "image"]).any() else ["image"]
    wide = table.pivot(index=picture, columns="method", values="niqe")[table["method"].unique()]
    return wide.rename_axis(columns=None).reset_index()


def means(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """A line a method, and in words which pictures it is over: those that every method has a NIQE of, or else its own.

    Columns: method, images, niqe with niqe_low and niqe_high by `tables.interval`, and the mean seconds of a picture.
    """
    seconds, wide = table.groupby("method")["seconds"].mean(), side_by_side(table)[table["method"].unique()]
    shared = wide.dropna()
    lines = []
    for method in wide:
        values = (shared if len(shared) else wide)[method].dropna()
        low, high = interval(values)
        scores = {"niqe": values.mean(), "niqe_low": low, "niqe_high": high, "seconds": seconds[method]}
        lines.append({"method": method, "images": len(values)} | scores)
    over = f"the {len(shared)} picture{'s' * (len(shared) > 1)} of which every method has one"
    over = over if len(shared) else "each method's own pictures"
    return pd.DataFrame(lines), f"Means of NIQE over {over}."


def write_table(path: Path, table: pd.DataFrame) -> None:
    """The `means` as a LaTeX (.tex) or a Markdown (.md) table. Raises SrkitError for another suffix."""
    check_table(path)
    lines, over = means(table)
    scale = table["scale"].max()
    scores = scores_as_text(lines.assign(scale=scale), ["niqe"], ["scale"])
    cells = lines[["method", "images"]].astype(str).join(scores)
    enlarged = f"Enlarged x{scale}. " if scale > 1 else ""
    caption = f"{enlarged}{over} In brackets the bootstrap 95 % interval; lowest in bold, second underlined. {CAUTION}"
    latex = path.suffix == ".tex"
    text = as_latex(cells, caption, "tab:niqe") if latex else f"{as_markdown(cells)}\n{caption}\n"
    write_text(path, text)


def _made(method: nn.Module | str | Path, source: Path, scale: int) -> tuple[np.ndarray, float]:
    """The picture to score, uint8 (H, W, 3), and the seconds that enlarging took; NaN of one that was there already."""
    picture, began = read_image(source), time.perf_counter()
    if isinstance(method, Path):
        return picture, math.nan
    try:
        sr = super_resolve(method, picture) if isinstance(method, nn.Module) else enlarge(picture, scale, method)
    except SrkitError as error:
        raise SrkitError(f"{source}: {error}") from error
    return sr, time.perf_counter() - began


def _check_size(sr: np.ndarray, path: Path, scale: int) -> None:
    """Refuse what is not the photograph at this scale: NIQE of another size is no score of the same thing."""
    width, height = size(path) or (0, 0)
    if width and sr.shape[:2] != (scale * height, scale * width):
        sizes = f"is {width} x {height} and its SR {sr.shape[1]} x {sr.shape[0]}"
        raise SrkitError(f"{path} {sizes}: that is not x{scale}.")
