"""Shipped weights: they load, they are what their card says, and no benchmark picture was among their photographs."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import srkit
from srkit import pretrained
from srkit.data.audit import alike, fingerprint
from srkit.evaluation import evaluate
from srkit.files import SrkitError
from srkit.generator import interpolate, sharpen
from srkit.images import read_image, write_image
from srkit.profiles import PROFILES, fit
from srkit.recipes import RECIPES
from srkit.records import describe
from srkit.runs import Run
from srkit.training import train
from srkit.weights_files import load_weights, save_weights

CARDS = pretrained.shipped()
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    tiny = replace(PROFILES["smoke"], name="tiny", psnr_steps=2, channels=4, blocks=1, validate_on=(1, 48))
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


def test_what_is_not_there_is_answered_with_what_is():
    with pytest.raises(SrkitError, match=r"no weights of srresnet x8.*srkit ships.*srkit train"):
        srkit.load("srresnet", 8)


@pytest.fixture
def trained(tmp_path):
    """Makes a run of two phases without training it: its networks answer with bicubic, and then some noise."""

    def make(name="srgan_light", profile="laptop", scale=4, phases=("psnr", "gan"), folder=None, seed=0):
        recipe = replace(fit(RECIPES["srgan_light"], PROFILES["smoke"], scale), name=name)
        found = Run(tmp_path / "runs" / (folder or f"{name}-{profile}"))
        found.write_config({"recipe": describe(recipe), "profile": profile, "seed": 0, "data": {"name": "starter"}})
        for number, phase in enumerate(phases):
            torch.manual_seed(seed + number)
            network = recipe.generator()
            torch.nn.init.normal_(network.tail[0].weight, std=0.1)
            save_weights(network, found.weights(phase))
        return found

    return make


def same(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_smoke_run_comes_after_what_is_shipped_and_any_other_before(trained, tmp_path):
    runs = tmp_path / "runs"
    trained(profile="smoke")
    found = pretrained.resolve("srgan_light", 4, runs)
    assert (found.name, found.source) == ("srgan_light (shipped)", "shipped with srkit")
    assert same(found.network, srkit.load("srgan_light", 4))
    laptop = trained(seed=9)
    found = pretrained.resolve("srgan_light", 4, runs)
    assert (found.name, found.scale) == ("srgan_light", 4)
    assert "laptop profile, seed 0" in found.source
    assert same(found.network, laptop.generator("gan"))
    alone = trained(scale=8, profile="smoke", folder="eight")
    with pytest.warns(UserWarning, match="srgan_light x8 is that of .*smoke profile.*, which has hardly learned"):
        assert same(pretrained.resolve("srgan_light", 8, runs).network, alone.generator())


def test_alpha_mixes_the_phases_of_one_run_and_never_those_of_two(trained, tmp_path):
    whole = trained(folder="a", seed=1)
    trained(folder="b", seed=5, phases=("psnr",))  # newer, and not trained to its end
    os.utime(whole.folder / "config.json", (1, 1))
    mixed = pretrained.resolve("srgan_light", 4, tmp_path / "runs", alpha=0.25)
    assert mixed.name == "srgan_light, alpha 0.25"
    assert same(mixed.network, interpolate(whole.generator("psnr"), whole.generator("gan"), 0.25))


def test_a_run_that_was_not_trained_to_its_end_says_which_phase_it_shows(trained, tmp_path):
    half = trained(phases=("psnr",))
    for what in ("srgan_light", half.folder, half):
        assert pretrained.resolve(what, 4, tmp_path / "runs").name.endswith(", psnr phase")
    with pytest.raises(SrkitError, match="no weights of a phase 'gan': it has psnr"):
        pretrained.resolve(half, phase="gan")
    with pytest.raises(SrkitError, match="holds no weights yet"):
        pretrained.resolve(trained(phases=(), folder="none"))


def test_one_way_leads_to_every_network(trained, tmp_path, monkeypatch):
    run, runs = trained(), tmp_path / "runs"
    weights = run.weights("gan")
    ways = ["srgan_light", run, run.folder, str(run.folder), weights, run.generator()]
    assert all(same(pretrained.resolve(way, 4, runs).network, run.generator("gan")) for way in ways)
    assert [pretrained.resolve(way, 4, runs).name for way in ways] == [
        "srgan_light", *["srgan_light-laptop"] * 3, "generator-gan", "SRResNet",
    ]  # fmt: skip
    assert pretrained.resolve("bicubic", 3).does == "bicubic"
    write_image(tmp_path / "theirs" / "a.png", np.zeros((8, 8, 3), np.uint8))
    assert pretrained.resolve(tmp_path / "theirs", 4).does == tmp_path / "theirs"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs").rename("bicubic")  # a path is a folder's, whatever its name
    assert pretrained.resolve(Path("bicubic"), 4).does == Path("bicubic")


@pytest.mark.parametrize(
    ("what", "more", "says"),
    [
        ("srgan_lite", {}, "'srgan_lite' is no method: did you mean srgan_light"),
        ("~nobody-of-this-name", {}, "'~nobody-of-this-name' is no method"),
        (None, {}, "'None' is no method"),
        ("srgan_light-laptop", {"scale": 2}, "enlarges 4-fold, not 2-fold: use --scale 4"),
        ("srgan_light-laptop/generator-gan.safetensors", {"scale": 2}, "enlarges 4-fold, not 2-fold"),
        ("nowhere.pth", {}, "nowhere.pth is not there"),
        ("srgan_light", {"runs": "mistyped"}, "mistyped is no folder of runs"),
        ("srgan_light", {"runs": "srgan_light-laptop"}, "is a run itself"),
        ("srgan_light", {"phase": "gin"}, "no weights of srgan_light x4 .gin."),
        (
            "srresnet_light",
            {"alpha": 0.5},
            "no weights of srresnet_light x4 after a second phase: here are",
        ),
        ("srgan_light", {"alpha": 1.5}, "does not lie between"),
        ("empty", {}, "holds neither a run nor SR images"),
    ],
)
def test_what_is_unknown_is_one_sentence_that_helps(trained, tmp_path, monkeypatch, what, more, says):
    trained()
    monkeypatch.chdir(tmp_path / "runs")
    (tmp_path / "runs" / "empty").mkdir()
    with pytest.raises(SrkitError, match=says) as refusal:
        pretrained.resolve(what, **more)
    assert "\n" not in str(refusal.value)


def test_weights_that_are_no_numbers_are_refused_whatever_way_they_come(trained):
    run = trained()
    network = run.generator()
    network.tail[0].weight.data[0] = torch.nan
    save_weights(network, run.weights("gan"))
    for what in (run, run.weights("gan"), network):
        with pytest.raises(SrkitError, match="not finite"):
            pretrained.resolve(what)


def test_a_foreign_or_damaged_record_stops_nobody_else(trained, tmp_path):
    run = trained()
    for number, text in enumerate(("{}", "[]", "{", "null", '{"recipe": {"name": "x", "scale": "4"}}')):
        (tmp_path / "runs" / str(number)).mkdir()
        (tmp_path / "runs" / str(number) / "config.json").write_text(text)
    with pytest.warns(UserWarning, match="left out: .*config.json is"):
        assert same(pretrained.resolve("srgan_light", 4, tmp_path / "runs").network, run.generator())
    with pytest.raises(SrkitError, match="is not the record of a run"):
        pretrained.resolve(tmp_path / "runs" / "0")
    record = json.loads((run.folder / "config.json").read_text())
    record["recipe"]["generator"]["attention"] = True  # of a later srkit
    (run.folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(SrkitError, match="builds no SRResNet of that record .*attention"):
        pretrained.resolve(run)
    with pytest.raises(SrkitError, match="a method without a name"):
        pretrained.resolve("")


def test_a_network_that_a_recipe_sharpens_is_sharpened_once_and_mixed_without(trained):
    run = trained()
    plain = run.generator("psnr")
    run.write_config(run.config | {"recipe": run.config["recipe"] | {"sharpen": 0.7}})
    lr = torch.rand(1, 3, 9, 8)
    torch.testing.assert_close(pretrained.resolve(run, phase="psnr").network(lr), sharpen(plain(lr), 0.7))
    assert same(pretrained.resolve(run, alpha=0).network, plain)


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    for path in pretrained.FOLDER.glob("srresnet_light-x4-psnr.*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    assert srkit.load("srresnet_light")
    weights = tmp_path / "srresnet_light-x4-psnr.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(SrkitError, match="missing or damaged"):
        srkit.load("srresnet_light")


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
        names = card["photographs"]
        if isinstance(names, str):  # a list that several cards share
            names = (pretrained.FOLDER / names).read_text().splitlines()
        assert len(names) == card["data"]["train"]
        halves = {name.replace("_half.png", ".jpg") for name in names}
        assert not TWINS & halves, card["file"]


def test_a_first_phase_is_shared_only_by_systems_of_the_same_degradation(monkeypatch):
    def card(name, phase, degradation):
        recipe = {"name": name, "generator": {"name": "SRResNet"}, "degradation": {"name": degradation}}
        return {"recipe": recipe, "scale": 4, "phase": phase}

    cards = [card("clean", "psnr", "Bicubic"), card("clean_gan", "gan", "Bicubic"), card("real", "gan", "HighOrder")]
    monkeypatch.setattr(pretrained, "shipped", lambda: cards)
    systems = {system.name: system.cards for system in pretrained.shipped_systems()}
    twin, real = {"psnr": cards[0], "gan": cards[1]}, {"gan": cards[2]}
    assert systems == {"clean": {"psnr": cards[0]}, "clean_gan": twin, "real": real}
    assert [system.cards for system in pretrained.shipped_systems(firsts=False)] == [twin, real]
