"""Files of weights of others: recognised, padded to the sizes they take, tiled, or refused in one sentence."""

import pickle
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from skimage.data import astronaut
from torch import nn

import srkit
from srkit.cli import main
from srkit.evaluation import evaluate
from srkit.files import SrkitError
from srkit.generator import SRResNet, count_parameters
from srkit.images import to_image, to_tensor, write_image
from srkit.pretrained import find_systems, resolve
from srkit.weights_files import open_weights
from srkit.wrappers import Padded

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def public(shared):
    """Real-ESRGAN's Compact network, a public x4 file."""
    pytest.importorskip("spandrel")
    return shared / "peers" / "realesr-animevideov3.pth"


class Compact(nn.Module):
    """The published architecture, written down here: 3x3 convolutions and PReLUs, PixelShuffle, nearest pixels added.

    Wang et al. 2021, arXiv:2107.10833, and its repository's SRVGGNetCompact: 64 channels, 16 convolutions between.
    """

    def __init__(self):
        super().__init__()
        middle = [layer for _ in range(16) for layer in (nn.Conv2d(64, 64, 3, padding=1), nn.PReLU(64))]
        self.body = nn.ModuleList(
            [nn.Conv2d(3, 64, 3, padding=1), nn.PReLU(64), *middle, nn.Conv2d(64, 48, 3, padding=1)]
        )

    def forward(self, lr):
        x = lr
        for layer in self.body:
            x = layer(x)
        return F.pixel_shuffle(x, 4) + F.interpolate(lr, scale_factor=4, mode="nearest")


def test_a_public_file_answers_as_its_published_architecture_does(public):
    theirs = Compact().eval()
    theirs.load_state_dict(torch.load(public, map_location="cpu", weights_only=True)["params"])
    network = srkit.load(public)
    lr = torch.rand(1, 3, 13, 18)
    with torch.no_grad():
        torch.testing.assert_close(network(lr), theirs(lr), atol=1e-5, rtol=0)
    assert (network.scale, network.training) == (4, False)
    assert count_parameters(network) == sum(weight.numel() for weight in theirs.parameters())


@pytest.mark.parametrize("name", ["IPT", "MMRealSR"])
def test_a_public_network_of_another_range_or_answer_is_called_as_spandrel_calls_it(name, tmp_path):
    """IPT works on 0 to 255 and is told which scale, MMRealSR answers with degradations beside the picture."""
    spandrel = pytest.importorskip("spandrel")
    kind = getattr(getattr(spandrel.architectures, name), name)
    few = {"IPT": {"n_feats": 8, "scale": [4], "num_layers": 1}}
    few["MMRealSR"] = {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 16, "num_block": 1, "num_grow_ch": 8}
    torch.manual_seed(0)
    weights = {key: value.clone() for key, value in kind(**few[name]).state_dict().items()}
    save_file(weights, tmp_path / "it.safetensors")
    lr = torch.rand(1, 3, 48, 52)
    with torch.no_grad():
        theirs = spandrel.ModelLoader("cpu").load_from_file(tmp_path / "it.safetensors").eval()(lr)
        torch.testing.assert_close(open_weights(tmp_path / "it.safetensors")(lr).clamp(0, 1), theirs)


def test_a_public_file_is_scored_enlarged_in_tiles_and_offered_like_a_recipe(public, tmp_path, capsys):
    photo = np.ascontiguousarray(astronaut()[20:84, 180:252])  # (64, 72, 3)
    write_image(tmp_path / "hr" / "a.png", photo)
    table = evaluate({"it": resolve(public, 4).network}, [tmp_path / "hr" / "a.png"], 4)
    words = ["evaluate", str(public), "--images", str(tmp_path / "hr"), "--scale", "4", "--no-lpips"]
    assert main([*words, "--csv", str(tmp_path / "t.csv")]) == 0
    said = capsys.readouterr().out
    assert f"realesr-animevideov3: {public}" in said
    assert f"{table['psnr_y'][0]:.4f}" in said

    with torch.no_grad():
        whole = to_image(srkit.load(public)(to_tensor(photo)))
    tiled = srkit.upscale(photo, public, tile=24, precision="fp32")
    assert np.abs(tiled.astype(int) - whole).max() <= 1

    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / public.name).write_bytes(public.read_bytes())
    first = find_systems(tmp_path / "runs")[0]
    assert (first.label, first.scale, first.gan) == ("realesr-animevideov3", 4, None)


def test_a_public_file_of_another_scale_is_refused(public):
    with pytest.raises(SrkitError, match="enlarges 4-fold, not 2-fold: use --scale 4"):
        resolve(public, 2)


def test_what_nobody_knows_is_damaged_or_holds_code_is_one_sentence(public, tmp_path):
    save_file({"a": torch.ones(3)}, tmp_path / "unknown.safetensors")
    (tmp_path / "cut.pth").write_bytes(public.read_bytes()[:-5000])
    state = torch.load(public, map_location="cpu", weights_only=True)["params"]
    torch.save({name: value for name, value in state.items() if name != "body.0.bias"}, tmp_path / "holes.pth")
    torch.save(state | {"body.0.bias": torch.full((64,), torch.nan)}, tmp_path / "nan.pth")
    for name, says in {
        "unknown.safetensors": "no architecture that spandrel knows: name its recipe by --recipe",
        "cut.pth": "does not hold just weights",
        "holes.pth": "is not whole",
        "nan.pth": "not finite",
        "nowhere.pth": "is not there",
    }.items():
        with pytest.raises(SrkitError, match=says) as refusal:
            open_weights(tmp_path / name)
        assert "\n" not in str(refusal.value)
        assert name in str(refusal.value)


class Bomb:
    """What opening it as a pickle would do: write a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_weights_that_could_run_code_are_refused_and_run_none(tmp_path):
    bomb = Bomb(tmp_path / "boom")
    (tmp_path / "pickled.pt").write_bytes(pickle.dumps(bomb))
    (tmp_path / "words.pt").write_text("no weights")
    torch.save({"a": bomb}, tmp_path / "torch.pt")
    torch.save(SRResNet(2, 4, 1), tmp_path / "network.pt")
    for name in ("pickled", "words", "torch", "network"):
        with pytest.raises(SrkitError, match="save its state_dict as safetensors") as refusal:
            open_weights(tmp_path / f"{name}.pt", "srresnet_light")
        assert "\n" not in str(refusal.value)
    assert not (tmp_path / "boom").exists()


def test_without_spandrel_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    save_file({"a": torch.ones(3)}, tmp_path / "theirs.safetensors")
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(SrkitError, match=r"--recipe, or, for a public file, pip install 'srkit\[models\]'"):
        open_weights(tmp_path / "theirs.safetensors")


def test_a_foreign_record_beside_the_weights_is_not_taken_for_theirs(tmp_path):
    network = SRResNet(2, channels=2, blocks=1)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    for text in ("{}", "[]", '{"recipe": 3}', "no json"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(SrkitError, match="name its recipe by --recipe"):
            open_weights(tmp_path / "w.safetensors")


class Shuffled(nn.Module):
    """Works on squares of 4 x 4 pixels, and takes no other sizes: each becomes its mean, enlarged twofold."""

    def forward(self, lr):
        assert all(side % 4 == 0 and side >= 8 for side in lr.shape[2:])
        return F.interpolate(F.avg_pool2d(lr, 4), scale_factor=8)


def test_sizes_that_a_network_does_not_take_are_padded_and_cut(tmp_path):
    network, lr = Padded(Shuffled(), 2, multiple=4, least=8), torch.rand(1, 3, 5, 10)
    sr = network(lr)
    assert sr.shape == (1, 3, 10, 20)
    torch.testing.assert_close(sr[..., :8, :8], lr[..., :4, :4].mean((2, 3), keepdim=True).expand(1, 3, 8, 8))
    photo = np.ascontiguousarray(astronaut()[20:57, 180:221])  # (37, 41, 3): tiles must begin at multiples of 4
    whole = to_image(network(to_tensor(photo)))
    assert np.abs(srkit.upscale(photo, network, tile=10).astype(int) - whole).max() <= 1
