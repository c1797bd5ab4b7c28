import json
import math
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from srkit.data.sources import find_photographs
from srkit.dataset import decode, middle
from srkit.discriminator import ConvCritic, SRGANDiscriminator
from srkit.evaluation import evaluate, lr_of, psnr_y, super_resolve
from srkit.files import SrkitError
from srkit.generator import RRDBNet, count_parameters
from srkit.losses import Checkerboard, Perceptual, RelativisticAverage, Wasserstein
from srkit.profiles import PROFILES, find_profile, fit
from srkit.recipes import RECIPES, Phase, find_recipe
from srkit.records import build_generator, describe
from srkit.training import Interrupted, train

pytestmark = pytest.mark.usefixtures("one_thread")


def test_instance_norm_is_where_the_recipe_says_so_and_nowhere_else():
    kinds = (torch.nn.InstanceNorm2d, torch.nn.BatchNorm2d)
    found = {}
    for name, recipe in RECIPES.items():
        fitted = fit(recipe, PROFILES["smoke"])
        for part in filter(None, (fitted.generator, fitted.discriminator)):
            found.setdefault(name, []).append([any(isinstance(m, kind) for m in part().modules()) for kind in kinds])
    assert [name for name, parts in found.items() if any(instance for instance, _ in parts)] == ["wgan_gp"]
    assert found["wgan_gp"] == [[False, True], [True, False]]
    assert found["esrgan"] == [[False, False], [False, True]]


def test_unknown_names_are_answered_with_the_good_ones():
    with pytest.raises(SrkitError, match=r"recipe 'srgn'.*srresnet, srgan"):
        find_recipe("srgn")
    with pytest.raises(SrkitError, match=r"profile 'fast'.*smoke, laptop, gpu"):
        find_profile("fast")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_profile_changes_sizes_and_no_parts(recipe, profile):
    whole, fitted = RECIPES[recipe], fit(RECIPES[recipe], PROFILES[profile])
    assert fitted.generator.func is whole.generator.func
    assert [p.name for p in fitted.phases] == [p.name for p in whole.phases]
    for before, after in zip(whole.phases, fitted.phases, strict=True):
        kept = {
            loss: weight for loss, weight in after.losses.items() if loss in before.losses or loss != Checkerboard()
        }
        assert [type(loss) for loss in kept] == [type(loss) for loss in before.losses]
        assert list(kept.values()) == list(before.losses.values())
        guarded = {Checkerboard(): 3.0} if profile == "laptop" and before.adversarial else {}
        guarded = {} if Checkerboard() in before.losses else guarded
        assert guarded.items() | kept.items() == kept.items() | after.losses.items(), "a guard that is not declared"
        assert after.steps <= before.steps
    assert fitted.batch <= whole.batch
    assert count_parameters(fitted.generator()) <= count_parameters(whole.generator(scale=whole.scale))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_each_recipe_is_built_at_each_scale(recipe, profile):
    """At x3 a crop is a multiple of 3 and of what the discriminator shrinks by."""
    for scale in (2, 3, 4, 8):
        fitted = fit(RECIPES[recipe], PROFILES[profile], scale)
        assert 0.7 * min(RECIPES[recipe].crop, PROFILES[profile].crop or 999) <= fitted.crop <= RECIPES[recipe].crop
        if fitted.discriminator:
            assert fitted.crop % 16 == fitted.crop % scale == 0
            with torch.device("meta"):
                assert fitted.discriminator()(torch.zeros(2, 3, fitted.crop, fitted.crop)).shape == (2, 1)
    few = replace(RECIPES["srgan"], crop=16)
    assert fit(few, PROFILES["gpu"], 3).crop == 48, "the least there is"


def test_layers_that_are_deeper_than_the_profile_has_are_added_in_the_one_that_it_has():
    layers = {"conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 0.5, "conv5_4": 0.25}
    losses = {Perceptual("vgg19", layer, activation=False): weight for layer, weight in layers.items()}
    mine = replace(RECIPES["srgan"], name="mine", phases=(Phase("psnr", 10, losses),))
    (phase,) = fit(mine, replace(PROFILES["laptop"], perceptual_layer="conv3_4")).phases
    assert {loss.layer: weight for loss, weight in phase.losses.items()} == {"conv2_2": 0.1, "conv3_4": 1.75}


def test_smoke_takes_random_vgg_weights_and_laptop_imagenets():
    weights = {
        name: [loss.weights for loss in fit(RECIPES["srgan"], p).phases[1].losses if isinstance(loss, Perceptual)]
        for name, p in PROFILES.items()
    }
    assert weights == {"smoke": ["random"], "laptop": ["imagenet"], "gpu": ["imagenet"]}


def test_the_gpu_profile_leaves_the_papers_network_alone():
    fitted = fit(RECIPES["srgan"], PROFILES["gpu"])
    assert (fitted.crop, fitted.batch) == (96, 16)
    assert fitted.generator.keywords == {"channels": 64, "blocks": 16, "norm": "batch", "scale": 4}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_generator_is_built_again_from_its_description(recipe):
    fitted = fit(RECIPES[recipe], PROFILES["smoke"])
    again = build_generator(json.loads(json.dumps(describe(fitted)))["generator"])
    first = fitted.generator()
    assert again.load_state_dict(first.state_dict())
    lr = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(again.eval()(lr), first.eval()(lr))


WASSERSTEIN_PHASE = replace(RECIPES["srgan"].phases[1], losses={Wasserstein(): 1e-3})


@pytest.mark.parametrize(
    ("recipe", "changes", "says"),
    [
        ("srgan", {"scale": 7}, "7-fold scale.*2, 3, 4, 8"),
        ("srgan", {"crop": 90}, "90 pixels is not a multiple of the scale 4"),
        ("srgan", {"crop": 72}, "72-pixel crop is not a multiple of 16.*--crop 64"),
        ("div2k_x2", {"crop": 100}, "100-pixel crop is not a multiple of 16.*--crop 96"),
        ("esrgan", {"scale": 3, "crop": 126}, "126-pixel crop is not a multiple of 16.*--crop 96"),  # not 112: no x3
        ("srgan", {"discriminator": None}, "needs a discriminator"),
        ("srgan", {"phases": (WASSERSTEIN_PHASE,)}, "gradient penalty.*batch norm"),
        ("wgan_gp", {"discriminator": partial(SRGANDiscriminator)}, "gradient penalty.*batch norm"),
        ("wgan_gp", {"discriminator": partial(ConvCritic, norm="batch")}, "gradient penalty.*batch norm"),
    ],
)
def test_parts_that_do_not_fit_are_refused_in_one_sentence_when_the_recipe_is_made(recipe, changes, says):
    with pytest.raises(SrkitError, match=says) as refusal:
        replace(RECIPES[recipe], **changes)
    assert "\n" not in str(refusal.value)
    assert ". " not in str(refusal.value)


@pytest.mark.parametrize("norm", ["instance", "spectral", None])
def test_a_critic_that_judges_each_picture_alone_may_have_the_penalty(norm):
    assert replace(RECIPES["wgan_gp"], discriminator=partial(ConvCritic, norm=norm)).name == "wgan_gp"


def test_a_profile_is_refused_what_the_recipe_cannot_have():
    with pytest.raises(SrkitError, match="7-fold scale"):
        fit(RECIPES["srgan"], PROFILES["smoke"], scale=7)
    with pytest.raises(SrkitError, match="not a multiple of 16"):
        fit(RECIPES["srgan"], PROFILES["laptop"], crop=72)


@pytest.mark.parametrize(("network", "layer"), [("vgg19", "conv9_1"), ("vgg16", "conv5_4"), ("vgg19", "relu5_4")])
def test_a_vgg_layer_that_does_not_exist_is_refused_when_the_loss_is_named(network, layer):
    with pytest.raises(SrkitError, match=f"{network} has no layer '{layer}': choose one of conv1_1, "):
        Perceptual(network, layer)


def test_a_ninth_system_is_three_changed_lines():
    mine = replace(RECIPES["srgan"], name="mine", generator=partial(RRDBNet, blocks=2))
    gan = replace(mine.phases[1], losses={RelativisticAverage(): 1e-3})
    fitted = fit(replace(mine, phases=(mine.phases[0], gan)), PROFILES["smoke"])
    assert fitted.generator()(torch.rand(1, 3, 4, 4)).shape == (1, 3, 16, 16)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_under_smoke_goes_on_where_it_stopped_is_reloaded_and_scored(name, tmp_path):
    phases = [phase.name for phase in RECIPES[name].phases]
    smoke = PROFILES["smoke"]
    end = sum(phase.steps for phase in fit(RECIPES[name], smoke).phases)

    def stop(run):
        if run.history()["step"].iloc[-1] == end - 10:  # in the middle of the last phase
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(name, runs=tmp_path, on_log=stop)
    run = train(name, runs=tmp_path, resume=True)
    assert run.done
    history = run.history()
    assert list(history["phase"].unique()) == phases
    assert list(history["step"]) == sorted(set(history["step"]))
    assert history["step"].iloc[-1] == end
    for phase in RECIPES[name].phases:
        rows = history[history["phase"] == phase.name]
        for loss in phase.losses:
            assert np.isfinite(rows[loss.term]).all(), loss
        assert (phase.adversarial is None) == rows["discriminator"].isna().all()

    photographs, count, side = find_photographs(), *smoke.validate_on
    pictures = [middle(image, side, run.scale) for image in decode(photographs.valid[:count]).values()]
    for phase in phases:  # the weights that were kept are those that were validated last
        network = run.generator(phase)
        lrs = [lr_of(hr, run.scale, RECIPES[name].degradation, seed) for seed, hr in enumerate(pictures)]
        made = [super_resolve(network, lr) for lr in lrs]
        scores = [psnr_y(sr, hr, run.scale) for sr, hr in zip(made, pictures, strict=True)]
        assert np.mean(scores) == pytest.approx(history.query("phase == @phase")["psnr_y"].iloc[-1], abs=1e-3)
    table = evaluate({name: run.generator(), "bicubic": "bicubic"}, photographs.valid[:1], run.scale)
    assert list(table["method"]) == [name, "bicubic"]
    assert all(math.isfinite(score) for score in table["psnr_y"])
    if len(phases) == 2:
        first, last = (run.generator(phase).state_dict().values() for phase in phases)
        assert any(not torch.equal(a, b) for a, b in zip(first, last, strict=True))


@pytest.mark.parametrize("field", ["steps", "lr", "betas", "schedule", "clip", "d_lr", "crisp", "losses"])
def test_a_record_tells_two_phases_apart_whatever_differs(field):
    other = {"steps": 7, "lr": 0.5, "betas": (0.1, 0.2), "schedule": "cosine", "clip": 0.3, "d_lr": 0.25, "crisp": True}
    other["losses"] = {Perceptual(): 1.0}
    phase = RECIPES["srgan"].phases[1]
    changed = replace(phase, **{field: other[field]})
    assert describe(changed) != describe(phase)
    assert set(describe(phase)) == set(vars(phase)), "a field is not recorded"
