"""Networks that tell HR photographs from SR pictures."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from srkit.files import SrkitError

NORMS = ("batch", "instance", "spectral", None)


class SRGANDiscriminator(nn.Module):
    """The discriminator of SRGAN: Ledig et al. 2017, arXiv:1609.04802, figure 4.

    Pairs of 3x3 convolutions with stride 1 and 2, a norm (but for the first) and LeakyReLU 0.2; then dense layers, the
    last to 1. Gives the logit, not its Sigmoid: the loss takes the Sigmoid where it is stable.
    crop: side of the square pictures it judges, a multiple of 2 ** len(channels). channels: one number a pair.
    dense: hidden dense layers, one of 1024 in the paper. norm: "batch" as there, "instance", "spectral" or None.
    "spectral" is of every layer, dense ones too: Miyato et al. 2018, arXiv:1802.05957; so a logit cannot run away.
    """

    def __init__(
        self,
        crop: int = 96,
        channels: tuple[int, ...] = (64, 128, 256, 512),
        dense: int | tuple[int, ...] = 1024,
        norm: Literal["batch", "instance", "spectral"] | None = "batch",
    ):
        super().__init__()
        if norm not in NORMS:
            raise SrkitError(
                f"norm {norm!r} is not known to this discriminator: choose one of {', '.join(NORMS[:-1])}, None."
            )
        stride = check_crop(crop, channels)
        layers: list[nn.Module] = []
        before = 3
        for width in channels:
            layers += _conv(before, width, stride=1, norm=norm if layers or norm == "spectral" else None)
            layers += _conv(width, width, stride=2, norm=norm)
            before = width
        self.features = nn.Sequential(*layers)
        widths = [before * (crop // stride) ** 2, *((dense,) if isinstance(dense, int) else dense)]
        bounded = nn.utils.parametrizations.spectral_norm if norm == "spectral" else nn.Identity()
        hidden = [[bounded(nn.Linear(a, b)), nn.LeakyReLU(0.2)] for a, b in pairwise(widths)]
        last = bounded(nn.Linear(widths[-1], 1))
        self.head = nn.Sequential(nn.Flatten(), *(layer for pair in hidden for layer in pair), last)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, crop, crop) in [0, 1] to logits (N, 1): above 0 it takes the picture for a photograph."""
        return self.head(self.features(image * 2 - 1))


class ConvCritic(SRGANDiscriminator):
    """A Wasserstein critic: instance norm, and a score without bounds instead of a logit; nothing takes its Sigmoid.

    Gulrajani et al. 2017, arXiv:1704.00028, section 4: the gradient penalty is on each picture alone, so no batch norm.
    """

    def __init__(
        self,
        crop: int = 96,
        channels: tuple[int, ...] = (64, 128, 256, 512),
        dense: int | tuple[int, ...] = 1024,
        norm: Literal["batch", "instance", "spectral"] | None = "instance",
    ):
        super().__init__(crop, channels, dense, norm)


def check_crop(crop: int, channels: tuple[int, ...], scale: int = 1) -> int:
    """How many times smaller the last feature map is than the crop; SrkitError where that does not divide it."""
    stride = 2 ** len(channels)
    if crop % stride:
        step = math.lcm(stride, scale)
        raise SrkitError(
            f"a {crop}-pixel crop is not a multiple of {stride}, by which this discriminator shrinks it: "
            f"use --crop {max(1, crop // step) * step}."
        )
    return stride


def _conv(before: int, after: int, stride: int, norm: str | None) -> list[nn.Module]:
    conv = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=norm in (None, "spectral"))
    if norm == "spectral":
        return [nn.utils.parametrizations.spectral_norm(conv), nn.LeakyReLU(0.2)]
    norms = {"batch": nn.BatchNorm2d, "instance": lambda width: nn.InstanceNorm2d(width, affine=True)}
    return [conv, *([norms[norm](after)] if norm else []), nn.LeakyReLU(0.2)]


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """A network that passes gradients through itself and gathers none: `with frozen(discriminator): ...`"""
    parameters = [p for p in network.parameters() if p.requires_grad]
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)


@torch.no_grad()
def accuracy(discriminator: nn.Module, hr: Tensor, sr: Tensor) -> float:
    """Share of pictures judged rightly: HR above 0, SR below; 0.5 is guessing. hr, sr: (N, 3, crop, crop)."""
    right = (discriminator(hr) > 0).float().mean() + (discriminator(sr) < 0).float().mean()
    return float(right / 2)


def gradient_map(discriminator: nn.Module, image: Tensor) -> Tensor:
    """How much each pixel moves the logit: |dz/dx| summed over channels, (1, 3, crop, crop) to (crop, crop)."""
    x = image.detach().requires_grad_()
    with frozen(discriminator):
        (slope,) = torch.autograd.grad(discriminator(x).sum(), x)
    return slope[0].abs().sum(0)


@torch.no_grad()
def exchange_map(discriminator: nn.Module, image: Tensor, other: Tensor, tiles: int = 8) -> Tensor:
    """How far the logit moves when one tile of `image` is replaced by that of `other`, each alone: (tiles, tiles).

    image, other: (1, 3, crop, crop), crop a multiple of tiles. An occlusion map (Zeiler and Fergus 2014,
    arXiv:1311.2901) with a second picture in the place of grey. Ask in eval mode, where crops do not see each other.
    """
    side = image.shape[-1] // tiles
    tried = [image]
    for top in range(0, side * tiles, side):
        for left in range(0, side * tiles, side):
            mixed = image.clone()
            mixed[..., top : top + side, left : left + side] = other[..., top : top + side, left : left + side]
            tried.append(mixed)
    logits = discriminator(torch.cat(tried))
    return (logits[1:] - logits[0]).reshape(tiles, tiles)
