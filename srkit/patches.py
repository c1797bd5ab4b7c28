"""Random aligned crops of HR photographs and their LR pictures, from decoded arrays."""

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from srkit import __version__
from srkit.dataset import stored
from srkit.degradations import BICUBIC
from srkit.files import SrkitError
from srkit.images import crop_to_multiple, to_image, to_tensor
from srkit.pairs import read_lr


class Patches:
    """Batches of LR and HR crops for training; batch number `step` is the same whenever it is asked for.

    Each photograph is degraded once, as a whole, so a crop's LR knows what lay beyond the crop's edge, as it does in
    the benchmark sets. Photographs are drawn alike often, positions evenly, with the eight flips and quarter turns.

    images: uint8 (H, W, 3) by file. crop: side of the HR crop, a multiple of scale. cache: folder that takes the LR
    pictures, which are otherwise kept in memory. given: LR files by HR file, which are then used in place of made ones.
    Raises SrkitError for a crop that is not, or that a photograph cannot hold.
    """

    def __init__(
        self,
        images: Mapping[Path, np.ndarray],
        scale: int,
        crop: int,
        degradation: Callable[[Tensor, int, int], Tensor] = BICUBIC,
        seed: int = 0,
        cache: Path | None = None,
        given: Mapping[Path, Path] | None = None,
    ):
        step = math.lcm(16, scale)
        if crop % scale:
            better = crop // step * step or step
            raise SrkitError(f"a {crop}-pixel crop is not a multiple of the scale {scale}: use --crop {better}.")
        for path, image in images.items():
            height, width = crop_to_multiple(image, scale).shape[:2]
            if min(height, width) < crop:
                smaller = min(height, width) // step * step
                way = f"use --crop {smaller}, or leave it out" if smaller else "leave it out"
                raise SrkitError(
                    f"{path.name} is {image.shape[1]} x {image.shape[0]}, smaller than the {crop}-pixel crop: {way}."
                )
        self.scale, self.crop, self.seed = scale, crop, seed
        self.hr = [crop_to_multiple(image, scale) for image in images.values()]
        made = ((n, to_image(degradation(to_tensor(image), scale, seed + n))) for n, image in enumerate(self.hr))
        if given:
            degradation = "given"
            made = ((n, read_lr(given[path], self.hr[n], scale)) for n, path in enumerate(images))
        if cache:
            what = repr((__version__, degradation, seed if degradation not in (BICUBIC, "given") else "any"))
            file = cache / f"lr-x{scale}-{hashlib.sha256(what.encode()).hexdigest()[:12]}.u8"
            made = stored(file, made, len(self.hr), "LR pictures, once").items()
        self.lr = [image for _, image in made]

    def batch(self, step: int, size: int, part: tuple[int, int] = (0, 1)) -> tuple[Tensor, Tensor]:
        """(size, 3, crop / scale, crop / scale) LR and (size, 3, crop, crop) HR, float32 in [0, 1], channels last.

        part: (1, 4) is the second quarter of that same batch, for the second of four that share the work.
        """
        which, where, turns = self.drawn(step, size, part)
        small = self.crop // self.scale
        lr = np.empty((len(which), small, small, 3), np.uint8)
        hr = np.empty((len(which), self.crop, self.crop, 3), np.uint8)
        for i, (photograph, (top, left), turn) in enumerate(zip(which, where, turns, strict=True)):
            lr[i] = dihedral(self.lr[photograph][top : top + small, left : left + small], turn)
            top, left = top * self.scale, left * self.scale
            hr[i] = dihedral(self.hr[photograph][top : top + self.crop, left : left + self.crop], turn)
        return _float(lr), _float(hr)

    def drawn(self, step: int, size: int, part: tuple[int, int] = (0, 1)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What batch `step` is made of: photographs (n,), LR corners (n, 2) as top and left, and turns (n,) 0 to 7."""
        random = np.random.default_rng((self.seed, step))
        which = random.integers(len(self.hr), size=size)
        where = random.random((size, 2))
        turns = random.integers(8, size=size)
        mine = slice(part[0] * size // part[1], (part[0] + 1) * size // part[1])
        which, where, turns = which[mine], where[mine], turns[mine]
        rooms = np.array([self.lr[photograph].shape[:2] for photograph in which]) - self.crop // self.scale + 1
        return which, (where * rooms).astype(int), turns


def dihedral(image: np.ndarray, which: int) -> np.ndarray:
    """One of the eight flips and quarter turns of a square picture (H, W, ...): which & 3 turns, then 4 flips."""
    turned = np.rot90(image, which & 3)
    return turned[:, ::-1] if which & 4 else turned


def _float(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)
