"""Batches cut on the device."""

from pathlib import Path

import numpy as np
import pytest
import torch

from srkit.dataset import Patches
from srkit.device import Device
from srkit.resident import ResidentPatches, fits


@pytest.fixture(scope="module")
def patches():
    random = np.random.default_rng(0)
    sizes = [(96, 96), (101, 187), (260, 99)]
    images = {Path(f"{n}.png"): random.integers(0, 256, (*size, 3), np.uint8) for n, size in enumerate(sizes)}
    return Patches(images, 4, 48, seed=3)


@pytest.mark.parametrize("part", [(0, 1), (1, 4)])
def test_they_are_those_of_the_main_memory_to_the_last_bit(patches, part):
    resident, turns = ResidentPatches(patches, "cpu"), set()
    for step in range(8):
        turns |= set(patches.drawn(step, 16, part)[2].tolist())
        for ours, usual in zip(resident.batch(step, 16, part), patches.batch(step, 16, part), strict=True):
            assert torch.equal(ours, usual)
            assert ours.stride() == usual.stride()
    assert turns == set(range(8))


def test_pictures_stay_in_main_memory_where_there_is_no_gpu_or_too_small_a_one(patches, monkeypatch):
    assert not fits(patches, torch.device("cpu"))
    needed = sum(image.nbytes for image in (*patches.hr, *patches.lr))
    for free, expected in ((2 * needed, False), (4 * needed, True)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        monkeypatch.setattr("srkit.resident.find_device", lambda device: Device(str(device), "described"))
        assert fits(patches, torch.device("cuda")) is expected
