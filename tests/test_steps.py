"""One training step against closed forms: what each number in it does to the gradient."""

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from test_training import TINY, without_norm
from torch import nn

from srkit import steps
from srkit.files import SrkitError
from srkit.losses import Adversarial, Pixel, Wasserstein, slope_between
from srkit.profiles import fit
from srkit.recipes import RECIPES, Phase
from srkit.resize import imresize
from srkit.steps import Learner, compile_network, gradient_shares, learning_rate

pytestmark = pytest.mark.usefixtures("one_thread")


def learner(name="wgan_gp", **changed):
    recipe = replace(fit(RECIPES[name], TINY), **changed)
    going = Learner(recipe)
    going.begin(recipe.phases[-1])
    return going, recipe.phases[-1]


def batch(recipe, count=2):
    torch.manual_seed(3)
    hr = torch.rand(count, 3, recipe.crop, recipe.crop)
    return nn.functional.avg_pool2d(hr, recipe.scale), hr


def with_linear_critic(going):
    critic = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 1, bias=False))
    going.discriminator = critic
    going.d_optimizer = torch.optim.Adam(critic.parameters(), 0.0)
    return critic[1].weight


@pytest.mark.parametrize("penalty", [10.0, 3.0])
def test_the_critics_gradient_has_the_penalty_with_its_weight(penalty):
    going, _ = learner()
    weight = with_linear_critic(going)
    hr, sr = torch.rand(2, 4, 3, 8, 8)
    going._discriminator_step(Wasserstein(penalty=penalty), [(sr, hr)])
    norm = weight.norm()  # of a linear critic's gradient, everywhere
    apart = (sr - hr).flatten(1).mean(0)
    expected = apart + penalty * 2 * (norm - 1) * weight[0] / norm
    torch.testing.assert_close(weight.grad[0], expected)


def test_without_a_penalty_the_discriminators_gradient_is_its_losss_alone():
    going, _ = learner()
    weight = with_linear_critic(going)
    hr, sr = torch.rand(2, 4, 3, 8, 8)
    going._discriminator_step(Adversarial("vanilla"), [(sr, hr)])
    real, fake = (x.flatten(1) @ weight[0] for x in (hr, sr))
    by_hand = (torch.sigmoid(fake)[:, None] * sr.flatten(1) - torch.sigmoid(-real)[:, None] * hr.flatten(1)).mean(0)
    torch.testing.assert_close(weight.grad[0], by_hand)


def test_each_picture_has_its_own_point_between_hr_and_sr():
    hr, sr = torch.ones(64, 3, 4, 4), torch.zeros(64, 3, 4, 4)
    half_square = lambda x: x.square().flatten(1).sum(1) / 2  # noqa: E731  its gradient is the point itself
    where = slope_between(half_square, hr, sr).detach() / math.sqrt(48)  # 0 at SR, 1 at HR
    assert where.min() >= 0
    assert where.max() <= 1
    assert len(where.unique()) == 64
    assert where.std() == pytest.approx(math.sqrt(1 / 12), abs=0.06), "evenly between the two"


@pytest.mark.parametrize("clip", [1e-3, 1e6, None])
def test_the_generators_gradient_is_clipped_to_its_norm(clip):
    going, phase = learner("srresnet")
    logged = going.step(replace(phase, clip=clip), *batch(going.recipe), 0.0)["grad_norm"]
    after = nn.utils.get_total_norm([p.grad for p in going.generator.parameters()])
    assert after == pytest.approx(min(float(logged), clip or math.inf), rel=1e-4)
    assert logged > 1e-2


def test_the_two_networks_learn_at_their_own_rates():
    going, phase = learner("srgan")
    going.step(replace(phase, lr=1e-4, d_lr=2e-5), *batch(going.recipe), 5e-5)
    assert going.g_optimizer.param_groups[0]["lr"] == pytest.approx(5e-5)
    assert going.d_optimizer.param_groups[0]["lr"] == pytest.approx(1e-5)
    assert learning_rate(replace(phase, schedule="constant", lr=1e-4), 3) == 1e-4


@pytest.mark.parametrize("number", range(5))
def test_the_generator_learns_every_critic_steps_th_step(number):
    going, phase = learner("wgan_gp")
    before = [p.clone() for p in going.generator.parameters()]
    terms = going.step(phase, *batch(going.recipe), 1e-3, number)
    moved = any(not torch.equal(a, b) for a, b in zip(before, going.generator.parameters(), strict=True))
    assert moved == ("pixel" in terms) == (number == 4)
    assert "discriminator" in terms


def test_losses_of_one_term_are_added_each_with_its_weight():
    going, phase = learner("bicubic_skip")  # whose SR is bicubic at first
    phase = replace(phase, losses={Pixel("mse"): 1.0, Pixel("l1"): 0.5})
    lr, hr = batch(going.recipe)
    terms, error = going.step(phase, lr, hr, 0.0, balance=True), imresize(lr, 4) - hr
    torch.testing.assert_close(terms["pixel"], error.square().mean() + error.abs().mean())
    for name, drift in zip(("red", "green", "blue"), error.mean((0, 2, 3)), strict=True):
        torch.testing.assert_close(terms[name], drift)
    assert float(terms["share_pixel"]) == pytest.approx(1)
    error, last = going.generator(lr) - hr, going.generator.tail[0].weight
    (by_hand,) = torch.autograd.grad(error.square().mean() + 0.5 * error.abs().mean(), last)
    torch.testing.assert_close(last.grad, by_hand)


def test_fp16s_scale_is_taken_out_before_the_norm_and_the_step():
    plain, phase = learner("srgan")
    half, _ = learner("srgan")
    half.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    pair = batch(plain.recipe)
    ours, theirs = half.step(phase, *pair, 1e-3), plain.step(phase, *pair, 1e-3)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, msg=name)
    for a, b in zip(plain.generator.parameters(), half.generator.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_seed_alone_decides_the_first_weights_and_is_0_where_none_is_given():
    recipe = fit(RECIPES["srgan"], TINY)
    first = [next(Learner(recipe, **given).generator.parameters()) for given in ({}, {"seed": 0}, {"seed": 1})]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_adam_has_the_phases_moments_and_rates():
    going, phase = learner("srgan")
    going.begin(replace(phase, betas=(0.5, 0.9), lr=3e-4, d_lr=2e-4))
    for optimizer, rate in ((going.g_optimizer, 3e-4), (going.d_optimizer, 2e-4)):
        assert (optimizer.param_groups[0]["betas"], optimizer.param_groups[0]["lr"]) == ((0.5, 0.9), rate)


def test_shares_are_the_norms_of_the_weighted_gradients_at_sr():
    sr = torch.rand(2, 3, 4, 4, requires_grad=True)
    ways = torch.rand(2, 2, 3, 4, 4)
    shares = gradient_shares({"pixel": 3 * (sr * ways[0]).sum(), "adversarial": -(sr * ways[1]).sum()}, sr)
    norms = 3 * ways[0].norm(), ways[1].norm()
    assert float(shares["share_pixel"]) == pytest.approx(float(norms[0] / sum(norms)), rel=1e-5)
    assert float(shares["share_adversarial"]) == pytest.approx(float(norms[1] / sum(norms)), rel=1e-5)
    assert gradient_shares({"pixel": (0 * sr).sum()}, sr) == {"share_pixel": 0}, "and not NaN"
    large = torch.rand(1, 3, 64, 64).half().requires_grad_()
    assert gradient_shares({"pixel": (1000 * large.float()).sum()}, large) == {"share_pixel": 1}, (
        "float16 ends at 65504"
    )


def test_the_shares_in_fp16_are_those_in_fp32():
    """Unscaled, a small gradient rounds to 0 on its way: AMP's examples scale each loss for torch.autograd.grad too."""
    recipe, shares = fit(RECIPES["srgan"], TINY), {}
    for precision in ("fp32", "fp16"):
        going = Learner(recipe, precision=precision)
        going.begin(recipe.phases[-1])
        shares[precision] = going.step(recipe.phases[-1], *batch(recipe), 0.0, balance=True)
    for name in ("share_perceptual", "share_adversarial"):
        assert float(shares["fp16"][name]) == pytest.approx(float(shares["fp32"][name]), abs=0.01)


def test_shares_of_a_gradient_that_is_not_finite_are_no_numbers():
    sr = torch.rand(1, 3, 2, 2, requires_grad=True)
    shares = gradient_shares({"pixel": sr.sum(), "perceptual": (sr * math.inf).sum()}, sr)
    assert [math.isnan(share) for share in shares.values()] == [True, True]


def test_the_shares_of_a_step_are_logged_when_asked_and_change_nothing():
    plain, phase = learner("srgan")
    asked, _ = learner("srgan")
    lr, hr = batch(plain.recipe)
    without, with_shares = plain.step(phase, lr, hr, 1e-3), asked.step(phase, lr, hr, 1e-3, balance=True)
    assert not [name for name in without if name.startswith("share_")]
    assert sum(float(v) for k, v in with_shares.items() if k.startswith("share_")) == pytest.approx(1)
    for a, b in zip(plain.generator.parameters(), asked.generator.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("sick", "spike"), [("generator", math.inf), ("discriminator", math.nan)])
def test_fp16_that_skips_every_step_is_stopped_with_what_to_do_and_a_spike_is_not(sick, spike, monkeypatch):
    monkeypatch.setattr(steps, "MOST_SKIPPED", 2)
    going, phase = learner("srgan")
    going.scaler = torch.amp.GradScaler("cpu")  # as on a GPU; the networks themselves are in float32
    pair, ill = batch(going.recipe), True
    next(getattr(going, sick).parameters()).register_hook(lambda slope: slope + spike if ill else slope)
    still = [p.clone() for p in getattr(going, sick).parameters()]
    for ill in (True, False, True):
        logged = going.step(phase, *pair, 0.0)["grad_norm" if sick == "generator" else "d_grad_norm"]
        assert (float(logged) == math.inf) == ill
    with pytest.raises(SrkitError, match="each of the last 2 steps was skipped.*--precision bf16, or fp32"):
        going.step(phase, *pair, 1e-3)
    for before, after in zip(still, getattr(going, sick).parameters(), strict=True):
        assert torch.equal(before, after)


def test_a_run_goes_on_in_another_precision():
    going, phase = learner("srgan")
    half, _ = learner("srgan")
    half.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    half.step(phase, *batch(half.recipe), 1e-3)
    again, _ = learner("srgan")
    again.scaler = torch.amp.GradScaler("cpu")
    again.load_state_dict(half.state_dict(), phase)
    assert again.scaler.get_scale() == 8
    going.load_state_dict(half.state_dict(), phase)
    half.load_state_dict(going.state_dict(), phase)
    for mine, other in zip(going.generator.parameters(), half.generator.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_a_learner_takes_up_a_state_of_a_phase_that_it_had_not_begun():
    there, phase = learner("srgan")
    pair = batch(there.recipe)
    there.step(phase, *pair, 1e-3)
    going = Learner(there.recipe, seed=1)
    going.load_state_dict(deepcopy(there.state_dict()), phase)
    ours, theirs = (one.step(phase, *pair, 1e-3) for one in (going, there))
    assert ours == theirs
    for name in ("generator", "ema", "discriminator"):
        for a, b in zip(getattr(going, name).parameters(), getattr(there, name).parameters(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("here", [True, False])
def test_a_run_goes_on_where_steps_become_graphs_and_where_they_do_not(here):
    """What an optimiser that is to be captured needs is not taken from a checkpoint of another device."""
    there, phase = learner("srgan")
    there.graphed = not here
    there.begin(phase)
    there.step(phase, *batch(there.recipe), 1e-3, balance=True)
    going, _ = learner("srgan")
    going.graphed = here
    going.load_state_dict(there.state_dict(), phase)
    for optimizer in (going.g_optimizer, going.d_optimizer):
        assert [group["capturable"] for group in optimizer.param_groups] == [here]
    going.step(phase, *batch(going.recipe), 1e-3, balance=True)
    assert isinstance(going.g_optimizer.param_groups[0]["lr"], torch.Tensor) == here


def test_a_learner_begins_with_the_first_phase_at_step_0_through_the_compiler_where_that_is_asked(monkeypatch):
    monkeypatch.setattr(steps, "compile_network", lambda network: "compiled")
    going = Learner(fit(RECIPES["srgan"], TINY))
    assert going.d_optimizer is None
    assert going.forward is going.generator
    assert Learner(going.recipe, compiled=True).forward == "compiled"
    assert going._place(nn.Identity().eval()).training
    lr, hr = batch(going.recipe)
    with pytest.raises(SrkitError, match="the pixel loss is not finite at step 1:"):
        going.step(going.recipe.phases[0], lr, hr * math.inf, 1e-3)


def test_each_step_of_the_generator_moves_the_running_mean_of_its_weights_and_the_counts_with_it():
    going, phase = learner("srresnet")
    before = [p.clone() for p in going.ema.parameters()]
    going.step(phase, *batch(going.recipe), 1e-3)
    for mean, old, new in zip(going.ema.parameters(), before, going.generator.parameters(), strict=True):
        torch.testing.assert_close(mean, 0.1 * old + 0.9 * new)  # the first keeps 1 / 10
        assert not torch.equal(old, new)
    counts = [value for name, value in going.ema.state_dict().items() if name.endswith("num_batches_tracked")]
    assert {*map(int, counts)} == {1}


def test_what_a_step_gives_to_log_keeps_no_graph_in_memory():
    going, phase = learner("wgan_gp")
    terms = going.step(phase, *batch(going.recipe), 1e-3, 4, balance=True)
    assert not [name for name, value in terms.items() if value.requires_grad]


def test_gradients_are_meaned_over_the_processes_before_they_are_measured_and_move_anything(monkeypatch):
    plain, phase = learner("srgan")
    pair = batch(plain.recipe)
    before = plain.step(phase, *pair, 0.0)
    monkeypatch.setattr(
        "srkit.distributed.mean_gradients", lambda network: [p.grad.div_(2) for p in network.parameters()]
    )
    after = learner("srgan")[0].step(phase, *pair, 0.0)
    for name in ("grad_norm", "d_grad_norm"):
        torch.testing.assert_close(after[name], before[name] / 2)


class Said:
    """An adversarial loss that keeps the logits that it is given."""

    penalty = 0.0

    def __init__(self, needs_real):
        self.needs_real, self.logits = needs_real, []

    def for_generator(self, *logits):
        self.logits += logits

    def for_discriminator(self, *logits):
        self.logits += logits
        return sum(logits).mean()

    verdicts = staticmethod(lambda *logits: logits)


@pytest.mark.parametrize("needs_real", [True, False])
def test_whatever_a_network_computes_in_the_losses_get_float32(needs_real):
    going, _ = learner("srgan")
    loss, (sr, hr) = Said(needs_real), torch.rand(2, 4, 3, 8, 8)
    with_linear_critic(going)
    going.discriminator.append(nn.Identity()).register_forward_hook(lambda module, x, logit: logit.bfloat16())
    going._fooling(loss, sr, hr)
    going._discriminator_step(loss, [(sr, hr)])
    going.forward = lambda lr: lr.bfloat16()
    found = [*loss.logits, going._upscale(hr)]
    assert [x.dtype for x in found] == [torch.float32] * (4 + needs_real)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_a_precision_is_what_networks_and_losses_compute_in_and_fp16_alone_scales_its_loss(precision, dtype):
    seen = []

    def content(sr, hr):
        seen.append((sr @ hr).dtype)
        return (sr - hr).square().mean()

    def network():
        conv = nn.Conv2d(3, 3, 1)
        conv.register_forward_hook(lambda module, x, y: seen.append(y.dtype))
        return conv

    phase = Phase("gan", steps=1, losses={content: 1.0, Adversarial("vanilla"): 1.0})
    recipe = replace(fit(RECIPES["srgan"], TINY), generator=network, discriminator=network, phases=(phase,))
    going = Learner(recipe, precision=precision)
    going.step(phase, *torch.rand(2, 1, 3, 4, 4), 0.0)
    assert seen == [dtype] * 5, "SR, the two losses of the generator, and two verdicts"
    assert going.scaler.is_enabled() == ("scaler" in going.state_dict()) == (precision == "fp16")


def test_a_phase_begins_with_no_step_skipped():
    going, phase = learner("srgan")
    assert going.skipped.tolist() == [0, 0]
    going.skipped.fill_(30)
    going.begin(phase)
    assert going.skipped.tolist() == [0, 0]


def test_a_step_becomes_a_graph_for_each_kind_of_step_and_none_where_shares_are_asked(monkeypatch):
    replayed = []
    monkeypatch.setattr(steps, "CapturedStep", lambda work: lambda *pair: replayed.append(work) or work(*pair))
    going, phase = learner("wgan_gp")
    going.graphed, pair = True, batch(going.recipe)
    going.begin(phase)
    for number in (0, 1, 4, 9):
        terms = going.step(phase, *pair, 1e-3, number)
        assert ("pixel" in terms) == (number in (4, 9))
        assert "share_pixel" not in terms
    assert len(replayed) == 4
    assert len({*map(id, replayed)}) == len(going.graphs) == 2
    assert "share_pixel" in going.step(phase, *pair, 1e-3, 14, balance=True)
    assert len(replayed) == 4
    going.begin(phase)
    assert going.graphs == {}
    assert [way.param_groups[0]["capturable"] for way in (going.g_optimizer, going.d_optimizer)] == [True, True]


def test_the_adversarial_loss_is_not_rounded_to_16_bits():
    going, phase = learner("srgan")
    half = Learner(going.recipe, precision="bf16")
    half.begin(phase)
    value = float(half.step(phase, *batch(going.recipe, 3), 0.0)["adversarial"])
    assert value != float(torch.tensor(value).bfloat16())


def test_a_compilers_errors_are_passed_over_in_our_networks_alone(monkeypatch):
    from torch._dynamo import config

    seen = []
    monkeypatch.setattr(torch, "compile", lambda network: lambda x: seen.append(config.suppress_errors) or network(x))
    compiled = compile_network(torch.nn.Identity())
    assert config.suppress_errors is False
    assert compiled(torch.ones(2)).tolist() == [1, 1]
    assert seen == [True]
    assert config.suppress_errors is False


def test_the_running_mean_moves_slowly_towards_the_weights():
    going, _ = learner("srgan", ema=0.9)
    going.averaged.fill_(10_000)
    with torch.no_grad():
        for p in going.ema.parameters():
            p.zero_()
        for p in going.generator.parameters():
            p.fill_(1.0)
    going._average()
    assert all(torch.allclose(p, torch.full_like(p, 0.1)) for p in going.ema.parameters())
    assert not going.ema.training
    assert not any(p.requires_grad for p in going.ema.parameters())


def test_a_young_running_mean_moves_faster_and_each_phase_begins_from_it_anew():
    going, _ = learner("srgan", ema=0.4)
    with torch.no_grad():
        for mean, weight in zip(going.ema.parameters(), going.generator.parameters(), strict=True):
            mean.zero_()
            weight.fill_(1.0)
    for expected in (0.9, 0.9 + 0.1 * 9 / 11, 1 - 0.1 * 2 / 11 * 3 / 12, 1 - 0.1 * 2 / 11 * 3 / 12 * 4 / 13):
        going._average()  # it keeps (1 + n) / (10 + n) after n averages: Polyak's mean with a floor
        assert next(going.ema.parameters()).flatten()[0] == pytest.approx(expected)
    going.begin(going.recipe.phases[1])
    assert all(torch.equal(a, b) for a, b in zip(going.ema.parameters(), going.generator.parameters(), strict=True))
    assert going.averaged == 0


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched():
    going, phase = learner("srresnet")
    before = [p.clone() for p in going.generator.parameters()]
    lr, hr = batch(going.recipe)
    with pytest.raises(SrkitError, match="pixel loss is not finite"):
        going.step(phase, lr, hr * math.inf, 1e-3)
    assert all(torch.equal(a, b) for a, b in zip(before, going.generator.parameters(), strict=True))


def test_where_a_device_is_not_waited_for_weights_stay_until_the_loss_is_looked_at():
    going, phase = learner("srgan")
    going.lazy, (lr, hr) = True, batch(going.recipe)
    start, before = [], []
    for copies in (start, before):
        copies += [p.clone() for network in (going.generator, going.discriminator) for p in network.parameters()]
        going.step(phase, lr, hr, 1e-3, 0) if copies is start else going.check()
    assert not any(torch.equal(a, b) for a, b in zip(start, before, strict=True)), "what is finite moves them"
    for number, factor in ((1, math.inf), (2, 1), (3, math.inf)):
        going.step(phase, lr, hr * factor, 1e-3, number)
    after = [p for network in (going.generator, going.discriminator) for p in network.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    with pytest.raises(SrkitError, match="perceptual loss is not finite at step 2"):
        going.check()


def sharp_root(sr, hr):
    """Finite, with a gradient that is none."""
    return (sr - sr).abs().sqrt().mean() + (sr - hr).abs().mean()


def test_a_gradient_of_the_generator_that_is_not_finite_is_told_though_the_discriminators_is():
    """On a GPU no weight moves from then on: the training would have gone on to its end, and learned nothing."""
    recipe = fit(RECIPES["srgan"], TINY)
    phase = replace(recipe.phases[1], losses={sharp_root: 1.0, Adversarial(): 1e-3})
    going = Learner(recipe)
    going.begin(phase)
    going.lazy = True
    going.step(phase, *batch(recipe), 1e-3, 4)
    with pytest.raises(SrkitError, match="the gradient is not finite at step 5:"):
        going.check()


def test_of_several_that_are_not_finite_the_first_is_told():
    going, phase = learner("srgan")
    going.lazy = True
    going.step(phase, *batch(going.recipe), 1e-3, 0)
    with torch.no_grad():
        going.discriminator.head[-1].bias.fill_(math.nan)
    _, hr = batch(going.recipe)
    going._discriminator_step(phase.adversarial, [(hr, hr)])
    going.step(phase, *batch(going.recipe), 1e-3, 1)
    with pytest.raises(SrkitError, match="the discriminator loss is not finite at step 1:"):
        going.check()


def test_a_batch_taken_in_pieces_gives_the_same_gradients():
    recipe = fit(without_norm(), TINY)
    whole, pieces = Learner(recipe), Learner(recipe, accumulate=3)
    lr, hr = batch(recipe, 5)
    for going in (whole, pieces):
        going.begin(recipe.phases[1])
    ours, theirs = (going.step(recipe.phases[1], lr, hr, 1e-4) for going in (pieces, whole))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6)
    for p, q in zip(pieces.discriminator.parameters(), whole.discriminator.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-6)


def test_a_step_in_16_bits_is_near_one_in_32():
    recipe = fit(RECIPES["wgan_gp"], TINY)
    lr, hr = batch(recipe, 4)
    found = []
    for precision in ("fp32", "bf16"):
        going = Learner(recipe, precision=precision)
        going.begin(recipe.phases[1])
        found.append(going.step(recipe.phases[1], lr, hr, 1e-4, 4))
        assert all(p.dtype == p.grad.dtype == torch.float32 for p in going.generator.parameters())
    for name in ("pixel", "perceptual", "red"):
        torch.testing.assert_close(found[1][name], found[0][name], rtol=0.05, atol=1e-2)


def test_schedules_follow_their_formulas():
    phase = Phase("psnr", steps=10, losses={}, lr=2.0)
    assert [learning_rate(phase, s) for s in (0, 9)] == [2.0, 2.0]
    own = replace(phase, schedule=lambda step, steps: (step + 1) / steps)
    assert [learning_rate(own, s) for s in (0, 4)] == pytest.approx([0.2, 1.0])
    step = replace(phase, schedule="step")
    assert [learning_rate(step, s) for s in (0, 4, 5, 9)] == pytest.approx([2.0, 2.0, 0.2, 0.2])
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    cosine = replace(phase, schedule="cosine")
    for step in range(10):
        assert learning_rate(cosine, step) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
