"""What a sensor and a file do to a picture: noise of two kinds, 256 levels, JPEG."""

import io
import math

import numpy as np
import torch
from PIL import Image, features
from torch import Tensor

from srkit.files import SrkitError
from srkit.images import to_image, to_tensor


def quantise(x: Tensor) -> Tensor:
    """Clip to [0, 1] and round to 8-bit levels."""
    return (x.clamp(0, 1) * 255).round() / 255


def poisson(x: Tensor, strength: float, random: torch.Generator, peak: float = 400.0) -> Tensor:
    """Photon noise: each value is a count around x * peak / strength**2, so its variance is x strength**2 / peak."""
    if not strength:
        return x
    photons = peak / strength**2
    return (torch.poisson((x * photons).cpu(), generator=random) / photons).to(x)


def gaussian(x: Tensor, sigma: float, grey: bool, random: torch.Generator) -> Tensor:
    """Gaussian noise of `sigma` grey levels of 255 on (N, C, H, W) in [0, 1]; grey: the same in all channels."""
    noise = torch.randn(_shape(x, grey), generator=random)
    return (x + noise.to(x) * (sigma / 255)).clamp(0, 1)


def photons(x: Tensor, scale: float, grey: bool, random: torch.Generator) -> Tensor:
    """`scale` times the noise of counting photons, as Real-ESRGAN's code has it: on (N, C, H, W), clipped to [0, 1].

    The picture's levels, by as many as it has, rounded up to a power of two, are the counts that are expected; grey:
    the noise of the luma (0.2989, 0.587, 0.114), in all channels.
    """
    levels = quantise(x)
    if grey:
        levels = quantise((levels * torch.tensor([0.2989, 0.587, 0.114]).to(x).view(1, 3, 1, 1)).sum(1, keepdim=True))
    different = torch.bincount((levels * 255).round().long().flatten(), minlength=256).count_nonzero()
    peak = 2 ** math.ceil(math.log2(int(different)))
    counted = torch.poisson((levels * peak).cpu(), generator=random).to(x) / peak
    return (x + scale * (counted - levels)).clamp(0, 1)


def jpeg(x: Tensor, quality: int) -> Tensor:
    """One picture, (C, H, W) or (1, C, H, W) in [0, 1], as it comes back of a JPEG file: (1, C, H, W)."""
    if not features.check("jpg"):
        raise SrkitError("this Pillow writes no JPEG: install one that does, python -m pip install --force pillow.")
    file = io.BytesIO()
    Image.fromarray(to_image(x)).save(file, "JPEG", quality=quality)
    with Image.open(file) as picture:
        return to_tensor(np.array(picture)).to(x)


def _shape(x: Tensor, grey: bool) -> tuple[int, ...]:
    return (len(x), 1, *x.shape[2:]) if grey else tuple(x.shape)


def within(what: str, value: float, least: float, most: float) -> None:
    """Raise SrkitError where a value is not from least to most."""
    if not least <= value <= most:
        raise SrkitError(f"{what} {value:g} is out of range: choose from {least} to {most}.")
