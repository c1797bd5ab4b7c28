"""The networks of the page without a server: one graph for both phases, whose weights mix as srkit's do."""

import json

import numpy as np
import pytest

from srkit.apps import static
from srkit.pretrained import shipped_systems

pytest.importorskip("onnxruntime", reason="needs pip install srkit[export]")
ONE = "srgan", 4  # with batch norm: folded into convolutions, the mean of two sets of weights is not their mixture


@pytest.mark.parametrize(
    "system",
    [
        pytest.param(each, id=each.label, marks=() if (each.name, each.scale) == ONE else pytest.mark.slow)
        for each in shipped_systems(firsts=False)
    ],
)
def test_each_shipped_network_comes_into_the_page_and_mixes(system, tmp_path):
    (tmp_path / "networks").mkdir()
    entry = static._network(tmp_path, system)  # refused where ONNX Runtime mixes to another picture than torch
    assert len(entry["weights"]) == len(system.phases)
    sizes = [np.fromfile(tmp_path / name, "<f4").size for name in entry["weights"]]
    assert len(set(sizes)) == 1
    assert (tmp_path / entry["graph"]).stat().st_size < 1.5e6, "the graph is without weights"
    json.dumps(entry)
