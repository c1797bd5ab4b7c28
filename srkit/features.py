"""ImageNet networks as judges of pictures: feature maps of VGG, and the LPIPS distance. Frozen, built once."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from weakref import WeakValueDictionary

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from srkit.files import SrkitError

# SqueezeNet 1.1's features (torchvision, BSD-3-Clause) and LPIPS' heads for them (BSD-2-Clause), in half precision.
SQUEEZE = Path(__file__).parent / "weights" / "lpips_squeeze.safetensors"
TIME_LIMIT = 30  # seconds that a download may stay silent

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DAMAGED = (RuntimeError, EOFError, UnpicklingError)  # what torch.load says to a file that was cut off
CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # convolutions in each block, before its pooling


class Features(nn.Module):
    """An ImageNet network up to one layer, frozen: (N, 3, H, W) in [0, 1] to that layer's feature maps."""

    def __init__(self, layers: nn.Sequential, shared: nn.Module | None = None):
        super().__init__()
        self.shared = (shared,)  # the whole network, kept as long as a part of it is used; no module of this one
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


_VGGS: WeakValueDictionary[tuple[str, str, torch.device], nn.Sequential] = WeakValueDictionary()  # one a device


@lru_cache(maxsize=8)
def vgg_features(
    network: str = "vgg19",
    layer: str = "conv5_4",
    weights: str = "imagenet",
    device: torch.device | str = "cpu",
    activation: bool = True,
) -> Features:
    """VGG up to `layer` and, with activation, its ReLU (Simonyan and Zisserman 2015), frozen, on `device`; built once.

    Several layers on one device share their weights. Raises SrkitError where the ImageNet weights can neither be found
    nor downloaded.
    """
    count, device = vgg_index(network, layer) + (2 if activation else 1), _numbered(device)
    whole = _VGGS.get((network, weights, device))
    if whole is None:
        with _errors_of(network):
            whole = _vgg_layers(network, weights)
        _VGGS[network, weights, device] = whole.to(device)
    return Features(_whole(whole[:count], f"{network} up to {layer}"), whole).to(device)


def lpips_network(network: str = "alex", weights: str = "imagenet", device: torch.device | str = "cpu") -> nn.Module:
    """torchmetrics' LPIPS, frozen, on `device`; called as net(a, b, normalize=True) on [0, 1], gives (N, 1, 1, 1).

    Built once. "squeeze" needs no download: its weights come with srkit. Raises SrkitError where the ImageNet weights
    of another network can neither be found nor downloaded.
    """
    return _lpips(network, weights, _numbered(device))


@lru_cache(maxsize=4)
def _lpips(network: str, weights: str, device: torch.device) -> nn.Module:
    from torchmetrics.functional.image.lpips import _NoTrainLpips

    ours = network == "squeeze" and weights == "imagenet"
    with _errors_of(network), _drawn_alike():
        distance = _NoTrainLpips(net=network, pnet_rand=ours or weights == "random")
        if ours:
            distance.load_state_dict(load_file(SQUEEZE))
    return _whole(distance.requires_grad_(False), network).to(device, memory_format=torch.channels_last)


def _vgg_layers(network: str, weights: str) -> nn.Sequential:
    """The layers of VGG's features, its ReLUs not in place, so that no feature map is overwritten."""
    from torchvision.models import vgg

    if weights == "imagenet":
        layers = getattr(vgg, network)(weights="IMAGENET1K_V1").features
    else:
        with _drawn_alike():
            layers = vgg.make_layers(vgg.cfgs[{"vgg16": "D", "vgg19": "E"}[network]])
            for layer in layers:
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    return layers


@contextmanager
def _drawn_alike() -> Iterator[None]:
    """Weights are drawn on the CPU, alike each time; nobody else's random numbers move, nor those of a GPU."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed is of the GPUs too
        yield


def _numbered(device: torch.device | str) -> torch.device:
    """The device with its number: "cuda" and "cuda:0" are one."""
    device = torch.device(device)
    return torch.device("cuda", torch.cuda.current_device()) if device == torch.device("cuda") else device


@contextmanager
def _errors_of(network: str) -> Iterator[None]:
    """What can go wrong with downloaded weights, as one sentence; torch.hub, which has no time limit, is given one."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIME_LIMIT)
    try:
        yield
    except OSError as error:
        raise SrkitError(
            f"the ImageNet weights of {network} are not here and cannot be downloaded ({error}): connect to the "
            'internet once, or point TORCH_HOME at a copy, or choose perceptual_weights="random".'
        ) from error
    except DAMAGED as error:
        raise _damaged(network) from error
    finally:
        socket.setdefaulttimeout(before)


def _damaged(name: str) -> SrkitError:
    return SrkitError(
        f"the ImageNet weights of {name} in TORCH_HOME are not whole: remove that file to download it anew, "
        'choose an earlier layer, or choose perceptual_weights="random".'
    )


def _whole(network: nn.Module, name: str) -> nn.Module:
    """The network; refused where a weight is not a number, as in a copy that is not complete."""
    if all(torch.isfinite(p).all() for p in network.parameters()):
        return network
    raise _damaged(name)
