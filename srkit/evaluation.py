"""Scores by the protocol of the super-resolution papers, picture by picture, and the table that they go into.

The protocol: HR cropped to a multiple of the scale; BT.601 luma on 16..235 rounded to 8 bits; a border of `scale`
pixels shaved; PSNR with peak 255; SSIM with an 11 x 11 Gaussian of sigma 1.5 where it fits whole. Bicubic is computed
on the luma with the LR left unrounded, as the papers' rows are; a network gets the LR as an 8-bit RGB file holds it,
and so does bicubic where colours are judged. A grey HR file is its own luma, and SR is made grey to match it.
"""

import hashlib
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from srkit.data.pairs import read_lr
from srkit.data.sources import find_pictures
from srkit.degradations import BICUBIC, degrade
from srkit.files import SrkitError, replacing
from srkit.generator import count_parameters, multiply_adds
from srkit.images import crop_to_multiple, luma, read_image, to_image, to_tensor, write_image
from srkit.metrics import (
    SSIM_WINDOW,
    estimated_mos,
    in_colour,
    normalised_psnr,
    psnr_rgb,
    psnr_y,
    ssim_rgb,
    ssim_y,
)
from srkit.resize import imresize

__all__ = ["bicubic", "costs", "enlarge", "evaluate", "lr_of", "psnr_y", "ssim_y", "summary", "super_resolve"]

Method = nn.Module | str | Path
KEYS = ("set", "scale", "method")
SCORES = ("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "lpips", "psnr_normalised", "mos_estimate", "seconds")
COLUMNS = ("method", "set", "scale", "image", "width", "height", *SCORES, "key")  # key: of HR file and method


def bicubic(hr: np.ndarray, scale: int) -> np.ndarray:
    """The papers' bicubic row: luma shrunk and enlarged by MATLAB's imresize, the LR not rounded. uint8 (H, W)."""
    y = torch.from_numpy(luma(hr).astype(np.float64))[None, None] / 255
    return to_image(imresize(imresize(y, 1 / scale), scale))


def lr_of(hr: np.ndarray, scale: int, degradation: Any = BICUBIC, seed: int = 0) -> np.ndarray:
    """The LR file that a network is given: RGB uint8 (H / scale, W / scale, 3); a grey HR gets three equal channels.

    seed: of what is random in the degradation, another for each picture of a set.
    """
    return degrade(in_colour(hr), scale, degradation, seed)


def enlarge(lr: np.ndarray, scale: int, method: str = "bicubic") -> np.ndarray:
    """An LR file made larger without a network, by "bicubic" or "nearest": uint8 RGB in and out."""
    if method == "nearest":
        return lr.repeat(scale, axis=0).repeat(scale, axis=1)
    return to_image(imresize(to_tensor(lr), scale))


@torch.no_grad()
def super_resolve(network: nn.Module, lr: np.ndarray) -> np.ndarray:
    """uint8 RGB (H, W, 3) to (scale H, scale W, 3), in eval mode, where the network's weights are."""
    was_training = network.training
    device = next(network.parameters()).device
    try:
        return to_image(network.eval()(to_tensor(lr).to(device)))
    finally:
        network.train(was_training)


def evaluate(
    methods: Mapping[str, Method],
    images: Sequence[Path | str],
    scale: int,
    *,
    set_name: str | None = None,
    lpips: Callable | None = None,
    save: Path | str | None = None,
    csv: Path | str | None = None,
    problems: list[str] | None = None,
    given: Mapping[Path, Path] | None = None,
    degradation: Callable = BICUBIC,
) -> pd.DataFrame:
    """Score methods on HR pictures by the protocol: one row an image and method, one picture at a time in memory.

    methods: by name, a generator, "bicubic" or "nearest", or a folder of SR pictures that are matched by name.
    set_name: by default the name of the pictures' folder. lpips: from `metrics.lpips_judge`; None leaves the column
    empty. save: a folder for the SR pictures. csv: a file that gets each row at once; what it holds already of the same
    HR file and the same weights is not done again, and the rows of other methods and sets stay. given: LR files by HR
    file, where LR is not to be made. degradation: how it is made else (srkit.degradations).

    What cannot be scored is left out and named in `problems`, or by a warning where no list is given. Raises SrkitError
    where nothing could be scored, or a network has another scale.
    """
    if scale < 1:
        raise SrkitError(f"a scale of {scale} enlarges nothing: give 2, 3, 4 or 8.")
    for name, method in methods.items():
        if getattr(method, "scale", scale) != scale:
            raise SrkitError(f"{name} enlarges {method.scale}-fold: it cannot be scored at x{scale}.")
    pictures = [Path(path) for path in images]
    ready = {name: _ready_made(method, pictures) for name, method in methods.items() if isinstance(method, Path)}
    prints = {name: _fingerprint(method) for name, method in methods.items()}
    results, table, found = Results(csv), [], []
    for path in pictures:
        truth = Truth(path, scale, (given or {}).get(path), degradation)
        for name, method in methods.items():
            words = {"method": name, "set": set_name or path.parent.name, "scale": scale, "image": path.name}
            target = save and Path(save) / name / f"{path.stem}.png"
            try:
                made = ready[name](path) if name in ready else method
                key = hashlib.sha256(truth.bytes + prints[name] + (made.read_bytes() if name in ready else b""))
                row = words | {"key": key.hexdigest()[:12]}
                known = results.find(row, lpips is not None)
                if known is None or (target and not target.exists()):
                    known = row | _score(made, truth, lpips, target)
                    results.append(known)
                table.append(known)
            except SrkitError as error:
                found += [str(error)] * (str(error) not in found)
    results.tidy()
    if not table:
        raise SrkitError(found[0] if found else "there is no picture to score: name a folder of HR images.")
    for problem in found if problems is None else ():
        warnings.warn(f"left out: {problem}", stacklevel=2)
    if problems is not None:
        problems += found
    return pd.DataFrame(table)[list(COLUMNS)]


class Truth:
    """One HR picture on its way through the protocol, decoded when it is first asked for."""

    def __init__(self, path: Path, scale: int, given: Path | None = None, degradation: Callable = BICUBIC):
        self.path, self.scale, self.given, self.degradation = path, scale, given, degradation

    @property
    def other(self) -> str:
        """What LR is, where it is not the papers' bicubic."""
        return "given" if self.given else "" if self.degradation == BICUBIC else repr(self.degradation)

    @cached_property
    def bytes(self) -> bytes:
        try:
            return self.path.read_bytes() + (self.given.read_bytes() if self.given else self.other.encode())
        except OSError as error:
            raise SrkitError(f"{self.path} cannot be read ({error.strerror}): check its name and folder.") from error

    @cached_property
    def hr(self) -> np.ndarray:
        hr = crop_to_multiple(read_image(self.path, grey=True), self.scale)
        if min(hr.shape[:2]) < SSIM_WINDOW + 2 * self.scale:
            least = f"{SSIM_WINDOW} + 2 x {self.scale} pixels that SSIM's window and the shaved border take"
            raise SrkitError(f"{self.path}, {hr.shape[1]} x {hr.shape[0]}, is below the {least}: leave it out.")
        return hr

    @cached_property
    def lr(self) -> np.ndarray:
        return read_lr(self.given, self.hr, self.scale) if self.given else lr_of(self.hr, self.scale, self.degradation)


def _score(method: Method, truth: Truth, lpips: Callable | None, target: Path | None) -> dict[str, Any]:
    """The columns of one picture and method, but for what names them."""
    hr, scale, seconds = truth.hr, truth.scale, math.nan
    if isinstance(method, Path):
        sr = read_image(method, grey=True)
        if sr.shape[:2] != hr.shape[:2]:
            sizes = f"is {sr.shape[1]} x {sr.shape[0]}, and {truth.path.name} at x{scale} {hr.shape[1]} x {hr.shape[0]}"
            raise SrkitError(f"{method} {sizes}: SR has the size of HR, cropped to a multiple of the scale.")
    else:
        lr, began = truth.lr, time.perf_counter()
        sr = super_resolve(method, lr) if isinstance(method, nn.Module) else enlarge(lr, scale, method)
        seconds = time.perf_counter() - began
        if sr.shape[:2] != hr.shape[:2]:
            raise SrkitError(f"{truth.path}: the network's answer is {sr.shape[1]} x {sr.shape[0]}, not x{scale}.")
    if target:
        write_image(target, sr)
    y = bicubic(hr, scale) if method == "bicubic" and not truth.other else _luma_beside(sr, hr)
    coloured = sr.ndim == 3 or hr.ndim == 2  # a method that gave luma alone has no colours to judge
    psnr = psnr_y(y, hr, scale)
    return {
        "width": hr.shape[1],
        "height": hr.shape[0],
        "psnr_y": psnr,
        "ssim_y": ssim_y(y, hr, scale),
        "psnr_rgb": psnr_rgb(sr, hr, scale) if coloured else math.nan,
        "ssim_rgb": ssim_rgb(sr, hr, scale) if coloured else math.nan,
        "lpips": lpips(sr, hr, scale) if lpips and coloured else math.nan,
        "psnr_normalised": normalised_psnr(psnr),
        "mos_estimate": estimated_mos(psnr),
        "seconds": seconds,
    }


def _luma_beside(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """SR's luma, to be laid beside HR's: a grey HR file is 0 to 255, so SR's colours are made grey in that range."""
    return np.asarray(Image.fromarray(sr).convert("L")) if hr.ndim == 2 and sr.ndim == 3 else luma(sr)


def _ready_made(folder: Path, pictures: Sequence[Path]) -> Callable[[Path], Path]:
    """Which SR file of a folder belongs to an HR one: of its name, or a longer one, as baby_x4_SR.png."""
    files, stems = {path.stem: path for path in find_pictures(folder)}, {path.stem for path in pictures}

    def find(picture: Path) -> Path:
        stem = picture.stem
        longer = [p for s, p in files.items() if s not in stems and s.startswith((f"{stem}_", f"{stem}-", f"{stem}x"))]
        if stem not in files and len(longer) != 1:
            raise SrkitError(f"{folder} holds no picture for {picture.name}: name its SR {stem}.png.")
        return files.get(stem) or longer[0]

    return find


def _fingerprint(method: Method) -> bytes:
    """What makes a method's answers: its name, or the network's structure and weights."""
    if not isinstance(method, nn.Module):
        return method.encode() if isinstance(method, str) else b"ready-made"
    digest = hashlib.sha256(repr(method).encode())
    for value in method.state_dict().values():
        digest.update(value.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.digest()


class Results:
    """The CSV file of `evaluate`: a line an image and method, added as soon as it is there. None keeps nothing."""

    def __init__(self, path: Path | str | None):
        self.path, self.rows = path and Path(path), {}
        if self.path and self.path.exists():
            whole = self.path.read_text(encoding="utf-8").rpartition("\n")[0]  # without a line that was cut off
            table = pd.read_csv(StringIO(whole or ","), dtype=dict.fromkeys(("method", "set", "image", "key"), str))
            if whole and tuple(table) != COLUMNS:
                raise SrkitError(f"{self.path} is no table of srkit evaluate: name another file with --csv.")
            self.rows = {self._place(row): row for row in table.to_dict("records")}
        self.tidy()

    def find(self, row: Mapping[str, Any], lpips: bool) -> dict[str, Any] | None:
        """The row that is here already, of the same key, and with LPIPS where that is asked for."""
        known = self.rows.get(self._place(row))
        stale = known is None or known["key"] != row["key"] or (lpips and math.isnan(known["lpips"]))
        return None if stale else known

    def append(self, row: dict[str, Any]) -> None:
        self.rows[self._place(row)] = row
        if self.path:
            self._write([row], self.path, mode="a", header=False)

    def tidy(self) -> None:
        """Write the file anew, without what was cut off or has been scored again."""
        if self.path:
            with replacing(self.path) as beside:
                self._write(self.rows.values(), beside)

    @staticmethod
    def _place(row: Mapping[str, Any]) -> tuple:
        return tuple(row[name] for name in (*KEYS, "image"))

    @staticmethod
    def _write(rows: Iterable[dict], path: Path, **how: Any) -> None:
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(path, index=False, float_format="%.6f", **how)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the images: one row a method, set and scale, methods in the order they came.

    seconds_per_megapixel: the middle one of the images', of SR pixels.
    """
    groups = table.groupby(list(KEYS), sort=False)
    means = groups[[name for name in SCORES if name in table]].mean().assign(images=groups.size())
    if "width" in table:
        pace = (table["seconds"] * 1e6 / (table["width"] * table["height"])).groupby(
            [table[w] for w in KEYS], sort=False
        )
        means["seconds_per_megapixel"] = pace.median()
    return means.reset_index()


def costs(methods: Mapping[str, Method], scale: int) -> pd.DataFrame:
    """Parameters, and thousand millions of multiply-adds for an SR picture of 1280 x 720, as papers count them."""
    rows = []
    for name, method in methods.items():
        numbers = {"parameters": math.nan, "multiply_adds_g": math.nan}
        if isinstance(method, nn.Module):
            work = multiply_adds(method, round(720 / scale), round(1280 / scale)) / 1e9
            numbers = {"parameters": count_parameters(method), "multiply_adds_g": work}
        rows.append({"method": name} | numbers)
    return pd.DataFrame(rows)
