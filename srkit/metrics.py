"""Scores of one picture against the truth: PSNR and SSIM on luma and on RGB, LPIPS, and what is derived from PSNR."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from srkit.features import lpips_network
from srkit.files import SrkitError
from srkit.images import luma, to_tensor

SSIM_WINDOW = 11
LPIPS_LEAST = 32  # pixels a side: below, AlexNet's pooling has nothing left
GRID_PERIOD, GRID_WINDOW = 4, 24  # pixels; periods a side of one window
CEILING = 50.0  # dB: a root mean square error of 0.8 grey levels, less than one step of an 8-bit picture

# EvalVid's table (Klaue, Rathke and Wolisz 2003): above 37 dB excellent 5, from 31 good 4, from 25 fair 3, from 20
# poor 2, below bad 1. Its borders are taken as the half marks between two grades, and joined by straight lines.
MOS_AT = ((17.5, 20.0, 25.0, 31.0, 37.0, 40.0), (1.0, 1.5, 2.5, 3.5, 4.5, 5.0))


def psnr_y(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
    """PSNR in dB of two uint8 pictures, (H, W, 3) or (H, W), on their luma, `shave` pixels from each edge left out.

    10 log10(255^2 / MSE); infinite for equal pictures.
    """
    return _psnr(*_pair(luma(sr), luma(hr), shave))


def ssim_y(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
    """SSIM of two uint8 pictures on their luma, at most 1; `shave` pixels from each edge cut off.

    Wang et al. 2004, IEEE TIP 13(4), equation 13, averaged over the places where the window fits whole.
    """
    return _ssim(*_pair(luma(sr), luma(hr), shave))


def psnr_rgb(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
    """PSNR in dB as in `psnr_y`, with the MSE over all three channels. A grey picture stands for three equal ones."""
    return _psnr(*_pair(in_colour(sr), in_colour(hr), shave))


def ssim_rgb(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
    """SSIM as in `ssim_y`, the mean of that of each channel."""
    return _ssim(*_pair(in_colour(sr), in_colour(hr), shave))


def grid(sr: np.ndarray, hr: np.ndarray) -> float:
    """How much of a regular raster a picture has, in grey levels: 0 for none, of two uint8 pictures of one size.

    SR - HR, averaged over R, G and B, is folded to 4 x 4 places (a raster of period 2 or 4, as strided convolutions
    draw it, stays at its places). In each window of 24 x 24 periods, side by side, every place has a mean; returned is
    the root mean square of what these differ by from the window's own mean. Other errors average out: noise of 2 grey
    levels scores 0.08. A picture below 96 pixels a side is one window; below 4 pixels the score is NaN.
    """
    _check_sizes(sr, hr)
    error = (in_colour(sr).astype(np.float64) - in_colour(hr)).mean(axis=2)
    periods = [side // GRID_PERIOD for side in error.shape]
    if not min(periods):
        return float("nan")
    rows, columns = (min(GRID_WINDOW, count) for count in periods)  # periods of a window
    down, across = periods[0] // rows, periods[1] // columns  # windows
    folded = error[: down * rows * GRID_PERIOD, : across * columns * GRID_PERIOD].reshape(
        down, rows, GRID_PERIOD, across, columns, GRID_PERIOD
    )
    places = folded.mean(axis=(1, 4))  # (down, 4, across, 4)
    return float(np.sqrt(places.var(axis=(1, 3)).mean()))


def normalised_psnr(psnr: float) -> float:
    """PSNR as a share of 50 dB, clipped to [0, 1]: 1 where the error is below one grey level, and nobody can see it."""
    return float(np.clip(psnr / CEILING, 0, 1))


def estimated_mos(psnr: float) -> float:
    """A guess at the mean opinion score, 1 to 5, from PSNR-Y in dB, by EvalVid's table with straight lines between.

    Rounded, it is the table's grade. The table was made for compressed video; it is no substitute for asking people.
    """
    return float(np.interp(psnr, *MOS_AT))


def lpips_judge(device: torch.device | str = "cpu", download: bool = True, network: str = "alex") -> Callable | None:
    """LPIPS (Zhang et al. 2018, arXiv:1801.03924): a function of (sr, hr, shave), lower is more alike.

    None, after one printed sentence that says why, where the network's weights are not to be had. download: whether
    they may be fetched (AlexNet: 233 MB) when TORCH_HOME does not hold them. network: "alex" as usual, or "squeeze", a
    second opinion on what was trained on the first. Pictures below 32 pixels a side score NaN.
    """
    try:
        if not download and not list(Path(torch.hub.get_dir(), "checkpoints").glob(f"{network}*.pth")):
            raise SrkitError(f"the weights of {network} are not in TORCH_HOME, and nothing is downloaded here")
        distance = lpips_network(network, device=device)
    except SrkitError as error:
        print(f"LPIPS is left out and its column stays empty: {str(error).partition(':')[0]}.")
        return None

    @torch.no_grad()
    def judge(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
        cut = slice(shave, -shave or None)
        a, b = (to_tensor(in_colour(x)[cut, cut]).to(device) for x in (sr, hr))
        return float(distance(a, b, normalize=True)) if min(a.shape[-2:]) >= LPIPS_LEAST else float("nan")

    return judge


def in_colour(image: np.ndarray) -> np.ndarray:
    """A grey picture (H, W) with three equal channels (H, W, 3); a colour one as it is."""
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def _psnr(a: Tensor, b: Tensor) -> float:
    error = float((a - b).square().mean())
    return 10 * float(np.log10(255**2 / error)) if error else float("inf")


def _ssim(a: Tensor, b: Tensor) -> float:
    if min(a.shape[-2:]) < SSIM_WINDOW:
        raise SrkitError(f"a picture of {a.shape[-1]} x {a.shape[-2]} is smaller than SSIM's window of {SSIM_WINDOW}.")
    mean_a, mean_b, aa, bb, ab = (_window(x) for x in (a, b, a * a, b * b, a * b))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    brightness = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * (ab - mean_a * mean_b) + c2) / (aa - mean_a**2 + bb - mean_b**2 + c2)
    return float((brightness * structure).mean())


def _window(x: Tensor) -> Tensor:
    """Means of (C, 1, H, W) under a Gaussian window of sigma 1.5: (C, 1, H - 10, W - 10)."""
    place = torch.arange(SSIM_WINDOW, dtype=x.dtype) - SSIM_WINDOW // 2
    weights = torch.softmax(-(place**2) / (2 * 1.5**2), 0).tolist()
    for side in (-1, -2):
        fits = x.shape[side] - SSIM_WINDOW + 1
        mean = torch.zeros_like(x.narrow(side, 0, fits))
        for start, weight in enumerate(weights):  # six times as fast as conv2d on one channel
            mean.add_(x.narrow(side, start, fits), alpha=weight)
        x = mean
    return x


def _pair(sr: np.ndarray, hr: np.ndarray, shave: int) -> list[Tensor]:
    """Both pictures shaved, their channels apart: (C, 1, H, W) in float64, 0 to 255."""
    _check_sizes(sr, hr)
    cut = slice(shave, -shave or None)
    planes = (np.atleast_3d(x)[cut, cut].transpose(2, 0, 1)[:, None] for x in (sr, hr))
    return [torch.from_numpy(x.astype(np.float64)) for x in planes]


def _check_sizes(sr: np.ndarray, hr: np.ndarray) -> None:
    if sr.shape[:2] != hr.shape[:2]:
        sizes = [f"{image.shape[1]} x {image.shape[0]}" for image in (sr, hr)]
        raise SrkitError(f"SR is {sizes[0]} and HR is {sizes[1]}: they must be of one size.")
