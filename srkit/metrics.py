"""Scores of one picture against the truth: PSNR and SSIM on luma and on RGB, LPIPS, and what is derived from PSNR."""

from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srkit.features import lpips_network
from srkit.files import SrkitError
from srkit.images import luma, to_tensor

SSIM_WINDOW = 11
LPIPS_LEAST = 32  # pixels a side: below, AlexNet's pooling has nothing left
GRID_PERIOD, GRID_WINDOW = 4, 24  # pixels; periods a side of one window
# For `lumas`: CRC-32 of the first 32 x 32 pixels of Set14's man and Urban100's images 11, 28, 36, 42, 45, 72 and 95.
TAKEN_FOR_COLOURED = {0x0DF0D3FC, 0x515FE36A, 0x3BDC3C29, 0x7950AD43, 0x9F14579A, 0xE2EC8DAC, 0xE5D7B6A0, 0x5A2EE907}
CEILING = 50.0  # dB: a root mean square error of 0.8 grey levels, less than one step of an 8-bit picture

# EvalVid's table (Klaue, Rathke and Wolisz 2003): above 37 dB excellent 5, from 31 good 4, from 25 fair 3, from 20
# poor 2, below bad 1. Its borders are taken as the half marks between two grades, and joined by straight lines.
MOS_AT = ((17.5, 20.0, 25.0, 31.0, 37.0, 40.0), (1.0, 1.5, 2.5, 3.5, 4.5, 5.0))


def psnr_y(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
    """PSNR in dB of two uint8 pictures, (H, W, 3) or (H, W), on their `lumas`, `shave` pixels from each edge left out.

    10 log10(255^2 / MSE); infinite for equal pictures.
    """
    return _psnr(*_pair(*lumas(sr, hr), shave))


def ssim_y(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
    """SSIM of two uint8 pictures on their `lumas`, at most 1; `shave` pixels from each edge cut off.

    Wang et al. 2004, IEEE TIP 13(4), equation 13, averaged over the places where the window fits whole.
    """
    return _ssim(*_pair(*lumas(sr, hr), shave))


def psnr_rgb(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
    """PSNR in dB as in `psnr_y`, with the MSE over all three channels. A grey picture stands for three equal ones."""
    return _psnr(*_pair(in_colour(sr), in_colour(hr), shave))


def ssim_rgb(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
    """SSIM as in `ssim_y`, the mean of that of each channel."""
    return _ssim(*_pair(in_colour(sr), in_colour(hr), shave))


def lumas(sr: np.ndarray, hr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two planes that PSNR-Y and SSIM-Y compare: uint8 (H, W) each.

    Of an HR with colours, BT.601 luma on 16..235; an SR (H, W) is taken to be luma already. An HR without colours,
    whether (H, W) or three equal channels, is its own luma, 0 to 255, as the papers take Set14's bridge, and SR is made
    grey in that range. Eight grey pictures of Set14 and Urban100 lie in RGB files, and the papers' codes took them for
    coloured ones: so does this, or the published means could not be met.
    """
    grey = without_colours(hr)
    if grey.ndim == 3:
        return luma(sr), luma(hr)
    if crc32(grey[:32, :32].tobytes()) in TAKEN_FOR_COLOURED:
        return luma(sr), luma(in_colour(grey))
    return np.asarray(Image.fromarray(sr).convert("L")), grey


def without_colours(image: np.ndarray) -> np.ndarray:
    """(H, W) of a uint8 picture whose three channels are equal everywhere; one with colours as it is."""
    equal = image.ndim == 3 and all(np.array_equal(image[..., 0], image[..., other]) for other in (1, 2))
    return np.ascontiguousarray(image[..., 0]) if equal else image


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

    network: "alex" as usual, or "squeeze", a second opinion, whose weights come with srkit. None, after one printed
    sentence that says why, where AlexNet's are not to be had. download: whether they may be fetched (233 MB) when
    TORCH_HOME does not hold them. Pictures below 32 pixels a side score NaN.
    """
    try:
        here = (
            network == "squeeze" or download or list(Path(torch.hub.get_dir(), "checkpoints").glob(f"{network}*.pth"))
        )
        if not here:
            raise SrkitError(f"the weights of {network} are not in TORCH_HOME, and nothing is downloaded here")
        distance = lpips_network(network, device=device)
    except SrkitError as error:
        print(f"LPIPS is left out and its column stays empty: {str(error).partition(':')[0]}.")
        return None

    def judge(sr: np.ndarray, hr: np.ndarray, shave: int) -> float:
        cut = slice(shave, -shave or None)
        a, b = (to_tensor(in_colour(x)[cut, cut]).to(device) for x in (sr, hr))
        return float(distance(a, b, normalize=True)) if min(a.shape[-2:]) >= LPIPS_LEAST else float("nan")

    return judge


def in_colour(image: np.ndarray) -> np.ndarray:
    """A grey picture (H, W) with three equal channels (H, W, 3); a colour one as it is."""
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def _psnr(sr: np.ndarray, hr: np.ndarray) -> float:
    return float("inf") if np.array_equal(sr, hr) else float(peak_signal_noise_ratio(hr, sr, data_range=255))


def _ssim(sr: np.ndarray, hr: np.ndarray) -> float:
    if min(hr.shape[:2]) < SSIM_WINDOW:
        raise SrkitError(f"a picture of {hr.shape[1]} x {hr.shape[0]} is smaller than SSIM's window of {SSIM_WINDOW}.")
    papers = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}  # an 11 x 11 window
    return float(structural_similarity(sr, hr, data_range=255, channel_axis=2 if hr.ndim == 3 else None, **papers))


def _pair(sr: np.ndarray, hr: np.ndarray, shave: int) -> tuple[np.ndarray, np.ndarray]:
    """Both pictures, `shave` pixels from each edge cut off."""
    _check_sizes(sr, hr)
    cut = slice(shave, -shave or None)
    return sr[cut, cut], hr[cut, cut]


def _check_sizes(sr: np.ndarray, hr: np.ndarray) -> None:
    if sr.shape[:2] != hr.shape[:2]:
        sizes = [f"{image.shape[1]} x {image.shape[0]}" for image in (sr, hr)]
        raise SrkitError(f"SR is {sizes[0]} and HR is {sizes[1]}: they must be of one size.")
