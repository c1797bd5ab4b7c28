"""One VGG a device, whatever layers are looked at; the rest of the room is tried in test_losses and test_metrics."""

import gc

import pytest
import torch

from srkit import features
from srkit.features import vgg_features


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
