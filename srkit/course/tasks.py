"""What the coding exercises are tried with: hidden inputs, the right way, and the usual mistakes.

A mistake is a function that makes it: a student's function that gives the same has made it too, and hears of it.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn

from srkit.course.tasks_real import REAL
from srkit.course.trials import Task
from srkit.features import IMAGENET_MEAN, IMAGENET_STD
from srkit.images import to_image
from srkit.kernels import filtered, gaussian_kernel
from srkit.losses import RelativisticAverage
from srkit.metrics import psnr_rgb, psnr_y
from srkit.noise import quantise
from srkit.resize import imresize


def _keys(t: np.ndarray) -> np.ndarray:
    near, far = 1.5 * abs(t) ** 3 - 2.5 * t**2 + 1, -0.5 * abs(t) ** 3 + 2.5 * t**2 - 4 * abs(t) + 2
    return np.where(abs(t) <= 1, near, np.where(abs(t) < 2, far, 0))


def _weights(k: int, s: int) -> Tensor:
    """What one white LR pixel, at each of nine places, leaves in the SR pixel: its weights, measured."""
    rows = torch.eye(9, dtype=torch.float64).reshape(9, 1, 1, 9)
    return imresize(rows, s)[2:7, 0, 0, 4 * s + k]


def _crops(hr: Tensor, scale: int, top: int, left: int, size: int, factor: int = 1) -> tuple[Tensor, Tensor]:
    height, width = (n // scale * scale for n in hr.shape[-2:])
    lr = imresize(hr[..., :height, :width], 1 / scale)[..., top : top + size, left : left + size]
    rows, columns = (slice(factor * n, factor * n + scale * size) for n in (top, left))
    return lr, hr[..., rows, columns]


def _in_black(hr: Tensor, kernel: Tensor, scale: int) -> Tensor:
    blurred = F.conv2d(hr, kernel.expand(3, 1, -1, -1), padding="same", groups=3)
    return quantise(imresize(blurred, 1 / scale))


def _field(layers: list[tuple[int, int]]) -> int:
    """Values of the input that have a gradient, through convolutions of ones."""
    x = torch.ones(1, 1, 400, dtype=torch.float64, requires_grad=True)
    y = x
    for kernel, stride in layers:
        y = F.conv1d(y, torch.ones(1, 1, kernel, dtype=torch.float64), stride=stride)
    (slope,) = torch.autograd.grad(y[0, 0, 0], x)
    return int((slope > 0).sum())


def _smoothed(z_hr: Tensor, z_sr: Tensor, smooth: float) -> Tensor:
    bce = F.binary_cross_entropy_with_logits
    return bce(z_hr, torch.full_like(z_hr, 1 - smooth)) + bce(z_sr, torch.zeros_like(z_sr))


def _as_written(z_hr: Tensor, z_sr: Tensor, smooth: float) -> Tensor:
    d, fake = torch.sigmoid(z_hr), torch.sigmoid(z_sr)
    return -((1 - smooth) * d.log() + smooth * (1 - d).log()).mean() - (1 - fake).log().mean()


def _side(side: int, layers: list[tuple[int, int, int]], paddings: int = 2, more: int = 1) -> int:
    for kernel, stride, padding in layers:
        side = (side + paddings * padding - kernel) // stride + more
    return side


def _slope_of(function: Callable, by: Tensor, *arguments: object) -> list[Tensor]:
    """What a loss gives, and its gradient by one of its arguments or weights: 0 where none arrives."""
    value = function(*arguments)
    has_way = isinstance(value, Tensor) and value.requires_grad
    slope = torch.autograd.grad(value, by, allow_unused=True)[0] if has_way else None
    return [value, torch.zeros_like(by) if slope is None else slope]


def _critic() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 6), nn.Softplus(), nn.Linear(6, 1))


def _penalty(measure: Callable[[Tensor], Tensor]) -> Callable:
    def penalty(critic: nn.Module, hr: Tensor, sr: Tensor, mix: Tensor) -> Tensor:
        x = (mix * hr + (1 - mix) * sr).requires_grad_()
        (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
        return measure(slope.flatten(1))

    return penalty


def _features(normalise: bool = True, way_back: bool = True) -> Callable:
    def feature_loss(features: nn.Module, sr: Tensor, hr: Tensor) -> Tensor:
        centre, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        a, b = (features((x - centre) / spread if normalise else x) for x in (sr if way_back else sr.detach(), hr))
        return F.mse_loss(a, b.detach())

    return feature_loss


def _gan() -> tuple:
    generator = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 3, padding=1))
    discriminator = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(64, 1))
    return generator, discriminator, torch.rand(2, 4, 3, 4, 4), torch.rand(2, 4, 3, 8, 8)


def _two_steps(function: Callable, generator: nn.Module, discriminator: nn.Module, lr: Tensor, hr: Tensor) -> list:
    """Weights after two steps; did the discriminator gather gradients in the generator's half? Can all still learn?"""
    optimisers = [torch.optim.SGD(network.parameters(), 0.5) for network in (generator, discriminator)]
    gathered, halves = [], []
    for weight in discriminator.parameters():
        weight.register_hook(lambda _: gathered.append(not halves))
    optimisers[0].register_step_post_hook(lambda *_: halves.append("generator"))
    for pair in zip(lr, hr, strict=True):
        halves.clear()
        if function(generator, discriminator, *optimisers, *pair, 0.1) is ...:
            return [...]
    weights = [*generator.parameters(), *discriminator.parameters()]
    return [*weights, float(any(gathered)), float(all(weight.requires_grad for weight in weights))]


def _step(mean: Callable = torch.mean, detach=True, freeze=True, forget=True) -> Callable:
    """A step of a GAN, right or with one thing amiss; softplus(-z) is -log D."""

    def step(generator, discriminator, g_optimiser, d_optimiser, lr, hr, weight) -> None:
        if forget:
            g_optimiser.zero_grad()
        sr = generator(lr)
        discriminator.requires_grad_(not freeze)
        (mean((sr - hr) ** 2) + weight * mean(F.softplus(-discriminator(sr)))).backward()
        g_optimiser.step()
        discriminator.requires_grad_(True)
        if forget:
            d_optimiser.zero_grad()
        sr = sr.detach() if detach else sr
        (mean(F.softplus(-discriminator(hr))) + mean(F.softplus(discriminator(sr)))).backward()
        d_optimiser.step()

    return step


def _states() -> tuple[dict, dict, float]:
    """The states of two networks with batch norm, which have seen one batch, and two."""
    networks = [nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)) for _ in range(2)]
    for network in (networks[0], networks[1], networks[1]):
        network(torch.rand(2, 3, 8, 8))
    return *(network.state_dict() for network in networks), 0.9


def _averaged(average: dict, now: dict, decay: float) -> dict:
    return {name: v.lerp(now[name], 1 - decay) if v.is_floating_point() else now[name] for name, v in average.items()}


def _pictures() -> tuple[Tensor, Tensor, int]:
    hr = quantise(F.interpolate(torch.rand(1, 3, 8, 8), scale_factor=5, mode="bicubic"))
    error = 0.04 * torch.randn_like(hr)
    error[..., :3, :] *= 6
    return hr + error, hr, 3


def _scores() -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Two methods on thirty photographs that differ far more than the methods do; the gain's mean is sure to +-1."""
    hard, gains = 28 + 40 * torch.randn(30).double().numpy(), 0.5 + 30**0.5 * torch.randn(30).double().numpy()
    return hard + gains, hard, np.random.default_rng(5)


def _means(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(scores, (9999, len(scores))).mean(axis=1)


TASKS = {
    "enlarging_weights": Task(
        lambda: [(1, 2), (0, 3), (1, 4)][int(torch.randint(3, ()))],
        _weights,
        {"centre": lambda k, s: _keys(np.arange(-2, 3) - k / s)},
    ),
    "crop_pair": Task(
        lambda: (torch.rand(1, 3, 43, 50), 3, *torch.randint(1, 5, (2,)).tolist(), 8),
        lambda hr, scale, *where: _crops(hr, scale, *where, factor=scale),
        {
            "first": lambda hr, scale, *where: (
                imresize((crop := _crops(hr, scale, *where, scale)[1]), 1 / scale),
                crop,
            ),
            "place": _crops,
        },
    ),
    "degrade": Task(
        lambda: (torch.rand(2, 3, 24, 30), gaussian_kernel(1.2, 1.2, 0.0), 2),
        lambda hr, kernel, scale: quantise(imresize(filtered(hr, kernel), 1 / scale)),
        {
            "border": _in_black,
            "order": lambda hr, kernel, scale: quantise(filtered(imresize(hr, 1 / scale), kernel)),
            "levels": lambda hr, kernel, scale: imresize(filtered(hr, kernel), 1 / scale),
        },
    ),
    "edsr_block": Task(
        lambda: (torch.randn(2, 4, 6, 6), *(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2)), 0.1),
        lambda x, a, b, scaling: torch.add(x, b(a(x).clamp(min=0)), alpha=scaling),
        {
            "shortcut": lambda x, a, b, scaling: scaling * b(F.relu(a(x))),
            "all": lambda x, a, b, scaling: scaling * (x + b(F.relu(a(x)))),
        },
    ),
    "unshuffle": Task(
        lambda: (torch.rand(2, 3, 12, 6), 3),
        F.pixel_unshuffle,
        {
            "order": lambda x, r: F.pixel_unshuffle(x.mT, r).mT,
            "reshape": lambda x, r: x.reshape(2, 3 * r * r, 12 // r, 6 // r),
        },
    ),
    "field_by_counting": Task(
        lambda: ([(3, 2), *((2 * n + 1, n) for n in (torch.randint(3, (3,)) + 1).tolist()), (5, 1)],),
        _field,
        {"stride": lambda layers: 1 + sum(kernel - 1 for kernel, _ in layers)},
    ),
    "smoothed_loss": Task(
        lambda: (60 * torch.randn(8, 1), 60 * torch.randn(8, 1), 0.1),
        _smoothed,
        {
            "written": _as_written,
            "labels": lambda z_hr, z_sr, smooth: _smoothed(z_sr, z_hr, smooth),
            "both": lambda z_hr, z_sr, smooth: _smoothed(z_hr, z_sr, smooth) - smooth * z_sr.mean(),
            "sum": lambda z_hr, z_sr, smooth: _smoothed(z_hr, z_sr, smooth) * len(z_hr),
        },
    ),
    "side_after": Task(
        lambda: (int(torch.randint(40, 60, ())) * 2 + 1, [(3, 2, 1), (4, 2, 1), (3, 1, 1), (4, 3, 0)]),
        _side,
        {"once": lambda *given: _side(*given, paddings=1), "one": lambda *given: _side(*given, more=0)},
    ),
    "penalty": Task(
        lambda: (_critic(), *torch.rand(2, 5, 3, 4, 4), torch.rand(5, 1, 1, 1)),
        _penalty(lambda slopes: (slopes.norm(dim=1) - 1).square().mean()),
        {
            "graph": _penalty(lambda slopes: (slopes.norm(dim=1) - 1).square().mean().detach()),
            "batch": _penalty(lambda slopes: (slopes.norm() - 1).square()),
        },
        outcome=lambda function, critic, *pictures: _slope_of(function, critic[1].weight, critic, *pictures),
    ),
    "relativistic_for_discriminator": Task(
        lambda: (2 + 2 * torch.randn(6, 1), 2 * torch.randn(6, 1)),
        RelativisticAverage().for_discriminator,
        {
            "plain": lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean(),
            "sides": lambda r, f: RelativisticAverage().for_discriminator(f, r),
            "sum": lambda r, f: len(r) * RelativisticAverage().for_discriminator(r, f),
        },
    ),
    "feature_loss": Task(
        lambda: (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), *torch.rand(2, 2, 3, 8, 8)),
        _features(),
        {"normalise": _features(normalise=False), "way back": _features(way_back=False)},
        outcome=lambda function, net, sr, hr: _slope_of(function, sr, net, sr.requires_grad_(), hr),
    ),
    "gan_step": Task(
        _gan,
        _step(),
        {
            "detach": _step(detach=False),
            "freeze": _step(freeze=False),
            "forget": _step(forget=False),
            "sum": _step(mean=torch.sum),
        },
        outcome=_two_steps,
    ),
    "average_weights": Task(
        _states,
        _averaged,
        {
            "side": lambda average, now, decay: _averaged(average, now, 1 - decay),
            "counts": lambda average, now, decay: {n: decay * average[n] + (1 - decay) * now[n] for n in now},
        },
        outcome=lambda function, average, *given: (found := function(average, *given)) and [found[n] for n in average],
    ),
    "psnr_of_network": Task(
        _pictures,
        lambda sr, hr, scale: psnr_y(to_image(sr), to_image(hr), scale),
        {
            "luma": lambda sr, hr, scale: psnr_rgb(to_image(sr), to_image(hr), scale),
            "border": lambda sr, hr, scale: psnr_y(to_image(sr), to_image(hr), 0),
        },
    ),
    "gain_interval": Task(
        _scores,
        lambda a, b, rng: stats.bootstrap((a - b,), np.mean, method="percentile", rng=rng).confidence_interval,
        {
            "apart": lambda a, b, rng: np.percentile(_means(a, rng) - _means(b, rng), [2.5, 97.5]),
            "spread": lambda a, b, rng: np.percentile(a - b, [2.5, 97.5]),
        },
        within=0.15,
    ),
} | REAL
