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
    if scale >= 1:
        return _enlarged(_enlarged(x, factor, 2), factor, 3)
    height, width = x.shape[-2:]
    if height % factor or width % factor:
        raise SrkitError(f"{height} x {width} is not a multiple of {factor}: crop it to one first.")
    border = 2 * factor  # the kernel reaches 2 LR pixels beyond the edge
    mirrored = x[..., _mirror(height, border, x.device), :][..., _mirror(width, border, x.device)]
    small = F.interpolate(mirrored, (height // factor + 4, width // factor + 4), mode="bicubic", antialias=True)
    return small[..., 2:-2, 2:-2]


def _enlarged(x: Tensor, factor: int, axis: int) -> Tensor:
    """One side `factor` times as long: a fixed convolution for each of the `factor` places within an LR pixel.

    Written as sums of shifted pictures, which have an ONNX operator and run on every device, and which neither autocast
    nor TF32 rounds.
    """
    length = x.shape[axis]
    padded = x.index_select(axis, _mirror(length, 2, x.device))
    phases = []
    for place in range(factor):
        centre = (place + 0.5) / factor - 0.5  # in LR pixels, from the middle of the one above it
        phase = torch.zeros_like(x)
        for tap in range(5):
            if weight := _cubic(centre + 2 - tap):
                phase = torch.add(phase, padded.narrow(axis, tap, length), alpha=weight)
        phases.append(phase)
    return torch.stack(phases, axis + 1).flatten(axis, axis + 1)


def _cubic(x: float) -> float:
    """Keys 1981, equation 15: what a pixel at distance x counts for."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def _mirror(length: int, border: int, device: torch.device) -> Tensor:
    """Row numbers of a mirrored picture, edge row repeated: 1 0 | 0 1 2 ... ; any border, however short the side."""
    index = torch.arange(-border, length + border, device=device)
    for _ in range(border // length + 1):
        index = torch.maximum(index, -1 - index)
        index = torch.minimum(index, 2 * length - 1 - index)
    return index
