"""Any picture in, a bigger one out: the one function behind `srkit upscale` and notebook 07."""

from collections.abc import Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from srkit.files import SrkitError, check_numbers
from srkit.generator import sharpen as sharpened
from srkit.image_files import KINDS, check_size, read_picture, write_picture
from srkit.images import MAX_PIXELS
from srkit.pretrained import What, resolve
from srkit.progress import Progress
from srkit.tiles import enlarge_in_tiles
from srkit.wrappers import parts


def upscale(
    picture: np.ndarray | Path | str,
    network: What = "srresnet_light",
    scale: int | None = None,
    alpha: float | None = None,
    sharpen: float = 0,
    ensemble: bool = False,
    tile: int | None = None,
    device: str = "cpu",
    progress: bool = False,
    runs: Path | str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """A picture, or the file of one, enlarged: an array of the same kind, `scale` times as high and as wide.

    picture: uint8 or uint16, (H, W) grey, (H, W, 2) grey with alpha, (H, W, 3) RGB or (H, W, 4) RGBA.
    network: a generator; or what `pretrained.resolve` knows: a recipe's name, whose weights are those of the newest run
    in `runs` or those that srkit ships, a run's folder, a file of weights. scale: of a name, by default its recipe's; a
    file and a run have their own. alpha: between the name's PSNR weights, 0, and its GAN weights, 1.
    sharpen: amount of unsharp mask. ensemble: the mean over eight flips and turns, at eight times the work.
    tile: side in LR pixels of what is enlarged at once; by default as the free memory allows.
    Raises SrkitError where the picture, the name or a number does not fit.
    """
    pixels = read_picture(picture, max_pixels).pixels if isinstance(picture, Path | str) else np.asarray(picture)
    shape = pixels.shape
    good = pixels.ndim == 2 or (pixels.ndim == 3 and shape[2] in (2, 3, 4))
    if pixels.dtype not in (np.uint8, np.uint16) or not good or not pixels.size:
        raise SrkitError(
            f"an array of {pixels.dtype} and shape {shape} is no picture: give uint8 or uint16, (H, W) or (H, W, 3)."
        )
    check_numbers(0, sharpen=sharpen)
    if tile is not None and tile < 1:
        raise SrkitError(f"a tile of {tile} pixels holds nothing: choose 8 or more.")
    network = deepcopy(resolve(network, scale, runs, alpha=alpha).network).eval()  # the caller's own stays as it is
    try:
        network = network.to(device)
    except (RuntimeError, AssertionError) as error:  # torch's ways to say that there is none
        raise SrkitError(f"device {device!r} is not to be had here: choose cpu, or see srkit doctor.") from error
    amounts = [amount for amount in (getattr(network, "sharpening", 0), sharpen) if amount]
    bar = Progress(shape[0] * shape[1], "pixels enlarged") if progress else nullcontext()
    with bar:
        sr = enlarge_in_tiles(
            Ensemble(network) if ensemble else network,
            bled(pixels.reshape(*shape[:2], -1)),
            [lambda sr, amount=amount: sharpened(sr, amount) for amount in amounts],
            tile,
            device=device,
            bar=bar.update if progress else lambda done: None,
        )
    return sr.reshape(*sr.shape[:2], *shape[2:])


def upscale_file(
    source: Path | str,
    target: Path | str,
    network: nn.Module,
    force: bool = False,
    max_pixels: int = MAX_PIXELS,
    **options: Any,
) -> Path:
    """The picture of one file, enlarged into another, with its EXIF and its ICC profile; options are upscale's.

    The target's suffix says its kind, or the source's content where the suffix is no picture's. Raises SrkitError where
    there is a file already and no `force`, and before any work where the kind cannot hold so many pixels.
    """
    source, target = Path(source), Path(target)
    if target.exists() and (not force or target.samefile(source)):
        more = "another folder" if source.exists() and target.samefile(source) else "--force, or another folder"
        raise SrkitError(f"{target} is there already: choose {more}.")
    picture = read_picture(source, max_pixels)
    kind = KINDS.get(target.suffix.lower(), picture.kind)
    height, width = (network.scale * side for side in picture.pixels.shape[:2])
    check_size(target, kind, height, width)
    write_picture(target, replace(picture, pixels=upscale(picture.pixels, network, **options), kind=kind))
    return target


def targets(pictures: Sequence[Path | str], out: Path, suffix: str | None = None) -> list[tuple[Path, Path]]:
    """What is to be read, and where it goes: named like it, below `out` as below the folder that was given.

    SrkitError where a folder holds no pictures, or two pictures would go to one place.
    """
    pairs = {}
    for given in map(Path, pictures):
        found = (p for p in sorted(given.rglob("*")) if p.suffix.lower() in KINDS and not p.name.startswith("."))
        found = [p for p in found if p.is_file() and out.resolve() not in p.resolve().parents]
        if given.is_dir() and not found:
            raise SrkitError(f"{given} holds no pictures: name another folder.")
        for source in found or [given]:
            target = out / (source.relative_to(given) if given.is_dir() else source.name)
            target = target.with_suffix(f".{suffix}") if suffix else target
            if pairs.setdefault(target, source) != source:
                raise SrkitError(f"{pairs[target]} and {source} would both become {target}: enlarge them one by one.")
    return [(source, target) for target, source in pairs.items()]


def bled(pixels: np.ndarray) -> np.ndarray:
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
