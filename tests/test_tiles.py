"""Tiled is whole, to one grey level: every generator, many sizes; and what cannot be cut is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from srkit import tiles
from srkit.device import find_device
from srkit.files import SrkitError
from srkit.generator import RRDBNet, SRResNet, TwoStageRRDB, receptive_field, sharpen
from srkit.tiles import enlarge_in_tiles, reach

pytestmark = pytest.mark.usefixtures("one_thread")

GENERATORS = {
    "SRResNet": lambda: SRResNet(4, channels=8, blocks=3),
    "SRResNet without norm": lambda: SRResNet(2, channels=8, blocks=3, norm=None),
    "SRResNet with the bicubic skip": lambda: SRResNet(4, channels=8, blocks=2, norm=None, ends_kernel=3, skip=True),
    "SRResNet x3, tanh": lambda: SRResNet(3, channels=8, blocks=2, end="tanh"),
    "SRResNet x8, sigmoid": lambda: SRResNet(8, channels=8, blocks=1, end="sigmoid"),
    "RRDBNet": lambda: RRDBNet(4, channels=8, blocks=2, growth=4),
    "RRDBNet x3": lambda: RRDBNet(3, channels=8, blocks=1, growth=4),
    "TwoStageRRDB": lambda: TwoStageRRDB(2, channels=8, blocks=2, growth=4),
}
SIZES = [(1, 1), (1, 7), (7, 1), (2, 3), (13, 17), (31, 29), (16, 32), (41, 23), (1, 67)]


def lively(name: str) -> nn.Module:
    """A network whose every layer counts: fresh ones start near nothing, and some as bicubic."""
    torch.manual_seed(3)
    network = GENERATORS[name]().eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.8, 1.5)
            nn.init.normal_(layer.bias, 0, 0.2)
    with torch.no_grad():  # answers about the middle of the range, so that few are clipped
        sr = network(torch.rand(1, 3, 24, 24))
        last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
        last.weight *= 0.15 / sr.std()
        last.bias *= 0
        last.bias += 0.0 if "skip" in name or "tanh" in name or "sigmoid" in name else 0.5
    return network


def picture(height: int, width: int, channels: int = 3, kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max, (height, width, channels), kind, endpoint=True)


def at_once(network: nn.Module, pixels: np.ndarray) -> np.ndarray:
    """The plain way, as any script would."""
    lr = torch.from_numpy(pixels / np.iinfo(pixels.dtype).max).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        sr = network(lr)[0].clamp(0, 1).permute(1, 2, 0).double().numpy()
    return np.floor(sr * np.iinfo(pixels.dtype).max + 0.5)


@pytest.mark.parametrize("name", GENERATORS)
def test_tiled_is_whole_to_one_grey_level_at_every_size(name):
    network = lively(name)
    for size in SIZES:
        pixels = picture(*size)
        whole = at_once(network, pixels)
        assert whole.std() > 5 or min(size) < 13, "a flat answer would prove nothing"
        for tile, block in ((5, None), (8, 16), (13, 7), (64, 64)):
            tiled = enlarge_in_tiles(network, pixels, tile=tile, block=block)
            assert tiled.shape == whole.shape
            assert np.abs(tiled - whole).max() <= 1, (size, tile, block)


@pytest.mark.parametrize("name", GENERATORS)
def test_one_pixel_less_around_a_tile_would_be_seen(name, monkeypatch):
    """The margin is the true one: no larger than it must be."""
    network, pixels = lively(name), picture(48, 40)
    whole = at_once(network, pixels)
    monkeypatch.setattr(tiles, "BICUBIC_REACH", 0)
    true = reach(network, "enlarge")
    monkeypatch.setattr(tiles, "reach", lambda network, part: true - 1)
    assert np.abs(enlarge_in_tiles(network, pixels, tile=8) - whole).max() > 1


def brute_reach(network: nn.Module, part: str, size: int = 81) -> int:
    """Change one column of the input by much, and see how far the answer changes."""
    network = network.double()
    torch.manual_seed(0)
    lr, far, middle = torch.rand(1, 3, 3, size).double(), 0, size // 2
    with torch.no_grad():
        features = network.features(lr)
        moved = [(lr.clone(), features.clone()) for _ in range(2)]
        moved[0][0][..., middle] += 1e14
        moved[1][1][..., middle] += 1e14
        for moved_lr, moved_features in moved:
            if part == "features":
                change = (network.features(moved_lr) - features).abs().amax((0, 1, 2))
            else:
                change = network.enlarge(moved_features, moved_lr) - network.enlarge(features, lr)
                change = change.abs().amax((0, 1, 2)).reshape(size, network.scale).amax(1)
            places = change.gt(0).nonzero().flatten() - middle
            far = max(far, int(places.abs().max()) if len(places) else 0)
    return far


@pytest.mark.parametrize("part", ["features", "enlarge"])
@pytest.mark.parametrize("name", GENERATORS)
def test_the_reach_of_each_part_is_that_of_brute_force(name, part):
    network = lively(name)
    assert reach(network, part) == brute_reach(network, part)


def test_the_papers_network_reaches_as_its_layers_add_up():
    network = SRResNet()
    assert reach(network, "features") == 4 + 2 * 16 + 1  # 9x9, then 33 of 3x3
    assert reach(network, "enlarge") == 3  # (4 / 4) + (1 / 2) + 1, in whole LR pixels
    assert receptive_field(SRResNet(channels=4), 128) >= 2 * (4 + 2 * 16 + 1)


def test_what_is_lost_in_float32_is_not_counted_where_a_network_sees_very_far():
    deep = RRDBNet(channels=8, blocks=23, growth=4).eval()
    assert 5 <= reach(deep, "features") < 23 * 15


class Normed(nn.Module):
    """An instance norm, which looks at the whole picture."""

    scale = 2

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.InstanceNorm2d(12), nn.PixelShuffle(2))

    def forward(self, lr):
        return self.layers(lr)


class Pooled(Normed):
    def features(self, lr):
        return lr * lr.mean((2, 3), keepdim=True)

    def enlarge(self, features, lr):
        return features.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize(("network", "sides"), [(Normed, {"tile": 8}), (Pooled, {"block": 8})])
def test_a_network_that_sees_the_whole_picture_is_refused_in_tiles_and_right_without(network, sides):
    network, pixels = network().eval(), picture(20, 20)
    with pytest.raises(SrkitError, match="looks at the whole picture"):
        enlarge_in_tiles(network, pixels, **sides)
    assert enlarge_in_tiles(network, pixels).shape == (40, 40, 3)


def test_a_network_of_one_part_is_tiled_too():
    class Plain(nn.Module):
        scale = 2

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 12, 7, padding=3)

        def forward(self, lr):
            return nn.functional.pixel_shuffle(self.conv(lr), 2)

    torch.manual_seed(0)
    network, pixels = Plain().eval(), picture(33, 21)
    assert np.abs(enlarge_in_tiles(network, pixels, tile=6, block=9) - at_once(network, pixels)).max() <= 1


def test_sharpening_makes_no_seams():
    network, pixels = lively("SRResNet"), picture(37, 41)
    twice = [lambda sr: sharpen(sr, 0.8), lambda sr: sharpen(sr, 0.5)]
    whole = enlarge_in_tiles(network, pixels, twice)
    assert np.abs(enlarge_in_tiles(network, pixels, twice, tile=7, block=14).astype(int) - whole).max() <= 1
    assert np.abs(whole - at_once(network, pixels)).mean() > 3
    assert enlarge_in_tiles(network, picture(1, 1), twice).shape == (4, 4, 3)


def test_sixteen_bits_keep_what_eight_would_lose():
    network = SRResNet(2, channels=4, blocks=1, skip=True).eval()  # starts as exactly bicubic
    pixels = np.full((6, 6, 3), 1000, np.uint16)
    assert (enlarge_in_tiles(network, pixels) == 1000).all()
    pixels = picture(23, 19, kind=np.uint16)
    tiled = enlarge_in_tiles(lively("SRResNet"), pixels, tile=6, block=11)
    assert np.abs(tiled - at_once(lively("SRResNet"), pixels)).max() <= 4


@pytest.mark.parametrize("part", ["features", "enlarge"])
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_out_of_memory_halves_what_was_too_large_and_goes_on(part, error, monkeypatch):
    network, pixels, done = lively("SRResNet"), picture(60, 44), []
    expected, usual, sides = at_once(network, pixels), getattr(network, part), []

    def limited(features, *lr):
        sides.append(max(features.shape[2:]))
        if sides[-1] > (30 if part == "enlarge" else 58):
            raise error
        return usual(features, *lr)

    margins = {part: reach(network, part) for part in ("features", "enlarge")}
    monkeypatch.setattr(tiles, "reach", lambda network, part: margins[part])
    setattr(network, part, limited)
    tiled = enlarge_in_tiles(network, pixels, tile=64, block=64, bar=done.append)
    assert sides[0] == 60, "it began with all of it"
    assert np.abs(tiled - expected).max() <= 1
    assert sum(done) == 60 * 44


def test_where_not_even_the_smallest_tile_fits_it_is_said():
    network = lively("SRResNet")

    def never(features, lr):
        raise MemoryError

    network.enlarge = never
    with pytest.raises(SrkitError, match="smallest tile"):
        enlarge_in_tiles(network, picture(30, 30), tile=64, block=64)


def test_other_errors_of_a_network_are_not_taken_for_want_of_memory():
    network = lively("SRResNet")

    def broken(features, lr):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    network.enlarge = broken
    with pytest.raises(RuntimeError, match="mat1"):
        enlarge_in_tiles(network, picture(30, 30), tile=64, block=64)


def test_little_free_memory_makes_small_tiles(monkeypatch):
    class Free:
        available = 64 << 20

    network = SRResNet().eval()
    usual = tiles._sides(network, find_device("cpu"))
    monkeypatch.setattr(tiles.psutil, "virtual_memory", lambda: Free)
    assert all(np.less(tiles._sides(network, find_device("cpu")), usual))
    with pytest.raises(SrkitError, match="more than memory holds"):
        enlarge_in_tiles(lively("SRResNet x8, sigmoid"), np.zeros((700, 700, 3), np.uint8))


def test_damaged_weights_are_refused_rather_than_written():
    network = lively("SRResNet")
    network.tail[0].bias.data[0] = float("nan")
    with pytest.raises(SrkitError, match="weights are damaged"):
        enlarge_in_tiles(network, picture(9, 9))
