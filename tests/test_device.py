"""CUDA, then MPS, then the CPU, and what each can: described to a CPU, since the machine of a test has what it has."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from srkit import device
from srkit.device import Device, find_device
from srkit.files import SrkitError
from srkit.recipes import RECIPES
from srkit.steps import Learner
from srkit.stopping import explained


@pytest.fixture
def machine(monkeypatch):
    """Describes a machine's GPUs: a capability for CUDA's, "broken" for one that computes nothing, True for an MPS."""

    def describe(cuda=None, mps=False):
        def zeros(*size, device):
            if torch.device(device).type == "cuda" and cuda in (None, "broken"):
                raise RuntimeError("CUDA error: no kernel image is available\nand more lines")
            if torch.device(device).type == "mps" and not mps:
                raise RuntimeError("PyTorch is not linked with support for mps devices")
            return torch.ones(*size)

        monkeypatch.setattr(device.torch, "zeros", zeros)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda is not None)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: "NVIDIA Described")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return describe


def test_the_best_device_is_cuda_then_mps_then_the_cpu(machine):
    machine(cuda=(9, 0), mps=True)
    assert find_device() == Device("cuda", "NVIDIA Described", precision="bf16", queued=True)
    assert find_device("cpu").kind == "cpu"
    machine(mps=True)
    assert (find_device().name, find_device().precision, find_device().queued) == ("mps", "fp32", False)
    machine()
    assert find_device().name == "cpu"


def test_a_t4_trains_in_fp16_and_a_second_gpu_has_its_number(machine):
    machine(cuda=(7, 5))
    found = find_device("cuda:1")
    assert (found.name, found.kind, found.precision, found.inference) == ("cuda:1", "cuda", "fp16", "fp32")


def test_a_gpu_that_is_there_and_computes_nothing_is_left_out_with_a_warning_and_refused_by_name(machine):
    machine(cuda="broken")
    with pytest.warns(UserWarning, match=r"cuda is there and does not work, .* \(CUDA error: no kernel image.*\)\.$"):
        assert find_device().name == "cpu"
    for name in ("cuda", "mps", "abacus"):
        with pytest.raises(SrkitError, match=f"device '{name}' is not to be had here: choose cpu"):
            find_device(name)


def test_meta_which_holds_no_numbers_is_refused():
    with pytest.raises(SrkitError, match="device 'meta' is not to be had here"):
        find_device("meta")


def test_mps_keeps_its_own_random_numbers_and_says_how_much_memory_it_has(monkeypatch):
    kept = SimpleNamespace(state=torch.arange(3), emptied=0)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: kept.state.clone())
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state: setattr(kept, "state", state))
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: setattr(kept, "emptied", kept.emptied + 1))
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 7000)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 2000)
    mac = Device("mps", "described")
    before = mac.random_state()
    kept.state += 1
    mac.set_random_state(before)
    assert kept.state.tolist() == [0, 1, 2]
    mac.give_back()
    assert (mac.free_memory(), kept.emptied) == (5000, 1)


def test_free_memory_counts_what_torch_keeps_and_does_not_use(monkeypatch):
    """torch's notes on memory management: cached memory still shows as used outside."""
    for name, value in {"mem_get_info": (1000, 9000), "memory_reserved": 700, "memory_allocated": 200}.items():
        monkeypatch.setattr(torch.cuda, name, {"cuda:1": value}.__getitem__)
    assert Device("cuda:1", "described").free_memory() == 1500


def test_a_full_memory_is_told_of_the_gpu_that_is_used(monkeypatch):
    for name, value in {"mem_get_info": (0, 8e9), "max_memory_allocated": 7.5e9}.items():
        monkeypatch.setattr(torch.cuda, name, {"cuda:1": value}.__getitem__)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert "7.5 of the GPU's 8.0 GB" in Device("cuda:1", "described").used_memory()
    assert "GPU" not in find_device("cpu").used_memory()


@pytest.mark.parametrize(
    ("error", "full"),
    {
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."): True,
        RuntimeError("CUDA error: out of memory"): True,  # of pinned memory, a kernel, a graph: no OutOfMemoryError
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"): True,
        RuntimeError("MPS backend out of memory (MPS allocated: 18.00 GB)"): True,
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to"): True,
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."): True,
        MemoryError(): True,
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"): False,
    }.items(),
)
def test_a_full_memory_has_many_words(error, full, tmp_path):
    assert device.memory_is_full(error) is full
    kind, words = (SrkitError, "--accumulate 2") if full else (RuntimeError, "mat1")
    with pytest.raises(kind, match=words), explained(tmp_path, RECIPES["srgan"], find_device("cpu")):
        raise error


def test_the_cpu_has_no_random_numbers_but_torchs():
    cpu = find_device("cpu")
    assert cpu.random_state() is None
    cpu.set_random_state(torch.get_rng_state())  # of a run that a GPU began: nothing to do
    cpu.give_back()
    assert 0 < cpu.free_memory() < 1 << 50


def test_training_takes_the_precision_of_the_device_unless_another_is_named(monkeypatch):
    monkeypatch.setattr("srkit.steps.find_device", lambda name: Device(name, "described", precision="bf16"))
    recipe = RECIPES["srresnet_light"]
    assert Learner(recipe).precision == "bf16"
    assert Learner(recipe, precision="fp32").precision == "fp32"


def test_a_cpu_that_is_quick_at_bf16_says_so(monkeypatch):
    for flags, quick in {"avx512f avx512_bf16": "bf16", "amx_tile amx_bf16": "bf16", "avx2 avx512f": "fp32"}.items():
        device.quick_bf16.cache_clear()
        monkeypatch.setattr(device.Path, "read_text", lambda self, flags=flags: f"flags : {flags}\n")
        assert find_device("cpu").inference == quick
    device.quick_bf16.cache_clear()


@pytest.mark.parametrize(("words", "value"), [({}, "1"), ({"PYTORCH_ENABLE_MPS_FALLBACK": "0"}, "0")])
def test_what_mps_lacks_falls_back_unless_the_user_has_said_otherwise(words, value):
    code = "import os, srkit; print(os.environ['PYTORCH_ENABLE_MPS_FALLBACK'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)} | words, capture_output=True, text=True
    )
    assert done.stdout.strip() == value
