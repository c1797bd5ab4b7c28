"""Decoded photographs, and the random aligned crops of HR and LR that training takes from them."""

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from srkit import __version__
from srkit.data.pairs import read_lr
from srkit.data.sources import Photographs
from srkit.degradations import BICUBIC
from srkit.files import SrkitError, replacing
from srkit.images import crop_to_multiple, picture_mode, read_image, to_image, to_tensor
from srkit.parts import origin
from srkit.progress import Progress

LARGE = 64_000_000  # bytes of picture files: a set above it is kept decoded in a file, and not in memory
SHARE = 0.4  # of the GPU's free memory that pictures may take


def decode(paths: Iterable[Path]) -> dict[Path, np.ndarray]:
    """Decode pictures to uint8 (H, W, 3), once; those that do not open are left out, each named by a warning.

    Grey, transparent and palette pictures are read as RGB, and named too. Raises SrkitError where none opens.
    """
    paths = list(paths)
    return {paths[number]: image for number, image in _opened(paths)}


def _opened(paths: list[Path]) -> Iterator[tuple[int, np.ndarray]]:
    bad, other = [], []
    for number, path in enumerate(paths):
        try:
            image, mode = read_image(path), picture_mode(path)
        except SrkitError as error:
            bad.append(path)
            warnings.warn(f"left out: {error}", stacklevel=3)
            continue
        if mode not in ("RGB", "CMYK", "YCbCr"):
            other.append(f"{path.name} ({mode})")
        yield number, image
    if other:
        names = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
        warnings.warn(f"read as RGB, transparency on white: {names}; leave them out if that is wrong.", stacklevel=3)
    if len(bad) == len(paths):
        named = bad[0].parent if bad else "this list"
        raise SrkitError(f"none of the {len(bad)} pictures in {named} opens: give a folder of photographs.")


def decode_all(photographs: Photographs, cache: Path) -> tuple[dict[Path, np.ndarray], Path | None]:
    """The training photographs, decoded; of a large set into a file below `cache`, so that memory stays small.

    Returns them, and the folder of that file or None. The next run on the same photographs finds it there.
    """
    if sum(path.stat().st_size for path in photographs.train) < LARGE:
        return decode(photographs.train), None
    paths, folder = photographs.train, cache / f"{photographs.name}-{photographs.fingerprint}"
    images = stored(folder / "hr.u8", _opened(list(paths)), len(paths), "decoding, once")
    return {paths[number]: image for number, image in images.items()}, folder


def stored(path: Path, pictures: Iterable[tuple[int, np.ndarray]], total: int, label: str) -> dict[int, np.ndarray]:
    """Numbered uint8 pictures (H, W, 3) in one memory-mapped file; taken from `pictures` where it is not there yet.

    The file holds nothing but pixels; the JSON beside it, which is written last, has number and shape of each picture.
    """
    index = path.with_suffix(".json")
    shapes = json.loads(index.read_text()) if index.exists() and path.exists() else None
    if shapes is None or path.stat().st_size != sum(height * width * 3 for _, height, width in shapes):
        shapes = []
        with replacing(index) as beside_index:
            with replacing(path) as beside, beside.open("wb") as file, Progress(total, label) as bar:
                for number, picture in pictures:
                    file.write(np.ascontiguousarray(picture))
                    shapes.append((number, *picture.shape[:2]))
                    bar.update(number + 1 - bar.done)
            beside_index.write_text(json.dumps(shapes))
    flat, start, images = np.memmap(path, np.uint8, "c"), 0, {}
    for number, height, width in shapes:
        images[number] = flat[start : start + height * width * 3].reshape(height, width, 3)
        start += height * width * 3
    return images


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
            what = (__version__, degradation, seed if degradation not in (BICUBIC, "given") else "any")
            own = origin(degradation if hasattr(degradation, "__code__") else type(degradation))
            what = repr((*what, *own.values()) if own and degradation != "given" else what)
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


def fits(patches: Patches, device: torch.device) -> bool:
    """Whether all HR and LR pictures can lie on a GPU and leave it room to train."""
    needed = sum(image.nbytes for image in (*patches.hr, *patches.lr))
    return device.type == "cuda" and needed < SHARE * torch.cuda.mem_get_info(device)[0]


class ResidentPatches:
    """The batches of `patches`, to the last bit, from its pictures copied to `device` once."""

    def __init__(self, patches: Patches, device: torch.device | str):
        self.patches, self.device = patches, torch.device(device)
        self.lr, self.hr = (Pictures(images, self.device) for images in (patches.lr, patches.hr))

    def batch(self, step: int, size: int, part: tuple[int, int] = (0, 1)) -> tuple[Tensor, Tensor]:
        """As Patches.batch, on the device: (size, 3, h, w) and (size, 3, scale h, scale w) in [0, 1]."""
        scale, crop = self.patches.scale, self.patches.crop
        which, where, turns = self.patches.drawn(step, size, part)
        plan = torch.from_numpy(np.column_stack([which, where, turns])).to(self.device, non_blocking=True)
        which, corner, turns = plan[:, 0], plan[:, 1:3], plan[:, 3]
        return self.lr.cut(which, corner, turns, crop // scale), self.hr.cut(which, corner * scale, turns, crop)


class Pictures:
    """uint8 pictures (H, W, 3) of many sizes, end to end in one tensor."""

    def __init__(self, images: Sequence[np.ndarray], device: torch.device):
        self.pixels = torch.empty(sum(image.size for image in images) // 3, 3, dtype=torch.uint8, device=device)
        starts = np.cumsum([0, *(image.size // 3 for image in images)])
        for start, image in zip(starts, images, strict=False):
            flat = torch.from_numpy(np.ascontiguousarray(image)).reshape(-1, 3)
            self.pixels[start : start + len(flat)] = flat.to(device)
        self.starts = torch.as_tensor(starts[:-1], device=device)
        self.widths = torch.tensor([image.shape[1] for image in images], device=device)

    def cut(self, which: Tensor, corner: Tensor, turns: Tensor, size: int) -> Tensor:
        """Turned squares (n, 3, size, size) in [0, 1]; which, turns (n,), corner (n, 2): see Patches.drawn."""
        upright = np.arange(size * size).reshape(size, size)
        eight = torch.from_numpy(np.stack([dihedral(upright, turn) for turn in range(8)])).to(self.pixels.device)
        source = eight[turns]  # (n, size, size): where in the upright square a pixel comes from
        top, left = (corner[:, side, None, None] for side in (0, 1))
        rows, columns = top + source // size, left + source % size
        place = self.starts[which][:, None, None] + rows * self.widths[which][:, None, None] + columns
        return self.pixels[place].permute(0, 3, 1, 2).float().div_(255)
