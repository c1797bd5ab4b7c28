"""Networks that turn an LR picture into an SR picture."""

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.files import SrkitError
from srkit.public_names import public_weights
from srkit.resize import imresize

STEPS = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}  # each scale as a product of small ones
SCALES = tuple(STEPS)
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
        layers = []
        for step in STEPS[scale]:
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

    def features(self, lr: Tensor) -> Tensor:
        """What is worked out at LR size: (N, 3, H, W) in [0, 1] to (N, channels, H, W)."""
        features = self.head(lr * 2 - 1 if self.signed else lr)
        return features + self.trunk(features)

    def enlarge(self, features: Tensor, lr: Tensor) -> Tensor:
        """The rest: features (N, channels, H, W), and the LR picture for the skip, to (N, 3, scale H, scale W)."""
        sr = self.tail(self.upsampler(features))
        if self.skip:
            return sr + imresize(lr, self.scale)
        return (sr + 1) / 2 if self.signed else sr

    def forward(self, lr: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W)."""
        return self.enlarge(self.features(lr), lr)


class ResidualDenseBlock(nn.Module):
    """Five 3x3 convs, each seeing all before it; the last one's answer is scaled and added to the input.

    Wang et al. 2018, arXiv:1809.00219, figure 4: LeakyReLU 0.2, `growth` channels a conv, residual scale 0.2.
    """

    def __init__(self, channels: int = 64, growth: int = 32, residual_scale: float = 0.2):
        super().__init__()
        self.residual_scale = residual_scale
        for n in range(5):
            conv = nn.Conv2d(channels + n * growth, growth if n < 4 else channels, 3, padding=1)
            self.add_module(f"conv{n + 1}", conv)

    @property
    def convs(self) -> list[nn.Module]:
        """conv1 to conv5."""
        return list(self.children())

    def forward(self, x: Tensor) -> Tensor:
        seen, (*convs, last) = x, self.convs
        for conv in convs:
            seen = torch.cat([seen, F.leaky_relu(conv(seen), 0.2)], dim=1)  # (N, channels + n growth, H, W)
        return x + self.residual_scale * last(seen)


class RRDB(nn.Sequential):
    """Residual in residual dense block: what three dense blocks make, scaled once more and added (arXiv:1809.00219).

    x + residual_scale dense(dense(dense(x))), as in the authors' code, so that their weights give their pictures.
    """

    def __init__(self, channels: int = 64, growth: int = 32, residual_scale: float = 0.2):
        super().__init__()
        for n in range(3):
            self.add_module(f"rdb{n + 1}", ResidualDenseBlock(channels, growth, residual_scale))
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.residual_scale * super().forward(x)


class RRDBTrunk(nn.Module):
    """RRDBs at LR size between two convolutions: (N, 3, H, W) to features (N, channels, H, W).

    Its weights have the names of ESRGAN's public files; those of its first release and of earlier srkit load as well.
    """

    def __init__(self, channels: int = 64, blocks: int = 23, growth: int = 32, residual_scale: float = 0.2):
        super().__init__()
        self.conv_first = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(channels, growth, residual_scale) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(channels, channels, 3, padding=1)
        small_start(self.body)

    def features(self, lr: Tensor) -> Tensor:
        """What is worked out at LR size: (N, 3, H, W) in [0, 1] to (N, channels, H, W)."""
        features = self.conv_first(lr)
        return features + self.conv_body(self.body(features))

    def forward(self, lr: Tensor) -> Tensor:
        return self.features(lr)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest: Any) -> None:
        mine = {name.removeprefix(prefix): state_dict.pop(name) for name in [*state_dict] if name.startswith(prefix)}
        state_dict.update({prefix + name: value for name, value in public_weights(mine).items()})
        super()._load_from_state_dict(state_dict, prefix, *rest)


class RRDBNet(RRDBTrunk):
    """The generator of ESRGAN: Wang et al. 2018, arXiv:1809.00219, section 3.1. No norm, linear end.

    16.70 M parameters as published: scale 4, 64 channels, 23 blocks, growth 32. Enlarges by nearest neighbour and a
    convolution, once a factor of 2 (or once by 3, which programs that read ESRGAN's files take for a factor of 2).
    """

    def __init__(
        self, scale: int = 4, channels: int = 64, blocks: int = 23, growth: int = 32, residual_scale: float = 0.2
    ):
        _check("scale", scale, SCALES)
        super().__init__(channels, blocks, growth, residual_scale)
        self.scale = scale
        for n in range(len(STEPS[scale])):
            self.add_module(f"conv_up{n + 1}", nn.Conv2d(channels, channels, 3, padding=1))
        self.conv_hr = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_last = nn.Conv2d(channels, 3, 3, padding=1)

    def enlarge(self, features: Tensor, lr: Tensor) -> Tensor:
        """The rest: features (N, channels, H, W) to (N, 3, scale H, scale W)."""
        for n, step in enumerate(STEPS[self.scale]):
            conv = getattr(self, f"conv_up{n + 1}")
            features = F.leaky_relu(conv(F.interpolate(features, scale_factor=step)), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(features), 0.2))

    def forward(self, lr: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W)."""
        return self.enlarge(self.features(lr), lr)


class TwoStageRRDB(nn.Module):
    """Stage one refines at LR size with RRDBs, as RRDBNet's trunk; stage two enlarges by PixelShuffle, as SRResNet."""

    def __init__(
        self, scale: int = 4, channels: int = 64, blocks: int = 23, growth: int = 32, residual_scale: float = 0.2
    ):
        super().__init__()
        _check("scale", scale, SCALES)
        self.scale = scale
        self.stage_one = RRDBTrunk(channels, blocks, growth, residual_scale)
        self.stage_two = nn.Sequential(Upsampler(channels, scale), nn.Conv2d(channels, 3, 3, padding=1))

    def features(self, lr: Tensor) -> Tensor:
        return self.stage_one(lr)  # (N, channels, H, W)

    def enlarge(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.stage_two(features)  # (N, 3, scale H, scale W)

    def forward(self, lr: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W)."""
        return self.enlarge(self.features(lr), lr)


def small_start(network: nn.Module, factor: float = 0.1) -> None:
    """Kaiming's initialisation times `factor`, biases 0: deep residual networks without norm start calmly.

    Wang et al. 2018, arXiv:1809.00219, section 4.1 and its supplement.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
            with torch.no_grad():
                layer.weight.mul_(factor)


def sharpen(sr: Tensor, amount: float) -> Tensor:
    """Unsharp mask: add `amount` times what a Gaussian blur of sigma 1 takes away; 0 changes nothing. (N, 3, H, W)."""
    if not amount:
        return sr
    kernel = torch.exp(-(torch.arange(-3.0, 4.0, device=sr.device) ** 2) / 2)
    kernel = (kernel / kernel.sum()).to(sr.dtype).expand(sr.shape[1], 1, 1, 7)
    blurred = F.pad(sr, (3, 3, 3, 3), mode="replicate")
    blurred = F.conv2d(F.conv2d(blurred, kernel, groups=sr.shape[1]), kernel.mT, groups=sr.shape[1])
    return (sr + amount * (sr - blurred)).clamp(0, 1)


def interpolate(psnr: nn.Module, gan: nn.Module, alpha: float) -> nn.Module:
    """A new network whose every weight is (1 - alpha) PSNR + alpha GAN: from smooth, 0, to textured, 1.

    Network interpolation: Wang et al. 2018, arXiv:1809.00219, section 3.4, equation 4. Both must be of one shape.
    """
    mixed, other = deepcopy(psnr), gan.state_dict()
    for name, value in mixed.state_dict().items():
        if value.is_floating_point():
            value.copy_((1 - alpha) * value + alpha * other[name])
    return mixed


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
    from torch.utils.flop_counter import FlopCounterMode  # slow to import, and rarely asked for

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
