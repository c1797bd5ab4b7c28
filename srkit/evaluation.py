"""Scores by the protocol of the super-resolution papers, and the table that they go into.

The protocol: HR cropped to a multiple of the scale; BT.601 luma on 16..235 rounded to 8 bits; a border of `scale`
pixels shaved; PSNR with peak 255; SSIM with an 11 x 11 Gaussian of sigma 1.5 where it fits whole. Bicubic is computed
on the luma with the LR left unrounded, as the papers' rows are; a network gets the LR as an 8-bit RGB file holds it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.degradations import BICUBIC
from srkit.files import SrkitError
from srkit.images import crop_to_multiple, luma, read_image, to_image, to_tensor, write_image
from srkit.resize import imresize

SSIM_WINDOW = 11


def psnr_y(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
    """PSNR in dB of two uint8 pictures, (H, W, 3) or (H, W), on their luma, `shave` pixels from each edge left out.

    10 log10(255^2 / MSE); infinite for equal pictures.
    """
    a, b = _luma_pair(sr, hr, shave)
    error = float((a - b).square().mean())
    return 10 * float(np.log10(255**2 / error)) if error else float("inf")


def ssim_y(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
    """SSIM of two uint8 pictures on their luma, at most 1; `shave` pixels from each edge cut off.

    Wang et al. 2004, IEEE TIP 13(4), equation 13, averaged over the places where the window fits whole.
    """
    a, b = _luma_pair(sr, hr, shave)
    if min(a.shape[-2:]) < SSIM_WINDOW:
        raise SrkitError(f"a picture of {a.shape[-1]} x {a.shape[-2]} is smaller than SSIM's window of {SSIM_WINDOW}.")
    mean_a, mean_b, aa, bb, ab = _window(torch.cat([a, b, a * a, b * b, a * b]))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    brightness = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * (ab - mean_a * mean_b) + c2) / (aa - mean_a**2 + bb - mean_b**2 + c2)
    return float((brightness * structure).mean())


def _window(x: Tensor) -> Tensor:
    """Means of (N, 1, H, W) under a Gaussian window of sigma 1.5: (N, 1, H - 10, W - 10)."""
    place = torch.arange(SSIM_WINDOW, dtype=x.dtype) - SSIM_WINDOW // 2
    weights = torch.softmax(-(place**2) / (2 * 1.5**2), 0).view(1, 1, 1, -1)
    return F.conv2d(F.conv2d(x, weights), weights.mT)


def _luma_pair(sr: np.ndarray, hr: np.ndarray, shave: int) -> tuple[Tensor, Tensor]:
    if sr.shape[:2] != hr.shape[:2]:
        sizes = [f"{image.shape[1]} x {image.shape[0]}" for image in (sr, hr)]
        raise SrkitError(f"SR is {sizes[0]} and HR is {sizes[1]}: they must be of one size.")
    cut = slice(shave, -shave or None)
    return tuple(torch.from_numpy(luma(x)[cut, cut].astype(np.float64))[None, None] for x in (sr, hr))


def bicubic(hr: np.ndarray, scale: int) -> np.ndarray:
    """The papers' bicubic row: luma shrunk and enlarged by MATLAB's imresize, the LR not rounded. uint8 (H, W)."""
    y = torch.from_numpy(luma(hr).astype(np.float64))[None, None] / 255
    return to_image(imresize(imresize(y, 1 / scale), scale))


def lr_of(hr: np.ndarray, scale: int, degradation: Any = BICUBIC) -> np.ndarray:
    """The LR file that a network is given: RGB uint8 (H / scale, W / scale, 3); a grey HR gets three equal channels."""
    rgb = np.repeat(hr[..., None], 3, axis=2) if hr.ndim == 2 else hr
    return to_image(degradation(to_tensor(rgb), scale))


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
    methods: Mapping[str, nn.Module | str],
    images: Sequence[Path | str],
    scale: int,
    *,
    set_name: str | None = None,
    save: Path | str | None = None,
) -> pd.DataFrame:
    """Score methods on HR pictures by the protocol: one row an image and method, streamed picture by picture.

    methods: by name, a generator, or "bicubic" or "nearest". set_name: by default the name of the pictures' folder.
    Columns: method, set, scale, image, psnr_y (dB), ssim_y, seconds. save: a folder for the SR pictures.
    """
    return pd.DataFrame(rows(methods, images, scale, set_name=set_name, save=save))


def rows(
    methods: Mapping[str, nn.Module | str],
    images: Sequence[Path | str],
    scale: int,
    *,
    set_name: str | None = None,
    save: Path | str | None = None,
) -> Iterator[dict[str, Any]]:
    """The rows of `evaluate`, one at a time; a single picture is in memory."""
    for path in map(Path, images):
        hr = crop_to_multiple(read_image(path, grey=True), scale)
        lr = lr_of(hr, scale)
        for name, method in methods.items():
            began = time.perf_counter()
            if method == "bicubic":
                sr = bicubic(hr, scale)
            elif method == "nearest":
                sr = enlarge(lr, scale, "nearest")
            else:
                sr = super_resolve(method, lr)
            seconds = time.perf_counter() - began
            if save:
                write_image(Path(save) / name / f"{path.stem}.png", enlarge(lr, scale) if method == "bicubic" else sr)
            sr = luma(sr)
            yield {"method": name, "set": set_name or path.parent.name, "scale": scale, "image": path.name} | {
                "psnr_y": psnr_y(sr, hr, scale),
                "ssim_y": ssim_y(sr, hr, scale),
                "seconds": seconds,
            }


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the images: one row a method, set and scale, methods in the order they came."""
    groups = table.groupby(["set", "scale", "method"], sort=False)
    means = groups[["psnr_y", "ssim_y", "seconds"]].mean()
    return means.assign(images=groups.size()).reset_index()
