"""What stands around a generator when it is used: the mask that sharpens, the sizes that it takes, its two parts."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from srkit.generator import sharpen


class Sharpened(nn.Module):
    """A generator, and the unsharp mask that its recipe puts after it, which is no part of what it learned.

    features and enlarge are the generator's own, before the mask: who works in tiles sharpens by `sharpening` himself.
    """

    def __init__(self, network: nn.Module, amount: float):
        super().__init__()
        self.network, self.scale, self.sharpening = network, network.scale, amount

    def features(self, lr: Tensor) -> Tensor:
        return parts(self.network)[0](lr)

    def enlarge(self, features: Tensor, lr: Tensor) -> Tensor:
        return parts(self.network)[1](features, lr)

    def forward(self, lr: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W)."""
        return sharpen(self.network(lr), self.sharpening)


def bare(network: nn.Module) -> nn.Module:
    """The generator itself, whose weights are kept, without what sharpens its answer."""
    return network.network if isinstance(network, Sharpened) else network


def parts(network: nn.Module) -> tuple[Callable, Callable]:
    """What a network does at LR size, and the rest: its methods `features` and `enlarge`, or nothing and all of it."""
    found = [getattr(network, name, None) for name in ("features", "enlarge")]
    if all(callable(each) and not isinstance(each, nn.Module) for each in found):
        return tuple(found)
    return (lambda lr: lr), (lambda features, lr: network(lr))


class Padded(nn.Module):
    """A network that takes only some sizes: LR is padded at its right and lower edge, and SR cut to what was asked for.

    multiple: height and width must be multiples of it. least: the smallest height and width. call: what is done with
    the network and LR, where that is more than to call it, as of one that works on 0 to 255 or answers with a tuple.
    """

    def __init__(
        self, network: nn.Module, scale: int, multiple: int = 1, least: int = 1, call: Callable = nn.Module.__call__
    ):
        super().__init__()
        self.network, self.scale, self.multiple, self.least = network, scale, max(multiple, 1), max(least, 1)
        self.call = call

    def forward(self, lr: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W)."""
        height, width = lr.shape[2:]
        high, wide = (-(-max(side, self.least) // self.multiple) * self.multiple for side in (height, width))
        padded = F.pad(lr, (0, wide - width, 0, high - height), mode="replicate")
        return self.call(self.network, padded)[..., : self.scale * height, : self.scale * width]
