"""Networks for other programs, opened there: ONNX files by onnxruntime, a hub's folder as the hub reads it."""

import json
import sys
from functools import partial

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from srkit.export import export_hub, export_onnx, tile_overlap
from srkit.files import SrkitError
from srkit.generator import RRDBNet, SRResNet, TwoStageRRDB
from srkit.images import to_image
from srkit.pretrained import load, resolve
from srkit.recipes import RECIPES, Recipe
from srkit.records import describe
from srkit.runs import Run
from srkit.upscaling import upscale
from srkit.weights_files import save_weights

SIZES = ((1, 1), (7, 13), (33, 20))


class Own(nn.Module):
    """A student's: no features and no enlarge."""

    scale = 2

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 12, 5, padding=2), nn.PixelShuffle(2))

    def forward(self, lr):
        return self.layers(lr)


class Untranslatable(nn.Module):
    scale = 1

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, lr):
        return torch.special.bessel_j1(self.layer(lr))


NETWORKS = {
    "bicubic skip": partial(SRResNet, 3, channels=8, blocks=1, norm=None, skip=True),
    "batch norm, Tanh": partial(SRResNet, 4, channels=8, blocks=1, end="tanh"),
    "RRDBNet": partial(RRDBNet, 4, channels=8, blocks=1, growth=4),
    "TwoStageRRDB": partial(TwoStageRRDB, 2, channels=8, blocks=1, growth=4),
    "own": Own,
}


def trained(network: nn.Module) -> nn.Module:
    """Weights that make a picture: not the small ones that training starts from."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.7 / layer.weight[0].numel() ** 0.5)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return network.eval()


@pytest.fixture(scope="module")
def onnxruntime():
    pytest.importorskip("onnx", reason="needs pip install srkit[export]")
    pytest.importorskip("onnxscript", reason="needs pip install srkit[export]")
    return pytest.importorskip("onnxruntime", reason="needs pip install srkit[export]")


def facts(session) -> dict[str, str]:
    return session.get_modelmeta().custom_metadata_map


def answer(session, lr: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) in and out, as another program would do it."""
    values = lr.astype(np.float32).transpose(2, 0, 1)[None] / 255
    return np.round(session.run(["sr"], {"lr": values})[0][0].transpose(1, 2, 0) * 255).astype(np.uint8)


@pytest.mark.parametrize(
    "name", [n if n == "bicubic skip" else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS]
)
def test_onnxruntime_makes_the_picture_that_upscale_makes(name, onnxruntime, tmp_path):
    network = trained(NETWORKS[name]())
    file = export_onnx(network, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(file)
    opsets = {each.domain: each.version for each in pytest.importorskip("onnx").load(file).opset_import}
    assert opsets[""] == 18  # as README and export_onnx say
    assert [each.name for each in session.get_inputs()] == ["lr"]
    assert session.get_inputs()[0].shape == [1, 3, "height", "width"]
    assert facts(session)["scale"] == str(network.scale)
    assert int(facts(session)["tile_overlap"]) == tile_overlap(network)
    for height, width in SIZES:
        lr = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        ours, theirs = upscale(lr, network, precision="fp32"), answer(session, lr)
        assert ours.std() > 3 or height == 1, "a picture of one colour proves nothing"
        assert np.abs(ours.astype(int) - theirs).max() <= 1


def write_run(folder, recipe: Recipe, network: nn.Module) -> Run:
    """A run's folder, as training leaves it, as far as it is read here."""
    run = Run(folder)
    described = json.loads(json.dumps(describe(recipe)))
    described["generator"] |= {"scale": recipe.scale}
    save_weights(network, run.weights("psnr"))
    data = {"name": "starter", "fingerprint": "0123456789abcdef", "train": 3, "valid": 2}
    run.write_config({"recipe": described, "profile": "smoke", "seed": 7, "data": data, "versions": {"srkit": "0.1.0"}})
    return run


@pytest.fixture
def sharp_run(tmp_path):
    """A tiny network of a recipe that sharpens."""
    generator = partial(SRResNet, channels=4, blocks=1, norm=None, ends_kernel=3)
    recipe = Recipe("mine", "my network", "nobody", generator, RECIPES["srresnet"].phases, scale=2, sharpen=0.6)
    return write_run(tmp_path / "runs" / "mine", recipe, trained(generator(scale=2)))


def test_a_run_is_exported_with_its_sharpening_and_its_card(sharp_run, onnxruntime, tmp_path):
    session = onnxruntime.InferenceSession(export_onnx(sharp_run.folder, tmp_path / "mine.onnx"))
    lr = np.random.default_rng(0).integers(60, 190, (15, 21, 3), dtype=np.uint8)
    whole = answer(session, lr)
    plain = sharp_run.generator()
    plain.sharpening = 0
    plain._forward_hooks.clear()
    blurry = to_image(plain(torch.from_numpy(lr.astype(np.float32)).permute(2, 0, 1)[None] / 255))
    assert np.abs(blurry.astype(int) - whole).max() > 5, "the sharpening is lost"
    assert np.abs(upscale(lr, sharp_run.generator(), precision="fp32").astype(int) - whole).max() <= 1
    words = facts(session)
    assert (words["name"], words["about"], words["seed"], words["phase"]) == ("mine", "my network", "7", "psnr")
    assert json.loads(words["data"])["fingerprint"] == "0123456789abcdef"
    left = int(words["tile_overlap"])  # a tile with so much around it is what the whole picture is there
    assert tile_overlap(plain) == left - 2 == 1 + 2 + 1 + 2  # head, block, the trunk's last; upsampler and half a tail
    tile = answer(session, lr[:, 14 - left :])
    assert np.array_equal(tile[:, 2 * left :], whole[:, 28:])


def test_what_cannot_be_exported_says_so_and_leaves_no_file(onnxruntime, tmp_path):
    with pytest.raises(SrkitError, match="Untranslatable holds an operation that ONNX has no form for"):
        export_onnx(Untranslatable(), tmp_path / "no.onnx")
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_one_sentence_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SrkitError, match=r"onnx is not installed: pip install 'srkit\[export\]'"):
        export_onnx("srresnet_light", tmp_path / "no.onnx")


def test_a_hub_folder_is_read_by_the_hub_and_by_srkit(tmp_path):
    folder = export_hub("srgan_light", tmp_path / "hub", scale=2)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    text = (folder / "README.md").read_text()
    _, head, words = text.split("---\n", 2)
    head = yaml.safe_load(head)
    assert (head["license"], head["pipeline_tag"]) == ("mit", "image-to-image")
    results = {each["dataset"]["name"]: each["metrics"] for each in head["model-index"][0]["results"]}
    card = resolve("srgan_light", 2).card
    assert {each["type"]: each["value"] for each in results["Set5"]} == {
        "psnr": card["scores"]["Set5"]["psnr_y"],
        "ssim": card["scores"]["Set5"]["ssim_y"],
        "lpips": card["scores"]["Set5"]["lpips_alex"],
    }
    (code,) = (part for part in words.split("```") if part.startswith("python\n"))
    names: dict = {}
    code = code.removeprefix("python\n").replace('"model.safetensors"', repr(str(folder / "model.safetensors")))
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    exec(code.replace('"photo.jpg"', "picture"), {"picture": picture}, names)
    np.testing.assert_array_equal(names["sr"], upscale(picture, load("srgan_light", 2)))


def test_the_hub_reads_the_model_card(tmp_path):
    hub = pytest.importorskip("huggingface_hub", reason="pip install huggingface_hub to try the card in its own reader")
    card = hub.ModelCard.load(export_hub("srresnet_light", tmp_path / "hub") / "README.md")
    assert {result.dataset_name for result in card.data.eval_results} == {"Set5", "Set14", "BSD100", "Urban100"}


def test_a_runs_folder_states_no_licence_that_nobody_gave(sharp_run, tmp_path):
    text = (export_hub(sharp_run.folder, tmp_path / "hub") / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    assert "license" not in head
    assert "model-index" not in head
    assert "Licence: not stated: state one before you upload this" in text
    text = (export_hub(sharp_run.folder, tmp_path / "hub", licence="cc-by-4.0") / "README.md").read_text()
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "cc-by-4.0"


def test_a_name_means_ones_own_run_first_and_its_folder_opens_again_with_its_sharpening(sharp_run, tmp_path):
    folder = export_hub("mine", tmp_path / "hub", runs=sharp_run.folder.parent)
    assert json.loads((folder / "config.json").read_text())["seed"] == 7
    network, lr = sharp_run.generator(), torch.rand(1, 3, 9, 8)
    assert torch.equal(load(folder / "model.safetensors")(lr), network(lr))
    assert "SRResNet" in (folder / "README.md").read_text()
    with pytest.raises(SrkitError, match="'mine' is no method"):
        export_hub("mine", tmp_path / "no")
    with pytest.raises(SrkitError, match="nothing is known of a bare network"):
        export_hub(network, tmp_path / "no")


def test_the_overlap_is_none_where_a_network_sees_the_whole_picture():
    class Normed(Own):
        def forward(self, lr):
            return self.layers(lr - lr.mean((2, 3), keepdim=True))

    assert tile_overlap(Own()) == 2
    assert tile_overlap(Normed()) is None
