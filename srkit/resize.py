"""The bicubic resize of the super-resolution papers: MATLAB's imresize."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.files import SrkitError


def imresize(x: Tensor, scale: float) -> Tensor:
    """Resize (N, C, H, W) by a whole factor up (2, 3, 4 ...) or down (1/2, 1/3, 1/4 ...), as MATLAB's imresize.

    Cubic convolution with a = -0.5 (Keys 1981), antialiased when shrinking, edges mirrored. Height and width must be
    multiples of the factor when shrinking. Values are neither clipped nor rounded: bicubic overshoots at edges.
    """
    factor = round(max(scale, 1 / scale))
    if not math.isclose(factor, max(scale, 1 / scale)):
        raise SrkitError(f"scale {scale:g} is neither a whole number nor one divided by a whole number: use 2, 1/2 ...")
    height, width = x.shape[-2:]
    if scale >= 1:
        border = 8
        size, keep = (height + 2 * border, width + 2 * border), border * factor
        new = height * factor, width * factor
        target = size[0] * factor, size[1] * factor
    else:
        if height % factor or width % factor:
            raise SrkitError(f"{height} x {width} is not a multiple of {factor}: crop it to one first.")
        keep = max(2, math.ceil(8 / factor))  # the kernel reaches 2 LR pixels beyond the edge
        border = keep * factor
        new = height // factor, width // factor
        target = new[0] + 2 * keep, new[1] + 2 * keep
    mirrored = x[..., _mirror(height, border, x.device), :][..., _mirror(width, border, x.device)]
    big = F.interpolate(mirrored, size=target, mode="bicubic", antialias=True, align_corners=False)
    return big[..., keep : keep + new[0], keep : keep + new[1]]


def _mirror(length: int, border: int, device: torch.device) -> Tensor:
    """Row numbers of a mirrored picture, edge row repeated: 1 0 | 0 1 2 ... ; any border, however short the side."""
    index = torch.arange(-border, length + border, device=device) % (2 * length)
    return torch.minimum(index, 2 * length - 1 - index)
