"""What training minimises: content losses compare SR with HR, adversarial losses ask the discriminator.

Each loss is a small frozen record, so a recipe that holds it is data.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.features import Features, lpips_network, vgg_features, vgg_index
from srkit.files import SrkitError

CHARBONNIER_EPSILON = 1e-3
PSNR_FLOOR = 1e-4  # MSE, 40 dB: a picture that is better counts for little
DISTANCES = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "charbonnier": lambda a, b: ((a - b).square() + CHARBONNIER_EPSILON**2).sqrt().mean(),
    "psnr": lambda a, b: ((a - b).square().mean((1, 2, 3)) / PSNR_FLOOR).log1p().mean(),
}


class Loss:
    """A loss of a phase; called as loss(sr, hr), both (N, 3, H, W) in [0, 1], it gives a scalar tensor.

    term: the column of the history that takes its value; losses of one term are added there.
    """

    term = "pixel"

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        raise NotImplementedError

    def ready(self, device: torch.device | str) -> object:
        """Load what the loss needs, such as a network's weights; SrkitError where it cannot be had."""


class AdversarialLoss(Loss):
    """A loss on the discriminator's logits of SR and HR, (N, 1) each, with a side for each of the two networks.

    penalty: weight of the gradient penalty in the discriminator's loss, 0 for none. critic_steps: steps of the
    discriminator to one of the generator. needs_real: whether the generator's side takes the logits of HR too.
    """

    term = "adversarial"
    penalty: float = 0.0
    critic_steps: int = 1
    needs_real = False

    def for_generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def for_discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        raise NotImplementedError

    def verdicts(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """What a history shows of HR's and SR's logits, as d_hr and d_sr."""
        raise NotImplementedError


@dataclass(frozen=True)
class Pixel(Loss):
    """Mean difference of pixels: "mse", (sr - hr)**2, as SRResNet; "l1", |sr - hr|; "charbonnier"; or "psnr".

    Charbonnier is sqrt((sr - hr)**2 + 1e-6), an L1 that is smooth at 0: Lai et al. 2017, arXiv:1704.03915, equation 2.
    "psnr" is log(1 + MSE / 1e-4) of each picture, so that a dB counts alike on easy and hard ones, as in a set's mean:
    after Chen et al. 2021, arXiv:2105.06086.
    """

    kind: Literal["mse", "l1", "charbonnier", "psnr"] = "mse"

    def __post_init__(self) -> None:
        _check("pixel loss", self.kind, DISTANCES)

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        return DISTANCES[self.kind](sr, hr)


@dataclass(frozen=True)
class Perceptual(Loss):
    """Mean distance of VGG features: Ledig et al. 2017, arXiv:1609.04802, equation 5.

    layer: "conv5_4" is the fourth convolution before the fifth pooling; after its ReLU it is that paper's VGG 5,4,
    before it (activation=False) what ESRGAN takes, arXiv:1809.00219, section 3.3. distance: "mse" or "l1".
    weights: "imagenet", by torchvision's ordinary download, or "random", which proves that the code runs and no more.
    """

    network: Literal["vgg16", "vgg19"] = "vgg19"
    layer: str = "conv5_4"
    activation: bool = True
    distance: Literal["mse", "l1"] = "mse"
    weights: Literal["imagenet", "random"] = "imagenet"
    term = "perceptual"

    def __post_init__(self) -> None:
        vgg_index(self.network, self.layer)
        _check("feature distance", self.distance, ("mse", "l1"))
        _check("perceptual weights", self.weights, ("imagenet", "random"))

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        features = self.ready(sr.device)
        with torch.no_grad():
            truth = features(hr)
        return DISTANCES[self.distance](features(sr), truth)

    def ready(self, device: torch.device | str) -> Features:
        """The network that it looks through; SrkitError where its weights cannot be had."""
        return vgg_features(self.network, self.layer, self.weights, torch.device(device), self.activation)


@dataclass(frozen=True)
class LPIPS(Loss):
    """Learned perceptual image patch similarity as a loss, 0 for equal pictures: Zhang et al. 2018, arXiv:1801.03924.

    network: "alex", "squeeze" or "vgg". A network trained on a metric is not to be judged by that metric alone.
    shift: SR and HR are rolled together by a random number of rows and columns below it. AlexNet steps over four pixels
    at a time; seen from the same ones at each step, a generator could learn to please those alone.
    """

    network: Literal["alex", "squeeze", "vgg"] = "alex"
    weights: Literal["imagenet", "random"] = "imagenet"
    shift: int = 1
    term = "perceptual"

    def __post_init__(self) -> None:
        _check("LPIPS network", self.network, ("alex", "squeeze", "vgg"))
        _check("perceptual weights", self.weights, ("imagenet", "random"))

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        down, right = torch.randint(self.shift, (2,), device=sr.device)
        rows = (torch.arange(sr.shape[2], device=sr.device) - down) % sr.shape[2]
        columns = (torch.arange(sr.shape[3], device=sr.device) - right) % sr.shape[3]
        sr, hr = (x.index_select(2, rows).index_select(3, columns) for x in (sr, hr))
        return self.ready(sr.device)(sr, hr, normalize=True).mean()

    def ready(self, device: torch.device | str) -> nn.Module:
        return lpips_network(self.network, self.weights, torch.device(device))


@dataclass(frozen=True)
class Checkerboard(Loss):
    """How far SR's local mean is off at each place of a period x period raster: the grid that PixelShuffle can leave.

    0 where SR is as HR on average over every `window` x `window` periods, separately for each place in the raster: real
    detail falls on all places alike, a checkerboard (Odena et al. 2016, doi:10.23915/distill.00003) on some. A period
    of 4 finds a grid of 2 as well.
    """

    period: int = 4
    window: int = 6
    term = "checkerboard"

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        height, width = (side // self.period * self.period for side in sr.shape[-2:])
        error = (sr - hr)[..., :height, :width]
        places = F.pixel_unshuffle(error, self.period)  # (N, 3 period**2, H / period, W / period)
        window = min(self.window, *places.shape[-2:])
        return F.avg_pool2d(places, window, max(1, window // 2)).abs().mean()


@dataclass(frozen=True)
class Adversarial(AdversarialLoss):
    """A loss on logits, each picture judged alone. real, fake: the discriminator's logits of HR and SR, (N, 1).

    "vanilla": Goodfellow et al. 2014, arXiv:1406.2661, in its non-saturating form (section 3): the generator minimises
    -log D(SR), as Ledig et al. 2017, equation 6; the discriminator -log D(HR) - log(1 - D(SR)).
    "least_squares": Mao et al. 2017, arXiv:1611.04076, equation 9: HR towards 1, SR towards 0, for the generator to 1.
    "hinge": Lim and Ye 2017, arXiv:1705.02894: HR above 1, SR below -1, the generator raises its score.
    """

    kind: Literal["vanilla", "least_squares", "hinge"] = "vanilla"

    def __post_init__(self) -> None:
        _check("adversarial loss", self.kind, ("vanilla", "least_squares", "hinge"))

    def for_generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        if self.kind == "least_squares":
            return (fake - 1).square().mean() / 2
        return -fake.mean() if self.kind == "hinge" else F.softplus(-fake).mean()  # -log sigmoid(x) = softplus(-x)

    def for_discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        if self.kind == "least_squares":
            return ((real - 1).square().mean() + fake.square().mean()) / 2
        if self.kind == "hinge":
            return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def verdicts(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """D(HR) and D(SR), how likely each picture is a photograph: what a history shows.

        Of least squares the discriminator's answer itself estimates that (Mao et al., equation 5), and no logit of it.
        """
        squares = self.kind == "least_squares"
        return tuple(x.clamp(0, 1) if squares else torch.sigmoid(x) for x in (real, fake))


@dataclass(frozen=True)
class RelativisticAverage(AdversarialLoss):
    """Is HR more real than SR on average, and SR less? Jolicoeur-Martineau 2018, arXiv:1807.00734.

    As ESRGAN takes it: Wang et al. 2018, arXiv:1809.00219, equations 1 and 2. The generator's side needs HR's logits.
    """

    needs_real = True

    def for_generator(self, fake: Tensor, real: Tensor) -> Tensor:
        return self.for_discriminator(fake, real)  # the same question with the roles exchanged

    def for_discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-(real - fake.mean())).mean() + F.softplus(fake - real.mean()).mean()

    def verdicts(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """How likely each picture is more real than the mean of the others; a logit by itself has no zero here."""
        return torch.sigmoid(real - fake.mean()), torch.sigmoid(fake - real.mean())


@dataclass(frozen=True)
class Wasserstein(AdversarialLoss):
    """Difference of mean scores, the critic kept 1-Lipschitz by a penalty: Gulrajani et al. 2017, arXiv:1704.00028.

    penalty: weight of the gradient penalty, 10 in the paper. critic_steps: steps of the critic to one of the generator.
    """

    penalty: float = 10.0
    critic_steps: int = 5

    def __post_init__(self) -> None:
        if self.penalty <= 0 or self.critic_steps < 1:
            raise SrkitError(
                "a Wasserstein loss needs a penalty above 0 and at least 1 critic step: 10 and 5 are usual."
            )

    def for_generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()

    def for_discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def verdicts(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The critic's scores, which have no bounds."""
        return real, fake


def gradient_penalty(critic: nn.Module, hr: Tensor, sr: Tensor) -> Tensor:
    """Penalty that keeps the critic 1-Lipschitz on the segment between real and generated pictures.

    Gulrajani et al. 2017, arXiv:1704.00028, equation 3, without its weight.

    hr, sr: (N, 3, H, W) in [0, 1]. Returns a scalar; 0 where every gradient has norm 1.
    """
    return (slope_between(critic, hr, sr) - 1).square().mean()


def slope_between(critic: nn.Module, hr: Tensor, sr: Tensor) -> Tensor:
    """Norm of the critic's gradient at a random point between each HR and its SR: (N,), itself differentiable."""
    mix = torch.rand(len(hr), 1, 1, 1, device=hr.device)
    between = (mix * hr + (1 - mix) * sr.detach()).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return slope.flatten(1).norm(dim=1)


def _check(what: str, name: str, known: object) -> None:
    if name not in known:
        raise SrkitError(f"{what} {name!r} is not known: choose one of {', '.join(known)}.")
