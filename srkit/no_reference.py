"""A score without the truth: how far a picture's statistics are from those of sharp photographs."""

from functools import cache
from importlib.resources import files

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor

from srkit.files import SrkitError
from srkit.images import to_tensor
from srkit.noise import quantise
from srkit.resize import imresize

SQUARE = 96  # pixels a side: a picture is described by its squares, at full and at half size
BAND, REACH = 4 * SQUARE, 16  # rows that are described at once; rows above and below them that the filters look at
SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # to the neighbours whose product is taken
SHAPES = torch.arange(200, 10_001, dtype=torch.float64) / 1000  # of the distributions that are fitted
ONE, TWO, THREE = (torch.lgamma(n / SHAPES) for n in (1, 2, 3))
RATIOS = (2 * TWO - ONE - THREE).exp()  # squared mean over mean square of each shape, in ascending order
CAUTION = (
    "NIQE is lower where a picture's statistics are nearer to those of sharp photographs: it says what is usual, not "
    "what is right, and sharpening alone lowers it."
)


def niqe(image: np.ndarray) -> float:
    """NIQE of a uint8 picture (H, W, 3) or (H, W): 0 is a photograph as they are on average, 3 to 5 usual, more worse.

    Mittal, Soundararajan and Bovik 2013, IEEE Signal Processing Letters 20(3), with the model of their software
    release. Edges and noise alone can lower it: it says what is unusual, and not what is wrong.
    Raises SrkitError for a picture that does not hold two squares of 96 pixels.
    """
    height, width = (side // SQUARE * SQUARE for side in image.shape[:2])
    if height * width < 2 * SQUARE**2:
        raise SrkitError(
            f"a picture of {image.shape[1]} x {image.shape[0]} is too small for NIQE, which compares squares of "
            f"{SQUARE} pixels: give one of at least {2 * SQUARE} x {SQUARE}."
        )
    found = torch.cat([_described(image[:height, :width], top) for top in range(0, height, BAND)])
    whole = found[found.isfinite().all(1)]
    if len(whole) < 2:
        raise SrkitError("this picture is flat nearly everywhere, and NIQE looks at its texture: choose another one.")
    mean, covariance = _model()
    away = mean - found.nanmean(0)
    return float((away @ torch.linalg.pinv((covariance + whole.T.cov()) / 2) @ away).sqrt())


@cache
def _model() -> tuple[Tensor, Tensor]:
    """Mean (36,) and covariance (36, 36) of the features of sharp squares in 125 photographs, as published."""
    with files("srkit").joinpath("weights/niqe.npz").open("rb") as file, np.load(file) as kept:
        return torch.from_numpy(kept["mean"]), torch.from_numpy(kept["covariance"])


def _described(image: np.ndarray, top: int) -> Tensor:
    """36 numbers of each square of the band that begins at a row of a picture: (squares, 36)."""
    begin, rows = max(0, top - REACH), min(BAND, image.shape[0] - top)
    grey = to_tensor(image[begin : top + BAND + REACH])
    if image.ndim == 3:
        grey = quantise((grey * torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True))
    grey = grey.double() * 255
    found = []
    for shrunk, x in enumerate((grey, imresize(grey, 1 / 2)), 1):
        band = _normalised(x).narrow(2, (top - begin) // shrunk, rows // shrunk)
        found.append(_features(band, SQUARE // shrunk))
    return torch.cat(found, dim=1)


def _normalised(x: Tensor) -> Tensor:
    """Equation 1: each pixel less its neighbours' mean, over their deviation + 1; (1, 1, H, W)."""
    blur = lambda y: gaussian_filter(y, 7 / 6, radius=3, mode="nearest")  # noqa: E731
    x = x[0, 0].numpy()
    mean = blur(x)
    return torch.from_numpy((x - mean) / (np.sqrt(np.abs(blur(x * x) - mean**2)) + 1))[None, None]


def _features(x: Tensor, size: int) -> Tensor:
    """18 numbers of each square of a normalised picture (1, 1, H, W): (squares, 18)."""
    squares = F.unfold(x, size, stride=size)[0].T.reshape(-1, size, size)
    shape, left, right = _fit(squares)
    found = [shape, (left + right) / 2]
    for shift in SHIFTS:
        shape, left, right = _fit(squares * squares.roll(shift, (1, 2)))
        between = (right - left) * (torch.lgamma(2 / shape) - torch.lgamma(1 / shape)).exp()  # equation 8
        found += [shape, between, left, right]
    return torch.stack(found, dim=1)


def _fit(squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Shape and widths to the left and right of an asymmetric generalised Gaussian (equation 7), by its moments."""
    x = squares.flatten(1)
    squares = [side.square().sum(1) for side in (x.clamp(max=0), x.clamp(min=0))]
    left, right = (total.div(side.sum(1)).sqrt() for total, side in zip(squares, (x < 0, x > 0), strict=True))
    ratio = left / right
    wanted = x.abs().mean(1) ** 2 / sum(squares) * x.shape[1] * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shape = SHAPES[torch.searchsorted((RATIOS[1:] + RATIOS[:-1]) / 2, wanted.nan_to_num(0))]  # the nearest one
    scale = ((torch.lgamma(1 / shape) - torch.lgamma(3 / shape)) / 2).exp()
    return shape, left * scale, right * scale
