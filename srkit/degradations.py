"""How an HR photograph becomes the LR picture that a network gets to see."""

from dataclasses import dataclass

from torch import Tensor

from srkit.resize import imresize


@dataclass(frozen=True)
class Bicubic:
    """MATLAB's bicubic shrinking, stored in 8 bits: the degradation of the benchmark papers (DIV2K's bicubic track)."""

    def __call__(self, hr: Tensor, scale: int) -> Tensor:
        """(N, 3, H, W) in [0, 1] to (N, 3, H / scale, W / scale) in [0, 1], rounded to the 256 levels of a file."""
        return quantise(imresize(hr, 1 / scale))


BICUBIC = Bicubic()


def quantise(x: Tensor) -> Tensor:
    """Clip to [0, 1] and round to 8-bit levels."""
    return (x.clamp(0, 1) * 255).round() / 255
