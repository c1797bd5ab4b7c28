"""How an HR photograph becomes the LR picture that a network gets to see. On the device of the picture, in batch.

All are called as degradation(hr, scale, seed): hr (N, 3, H, W) in [0, 1], height and width multiples of scale; the
LR is (N, 3, H / scale, W / scale) in [0, 1], rounded to the 256 levels of a file. What is random depends on seed alone.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.files import SrkitError
from srkit.resize import imresize

HIDDEN_SEED = 2018  # of `Unknown`: one blur and shift for all pictures, which no network is told


@dataclass(frozen=True)
class Bicubic:
    """MATLAB's bicubic shrinking, stored in 8 bits: the degradation of the benchmark papers (DIV2K's bicubic track)."""

    def __call__(self, hr: Tensor, scale: int, seed: int = 0) -> Tensor:
        return quantise(imresize(hr, 1 / scale))


@dataclass(frozen=True)
class BlurDown:
    """Gaussian blur of `sigma` HR pixels, then bicubic shrinking. sigma 0 is Bicubic."""

    sigma: float = 1.6

    def __call__(self, hr: Tensor, scale: int, seed: int = 0) -> Tensor:
        kernel = gaussian_kernel(self.sigma, self.sigma, 0.0)
        return quantise(imresize(filtered(hr, kernel.expand(len(hr), -1, -1)), 1 / scale))


@dataclass(frozen=True)
class Unknown:
    """One hidden blur, longer one way than the other, and one hidden shift, the same for every picture.

    After DIV2K's track "unknown" (Timofte et al. 2017, NTIRE challenge on single image super-resolution), whose kernels
    were never published. strength scales the blur's sigmas and the shift; 0 is Bicubic.
    """

    strength: float = 1.0

    def __call__(self, hr: Tensor, scale: int, seed: int = 0) -> Tensor:
        random = torch.Generator().manual_seed(HIDDEN_SEED)
        long, short, turn, *shift = torch.rand(5, generator=random).tolist()
        sigmas = ((0.6 + 0.4 * long) * scale * self.strength, (0.3 + 0.2 * short) * scale * self.strength)
        kernel = gaussian_kernel(*sigmas, turn * math.pi)
        shifts = torch.tensor([shift]) * 2 - 1  # at most one LR pixel to either side
        moved = shifted(filtered(hr, kernel.expand(len(hr), -1, -1)), shifts.expand(len(hr), 2) * scale * self.strength)
        return quantise(imresize(moved, 1 / scale))


@dataclass(frozen=True)
class Camera:
    """Motion blur, pixel shift and Poisson noise, as of a hand-held camera in poor light.

    After DIV2K's tracks "mild", where blur and shift are the same for all pictures, and "wild" (each=True), where they
    are drawn anew for each; Timofte et al. 2018, NTIRE challenge on single image super-resolution. The noise is always
    drawn anew. strength scales the length of the blur, the shift and the noise's deviation; 0 is Bicubic.
    """

    each: bool = False
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.strength < 0:
            raise SrkitError(f"a degradation's strength of {self.strength} is below 0: 0 is bicubic, 1 is usual.")

    def __call__(self, hr: Tensor, scale: int, seed: int = 0) -> Tensor:
        random = torch.Generator().manual_seed(seed)
        drawn = torch.rand(len(hr), 4, generator=random)
        if not self.each:
            drawn = torch.rand(1, 4, generator=torch.Generator().manual_seed(HIDDEN_SEED)).expand(len(hr), 4)
        lengths = (1 + drawn[:, 0]) * scale * self.strength  # HR pixels
        kernels = torch.stack(
            [motion_kernel(*move) for move in zip(lengths.tolist(), (drawn[:, 1] * math.pi).tolist(), strict=True)]
        )
        moved = shifted(filtered(hr, kernels), (drawn[:, 2:] * 2 - 1) * scale * self.strength)
        lr = imresize(moved, 1 / scale).clamp(0, 1)
        return quantise(poisson(lr, self.strength, random))


BICUBIC, MILD, WILD = Bicubic(), Camera(), Camera(each=True)


def quantise(x: Tensor) -> Tensor:
    """Clip to [0, 1] and round to 8-bit levels."""
    return (x.clamp(0, 1) * 255).round() / 255


def gaussian_kernel(sigma_along: float, sigma_across: float, angle: float) -> Tensor:
    """A Gaussian longer one way than the other, turned by `angle` radians: (K, K), K odd, sum 1; sigma 0 is a point."""
    reach = math.ceil(3 * max(sigma_along, sigma_across, 1e-6))
    y, x = torch.meshgrid(*[torch.arange(-reach, reach + 1.0)] * 2, indexing="ij")
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    if not max(sigma_along, sigma_across):
        kernel = ((x == 0) & (y == 0)).float()
    else:
        kernel = torch.exp(-((along / max(sigma_along, 1e-6)) ** 2 + (across / max(sigma_across, 1e-6)) ** 2) / 2)
    return kernel / kernel.sum()


def motion_kernel(length: float, angle: float, size: int = 33) -> Tensor:
    """A straight stroke of `length` pixels at `angle` radians: (size, size), sum 1; length 0 is a point."""
    kernel, middle = torch.zeros(size, size), size // 2
    for t in torch.linspace(-0.5, 0.5, 8 * size).tolist():
        y, x = middle + t * length * math.sin(angle), middle + t * length * math.cos(angle)
        top, left = math.floor(y), math.floor(x)
        for row, column, part in (
            (top, left, (1 - y + top) * (1 - x + left)),
            (top, left + 1, (1 - y + top) * (x - left)),
            (top + 1, left, (y - top) * (1 - x + left)),
            (top + 1, left + 1, (y - top) * (x - left)),
        ):
            if 0 <= row < size and 0 <= column < size:
                kernel[row, column] += part
    return kernel / kernel.sum()


def filtered(x: Tensor, kernels: Tensor) -> Tensor:
    """Each picture (N, C, H, W) convolved with its own kernel (N, K, K), edges repeated."""
    count, channels, height, width = x.shape
    reach = kernels.shape[-1] // 2
    padded = F.pad(x, [reach] * 4, mode="replicate").reshape(1, count * channels, height + 2 * reach, width + 2 * reach)
    weights = kernels.flip(-2, -1).to(x).repeat_interleave(channels, dim=0)[:, None]
    return F.conv2d(padded, weights, groups=count * channels).reshape(x.shape)


def shifted(x: Tensor, shifts: Tensor) -> Tensor:
    """Each picture (N, C, H, W) moved down and right by its (N, 2) pixels, whole or not; edges repeated. 0 is exact."""
    if not shifts.any():
        return x
    size = torch.tensor(x.shape[-2:])
    eye = torch.eye(2, 3).repeat(len(x), 1, 1)
    eye[:, :, 2] = (-2 * shifts / size).flip(1)
    grid = F.affine_grid(eye, list(x.shape), align_corners=False).to(x)
    return F.grid_sample(x, grid, mode="bicubic", padding_mode="border", align_corners=False)


def poisson(x: Tensor, strength: float, random: torch.Generator, peak: float = 400.0) -> Tensor:
    """Photon noise: each value is a count around x * peak / strength**2, so its variance is x strength**2 / peak."""
    if not strength:
        return x
    photons = peak / strength**2
    return (torch.poisson((x * photons).cpu(), generator=random) / photons).to(x)
