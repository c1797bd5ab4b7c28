"""What the doctor says of GPUs, on a machine that plays having them."""

import pytest
import torch

from srkit.course import doctor


@pytest.fixture
def gpus(monkeypatch):
    """Plays GPUs of one capability under a torch that is made for sm_70 and newer; they compute on the CPU, or fail."""

    def play(count: int, capability: tuple[int, int], error: str | None = None) -> list:
        rand, conv = torch.rand, torch.nn.Conv2d

        def made(*shape, device, **more):
            if device != "cpu" and error:
                raise RuntimeError(error)
            return rand(*shape, **more)

        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device[-1]}")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_70", "sm_75", "sm_80", "sm_90a", "compute_90"])
        monkeypatch.setattr(torch, "rand", made)
        monkeypatch.setattr(torch.nn, "Conv2d", lambda *sizes, device: conv(*sizes))
        return list(doctor._devices())

    return play


NO_KERNEL = "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be ..."


def test_a_p100_under_a_torch_too_new_for_it_is_explained(gpus):
    _, (state, _, found, do), *_ = gpus(1, (6, 0), NO_KERNEL)
    assert state == "FAIL"
    assert found == "cuda:0 (GPU 0): CUDA error: no kernel image is available for execution on the device"
    assert "made for sm_70 and newer, and this GPU is an sm_60" in do
    assert '"GPU T4 x2" in place of a P100' in do


def test_a_gpu_that_fails_for_another_reason_is_not_called_old(gpus):
    _, (state, _, _, do), *_ = gpus(1, (8, 6), "CUDA error: an illegal memory access was encountered")
    assert state == "FAIL"
    assert "fresh session" in do
    assert "P100" not in do


def test_a_package_that_an_installation_without_dependencies_left_out_is_named(monkeypatch):
    assert doctor.missing_packages() == []
    needed = [
        "torch>=2.4",
        "scikit_image>=0.24",
        "no-such-thing>=1",
        'voila>=0.5; extra == "app"',
        'nothing; extra == "x"',
    ]
    monkeypatch.setattr(doctor, "requires", lambda name: needed)
    assert doctor.missing_packages() == ["no-such-thing"]
    row = next(row for row in doctor._checks() if row[1] == "packages")
    assert row == ("FAIL", "packages", "1 missing: no-such-thing", "run: pip install no-such-thing")


def test_gpus_that_compute_are_counted(gpus):
    rows = gpus(2, (7, 5))
    assert [row[0] for row in rows] == ["OK"] * 4
    assert [row[2].partition(":")[0] for row in rows[:3]] == ["cpu", "cuda", "cuda"]
    assert rows[3][2].startswith("2 by CUDA ")
    assert "torchrun" in rows[3][2]


def test_without_a_gpu_none_is_asked_for(gpus):
    assert "none is needed" in gpus(0, (0, 0))[-1][2]
