"""The systems, declared as a paper's methods section would: data, no behaviour.

A ninth system is made by changing three lines: `replace(SRGAN, name="mine", discriminator=partial(ConvCritic))`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from torch import nn

from srkit import generator as generators
from srkit import parts
from srkit.degradations import BICUBIC, BlurDown, HighOrder
from srkit.discriminator import ConvCritic, SRGANDiscriminator, check_crop
from srkit.files import SrkitError, near
from srkit.generator import RRDBNet, SRResNet, TwoStageRRDB
from srkit.losses import (
    LPIPS,
    Adversarial,
    AdversarialLoss,
    Checkerboard,
    Perceptual,
    Pixel,
    RelativisticAverage,
    Wasserstein,
)
from srkit.parts import options


@dataclass(frozen=True)
class Phase:
    """One stretch of training. losses: each with its weight; an adversarial one among them brings in the discriminator.

    lr: learning rate of both networks, or of the generator where d_lr gives the discriminator's own (two time scales:
    Heusel et al. 2017, arXiv:1706.08500). schedule: "constant"; "step", a tenth of lr from the middle on; "cosine",
    down to 0 at the end. clip: the most that the norm of the generator's gradient may be, or None. crisp: whether the
    losses but for the adversarial one compare with HR after an unsharp mask, `srkit.high_order.crisp`.
    """

    name: Literal["psnr", "gan"]
    steps: int
    losses: Mapping[Any, float]
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["constant", "step", "cosine"] = "constant"
    clip: float | None = None
    d_lr: float | None = None
    crisp: bool = False

    def __post_init__(self) -> None:
        for loss in self.losses:
            if hasattr(loss, "for_discriminator") and not isinstance(loss, AdversarialLoss):
                name = type(loss).__name__
                raise SrkitError(f"{name} has a side for the discriminator: derive it from losses.AdversarialLoss.")
        object.__setattr__(self, "losses", {parts.as_loss(loss): weight for loss, weight in self.losses.items()})

    @property
    def adversarial(self) -> AdversarialLoss | None:
        """The adversarial loss, or None."""
        return next((loss for loss in self.losses if isinstance(loss, AdversarialLoss)), None)

    @property
    def discriminator_lr(self) -> float:
        """The learning rate of the discriminator."""
        return self.lr if self.d_lr is None else self.d_lr


@dataclass(frozen=True)
class Recipe:
    """One super-resolution system. Sizes are in pixels of HR; generator and discriminator are built when asked for.

    generator: called with scale; discriminator: called with crop. Either may be a class of your own: `srkit.parts` says
    what it must offer. degradation: how LR is made of HR. sharpen: amount of
    unsharp mask after the network, 0 for none. ema: decay of the running mean of the generator's weights, which is what
    gets evaluated and kept; 0 for none. reported: what the system's own page or paper says, on its own images.
    Raises SrkitError, when it is made, where its parts do not fit together.
    """

    name: str
    about: str
    cite: str
    generator: Callable[..., nn.Module]
    phases: tuple[Phase, ...]
    discriminator: Callable[..., nn.Module] | None = None
    degradation: Any = BICUBIC
    scale: int = 4
    crop: int = 96
    batch: int = 16
    sharpen: float = 0.0
    ema: float = 0.999
    reported: str = ""

    def __post_init__(self) -> None:
        if self.scale not in generators.SCALES:
            good = ", ".join(map(str, generators.SCALES))
            raise SrkitError(f"{self.name}: a {self.scale}-fold scale is not built: choose one of {good}.")
        if self.crop % self.scale:
            raise SrkitError(f"{self.name}: a crop of {self.crop} pixels is not a multiple of the scale {self.scale}.")
        parts.check_name(self.name)
        object.__setattr__(self, "generator", parts.as_partial(self.generator, self.name, "generator"))
        judge = {}
        if self.discriminator is not None:
            object.__setattr__(self, "discriminator", parts.as_partial(self.discriminator, self.name, "discriminator"))
            judge = options(self.discriminator)
            if not parts.origin(self.discriminator.func):
                check_crop(self.crop, judge["channels"])
        for phase in self.phases:
            if phase.adversarial and self.discriminator is None:
                raise SrkitError(
                    f"{self.name}: the adversarial loss in phase {phase.name} needs a discriminator: name one."
                )
            if phase.adversarial and phase.adversarial.penalty and judge.get("norm") == "batch":
                raise SrkitError(
                    f"{self.name}: a gradient penalty is on each picture alone, and batch norm mixes them: "
                    "give the critic instance norm."
                )


MSE_PHASE = Phase("psnr", steps=1_000_000, losses={Pixel("mse"): 1.0})

SRRESNET = Recipe(
    name="srresnet",
    about="the residual network trained for PSNR alone",
    cite="Ledig et al. 2017, arXiv:1609.04802",
    generator=partial(SRResNet, channels=64, blocks=16, norm="batch"),
    phases=(MSE_PHASE,),
    reported="Set5 32.05 dB",
)

SRGAN = Recipe(
    name="srgan",
    about="SRResNet, then VGG features and a discriminator instead of the pixels",
    cite="Ledig et al. 2017, arXiv:1609.04802",
    generator=SRRESNET.generator,
    discriminator=partial(SRGANDiscriminator, channels=(64, 128, 256, 512), dense=1024),
    phases=(
        MSE_PHASE,
        Phase(
            "gan",
            steps=200_000,
            losses={Perceptual("vgg19", "conv5_4"): 0.006, Adversarial("vanilla"): 1e-3},
            schedule="step",
        ),
    ),
    reported="Set5 29.40 dB",
)

ESRGAN = Recipe(
    name="esrgan",
    about="dense residual blocks without norm, a relativistic discriminator, features before activation",
    cite="Wang et al. 2018, arXiv:1809.00219",
    generator=partial(RRDBNet, channels=64, blocks=23, growth=32),
    discriminator=partial(SRGANDiscriminator, channels=(64, 128, 256, 512), dense=100),
    crop=128,
    phases=(
        Phase("psnr", steps=1_000_000, losses={Pixel("l1"): 1.0}, lr=2e-4, schedule="step"),
        Phase(
            "gan",
            steps=400_000,
            losses={
                Perceptual("vgg19", "conv5_4", activation=False, distance="l1"): 1.0,
                RelativisticAverage(): 5e-3,
                Pixel("l1"): 1e-2,
            },
            schedule="step",
        ),
    ),
    reported="Set5 32.73 dB after the PSNR phase",
)

WGAN_GP = Recipe(
    name="wgan_gp",
    about="SRGAN with a Wasserstein critic: no Sigmoid, instance norm, gradient penalty",
    cite="a student project; Gulrajani et al. 2017, arXiv:1704.00028",
    generator=partial(SRResNet, channels=64, blocks=16, norm="batch", end="tanh"),
    discriminator=partial(ConvCritic, channels=(64, 128, 256, 512), norm="instance"),
    phases=(
        Phase("psnr", steps=100_000, losses={Pixel("mse"): 1.0, Perceptual("vgg19", "conv2_2"): 6e-3}),
        Phase(
            "gan",
            steps=50_000,
            losses={
                Pixel("mse"): 1.0,
                Perceptual("vgg19", "conv5_4"): 6e-3,
                Wasserstein(penalty=10, critic_steps=5): 1e-3,
            },
            betas=(0.0, 0.9),
        ),
    ),
    reported="images only",
)

PIXELFORGE = Recipe(
    name="pixelforge",
    about="SRResNet with a Tanh end at x2; pixels, VGG features and a discriminator together",
    cite="a student project; Ledig et al. 2017, arXiv:1609.04802",
    scale=2,
    generator=partial(SRResNet, channels=64, blocks=16, norm="batch", end="tanh"),
    discriminator=partial(SRGANDiscriminator, channels=(64, 128, 256, 512), dense=(512, 1024)),
    phases=(
        replace(MSE_PHASE, steps=100_000),
        Phase(
            "gan",
            steps=50_000,
            losses={Pixel("mse"): 1.0, Perceptual("vgg19", "conv5_4"): 6e-3, Adversarial("vanilla"): 1e-3},
        ),
    ),
    reported="28.99 dB, SSIM 0.9009",
)

TWO_STAGE_RRDB = Recipe(
    name="two_stage_rrdb",
    about="RRDBs at LR size, then PixelShuffle, against Gaussian blur and downsampling",
    cite="a student project; Wang et al. 2018, arXiv:1809.00219",
    generator=partial(TwoStageRRDB, channels=64, blocks=23, growth=32),
    discriminator=PIXELFORGE.discriminator,
    degradation=BlurDown(sigma=1.6),
    phases=(
        Phase("psnr", steps=100_000, losses={Pixel("l1"): 1.0}, lr=2e-4),
        Phase(
            "gan",
            steps=50_000,
            losses={Pixel("l1"): 1.0, Perceptual("vgg16", "conv5_3"): 6e-3, Adversarial("vanilla"): 1e-3},
        ),
    ),
    reported="31 to 32 dB, SSIM 0.95",
)

BICUBIC_SKIP = Recipe(
    name="bicubic_skip",
    about="the network is added to the bicubic upscaling of its input, and starts as exactly that",
    cite="a student project; Kim et al. 2016, arXiv:1511.04587, for the skip",
    generator=partial(SRResNet, channels=64, blocks=16, norm="batch", skip=True),
    discriminator=SRGAN.discriminator,
    phases=(replace(MSE_PHASE, steps=100_000), replace(SRGAN.phases[1], steps=50_000)),
    reported="23.05 dB, SSIM 0.9438",
)

DIV2K_X2 = Recipe(  # 30 epochs of DIV2K's 800 photographs, 6 at a time; its tracks: degradation=UNKNOWN, MILD or WILD
    name="div2k_x2",
    about="residual blocks with a Sigmoid end on 128 to 256 pixels; conv blocks and an MLP judge with a hinge",
    cite="a student project; Lim and Ye 2017, arXiv:1705.02894, for the hinge",
    scale=2,
    crop=256,
    batch=6,
    generator=partial(SRResNet, channels=64, blocks=8, norm="batch", ends_kernel=3, end="sigmoid"),
    discriminator=partial(SRGANDiscriminator, channels=(32, 64, 128, 256), dense=(256, 64)),
    phases=(
        Phase("psnr", steps=4_000, losses={Pixel("mse"): 1.0}),
        Phase("gan", steps=4_000, losses={Pixel("mse"): 1.0, Adversarial("hinge"): 1e-3}),
    ),
    reported="loss curves only",
)

SRRESNET_LIGHT = Recipe(
    name="srresnet_light",
    about="0.23 M parameters added to the bicubic picture: what a laptop can train in an hour",
    cite="srkit; after Ledig et al. 2017, and Kim et al. 2016 (arXiv:1511.04587) for the skip",
    generator=partial(SRResNet, channels=32, blocks=8, norm=None, ends_kernel=3, skip=True),
    crop=128,
    batch=10,
    phases=(Phase("psnr", steps=16_000, losses={Pixel("l1"): 1.0}, lr=1e-3, schedule="cosine", clip=1.0),),
)

SRGAN_LIGHT = replace(
    SRRESNET_LIGHT,
    name="srgan_light",
    about="its GAN twin: LPIPS instead of VGG features, a guard against checkerboards, a relativistic discriminator",
    discriminator=partial(SRGANDiscriminator, channels=(24, 48, 96, 192), dense=128, norm="spectral"),
    phases=(
        *SRRESNET_LIGHT.phases,
        Phase(
            "gan",
            steps=3_200,
            losses={Pixel("l1"): 1.0, LPIPS("alex", shift=4): 1.0, Checkerboard(): 5.0, RelativisticAverage(): 5e-3},
            lr=5e-4,
            schedule="cosine",
        ),
    ),
)

REAL_LIGHT = replace(
    SRRESNET_LIGHT,
    name="real_light",
    about="srresnet_light for photographs as they are: blurred, noisy and compressed twice over",
    cite="srkit; Wang et al. 2021, arXiv:2107.10833, for the degradation",
    degradation=HighOrder(),
)

REAL_LIGHT_GAN = replace(
    SRGAN_LIGHT,
    name="real_light_gan",
    about="its GAN twin, against HR with an unsharp mask",
    cite=REAL_LIGHT.cite,
    degradation=REAL_LIGHT.degradation,
    phases=(*REAL_LIGHT.phases, replace(SRGAN_LIGHT.phases[1], crisp=True)),
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        *(SRRESNET, SRGAN, ESRGAN),
        *(PIXELFORGE, TWO_STAGE_RRDB, BICUBIC_SKIP, DIV2K_X2, WGAN_GP),
        *(SRRESNET_LIGHT, SRGAN_LIGHT, REAL_LIGHT, REAL_LIGHT_GAN),
    )
}


OWN: dict[str, Recipe] = {}  # by name, those that were given or named in this process


def find_recipe(name: str | Recipe) -> Recipe:
    """A recipe by name, or as my_recipes.py:NAME out of a file of one's own. Raises SrkitError with the good names."""
    if isinstance(name, str) and ".py:" in name:
        found = parts.load_file(name)
        if not isinstance(found, Recipe):
            raise SrkitError(f"{name} is a {type(found).__name__}, and no Recipe: name another one.")
        name = found
    if not isinstance(name, Recipe):
        return find_named("recipe", name, OWN | RECIPES)
    if RECIPES.get(name.name) != name:
        OWN[name.name] = name
        parts.remember(name)
    return name


def find_named(what: str, name: str, known: Mapping[str, Any]) -> Any:
    """known[name]; SrkitError with the good names where there is none such."""
    if name not in known:
        raise SrkitError(f"{what} {name!r} is not known: {near(str(name), known)}choose one of {', '.join(known)}.")
    return known[name]
