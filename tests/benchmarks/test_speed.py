"""How much faster than the usual way: `make bench`. Ours and theirs take turns: a busy machine is fair to both."""

import json
import os
import platform
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.plain import PlainSRGAN, PlainSRResNet, loader
from PIL import Image
from skimage import data

from srkit.data.sources import find_photographs
from srkit.dataset import Patches, decode_all
from srkit.generator import multiply_adds
from srkit.recipes import RECIPES
from srkit.steps import Learner

pytestmark = pytest.mark.slow
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
MACHINE = f"{platform.processor() or platform.machine()}, {CORES} cores, {torch.get_num_threads()} threads"
SECONDS = float(os.environ.get("SRKIT_BENCH_SECONDS", 8))  # for each side of each comparison
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
GPU = torch.cuda.get_device_name() if DEVICE == "cuda" else ""
MACHINE += f", {GPU}" * bool(GPU) + f", torch {torch.__version__}"
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L4": 121e12, "T4": 65e12}  # dense 16-bit FLOP/s, datasheets


class Table(list):
    """Each row is printed and written as soon as it is measured: a machine may be lent for minutes."""

    def append(self, row):
        super().append(row)
        name, ours, theirs, unit, ratio = row
        print(f"\n{name:44} ours {ours:.4g}, theirs {theirs:.4g}, ratio {ratio:.2f}   {unit}; {MACHINE}")
        if os.environ.get("SRKIT_BENCH_JSON"):
            Path(os.environ["SRKIT_BENCH_JSON"]).write_text(json.dumps({"machine": MACHINE, "rows": self}, indent=1))


@pytest.fixture(scope="module")
def table():
    return Table()


def take_turns(ours, theirs, seconds=SECONDS):
    """Median seconds of one call of each, taken in turn after one that is not counted."""
    ours(), theirs()
    spent, until = ([], []), time.perf_counter() + 2 * seconds
    while len(spent[0]) < 3 or time.perf_counter() < until:
        for work, times in zip((ours, theirs), spent, strict=True):
            began = time.perf_counter()
            work()
            if DEVICE == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
    return [float(np.median(times)) for times in spent]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Folders of 8 and of 800 photographs of about a megapixel: one, tiled and shifted."""
    base = np.tile(data.astronaut(), (2, 3, 1))
    folders = {}
    for count in (8, 800):
        folders[count] = tmp_path_factory.mktemp(f"photographs{count}")
        for number in range(count):
            picture = np.roll(base, 7 * number, axis=1)[: 900 + number % 9, : 1200 + number % 7]
            picture = picture + np.uint8(number % 3)
            if count == 8:
                Image.fromarray(picture).save(folders[count] / f"{number}.png", compress_level=1)
            else:  # only decoded ones are needed: PNGs of so many would take minutes to write
                Image.fromarray(picture).save(folders[count] / f"{number}.jpg", quality=85)
    return folders


def measured(patches, size=64, seconds=SECONDS):
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        patches.batch(steps, size)
        steps += 1
    return steps * size / (time.perf_counter() - began)


def test_crops(table, photographs, tmp_path):
    found = find_photographs(photographs[8])
    ours = Patches(decode_all(found, tmp_path)[0], 4, 96)
    rates = ([], [])
    for _ in range(3):
        theirs = iter(loader(found.train, 4, 96, 16, 10**6, workers=CORES))
        for _ in range(4 * CORES):  # what its workers read ahead is not counted
            next(theirs)
        began, batches = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS / 3:
            next(theirs)
            batches += 1
        rates[1].append(16 * batches / (time.perf_counter() - began))
        del theirs  # its workers stop
        rates[0].append(measured(ours, 16, SECONDS / 3))
    rates = [float(np.median(each)) for each in rates]
    table.append((f"HR 96, LR 24 crops, DataLoader of {CORES} workers", *rates, "pairs/s", rates[0] / rates[1]))
    assert rates[0] > rates[1]


def test_crops_of_800_photographs_are_as_quick_as_of_8(table, photographs, tmp_path):
    rates = {}
    for count, folder in photographs.items():
        images, kept = decode_all(find_photographs(folder), tmp_path)
        patches = Patches(images, 4, 96, cache=kept)
        measured(patches, seconds=2)
        rates[count] = measured(patches)
    table.append(("the same of 800 photographs, against 8", rates[800], rates[8], "pairs/s", rates[800] / rates[8]))


def crops(count=16):
    patches = Patches({Path("astronaut"): data.astronaut()}, 4, 96)
    return patches.batch(0, count)


@pytest.mark.parametrize(
    ("recipe", "compiled"), [("srresnet", False), ("srresnet", True), ("srgan", False), ("esrgan", False)]
)
def test_step(table, recipe, compiled):
    """Of the whole step: on a GPU ours in 16 bits, theirs in 32."""
    going = Learner(RECIPES[recipe], DEVICE, compiled=compiled)
    phase = RECIPES[recipe].phases[0 if recipe == "esrgan" else -1]  # of ESRGAN the first: RRDB's own
    losses = {
        replace(loss, weights="random") if hasattr(loss, "weights") else loss: weight
        for loss, weight in phase.losses.items()
    }
    phase = replace(phase, losses=losses)
    going.begin(phase)
    plain = (
        PlainSRGAN(going.generator, going.discriminator, "random")
        if phase.adversarial
        else PlainSRResNet(going.generator)
    )
    lr, hr = (x.to(DEVICE) for x in crops())
    times = take_turns(lambda: going.step(phase, lr, hr, 1e-4), lambda: plain.step(lr, hr))
    kind = str(going.half or torch.float32).removeprefix("torch.")
    name = f"{recipe} step, batch 16, HR 96, {kind}{', compiled' * compiled}"
    table.append((name, *times, "s/step", times[1] / times[0]))
    peak = next((peak for gpu, peak in PEAKS.items() if gpu in GPU), None)
    if peak and recipe in ("srresnet", "esrgan"):  # a backward pass costs two forward ones
        speed = 3 * 2 * multiply_adds(going.generator, *lr.shape[-2:]) * len(lr) / times[0]
        table.append((f"{name}: share of 16-bit peak", speed / 1e12, peak / 1e12, "TFLOP/s", speed / peak))
    assert times[0] < times[1]


def test_a_network_does_not_wait_for_the_photographs_degradation(table):
    recipe = RECIPES["real_light"]
    patches = Patches({Path("astronaut"): data.astronaut()}, recipe.scale, recipe.crop, recipe.degradation)
    batch = patches.batch(0, recipe.batch)
    going, phase = Learner(recipe, DEVICE), recipe.phases[0]
    steps = iter(range(1, 10**6))
    times = take_turns(lambda: patches.batch(next(steps), recipe.batch), lambda: going.step(phase, *batch, 1e-4))
    made, used = (recipe.batch / seconds for seconds in times)
    table.append(("HighOrder, HR 128, against a step of real_light", made, used, "pairs/s", made / used))
    assert DEVICE == "cuda" or made > used
