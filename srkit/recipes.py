"""The systems, declared as a paper's methods section would: data, no behaviour.

A ninth system is made by changing three lines: `replace(SRGAN, name="mine", discriminator=partial(ConvCritic))`.
"""

from dataclasses import replace
from functools import partial

from srkit import parts
from srkit.declarations import Phase, Recipe
from srkit.degradations import BlurDown, HighOrder
from srkit.discriminator import ConvCritic, SRGANDiscriminator
from srkit.files import SrkitError, find_named
from srkit.generator import RRDBNet, SRResNet, TwoStageRRDB
from srkit.losses import LPIPS, Adversarial, Checkerboard, Perceptual, Pixel, RelativisticAverage, Wasserstein

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
