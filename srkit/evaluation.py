"""Methods scored on sets of pictures, and the table that the scores go into. How one picture is scored: see scoring."""

import hashlib
import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from torch import nn

from srkit.data.levels import check_white, read_levels, say_levels
from srkit.data.pairs import read_lr
from srkit.data.sources import find_pictures
from srkit.degradations import BICUBIC
from srkit.files import SrkitError, expanded, spelt
from srkit.fingerprints import fingerprint
from srkit.generator import count_parameters, multiply_adds
from srkit.images import crop_to_multiple, read_image, write_image
from srkit.metrics import SSIM_WINDOW, psnr_y, ssim_y, without_colours
from srkit.pretrained import What, resolve
from srkit.records import said
from srkit.score_table import COLUMNS, Results, score_log
from srkit.scoring import SCORES, Judge, bicubic, enlarge, judged, lr_of, scores, super_resolve

__all__ = ["bicubic", "costs", "enlarge", "evaluate", "lr_of", "psnr_y", "ssim_y", "summary", "super_resolve"]


def evaluate(
    methods: Mapping[str, What],
    images: Sequence[Path | str],
    scale: int,
    *,
    set_name: str | None = None,
    lpips: Judge | Literal[False] | None = None,
    save: Path | str | None = None,
    csv: Path | str | None = None,
    problems: list[str] | None = None,
    given: Mapping[Path, Path] | None = None,
    degradation: Callable = BICUBIC,
    white: int | None = None,
) -> pd.DataFrame:
    """Score methods on HR pictures by the protocol: one row an image and method, one picture at a time in memory.

    methods: by name, what `pretrained.resolve` understands; the pictures of a folder of SR are matched by name.
    set_name: by default the name of the pictures' folder. lpips: from `metrics.lpips_judge`; None leaves that column
    empty, False the one of LPIPS-squeeze too. save: a folder for the SR pictures, as METHOD/SET/NAME.png. csv: a file
    that gets each row at once; what it holds already of the same HR file and the same method is not done again, and the
    rows of other methods and sets stay; several processes may write to it. given: LR files by HR file, where LR is not
    to be made. degradation: how it is made else, as a recipe's (see srkit.degradations).
    white: the value that is white in 16-bit files of fewer bits, such as 4095.

    What cannot be scored is left out and named in `problems`, or by a warning where no list is given. Raises SrkitError
    where nothing could be scored, a method is unknown, or a network has another scale or weights that are no numbers.
    """
    if given and degradation != BICUBIC:
        raise SrkitError("LR is given with these pictures, and a degradation makes another: choose one of the two.")
    check_white(white)
    if isinstance(images, str | Path):
        raise SrkitError(f"{images} is one path, and images are a list of files: give find_images({str(images)!r})[0].")
    methods = _resolved(methods, scale)
    where = places(map(expanded, images), set_name)
    ready = {name: ready_made(method, list(where)) for name, method in methods.items() if isinstance(method, Path)}
    targets = sr_paths(where) if save else {}
    prints = {name: fingerprint(method) if csv else b"" for name, method in methods.items()}
    results, table, found, levels = Results(score_log(csv) if csv else None), [], [], {}
    for path, (set_, image) in where.items():
        truth = Truth(path, scale, (given or {}).get(path), degradation, white)
        for name, method in methods.items():
            row = {"method": name, "set": set_, "scale": scale, "degradation": truth.degraded, "image": image}
            target = expanded(save) / name / targets[path] if save else None
            try:
                made = ready[name](path) if name in ready else method
                row["key"] = truth.key(prints[name] + (_bytes(made) if name in ready else b""))
                known = results.find(row, lpips)
                if known is None or (target and not _holds(target, known, truth)):
                    known = row | _score(made, truth, lpips, target)
                    results.append(known)
                table.append(known)
            except SrkitError as error:
                found.append(str(error))
        levels |= truth.levels
    say_levels(levels, white)
    results.tidy()
    if not table:
        raise SrkitError(found[0] if found else "there is no picture to score: name a folder of HR images.")
    tell(dict.fromkeys(found), problems)
    return pd.DataFrame(table)[list(COLUMNS)]


def tell(found: Iterable[str], problems: list[str] | None) -> None:
    """Add what was left out to the caller's list, or warn of each where none is given."""
    if problems is not None:
        problems += found
        return
    for problem in found:
        warnings.warn(f"left out: {problem}", stacklevel=3)


class Truth:
    """One HR picture on its way through the protocol, decoded when it is first asked for."""

    def __init__(
        self,
        path: Path,
        scale: int,
        given: Path | None = None,
        degradation: Callable = BICUBIC,
        white: int | None = None,
    ):
        self.path, self.scale, self.given, self.degradation, self.white = path, scale, given, degradation, white
        self.degraded = "given" if given else "bicubic" if degradation == BICUBIC else said(degradation)
        self.levels: dict[Path, int] = {}  # see `say_levels`

    @cached_property
    def digest(self) -> str:
        """Of the folder that it lies in, and of the bytes of HR and LR."""
        read = _bytes(self.path) + (_bytes(self.given) if self.given else b"")
        return f"{_hex(os.fsencode(self.path.absolute().parent))}-{_hex(read)}"

    def key(self, method: bytes) -> str:
        lr = b"" if self.given or self.lr is None else self.lr.tobytes()
        white = b"" if self.white is None else b"%d" % self.white
        return f"{self.digest}-{_hex(method + self.degraded.encode() + lr + white)}"

    @cached_property
    def hr(self) -> np.ndarray:
        image, largest = read_levels(self.path, self.white)
        self.levels |= {self.path: largest} if largest is not None else {}
        hr = without_colours(crop_to_multiple(image, self.scale))
        if min(hr.shape[:2]) < SSIM_WINDOW + 2 * self.scale:
            least = f"{SSIM_WINDOW} + 2 x {self.scale} pixels that SSIM's window and the shaved border take"
            raise SrkitError(f"{self.path}, {hr.shape[1]} x {hr.shape[0]}, is below the {least}: leave it out.")
        return hr

    @cached_property
    def lr(self) -> np.ndarray | None:
        """LR as it is given or degraded; None where the papers' bicubic makes it."""
        if self.given:
            return read_lr(self.given, self.hr, self.scale, self.white)
        return None if self.degradation == BICUBIC else lr_of(self.hr, self.scale, self.degradation)


def _resolved(methods: Mapping[str, What], scale: int) -> dict[str, nn.Module | str | Path]:
    """A network, "bicubic" or "nearest", or a folder of SR pictures, by name; an error says which name it is of."""
    found = {}
    for name, method in methods.items():
        try:
            found[name] = resolve(method, scale).does
        except SrkitError as error:
            raise SrkitError(f"{name}: {error}") from error
    return found


def _score(
    method: nn.Module | str | Path, truth: Truth, lpips: Judge | Literal[False] | None, target: Path | None
) -> dict[str, Any]:
    """The columns of one picture and method, but for what names them."""
    hr, scale = truth.hr, truth.scale
    if isinstance(method, Path):
        image, _ = read_levels(method, truth.white)
        sr = image if hr.ndim == 2 else without_colours(image)
        if sr.shape[:2] != hr.shape[:2]:
            sizes = f"is {sr.shape[1]} x {sr.shape[0]}, and {truth.path.name} at x{scale} {hr.shape[1]} x {hr.shape[0]}"
            raise SrkitError(f"{method} {sizes}: SR has the size of HR, cropped to a multiple of the scale.")
        found = scores(sr, hr, scale, lpips) | {"seconds": math.nan}
    else:
        try:
            sr, found = judged(method, hr, scale, lpips, lr=truth.lr)
        except SrkitError as error:
            raise SrkitError(f"{truth.path}: {error}") from error
    if target:
        write_image(target, sr)
    return {"width": hr.shape[1], "height": hr.shape[0]} | found


def _holds(target: Path, row: Mapping[str, Any], truth: Truth) -> bool:
    """Whether a file is the SR that a row was scored on, and not that of another scale or network of this name."""
    with suppress(SrkitError):  # of one that is not there, or is cut off
        sr = read_image(target)
        if sr.shape[:2] == truth.hr.shape[:2]:
            found = scores(sr, truth.hr, truth.scale, columns=("psnr_rgb",))["psnr_rgb"]
            return math.isclose(found, row["psnr_rgb"], abs_tol=1e-4)
    return False


def places(images: Iterable[Path], set_name: str | None = None) -> dict[Path, tuple[str, str]]:
    """The set and the name of each picture: those of its folder and its file, and no two pictures have the same.

    A/original/1.png and B/original/1.png are in the sets A/original and B/original; in one set of the name that is
    given, they are A/original/1.png and B/original/1.png.
    """
    images = list(images)
    whole = {path: path.absolute() for path in images}
    folders, files = _told_apart({path.parent for path in whole.values()}), _told_apart(set(whole.values()))
    if set_name:
        return {path: (set_name, spelt(files[whole[path]])) for path in images}
    return {path: (spelt(folders[whole[path].parent]), spelt(path.name)) for path in images}


def _told_apart(paths: set[Path]) -> dict[Path, str]:
    """As many last parts of each path as tell it from all others."""
    names, count = {}, 0
    while len(names) < len(paths):
        count += 1
        ends = Counter(path.parts[-count:] for path in paths)
        for path in paths - names.keys():
            if ends[path.parts[-count:]] == 1 or count >= len(path.parts):
                names[path] = "/".join(path.parts[-count:])
    return names


def sr_paths(where: Mapping[Path, tuple[str, str]]) -> dict[Path, Path]:
    """Where each picture's SR lies in a method's folder: in one of its set's name; a.png and a.jpg stay two."""
    names = {path: Path(set_) / image for path, (set_, image) in where.items()}
    bare = Counter(name.with_suffix("") for name in names.values())
    one = {path: bare[name.with_suffix("")] == 1 for path, name in names.items()}
    return {path: name.with_suffix(".png") if one[path] else Path(f"{name}.png") for path, name in names.items()}


def ready_made(folder: Path, pictures: Sequence[Path]) -> Callable[[Path], Path]:
    """Which SR file of a folder belongs to an HR one: of its name, or a longer one, as baby_x4_SR.png.

    Of several, the one in the most folders of the same names. None, two as good, or one for two pictures are refused.
    """
    files, stems = find_pictures(folder), {path.stem for path in pictures}

    def candidates(picture: Path) -> list[Path]:
        stem = picture.stem
        longer = [p for p in files if p.stem not in stems and p.stem.startswith((f"{stem}_", f"{stem}-", f"{stem}x"))]
        found = [p for p in files if p.stem == picture.name] or [p for p in files if p.stem == stem] or longer
        shared = [len(set(p.relative_to(folder).parts[:-1]) & set(picture.absolute().parts)) for p in found]
        return [p for p, count in zip(found, shared, strict=True) if count == max(shared)]

    matched = {picture: candidates(picture) for picture in pictures}
    taken = Counter(found[0] for found in matched.values() if len(found) == 1)

    def find(picture: Path) -> Path:
        found = matched[picture]
        if not found:
            raise SrkitError(f"{folder} holds no picture for {picture.name}: name its SR {picture.stem}.png.")
        if len(found) > 1 or taken[found[0]] > 1:
            raise SrkitError(f"{folder} does not say which SR is of {picture}: put them into folders named as HR's.")
        return found[0]

    return find


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SrkitError(f"{path} cannot be read ({error.strerror}): check its name and folder.") from error


def _hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the images: one row a method, set and scale, methods in the order they came.

    The degradation is named where it is not the papers' bicubic. seconds_per_megapixel: the middle one of the images',
    of SR pixels.
    """
    keys = ["set", "scale", "method"]
    if "degradation" in table and (table["degradation"] != "bicubic").any():
        keys.append("degradation")
    groups = table.groupby(keys, sort=False)
    means = groups[[name for name in (*SCORES, "seconds") if name in table]].mean().assign(images=groups.size())
    if "width" in table:
        pace = table["seconds"] * 1e6 / (table["width"] * table["height"])
        means["seconds_per_megapixel"] = pace.groupby([table[key] for key in keys], sort=False).median()
    return means.reset_index()


def costs(methods: Mapping[str, What], scale: int) -> pd.DataFrame:
    """Parameters, and thousand millions of multiply-adds for an SR picture of 1280 x 720, as papers count them."""
    rows = []
    for name, method in _resolved(methods, scale).items():
        numbers = {"parameters": math.nan, "multiply_adds_g": math.nan}
        if isinstance(method, nn.Module):
            work = multiply_adds(method, round(720 / scale), round(1280 / scale)) / 1e9
            numbers = {"parameters": count_parameters(method), "multiply_adds_g": work}
        rows.append({"method": name} | numbers)
    return pd.DataFrame(rows)
