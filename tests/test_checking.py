"""A recipe of one's own is tried: each fault is found by the check that is for it, and said in one sentence."""

import re
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from test_parts import Plain, mae
from torch import nn

from srkit.checking import FAIL, OK, WARN, check
from srkit.cli import main
from srkit.files import SrkitError
from srkit.losses import Adversarial, Pixel
from srkit.profiles import PROFILES
from srkit.recipes import SRRESNET_LIGHT, Phase, Recipe
from srkit.training import train

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = replace(PROFILES["smoke"], psnr_steps=2, batch=2, crop=32, validate_on=(1, 48))


class Unscaled(Plain):
    def __init__(self):
        super().__init__()
        del self.scale


class Twofold(Plain):
    def __init__(self):
        super().__init__()
        self.scale = 2


class Small(Plain):
    def forward(self, lr):
        return super().forward(lr)[..., ::2, ::2]


class Listed(Plain):
    def forward(self, lr):
        return [super().forward(lr)]


class Nan(Plain):
    def forward(self, lr):
        return super().forward(lr).sub(5).sqrt()


class Cut(Plain):
    def forward(self, lr):
        with torch.no_grad():
            return super().forward(lr)


class Idle(Plain):
    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(2, 2)


class Even(Plain):
    def forward(self, lr):
        return super().forward(F.pixel_shuffle(F.pixel_unshuffle(lr, 2), 2))


class Global(Plain):
    def forward(self, lr):
        return super().forward(lr - lr.mean((2, 3), keepdim=True))


class Restless(Plain):
    def forward(self, lr):
        return super().forward(F.dropout(lr, 0.5))


class Forgetful(Plain):
    def __init__(self):
        super().__init__()
        self.shift = float(torch.rand(()))

    def forward(self, lr):
        return super().forward(lr) + self.shift


class Weightless(nn.Module):
    scale = 4

    def forward(self, lr):
        return F.interpolate(lr, scale_factor=4)


class NoModule:
    scale = 4


def recipe(generator=Plain, loss=mae) -> Recipe:
    phases = (Phase("psnr", steps=2, losses={loss: 1.0}, lr=1e-3),)
    return replace(SRRESNET_LIGHT, name="mine", generator=generator, phases=phases)


def test_a_sound_recipe_is_ok_throughout():
    found = check(recipe())
    assert [each.state for each in found] == [OK] * len(found)
    words = {each.check: each.found for each in found}
    assert words["receptive field"] == "5 LR pixels wide"
    assert "in one piece" in words["tiles"]
    assert words["generator"].startswith(f"Plain, {(3 * 25 + 1) * 48 / 1e6:.2f} M parameters")
    assert words["generator"].endswith(f"{3 * 25 * 48 * 180 * 320 / 1e9:.1f} G multiply-adds")


@pytest.mark.parametrize(
    ("generator", "fails", "says"),
    [
        (Unscaled, "generator", "Unscaled has no scale: write self.scale = 4"),
        (Twofold, "generator", "Twofold enlarges 2-fold, and recipe mine 4-fold"),
        (Weightless, "generator", "Weightless has no weights"),
        (NoModule, "generator", "NoModule makes a NoModule, and no nn.Module"),
        (partial(Plain, width=3), "generator", "Plain cannot be built .TypeError"),
        (Small, "shapes", "Small makes .2, 3, 32, 32. of LR .2, 3, 16, 16.: SR must be .2, 3, 64, 64."),
        (Listed, "shapes", "Listed makes a list of LR"),
        (Nan, "shapes", "Nan answers with NaN"),
        (Even, "shapes", "Even does not take LR pictures of 13 x 17 pixels"),
        (Cut, "gradient", "no gradient leads from Cut's answer"),
        (Idle, "gradient", "no gradient reaches Idle's unused.weight and 1 more"),
        (Global, "receptive field", "looks at the whole picture"),
        (Restless, "state dict", "answers differently each time"),
        (Forgetful, "state dict", "saved and loaded, it answers otherwise"),
    ],
)
def test_a_fault_is_found_by_its_check(generator, fails, says):
    found = {each.check: each for each in check(recipe(generator))}
    assert found[fails].state == FAIL
    assert re.search(says, found[fails].found), found[fails].found
    assert all("\n" not in each.found for each in found.values())


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (lambda sr, hr: (sr - hr).abs(), "returns a tensor of .2, 3, 48, 48., and not a scalar"),
        (lambda sr, hr: 3.0, "returns a float, and not a scalar"),
        (lambda sr, hr: mae(sr.detach(), hr), "no gradient leads from <lambda> to SR"),
        (lambda sr, hr: mae(sr, hr) / 0, "is inf on noise"),
        (lambda sr: sr.mean(), "does not take SR and HR"),
    ],
)
def test_a_loss_that_cannot_teach_is_found_and_training_does_not_begin(loss, says, tmp_path):
    found = [each for each in check(recipe(loss=loss)) if each.check.startswith("psnr: ")]
    assert [each.state for each in found] == [FAIL]
    with pytest.raises(SrkitError, match=says):
        train(recipe(loss=loss), TINY, runs=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("generator", [Unscaled, Twofold, Small, Nan, Cut, Idle, NoModule])
def test_training_does_not_begin_with_a_network_that_cannot_learn(generator, tmp_path):
    with pytest.raises(SrkitError, match=generator.__name__) as refusal:
        train(recipe(generator), TINY, runs=tmp_path)
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


class Judge(nn.Module):
    """A sound discriminator, of which each of the next ones has one fault."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 1, 4, 4)

    def forward(self, picture):
        return self.body(picture)


class NanJudge(Judge):
    def forward(self, picture):
        return super().forward(picture) / 0 * 0


class BlindJudge(Judge):
    def forward(self, picture):
        return super().forward(picture.detach())


def plain_judge():
    return Judge().forward


class NanGan(Adversarial):
    def for_generator(self, fake, real=None):
        return super().for_generator(fake) * torch.nan


class DeafGan(Adversarial):
    def for_discriminator(self, real, fake):
        return super().for_discriminator(real.detach(), fake.detach())


class NanPixel(Pixel):
    def __call__(self, sr, hr):
        return super().__call__(sr, hr) / 0


@pytest.mark.parametrize(
    ("judge", "adversarial", "loss", "says"),
    [
        (NanJudge, Adversarial(), mae, "NanJudge answers with NaN or infinity"),
        (BlindJudge, Adversarial(), mae, "no gradient leads from BlindJudge to the picture"),
        (plain_judge, Adversarial(), mae, "plain_judge makes a method, and no nn.Module"),
        (Judge, NanGan(), mae, "NanGan.for_generator is nan on noise"),
        (Judge, DeafGan(), mae, "no gradient leads from DeafGan.for_discriminator to the logits of HR"),
        (Judge, Adversarial(), NanPixel("l1"), "NanPixel is inf on noise"),
    ],
)
def test_an_adversary_or_a_derived_loss_that_cannot_teach_is_found(judge, adversarial, loss, says, tmp_path):
    gan = Phase("gan", steps=2, losses={loss: 1.0, adversarial: 0.1})
    made = replace(recipe(), discriminator=judge, phases=(*recipe().phases, gan))
    with pytest.raises(SrkitError, match=says) as refusal:
        train(made, TINY, runs=tmp_path)
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


def salt(hr, scale, seed):
    lr = hr[..., ::scale, ::scale]
    white = torch.rand(lr.shape, generator=torch.Generator().manual_seed(seed)) < 0.1
    return torch.where(white, 1.0, lr)


def unseeded(hr, scale):
    return salt(hr, scale, 0)


def restless(hr, scale, seed):
    return salt(hr, scale, int(torch.randint(1 << 30, ())))


def whole(hr, scale, seed):
    return hr


def dark(hr, scale, seed):
    return salt(hr, scale, seed).sub(1).sqrt()


def test_a_degradation_of_ones_own_is_tried_and_trained_against():
    found = {each.check: each for each in check(replace(recipe(), degradation=salt))}
    assert found["degradation"].state == OK
    assert "salt, random, by its seed" in found["degradation"].found
    assert found["a few steps"].state == OK


@pytest.mark.parametrize(
    ("degradation", "says"),
    [
        (unseeded, "unseeded does not take HR, scale and seed"),
        (restless, "restless makes another LR each time"),
        (whole, "makes 32 x 32 of 32 x 32 at x4, in place of 8 x 8"),
        (dark, "dark must make LR of finite numbers"),
    ],
)
def test_a_degradation_that_is_none_is_found_and_training_does_not_begin(degradation, says, tmp_path):
    wrong = replace(recipe(), degradation=degradation, crop=32)
    found = {each.check: each for each in check(wrong)}
    assert found["degradation"].state == FAIL
    with pytest.raises(SrkitError, match=re.escape(says)):
        train(wrong, TINY, runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_numbers_far_from_pictures_are_warned_of():
    class Bright(Plain):
        def forward(self, lr):
            return super().forward(lr) + 100

    assert {each.check: each.state for each in check(recipe(Bright))}["range"] == WARN


def test_the_command_prints_a_table_and_fails_where_something_fails(capsys):
    assert main(["check", "srresnet_light"]) == 0
    said = capsys.readouterr().out
    assert "41 LR pixels wide" in said
    assert all(line.startswith("OK ") for line in said.splitlines())
    assert main(["check", "srresnet_lite"]) == 1
    assert "did you mean srresnet_light?" in capsys.readouterr().err
