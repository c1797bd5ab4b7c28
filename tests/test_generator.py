"""The generator against the paper, closed forms and brute force."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import nn

from srkit.files import SrkitError
from srkit.generator import (
    RRDB,
    ResidualBlock,
    ResidualDenseBlock,
    RRDBNet,
    RRDBTrunk,
    SRResNet,
    TwoStageRRDB,
    Upsampler,
    count_parameters,
    interpolate,
    multiply_adds,
    receptive_field,
    sharpen,
)
from srkit.resize import imresize
from srkit.weights_files import open_weights, save_weights


def small(**options) -> SRResNet:
    torch.manual_seed(0)
    return SRResNet(**{"channels": 4, "blocks": 2, "ends_kernel": 5} | options)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("norm", ["batch", None])
def test_every_scale_multiplies_height_and_width(scale, norm):
    sr = small(scale=scale, norm=norm)(torch.rand(2, 3, 6, 9))
    assert sr.shape == (2, 3, 6 * scale, 9 * scale)


def parameters_by_hand(channels: int, blocks: int, ups: list[int], ends: int, norm: bool) -> int:
    """Figure 4 of Ledig et al., counted on paper: weights, biases where no batch norm follows, one PReLU slope each."""
    head = 3 * channels * ends**2 + channels + 1
    conv = 9 * channels**2 + (2 * channels if norm else channels)  # gain and shift, or bias
    trunk = blocks * (2 * conv + 1) + conv
    upsampler = sum(9 * channels * channels * r * r + channels * r * r + 1 for r in ups)
    tail = channels * 3 * ends**2 + 3
    return head + trunk + upsampler + tail


def test_the_papers_network_has_the_papers_parameters():
    count = count_parameters(SRResNet())
    assert count == parameters_by_hand(64, 16, [2, 2], 9, True)
    assert count == pytest.approx(1.5e6, rel=0.05)  # "1.5 M" in the literature's tables


@pytest.mark.parametrize(("scale", "ups"), [(2, [2]), (3, [3]), (8, [2, 2, 2])])
def test_other_sizes_have_the_parameters_of_the_formula(scale, ups):
    network = SRResNet(scale=scale, channels=8, blocks=3, norm=None, ends_kernel=3)
    assert count_parameters(network) == parameters_by_hand(8, 3, ups, 3, False)


def test_frozen_weights_are_not_counted():
    network = small()
    network.head.requires_grad_(False)
    assert count_parameters(network) == parameters_by_hand(4, 2, [2, 2], 5, True) - (3 * 4 * 25 + 4 + 1)


def test_without_norm_there_is_no_norm_and_pictures_do_not_meet():
    network = small(norm=None).train()
    assert not [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    lr = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(network(lr)[:1], network(lr[:1]))


def test_a_residual_block_whose_body_gives_nothing_is_the_identity():
    block = ResidualBlock(4, norm=None)
    nn.init.zeros_(block.body[-2].weight)
    nn.init.zeros_(block.body[-2].bias)
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(block(x), x)


def test_srresnet_is_the_papers_figure_written_out():
    network, lr = small(scale=2, blocks=1, norm=None), torch.rand(1, 3, 6, 7)
    w = network.state_dict()
    conv = lambda x, name: F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding="same")  # noqa: E731
    prelu = lambda x, name: F.prelu(x, w[f"{name}.weight"])  # noqa: E731
    first = prelu(conv(lr, "head.0"), "head.1")
    x = first + conv(prelu(conv(first, "trunk.0.body.0"), "trunk.0.body.2"), "trunk.0.body.3")
    x = first + conv(x, "trunk.1")
    x = prelu(F.pixel_shuffle(conv(x, "upsampler.0"), 2), "upsampler.2")
    torch.testing.assert_close(network(lr), conv(x, "tail.0"))


def test_an_upsampler_puts_the_channels_where_the_paper_puts_them():
    """Shi et al. 2016, equation 4: SR at (y, x) comes from channel C r mod(y, r) ... of LR at (y / r, x / r)."""
    upsampler = Upsampler(1, 3)
    conv = upsampler[0]
    nn.init.zeros_(conv.weight)
    conv.bias.data = torch.arange(9.0)
    out = upsampler(torch.zeros(1, 1, 2, 2))
    assert out.shape == (1, 1, 6, 6)
    torch.testing.assert_close(out[0, 0, 3:, :3], torch.arange(9.0).reshape(3, 3))


@pytest.mark.parametrize("end", ["tanh", "sigmoid"])
def test_a_bounded_end_speaks_zero_to_one_and_reaches_both(end):
    network = small(end=end)
    for value, expected in ((-100.0, 0.0), (100.0, 1.0)):
        nn.init.zeros_(network.tail[0].weight)
        nn.init.constant_(network.tail[0].bias, value)
        torch.testing.assert_close(network(torch.rand(1, 3, 6, 6)), torch.full((1, 3, 24, 24), expected))


def test_a_tanh_network_sees_minus_one_to_one_inside():
    network, seen = small(end="tanh"), []
    network.head.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    network(torch.tensor([0.0, 0.5, 1.0]).reshape(1, 3, 1, 1).expand(1, 3, 6, 6))
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([-1.0, 0.0, 1.0]))


def test_a_linear_end_is_not_clipped():
    network = small()
    nn.init.zeros_(network.tail[0].weight)
    nn.init.constant_(network.tail[0].bias, 1.5)
    assert network(torch.rand(1, 3, 6, 6)).min() == 1.5


@pytest.mark.parametrize(
    ("network", "wrong"),
    [
        *((SRResNet, wrong) for wrong in ({"scale": 5}, {"norm": "instance"}, {"end": "relu"})),
        *((SRResNet, {"end": "tanh", "skip": True}), (RRDBNet, {"scale": 5}), (TwoStageRRDB, {"scale": 5})),
    ],
)
def test_what_is_not_built_is_refused_with_the_good_names(network, wrong):
    with pytest.raises(SrkitError, match="choose one of"):
        network(**wrong)


class Plain(nn.Sequential):
    """A stack of convolutions at LR size, kernels given."""

    def __init__(self, *kernels: int):
        torch.manual_seed(0)
        super().__init__(*(nn.Conv2d(3, 3, k, padding=k // 2) for k in kernels))


@pytest.mark.parametrize(("kernels", "side"), [((3,), 3), ((3, 3, 3), 7), ((9, 3, 5), 15), ((1,), 1)])
def test_a_stack_of_convolutions_sees_the_sum_of_its_reaches(kernels, side):
    assert receptive_field(Plain(*kernels), size=32) == side == 1 + sum(k - 1 for k in kernels)


def columns_that_matter(network: nn.Module, size: int) -> int:
    """Brute force: move each LR column in turn, and see whether the middle SR pixel moves."""
    network = network.double().eval()
    generator = torch.Generator().manual_seed(1)
    lr = torch.rand(1, 3, 8, size, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        batch = lr.repeat(size + 1, 1, 1, 1)
        for column in range(size):
            batch[column, :, :, column] += 0.5
        sr = network(batch)
        middle = sr[..., sr.shape[-2] // 2, sr.shape[-1] // 2]
    moved = (middle[:-1] - middle[-1]).abs().sum(1).nonzero()
    return int(moved.max() - moved.min() + 1)


@pytest.mark.parametrize("options", [{"scale": 2}, {"scale": 4, "blocks": 1}, {"scale": 3, "norm": None}])
def test_the_receptive_field_is_that_of_brute_force(options):
    network = small(**options)
    assert receptive_field(network, size=40) == columns_that_matter(network, 40)


def test_a_network_that_sees_further_than_the_probe_answers_the_probe():
    assert receptive_field(Plain(9, 9, 9), size=12) == 12
    assert receptive_field(Plain(*[9] * 17)) == 128


def test_measuring_leaves_the_network_as_it_was():
    network = small().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    receptive_field(network, size=24)
    multiply_adds(network, 8, 8)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(p.grad is None and p.requires_grad and p.dtype == torch.float32 for p in network.parameters())


def test_multiply_adds_are_those_of_the_closed_form():
    """A k x k convolution from a to b channels costs k k a b for each pixel that it writes."""
    channels, blocks, ends, height, width = 8, 3, 9, 10, 14
    network = SRResNet(scale=4, channels=channels, blocks=blocks, ends_kernel=ends)
    lr = height * width
    head = ends**2 * 3 * channels * lr
    trunk = (2 * blocks + 1) * 9 * channels**2 * lr
    upsampler = 9 * channels * 4 * channels * (lr + 4 * lr)
    tail = ends**2 * channels * 3 * 16 * lr
    assert multiply_adds(network, height, width) == head + trunk + upsampler + tail


def test_multiply_adds_of_a_dense_layer_and_of_one_pixel(capsys):
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 7))
    assert multiply_adds(network, 4, 4) == 3 * 4 * 4 * 7
    assert multiply_adds(small(), 2, 3) == 6 * multiply_adds(small(), 1, 1)
    assert capsys.readouterr().out == ""


def test_rrdbnet_has_the_parameters_that_esrgan_publishes():
    assert count_parameters(RRDBNet()) == 16_697_987  # the 16.70 M of arXiv:1809.00219, as the authors' code counts


def test_each_part_is_by_default_as_large_as_in_the_papers():
    conv = lambda before, after: 9 * before * after + after  # noqa: E731
    dense = sum(conv(64 + 32 * n, 32) for n in range(4)) + conv(64 + 32 * 4, 64)
    trunk = conv(3, 64) + 23 * 3 * dense + conv(64, 64)
    sizes = {ResidualBlock: 2 * (9 * 64 * 64 + 2 * 64) + 1, ResidualDenseBlock: dense, RRDB: 3 * dense}
    sizes |= {RRDBTrunk: trunk, TwoStageRRDB: trunk + 2 * (conv(64, 256) + 1) + conv(64, 3)}
    with torch.device("meta"):
        networks = [kind() for kind in (*sizes, RRDBNet)]
    assert [count_parameters(network) for network in networks[:-1]] == list(sizes.values())
    for network in networks[1:]:
        assert {part.residual_scale for part in network.modules() if hasattr(part, "residual_scale")} == {0.2}


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("network", [RRDBNet, TwoStageRRDB])
def test_rrdb_networks_speak_every_scale(network, scale):
    small = network(scale=scale, channels=8, blocks=1, growth=4)
    assert small(torch.rand(2, 3, 7, 9)).shape == (2, 3, 7 * scale, 9 * scale)


def test_a_residual_dense_block_is_five_convolutions_each_seeing_all_before():
    block = ResidualDenseBlock(channels=4, growth=3).double()
    x = torch.randn(1, 4, 6, 6, dtype=torch.float64)
    maps = [x]
    for number, conv in enumerate(block.convs):
        answer = F.conv2d(torch.cat(maps, 1), conv.weight, conv.bias, padding=1)
        maps.append(torch.where(answer > 0, answer, 0.2 * answer) if number < 4 else answer)
    torch.testing.assert_close(block(x), x + 0.2 * maps[-1])


def test_an_rrdb_scales_what_three_dense_blocks_make_once_more():
    rrdb = RRDB(channels=4, growth=3)
    x = torch.randn(1, 4, 6, 6)
    inner = rrdb[2](rrdb[1](rrdb[0](x)))
    torch.testing.assert_close(rrdb(x), x + 0.2 * inner)


def test_dense_blocks_start_with_a_tenth_of_kaimings_deviation():
    conv = RRDBNet(blocks=1).body[0][0].convs[0]
    fan_in = 64 * 9
    assert float(conv.weight.detach().std()) == pytest.approx(0.1 * (2 / fan_in) ** 0.5, rel=0.05)
    assert not conv.bias.any()


def test_the_two_stages_are_two_modules_the_first_at_lr_size():
    network = TwoStageRRDB(channels=8, blocks=1, growth=4)
    lr = torch.rand(1, 3, 10, 12)
    features = network.stage_one(lr)
    assert features.shape == (1, 8, 10, 12)
    torch.testing.assert_close(network.stage_two(features), network(lr))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_network_with_the_bicubic_skip_starts_as_exactly_bicubic(scale):
    lr = torch.rand(2, 3, 11, 9)
    network = SRResNet(scale, channels=8, blocks=2, skip=True)
    torch.testing.assert_close(network(lr), imresize(lr, scale), rtol=0, atol=0)
    network(lr).square().sum().backward()
    assert network.tail[0].weight.grad.abs().sum() > 0, "it could not learn"


def test_interpolated_weights_lie_between_the_two_networks():
    psnr, gan = SRResNet(channels=8, blocks=1), SRResNet(channels=8, blocks=1)
    before = [value.clone() for value in psnr.state_dict().values()]
    mixed = interpolate(psnr, gan, 0.25).state_dict()
    for name, value in mixed.items():
        expected = 0.75 * psnr.state_dict()[name] + 0.25 * gan.state_dict()[name]
        torch.testing.assert_close(value.double(), expected.double())
    assert all(torch.equal(a, b) for a, b in zip(before, psnr.state_dict().values(), strict=True))
    lr = torch.rand(1, 3, 8, 8)
    for alpha, network in ((0, psnr), (1, gan)):
        torch.testing.assert_close(interpolate(psnr, gan, alpha).eval()(lr), network.eval()(lr))


def test_sharpening_keeps_flat_places_steepens_edges_and_does_nothing_at_0():
    edge = torch.full((1, 3, 16, 16), 0.3)
    edge[..., 8:] = 0.6
    sharper = sharpen(edge, 1.0)
    torch.testing.assert_close(sharper[..., :3], edge[..., :3])
    assert (sharper[..., 8] - sharper[..., 7] > 0.31).all()
    assert sharpen(edge, 0.0) is edge


def test_sharpening_adds_what_scipys_gaussian_takes_away():
    sr = 0.3 + 0.4 * torch.rand(2, 3, 9, 11)
    blurred = gaussian_filter(sr.numpy(), (0, 0, 1, 1), truncate=3, mode="nearest")
    torch.testing.assert_close(sharpen(sr, 0.5), sr + 0.5 * (sr - torch.from_numpy(blurred)), atol=1e-5, rtol=0)
    assert (sharpen(sr, 9).min(), sharpen(sr, 9).max()) == (0, 1), "clipped"
    assert sharpen(sr.double(), 0.5).dtype == torch.float64


def first_release_names(blocks: int, ups: int) -> dict[str, str]:
    """By its place in an RRDBNet, how RRDB_ESRGAN_x4.pth, which the paper's authors published, calls a weight."""
    names = {"conv_first": "conv_first", "conv_body": "trunk_conv", "conv_hr": "HRconv", "conv_last": "conv_last"}
    names |= {f"conv_up{n + 1}": f"upconv{n + 1}" for n in range(ups)}
    for block, part, conv in product(range(blocks), (1, 2, 3), (1, 2, 3, 4, 5)):
        names[f"body.{block}.rdb{part}.conv{conv}"] = f"RRDB_trunk.{block}.RDB{part}.conv{conv}"
    return names


def numbered_names(blocks: int, ups: int) -> dict[str, str]:
    """How it is called in the files before that, and in most that others made: places in one nn.Sequential."""
    top = {"conv_first": 0, "conv_hr": 3 * ups + 2, "conv_last": 3 * ups + 4}
    top |= {f"conv_up{n + 1}": 3 * n + 3 for n in range(ups)}
    names = {name: f"model.{place}" for name, place in top.items()} | {"conv_body": f"model.1.sub.{blocks}"}
    for block, part, conv in product(range(blocks), (1, 2, 3), (1, 2, 3, 4, 5)):
        names[f"body.{block}.rdb{part}.conv{conv}"] = f"model.1.sub.{block}.RDB{part}.conv{conv}.0"
    return names


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("names_of", [first_release_names, numbered_names])
def test_files_with_the_other_names_of_an_rrdbnet_open(names_of, scale):
    options = {"scale": scale, "channels": 4, "blocks": 12, "growth": 2}
    network = RRDBNet(**options)
    other = names_of(12, {2: 1, 3: 1, 4: 2, 8: 3}[scale])
    state = {
        f"{other[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": v for name, v in network.state_dict().items()
    }
    opened = RRDBNet(**options)
    opened.load_state_dict(state)
    lr = torch.rand(1, 3, 5, 6)
    assert torch.equal(opened(lr), network(lr))


class EarlierBlock(nn.Module):
    """A dense block of srkit before its weights had ESRGAN's names."""

    def __init__(self, channels: int, growth: int):
        super().__init__()
        widths = [channels + growth * n for n in range(5)]
        self.convs = nn.ModuleList(
            nn.Conv2d(width, growth if n < 4 else channels, 3, padding=1) for n, width in enumerate(widths)
        )

    def forward(self, x):
        seen = x
        for conv in self.convs[:-1]:
            seen = torch.cat([seen, F.leaky_relu(conv(seen), 0.2)], dim=1)
        return x + 0.2 * self.convs[-1](seen)


class EarlierRRDB(nn.Sequential):
    """And its RRDB, which scaled the change of three dense blocks and not what they make."""

    def forward(self, x):
        return x + 0.2 * (super().forward(x) - x)


class EarlierTrunk(nn.Module):
    def __init__(self, channels: int, blocks: int, growth: int):
        super().__init__()
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        rrdbs = (EarlierRRDB(*(EarlierBlock(channels, growth) for _ in range(3))) for _ in range(blocks))
        self.body = nn.Sequential(*rrdbs, nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, lr):
        features = self.head(lr)
        return features + self.body(features)


class EarlierRRDBNet(nn.Module):
    def __init__(self, ups: tuple, channels: int, blocks: int, growth: int):
        super().__init__()
        self.trunk = EarlierTrunk(channels, blocks, growth)
        layers = []
        for step in ups:
            layers += [nn.Upsample(scale_factor=step), nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(0.2)]
        self.upsampler = nn.Sequential(*layers)
        last = nn.Conv2d(channels, 3, 3, padding=1)
        self.tail = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(0.2), last)

    def forward(self, lr):
        return self.tail(self.upsampler(self.trunk(lr)))


def as_if_trained(network: nn.Module) -> nn.Module:
    """Weights that neither vanish nor explode over many blocks, with biases."""
    torch.manual_seed(3)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.7 / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else 0.1)
    return network


@pytest.mark.parametrize(("scale", "ups", "blocks"), [(2, (2,), 3), (3, (3,), 12), (4, (2, 2), 23), (8, (2, 2, 2), 1)])
def test_weights_of_an_earlier_srkit_give_the_pictures_they_gave(scale, ups, blocks):
    before = as_if_trained(EarlierRRDBNet(ups, 8, blocks, 4))
    now = RRDBNet(scale, channels=8, blocks=blocks, growth=4)
    now.load_state_dict(before.state_dict())
    lr = torch.rand(1, 3, 9, 7)
    with torch.no_grad():
        expected = before(lr)
        assert expected.std() > 0.05, "the weights do nothing"
        torch.testing.assert_close(now(lr), expected, rtol=1e-5, atol=1e-5)
        again = RRDBNet(scale, channels=8, blocks=blocks, growth=4)
        again.load_state_dict(now.state_dict())  # saved under the names of today, they are rescaled once only
        assert torch.equal(again(lr), now(lr))


def test_an_earlier_file_of_two_stages_opens():
    before, now = as_if_trained(EarlierTrunk(8, 3, 4)), TwoStageRRDB(channels=8, blocks=3, growth=4)
    state = {name: value for name, value in now.state_dict().items() if name.startswith("stage_two.")}
    now.load_state_dict(state | {f"stage_one.{name}": value for name, value in before.state_dict().items()})
    lr = torch.rand(1, 3, 9, 7)
    torch.testing.assert_close(now.stage_one(lr), before(lr), rtol=1e-5, atol=1e-5)


def test_a_file_of_another_network_is_still_refused():
    network = RRDBNet(channels=4, blocks=1, growth=2)
    with pytest.raises(RuntimeError, match="Missing key"):
        network.load_state_dict(small().state_dict())
    with pytest.raises(RuntimeError, match="Unexpected key.*more"):
        network.load_state_dict(network.state_dict() | {"more.weight": torch.zeros(1)})


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_other_programs_open_an_rrdbnet_pixel_for_pixel(scale, tmp_path):
    """chaiNNer, ComfyUI and A1111 open ESRGAN files through spandrel, which tells the network from its names alone."""
    spandrel = pytest.importorskip("spandrel")
    torch.manual_seed(0)
    network = RRDBNet(scale, channels=16, blocks=2).eval()
    save_weights(network, tmp_path / "mine.safetensors")
    theirs = spandrel.ModelLoader().load_from_file(tmp_path / "mine.safetensors")
    assert (theirs.architecture.name, theirs.scale) == ("ESRGAN", scale)
    lr = torch.rand(1, 3, 9, 14)
    with torch.no_grad():
        assert torch.equal(theirs.model(lr), network(lr))


def test_a_public_esrgan_opens_as_the_recipe(tmp_path):
    """In the size and under the names of the published file, with weights that spandrel's own network drew."""
    spandrel = pytest.importorskip("spandrel")
    torch.manual_seed(0)
    theirs = spandrel.architectures.ESRGAN.ESRGAN(num_filters=64, num_blocks=23, scale=4).eval()
    torch.save({"params_ema": theirs.state_dict()}, tmp_path / "RRDB_x4.pth")
    ours = open_weights(tmp_path / "RRDB_x4.pth", "esrgan", 4)
    lr = torch.rand(1, 3, 4, 5)
    with torch.no_grad():
        assert torch.equal(ours(lr), theirs(lr))


def test_the_bicubic_skip_is_not_rounded_by_autocast():
    """To a thousandth of a grey level, while the network itself works in bf16."""
    network, lr = SRResNet(4, channels=8, blocks=1, skip=True), torch.rand(1, 3, 9, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sr = network(lr)
    torch.testing.assert_close(sr, imresize(lr.double(), 4).float(), rtol=0, atol=1e-3 / 255)
