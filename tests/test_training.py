import math
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from srkit import training
from srkit.dataset import decode, find_photographs
from srkit.files import SrkitError
from srkit.patches import Patches
from srkit.profiles import PROFILES, fit
from srkit.recipes import RECIPES, Phase
from srkit.runs import Run
from srkit.training import Interrupted, Trainer, learning_rate, train

TINY = replace(
    PROFILES["smoke"], psnr_steps=8, gan_steps=4, batch=2, crop=32, channels=8, blocks=1, width=4, dense=8,
    log_every=1, validate_every=4, validate_on=(1, 48),
)  # fmt: skip


def weights(run, phase):
    from safetensors.torch import load_file

    return load_file(run.weights(phase))


def history(run):
    return run.history().drop(columns=["seconds", "images_per_second"])


def assert_same_run(a, b):
    for phase in a.phases:
        ours, theirs = weights(a, phase), weights(b, phase)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert history(a).equals(history(b))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("srgan", TINY, runs=tmp_path_factory.mktemp("runs"))


def test_a_run_leaves_weights_history_config_and_samples(run):
    assert run.folder.name == "srgan-smoke-s0"
    assert run.done
    assert run.phases == ["psnr", "gan"]
    assert list(run.history()["step"]) == list(range(1, 13))
    assert list(run.history()["phase"]) == ["psnr"] * 8 + ["gan"] * 4
    assert run.history()["psnr_y"].notna().sum() == 3
    assert (
        run.history()
        .query("phase == 'gan'")[["perceptual", "adversarial", "discriminator", "d_hr"]]
        .notna()
        .all(axis=None)
    )
    assert len(list((run.folder / "samples").glob("*.png"))) == 3
    assert run.config["data"]["fingerprint"] == find_photographs().fingerprint
    assert "random weights" in run.label
    assert not list(run.folder.glob(".*")), "a file written beside was left"


def test_the_same_seed_trains_the_same_weights_and_another_seed_others(run, tmp_path):
    assert_same_run(run, train("srgan", TINY, runs=tmp_path))
    other = train("srgan", TINY, seed=1, runs=tmp_path)
    assert not torch.equal(weights(run, "psnr")["tail.0.weight"], weights(other, "psnr")["tail.0.weight"])


@pytest.mark.parametrize("stop_at", [3, 8, 10])
def test_a_stopped_run_goes_on_to_the_same_weights_and_history(run, tmp_path, stop_at):
    def stop(going):
        if going.history()["step"].iloc[-1] == stop_at:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=f"step {stop_at}, .*--resume"):
        train("srgan", TINY, runs=tmp_path, on_log=stop)
    assert_same_run(run, train("srgan", TINY, runs=tmp_path, resume=True))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(run, tmp_path, capsys):
    def stop(going):
        if going.history()["step"].iloc[-1] == 10:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train("srgan", TINY, runs=tmp_path, on_log=stop)
    checkpoint = tmp_path / "srgan-smoke-s0" / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    assert_same_run(run, train("srgan", TINY, runs=tmp_path, resume=True))
    assert "checkpoint.pt is damaged" in capsys.readouterr().out


def test_a_run_is_never_written_over_unasked(run):
    with pytest.raises(SrkitError, match=r"srgan-smoke-s0 holds a run already.*--resume.*--force"):
        train("srgan", TINY, runs=run.folder.parent)
    with pytest.raises(SrkitError, match="different recipe"):
        train("srgan", replace(TINY, channels=4), runs=run.folder.parent, resume=True)
    before = run.weights("gan").read_bytes()
    assert train("srgan", TINY, runs=run.folder.parent, resume=True).weights("gan").read_bytes() == before


def test_another_scale_has_its_own_folder_and_network(tmp_path):
    run = train("srresnet", replace(TINY, psnr_steps=2), scale=3, runs=tmp_path)
    assert run.folder.name == "srresnet-smoke-s0-x3"
    assert run.generator()(torch.rand(1, 3, 5, 6)).shape == (1, 3, 15, 18)


def trainer(tmp_path, recipe="srgan", **changes):
    fitted = fit(replace(RECIPES[recipe], **changes), TINY)
    patches = Patches(decode(find_photographs().train[:1]), fitted.scale, fitted.crop)
    return Trainer(fitted, TINY, patches, [], Run(tmp_path / "run"), 0, "cpu")


@pytest.mark.parametrize("recipe", RECIPES)
def test_steps_on_one_batch_lower_every_phases_loss(tmp_path, recipe):
    for number in range(len(RECIPES[recipe].phases)):
        going = trainer(tmp_path, recipe)
        phase = going.recipe.phases[number]
        going._begin(phase)
        lr, hr = going.patches.batch(0, 4)
        content = "pixel" if phase.name == "psnr" else "perceptual"
        first, *_, last = [float(going.optimise(phase, lr, hr, 1e-3)[content]) for _ in range(25)]
        assert last < first


def test_the_generators_step_leaves_the_discriminator_without_gradients_and_its_own_step_moves_it(tmp_path):
    going = trainer(tmp_path)
    phase = going.recipe.phases[1]
    going._begin(phase)
    before = [p.clone() for p in going.discriminator.parameters()]
    gathered = []
    going.g_optimizer.step = lambda: gathered.extend(p.grad for p in going.discriminator.parameters())
    going.optimise(phase, *going.patches.batch(0, 2), 1e-3)
    assert gathered == [None] * len(before)
    assert any(not torch.equal(a, b) for a, b in zip(before, going.discriminator.parameters(), strict=True))


def test_the_running_mean_moves_slowly_towards_the_weights(tmp_path):
    going = trainer(tmp_path, ema=0.9)
    going.averaged = 10_000
    with torch.no_grad():
        for p in going.ema.parameters():
            p.zero_()
        for p in going.generator.parameters():
            p.fill_(1.0)
    going._average()
    assert all(torch.allclose(p, torch.full_like(p, 0.1)) for p in going.ema.parameters())


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(tmp_path):
    going = trainer(tmp_path, "srresnet")
    before = {name: value.clone() for name, value in going.generator.state_dict().items() if "running" not in name}
    lr, hr = going.patches.batch(0, 2)
    with pytest.raises(SrkitError, match="pixel loss is not finite at step 1"):
        going.optimise(going.recipe.phases[0], lr, hr * math.inf, 1e-3)
    after = going.generator.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items() if "num_batches" not in name)


def test_schedules_follow_their_formulas():
    phase = Phase("psnr", steps=10, losses={}, lr=2.0)
    assert [learning_rate(phase, s) for s in (0, 9)] == [2.0, 2.0]
    step = replace(phase, schedule="step")
    assert [learning_rate(step, s) for s in (0, 4, 5, 9)] == pytest.approx([2.0, 2.0, 0.2, 0.2])
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    cosine = replace(phase, schedule="cosine")
    for step in range(10):
        assert learning_rate(cosine, step) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_the_middle_of_a_picture_is_cut_to_a_multiple_of_the_scale():
    image = np.arange(50 * 71, dtype=np.uint16).reshape(50, 71)
    cut = training.middle(image, 32, 3)
    assert cut.shape == (30, 30)
    assert cut[0, 0] == image[9, 19]
