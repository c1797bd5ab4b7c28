"""Parts of the sick trainings in sick.toml that no recipe should offer."""

from dataclasses import dataclass, replace

from srkit.losses import Adversarial
from srkit.recipes import SRGAN


@dataclass(frozen=True)
class TenToOne(Adversarial):
    """The discriminator makes ten steps to one of the generator."""

    critic_steps = 10


FIRST, SECOND = SRGAN.phases
LOSSES = {TenToOne() if loss is SECOND.adversarial else loss: weight for loss, weight in SECOND.losses.items()}
TEN_TO_ONE = replace(
    SRGAN, name="srgan_ten_to_one", about="a discriminator ahead", phases=(FIRST, replace(SECOND, losses=LOSSES))
)
