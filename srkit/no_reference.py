"""A score without the truth: how far a picture's statistics are from those of sharp photographs."""

from functools import cache
from importlib.resources import files

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.files import SrkitError
from srkit.images import to_tensor
from srkit.noise import quantise
from srkit.resize import imresize

SQUARE = 96  # pixels a side: a picture is described by its squares, at full and at half size
SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # to the neighbours whose product is taken
SHAPES = torch.arange(200, 10_001, dtype=torch.float64) / 1000  # of the distributions that are fitted


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
    grey = to_tensor(image[:height, :width])
    if image.ndim == 3:
        grey = quantise((grey * torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True))
    grey = grey.double() * 255
    halves = grey, imresize(grey, 1 / 2)
    found = torch.cat([_features(_normalised(x), SQUARE // n) for n, x in enumerate(halves, 1)], dim=1)  # (squares, 36)
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


def _normalised(x: Tensor) -> Tensor:
    """Equation 1: each pixel less its neighbours' mean, over their deviation + 1; (1, 1, H, W)."""
    line = torch.exp(-(torch.arange(-3.0, 4.0, dtype=x.dtype) ** 2) / (2 * (7 / 6) ** 2))
    window = torch.outer(line, line)[None, None] / line.sum() ** 2
    blur = lambda y: F.conv2d(F.pad(y, [3] * 4, mode="replicate"), window)  # noqa: E731
    mean = blur(x)
    return (x - mean) / ((blur(x * x) - mean**2).abs().sqrt() + 1)


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
    left, right = (((x * side) ** 2).sum(1).div(side.sum(1)).sqrt() for side in (x < 0, x > 0))
    ratio = left / right
    wanted = x.abs().mean(1) ** 2 / x.square().mean(1) * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    one, two, three = (torch.lgamma(n / SHAPES) for n in (1, 2, 3))
    shape = SHAPES[((2 * two - one - three).exp() - wanted[:, None]).square().argmin(1)]
    scale = ((torch.lgamma(1 / shape) - torch.lgamma(3 / shape)) / 2).exp()
    return shape, left * scale, right * scale
