"""How an HR photograph becomes the LR picture that a network gets to see. On the device of the picture, in batch.

All are called as degradation(hr, scale, seed): hr (N, 3, H, W) in [0, 1], height and width multiples of scale; the
LR is (N, 3, H / scale, W / scale) in [0, 1], rounded to the 256 levels of a file. What is random depends on seed alone.
A degradation with `fresh` is drawn anew for each crop that training takes; the others degrade a photograph once.
One with `directed` blurs or moves every picture the same way, so training must not turn its pairs of LR and HR.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from srkit.files import SrkitError, check_numbers, find_named
from srkit.high_order import HighOrder
from srkit.images import to_image, to_tensor
from srkit.kernels import filtered, gaussian_kernel, motion_kernel, shifted
from srkit.noise import gaussian, jpeg, poisson, quantise
from srkit.resize import imresize

FULL_WELL = 400  # photons of `Camera` where a picture is white
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

    def __post_init__(self) -> None:
        check_numbers(0.0, 20.0, sigma=self.sigma)

    def __call__(self, hr: Tensor, scale: int, seed: int = 0) -> Tensor:
        kernel = gaussian_kernel(self.sigma, self.sigma, 0.0)
        return quantise(imresize(filtered(hr, kernel), 1 / scale))


@dataclass(frozen=True)
class Unknown:
    """One hidden blur, longer one way than the other, and one hidden shift, the same for every picture.

    After DIV2K's track "unknown" (Timofte et al. 2017, NTIRE challenge on single image super-resolution), whose kernels
    were never published. strength scales the blur's sigmas and the shift; 0 is Bicubic.
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(0.0, 10.0, strength=self.strength)

    @property
    def directed(self) -> bool:
        """Whether every picture is blurred and moved the same way."""
        return self.strength > 0

    def __call__(self, hr: Tensor, scale: int, seed: int = 0) -> Tensor:
        random = torch.Generator().manual_seed(HIDDEN_SEED)
        long, short, turn, *shift = torch.rand(5, generator=random).tolist()
        sigmas = ((0.6 + 0.4 * long) * scale * self.strength, (0.3 + 0.2 * short) * scale * self.strength)
        kernel = gaussian_kernel(*sigmas, turn * math.pi)
        shifts = torch.tensor([shift]) * 2 - 1  # at most one LR pixel to either side
        moved = shifted(filtered(hr, kernel), shifts * scale * self.strength)
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
        check_numbers(0.0, 10.0, strength=self.strength)

    @property
    def directed(self) -> bool:
        """Whether every picture is blurred and moved the same way."""
        return self.strength > 0 and not self.each

    def __call__(self, hr: Tensor, scale: int, seed: int = 0) -> Tensor:
        random = torch.Generator().manual_seed(seed)
        drawn = torch.rand(len(hr), 4, generator=random)
        if not self.each:
            drawn = torch.rand(1, 4, generator=torch.Generator().manual_seed(HIDDEN_SEED))
        lengths, turns = (1 + drawn[:, 0]) * scale * self.strength, drawn[:, 1] * math.pi  # HR pixels
        size = max(33, 2 * math.ceil(scale * self.strength) + 1)  # the longest stroke fits
        moves = zip(lengths.tolist(), turns.tolist(), strict=True)
        kernels = torch.stack([motion_kernel(length, turn, size) for length, turn in moves])
        moved = shifted(filtered(hr, kernels), (drawn[:, 2:] * 2 - 1) * scale * self.strength)
        lr = imresize(moved, 1 / scale).clamp(0, 1)
        return quantise(poisson(lr, FULL_WELL / self.strength**2, random) if self.strength else lr)


@dataclass(frozen=True)
class Noise:
    """Gaussian noise of `sigma` grey levels, 0 to 255, rounded and clipped; grey is the same in all three channels.

    It leaves the size as it is: a step of `Then`. Raises SrkitError for a sigma out of range.
    """

    sigma: float
    grey: bool = False

    def __post_init__(self) -> None:
        check_numbers(0.0, 255.0, sigma=self.sigma)

    def __call__(self, hr: Tensor, scale: int = 1, seed: int = 0) -> Tensor:
        return quantise(gaussian(hr, self.sigma, self.grey, torch.Generator().manual_seed(seed)))


@dataclass(frozen=True)
class Jpeg:
    """What a JPEG file of this quality, 1 to 100, gives back, written and read by Pillow with its usual 4:2:0 colours.

    It leaves the size as it is: a step of `Then`. Raises SrkitError for a quality out of range.
    """

    quality: int

    def __post_init__(self) -> None:
        check_numbers(1, 100, quality=self.quality)

    def __call__(self, hr: Tensor, scale: int = 1, seed: int = 0) -> Tensor:
        return torch.cat([jpeg(picture, self.quality) for picture in hr])


@dataclass(frozen=True)
class Then:
    """One step after another, as a camera does: Then(BlurDown(1.6), Noise(10), Jpeg(40)). One of them shrinks.

    Raises SrkitError, when it is called, where the steps together do not give an LR picture of the right size.
    """

    steps: tuple[Callable[[Tensor, int, int], Tensor], ...]

    def __init__(self, *steps: Callable[[Tensor, int, int], Tensor]):
        object.__setattr__(self, "steps", steps)

    @property
    def fresh(self) -> bool:
        """Whether one of the steps is drawn anew for each crop."""
        return any(getattr(step, "fresh", False) for step in self.steps)

    @property
    def directed(self) -> bool:
        """Whether one of the steps treats every picture the same way."""
        return any(getattr(step, "directed", False) for step in self.steps)

    def __call__(self, hr: Tensor, scale: int, seed: int = 0) -> Tensor:
        lr = hr
        for number, step in enumerate(self.steps):
            lr = step(lr, scale, seed + number)
        return of_size(lr, hr, scale, self)


BICUBIC, MILD, WILD = Bicubic(), Camera(), Camera(each=True)
DEGRADATIONS = {"bicubic": BICUBIC, "blur": BlurDown(), "unknown": Unknown(), "mild": MILD, "wild": WILD}
DEGRADATIONS |= {"noise": Then(BICUBIC, Noise(10)), "jpeg": Then(BICUBIC, Jpeg(40)), "high_order": HighOrder()}


def find_degradation(name: str) -> Callable[[Tensor, int, int], Tensor]:
    """A degradation by its name in DEGRADATIONS. Raises SrkitError with the nearest name, and all of them."""
    return find_named("degradation", name, DEGRADATIONS)


def degrade(
    hr: np.ndarray, scale: int, degradation: Callable[[Tensor, int, int], Tensor] = BICUBIC, seed: int = 0
) -> np.ndarray:
    """The LR of one uint8 picture (H, W, 3), sides multiples of scale: (H / scale, W / scale, 3) uint8.

    Raises SrkitError where the degradation makes another size of it.
    """
    x = to_tensor(hr)
    return to_image(of_size(degradation(x, scale, seed), x, scale, degradation))


def of_size(lr: Tensor, hr: Tensor, scale: int, degradation: object) -> Tensor:
    """lr as it is, where it is of the size that hr has at 1 / scale. Raises SrkitError where it is not."""
    right = tuple(side // scale for side in hr.shape[-2:])
    if lr.shape[-2:] != right:
        raise SrkitError(
            f"{degradation!r} makes {lr.shape[-1]} x {lr.shape[-2]} of {hr.shape[-1]} x {hr.shape[-2]} at x{scale}, in "
            f"place of {right[1]} x {right[0]}: let exactly one of its steps shrink, as Then(Bicubic(), Jpeg(40)) does."
        )
    return lr
