"""Any picture in, a bigger one out: the one function behind `srkit upscale` and notebook 07."""

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from srkit.data.levels import check_white, fewer_bits, say_levels, stretched
from srkit.data.sources import find_pictures
from srkit.device import Device, find_device
from srkit.files import SrkitError, check_numbers, expanded
from srkit.generator import sharpen as sharpened
from srkit.image_files import check_size, decoded, read_picture, write_picture
from srkit.images import KINDS, MAX_PIXELS, orientation, turned
from srkit.pretrained import What, resolve
from srkit.progress import Progress
from srkit.tiles import enlarge_in_tiles
from srkit.wrappers import parts


def upscale(
    picture: np.ndarray | Image.Image | Path | str,
    network: What = "srresnet_light",
    scale: int | None = None,
    alpha: float | None = None,
    sharpen: float = 0,
    ensemble: bool = False,
    tile: int | None = None,
    device: str | None = None,
    progress: bool = False,
    runs: Path | str | None = None,
    max_pixels: int = MAX_PIXELS,
    precision: str | None = None,
) -> np.ndarray:
    """A picture, or the file of one, enlarged: an array of the same kind, `scale` times as high and as wide.

    picture: uint8 or uint16, (H, W) grey, (H, W, 2) grey with alpha, (H, W, 3) RGB or (H, W, 4) RGBA; or a PIL image of
    any mode, which becomes one of these, upright by its EXIF orientation.
    network: a generator; or what `pretrained.resolve` knows: a recipe's name, whose weights are those of the newest run
    in `runs` or those that srkit ships, a run's folder, a file of weights. scale: of a name, by default its recipe's; a
    file and a run have their own. alpha: between the name's PSNR weights, 0, and its GAN weights, 1.
    sharpen: amount of unsharp mask. ensemble: the mean over eight flips and turns, at eight times the work.
    tile: side in LR pixels of what is enlarged at once; by default as the free memory allows. device: by default the
    best there is, see `device.find_device`.
    precision: "fp32", or "bf16", which moves single pixels by up to 3 of 255 levels; by default bf16 for 8-bit pictures
    on a CPU that is quick at it.
    Raises SrkitError where the picture, the name or a number does not fit.
    """
    check_numbers(1, scale=scale, tile=tile, max_pixels=max_pixels)
    check_numbers(0.0, sharpen=sharpen)
    pixels = _pixels(picture, max_pixels)
    there = find_device(device)
    dtype = _dtype(precision, pixels, there)
    network = deepcopy(resolve(network, scale, runs, alpha=alpha).network).eval()  # the caller's own stays as it is
    network = network.to(there.name, memory_format=torch.channels_last if hasattr(network, "features") else None)
    amounts = [amount for amount in (getattr(network, "sharpening", 0), sharpen) if amount]
    bar = Progress(pixels.shape[0] * pixels.shape[1], "pixels enlarged", delay=1) if progress else nullcontext()
    with bar:
        sr = enlarge_in_tiles(
            Ensemble(network) if ensemble else network,
            _bled(pixels.reshape(*pixels.shape[:2], -1)),
            [lambda sr, amount=amount: sharpened(sr, amount) for amount in amounts],
            tile,
            device=there.name,
            bar=bar.update if progress else lambda done: None,
            dtype=dtype,
        )
    return sr.reshape(*sr.shape[:2], *pixels.shape[2:])


def _pixels(picture: np.ndarray | Image.Image | Path | str, max_pixels: int) -> np.ndarray:
    """What upscale was given, as an array that it can enlarge; SrkitError where it is none."""
    if isinstance(picture, Path | str):
        return read_picture(picture, max_pixels).pixels
    if isinstance(picture, Image.Image):
        try:
            return turned(decoded(picture), orientation(picture))
        except (OSError, ValueError) as error:
            raise SrkitError(f"the PIL image of mode {picture.mode} is no picture ({error}): give RGB.") from error
    pixels = np.asarray(picture)
    good = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 2, 3, 4))
    if pixels.dtype not in (np.uint8, np.uint16) or not good or not pixels.size:
        raise SrkitError(
            f"an array of {pixels.dtype} and shape {pixels.shape} is no picture: give uint8 or uint16, (H, W) or "
            "(H, W, 3)."
        )
    return pixels


def _dtype(precision: str | None, pixels: np.ndarray, device: Device) -> torch.dtype:
    """What to calculate in. Of 16-bit pictures bf16 would keep 8 bits."""
    if precision not in (None, "fp32", "bf16"):
        raise SrkitError(f"precision {precision!r} is unknown: choose fp32 or bf16, or leave it out.")
    precision = precision or (device.inference if pixels.dtype == np.uint8 else "fp32")
    return torch.bfloat16 if precision == "bf16" else torch.float32


def upscale_file(
    source: Path | str,
    target: Path | str,
    network: nn.Module,
    force: bool = False,
    max_pixels: int = MAX_PIXELS,
    white: int | None = None,
    **options: Any,
) -> Path:
    """The picture of one file, enlarged into another, with its EXIF and its ICC profile; options are upscale's.

    The target's suffix says its kind, or the source's content where the suffix is no picture's. What of the source is
    not in the target, as further pages or XMP, is named by a warning. white: the value that is white in a 16-bit file
    of fewer bits, such as 4095; the target then uses all 16. Raises SrkitError where there is a file already
    and no `force`, and before any work where the kind cannot hold so many pixels.
    """
    check_numbers(1, max_pixels=max_pixels)
    check_white(white)
    source, target = expanded(source), expanded(target)
    if target.exists() and (not force or target.samefile(source)):
        more = "another folder" if source.exists() and target.samefile(source) else "--force, or another folder"
        raise SrkitError(f"{target} is there already: choose {more}.")
    picture = read_picture(source, max_pixels)
    picture = replace(picture, pixels=stretched(picture.pixels, white))
    if (largest := fewer_bits(picture.pixels)) is not None:
        say_levels({source: largest})
    kind = KINDS.get(target.suffix.lower(), picture.kind)
    height, width = (network.scale * side for side in picture.pixels.shape[:2])
    check_size(target, kind, height, width)
    lost = write_picture(target, replace(picture, pixels=upscale(picture.pixels, network, **options), kind=kind))
    if picture.lost or lost:
        warnings.warn(f"the enlarged {target} lacks {', '.join([*picture.lost, *lost])}.", stacklevel=2)
    return target


def targets(
    pictures: Sequence[Path | str], out: Path | str, suffix: str | None = None, problems: list | None = None
) -> list[tuple[Path, Path]]:
    """What is to be read, and where it goes: named like it, below `out` as below the folder that was given.

    What lies in `out` is no source, where that is a folder inside the given one. problems: is told of folders without
    pictures, and of pictures whose place another one takes; where it is None, the first of these is raised.
    """
    pairs, out, told = {}, expanded(out), [] if problems is None else problems
    for given in map(expanded, pictures):
        sources = [given]
        if given.is_dir():
            results = out.resolve() if given.resolve() in out.resolve().parents else None
            sources = [path for path in find_pictures(given) if results not in path.resolve().parents]
            told += [] if sources else [SrkitError(f"{given} holds no pictures: name another folder.")]
        for source in sources:
            target = out / (source.relative_to(given) if given.is_dir() else source.name)
            target = target.with_suffix(f".{suffix}") if suffix else target
            first = pairs.setdefault(target, source)
            if first != source:
                told.append(SrkitError(f"{first} and {source} would both become {target}: enlarge that one by itself."))
    if problems is None and told:
        raise told[0]
    return [(source, target) for target, source in pairs.items()]


def _bled(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) with the colours of what is wholly transparent taken from the nearest pixel that is not.

    What lies there is often black, and would darken the edges of what can be seen. Grey and RGB stay as they are.
    """
    hidden = pixels[..., -1] == 0
    if pixels.shape[2] in (1, 3) or not hidden.any() or hidden.all():
        return pixels
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    return np.concatenate([pixels[..., :-1][tuple(nearest)], pixels[..., -1:]], axis=2)


class Ensemble(nn.Module):
    """The mean of a network's answers to a picture's eight flips and turns (Timofte et al. 2016, arXiv:1511.02228)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.scale = network, network.scale

    def features(self, lr: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 8 channels, H, W): of each turned picture, turned back."""
        return torch.cat([_back(parts(self.network)[0](_turned(lr, n)), n) for n in range(8)], dim=1)

    def enlarge(self, features: Tensor, lr: Tensor) -> Tensor:
        turns = enumerate(features.chunk(8, dim=1))
        return sum(_back(parts(self.network)[1](_turned(each, n), _turned(lr, n)), n) for n, each in turns) / 8

    def forward(self, lr: Tensor) -> Tensor:
        return self.enlarge(self.features(lr), lr)


def _turned(x: Tensor, n: int) -> Tensor:
    """The n-th of the eight: quarter turns 0 to 3, then mirrored and turned."""
    return torch.rot90(x.flip(3) if n > 3 else x, n % 4, (2, 3))


def _back(x: Tensor, n: int) -> Tensor:
    x = torch.rot90(x, -(n % 4), (2, 3))
    return x.flip(3) if n > 3 else x
