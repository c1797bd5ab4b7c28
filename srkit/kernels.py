"""Blur kernels of the degradations, and how a picture is filtered with one and moved by parts of a pixel."""

import math

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor


def gaussian_kernel(
    sigma_along: float, sigma_across: float, angle: float, size: int | None = None, beta: float = 1.0
) -> Tensor:
    """A Gaussian longer one way than the other, turned by `angle` radians: (K, K), K odd, sum 1; sigma 0 is a point.

    size: K; by default three sigmas fit to each side. beta: exponent of the generalised Gaussian, exp(-d^(2 beta) / 2)
    at d sigmas from the middle; above 1 its top is flatter and its edge steeper.
    """
    size = size or 2 * math.ceil(3 * max(sigma_along, sigma_across, 1e-6)) + 1
    kernel = torch.exp(-(_square_distance(size, sigma_along, sigma_across, angle) ** beta) / 2)
    return kernel / kernel.sum()


def plateau_kernel(sigma_along: float, sigma_across: float, angle: float, size: int, beta: float) -> Tensor:
    """A flat top with heavy tails, 1 / (1 + d^(2 beta)) at d sigmas from the middle: (size, size), sum 1."""
    kernel = 1 / (1 + _square_distance(size, sigma_along, sigma_across, angle) ** beta)
    return kernel / kernel.sum()


def sinc_kernel(cutoff: float, size: int) -> Tensor:
    """The ideal low pass, which rings: all frequencies below `cutoff` radians a pixel, at most pi: (size, size), sum 1.

    cutoff J1(cutoff r) / (2 pi r) at r pixels from the middle (Wang et al. 2021, arXiv:2107.10833, equation 6).
    """
    y, x = _offsets(size)
    r = torch.hypot(x, y)
    kernel = cutoff * torch.special.bessel_j1(cutoff * r) / (2 * math.pi * r)
    kernel[size // 2, size // 2] = cutoff**2 / (4 * math.pi)
    return kernel / kernel.sum()


def _offsets(size: int) -> tuple[Tensor, Tensor]:
    return torch.meshgrid(*[torch.arange(size, dtype=torch.float32) - size // 2] * 2, indexing="ij")


def _square_distance(size: int, sigma_along: float, sigma_across: float, angle: float) -> Tensor:
    """Squared distance from the middle in sigmas, along and across a direction; a sigma of 0 is taken as 1e-6."""
    y, x = _offsets(size)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return (along / max(sigma_along, 1e-6)) ** 2 + (across / max(sigma_across, 1e-6)) ** 2


def motion_kernel(length: float, angle: float, size: int = 33) -> Tensor:
    """A straight stroke of `length` pixels at `angle` radians: (size, size), sum 1; length 0 is a point.

    What does not fit into `size` is cut off.
    """
    y, x = _offsets(size)
    along = length * torch.linspace(-0.5, 0.5, 8 * size).view(-1, 1, 1)
    parts = [(1 - (a - b * along).abs()).clamp(min=0) for a, b in ((y, math.sin(angle)), (x, math.cos(angle)))]
    kernel = (parts[0] * parts[1]).sum(0)  # each point of the stroke, shared out among the four pixels around it
    return kernel / kernel.sum()


def filtered(x: Tensor, kernels: Tensor) -> Tensor:
    """Pictures (N, C, H, W) convolved with one kernel (K, K) of sum 1, or each with its own (N, K, K); edges repeated.

    By Fourier transforms: five times as fast as sliding a kernel of 21 pixels. A point leaves all exactly as it is.
    """
    size = kernels.shape[-1]
    height, width = x.shape[-2:]
    if (kernels[..., size // 2, size // 2] == 1).all():
        return x
    shape = [next_fast_len(side + 2 * (size // 2), real=True) for side in (height, width)]
    padded = F.pad(x, [size // 2] * 4, mode="replicate")
    waves = torch.fft.rfft2(kernels.to(x), s=shape).unsqueeze(-3)
    product = torch.fft.rfft2(padded, s=shape) * waves
    return torch.fft.irfft2(product, s=shape)[..., size - 1 : size - 1 + height, size - 1 : size - 1 + width]


def shifted(x: Tensor, shifts: Tensor) -> Tensor:
    """Pictures (N, C, H, W) moved down and right, each by its (N, 2) pixels or all by (1, 2), whole or not.

    Edges are repeated. 0 is exact.
    """
    if not shifts.any():
        return x
    size = torch.tensor(x.shape[-2:])
    eye = torch.eye(2, 3).repeat(len(x), 1, 1)
    eye[:, :, 2] = (-2 * shifts / size).flip(1)
    grid = F.affine_grid(eye, list(x.shape), align_corners=False).to(x)
    return F.grid_sample(x, grid, mode="bicubic", padding_mode="border", align_corners=False)
