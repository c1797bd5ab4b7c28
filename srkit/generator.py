"""Networks that turn an LR picture into an SR picture."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from srkit.files import SrkitError
from srkit.resize import imresize

SCALES = (2, 3, 4, 8)
ENDS = {"linear": nn.Identity, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class ResidualBlock(nn.Module):
    """3x3 conv, norm, PReLU, 3x3 conv, norm, added to the input (Ledig et al. 2017, figure 4). Keeps (N, C, H, W)."""

    def __init__(self, channels: int = 64, norm: str | None = "batch"):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=norm is None),
            _norm(norm, channels),
            nn.PReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=norm is None),
            _norm(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Upsampler(nn.Sequential):
    """Sub-pixel convolutions (Shi et al. 2016, arXiv:1609.05158): (N, C, H, W) to (N, C, scale H, scale W).

    2, 4 and 8 are steps of x2, 3 is one step of x3; each is a 3x3 conv to step**2 C channels, PixelShuffle, PReLU.
    """

    def __init__(self, channels: int, scale: int):
        steps = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}[scale]
        layers = []
        for step in steps:
            conv = nn.Conv2d(channels, channels * step**2, 3, padding=1)
            layers += [conv, nn.PixelShuffle(step), nn.PReLU()]
        super().__init__(*layers)


class SRResNet(nn.Module):
    """SRResNet, the generator of SRGAN: Ledig et al. 2017, arXiv:1609.04802, figure 4.

    scale: 2, 3, 4 or 8. channels, blocks: 64 and 16 in the paper. norm: "batch" or None. ends_kernel: the size of
    the first and last convolution, 9 in the paper. end: "linear" as in the paper, "tanh" or "sigmoid".
    skip: add the network's answer to the bicubic upscaling of its input, and start as exactly that.
    Speaks [0, 1] outside whatever its end: a Tanh network works on [-1, 1] within itself. A linear end may overshoot.
    """

    def __init__(
        self,
        scale: int = 4,
        channels: int = 64,
        blocks: int = 16,
        norm: str | None = "batch",
        ends_kernel: int = 9,
        end: str = "linear",
        skip: bool = False,
    ):
        super().__init__()
        _check("scale", scale, SCALES)
        _check("norm", norm, ("batch", None))
        _check("end", end, ("linear",) if skip else tuple(ENDS))
        self.scale, self.signed, self.skip = scale, end == "tanh", skip
        self.head = nn.Sequential(nn.Conv2d(3, channels, ends_kernel, padding=ends_kernel // 2), nn.PReLU())
        self.trunk = nn.Sequential(
            *(ResidualBlock(channels, norm) for _ in range(blocks)),
            nn.Conv2d(channels, channels, 3, padding=1, bias=norm is None),
            _norm(norm, channels),
        )
        self.upsampler = Upsampler(channels, scale)
        self.tail = nn.Sequential(nn.Conv2d(channels, 3, ends_kernel, padding=ends_kernel // 2), ENDS[end]())
        if skip:
            nn.init.zeros_(self.tail[0].weight)
            nn.init.zeros_(self.tail[0].bias)

    def forward(self, lr: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W)."""
        x = lr * 2 - 1 if self.signed else lr
        features = self.head(x)  # (N, channels, H, W)
        features = features + self.trunk(features)
        sr = self.tail(self.upsampler(features))  # (N, 3, scale H, scale W)
        if self.skip:
            return sr + imresize(lr, self.scale)
        return (sr + 1) / 2 if self.signed else sr


def _norm(norm: str | None, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


def _check(name: str, value: object, good: tuple) -> None:
    if value not in good:
        raise SrkitError(f"{name} {value!r} is not known to this generator: choose one of {', '.join(map(str, good))}.")


def count_parameters(network: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def multiply_adds(network: nn.Module, height: int, width: int) -> int:
    """Multiply-adds of the convolutions and dense layers for one LR picture of this size, as papers count them."""
    shapes = deepcopy(network).to("meta").eval()  # nothing is computed, and no batch norm sees a picture
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shapes(torch.zeros(1, 3, height, width, device="meta"))
    return counter.get_total_flops() // 2


def receptive_field(network: nn.Module, size: int = 128) -> int:
    """Side, in LR pixels, of the square that the middle of the SR picture depends on, measured by gradient.

    Every LR column with a non-zero gradient counts. A batch norm is asked in eval mode, where it is a fixed scaling;
    a network that sees further than `size` answers `size`. Run on a copy in float64, since far gradients are tiny, and
    on a strip of 8 rows, since as far as it sees to the sides it sees up and down.
    """
    probe = deepcopy(network).cpu().double().eval().requires_grad_(False)
    lr = torch.rand(1, 3, 8, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    lr.requires_grad_()
    sr = probe(lr)
    sr[0, :, sr.shape[-2] // 2, sr.shape[-1] // 2].sum().backward()
    columns = lr.grad[0].abs().sum((0, 1)).nonzero()
    return int(columns.max() - columns.min() + 1)
