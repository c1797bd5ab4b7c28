"""One picture and one method by the protocol of the super-resolution papers: LR, SR and its scores, for whoever asks.

The protocol: HR cropped to a multiple of the scale; BT.601 luma on 16..235 rounded to 8 bits; a border of `scale`
pixels shaved; PSNR with peak 255; SSIM with an 11 x 11 Gaussian of sigma 1.5 where it fits whole. Bicubic is computed
on the luma with the LR left unrounded, as the papers' rows are; a network gets the LR as an 8-bit RGB file holds it,
and so does bicubic where colours are judged. A grey HR is its own luma, and SR is made grey to match it.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal
from zlib import crc32

import numpy as np
import torch
from torch import nn

from srkit import metrics
from srkit.degradations import BICUBIC, degrade
from srkit.files import SrkitError
from srkit.images import to_image, to_tensor
from srkit.pretrained import INTERPOLATIONS
from srkit.resize import imresize
from srkit.tiles import enlarge_in_tiles
from srkit.wrappers import Padded

Judge = Callable[[np.ndarray, np.ndarray, int], float]
SCORES = (
    *("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "lpips", "lpips_squeeze", "grid"),
    *("psnr_normalised", "mos_estimate"),
)
WHOLE = 2_000_000  # SR pixels: a larger picture goes through the network in tiles


def bicubic(hr: np.ndarray, scale: int) -> np.ndarray:
    """The papers' bicubic row: luma shrunk and enlarged by MATLAB's imresize, the LR not rounded. uint8 (H, W)."""
    y = torch.from_numpy(metrics.lumas(hr, hr)[1].astype(np.float64))[None, None] / 255
    return to_image(imresize(imresize(y, 1 / scale), scale))


def lr_of(hr: np.ndarray, scale: int, degradation: Any = BICUBIC, seed: int | None = None) -> np.ndarray:
    """The LR file that a network is given: RGB uint8 (H / scale, W / scale, 3); a grey HR gets three equal channels.

    seed: of what is random in a degradation; by default from HR's own pixels, so that another picture has another blur
    and noise, and the same picture always the same.
    """
    hr = metrics.in_colour(hr)
    seed = crc32(np.ascontiguousarray(hr).tobytes()) if seed is None else seed
    return degrade(hr, scale, degradation, seed)


def enlarge(lr: np.ndarray, scale: int, method: str = "bicubic") -> np.ndarray:
    """An LR file made larger without a network, by "bicubic" or "nearest": uint8 RGB in and out.

    >>> enlarge(np.zeros((2, 3, 3), np.uint8), scale=4).shape
    (8, 12, 3)
    """
    if method not in INTERPOLATIONS:
        raise SrkitError(f"{method!r} enlarges nothing: choose {' or '.join(INTERPOLATIONS)}, or give a network.")
    if method == "nearest":
        return lr.repeat(scale, axis=0).repeat(scale, axis=1)
    return to_image(imresize(to_tensor(lr), scale))


@torch.no_grad()
def super_resolve(network: nn.Module, lr: np.ndarray) -> np.ndarray:
    """uint8 RGB (H, W, 3) to (scale H, scale W, 3), in eval mode, where the network's weights are; large ones in tiles.

    Raises SrkitError where the answer is not a number.
    """
    was_training, device, scale = network.training, _device(network), getattr(network, "scale", None)
    network.eval()
    try:
        if scale and lr.shape[0] * lr.shape[1] * scale**2 > WHOLE:
            more = network._forward_hooks or network._forward_pre_hooks or getattr(network, "sharpening", 0)
            try:
                called = Padded(network, scale) if more else network  # as a whole
                return enlarge_in_tiles(called, lr, device=str(device))
            except SrkitError:
                pass  # a network that looks at the whole picture, as with instance norm, gets it
        sr = network(to_tensor(lr).to(device))
        if not sr.isfinite().all():
            raise SrkitError("the network's answer is not a number everywhere: its weights are damaged.")
        return to_image(sr)
    finally:
        network.train(was_training)


def judged(
    method: nn.Module | str,
    hr: np.ndarray,
    scale: int,
    lpips: Judge | Literal[False] | None = None,
    lr: np.ndarray | None = None,
    columns: Sequence[str] = SCORES,
) -> tuple[np.ndarray, dict[str, float]]:
    """What a network, "bicubic" or "nearest" makes of one picture, uint8 (H, W, 3), and its `scores` with the seconds.

    hr: uint8, its sides multiples of scale. lr: the LR file, where the papers' bicubic does not make it. lpips and
    columns: see `scores`. Of bicubic, PSNR-Y and SSIM-Y are those of the papers' row, which differ a little from the
    picture's.
    """
    papers = isinstance(method, str) and method == "bicubic" and lr is None
    lr, began = lr_of(hr, scale) if lr is None else lr, time.perf_counter()
    sr = super_resolve(method, lr) if isinstance(method, nn.Module) else enlarge(lr, scale, method)
    seconds = time.perf_counter() - began
    if sr.shape[:2] != hr.shape[:2]:
        raise SrkitError(f"the network's answer is {sr.shape[1]} x {sr.shape[0]}, not x{scale}.")
    y = bicubic(hr, scale) if papers else None
    device = _device(method) if isinstance(method, nn.Module) else "cpu"
    return sr, scores(sr, hr, scale, lpips, columns, y, device) | {"seconds": seconds}


def scores(
    sr: np.ndarray,
    hr: np.ndarray,
    scale: int,
    lpips: Judge | Literal[False] | None = None,
    columns: Sequence[str] = SCORES,
    y: np.ndarray | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """The scores of one SR picture that table, figure, gallery, playground and validation show.

    sr, hr: uint8, (H, W, 3) or (H, W), of one size. lpips: from `metrics.lpips_judge`; None leaves that score NaN,
    False LPIPS-squeeze too, which is made on `device`. columns: those of `SCORES` that are wanted. y: SR's luma, where
    it is not that of `sr`. An SR of luma alone beside an HR with colours has no scores of colour, NaN.
    """
    planes = metrics.lumas(sr, hr) if y is None else (y, metrics.lumas(hr, hr)[1])
    coloured = sr.ndim == 3 or metrics.without_colours(hr).ndim == 2
    psnr = metrics.psnr_y(*planes, scale)

    def of_colours(judge: Callable | Literal[False] | None, *more: Any) -> float:
        return judge(sr, hr, *more) if judge and coloured else math.nan

    ways = {
        "psnr_y": lambda: psnr,
        "ssim_y": lambda: metrics.ssim_y(*planes, scale),
        "psnr_rgb": lambda: of_colours(metrics.psnr_rgb, scale),
        "ssim_rgb": lambda: of_colours(metrics.ssim_rgb, scale),
        "lpips": lambda: of_colours(lpips, scale),
        "lpips_squeeze": lambda: of_colours(lpips is not False and lpips_squeeze, scale, device),
        "grid": lambda: of_colours(metrics.grid),
        "psnr_normalised": lambda: metrics.normalised_psnr(psnr),
        "mos_estimate": lambda: metrics.estimated_mos(psnr),
    }
    return {column: ways[column]() for column in columns}


def lpips_squeeze(sr: np.ndarray, hr: np.ndarray, shave: int, device: torch.device | str = "cpu") -> float:
    """LPIPS by SqueezeNet, whose weights come with srkit; see `metrics.lpips_judge`."""
    return metrics.lpips_judge(torch.device(device), network="squeeze")(sr, hr, shave)


def _device(network: nn.Module) -> torch.device:
    return next((value.device for value in network.parameters()), torch.device("cpu"))
