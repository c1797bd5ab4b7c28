"""What training minimises: content losses compare SR with HR, adversarial losses ask the discriminator.

Each loss is a small frozen record, so a recipe that holds it is data. Content losses are called as loss(sr, hr); an
adversarial loss has one side for the generator and one for the discriminator, both on logits. All give a scalar.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.files import SrkitError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # convolutions in each block, before its pooling


@dataclass(frozen=True)
class Pixel:
    """Mean difference of pixels: "mse", (sr - hr)**2, as SRResNet; or "l1", |sr - hr|."""

    kind: Literal["mse", "l1"] = "mse"
    term = "pixel"

    def __post_init__(self) -> None:
        if self.kind not in ("mse", "l1"):
            raise SrkitError(f"pixel loss {self.kind!r} is not known: choose mse or l1.")

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        return F.mse_loss(sr, hr) if self.kind == "mse" else F.l1_loss(sr, hr)


@dataclass(frozen=True)
class Perceptual:
    """Mean squared distance of VGG features: Ledig et al. 2017, arXiv:1609.04802, equation 5.

    layer: "conv5_4" is the fourth convolution before the fifth pooling, after its ReLU: the paper's VGG 5,4.
    weights: "imagenet", by torchvision's ordinary download, or "random", which proves that the code runs and no more.
    """

    network: Literal["vgg16", "vgg19"] = "vgg19"
    layer: str = "conv5_4"
    weights: Literal["imagenet", "random"] = "imagenet"
    term = "perceptual"

    def __post_init__(self) -> None:
        vgg_index(self.network, self.layer)
        if self.weights not in ("imagenet", "random"):
            raise SrkitError(f"perceptual weights {self.weights!r} are not known: choose imagenet or random.")

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        features = self.ready(sr.device)
        with torch.no_grad():
            truth = features(hr)
        return F.mse_loss(features(sr), truth)

    def ready(self, device: torch.device | str) -> "Features":
        """The network that it looks through; SrkitError where its weights cannot be had."""
        return vgg_features(self.network, self.layer, self.weights, torch.device(device))


@dataclass(frozen=True)
class Adversarial:
    """The original GAN loss on logits, in its non-saturating form: Goodfellow et al. 2014, arXiv:1406.2661, section 3.

    The generator minimises -log D(SR), as Ledig et al. 2017, equation 6; the discriminator -log D(HR) - log(1 - D(SR)).
    real, fake: the discriminator's logits of HR and SR, (N, 1).
    """

    kind: Literal["vanilla"] = "vanilla"
    term = "adversarial"

    def __post_init__(self) -> None:
        if self.kind != "vanilla":
            raise SrkitError(f"adversarial loss {self.kind!r} is not known: choose vanilla.")

    def for_generator(self, fake: Tensor) -> Tensor:
        return F.softplus(-fake).mean()  # -log sigmoid(x) = softplus(-x)

    def for_discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-real).mean() + F.softplus(fake).mean()


class Features(nn.Module):
    """An ImageNet network up to one layer, frozen: (N, 3, H, W) in [0, 1] to that layer's feature maps."""

    def __init__(self, layers: nn.Sequential):
        super().__init__()
        self.layers = layers.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers((image - self.mean) / self.std)

    def train(self, mode: bool = True) -> "Features":
        return super().train(False)


def vgg_index(network: str, layer: str) -> int:
    """Position in torchvision's `features` of a layer such as "conv3_4"; SrkitError names the good ones."""
    if network not in CONVOLUTIONS:
        raise SrkitError(f"perceptual network {network!r} is not known: choose one of {', '.join(CONVOLUTIONS)}.")
    position, places = 0, {}
    for block, count in enumerate(CONVOLUTIONS[network], 1):
        for number in range(1, count + 1):
            places[f"conv{block}_{number}"] = position
            position += 2  # a convolution and its ReLU
        position += 1  # the pooling
    if layer not in places:
        raise SrkitError(f"{network} has no layer {layer!r}: choose one of {', '.join(places)}.")
    return places[layer]


@lru_cache(maxsize=4)
def vgg_features(
    network: str = "vgg19", layer: str = "conv5_4", weights: str = "imagenet", device: torch.device | str = "cpu"
) -> Features:
    """VGG up to and with the ReLU after `layer` (Simonyan and Zisserman 2015), frozen, on `device`; built once.

    Raises SrkitError where the ImageNet weights can neither be found nor downloaded.
    """
    try:
        layers = _vgg_layers(network, weights, vgg_index(network, layer) + 2)
    except OSError as error:
        raise SrkitError(
            f"the ImageNet weights of {network} are not here and cannot be downloaded ({error}): connect to the "
            'internet once, or point TORCH_HOME at a copy, or choose perceptual_weights="random".'
        ) from error
    if not all(torch.isfinite(p).all() for p in layers.parameters()):
        raise SrkitError(
            f"the ImageNet weights of {network} in TORCH_HOME are not whole up to {layer}: remove that file to "
            'download it anew, choose an earlier layer, or choose perceptual_weights="random".'
        )
    return Features(layers).to(device)


def _vgg_layers(network: str, weights: str, count: int) -> nn.Sequential:
    """The first `count` layers of VGG's features, its ReLUs not in place, so that no feature map is overwritten."""
    from torchvision.models import vgg

    if weights == "imagenet":
        layers = getattr(vgg, network)(weights="IMAGENET1K_V1").features[:count]
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layers = vgg.make_layers(vgg.cfgs[{"vgg16": "D", "vgg19": "E"}[network]])[:count]
            for layer in layers:
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    return layers
