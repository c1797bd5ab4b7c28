"""A recipe of one's own, tried before it is trained: what must be so, in one sentence, and the rest as a table."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from srkit.declarations import OwnLoss
from srkit.degradations import of_size
from srkit.files import SrkitError
from srkit.generator import count_parameters
from srkit.parts import defined_by, origin
from srkit.profiles import find_profile, fit
from srkit.recipes import Phase, Recipe, find_recipe
from srkit.records import build_generator, describe
from srkit.steps import Learner
from srkit.tiles import enlarge_in_tiles, reach
from srkit.trying import adversary, name_of, slope, tried
from srkit.weights_files import load_weights, save_weights
from srkit.wrappers import parts

OK, WARN, FAIL = "OK", "WARN", "FAIL"
SIZES = ((16, 16), (13, 17), (31, 8))  # LR height and width
STEPS = 8  # of training, on one batch


@dataclass(frozen=True)
class Finding:
    """state: OK, WARN or FAIL. check: what was tried. found: what came of it, in words."""

    state: str
    check: str
    found: str


def require(recipe: Recipe) -> None:
    """Raise SrkitError, naming the class, for what cannot be trained: shapes, scale, gradients, NaN, losses."""
    trial = Trial(recipe)
    trial.answer(recipe.crop // recipe.scale, recipe.crop // recipe.scale)
    trial.gradient()
    for phase in recipe.phases:
        for loss in phase.losses:
            own = isinstance(loss, OwnLoss) or origin(type(loss))
            if own and loss is not phase.adversarial:
                trial.loss(phase, loss)
    trial.verdict()
    if origin(defined_by(recipe.degradation)):
        trial.degraded()


def check(recipe: str | Recipe) -> list[Finding]:
    """Try a recipe in about half a minute, on the CPU and with random weights."""
    trial, found = Trial(fit(find_recipe(recipe), find_profile("gpu"))), []
    for name, attempt in trial.attempts():
        try:
            state, words = attempt()
        except Exception as error:  # whatever a part of one's own raises is a finding
            words = str(error) if isinstance(error, SrkitError) else f"{type(error).__name__}: {error}"
            state, words = FAIL, words.splitlines()[0] if words else type(error).__name__
        found.append(Finding(state, name, words))
        if name == "generator" and state == FAIL:
            break
    return found


class Trial:
    """A recipe's parts, built once, and what is tried on them."""

    def __init__(self, recipe: Recipe):
        self.recipe, self.name = recipe, recipe.generator.func.__name__

    def attempts(self) -> Iterator[tuple[str, Callable[[], tuple[str, str]]]]:
        yield "generator", self.costs
        yield "shapes", self.shapes
        yield "range", self.range
        yield "gradient", lambda: (OK, f"reaches all {len(self.gradient())} weights")
        yield "receptive field", self.field
        yield "tiles", self.tiles
        yield "bf16", self.halves
        yield "state dict", self.round_trip
        yield "degradation", self.degraded
        for phase in fit(self.recipe, find_profile("smoke")).phases:
            for loss in phase.losses:
                if loss is not phase.adversarial:
                    yield f"{phase.name}: {name_of(loss)}", lambda phase=phase, loss=loss: self.loss(phase, loss)
        if self.recipe.discriminator:
            yield "discriminator", self.verdict
        yield "a few steps", self.steps

    @cached_property
    def network(self) -> nn.Module:
        torch.manual_seed(0)
        recipe, name = self.recipe, self.name
        advice = f": mend its __init__, or give its options by partial({name}, ...)"
        network = tried(recipe.generator, f"{name} cannot be built", advice)
        if not isinstance(network, nn.Module):
            raise SrkitError(f"{name} makes a {type(network).__name__}, and no nn.Module: derive it from nn.Module.")
        scale = getattr(network, "scale", None)
        if scale is None:
            raise SrkitError(f"{name} has no scale: write self.scale = {recipe.scale} into its __init__.")
        if scale != recipe.scale:
            raise SrkitError(
                f"{name} enlarges {scale}-fold, and recipe {recipe.name} {recipe.scale}-fold: let its __init__ take "
                f"scale, or write scale={scale} into the recipe."
            )
        if not any(weight.requires_grad for weight in network.parameters()):
            raise SrkitError(f"{name} has no weights that could learn: give it layers, as attributes of self.")
        return network

    def answer(self, height: int, width: int) -> Tensor:
        """SR of noise of one size; SrkitError where its shape or its numbers are not right."""
        lr, scale = self.noise(height, width), self.recipe.scale
        network = self.network
        sr = tried(lambda: network(lr), f"{self.name} does not take LR pictures of {height} x {width} pixels")
        wanted = (*lr.shape[:2], scale * height, scale * width)
        if not isinstance(sr, Tensor) or sr.shape != wanted:
            made = tuple(sr.shape) if isinstance(sr, Tensor) else f"a {type(sr).__name__}"
            raise SrkitError(f"{self.name} makes {made} of LR {tuple(lr.shape)}: SR must be {wanted}.")
        if not sr.isfinite().all():
            raise SrkitError(
                f"{self.name} answers with NaN or infinity before a single step: look at its first layers."
            )
        return sr

    def noise(self, height: int, width: int) -> Tensor:
        return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(height * width))

    def gradient(self) -> list[Tensor]:
        """The gradients of all weights; SrkitError where none arrives at some."""
        network = self.network.train()
        sr = self.answer(12, 12)
        named = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
        if not sr.requires_grad:
            raise SrkitError(f"no gradient leads from {self.name}'s answer to its weights: keep to torch's functions.")
        found = torch.autograd.grad((sr * self.noise(*sr.shape[2:])).sum(), [*named.values()], allow_unused=True)
        lost = [name for name, each in zip(named, found, strict=True) if each is None]
        if lost:
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            raise SrkitError(f"no gradient reaches {self.name}'s {lost[0]}{more}: use it in forward, or leave it out.")
        return found

    def loss(self, phase: Phase, loss: Any) -> tuple[str, str]:
        """One term: a finite scalar whose gradient reaches SR."""
        name, side = name_of(loss), max(48, self.recipe.scale * 12)
        sr, hr = (self.noise(side, side + n).narrow(3, 0, side) for n in (0, 1))
        sr.requires_grad_()
        loss.ready("cpu")
        value = tried(lambda: loss(sr, hr), f"{name} does not take SR and HR")
        found = slope(name, value, sr, "SR: work it out of sr itself, with torch's functions")
        return OK, f"{value.item():.4g} on noise, gradient norm {found.norm():.2g}; weight {phase.losses[loss]:g}"

    @torch.no_grad()
    def degraded(self) -> tuple[str, str]:
        """LR of noise: of the right size, finite, and the same whenever the seed is."""
        recipe, name = self.recipe, name_of(self.recipe.degradation)
        hr = self.noise(recipe.crop, recipe.crop)

        def lr(seed: int) -> Tensor:
            made = tried(lambda: recipe.degradation(hr, recipe.scale, seed), f"{name} does not take HR, scale and seed")
            if not isinstance(made, Tensor) or not of_size(made, hr, recipe.scale, recipe.degradation).isfinite().all():
                raise SrkitError(f"{name} must make LR of finite numbers, a tensor (N, 3, H / scale, W / scale).")
            return made

        first = lr(1)
        if not torch.equal(first, lr(1)):
            raise SrkitError(f"{name} makes another LR each time: draw what is random from the seed that it is given.")
        low, high = (float(each) for each in torch.aminmax(first))
        follows = "random, by its seed" if not torch.equal(first, lr(2)) else "the same for every seed"
        return WARN if low < -0.3 or high > 1.3 else OK, f"{name}, {follows}; LR from {low:.2f} to {high:.2f}"

    def verdict(self) -> tuple[str, str]:
        """What the discriminator makes of pictures of the recipe's crop."""
        if not self.recipe.discriminator:
            return OK, "none"
        name, crop = self.recipe.discriminator.func.__name__, self.recipe.crop
        judge = tried(self.recipe.discriminator, f"{name} cannot be built")
        if not isinstance(judge, nn.Module):
            raise SrkitError(f"{name} makes a {type(judge).__name__}, and no nn.Module: derive it from nn.Module.")
        pictures = self.noise(crop, crop).requires_grad_()
        answer = tried(lambda: judge(pictures), f"{name} does not take {crop}-pixel crops")
        if not isinstance(answer, Tensor) or len(answer) != 2 or not answer.requires_grad:
            raise SrkitError(f"{name} must make a tensor of logits, (N, ...), out of pictures (N, 3, H, W).")
        if not answer.isfinite().all():
            raise SrkitError(f"{name} answers with NaN or infinity before a single step: look at its first layers.")
        if torch.autograd.grad(answer.sum(), pictures, allow_unused=True)[0] is None:
            raise SrkitError(f"no gradient leads from {name} to the picture: leave out what detaches it.")
        for loss in filter(None, (phase.adversarial for phase in self.recipe.phases)):
            adversary(loss, name_of(loss))
        return OK, f"{name}, {count_parameters(judge) / 1e6:.2f} M parameters: logits {tuple(answer.shape)}"

    def costs(self) -> tuple[str, str]:
        from srkit.evaluation import costs  # slow to import, and not needed to train

        (found,) = costs({self.name: self.network}, self.recipe.scale).itertuples()
        words = f"{found.parameters / 1e6:.2f} M parameters, {found.multiply_adds_g:.1f} G multiply-adds"
        return OK, f"{self.name}, {words}"

    @torch.no_grad()
    def shapes(self) -> tuple[str, str]:
        self.network.eval()
        for size in SIZES:
            self.answer(*size)
        return OK, f"right for LR of {', '.join(f'{h} x {w}' for h, w in SIZES)} pixels"

    @torch.no_grad()
    def range(self) -> tuple[str, str]:
        low, high = (float(each) for each in torch.aminmax(self.network.eval()(self.noise(16, 16))))
        far = high < 0 or low > 1 or high - low > 20
        return WARN if far else OK, f"SR from {low:.2f} to {high:.2f} before training; pictures lie in [0, 1]"

    def field(self) -> tuple[str, str]:
        far = sum(reach(self.network, part) for part in ("features", "enlarge"))
        return OK, f"{2 * far + 1} LR pixels wide"

    def apart(self, **how: Any) -> int:
        """The most grey levels that a picture is off where it is enlarged in another way than at once in fp32."""
        picture = np.random.default_rng(0).integers(0, 256, (40, 44, 3), np.uint8)
        ways = {"tile": 44, "block": 44}, {"tile": 44, "block": 44} | how
        one, other = (enlarge_in_tiles(self.network.eval(), picture, **way).astype(int) for way in ways)
        return int(np.abs(one - other).max())

    def tiles(self) -> tuple[str, str]:
        apart = self.apart(tile=16, block=20)
        split = parts(self.network)[0] == getattr(self.network, "features", None)
        how = "cut after its features" if split else "in one piece"
        return OK if apart <= 1 else FAIL, f"{apart} grey levels from the whole picture; tiled {how}"

    def halves(self) -> tuple[str, str]:
        apart = self.apart(dtype=torch.bfloat16)
        return OK if apart < 4 else WARN, f"{apart} grey levels from fp32 at most"

    @torch.no_grad()
    def round_trip(self) -> tuple[str, str]:
        network = self.network.eval()
        with tempfile.TemporaryDirectory() as folder:
            save_weights(network, Path(folder) / "w.safetensors")
            again = build_generator(describe(self.recipe.generator))
            load_weights(again, Path(folder) / "w.safetensors")
        sr = network(self.noise(9, 9))
        if not torch.equal(sr, network(self.noise(9, 9))):
            return FAIL, f"{self.name} answers differently each time: leave out what is random in eval mode"
        if not torch.equal(sr, again.eval()(self.noise(9, 9))):
            return FAIL, "saved and loaded, it answers otherwise: keep what forward uses in weights or register_buffer"
        return OK, "saved, built again and loaded, it answers the same"

    def steps(self) -> tuple[str, str]:
        """The first phase's losses on one batch, before and after a few steps."""
        recipe = fit(self.recipe, find_profile("smoke"))
        phase = recipe.phases[0]
        losses = {loss: weight for loss, weight in phase.losses.items() if loss is not phase.adversarial}
        if not losses:
            return WARN, f"phase {phase.name} has no loss but the adversarial one: nothing to measure"
        learner, hr = Learner(recipe), _photograph(recipe.crop)
        lr = recipe.degradation(hr, recipe.scale, 0)

        def total() -> float:
            with torch.no_grad():
                sr = learner.generator(lr)
                return float(sum(weight * loss(sr, hr) for loss, weight in losses.items()))

        before = total()
        for number in range(STEPS):
            learner.step(phase, lr, hr, phase.lr, number)
        after = total()
        words = f"the loss goes from {before:.4g} to {after:.4g} in {STEPS} steps on one batch"
        return OK if after < before else FAIL, words


def _photograph(side: int) -> Tensor:
    """Two crops of a photograph of the starter set: (2, 3, side, side)."""
    from skimage.data import astronaut

    picture = torch.from_numpy(astronaut()).permute(2, 0, 1)[None] / 255
    return torch.cat([picture[..., 20 : 20 + side, left : left + side] for left in (150, 200)])
