from dataclasses import replace

import pytest
import torch

from srkit.files import SrkitError
from srkit.generator import count_parameters
from srkit.losses import Perceptual
from srkit.profiles import PROFILES, find_profile, fit
from srkit.recipes import RECIPES, build_generator, describe, find_recipe


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
        assert [type(loss) for loss in after.losses] == [type(loss) for loss in before.losses]
        assert list(after.losses.values()) == list(before.losses.values())
        assert after.steps <= before.steps
    assert fitted.batch <= whole.batch
    assert count_parameters(fitted.generator()) <= count_parameters(whole.generator(scale=whole.scale))


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
    import json

    fitted = fit(RECIPES[recipe], PROFILES["smoke"])
    again = build_generator(json.loads(json.dumps(describe(fitted)))["generator"])
    first = fitted.generator()
    assert again.load_state_dict(first.state_dict())
    lr = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(again.eval()(lr), first.eval()(lr))


def test_parts_that_do_not_fit_are_refused_when_the_recipe_is_made():
    with pytest.raises(SrkitError, match="7-fold scale"):
        replace(RECIPES["srgan"], scale=7)
    with pytest.raises(SrkitError, match="needs a discriminator"):
        replace(RECIPES["srgan"], discriminator=None)
    with pytest.raises(SrkitError, match="not a multiple of 16"):
        fit(RECIPES["srgan"], PROFILES["laptop"], crop=72)
    with pytest.raises(SrkitError, match="conv9_1"):
        Perceptual("vgg19", "conv9_1")
