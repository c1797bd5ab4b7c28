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


def poisson(x: Tensor, peak: float, random: torch.Generator, scale: float = 1.0) -> Tensor:
    """x, not below 0, with `scale` times the noise of counting photons, `peak` of them where x is 1.

    Its variance is scale**2 x / peak.
    """
    counted = torch.poisson((x * peak).cpu(), generator=random).to(x) / peak
    return x + scale * (counted - x)


def gaussian(x: Tensor, sigma: float, grey: bool, random: torch.Generator) -> Tensor:
    """Gaussian noise of `sigma` grey levels of 255 on (N, C, H, W) in [0, 1]; grey: the same in all channels."""
    noise = torch.randn(len(x), 1 if grey else x.shape[1], *x.shape[2:], generator=random)
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
    return (x + poisson(levels, peak, random, scale) - levels).clamp(0, 1)


def jpeg(x: Tensor, quality: int) -> Tensor:
    """One picture, (C, H, W) or (1, C, H, W) in [0, 1], as it comes back of a JPEG file: (1, C, H, W)."""
    if not features.check("jpg"):
        raise SrkitError("this Pillow writes no JPEG: install one that does, python -m pip install --force pillow.")
    file = io.BytesIO()
    Image.fromarray(to_image(x)).save(file, "JPEG", quality=quality)
    with Image.open(file) as picture:
        return to_tensor(np.array(picture)).to(x)
