"""Losses against closed forms, torch's own and torchvision's; the feature network stays as it was."""

import math
import urllib.error
from dataclasses import FrozenInstanceError

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models
from torchvision.transforms import Normalize

from srkit import features as features_module
from srkit.features import vgg_features, vgg_index
from srkit.files import SrkitError
from srkit.losses import (
    LPIPS,
    Adversarial,
    Checkerboard,
    Perceptual,
    Pixel,
    RelativisticAverage,
    Wasserstein,
    gradient_penalty,
)

# Where Simonyan and Zisserman's layers are in torchvision's `features`, as its users know them.
VGG19 = {"conv1_1": 0, "conv1_2": 2, "conv2_2": 7, "conv3_4": 16, "conv4_4": 25, "conv5_4": 34}
VGG16 = {"conv1_2": 2, "conv2_2": 7, "conv3_3": 14, "conv4_3": 21, "conv5_3": 28}


@pytest.fixture(autouse=True)
def _forget_networks():
    """Each test builds its own feature networks, and sees its own TORCH_HOME."""
    vgg_features.cache_clear()
    yield
    vgg_features.cache_clear()


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)


def test_pixel_losses_are_means():
    sr, hr = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 0.25, 0.5])
    assert Pixel("mse")(sr, hr) == pytest.approx((0.25**2 + 0.5**2) / 3)
    assert Pixel("l1")(sr, hr) == pytest.approx(0.75 / 3)


def test_mse_prefers_the_mean_of_what_may_be_and_l1_its_median():
    truths = torch.tensor([0.0, 0.1, 0.8])
    answers = torch.linspace(0, 1, 101)
    best = {
        kind: answers[min(range(101), key=lambda i: Pixel(kind)(answers[i].expand(3), truths))]
        for kind in ("mse", "l1")
    }
    assert best["mse"] == pytest.approx(0.3)
    assert best["l1"] == pytest.approx(0.1)


@pytest.mark.parametrize("scale", [1, 200])  # 200: where log(1 - sigmoid) is infinite in float32
def test_vanilla_adversarial_loss_is_torchs_cross_entropy(scale):
    torch.manual_seed(0)
    logits = scale * torch.randn(2, 16, 1).requires_grad_()
    real, fake = logits
    ones, zeros = torch.ones(16, 1), torch.zeros(16, 1)
    bce = F.binary_cross_entropy_with_logits
    loss = Adversarial("vanilla")
    pairs = (
        (loss.for_discriminator(real, fake), bce(real, ones) + bce(fake, zeros)),
        (loss.for_generator(fake), bce(fake, ones)),
    )
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs)
        assert ours.isfinite()
        torch.testing.assert_close(*(torch.autograd.grad(each, logits, retain_graph=True) for each in (ours, theirs)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Pixel("mae"),
        lambda: LPIPS("resnet"),
        lambda: Perceptual(network="vgg20"),
        lambda: Perceptual(layer="conv5_5"),
        lambda: Perceptual(network="vgg16", layer="conv5_4"),
        lambda: Perceptual(weights="cifar"),
        lambda: Perceptual(distance="psnr"),
        lambda: LPIPS(weights="cifar"),
        lambda: Adversarial("lsq"),
    ],
)
def test_an_unknown_name_is_refused_with_the_good_ones(make):
    with pytest.raises(SrkitError, match="choose one of"):
        make()


@pytest.mark.parametrize(("network", "places"), [("vgg16", VGG16), ("vgg19", VGG19)])
def test_layers_are_where_torchvision_has_them(network, places):
    with torch.device("meta"):
        whole = getattr(models, network)().features
    blocks = [[]]
    for position, layer in enumerate(whole):
        if isinstance(layer, nn.Conv2d):
            blocks[-1].append(position)
        elif isinstance(layer, nn.MaxPool2d):
            blocks.append([])
    counted = {f"conv{b}_{n}": place for b, block in enumerate(blocks, 1) for n, place in enumerate(block, 1)}
    assert {layer: vgg_index(network, layer) for layer in counted} == counted
    assert {layer: counted[layer] for layer in places} == places
    assert all(isinstance(whole[place + 1], nn.ReLU) for place in counted.values())


@pytest.mark.parametrize("layer", ["conv1_2", "conv3_4", "conv5_4"])
def test_the_network_ends_with_the_relu_after_the_layer(layer):
    network = vgg_features("vgg19", layer, "random")
    assert len(network.layers) == VGG19[layer] + 2
    assert isinstance(network.layers[-1], nn.ReLU)
    pools = int(layer[4]) - 1
    maps = network(torch.rand(1, 3, 32, 32))
    assert maps.shape[-1] == 32 // 2**pools
    assert maps.min() == 0


def test_perceptual_loss_is_the_distance_behind_torchvisions_normalisation(pair):
    network = vgg_features("vgg19", "conv2_2", "random")
    normalise = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    with torch.no_grad():
        sr, hr = (network.layers(normalise(image)) for image in pair)
        expected = (sr - hr).square().mean()
        unnormalised = (network.layers(pair[0]) - network.layers(pair[1])).square().mean()
    loss = Perceptual("vgg19", "conv2_2", weights="random")(*pair)
    torch.testing.assert_close(loss, expected)
    assert not torch.isclose(loss, unnormalised, rtol=0.1)


def test_perceptual_gradient_is_the_slope_of_the_loss(pair):
    sr, hr = pair
    loss = Perceptual("vgg19", "conv1_2", weights="random")
    sr.requires_grad_()
    (slope,) = torch.autograd.grad(loss(sr, hr), sr)
    with torch.no_grad():
        way = 1e-2 * slope / slope.norm()
        rise = loss(sr + way, hr) - loss(sr - way, hr)
    assert rise.item() == pytest.approx(2 * (way * slope).sum().item(), rel=0.02)


def test_random_weights_are_the_same_on_every_call_and_leave_the_callers_chance_alone():
    torch.manual_seed(1)
    first = vgg_features("vgg16", "conv2_1", "random")
    drawn = torch.rand(3)
    vgg_features.cache_clear()
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), drawn)
    second = vgg_features("vgg16", "conv2_1", "random")
    assert second is not first
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def offline(*args, **kwargs):
    raise urllib.error.URLError("no route to host")


def test_missing_weights_name_three_ways_out(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", offline)
    with pytest.raises(SrkitError, match="vgg19.*no route to host") as refused:
        Perceptual("vgg19", "conv1_1").ready("cpu")
    for way in ("connect to the internet once", "TORCH_HOME", 'perceptual_weights="random"'):
        assert way in str(refused.value)


def test_weights_that_are_no_numbers_are_refused(monkeypatch):
    whole = features_module._vgg_layers

    def damaged(*args):
        layers = whole(*args)
        layers[0].weight.data[0, 0, 0, 0] = float("nan")
        return layers

    monkeypatch.setattr(features_module, "_vgg_layers", damaged)
    with pytest.raises(SrkitError, match="vgg19 up to conv1_2 .*not whole"):
        vgg_features("vgg19", "conv1_2", "random")


def test_a_truncated_file_of_weights_is_refused_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / models.VGG16_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(SrkitError, match=r"vgg16.*not whole"):
        vgg_features("vgg16", "conv1_1")


def test_imagenet_features_are_torchvisions(imagenet, pair):
    whole = models.vgg19(weights="IMAGENET1K_V1").features.eval()
    normalise = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    with torch.no_grad():
        expected = whole[:18](normalise(pair[0]))  # conv3_4 is number 16, its ReLU 17
        torch.testing.assert_close(vgg_features("vgg19", "conv3_4", "imagenet")(pair[0]), expected)


def test_gradient_penalty_of_a_linear_critic_is_its_slope_away_from_one():
    weight = torch.randn(3 * 8 * 8)
    hr, sr = torch.rand(2, 4, 3, 8, 8)
    penalty = gradient_penalty(lambda image: image.flatten(1) @ weight, hr, sr)
    torch.testing.assert_close(penalty, (weight.norm() - 1) ** 2)


def test_the_penalty_is_taken_on_the_line_between_each_hr_and_its_sr_and_moves_neither():
    hr, sr = torch.rand(2, 40, 3, 4, 4)
    sr.requires_grad_()
    points = []

    def critic(image):
        points.append(image.detach())
        return image.square().flatten(1).sum(1)

    gradient_penalty(critic, hr, sr).backward()
    assert sr.grad is None
    way = ((points[0] - sr) / (hr - sr)).detach().flatten(1)  # 0 at SR, 1 at HR
    share = way.median(1, keepdim=True).values
    torch.testing.assert_close(points[0].flatten(1), (sr + share.view(-1, 1, 1, 1) * (hr - sr)).detach().flatten(1))
    assert 0 <= share.min() < 0.2 < 0.8 < share.max() <= 1
    assert len(share.unique()) == 40


def test_charbonnier_is_an_l1_that_is_smooth_at_zero():
    sr, hr = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 0.2, 0.0])
    by_hand = (0.001 + (0.09 + 1e-6) ** 0.5 + (1 + 1e-6) ** 0.5) / 3
    assert float(Pixel("charbonnier")(sr, hr)) == pytest.approx(by_hand, rel=1e-5)
    x = torch.zeros(4, requires_grad=True)
    Pixel("charbonnier")(x, torch.zeros(4)).backward()
    assert torch.equal(x.grad, torch.zeros(4))


def test_a_decibel_costs_the_psnr_loss_the_same_on_easy_and_on_hard_pictures():
    hr = torch.zeros(2, 3, 8, 8)
    error = torch.tensor([0.1, 0.3]).reshape(2, 1, 1, 1).expand_as(hr)  # 20 and 10.46 dB
    loss = Pixel("psnr")
    by_hand = (math.log1p(0.1**2 / 1e-4) + math.log1p(0.3**2 / 1e-4)) / 2
    assert float(loss(error, hr)) == pytest.approx(by_hand, rel=1e-5)
    better = 10 ** (-1 / 20)  # by one decibel
    gains = [float(loss(each, hr[:1]) - loss(better * each, hr[:1])) for each in error.split(1)]
    assert gains == pytest.approx([math.log(10) / 10] * 2, rel=0.02)


def test_relativistic_average_loss_by_hand_on_four_numbers():
    real, fake = torch.tensor([[2.0], [0.0]]), torch.tensor([[-1.0], [1.0]])

    def log_sigmoid(x):
        return -math.log1p(math.exp(-x))

    # mean(real) = 1, mean(fake) = 0: D(real) = sigmoid(2), sigmoid(0); D(fake) = sigmoid(-2), sigmoid(0)
    judged = -(log_sigmoid(2) + log_sigmoid(0)) / 2 - (log_sigmoid(2) + log_sigmoid(0)) / 2
    fooled = -(log_sigmoid(-2) + log_sigmoid(0)) / 2 - (log_sigmoid(-2) + log_sigmoid(0)) / 2
    assert float(RelativisticAverage().for_discriminator(real, fake)) == pytest.approx(judged)
    assert float(RelativisticAverage().for_generator(fake, real)) == pytest.approx(fooled)


@pytest.mark.parametrize(
    ("kind", "judged", "fooled"),
    [("least_squares", (1 + 0.25 + 1 + 9) / 4, (4 + 4) / 4), ("hinge", (0 + 0.5 + 0 + 4) / 2, -(-1 + 3) / 2)],
)
def test_least_squares_and_hinge_by_hand_on_four_numbers(kind, judged, fooled):
    real, fake = torch.tensor([[2.0], [0.5]]), torch.tensor([[-1.0], [3.0]])
    assert float(Adversarial(kind).for_discriminator(real, fake)) == pytest.approx(judged)
    assert float(Adversarial(kind).for_generator(fake)) == pytest.approx(fooled)


def test_wasserstein_is_a_difference_of_means():
    real, fake = torch.tensor([[2.0], [0.5]]), torch.tensor([[-1.0], [4.0]])
    assert float(Wasserstein().for_discriminator(real, fake)) == pytest.approx(0.25)
    assert float(Wasserstein().for_generator(fake)) == pytest.approx(-1.5)
    for wrong in ({"penalty": 0}, {"penalty": -1}, {"critic_steps": 0}):
        with pytest.raises(SrkitError, match="penalty above 0"):
            Wasserstein(**wrong)
    assert Wasserstein(penalty=0.5, critic_steps=1).penalty == 0.5


def test_gradient_penaltys_second_derivative_reaches_the_critic():
    scale = torch.tensor(3.0, requires_grad=True)
    direction = F.normalize(torch.randn(12), dim=0)
    hr, sr = torch.rand(2, 5, 3, 2, 2)
    gradient_penalty(lambda x: scale * (x.flatten(1) @ direction), hr, sr).backward()
    assert float(scale.grad) == pytest.approx(2 * (3.0 - 1))  # d (s - 1)**2 / ds


CONTENT = [
    Pixel("mse"),
    Pixel("l1"),
    Pixel("charbonnier"),
    Pixel("psnr"),
    LPIPS(weights="random"),
    Checkerboard(),
    Perceptual(weights="random"),
]
CONTENT += [Perceptual("vgg16", "conv5_3", activation=False, distance="l1", weights="random")]


@pytest.mark.parametrize("loss", CONTENT, ids=repr)
def test_every_content_loss_moves_sr_is_nothing_at_hr_and_leaves_its_network_alone(loss):
    sr, hr = torch.rand(2, 2, 3, 48, 48)
    sr.requires_grad_()
    hr.requires_grad_(isinstance(loss, Perceptual))  # and must have none: its features are made once, without
    network = loss.ready("cpu") or torch.nn.Identity()
    if isinstance(loss, Perceptual):
        assert not any(module.training for module in network.train().modules())
        assert loss.ready("cpu") is network
    before = [value.clone() for value in network.state_dict().values()]
    value = loss(sr, hr)
    value.backward()
    assert hr.grad is None
    assert value.shape == ()
    assert torch.isfinite(sr.grad).all()
    assert sr.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, network.state_dict().values(), strict=True))
    assert float(loss(hr, hr)) == pytest.approx(0.001 if loss == Pixel("charbonnier") else 0.0, abs=1e-6)


def test_a_loss_is_a_key_of_its_phase_and_cannot_be_changed_there():
    for loss in (Pixel(), Perceptual(), LPIPS(), Checkerboard(), Adversarial(), RelativisticAverage(), Wasserstein()):
        assert {loss: 1.0}[type(loss)()] == 1.0
        with pytest.raises(FrozenInstanceError):
            loss.kind = loss.penalty = "other"


ADVERSARIAL = [*map(Adversarial, ("vanilla", "least_squares", "hinge")), RelativisticAverage(), Wasserstein()]


@pytest.mark.parametrize("loss", ADVERSARIAL, ids=repr)
def test_every_adversarial_loss_pulls_sr_towards_hr(loss):
    fake, real = torch.tensor([[0.3], [0.2]], requires_grad=True), torch.tensor([[0.5], [0.1]])
    value = loss.for_generator(fake, real) if hasattr(loss, "needs_real") else loss.for_generator(fake)
    value.backward()
    assert (fake.grad < 0).all(), "raising D(SR) must lower the generator's loss"
    fake.grad = None
    loss.for_discriminator(real, fake).backward()
    assert (fake.grad > 0).all(), "lowering D(SR) must lower the discriminator's loss"


def test_features_before_activation_are_those_that_relu_makes_the_ones_after():
    image = torch.rand(1, 3, 32, 32)
    before = vgg_features("vgg19", "conv3_2", "random", activation=False)(image)
    after = vgg_features("vgg19", "conv3_2", "random", activation=True)(image)
    assert (before < 0).any()
    torch.testing.assert_close(after, before.clamp(min=0))


def test_lpips_as_a_loss_is_torchmetrics_own(imagenet):
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    sr, hr = torch.rand(2, 2, 3, 64, 64)
    theirs = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)(sr, hr)
    torch.testing.assert_close(LPIPS("alex")(sr, hr), theirs)


def test_lpips_as_a_loss_looks_at_other_rows_and_columns_each_time():
    sr, hr = torch.rand(2, 2, 3, 64, 64)
    loss = LPIPS("alex", weights="random", shift=3)
    seen = {float(loss(sr, hr)) for _ in range(40)}
    still = LPIPS("alex", weights="random")
    views = [
        float(still(*(torch.cat([x[..., -n:, :], x[..., :-n, :]], 2) if n else x for x in pair)))
        for m in range(3)
        for pair in [[torch.cat([x[..., -m:], x[..., :-m]], 3) if m else x for x in (sr, hr)]]
        for n in range(3)
    ]
    assert 4 < len(seen) <= 9
    assert all(min(abs(value - view) for view in views) < 1e-5 for value in seen)


def test_lpips_as_a_loss_rolls_sr_and_hr_together_by_less_than_its_shift(monkeypatch):
    given = {}
    judge = lambda sr, hr, normalize: given.update(sr=sr, hr=hr, normalize=normalize) or (sr - hr).flatten(1).mean(1)  # noqa: E731
    monkeypatch.setattr(LPIPS, "ready", lambda loss, device: judge)
    sr, hr = torch.rand(2, 2, 3, 5, 7)
    rolls = [(down, right) for down in range(3) for right in range(3)]
    seen = set()
    for _ in range(99):
        assert float(LPIPS(shift=3)(sr, hr)) == pytest.approx(float((sr - hr).mean()), abs=1e-6)
        seen |= {roll for roll in rolls if torch.equal(given["sr"], sr.roll(roll, (2, 3)))}
        assert any(torch.equal(given["hr"], hr.roll(roll, (2, 3))) for roll in seen)
    assert seen == {*rolls}
    assert given["normalize"] is True
    LPIPS()(sr, hr)
    assert torch.equal(given["sr"], sr)


def test_what_a_loss_is_by_default_is_the_papers():
    assert (Wasserstein().penalty, Wasserstein().critic_steps) == (10, 5)
    assert (Perceptual().network, Perceptual().layer, Perceptual().activation) == ("vgg19", "conv5_4", True)
    assert (Perceptual().distance, Perceptual().weights) == ("mse", "imagenet")
    for loss in (Adversarial(), RelativisticAverage()):
        assert (loss.penalty, loss.critic_steps) == (0, 1)
    assert [RelativisticAverage().needs_real, Adversarial().needs_real, Wasserstein().needs_real] == [
        True,
        False,
        False,
    ]
    assert (Checkerboard().period, Checkerboard().window, LPIPS().shift) == (4, 6, 1)


@pytest.mark.parametrize(("height", "width"), [(96, 96), (50, 31), (4, 9)])
def test_a_checkerboard_counts_in_full_and_an_even_error_as_it_is(height, width):
    hr = torch.rand(2, 3, height, width)
    grid = torch.zeros(height, width)
    grid[1::4, 2::4] = 0.3
    torch.testing.assert_close(Checkerboard()(hr + grid, hr), torch.tensor(0.3 / 16))
    torch.testing.assert_close(Checkerboard()(hr - 0.1, hr), torch.tensor(0.1))
    assert Checkerboard()(hr, hr) == 0


@pytest.mark.parametrize(("period", "window"), [(4, 6), (2, 3), (1, 9), (3, 1)])
def test_a_checkerboard_is_what_loops_over_windows_and_places_give(period, window):
    sr, hr = torch.rand(2, 2, 3, 29, 32)
    places = (sr - hr)[..., : 29 // period * period, : 32 // period * period]
    size = min(window, 29 // period, 32 // period)
    step, means = max(1, size // 2), []
    for row, column in ((r, c) for r in range(period) for c in range(period)):
        raster = places[..., row::period, column::period]
        for top in range(0, raster.shape[-2] - size + 1, step):
            for left in range(0, raster.shape[-1] - size + 1, step):
                means.append(raster[..., top : top + size, left : left + size].mean((2, 3)).abs().mean())
    torch.testing.assert_close(Checkerboard(period, window)(sr, hr), torch.stack(means).mean())


def test_detail_that_falls_everywhere_is_hardly_a_checkerboard():
    hr, detail = torch.rand(1, 3, 96, 96), 0.3 * torch.randn(1, 3, 96, 96)
    assert Checkerboard()(hr + detail, hr) < Pixel("l1")(hr + detail, hr) / 4


def test_least_squares_verdict_is_the_share_of_photographs_that_its_best_discriminator_answers():
    """Of pictures of which a share are photographs, the answer that minimises its loss; no Sigmoid of that."""
    loss, answers = Adversarial("least_squares"), torch.linspace(-1, 2, 3001)
    zero, one = torch.zeros(1), torch.ones(1)
    for share in (0.0, 0.25, 1.0):
        both = [(loss.for_discriminator(a, zero), loss.for_discriminator(one, a)) for a in answers]
        best = answers[torch.stack([share * hr + (1 - share) * sr for hr, sr in both]).argmin()]
        assert [each.item() for each in loss.verdicts(best, best)] == pytest.approx([share, share], abs=1e-3)
    assert [each.item() for each in loss.verdicts(torch.tensor(1.5), torch.tensor(-0.5))] == [1, 0]


def test_verdicts_are_probabilities_but_for_a_critic_and_relativistic_ones_have_no_zero_of_their_own():
    real, fake = torch.randn(2, 16, 1)
    for loss in (Adversarial("vanilla"), RelativisticAverage()):
        d_hr, d_sr = loss.verdicts(real + 3, fake - 3)
        assert (d_hr > 0.5).float().mean() > 0.9 > 0.1 > (d_sr > 0.5).float().mean()
    for ours, shifted in zip(
        RelativisticAverage().verdicts(real, fake), RelativisticAverage().verdicts(real - 9, fake - 9), strict=True
    ):
        torch.testing.assert_close(ours, shifted, atol=1e-5, rtol=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(Wasserstein().verdicts(real, fake), (real, fake), strict=True))
