"""Every number that a recipe, a phase, a profile or a loss declares reaches the training, where it should."""

import math
from dataclasses import fields, replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from srkit import losses, training
from srkit.degradations import BlurDown
from srkit.discriminator import SRGANDiscriminator
from srkit.generator import SRResNet
from srkit.high_order import crisp
from srkit.losses import LPIPS, Adversarial, Checkerboard, Perceptual, Pixel, RelativisticAverage, Wasserstein
from srkit.parts import options
from srkit.profiles import PROFILES, Profile, fit
from srkit.recipes import RECIPES, Phase, Recipe
from srkit.steps import Learner, learning_rate
from srkit.training import Trainer, train

pytestmark = pytest.mark.usefixtures("one_thread")

LARGE = Profile(name="large", about="", perceptual_weights="random", compile=False)
GAN = Phase("gan", steps=40, losses={Pixel("mse"): 1.0, Adversarial(): 0.1})
MINE = Recipe(
    name="mine",
    about="",
    cite="",
    generator=partial(SRResNet, channels=4, blocks=1, norm=None, ends_kernel=3),
    discriminator=partial(SRGANDiscriminator, channels=(4, 4), dense=4, norm=None),
    phases=(Phase("psnr", steps=60, losses={Pixel("mse"): 1.0}), GAN),
    crop=16,
    batch=2,
)


@pytest.fixture
def handed(monkeypatch, tmp_path):
    """What `train` hands to the parts that do the work, none of which is done."""
    seen = SimpleNamespace()

    class Handed(Exception):
        pass

    def patches(images, scale, crop, degradation, seed, *rest):
        seen.patches = SimpleNamespace(scale=scale, crop=crop, degradation=degradation, seed=seed)

    def validation(photographs, scale, count, side, degradation):
        seen.valid = SimpleNamespace(scale=scale, count=count, side=side, degradation=degradation)

    def learner(recipe, device, seed, compiled, accumulate, precision):
        seen.recipe, seen.learner = recipe, SimpleNamespace(seed=seed, compiled=compiled, accumulate=accumulate)
        raise Handed

    monkeypatch.setattr(training, "decode_all", lambda *given: ({}, None))
    for name, stand_in in (("Patches", patches), ("checked_validation", validation), ("Learner", learner)):
        monkeypatch.setattr(training, name, stand_in)

    def of(recipe, profile, **more):
        with pytest.raises(Handed):
            train(recipe, profile, runs=tmp_path, **more)
        return seen

    return of


def logged(profile, step, end=1000):
    """Whether a step, counted from 1, is logged and whether it is validated."""
    trainer = Trainer.__new__(Trainer)
    trainer.profile, trainer.step = profile, step - 1
    return trainer._due(end)


PROFILE = {  # field: another number, and where it is found
    "psnr_steps": (7, lambda seen: seen.recipe.phases[0].steps),
    "gan_steps": (5, lambda seen: seen.recipe.phases[1].steps),
    "batch": (3, lambda seen: seen.recipe.batch),
    "crop": (64, lambda seen: {seen.recipe.crop, seen.patches.crop, options(seen.recipe.discriminator)["crop"]}),
    "channels": (12, lambda seen: options(seen.recipe.generator)["channels"]),
    "blocks": (2, lambda seen: options(seen.recipe.generator)["blocks"]),
    "width": (8, lambda seen: options(seen.recipe.discriminator)["channels"][0]),
    "dense": (9, lambda seen: options(seen.recipe.discriminator)["dense"]),
    "psnr_lr": (0.5, lambda seen: seen.recipe.phases[0].lr),
    "gan_lr": (0.25, lambda seen: seen.recipe.phases[1].lr),
    "d_lr": (0.125, lambda seen: seen.recipe.phases[1].discriminator_lr),
    "schedule": ("cosine", lambda seen: {phase.schedule for phase in seen.recipe.phases}),
    "guard": (7.0, lambda seen: seen.recipe.phases[1].losses.get(Checkerboard())),
    "perceptual_weights": ("imagenet", lambda seen: judge(seen).weights),
    "perceptual_network": ("vgg16", lambda seen: judge(seen).network),
    "perceptual_layer": ("conv3_3", lambda seen: judge(seen).layer),
    "compile": (True, lambda seen: seen.learner.compiled),
    "log_every": (3, lambda seen: None),
    "validate_every": (3, lambda seen: None),
    "validate_on": ((3, 72), lambda seen: (seen.valid.count, seen.valid.side)),
}


def judge(seen):
    return next(loss for loss in seen.recipe.phases[1].losses if isinstance(loss, Perceptual))


def test_each_number_of_a_profile_is_tried():
    assert PROFILE.keys() == {field.name for field in fields(Profile)} - {"name", "about"}


@pytest.mark.parametrize("field", sorted(PROFILE.keys() - {"log_every", "validate_every"}))
def test_each_number_of_a_profile_is_where_it_works(handed, monkeypatch, field):
    monkeypatch.setattr(Perceptual, "ready", lambda loss, device: None)
    value, place = PROFILE[field]
    base = replace(LARGE, perceptual_layer="conv2_2") if field == "perceptual_network" else LARGE
    before, after = (place(handed(RECIPES["srgan"], each)) for each in (base, replace(base, **{field: value})))
    assert after in (value, {value})
    assert before not in (value, {value})


def test_channels_of_a_profile_are_twice_the_growth_of_dense_blocks():
    fitted = options(fit(RECIPES["esrgan"], replace(LARGE, channels=12)).generator)
    assert (fitted["channels"], fitted["growth"]) == (12, 6)


def test_the_widths_of_a_discriminator_keep_their_ratios():
    fitted = options(fit(RECIPES["pixelforge"], replace(LARGE, width=16, dense=600)).discriminator)
    assert (fitted["channels"], fitted["dense"]) == ((16, 32, 64, 128), (512, 600))


def test_steps_are_logged_and_validated_as_often_as_a_profile_says():
    profile = replace(LARGE, log_every=3, validate_every=5)
    steps = range(1, 17)
    assert [step for step in steps if logged(profile, step, 16)[0]] == [3, 5, 6, 9, 10, 12, 15, 16]
    assert [step for step in steps if logged(profile, step, 16)[1]] == [5, 10, 15, 16]


RECIPE = {
    "scale": (2, lambda seen: {seen.recipe.scale, seen.patches.scale, seen.valid.scale, seen.recipe.generator().scale}),
    "crop": (32, lambda seen: {seen.recipe.crop, seen.patches.crop, options(seen.recipe.discriminator)["crop"]}),
    "batch": (3, lambda seen: seen.recipe.batch),
    "degradation": (BlurDown(2.5), lambda seen: {seen.patches.degradation, seen.valid.degradation}),
    "sharpen": (0.5, lambda seen: seen.recipe.sharpen),  # see test_training: it is done after the network
    "ema": (0.5, lambda seen: seen.recipe.ema),
}


@pytest.mark.parametrize("field", RECIPE)
def test_each_number_of_a_recipe_is_where_it_works(handed, field):
    value, place = RECIPE[field]
    assert place(handed(replace(MINE, **{field: value}), LARGE)) in (value, {value})
    assert place(handed(MINE, LARGE, force=True)) not in (value, {value})


def learner(recipe=MINE, number=1):
    going = Learner(fit(recipe, LARGE))
    going.begin(going.recipe.phases[number])
    return going, going.recipe.phases[number]


def batch():
    torch.manual_seed(1)
    hr = torch.rand(2, 3, 16, 16)
    return nn.functional.avg_pool2d(hr, 4), hr


@pytest.mark.parametrize("ema", [0.0, 0.5, 0.9])
def test_the_running_mean_has_the_decay_of_its_recipe(ema):
    going, phase = learner(replace(MINE, ema=ema), 0)
    first = [p.clone() for p in going.generator.parameters()]
    going.averaged.fill_(10_000)
    going.step(phase, *batch(), 1e-2)
    for mean, before, now in zip(going.ema.parameters(), first, going.generator.parameters(), strict=True):
        torch.testing.assert_close(mean, ema * before + (1 - ema) * now)


def test_a_young_running_mean_has_the_decay_n_of_n_and_9():
    going, phase = learner(number=0)
    mean = [p.clone() for p in going.generator.parameters()]
    for n in range(1, 4):
        going.step(phase, *batch(), 1e-2)
        mean = [m * n / (n + 9) + p * 9 / (n + 9) for m, p in zip(mean, going.generator.parameters(), strict=True)]
    torch.testing.assert_close([*going.ema.parameters()], mean)


@pytest.mark.parametrize("lr", [1e-4, 3e-3])
def test_rates_and_betas_of_a_phase_are_those_of_both_optimisers(lr):
    phase = replace(GAN, lr=lr, d_lr=lr / 4, betas=(0.3, 0.7))
    going, _ = learner(replace(MINE, phases=(MINE.phases[0], phase)))
    for optimizer, rate in ((going.g_optimizer, lr), (going.d_optimizer, lr / 4)):
        assert optimizer.defaults["betas"] == (0.3, 0.7)
        assert optimizer.param_groups[0]["lr"] == rate
    going.step(phase, *batch(), lr / 2)
    assert going.g_optimizer.param_groups[0]["lr"] == pytest.approx(lr / 2)
    assert going.d_optimizer.param_groups[0]["lr"] == pytest.approx(lr / 8)


@pytest.mark.parametrize("sharp", [False, True])
def test_the_gradient_is_that_of_the_losses_times_their_weights(sharp):
    weights = {Pixel("mse"): 3.0, Checkerboard(2, 2): 0.7, Adversarial("least_squares"): 0.2}
    going, phase = learner(replace(MINE, phases=(MINE.phases[0], replace(GAN, losses=weights, crisp=sharp))))
    lr, hr = batch()
    truth = crisp(hr) if sharp else hr
    sr = going.generator(lr)
    pixel, grid = (sr - truth).square().mean(), Checkerboard(2, 2)(sr, truth)
    total = 3 * pixel + 0.7 * grid + 0.2 * (going.discriminator(sr) - 1).square().mean() / 2
    expected = torch.autograd.grad(total, [*going.generator.parameters()])
    logged = going.step(phase, lr, hr, 0.0)
    torch.testing.assert_close([p.grad for p in going.generator.parameters()], [*expected])
    assert float(logged["pixel"]) == pytest.approx(pixel.item(), rel=1e-5), "logged before its weight"
    drift = (sr - hr).mean((0, 2, 3)).tolist()
    assert [float(logged[name]) for name in ("red", "green", "blue")] == pytest.approx(drift, abs=1e-6)


def test_a_phase_takes_its_steps_and_the_next_one_begins():
    ends = []
    trainer = Trainer.__new__(Trainer)
    trainer.recipe, trainer.learner, trainer.halt, trainer.step, trainer.callbacks = MINE, None, False, 0, []
    trainer.seconds, begun = 0.0, []
    trainer.learner = SimpleNamespace(begin=begun.append)
    for phase, start, end in trainer._phases():
        ends.append((phase.name, start, end))
        trainer.step = end
    assert ends == [("psnr", 0, 60), ("gan", 60, 100)]
    assert begun == [GAN]


def test_a_cosine_ends_near_nothing_and_a_step_is_a_tenth_from_the_middle_on():
    assert learning_rate(replace(GAN, schedule="cosine", lr=2.0), 10) == pytest.approx(1 + math.sqrt(0.5))
    assert [learning_rate(replace(GAN, schedule="step", lr=2.0), step) for step in (19, 20)] == pytest.approx([2, 0.2])


def test_each_field_of_a_phase_is_tried_here_or_in_test_steps():
    tried = {"steps", "losses", "lr", "betas", "schedule", "clip", "d_lr", "crisp"}
    assert tried == {field.name for field in fields(Phase)} - {"name"}


VALUES = {  # of each field of each loss: two that must not give the same
    Pixel: {"kind": ("mse", "l1")},
    Perceptual: {
        "network": ("vgg16", "vgg19"),
        "layer": ("conv1_1", "conv1_2"),
        "activation": (True, False),
        "distance": ("mse", "l1"),
        "weights": None,  # which are at hand: see test_losses
    },
    LPIPS: {"network": None, "weights": None, "shift": None},  # as above
    Checkerboard: {"period": (2, 4), "window": (2, 6)},
    Adversarial: {"kind": ("vanilla", "hinge")},
    RelativisticAverage: {},
    Wasserstein: {"penalty": None, "critic_steps": None},  # of the step: see test_steps
}


def test_each_number_of_a_loss_changes_it():
    declared = {kind for kind in vars(losses).values() if isinstance(kind, type) and issubclass(kind, losses.Loss)}
    assert VALUES.keys() == declared - {losses.Loss, losses.AdversarialLoss}
    torch.manual_seed(0)
    sr, hr = torch.rand(2, 2, 3, 32, 32)
    for kind, values in VALUES.items():
        assert values.keys() == {field.name for field in fields(kind)}
        for field, pair in values.items():
            base = {"weights": "random", "layer": "conv1_2"} if kind is Perceptual else {}
            each = [kind(**base | {field: value}) for value in pair or ()]
            answers = [float(loss(sr, hr) if kind.term != "adversarial" else loss.for_generator(sr)) for loss in each]
            assert len(set(answers)) == len(answers), (kind, field)


def methods(recipe):
    """A recipe's numbers as a paper's methods section would have them."""
    head = f"x{recipe.scale}, {recipe.batch} crops of {recipe.crop}, {recipe.degradation!r}"
    yield f"{head}, ema {recipe.ema:g}, sharpen {recipe.sharpen:g}"
    for part in filter(None, (recipe.generator, recipe.discriminator)):
        yield f"{part.func.__name__}({', '.join(f'{name}={value!r}' for name, value in part.keywords.items())})"
    for phase in recipe.phases:
        how = [f"{name} {value}" for name, value in vars(phase).items() if name not in ("name", "losses")]
        yield f"{phase.name}: {', '.join(how)}"
        yield from (f"    {weight:g} {loss!r}" for loss, weight in phase.losses.items())


def test_recipes_and_profiles_have_the_numbers_that_are_written_down(project):
    """numbers.txt says them as methods sections do: who changes a number changes it there, and says why."""
    written = (project / "tests" / "numbers.txt").read_text()
    said = [line for name, recipe in RECIPES.items() for line in (f"[{name}]", *methods(recipe))]
    for name, profile in PROFILES.items():
        numbers = {field: value for field, value in vars(profile).items() if field not in ("name", "about")}
        said += [f"[{name}]", *(f"{field} {value}" for field, value in numbers.items() if value is not None)]
    assert "\n".join(said) + "\n" == written
