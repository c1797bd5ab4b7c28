"""What tiles cost and save: 512 x 512 to 2048 x 2048 with the paper's SRResNet, each way in a process of its own."""

import json
import subprocess
import sys

import numpy as np
import pytest
from benchmarks.test_speed import table  # noqa: F401

pytestmark = pytest.mark.slow

ONE_WAY = """
import json, resource, sys, time
import numpy as np, psutil, torch
from srkit.generator import SRResNet
from srkit.images import to_image, to_tensor
from srkit.upscaling import upscale

torch.manual_seed(0)
network = SRResNet().eval()
picture = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)

def plain(pixels):
    with torch.no_grad():
        return to_image(network(to_tensor(pixels)))

work = plain if sys.argv[1] == "whole" else lambda pixels: upscale(pixels, network)
work(picture[:16, :16])
before = psutil.Process().memory_info().rss
began = time.perf_counter()
sr = work(picture)
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([seconds, (peak - before) / 1e6, int(sr.astype(int).sum())]))
"""


def measured(how: str) -> list[float]:
    """Seconds, megabytes beyond the model, and a sum of the answer's levels."""
    return json.loads(subprocess.run([sys.executable, "-c", ONE_WAY, how], check=True, capture_output=True).stdout)


def test_tiles(table):  # noqa: F811
    turns = [(measured("tiled"), measured("whole")) for _ in range(3)]
    (ours, our_mb, our_sum), (theirs, their_mb, their_sum) = np.median(turns, axis=0)
    table.append(("512 to 2048, SRResNet, tiled against whole", ours, theirs, "s", theirs / ours))
    table.append(("the same: memory beyond the model", our_mb, their_mb, "MB", their_mb / our_mb))
    assert abs(our_sum - their_sum) < 2048 * 2048 * 3 * 0.01
    assert our_mb < 400
    assert ours < 1.15 * theirs
