"""The systems, declared as a paper's methods section would; and the profiles: how much compute a run may use."""

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from functools import partial
from typing import Any, Literal

from srkit import generator as generators
from srkit.degradations import Bicubic
from srkit.discriminator import SRGANDiscriminator
from srkit.files import SrkitError
from srkit.generator import SRResNet
from srkit.losses import Adversarial, Perceptual, Pixel


@dataclass(frozen=True)
class Phase:
    """One stretch of training. losses: each with its weight; an adversarial one among them brings in the discriminator.

    schedule: "constant"; "step", a tenth of lr from the middle on; "cosine", down to 0 at the end.
    clip: the most that the norm of the generator's gradient may be, or None.
    """

    name: Literal["psnr", "gan"]
    steps: int
    losses: Mapping[Any, float]
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["constant", "step", "cosine"] = "constant"
    clip: float | None = None

    @property
    def adversarial(self) -> Any:
        """The adversarial loss, or None."""
        return next((loss for loss in self.losses if hasattr(loss, "for_discriminator")), None)


@dataclass(frozen=True)
class Recipe:
    """One super-resolution system. Sizes are in pixels of HR; generator and discriminator are built when asked for.

    generator: called with scale; discriminator: called with crop. ema: decay of the running mean of the generator's
    weights, which is what gets evaluated and kept; 0 for none.
    Raises SrkitError, when it is made, where its parts do not fit together.
    """

    name: str
    about: str
    cite: str
    generator: partial
    phases: tuple[Phase, ...]
    discriminator: partial | None = None
    degradation: Any = field(default_factory=Bicubic)
    scale: int = 4
    crop: int = 96
    batch: int = 16
    ema: float = 0.999

    def __post_init__(self) -> None:
        if self.scale not in generators.SCALES:
            good = ", ".join(map(str, generators.SCALES))
            raise SrkitError(f"{self.name}: a {self.scale}-fold scale is not built: choose one of {good}.")
        if self.crop % self.scale:
            raise SrkitError(
                f"{self.name}: the crop of {self.crop} pixels is not a multiple of the scale {self.scale}."
            )
        for phase in self.phases:
            if phase.adversarial and self.discriminator is None:
                raise SrkitError(
                    f"{self.name}: phase {phase.name} has an adversarial loss and the recipe no discriminator."
                )


SRRESNET = Recipe(
    name="srresnet",
    about="the residual network trained for PSNR alone",
    cite="Ledig et al. 2017, arXiv:1609.04802",
    generator=partial(SRResNet, channels=64, blocks=16, norm="batch"),
    phases=(Phase("psnr", steps=1_000_000, losses={Pixel("mse"): 1.0}),),
)

SRGAN = Recipe(
    name="srgan",
    about="SRResNet, then VGG features and a discriminator instead of the pixels",
    cite="Ledig et al. 2017, arXiv:1609.04802",
    generator=SRRESNET.generator,
    discriminator=partial(SRGANDiscriminator, channels=(64, 128, 256, 512), dense=1024),
    phases=(
        SRRESNET.phases[0],
        Phase(
            "gan",
            steps=200_000,
            losses={Perceptual("vgg19", "conv5_4"): 0.006, Adversarial("vanilla"): 1e-3},
            schedule="step",
        ),
    ),
)

SRRESNET_LIGHT = Recipe(
    name="srresnet_light",
    about="0.23 M parameters added to the bicubic picture: what a laptop can train in an hour",
    cite="srkit; after Ledig et al. 2017, and Kim et al. 2016 (arXiv:1511.04587) for the skip",
    generator=partial(SRResNet, channels=32, blocks=8, norm=None, ends_kernel=3, skip=True),
    phases=(Phase("psnr", steps=12_000, losses={Pixel("l1"): 1.0}, lr=1e-3, schedule="cosine", clip=1.0),),
)

RECIPES = {recipe.name: recipe for recipe in (SRRESNET, SRGAN, SRRESNET_LIGHT)}


@dataclass(frozen=True)
class Profile:
    """How much compute a run may use. None leaves what the recipe says; numbers are the most a run may have.

    channels, blocks: of the generator; width, dense: of the discriminator's first pair and its dense layer.
    compile: by torch.compile, which costs a minute and pays after some hundred steps.
    lr, schedule: a short run needs larger steps, and a decay.
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
    schedule: str | None = None
    perceptual_weights: Literal["imagenet", "random"] = "imagenet"
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
            channels=32,
            blocks=8,
            width=32,
            dense=256,
            psnr_lr=1e-3,
            schedule="cosine",
            log_every=20,
            validate_every=250,
            validate_on=(4, 256),
        ),
        Profile(name="gpu", about="the real result; some hours on a GPU", psnr_steps=200_000, gan_steps=100_000),
    )
}


def find_recipe(name: str | Recipe) -> Recipe:
    """A recipe by name. Raises SrkitError with the good names."""
    return name if isinstance(name, Recipe) else _find("recipe", name, RECIPES)


def find_profile(name: str | Profile) -> Profile:
    """A profile by name. Raises SrkitError with the good names."""
    return name if isinstance(name, Profile) else _find("profile", name, PROFILES)


def fit(recipe: Recipe, profile: Profile, scale: int | None = None, crop: int | None = None) -> Recipe:
    """The recipe cut to what a profile allows: the same parts, fewer of them."""
    scale = scale or recipe.scale
    most = min(recipe.crop, profile.crop or recipe.crop)
    crop = crop or most // scale * scale
    generator = _at_most(recipe.generator, scale=scale, channels=profile.channels, blocks=profile.blocks)
    discriminator = recipe.discriminator and _narrow(recipe.discriminator, profile, crop)
    phases = tuple(_shorten(phase, profile) for phase in recipe.phases)
    batch = min(recipe.batch, profile.batch or recipe.batch)
    fitted = replace(
        recipe, generator=generator, discriminator=discriminator, phases=phases, scale=scale, crop=crop, batch=batch
    )
    generator()  # built once here, so that a part that does not fit is refused before any photograph is read
    if discriminator:
        discriminator()
    return fitted


def describe(thing: Any) -> Any:
    """A recipe or a part of one as plain dictionaries, for a run's record: {"name": "SRResNet", "scale": 4, ...}."""
    if isinstance(thing, partial):
        return {"name": thing.func.__name__} | {key: describe(value) for key, value in thing.keywords.items()}
    if isinstance(thing, Phase):
        losses = [describe(loss) | {"weight": weight} for loss, weight in thing.losses.items()]
        return {key: getattr(thing, key) for key in ("name", "steps", "lr", "betas", "schedule", "clip")} | {
            "losses": losses
        }
    if isinstance(thing, Recipe):
        return {key: describe(value) for key, value in vars(thing).items()}
    if is_dataclass(thing):
        return {"name": type(thing).__name__} | asdict(thing)
    return [describe(item) for item in thing] if isinstance(thing, tuple) else thing


def build_generator(description: Mapping[str, Any]) -> Any:
    """The generator that `describe` wrote down, with fresh weights."""
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in description.items()}
    return getattr(generators, options.pop("name"))(**options)


def _find(what: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise SrkitError(f"{what} {name!r} is not known: choose one of {', '.join(known)}.")
    return known[name]


def _at_most(part: partial, scale: int, **limits: int | None) -> partial:
    asked = {name: p.default for name, p in inspect.signature(part.func).parameters.items()} | part.keywords
    sizes = {name: min(asked[name], limit) for name, limit in limits.items() if limit and name in asked}
    return partial(part.func, **part.keywords | sizes | {"scale": scale})


def _narrow(part: partial, profile: Profile, crop: int) -> partial:
    asked = {name: p.default for name, p in inspect.signature(part.func).parameters.items()} | part.keywords
    first = asked["channels"][0]
    width = min(first, profile.width or first)
    sizes = {"channels": tuple(c * width // first for c in asked["channels"]), "crop": crop}
    if "dense" in asked:
        sizes["dense"] = min(asked["dense"], profile.dense or asked["dense"])
    return partial(part.func, **part.keywords | sizes)


def _shorten(phase: Phase, profile: Profile) -> Phase:
    limit = profile.psnr_steps if phase.name == "psnr" else profile.gan_steps
    losses = {
        replace(loss, weights=profile.perceptual_weights) if isinstance(loss, Perceptual) else loss: weight
        for loss, weight in phase.losses.items()
    }
    return replace(
        phase,
        losses=losses,
        steps=min(phase.steps, limit or phase.steps),
        schedule=profile.schedule or phase.schedule,
        lr=(profile.psnr_lr or phase.lr) if phase.name == "psnr" else phase.lr,
    )
