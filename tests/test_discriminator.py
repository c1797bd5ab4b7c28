"""Discriminators against hand counts and closed forms; freezing; accuracy; where one looks."""

import pytest
import torch
from torch import nn

from srkit.discriminator import ConvCritic, SRGANDiscriminator, accuracy, exchange_map, frozen, gradient_map
from srkit.files import SrkitError


def tiny(**options) -> SRGANDiscriminator:
    torch.manual_seed(0)
    return SRGANDiscriminator(**{"crop": 16, "channels": (4, 8), "dense": 6} | options)


@pytest.mark.parametrize("kind", [SRGANDiscriminator, ConvCritic])
def test_papers_discriminator_has_the_parameters_that_its_figure_gives(kind):
    convolutions = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    weights = sum(9 * before * after for before, after in convolutions)
    first_bias = 64  # the others have a norm in its place, with a scale and a shift each
    norms = sum(2 * after for _, after in convolutions[1:])
    dense = 512 * 6 * 6 * 1024 + 1024 + 1024 + 1
    with torch.device("meta"):
        network = kind()
    assert sum(p.numel() for p in network.parameters()) == weights + first_bias + norms + dense == 23_563_649


def test_every_pair_halves_the_picture_and_one_logit_comes_out():
    network, shapes = tiny(channels=(4, 8, 16)), []
    for layer in network.features:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, given, made: shapes.append(tuple(made.shape[1:])))
    assert network(torch.rand(2, 3, 16, 16)).shape == (2, 1)
    assert shapes == [(4, 16, 16), (4, 8, 8), (8, 8, 8), (8, 4, 4), (16, 4, 4), (16, 2, 2)]


def test_its_layers_are_the_papers():
    network = SRGANDiscriminator(crop=32, channels=(4, 8, 16, 32), dense=8)
    kinds = [type(layer).__name__ for layer in network.features]
    assert kinds == ["Conv2d", "LeakyReLU"] + ["Conv2d", "BatchNorm2d", "LeakyReLU"] * 7
    convolutions = [layer for layer in network.features if isinstance(layer, nn.Conv2d)]
    assert [layer.stride[0] for layer in convolutions] == [1, 2] * 4
    assert {layer.negative_slope for layer in network.modules() if isinstance(layer, nn.LeakyReLU)} == {0.2}
    assert not any(isinstance(layer, nn.Sigmoid) for layer in network.modules())


def test_a_norm_that_is_not_known_is_refused_with_those_that_are():
    with pytest.raises(SrkitError, match="norm 'layer' .*: choose one of batch, instance, spectral, None."):
        SRGANDiscriminator(norm="layer")


def test_it_gives_logits_not_probabilities():
    network = tiny().eval()
    with torch.no_grad():
        network.head[-1].bias += 5
        assert network(torch.rand(4, 3, 16, 16)).min() > 1


def test_it_looks_at_pictures_from_minus_one_to_one():
    network = tiny().eval()
    seen = []
    network.features.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    network(torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 16, 16))
    assert seen[0][0, :, 0, 0].tolist() == [-1, 0, 1]


@pytest.mark.parametrize(("crop", "better"), [(100, 96), (8, 16), (17, 16)])
def test_a_crop_that_its_strides_do_not_divide_is_refused_with_one_that_they_do(crop, better):
    with pytest.raises(SrkitError, match=rf"{crop}-pixel crop is not a multiple of 16.*--crop {better}\."):
        SRGANDiscriminator(crop=crop)


def test_only_the_very_first_convolution_goes_without_its_norm():
    """And not whichever sees three channels, as after a first pair that is three wide."""
    layers = [type(layer) for layer in SRGANDiscriminator(16, (3, 8), 8).features]
    assert layers == [nn.Conv2d, nn.LeakyReLU, *([nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * 3)]


def test_frozen_lets_gradients_through_and_gathers_none_and_restores():
    network = tiny().eval()
    kept = network.head[-1].bias.requires_grad_(False)  # was frozen before, and stays so
    image = torch.rand(2, 3, 16, 16, requires_grad=True)
    with frozen(network):
        network(image).sum().backward()
    assert image.grad.abs().sum() > 0
    assert all(p.grad is None for p in network.parameters())
    assert [p is kept for p in network.parameters()] == [not p.requires_grad for p in network.parameters()]


def test_frozen_gives_the_picture_the_same_gradient_as_without():
    network, gradients = tiny().eval(), []
    image = torch.rand(2, 3, 16, 16)
    for freeze in (True, False):
        x = image.clone().requires_grad_()
        if freeze:
            with frozen(network):
                network(x).sum().backward()
        else:
            network(x).sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)


def test_frozen_restores_after_an_error():
    network = tiny()
    with pytest.raises(ZeroDivisionError), frozen(network):
        raise ZeroDivisionError
    assert all(p.requires_grad for p in network.parameters())


class Brightness(nn.Module):
    """Logit: the sum of weight * picture. Its maps are known in closed form."""

    def __init__(self, weight: torch.Tensor, shift: float = 0.0):
        super().__init__()
        self.weight, self.shift = nn.Parameter(weight), shift

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image * self.weight).sum(dim=(1, 2, 3))[:, None] + self.shift


def test_accuracy_counts_both_kinds_alike():
    judge = Brightness(torch.ones(1, 1, 1), shift=-0.5)  # bright is a photograph
    hr = torch.tensor([0.9, 0.8, 0.2, 0.7]).view(4, 1, 1, 1)
    sr = torch.tensor([0.1, 0.9]).view(2, 1, 1, 1)
    assert accuracy(judge, hr, sr) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert accuracy(judge, sr * 0 + 1, hr * 0) == 1
    assert accuracy(judge, hr, hr) == 0.5
    assert accuracy(Brightness(torch.zeros(1, 1, 1)), hr, sr) == 0, "a logit of 0 is no verdict"


def test_gradient_map_of_a_linear_discriminator_is_its_weights_size():
    weight = torch.randn(3, 8, 8)
    judge = Brightness(weight)
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(gradient_map(judge, image), weight.abs().sum(0))
    assert judge.weight.grad is None
    assert not image.requires_grad


def test_exchange_map_of_a_linear_discriminator_is_the_tiles_weighted_difference():
    weight, image, other = torch.randn(3, 8, 8), torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
    change = ((other - image)[0] * weight).sum(0)
    by_tile = torch.stack([torch.stack([t.sum() for t in row.split(2, 1)]) for row in change.split(2, 0)])
    torch.testing.assert_close(exchange_map(Brightness(weight), image, other, tiles=4), by_tile, atol=1e-4, rtol=1e-4)
    by_pixel = exchange_map(Brightness(weight), image, other)
    torch.testing.assert_close(by_pixel, change, atol=1e-4, rtol=1e-4)
    assert not by_pixel.requires_grad


def test_with_spectral_norm_no_layer_stretches_anything():
    judge = SRGANDiscriminator(crop=32, channels=(4, 8), dense=(16, 8), norm="spectral")
    for _ in range(50):  # its power iterations draw near to the largest singular value
        judge(torch.rand(2, 3, 32, 32))
    weights = [layer.weight for layer in judge.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(weights) == 2 * 2 + 3
    assert {layer.negative_slope for layer in judge.modules() if isinstance(layer, nn.LeakyReLU)} == {0.2}
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.detach().flatten(1), 2) == pytest.approx(1, abs=0.05)
