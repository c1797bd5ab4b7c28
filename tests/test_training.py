import shutil
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from srkit.cli import main
from srkit.data.sources import find_photographs
from srkit.dataset import Patches, decode
from srkit.device import Device
from srkit.evaluation import evaluate
from srkit.files import SrkitError
from srkit.generator import sharpen
from srkit.profiles import PROFILES, fit
from srkit.recipes import RECIPES
from srkit.runs import Run, find_runs
from srkit.steps import Learner
from srkit.training import Interrupted, train

TINY = replace(
    PROFILES["smoke"], psnr_steps=8, gan_steps=4, batch=2, crop=32, channels=8, blocks=1, width=4, dense=8,
    log_every=1, validate_every=4, validate_on=(1, 48),
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("one_thread")


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


def stop_at(step):
    """Ctrl-C after that step."""

    def stop(run):
        if run.history()["step"].iloc[-1] == step:
            signal.raise_signal(signal.SIGINT)

    return stop


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


@pytest.mark.parametrize("step", [3, 8, 10])
def test_a_stopped_run_goes_on_to_the_same_weights_and_history(run, tmp_path, step):
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=f"step {step}, .*--resume"):
        train("srgan", TINY, runs=tmp_path, on_log=stop_at(step))
    assert_same_run(run, train("srgan", TINY, runs=tmp_path, resume=True))
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.slow
def test_a_stopped_run_through_the_compiler_goes_on_to_the_same_weights(tmp_path):
    compiled = replace(TINY, compile=True)
    whole = train("srresnet", compiled, runs=tmp_path / "whole")
    stopped = partial(train, "srresnet", compiled, runs=tmp_path / "stopped")
    with pytest.raises(Interrupted):
        stopped(on_log=stop_at(4))
    torch._dynamo.reset()  # what another process would have: nothing compiled
    assert_same_run(whole, stopped(resume=True))


def test_a_run_of_cuda_goes_on_on_an_mps_which_begins_its_own_random_numbers(tmp_path, monkeypatch):
    with pytest.raises(Interrupted):
        train("srgan", TINY, runs=tmp_path, on_log=stop_at(3))
    run, taken = Run(tmp_path / "srgan-smoke-s0"), []
    run.save_checkpoint(run.load_checkpoint() | {"random_cuda": torch.zeros(16, dtype=torch.uint8)})
    monkeypatch.setattr(torch.mps, "set_rng_state", taken.append)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: torch.ones(44, dtype=torch.uint8))
    monkeypatch.setattr("srkit.callbacks.find_device", lambda name: Device("mps", "described"))
    with pytest.raises(Interrupted):
        train("srgan", TINY, runs=tmp_path, resume=True, on_log=stop_at(5))
    assert taken == []
    train("srgan", TINY, runs=tmp_path, resume=True)
    assert [len(state) for state in taken] == [44]


def test_a_lost_history_comes_back_from_the_checkpoint(run, tmp_path):
    with pytest.raises(Interrupted):
        train("srgan", TINY, runs=tmp_path, on_log=stop_at(10))
    (tmp_path / "srgan-smoke-s0" / "history.csv").unlink()
    assert_same_run(run, train("srgan", TINY, runs=tmp_path, resume=True))


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(run, tmp_path, capsys):
    with pytest.raises(Interrupted):
        train("srgan", TINY, runs=tmp_path, on_log=stop_at(10))
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


def test_a_checkpoint_without_its_record_is_not_gone_on_with(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / run.folder.name)
    (tmp_path / run.folder.name / "config.json").unlink()  # whatever that was trained on, nobody can tell
    again = train("srgan", replace(TINY, psnr_steps=2, gan_steps=1), runs=tmp_path, resume=True)
    assert again.history()["step"].max() == 3


def test_the_second_phase_starts_from_a_first_that_another_recipe_trained(run, tmp_path, capsys):
    train("srresnet", TINY, runs=tmp_path)
    capsys.readouterr()
    assert_same_run(run, train("srgan", TINY, runs=tmp_path))
    assert "taken from there" in capsys.readouterr().out
    assert Run(tmp_path / "srgan-smoke-s0").config["first_phase_from"] == "srresnet-smoke-s0"
    other = train("bicubic_skip", TINY, runs=tmp_path)  # another network, so its own first phase
    assert "first_phase_from" not in other.config


def test_a_run_that_goes_on_elsewhere_keeps_what_its_record_says_of_before(run, tmp_path):
    train("srresnet", TINY, runs=tmp_path)
    with pytest.raises(Interrupted):
        train("srgan", TINY, runs=tmp_path, on_log=stop_at(10))
    left = Run(tmp_path / "srgan-smoke-s0")
    now = left.config["versions"]
    before = {"device": "NVIDIA Described", "precision": "fp16", "versions": now | {"torch": "2.0.0"}}
    left.write_config(left.config | before)
    assert_same_run(run, train("srgan", TINY, runs=tmp_path, resume=True))
    known = {"first_phase_from": "srresnet-smoke-s0", "device": "NVIDIA Described, cpu", "precision": "fp16, fp32"}
    assert left.config.items() >= known.items()
    assert left.config["versions"] == now | {"torch": f"2.0.0, {now['torch']}"}


@pytest.mark.parametrize("how", [{"precision": "bf16"}, {"accumulate": 2}])
def test_a_first_phase_of_another_precision_or_other_pieces_is_not_taken(tmp_path, how):
    """The run's record says how it was trained, and would be wrong."""
    train("srresnet", TINY, runs=tmp_path, **how)
    assert "first_phase_from" not in train("srgan", TINY, runs=tmp_path).config


def test_a_recipe_that_sharpens_does_so_after_the_network(tmp_path):
    plain, sharp = (
        train(
            replace(RECIPES["bicubic_skip"], sharpen=amount),
            replace(TINY, psnr_steps=1, gan_steps=1),
            runs=tmp_path / name,
        )
        for amount, name in ((0.0, "plain"), (0.5, "sharp"))
    )
    lr = torch.rand(1, 3, 12, 12)
    torch.testing.assert_close(sharp.generator()(lr), sharpen(plain.generator()(lr), 0.5))


def test_alpha_keeps_a_share_of_the_second_phase_and_the_rest_of_the_first(run, tmp_path):
    mixed = train(replace(RECIPES["srgan"], alpha=0.75), TINY, runs=tmp_path)
    pairs = zip(weights(run, "psnr").items(), weights(run, "gan").values(), strict=True)
    expected = {name: (first + 3 * second) / 4 for (name, first), second in pairs if first.is_floating_point()}
    kept = weights(mixed, "gan")
    assert expected.keys() <= kept.keys()
    for name, value in expected.items():
        torch.testing.assert_close(kept[name], value, rtol=1e-5, atol=1e-7)
    assert mixed.weights("psnr").read_bytes() == run.weights("psnr").read_bytes()
    assert history(mixed).equals(history(run)), "training itself is the same"


@pytest.mark.parametrize(
    ("name", "alpha"), [("srgan", 0.0), ("srgan", 1.5), ("srgan", float("nan")), ("srresnet", 0.5)]
)
def test_an_alpha_that_mixes_nothing_is_refused(name, alpha):
    with pytest.raises(SrkitError, match=f"{name}: alpha {alpha} .* give a share above 0"):
        replace(RECIPES[name], alpha=alpha)


def test_another_scale_has_its_own_folder_and_network(tmp_path):
    run = train("srresnet", replace(TINY, psnr_steps=2), scale=3, runs=tmp_path)
    assert run.folder.name == "srresnet-smoke-s0-x3"
    assert run.generator()(torch.rand(1, 3, 5, 6)).shape == (1, 3, 15, 18)


def learner(recipe="srgan", **changes):
    return Learner(fit(replace(RECIPES[recipe], **changes), TINY))


def batch(size, scale=4, crop=32):
    return Patches(decode(find_photographs().train[:1]), scale, crop).batch(0, size)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_small_step_on_one_batch_lowers_every_phases_loss(recipe):
    for number in range(len(RECIPES[recipe].phases)):
        going = learner(recipe)
        phase = going.recipe.phases[number]
        going.begin(phase)
        if phase.adversarial:
            going.d_optimizer.step = lambda: None  # a judge that learned meanwhile would move the goal
        lr, hr = batch(4, going.recipe.scale)
        weights = {loss.term: weight for loss, weight in phase.losses.items()}
        totals = []
        for _ in range(2):
            torch.manual_seed(0)  # a loss that shifts shifts alike
            terms = going.step(phase, lr, hr, 1e-5, 4)
            totals.append(sum(weights[term] * float(value) for term, value in terms.items() if term in weights))
        assert totals[1] < totals[0]


@pytest.mark.parametrize("recipe", [name for name, recipe in RECIPES.items() if recipe.discriminator])
def test_the_generators_step_leaves_the_discriminator_without_gradients_and_its_own_step_moves_it(recipe):
    going = learner(recipe)
    phase = replace(going.recipe.phases[1], betas=(0.9, 0.999))
    going.begin(phase)
    before = [p.clone() for p in going.discriminator.parameters()]
    gathered = []
    going.g_optimizer.step = lambda: gathered.extend(p.grad for p in going.discriminator.parameters())
    going.step(phase, *batch(2, going.recipe.scale), 1e-3, number=4)
    assert gathered == [None] * len(before)
    assert any(not torch.equal(a, b) for a, b in zip(before, going.discriminator.parameters(), strict=True))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_weighted_term_alone_has_a_finite_gradient_for_the_generator(recipe):
    for phase in learner(recipe).recipe.phases:
        for loss, weight in phase.losses.items():
            going = learner(recipe)
            with torch.no_grad():  # away from bicubic, where a network with the skip starts and a gradient may vanish
                going.generator.tail[0].weight.add_(0.01) if hasattr(going.generator, "tail") else None
            alone = replace(phase, losses={loss: weight})
            going.begin(alone)
            going.g_optimizer.step = lambda: None
            going.step(alone, *batch(2, going.recipe.scale), 1e-3, number=4)
            slope = [p.grad for p in going.generator.parameters() if p.grad is not None]
            assert all(torch.isfinite(g).all() for g in slope), loss
            assert sum(float(g.abs().sum()) for g in slope) > 0, loss


@pytest.mark.parametrize("recipe", ["srresnet", "srgan"])
def test_the_fast_step_and_the_plain_one_agree_in_loss_and_gradients(recipe):
    from benchmarks.plain import PlainSRGAN, PlainSRResNet

    going = learner(recipe)
    phase = replace(going.recipe.phases[-1], clip=None)
    going.begin(phase)
    plain = (
        PlainSRGAN(going.generator, going.discriminator, "random", phase.lr)
        if recipe == "srgan"
        else PlainSRResNet(going.generator, phase.lr)
    )
    lr, hr = batch(4)
    for number in range(2):
        theirs, ours = plain.step(lr, hr), going.step(phase, lr, hr, phase.lr, number)
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6)
        for network in ("generator", "discriminator") if recipe == "srgan" else ("generator",):
            a, b = getattr(going, network), getattr(plain, network)
            for (name, p), q in zip(a.named_parameters(), b.parameters(), strict=True):
                size = float(q.grad.abs().max())
                torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-3 * size + 1e-7, msg=f"{network} {name}")


def without_norm(recipe="srgan"):
    """No batch norm, whose statistics see the whole batch at once."""
    whole = RECIPES[recipe]
    parts = {
        name: partial(part.func, **part.keywords | {"norm": None})
        for name in ("generator", "discriminator")
        if (part := getattr(whole, name))
    }
    return replace(whole, **parts)


def test_a_run_says_its_precision_and_an_unknown_one_is_refused(tmp_path):
    assert train("srresnet", TINY, runs=tmp_path, precision="bf16").config["precision"] == "bf16"
    with pytest.raises(SrkitError, match="precision 'int4' is not known: choose one of fp32, bf16, fp16"):
        train("srresnet", TINY, runs=tmp_path, precision="int4", force=True)
    assert Run(tmp_path / "srresnet-smoke-s0").done, "the run that was there is gone"


def test_numbers_of_numpy_are_numbers(tmp_path):
    run = train("srgan", TINY, np.arange(2)[1], runs=tmp_path, batch=np.int64(3), max_minutes=np.float32(1e-5))
    assert (run.folder.name, run.config["seed"], run.config["recipe"]["batch"]) == ("srgan-smoke-s1", 1, 3)


def test_tilde_is_the_users_folder_for_runs_and_scores(tmp_path, monkeypatch):
    """As --runs=~/runs gives it, which no shell replaces, and as Python does."""
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run = train("srgan", TINY, runs="~/runs", cache="~/cache")
    assert run.done
    assert run.folder == tmp_path / "me" / "runs" / "srgan-smoke-s0"
    assert [found.folder for found in find_runs("~/runs")] == [run.folder]
    assert Run("~/runs/srgan-smoke-s0").phases == ["psnr", "gan"]
    photograph = find_photographs().valid[0]
    evaluate({"it": "~/runs/srgan-smoke-s0"}, [photograph], 4, csv="~/s.csv", save="~/sr", lpips=False)
    assert main(["train", "srgan", "--runs=~/more", "--max-minutes", "0.0001"]) == 0
    assert {path.name for path in (tmp_path / "me").iterdir()} >= {"runs", "s.csv", "sr", "more"}
    assert not any((tmp_path / "here").iterdir())
