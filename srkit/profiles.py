"""Profiles: how much compute a run may use. They change sizes and step counts, never parts or paths."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from srkit.losses import LPIPS, Checkerboard, Perceptual
from srkit.parts import options, origin, with_options
from srkit.recipes import Phase, Recipe, find_named


@dataclass(frozen=True)
class Profile:
    """How much compute a run may use. None leaves what the recipe says; numbers are the most a run may have.

    channels, blocks: of the generator; width, dense: of the discriminator's first pair and its dense layer.
    compile: by torch.compile, which costs a minute and pays after some hundred steps.
    psnr_lr, gan_lr, schedule: a short run needs larger steps, and a decay. d_lr: the discriminator's rate in the second
    phase: beside a young generator it wins, unless it learns more slowly (Heusel et al. 2017, arXiv:1706.08500).
    guard: weight of a Checkerboard loss in the second phase, against the raster that the strides of a discriminator and
    the poolings of VGG draw.
    perceptual_network, perceptual_layer: the deepest layer that VGG losses may look at, such as "vgg19" and "conv3_4"
    where no more is at hand; it takes the place of deeper ones. None leaves the recipe's.
    validate_on: how many photographs, and the side in pixels of the middle that is taken of each.
    """

    name: str
    about: str
    psnr_steps: int | None = None
    gan_steps: int | None = None
    batch: int | None = None
    crop: int | None = None
    channels: int | None = None
    blocks: int | None = None
    width: int | None = None
    dense: int | None = None
    psnr_lr: float | None = None
    gan_lr: float | None = None
    d_lr: float | None = None
    schedule: str | None = None
    guard: float = 0.0
    perceptual_weights: Literal["imagenet", "random"] = "imagenet"
    perceptual_network: str = "vgg19"
    perceptual_layer: str | None = None
    compile: bool = True
    log_every: int = 100
    validate_every: int = 5000
    validate_on: tuple[int, int] = (16, 1024)


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="smoke",
            about="proves that everything runs; its pictures and numbers mean nothing",
            psnr_steps=60,
            gan_steps=20,
            batch=4,
            crop=48,
            channels=16,
            blocks=2,
            width=8,
            dense=64,
            psnr_lr=2e-3,
            schedule="cosine",
            perceptual_weights="random",
            compile=False,
            log_every=5,
            validate_every=20,
            validate_on=(2, 128),
        ),
        Profile(
            name="laptop",
            about="worth looking at; an hour on two CPU cores",
            psnr_steps=6000,
            gan_steps=400,
            batch=8,
            crop=128,
            channels=32,
            blocks=8,
            width=32,
            dense=256,
            psnr_lr=1e-3,
            gan_lr=3e-4,
            d_lr=3e-5,
            guard=3.0,
            schedule="cosine",
            log_every=20,
            validate_every=125,
            validate_on=(4, 256),
        ),
        Profile(name="gpu", about="the real result; some hours on a GPU", psnr_steps=200_000, gan_steps=100_000),
    )
}


def find_profile(name: str | Profile) -> Profile:
    """A profile by name. Raises SrkitError with the good names."""
    return name if isinstance(name, Profile) else find_named("profile", name, PROFILES)


def fit(recipe: Recipe, profile: Profile, scale: int | None = None, crop: int | None = None) -> Recipe:
    """The recipe cut to what a profile allows: the same parts, fewer of them."""
    scale = scale or recipe.scale
    most, judge = min(recipe.crop, profile.crop or recipe.crop), recipe.discriminator
    shrinks = 2 ** len(options(judge)["channels"]) if judge and not origin(judge.func) else 1
    step = math.lcm(scale, shrinks)
    crop = crop or max(1, most // step) * step
    limits = {
        "channels": profile.channels,
        "blocks": profile.blocks,
        "growth": profile.channels and profile.channels // 2,
    }
    generator = _at_most(recipe.generator, scale=scale, **limits)
    discriminator = judge and _narrow(judge, profile, crop)
    phases = tuple(_shorten(phase, profile) for phase in recipe.phases)
    batch = min(recipe.batch, profile.batch or recipe.batch)
    sizes = {"scale": scale, "crop": crop, "batch": batch}
    return replace(recipe, generator=generator, discriminator=discriminator, phases=phases, **sizes)


def _at_most(part: partial, scale: int, **limits: int | None) -> partial:
    asked = options(part)
    sizes = {
        name: min(asked[name], limit) for name, limit in limits.items() if limit and isinstance(asked.get(name), int)
    }
    return with_options(part, **sizes, scale=scale)


def _narrow(part: partial, profile: Profile, crop: int) -> partial:
    asked = options(part)
    if origin(part.func):  # one's own is as wide as it is
        return with_options(part, crop=crop)
    first = asked["channels"][0]
    width = min(first, profile.width or first)
    sizes = {"channels": tuple(c * width // first for c in asked["channels"]), "crop": crop}
    dense, most = asked["dense"], profile.dense or math.inf
    sizes["dense"] = min(dense, most) if isinstance(dense, int) else tuple(min(d, most) for d in dense)
    return partial(part.func, **part.keywords | sizes)


def _shorten(phase: Phase, profile: Profile) -> Phase:
    first = phase.name == "psnr"
    limit, lr = (profile.psnr_steps, profile.psnr_lr) if first else (profile.gan_steps, profile.gan_lr)
    losses = {}
    for loss, weight in phase.losses.items():
        judging = _judging(loss, profile)
        losses[judging] = losses.get(judging, 0) + weight  # two layers that are too deep become one
    if phase.adversarial and profile.guard:
        losses.setdefault(Checkerboard(), profile.guard)
    return replace(
        phase,
        losses=losses,
        steps=min(phase.steps, limit or phase.steps),
        schedule=phase.schedule if callable(phase.schedule) else profile.schedule or phase.schedule,
        lr=lr or phase.lr,
        d_lr=profile.d_lr or phase.d_lr if phase.adversarial else None,
    )


def _judging(loss: Any, profile: Profile) -> Any:
    """A loss that looks through an ImageNet network, with the weights and the layer that the profile declares."""
    if isinstance(loss, Perceptual | LPIPS):
        loss = replace(loss, weights=profile.perceptual_weights)
    if isinstance(loss, Perceptual) and profile.perceptual_layer and loss.layer > profile.perceptual_layer:
        loss = replace(loss, network=profile.perceptual_network, layer=profile.perceptual_layer)
    return loss
