"""The degradation of Real-ESRGAN: what a photograph from the web went through, drawn at random for each crop."""

import math
from dataclasses import dataclass
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.files import SrkitError, check_numbers
from srkit.kernels import filtered, gaussian_kernel, plateau_kernel, sinc_kernel
from srkit.noise import gaussian, jpeg, photons, quantise
from srkit.resize import imresize


@dataclass(frozen=True)
class Order:
    """The ranges of one pass of `HighOrder`, of which each is drawn evenly.

    blur: its probability. sigma: of the kernel, pixels. ways: weights of enlarging, shrinking and keeping the size.
    factors: the least and most of a resize. gaussian: sigma of the noise, grey levels. poisson: scale of the noise.
    """

    blur: float
    sigma: tuple[float, float]
    ways: tuple[float, float, float]
    factors: tuple[float, float]
    gaussian: tuple[float, float]
    poisson: tuple[float, float]


FIRST = Order(1.0, (0.2, 3.0), (0.2, 0.7, 0.1), (0.15, 1.5), (1, 30), (0.05, 3.0))
SECOND = Order(0.8, (0.2, 1.5), (0.3, 0.4, 0.3), (0.3, 1.2), (1, 25), (0.05, 2.5))
KERNELS = {("gaussian", 1): 0.45, ("gaussian", 2): 0.25, ("generalised", 1): 0.12, ("generalised", 2): 0.03}
KERNELS |= {("plateau", 1): 0.12, ("plateau", 2): 0.03}  # shape, and how many sigmas it has: one is round
SIZES = range(7, 22, 2)  # of a kernel, pixels
QUALITIES = (30, 95)  # of a JPEG
SINC, LAST_SINC, GREY, GAUSSIAN = 0.1, 0.8, 0.4, 0.5  # probabilities


@dataclass(frozen=True)
class HighOrder:
    """Blur, resize, noise and JPEG, twice over, drawn anew for each crop: what a photograph from the web went through.

    Wang et al. 2021, Real-ESRGAN, arXiv:2107.10833, with the numbers of its published training options. As there, the
    resizes between are not antialiased. strength, 0 to 1, scales the sigmas, the noise, the loss of quality and the
    logarithms of the resizes, and is the probability of a resize without antialiasing; 0 is Bicubic.
    Raises SrkitError for a strength out of range, and for a picture smaller than the largest kernel.
    """

    strength: float = 1.0
    fresh = True

    def __post_init__(self) -> None:
        check_numbers(0.0, 1.0, strength=self.strength)

    def __call__(self, hr: Tensor, scale: int, seed: int = 0) -> Tensor:
        if min(hr.shape[-2:]) < SIZES[-1]:
            raise SrkitError(
                f"a picture of {hr.shape[-1]} x {hr.shape[-2]} is smaller than the largest blur, {SIZES[-1]} pixels a "
                f"side: use a crop of {SIZES[-1]} or more, or a degradation without such a blur."
            )
        if not self.strength:
            return quantise(imresize(hr, 1 / scale))
        random = Random(seed)
        return torch.cat([self._degrade(picture[None], scale, random) for picture in hr])

    def _degrade(self, x: Tensor, scale: int, random: Random) -> Tensor:
        height, width = small = x.shape[-2] // scale, x.shape[-1] // scale
        x = self._blur(x, FIRST, random)
        factor = self._factor(FIRST, random)
        x = self._resize(x, (height * scale * factor, width * scale * factor), random)
        x = self._jpeg(self._noise(x, FIRST, random), random)
        if random.random() < SECOND.blur:
            x = self._blur(x, SECOND, random)
        factor = self._factor(SECOND, random)
        x = self._noise(self._resize(x, (height * factor, width * factor), random), SECOND, random)
        if random.random() < 0.5:
            return self._jpeg(self._end(x, small, random), random)
        return quantise(self._end(self._jpeg(x, random), small, random))

    def _blur(self, x: Tensor, order: Order, random: Random) -> Tensor:
        size = random.choice(SIZES)
        if random.random() < SINC:
            return filtered(x, self._sinc(size, 3 if size < 13 else 5, random))
        ((shape, sigmas),) = random.choices(list(KERNELS), list(KERNELS.values()))
        along = across = random.uniform(*order.sigma) * self.strength
        angle = 0.0
        if sigmas == 2:
            across, angle = random.uniform(*order.sigma) * self.strength, random.uniform(-math.pi, math.pi)
        if shape == "plateau":
            beta = 1 if random.random() < 0.5 else random.uniform(1, 2)
            return filtered(x, plateau_kernel(along, across, angle, size, beta))
        beta = 1.0
        if shape == "generalised":
            beta = random.uniform(0.5, 1) if random.random() < 0.5 else random.uniform(1, 4)
        return filtered(x, gaussian_kernel(along, across, angle, size, beta))

    def _sinc(self, size: int, least: int, random: Random) -> Tensor:
        cutoff = random.uniform(math.pi / least, math.pi)
        return sinc_kernel(math.pi - self.strength * (math.pi - cutoff), size)

    def _factor(self, order: Order, random: Random) -> float:
        """How much larger a picture gets: the published factor to the power of strength."""
        least, most = order.factors
        low, high = random.choices([(1, most), (least, 1), (1, 1)], order.ways)[0]
        return random.uniform(low, high) ** self.strength

    def _resize(self, x: Tensor, size: tuple[float, float], random: Random) -> Tensor:
        mode = random.choice(["area", "bilinear", "bicubic"])
        antialias = random.random() >= self.strength and mode != "area"
        return F.interpolate(x, [max(1, int(side)) for side in size], mode=mode, antialias=antialias)

    def _noise(self, x: Tensor, order: Order, random: Random) -> Tensor:
        grey, generator = random.random() < GREY, torch.Generator().manual_seed(random.getrandbits(63))
        if random.random() < GAUSSIAN:
            return gaussian(x, random.uniform(*order.gaussian) * self.strength, grey, generator)
        return photons(x, random.uniform(*order.poisson) * self.strength, grey, generator)

    def _jpeg(self, x: Tensor, random: Random) -> Tensor:
        return jpeg(x, round(100 - self.strength * (100 - random.uniform(*QUALITIES))))

    def _end(self, x: Tensor, size: tuple[int, int], random: Random) -> Tensor:
        x = self._resize(x, size, random)
        return filtered(x, self._sinc(random.choice(SIZES), 3, random)) if random.random() < LAST_SINC else x


def crisp(hr: Tensor) -> Tensor:
    """HR (N, C, H, W) with an unsharp mask, but where it is nearly flat: what Real-ESRGAN's losses compare with.

    Half of what a Gaussian blur of 51 pixels and sigma 8 takes away is added where that is over 10 grey levels; a blur
    of that mask makes its border soft (arXiv:2107.10833, section 3.5, and the defaults of its published code).
    There LR is made of this picture too; here it is made of HR itself, as of every other degradation.
    """
    line = torch.exp(-((torch.arange(-25.0, 26.0, device=hr.device) / 8) ** 2) / 2)
    line = line / line.sum()
    detail = hr - _lines(hr, line)
    mask = _lines((detail.abs() * 255 > 10).to(hr.dtype), line)
    return hr + mask * ((hr + 0.5 * detail).clamp(0, 1) - hr)


def _lines(x: Tensor, line: Tensor) -> Tensor:
    """Pictures filtered with a symmetric line (K,) along rows and columns, edges repeated."""
    padded = F.pad(x, [len(line) // 2] * 4, mode="replicate").flatten(0, 1)[:, None]
    return F.conv2d(F.conv2d(padded, line.view(1, 1, 1, -1)), line.view(1, 1, -1, 1)).view(x.shape)
