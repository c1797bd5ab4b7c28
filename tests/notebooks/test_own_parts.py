"""A network and a recipe that a student wrote in a notebook's cell, in a real kernel."""

import nbformat
from nbclient import NotebookClient

CELLS = (
    """
from dataclasses import replace
from pathlib import Path
import numpy as np, torch
from torch import nn
from skimage.data import astronaut
from srkit import evaluate, upscale
from srkit.declarations import Phase
from srkit.images import write_image
from srkit.recipes import SRRESNET_LIGHT
from srkit.training import train
torch.set_num_threads(1)
""",
    """
class Compact(nn.Module):
    def __init__(self, scale=4, channels=8):
        super().__init__()
        self.scale = scale
        self.body = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1), nn.PReLU(), nn.Conv2d(channels, 3 * scale**2, 3, padding=1),
            nn.PixelShuffle(scale),
        )

    def forward(self, lr):
        return self.body(lr)


def mae(sr, hr):
    return (sr - hr).abs().mean()


mine = replace(SRRESNET_LIGHT, name="mine", generator=Compact, phases=(Phase("psnr", steps=8, losses={mae: 1.0}),))
""",
    """
straight = train(mine, "smoke", runs="straight", device="cpu")
stopped = train(mine, "smoke", runs="stopped", device="cpu", max_minutes=1e-6)
assert not stopped.done
went_on = train(mine, "smoke", runs="stopped", device="cpu", resume=True)
for one, other in zip(straight.generator().state_dict().values(), went_on.generator().state_dict().values()):
    assert torch.equal(one, other)
""",
    """
photograph = np.ascontiguousarray(astronaut()[20:61, 180:237])
whole, tiled = (upscale(photograph, mine, runs="straight", tile=tile) for tile in (64, 9))
assert whole.shape == (164, 228, 3)
assert np.abs(whole.astype(int) - tiled).max() <= 1  # tiled by its measured receptive field
write_image(Path("hr") / "a.png", np.ascontiguousarray(astronaut()[:96, :96]))
table = evaluate({"mine": straight.generator(), "bicubic": "bicubic"}, ["hr/a.png"], 4)
scores = table.set_index("method")["psnr_y"]
assert scores.notna().all() and scores["mine"] != scores["bicubic"]
""",
)


def test_a_class_of_a_notebooks_cell_is_trained_stopped_loaded_tiled_and_scored(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS])
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
