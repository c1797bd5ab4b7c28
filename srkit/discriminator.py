"""Networks that tell HR photographs from SR pictures."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from srkit.files import SrkitError


class SRGANDiscriminator(nn.Module):
    """The discriminator of SRGAN: Ledig et al. 2017, arXiv:1609.04802, figure 4.

    Pairs of 3x3 convolutions with stride 1 and 2, batch norm (but for the first) and LeakyReLU 0.2; then a dense
    layer of 1024 and one of 1. Gives the logit, not its Sigmoid: the loss takes the Sigmoid where it is stable.
    crop: side of the square pictures it judges, a multiple of 2 ** len(channels). channels: one number a pair.
    """

    def __init__(self, crop: int = 96, channels: tuple[int, ...] = (64, 128, 256, 512), dense: int = 1024):
        super().__init__()
        stride = 2 ** len(channels)
        if crop % stride:
            raise SrkitError(
                f"a {crop}-pixel crop is not a multiple of {stride}, by which this discriminator shrinks it: "
                f"use --crop {max(1, crop // stride) * stride}."
            )
        layers: list[nn.Module] = []
        before = 3
        for width in channels:
            layers += _conv(before, width, stride=1, norm=before != 3)
            layers += _conv(width, width, stride=2, norm=True)
            before = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(before * (crop // stride) ** 2, dense), nn.LeakyReLU(0.2), nn.Linear(dense, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, crop, crop) in [0, 1] to logits (N, 1): above 0 it takes the picture for a photograph."""
        return self.head(self.features(image * 2 - 1))


def _conv(before: int, after: int, stride: int, norm: bool) -> list[nn.Module]:
    conv = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=not norm)
    return [conv, *([nn.BatchNorm2d(after)] if norm else []), nn.LeakyReLU(0.2)]


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
