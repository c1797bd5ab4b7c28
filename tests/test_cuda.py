"""A GPU beside a CPU: 16 bits, graphs, resident pictures, compiler, random state. Skipped without a GPU."""

import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_training import TINY, assert_same_run, stop_at

from srkit import resident as on_device
from srkit.evaluation import super_resolve
from srkit.files import SrkitError
from srkit.losses import LPIPS, Wasserstein
from srkit.profiles import fit
from srkit.recipes import RECIPES, Phase
from srkit.runs import Run
from srkit.steps import Learner
from srkit.training import Interrupted, train
from srkit.upscaling import upscale

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
TWO = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA GPUs")

# A step that is logged is no graph: between these are enough that are, in both phases.
GRAPHED = replace(TINY, psnr_steps=12, gan_steps=12, log_every=4)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_trains_as_on_the_cpu(name, precision, tmp_path):
    there = train(name, TINY, runs=tmp_path / "gpu", device="cuda", precision=precision).history()
    here = train(name, TINY, runs=tmp_path / "cpu", device="cpu").history()
    assert there["step"].tolist() == here["step"].tolist()
    assert there["grad_norm"].fillna(0).gt(0).sum() >= here["grad_norm"].fillna(0).gt(0).sum() - 3, "steps were skipped"
    allowed = {"fp32": 0.02, "bf16": 0.2, "fp16": 0.2}[precision]
    assert there["pixel"].iloc[0] == pytest.approx(here["pixel"].iloc[0], rel=allowed)
    shares = there.filter(like="share_").dropna(axis="columns", how="all")
    assert shares.sum(axis=1)[shares.notna().any(axis=1)].to_numpy() == pytest.approx(1, abs=1e-3)


def test_pictures_on_the_gpu_give_the_batches_of_main_memory(tmp_path, monkeypatch):
    resident = train("srresnet", GRAPHED, runs=tmp_path / "resident", device="cuda", precision="fp32")
    monkeypatch.setattr(on_device, "SHARE", 0.0)
    pinned = train("srresnet", GRAPHED, runs=tmp_path / "pinned", device="cuda", precision="fp32")
    np.testing.assert_allclose(resident.history()["pixel"], pinned.history()["pixel"], rtol=1e-2)


@pytest.mark.parametrize("name", ["srgan", "wgan_gp"])
def test_a_stopped_run_goes_on_to_the_same_history(name, tmp_path):
    whole = train(name, GRAPHED, runs=tmp_path / "whole", device="cuda", precision="bf16")
    stopped = {"runs": tmp_path / "stopped", "device": "cuda", "precision": "bf16"}
    with pytest.raises(Interrupted):
        train(name, GRAPHED, **stopped, on_log=stop_at(16))
    again = train(name, GRAPHED, **stopped, resume=True)
    for column in ["pixel", "perceptual"]:  # a GPU adds in no fixed order, and a young critic's scores go far apart
        ours, theirs = (run.history()[column].to_numpy() for run in (again, whole))
        np.testing.assert_allclose(ours, theirs, rtol=0.05, atol=1e-4, err_msg=column)


@pytest.mark.parametrize("first", ["cpu", "cuda"])
def test_a_run_goes_on_on_the_other_device(first, tmp_path):
    """Its optimisers, which a graph wants otherwise, and its random numbers too."""
    second = {"cpu": "cuda", "cuda": "cpu"}[first]
    whole = train("srgan", GRAPHED, runs=tmp_path / "whole", device="cpu", precision="fp32").history()
    stopped = {"runs": tmp_path / "stopped", "precision": "fp32"}
    with pytest.raises(Interrupted):
        train("srgan", GRAPHED, **stopped, device=first, on_log=stop_at(4))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "this step does not become a CUDA graph")
        again = train("srgan", GRAPHED, **stopped, device=second, resume=True).history()
    np.testing.assert_allclose(again["pixel"].dropna(), whole["pixel"].dropna(), rtol=0.05)


def test_a_loss_that_waits_for_the_gpu_trains_on_without_a_graph(tmp_path):
    """As one's own may, by `if` on a tensor; what a failed capture leaves behind does not disturb what comes after."""

    def waits(sr, hr):
        noise = torch.rand_like(sr) * 1e-6
        return (sr - hr + noise).abs().mean() * (1 if float(hr.mean()) > 0 else 2)

    phases = Phase("psnr", steps=12, losses={waits: 1.0}), Phase("second", steps=12, losses={waits: 1.0})
    mine = replace(RECIPES["srresnet"], name="mine", phases=phases)
    here = train(mine, GRAPHED, runs=tmp_path / "cpu", device="cpu").history()
    with pytest.warns(UserWarning, match="does not become a CUDA graph"):
        there = train(mine, GRAPHED, runs=tmp_path / "gpu", device="cuda", precision="fp32").history()
    np.testing.assert_allclose(there["pixel"], here["pixel"], rtol=0.05)
    train("wgan_gp", GRAPHED, runs=tmp_path, device="cuda", precision="fp32")


def test_the_compiler_trains_the_same(tmp_path):
    plain = train("srresnet", GRAPHED, runs=tmp_path / "plain", device="cuda", precision="fp32").history()
    compiled = replace(GRAPHED, compile=True)
    other = train("srresnet", compiled, runs=tmp_path / "compiled", device="cuda", precision="fp32").history()
    np.testing.assert_allclose(other["pixel"], plain["pixel"], rtol=0.02)


def test_two_runs_on_the_gpu_are_the_same_run(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    one, two = (train("srresnet", TINY, runs=tmp_path / n, device="cuda", precision="fp32") for n in ("one", "two"))
    assert_same_run(one, two)


def test_a_full_gpu_is_one_sentence_with_the_way_on(tmp_path):
    held = torch.empty(int(torch.cuda.mem_get_info(0)[0] * 0.98), dtype=torch.uint8, device="cuda")
    big = replace(TINY, crop=256, batch=4096, channels=64, blocks=16, width=64, psnr_steps=2)
    with pytest.raises(SrkitError, match="memory is full .*GPU.*--accumulate 2"):
        train("srresnet", big, runs=tmp_path, device="cuda", batch=4096, crop=256)
    del held
    torch.cuda.empty_cache()


def test_pieces_of_a_batch_train_as_the_whole(tmp_path):
    whole = train("srresnet_light", GRAPHED, runs=tmp_path / "whole", device="cuda", precision="fp32").history()
    pieces = train("srresnet_light", GRAPHED, runs=tmp_path / "pieces", device="cuda", precision="fp32", accumulate=2)
    np.testing.assert_allclose(pieces.history()["pixel"], whole["pixel"], rtol=1e-2)


def test_a_picture_is_enlarged_as_on_the_cpu():
    torch.manual_seed(0)
    network = RECIPES["srresnet_light"].generator().eval()
    lr = np.random.default_rng(0).integers(0, 255, (61, 47, 3), np.uint8)
    here = super_resolve(network, lr)
    assert np.abs(super_resolve(network.cuda(), lr).astype(int) - here).max() <= 1
    assert np.abs(upscale(lr, network.cpu(), device="cuda").astype(int) - here).max() <= 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_step_as_one_graph_trains_as_the_plain_one(name, precision):
    recipe = fit(RECIPES[name], TINY)
    phase = recipe.phases[-1]
    chance = any(isinstance(loss, LPIPS | Wasserstein) for loss in phase.losses)  # draws of its own

    def trained(graphed):
        learner = Learner(recipe, "cuda", precision=precision)
        learner.graphed = graphed
        learner.begin(phase)
        for step in range(24):  # a critic's fifth step is captured at the fourth time
            torch.manual_seed(step)
            hr = torch.rand(2, 3, recipe.crop, recipe.crop)
            lr = torch.nn.functional.avg_pool2d(hr, recipe.scale)
            learner.step(phase, lr, hr, 1e-3 / (1 + step), step)
        learner.check()
        assert all(captured.graph is not None for captured in learner.graphs.values())
        return learner

    plain, graph = trained(False), trained(True)
    assert graph.graphs
    assert int(graph.averaged) == int(plain.averaged)
    allowed = 0.3 if chance or precision == "bf16" else 0.1  # of how far the weights moved: Adam makes much of little
    start = Learner(recipe, "cuda", precision=precision).generator
    moved = torch.cat([(a - b).flatten() for a, b in zip(plain.ema.parameters(), start.parameters(), strict=True)])
    apart = torch.cat([(a - b).flatten() for a, b in zip(plain.ema.parameters(), graph.ema.parameters(), strict=True)])
    assert moved.norm() > 0
    assert apart.norm() < allowed * moved.norm()


@TWO
@pytest.mark.parametrize("name", ["srresnet", "wgan_gp"])
def test_the_second_gpu_trains_as_the_first(name, tmp_path):
    """Though the first is the current one: its stream would record nothing, and the weights would stay as they were."""
    one, two = (
        train(name, GRAPHED, runs=tmp_path / device[-1], device=device, precision="fp32").history()
        for device in ("cuda:0", "cuda:1")
    )
    np.testing.assert_allclose(two["pixel"].dropna(), one["pixel"].dropna(), rtol=0.05)


@TWO
@pytest.mark.parametrize("recipe", ["srresnet_light", "srresnet"])
def test_two_gpus_with_half_the_batch_each_train_as_one(recipe, tmp_path):
    """SRResNet's batch norm takes the whole batch's statistics."""
    one = [sys.executable, "-m", "srkit"]
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "srkit"]
    for name, command in (("one", one), ("two", two)):
        words = ["train", recipe, "--precision", "fp32", "--device", "cuda", "--runs", str(tmp_path / name)]
        done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
    here, there = (Run(tmp_path / name / f"{recipe}-smoke-s0").history() for name in ("one", "two"))
    assert list(there["step"]) == list(here["step"]), "one process alone writes"
    np.testing.assert_allclose(there["pixel"], here["pixel"], rtol=0.02)
