"""What the coding exercises of 08 are tried with: a sensor, by the moments of its noise, and a measure of blocks."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from srkit.course.trials import Task
from srkit.noise import poisson, quantise


def _grey_bands() -> tuple[Tensor, float, torch.Generator]:
    levels = torch.tensor([0.2, 0.4, 0.6, 0.8]).repeat_interleave(64)
    return levels.expand(2, 3, 64, -1).clone(), float(torch.randint(60, 140, ())), torch.Generator().manual_seed(1)


def _noise_of(function: Callable, x: Tensor, peak: float, random: torch.Generator) -> list:
    """Mean and deviation of each band in grey levels; how alike two colours are; is it off the levels? The largest."""
    y = 255 * function(x, peak, random)
    bands = y.unflatten(-1, (4, 64)).movedim(-2, 0).transpose(1, 2).flatten(2)  # (4, 3, pixels)
    alike = torch.corrcoef(bands[1])[0, 1].nan_to_num()
    return [bands.mean((1, 2)), bands.std(-1).mean(1), 10 * alike, (y.round() - y).abs().mean() > 1e-3, y.max()]


def _blocks() -> tuple[np.ndarray]:
    """A grey picture with blocks of 8 x 8 pixels, the last ones cut."""
    coarse = torch.randint(30, 220, (6, 5)).repeat_interleave(8, 0).repeat_interleave(8, 1)
    fine = torch.randint(-25, 25, coarse.shape)
    return ((coarse + fine)[:45, :37].byte().numpy(),)


@np.errstate(over="ignore")  # of the mistake that wraps
def _blockiness(grey: np.ndarray, at: int = 0, kind: type = int, ways: int = 2, size: Callable = abs) -> float:
    """Neighbour by neighbour: a border lies before each pixel whose number is a multiple of eight."""
    steps = {True: [], False: []}
    for picture in (grey, grey.T)[:ways]:
        for line in picture.astype(kind):
            for n in range(1, len(line)):
                steps[n % 8 == at].append(size(line[n] - line[n - 1]))
    return np.mean(steps[True], dtype=float) / np.mean(steps[False], dtype=float)


REAL = {
    "count_photons": Task(
        _grey_bands,
        lambda x, peak, random: quantise(poisson(x, peak, random)),
        {
            "peak": lambda x, peak, random: quantise(poisson(x, 255, random)),
            "back": lambda x, peak, random: quantise(poisson(x, peak, random) * peak),
            "grey": lambda x, peak, random: quantise(poisson(x[:, :1], peak, random).expand_as(x)),
            "levels": lambda x, peak, random: poisson(x, peak, random).clamp(0, 1),
        },
        outcome=_noise_of,
        within=0.7,
    ),
    "blockiness": Task(
        _blocks,
        _blockiness,
        {
            "wrap": lambda grey: _blockiness(grey, kind=np.uint8),
            "place": lambda grey: _blockiness(grey, at=1),
            "rows": lambda grey: _blockiness(grey, ways=1),
            "columns": lambda grey: _blockiness(grey.T, ways=1),
            "sign": lambda grey: _blockiness(grey, size=int),
        },
    ),
}
