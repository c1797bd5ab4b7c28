import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from srkit import distributed
from srkit.files import SrkitError
from srkit.runs import Run
from srkit.training import train

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}  # which process aborts says where
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from test_distributed import trained
torch.set_num_threads(1)
trained(sys.argv[2])
"""

OWN = """
from dataclasses import replace
from torch import nn
from srkit.recipes import SRRESNET_LIGHT, Phase

class Compact(nn.Module):
    scale = 4

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 48, 5, padding=2), nn.PixelShuffle(4))

    def forward(self, lr):
        return self.body(lr)

def mae(sr, hr):
    return (sr - hr).abs().mean()

MINE = replace(SRRESNET_LIGHT, name="mine", generator=Compact, phases=(Phase("psnr", steps=10, losses={mae: 1.0}),))
"""


def trained(folder):
    """Both phases of an SRGAN without batch norm, and some steps of a critic with its gradient penalty."""
    from test_training import TINY, without_norm

    one = train(without_norm(), TINY, runs=folder, device="cpu", resume=True)
    train("wgan_gp", TINY, runs=folder, device="cpu", resume=True)
    return one


def runs_through(command, **how):
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, **how)
    said = [line for line in done.stderr.splitlines() if not line.startswith("Extension modules:")]
    assert done.returncode == 0, "\n".join(said)[-6000:]


def test_two_processes_with_half_the_batch_each_train_as_one(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [str(tmp_path / "script.py"), str(HERE), str(tmp_path / "two")]
    runs_through(command)
    torch.set_num_threads(1)
    one = trained(tmp_path / "one").history()
    two = Run(tmp_path / "two" / "srgan-smoke-s0").history()
    terms = ["pixel", "perceptual", "adversarial", "discriminator", "d_sr", "grad_norm", "psnr_y"]
    assert list(two["step"]) == list(one["step"]), "one process alone writes"
    for name in terms:
        assert two[name].to_numpy() == pytest.approx(one[name].to_numpy(), rel=2e-3, abs=1e-5, nan_ok=True), name
    critic = Run(tmp_path / "two" / "wgan_gp-smoke-s0").history()
    assert critic["step"].iloc[-1] == 12
    assert critic["discriminator"].notna().sum() == 4


def test_two_processes_train_a_recipe_of_ones_own_file(tmp_path):
    (tmp_path / "my_recipes.py").write_text(OWN)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "srkit"]
    command += ["train", "my_recipes.py:MINE", "--profile", "smoke", "--device", "cpu", "--crop", "32", "--batch", "2"]
    command += ["--runs", str(tmp_path / "runs")]
    runs_through(command, cwd=tmp_path)
    run = Run(tmp_path / "runs" / "mine-smoke-s0")
    assert run.done
    assert run.config["parts"]["Compact"] == OWN
    assert list(run.history()["step"]) == [5, 10], "one process alone writes"


WORKER = """
import atexit
from pathlib import Path
import torch
import torch.distributed as dist
from srkit import distributed
from srkit.files import SrkitError

def at_the_end():
    threads = [each.read_text() for each in Path("/proc/self/task").glob("*/comm")]  # on Linux; elsewhere none are seen
    print("still there" if dist.is_initialized() or "gloo" in "".join(threads) else "left")

atexit.register(at_the_end)
assert distributed.begin(4) == "cpu"
torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # imports much of torch, as training does
rank = distributed.rank()
print(distributed.world(), distributed.any_of(False), distributed.any_of(rank == 1))
print(distributed.require_same_step(7))
network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
torch.nn.init.constant_(network[0].weight, rank + 5)  # as by numpy's random numbers, which no seed of torch's decides
network[1].num_batches_tracked += rank
print(distributed.alike(network)[0].weight.unique().tolist(), int(network[1].num_batches_tracked))
try:
    distributed.require_same_step(400 * rank)
except SrkitError as error:
    print(error)
"""


def test_two_processes_agree_on_weights_and_a_stop_refuse_different_steps_and_leave_the_group():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    count = dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), "2")
    both = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env=os.environ | meeting | count | {"RANK": rank, "LOCAL_RANK": rank, "CUDA_VISIBLE_DEVICES": ""},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    refused = "the processes begin at steps 0, 400: name a folder by --runs that all of them share."
    for process in both:
        said, _ = process.communicate(timeout=600)
        assert said.splitlines() == ["2 False True", "None", "[5.0] 0", refused, "left"]


def test_outside_torchrun_there_is_one_process_and_nothing_to_share(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert distributed.begin(3, "cpu") == "cpu"
    assert (distributed.world(), distributed.rank()) == (1, 0)
    assert distributed.any_of(True) is True


def test_what_cannot_be_shared_is_refused_in_a_sentence(monkeypatch):
    for name, value in {"WORLD_SIZE": "3", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SrkitError, match="batch of 16 is not divisible by 3 processes: use --batch 18"):
        distributed.begin(16)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SrkitError, match="3 processes share 2 GPUs: use --nproc_per_node=2"):
        distributed.begin(18)
