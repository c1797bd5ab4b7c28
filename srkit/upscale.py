"""Any picture in, a bigger one out: the one function behind `srkit upscale` and notebook 07."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from srkit.files import SrkitError
from srkit.generator import interpolate
from srkit.generator import sharpen as sharpened
from srkit.images import read_image
from srkit.progress import Progress
from srkit.shipped import load
from srkit.tiles import enlarge_in_tiles


def upscale(
    picture: np.ndarray | Path | str,
    network: nn.Module | str = "srresnet_light",
    scale: int = 4,
    alpha: float | None = None,
    sharpen: float = 0,
    ensemble: bool = False,
    tile: int | None = None,
    device: str = "cpu",
    progress: bool = False,
    runs: Path | str | None = None,
) -> np.ndarray:
    """A picture, or the file of one, enlarged: an array of the same kind, `scale` times as high and as wide.

    picture: uint8 or uint16, (H, W) grey, (H, W, 2) grey with alpha, (H, W, 3) RGB or (H, W, 4) RGBA.
    network: a generator, or the name of a recipe, whose weights are taken from the newest run in `runs` or from those that
    srkit ships; `scale` belongs to the name, and a generator has its own. alpha: between the name's PSNR weights, 0, and
    its GAN weights, 1. sharpen: amount of unsharp mask. ensemble: the mean over eight flips and turns, eight times the
    work. tile: side in LR pixels of what is enlarged at once; without it, as the free memory allows.
    Raises SrkitError where the picture, the name or the numbers do not fit.
    """
    pixels = read_image(picture) if isinstance(picture, Path | str) else np.asarray(picture)
    shape = pixels.shape
    good = pixels.ndim == 2 or (pixels.ndim == 3 and shape[2] in (2, 3, 4))
    if pixels.dtype not in (np.uint8, np.uint16) or not good or not pixels.size:
        raise SrkitError(
            f"an array of {pixels.dtype} and shape {shape} is no picture: give uint8 or uint16, (H, W) or (H, W, 3)."
        )
    network = find_network(network, scale, alpha, runs).to(device).eval()
    amounts = [amount for amount in (getattr(network, "sharpening", 0), sharpen) if amount]
    network = Ensemble(network) if ensemble else network

    def after(sr: Tensor) -> Tensor:
        for amount in amounts:
            sr = sharpened(sr, amount)
        return sr

    bar = Progress(shape[0] * shape[1], "pixels enlarged") if progress else nullcontext()
    with bar:
        sr = enlarge_in_tiles(
            network,
            pixels.reshape(*shape[:2], -1),
            after if amounts else None,
            tile,
            device=device,
            bar=bar.update if progress else lambda done: None,
        )
    return sr.reshape(*sr.shape[:2], *shape[2:])


def find_network(
    network: nn.Module | str, scale: int = 4, alpha: float | None = None, runs: Path | str | None = None
) -> nn.Module:
    """The generator that is meant: itself, or by its recipe's name; at `alpha` between its PSNR and its GAN weights."""
    if isinstance(network, nn.Module):
        if alpha is not None:
            raise SrkitError("alpha lies between two sets of weights: name a recipe, and not a network.")
        return network
    if alpha is None:
        return load(network, scale, runs=runs)
    if not 0 <= alpha <= 1:
        raise SrkitError(f"alpha {alpha:g} does not lie between the PSNR weights, 0, and the GAN weights, 1.")
    return interpolate(*(load(network, scale, phase, runs) for phase in ("psnr", "gan")), alpha)


class Ensemble(nn.Module):
    """The mean of a network's answers to a picture's eight flips and turns (Timofte et al. 2016, arXiv:1511.02228)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.scale = network, network.scale

    def features(self, lr: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 8 channels, H, W): of each turned picture, turned back."""
        return torch.cat([_back(self.network.features(_turned(lr, n)), n) for n in range(8)], dim=1)

    def enlarge(self, features: Tensor, lr: Tensor) -> Tensor:
        turns = enumerate(features.chunk(8, dim=1))
        return sum(_back(self.network.enlarge(_turned(each, n), _turned(lr, n)), n) for n, each in turns) / 8

    def forward(self, lr: Tensor) -> Tensor:
        return self.enlarge(self.features(lr), lr)


def _turned(x: Tensor, n: int) -> Tensor:
    """The n-th of the eight: quarter turns 0 to 3, then mirrored and turned."""
    return torch.rot90(x.flip(3) if n > 3 else x, n % 4, (2, 3))


def _back(x: Tensor, n: int) -> Tensor:
    x = torch.rot90(x, -(n % 4), (2, 3))
    return x.flip(3) if n > 3 else x
