"""Shipped weights: they load, they are what their card says, and no benchmark picture was among their photographs."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

import srkit
from srkit import pretrained
from srkit.data.audit import alike, fingerprint
from srkit.evaluation import evaluate
from srkit.files import SrkitError
from srkit.images import read_image
from srkit.profiles import PROFILES
from srkit.runs import load_weights
from srkit.training import train

CARDS = pretrained.shipped()
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    tiny = replace(PROFILES["smoke"], psnr_steps=2, channels=4, blocks=1, validate_on=(1, 48))
    return train("srresnet", tiny, runs=tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("card", CARDS, ids=[card["file"] for card in CARDS])
def test_every_shipped_network_loads_and_its_card_is_whole(card):
    network = srkit.load(card["recipe"]["name"], card["scale"], card["phase"])
    assert network(torch.rand(1, 3, 8, 9)).shape == (1, 3, 8 * card["scale"], 9 * card["scale"])
    assert (pretrained.FOLDER / card["file"]).stat().st_size < 12e6
    for fact in ("data", "licence", "steps", "seconds", "device", "seed", "commit", "scores"):
        assert card[fact] is not None, fact


@pytest.mark.parametrize("card", CARDS, ids=[card["file"] for card in CARDS])
def test_a_card_tells_the_score_that_the_protocol_gives(card, shared):
    network = srkit.load(card["recipe"]["name"], card["scale"], card["phase"])
    table = evaluate({"it": network}, sorted((shared / "benchmarks" / "Set5").glob("*.png")), card["scale"])
    assert table["psnr_y"].mean() == pytest.approx(card["scores"]["Set5"]["psnr_y"], abs=0.01)


def test_shipping_keeps_the_network_within_half_precision(run, tmp_path):
    card = json.loads(pretrained.ship(run, "psnr", {"licence": "none"}, tmp_path).read_text())
    halves = load_file(tmp_path / card["file"])
    assert {value.dtype for value in halves.values() if value.is_floating_point()} == {torch.float16}
    before = run.generator()
    after = run.generator()
    load_weights(after, tmp_path / card["file"])
    lr = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(after(lr), before(lr), atol=2e-3, rtol=0)


def test_a_runs_own_weights_come_before_the_shipped_ones(run):
    mine = srkit.load("srresnet", 4, runs=run.folder.parent).state_dict()
    assert all(torch.equal(mine[name], value) for name, value in run.generator().state_dict().items())


def test_what_is_not_there_is_answered_with_what_is():
    with pytest.raises(SrkitError, match=r"no weights of srresnet x8.*srkit ships.*srkit train"):
        srkit.load("srresnet", 8)


def test_a_damaged_file_is_refused(run, tmp_path, monkeypatch):
    card = pretrained.ship(run, "psnr", {}, tmp_path)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    assert srkit.load("srresnet")
    weights = card.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(SrkitError, match="missing or damaged"):
        srkit.load("srresnet")


@pytest.mark.parametrize("how", ["truncated", "pickled", "another network"])
def test_files_that_are_not_these_weights_are_refused_in_one_sentence(run, tmp_path, how):
    path = tmp_path / "w.safetensors"
    if how == "truncated":
        path.write_bytes(run.weights("psnr").read_bytes()[:-50])
    elif how == "pickled":
        torch.save(run.generator().state_dict(), path)
    else:
        shutil.copy(run.weights("psnr"), path)
    network = run.generator() if how != "another network" else srkit.generator.SRResNet(channels=8, blocks=1)
    with pytest.raises(SrkitError, match=r"w\.safetensors"):
        load_weights(network, path)


# Set5's woman is this photograph of BSDS500's training folder, made smaller: no shipped weights learned from it.
TWINS = {"302003.jpg"}


@pytest.mark.parametrize("photographs", ["hires", "bsds400", "imagenet_half"])
def test_no_benchmark_picture_is_among_the_training_photographs(shared, photographs):
    benchmarks = [p for p in sorted((shared / "benchmarks").rglob("*.*")) if p.is_file()]
    assert len(benchmarks) == 219
    theirs = {path: fingerprint(read_image(path)) for path in benchmarks}
    ours = {path: fingerprint(read_image(path)) for path in (shared / "photos" / photographs).iterdir()}
    twins = {mine.name: other.name for mine, other in alike(ours, theirs)}
    assert set(twins) <= TWINS, twins
    for card in CARDS:
        assert len(card["photographs"]) == card["data"]["train"]
        halves = {name.replace("_half.png", ".jpg") for name in card["photographs"]}
        assert not TWINS & halves, card["file"]


def test_a_first_phase_is_shared_only_by_systems_of_the_same_degradation(monkeypatch):
    def card(name, phase, degradation):
        recipe = {"name": name, "generator": {"name": "SRResNet"}, "degradation": {"name": degradation}}
        return {"recipe": recipe, "scale": 4, "phase": phase}

    cards = [card("clean", "psnr", "Bicubic"), card("clean_gan", "gan", "Bicubic"), card("real", "gan", "HighOrder")]
    monkeypatch.setattr(pretrained, "shipped", lambda: cards)
    systems = pretrained.shipped_systems()
    assert systems["clean_gan", 4] == {"psnr": cards[0], "gan": cards[1]}
    assert systems["real", 4] == {"gan": cards[2]}
