"""Decoded photographs, and the random aligned crops of HR and LR that training takes from them."""

import hashlib
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from srkit import __version__
from srkit.data.cache import stored
from srkit.data.levels import read_levels, say_levels
from srkit.data.pairs import read_lr
from srkit.data.sources import Photographs
from srkit.degradations import BICUBIC, degrade
from srkit.files import SrkitError, listed, or_left_out
from srkit.images import crop_to_multiple, header
from srkit.parts import defined_by, origin
from srkit.records import said

Degradation = Callable[[Tensor, int, int], Tensor]
LARGE = 64_000_000  # bytes of picture files: a set above it is kept decoded in a file, and not in memory
SMALLEST = 8  # LR pixels that a side must have to validate on


def decode(paths: Iterable[Path], white: int | None = None) -> dict[Path, np.ndarray]:
    """Decode pictures to uint8 (H, W, 3), once; those that do not open are left out, each named by a warning.

    Grey, transparent and palette pictures are read as RGB, and named too, as are 16-bit files that hold fewer bits.
    white: the value that is white in 16-bit files; by default 65535. Raises SrkitError where none opens.
    """
    paths = list(paths)
    return {paths[number]: image for number, image in _opened(paths, white)}


def _opened(paths: Sequence[Path], white: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    other, wrong, read = [], {}, lambda _, path: read_levels(path, white)
    try:
        for number, (image, largest) in _usable(paths, read, "opens: give a folder of photographs"):
            with header(paths[number]) as picture:
                if picture.mode not in ("RGB", "CMYK", "YCbCr"):
                    other.append(f"{paths[number].name} ({picture.mode})")
            if largest is not None:
                wrong[paths[number]] = largest
            yield number, image
    finally:
        if other:
            words = f"read as RGB, transparency on white: {listed(other)}; leave them out if that is wrong."
            warnings.warn(words, stacklevel=3)
        say_levels(wrong, white)


def _usable(paths: Sequence[Path], read: Callable[[int, Path], Any], wanted: str) -> Iterator[tuple[int, Any]]:
    """Number and what `read` makes of each file; those that it refuses are named by a warning. SrkitError for all."""
    good = False
    for number, path in enumerate(paths):
        with or_left_out():
            found = read(number, path)
            good = True
            yield number, found
    if not good:
        raise SrkitError(f"none of the {len(paths)} pictures in {paths[0].parent if paths else 'this list'} {wanted}.")


def decode_all(photographs: Photographs, cache: Path) -> tuple[dict[Path, np.ndarray], Path | None]:
    """The training photographs, decoded; of a large set into a file below `cache`, so that memory stays small.

    Returns them, and the folder of that file or None. The next run on the same photographs finds it there.
    """
    paths, white = photographs.train, photographs.white
    if sum(path.stat().st_size for path in paths) < LARGE:
        return decode(paths, white), None
    folder = cache / f"{photographs.name}-{photographs.fingerprint}"
    images = stored(folder / "hr.u8", _opened(paths, white), len(paths), "decoding, once")
    return {paths[number]: image for number, image in images.items()}, folder


def checked_validation(
    photographs: Photographs, scale: int, count: int, side: int, degradation: Degradation = BICUBIC
) -> list[tuple[np.ndarray, np.ndarray]]:
    """HR and LR, uint8 (H, W, 3), of the middle of the first `count` validation photographs; HR at most side x side.

    Pictures that do not open, or are so small that little is left once their borders are shaved, are left out, each
    named by a warning, and the next ones take their places. Raises SrkitError where none is left.
    """
    least, small, found = SMALLEST * scale, {}, []
    with closing(_opened(photographs.valid, photographs.white)) as opened:
        for number, image in opened:
            path = photographs.valid[number]
            with or_left_out():
                if min(image.shape[:2]) < least:
                    small[path] = image
                elif photographs.lr:
                    lr = read_lr(photographs.lr[path], image, scale, photographs.white)
                    low, (top, left) = middle(lr, side // scale), _corner(lr, side // scale)
                    height, width = (scale * size for size in low.shape[:2])
                    found.append((image[scale * top :, scale * left :][:height, :width], low))
                else:
                    hr = middle(image, side, scale)
                    found.append((hr, degrade(hr, scale, degradation, len(found))))
            if len(found) == count:
                break
    if small:
        warnings.warn(f"left out: {_sizes(small)}, too small to validate on at x{scale}.", stacklevel=2)
    if not found:
        raise SrkitError(f"no picture of {photographs.name} can validate: add one of {least} x {least} pixels or more.")
    return found


def middle(image: np.ndarray, side: int, scale: int = 1) -> np.ndarray:
    """The middle of a picture, at most side x side, height and width multiples of scale."""
    top, left = _corner(image, side)
    return crop_to_multiple(image[top : top + side, left : left + side], scale)


def _corner(image: np.ndarray, side: int) -> tuple[int, int]:
    """Row and column at which the middle of a picture begins."""
    return tuple((size - min(side, size)) // 2 for size in image.shape[:2])


def _sizes(images: Mapping[Path, np.ndarray]) -> str:
    return ", ".join(f"{path.name} is {image.shape[1]} x {image.shape[0]}" for path, image in images.items())


class Patches:
    """Batches of LR and HR crops for training; batch number `step` is the same whenever it is asked for.

    Each photograph is degraded once, as a whole, so a crop's LR knows what lay beyond the crop's edge, as it does in
    the benchmark sets; by a degradation that is `fresh`, each crop is, anew, with a margin around it. Photographs are
    drawn alike often, positions evenly, with the eight flips and quarter turns; without them where the degradation is
    `directed`: turned, a shift to the left would become one to the right, and no network could undo both.

    images: uint8 (H, W, 3) by file. crop: side of the HR crop, a multiple of scale. cache: folder that takes the LR
    pictures, which are otherwise kept in memory. given: LR files by HR file, which are then used in place of made ones;
    what has none that fits is left out. directed: whether those are of one fixed blur or shift. white: see decode.
    Raises SrkitError for a crop that is no multiple, or that photographs cannot hold.
    """

    def __init__(
        self,
        images: Mapping[Path, np.ndarray],
        scale: int,
        crop: int,
        degradation: Degradation = BICUBIC,
        seed: int = 0,
        cache: Path | None = None,
        given: Mapping[Path, Path] | None = None,
        white: int | None = None,
        directed: bool = False,
    ):
        step = math.lcm(16, scale)
        if crop % scale:
            better = crop // step * step or step
            raise SrkitError(f"a {crop}-pixel crop is not a multiple of the scale {scale}: use --crop {better}.")
        small = {path: image for path, image in images.items() if min(crop_to_multiple(image, scale).shape[:2]) < crop}
        if small:
            fitting = min(min(image.shape[:2]) for image in small.values()) // step * step
            leave = "leave it out" if len(small) == 1 else "leave them out"
            way = f"use --crop {fitting}, or {leave}" if fitting else leave
            raise SrkitError(f"{_sizes(small)}, smaller than the {crop}-pixel crop: {way}.")
        self.scale, self.crop, self.seed = scale, crop, seed
        self.hr = [crop_to_multiple(image, scale) for image in images.values()]
        self.degradation, self.fresh = degradation, getattr(degradation, "fresh", False) and not given
        self.directed = directed if given else getattr(degradation, "directed", False)
        if self.fresh:  # torch's own threads would only get in each other's way
            self.lr, workers = [], max(1, min(8, (os.cpu_count() or 1) // 2))
            self.pool = ThreadPoolExecutor(workers, initializer=partial(torch.set_num_threads, 1))
            return
        made = ((n, degrade(image, scale, degradation, seed + n)) for n, image in enumerate(self.hr))
        if given:
            degradation = "given"
            read = lambda n, path: read_lr(path, self.hr[n], scale, white)  # noqa: E731
            made = _usable([given[path] for path in images], read, "can be used: give the LR of the HR ones")
        if cache:
            plain = degradation in (BICUBIC, "given")
            what = (__version__, degradation, "any" if plain else seed)
            what = said((*what, *origin(defined_by(degradation)).values())).encode()
            if not plain:  # what one's own looks at besides, as a closure, its answer says and no text
                what += degrade(self.hr[0], scale, degradation, seed).tobytes()
            file = cache / f"lr-x{scale}-{hashlib.sha256(what).hexdigest()[:12]}.u8"
            made = stored(file, made, len(self.hr), "LR pictures, once").items()
        lr = dict(made)
        self.lr, self.hr = list(lr.values()), [self.hr[n] for n in lr]

    def batch(self, step: int, size: int, part: tuple[int, int] = (0, 1)) -> tuple[Tensor, Tensor]:
        """(size, 3, crop / scale, crop / scale) LR and (size, 3, crop, crop) HR, float32 in [0, 1], channels last.

        part: (1, 4) is the second quarter of that same batch, for the second of four that share the work.
        """
        which, where, turns = self.drawn(step, size, part)
        small = self.crop // self.scale
        lr = np.empty((len(which), small, small, 3), np.uint8)
        if self.fresh:
            seeds = [(self.seed, step, part[0] * size // part[1] + i) for i in range(len(which))]
            fresh = list(self.pool.map(self._degraded, which, where, seeds))
        hr = np.empty((len(which), self.crop, self.crop, 3), np.uint8)
        for i, (photograph, (top, left), turn) in enumerate(zip(which, where, turns, strict=True)):
            made = fresh[i] if self.fresh else self.lr[photograph][top : top + small, left : left + small]
            lr[i] = dihedral(made, turn)
            top, left = top * self.scale, left * self.scale
            hr[i] = dihedral(self.hr[photograph][top : top + self.crop, left : left + self.crop], turn)
        return _float(lr), _float(hr)

    def drawn(self, step: int, size: int, part: tuple[int, int] = (0, 1)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What batch `step` is made of: photographs (n,), LR corners (n, 2) as top and left, and turns (n,) 0 to 7."""
        random = np.random.default_rng((self.seed, step))
        which = random.integers(len(self.hr), size=size)
        where = random.random((size, 2))
        turns = np.zeros(size, int) if self.directed else random.integers(8, size=size)
        mine = slice(part[0] * size // part[1], (part[0] + 1) * size // part[1])
        which, where, turns = which[mine], where[mine], turns[mine]
        sizes = np.array([self.hr[photograph].shape[:2] for photograph in which]) // self.scale
        return which, (where * (sizes - self.crop // self.scale + 1)).astype(int), turns

    def _degraded(self, photograph: int, corner: np.ndarray, seed: tuple[int, int, int]) -> np.ndarray:
        """The LR of one crop, made with 2 to 9 LR pixels around it: JPEG's blocks begin anywhere in it."""
        random, image, small = np.random.default_rng(seed), self.hr[photograph], self.crop // self.scale
        margin = random.integers(2, 10, 2)
        first = np.maximum(corner - margin, 0)
        end = corner + small + 11 - margin  # or the edge of the photograph
        (top, left), (bottom, right) = first * self.scale, end * self.scale
        lr = degrade(image[top:bottom, left:right], self.scale, self.degradation, int(random.integers(2**62)))
        top, left = corner - first
        return lr[top : top + small, left : left + small]


def dihedral(image: np.ndarray, which: int) -> np.ndarray:
    """One of the eight flips and quarter turns of a square picture (H, W, ...): which & 3 turns, then 4 flips."""
    turned = np.rot90(image, which & 3)
    return turned[:, ::-1] if which & 4 else turned


def _float(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)
