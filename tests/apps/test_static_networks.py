"""The networks of the page without a server: one graph for both phases, whose weights mix as srkit's do."""

import json

import numpy as np
import pytest
import torch

from srkit.apps import static
from srkit.pretrained import resolve, shipped_systems

onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install srkit[export]")
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
    json.dumps(entry)
    assert entry["mixes"] == (len(system.phases) > 1)
    session = onnxruntime.InferenceSession(tmp_path / entry["file"], providers=["CPUExecutionProvider"])
    lr = np.random.default_rng(1).random((1, 3, 20, 13), dtype=np.float32)
    for alpha, phase in enumerate(system.phases):  # the ends are the two phases themselves
        mixture = {"alpha": np.array([alpha], np.float32)} if entry["mixes"] else {}
        (sr,) = session.run(None, {"lr": lr} | mixture)
        with torch.no_grad():
            ours = resolve(system.name, system.scale, phase=phase).network(torch.from_numpy(lr)).clamp(0, 1)
        assert np.abs(sr - ours.numpy()).max() < 0.5 / 255
