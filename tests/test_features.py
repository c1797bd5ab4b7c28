"""One VGG a device, whatever layers are looked at; the rest of the room is tried in test_losses and test_metrics."""

import gc

import pytest
import torch

from srkit import features
from srkit.features import lpips_network, vgg_features


@pytest.fixture(autouse=True)
def _forget_networks():
    vgg_features.cache_clear()
    yield
    vgg_features.cache_clear()


def test_several_layers_share_one_vgg_which_goes_when_nobody_needs_it():
    few, many = vgg_features("vgg16", "conv1_2", "random"), vgg_features("vgg16", "conv3_1", "random", "cpu", False)
    assert few.layers[0].weight is many.layers[0].weight
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    own = torch.nn.functional.conv2d((image - few.mean) / few.std, few.layers[0].weight, few.layers[0].bias, padding=1)
    own = torch.nn.functional.conv2d(own.relu(), few.layers[2].weight, few.layers[2].bias, padding=1).relu()
    torch.testing.assert_close(few(image), own)
    maps = many.layers[len(few.layers) :](few(image))  # the deeper one goes on where the other ends
    torch.testing.assert_close(many(image), maps)
    assert len(features._VGGS) == 1
    assert vgg_features("vgg19", "conv1_2", "random").layers[0].weight is not few.layers[0].weight
    del few, many
    vgg_features.cache_clear()
    gc.collect()
    assert len(features._VGGS) == 0


def test_the_names_of_a_device_are_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert features._numbered("cuda") == features._numbered("cuda:1") == torch.device("cuda", 1)
    assert features._numbered("cuda:0") == torch.device("cuda", 0)
    assert features._numbered("cpu") == features._numbered(torch.device("cpu")) == torch.device("cpu")


def test_lpips_is_built_once_for_all_names_of_a_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *args, **options: self)
    features._lpips.cache_clear()
    assert lpips_network("squeeze", device="cuda") is lpips_network("squeeze", "imagenet", torch.device("cuda:0"))
    features._lpips.cache_clear()


@pytest.mark.parametrize("build", [lambda: lpips_network("alex", "random"), lambda: vgg_features(weights="random")])
def test_building_a_network_moves_nobodys_random_numbers(build, monkeypatch):
    """A GPU's neither, of which a run draws its gradient penalty's points: they would begin anew, whatever its seed."""
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    monkeypatch.setattr(torch.mps, "manual_seed", seeded.append)
    features._lpips.cache_clear()
    state = torch.get_rng_state()
    first = [p.clone() for p in build().parameters()]
    assert torch.equal(torch.get_rng_state(), state)
    features._lpips.cache_clear(), vgg_features.cache_clear()
    assert all(torch.equal(a, b) for a, b in zip(first, build().parameters(), strict=True)), "drawn alike each time"
    features._lpips.cache_clear()
    assert seeded == []
