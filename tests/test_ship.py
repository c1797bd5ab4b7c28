"""Runs of a tiny study, kept and made ready to come with srkit by the command that does it for the real ones."""

import json
import math
import runpy
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from srkit.data.sources import find_pictures
from srkit.evaluation import evaluate
from srkit.files import digest
from srkit.images import write_image
from srkit.pretrained import shipped
from srkit.recipes import RECIPES
from srkit.runs import Run
from srkit.study import read_study, train_one
from srkit.weights_files import open_weights

STUDY = """
[study]
name = "tiny"
profile = "laptop"
data = "starter"
seeds = [0]
tests = ["pictures"]

[profile]
psnr_steps = 4
gan_steps = 2
batch = 2
crop = 32
channels = 4
blocks = 1
width = 4
dense = 8
log_every = 1
validate_every = 2
validate_on = [1, 48]
compile = false
perceptual_weights = "random"

[[system]]
recipe = "srgan"
"""
NAME = "srgan-tiny-s0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study's file, its test pictures, and its one run, trained."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.toml").write_text(STUDY)
    for seed in range(2):
        noise = torch.rand(6, 8, 3, generator=torch.Generator().manual_seed(seed)).mul(255).byte().numpy()
        write_image(folder / "pictures" / f"{seed}.png", noise.repeat(8, 0).repeat(8, 1))
    (planned,) = read_study(folder / "tiny.toml").runs()
    train_one(planned, folder / "runs")
    return folder


@pytest.fixture
def command(project, folder):
    def run(action, *words):
        words = [action, folder / "tiny.toml", "--finished", folder / "finished", *words]
        return subprocess.run([sys.executable, project / "studies" / "ship.py", *words], capture_output=True, text=True)

    return run


def test_a_run_is_kept_scored_once_and_boxed_with_its_card(command, folder):
    done = command("keep", "--runs", folder / "runs")
    assert done.returncode == 0, done.stderr
    run, kept = Run(folder / "runs" / NAME), Run(folder / "finished" / "tiny" / NAME)
    assert done.stdout.split() == [str(kept.folder)]
    for phase in ("psnr", "gan"):
        halves, whole = load_file(kept.weights(phase)), load_file(run.weights(phase))
        assert all(
            torch.equal(halves[name], value.half()) for name, value in whole.items() if value.is_floating_point()
        )
    assert kept.history()["step"].tolist() == run.history()["step"].tolist() == [1, 2, 3, 4, 5, 6]

    shutil.copytree(kept.folder, folder / "again" / NAME)  # as who goes on with what was kept
    before = kept.folder.joinpath("history.csv").stat().st_mtime_ns
    done = command("keep", "--runs", folder / "again")
    assert (done.returncode, done.stdout) == (0, "")
    assert kept.folder.joinpath("history.csv").stat().st_mtime_ns == before
    (folder / "again" / NAME / "scores.csv").write_text("set,method\na,psnr\n")
    assert command("keep", "--runs", folder / "again").stdout.split() == [str(kept.folder)]
    assert (kept.folder / "scores.csv").read_text() == "set,method\na,psnr\n"
    (kept.folder / "config.json").write_text(json.dumps(run.config | {"seconds": 0.0}))
    assert command("keep", "--runs", folder / "runs").stdout.split() == [str(kept.folder)]
    assert not (kept.folder / "scores.csv").exists(), "scores of other weights"

    words = ["--run", NAME, "--phase", "gan", "--licence", "mine", "--weights", folder / "weights"]
    done = command("box", *words)
    assert done.returncode == 0, done.stderr
    card = json.loads((folder / "weights" / "srgan-x4-gan.json").read_text())
    assert done.stdout.splitlines()[-1] == str(folder / "weights" / "srgan-x4-gan.json")
    network = open_weights(folder / "weights" / card["file"])
    lr = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(network(lr), run.generator("gan")(lr), atol=2e-3, rtol=0)
    table = evaluate({"it": network}, find_pictures(folder / "pictures"), 4)
    assert card["scores"]["pictures"]["psnr_y"] == pytest.approx(table["psnr_y"].mean(), abs=1e-4)
    assert card["scores"]["pictures"]["lpips_squeeze"] == pytest.approx(table["lpips_squeeze"].mean(), abs=1e-4)
    assert not any(math.isnan(value) for value in card["scores"]["pictures"].values())
    assert (card["steps"], card["licence"], len(card["commit"])) == (6, "mine", 40)
    assert card["seconds"] == pytest.approx(run.history()["seconds"].iloc[-1], abs=0.06), "at the end of its phase"
    names = (folder / "weights" / card["photographs"]).read_text().split()
    assert len(names) == card["data"]["train"]
    scored = (kept.folder / "scores.csv").read_bytes()
    assert command("box", *words).returncode == 0
    assert (kept.folder / "scores.csv").read_bytes() == scored
    assert len(pd.read_csv(kept.folder / "scores.csv")) == 2

    assert command("box", *words, "--name", "srgan_light").returncode == 0
    other = json.loads((folder / "weights" / "srgan_light-x4-gan.json").read_text())
    assert (other["recipe"], other["file"]) == (
        card["recipe"] | {"name": "srgan_light", "about": RECIPES["srgan_light"].about},
        "srgan_light-x4-gan.safetensors",
    )
    assert other["sha256"] == card["sha256"]
    own = kept.config["recipe"] | {"about": "half of it", "alpha": 0.5}
    kept.write_config(kept.config | {"recipe": own})
    for phase, name, about, alpha in (
        ("gan", "srgan", "half of it", 0.5),
        ("psnr", "srresnet", RECIPES["srresnet"].about, None),
    ):
        words = ["--run", NAME, "--phase", phase, "--licence", "mine", "--weights", folder / "weights", "--name", name]
        assert command("box", *words).returncode == 0
        card = json.loads((folder / "weights" / f"{name}-x4-{phase}.json").read_text())
        assert (card["recipe"]["about"], card["recipe"]["alpha"]) == (about, alpha)


def test_what_is_no_result_is_refused_in_one_sentence(command, folder):
    config = Run(folder / "runs" / NAME).config
    smoke = Run(folder / "smoke" / NAME)
    smoke.write_config(config | {"profile": "smoke"})
    smoke.weights("psnr").write_bytes(Run(folder / "runs" / NAME).weights("psnr").read_bytes())
    kept = Run(folder / "finished" / "tiny" / NAME)
    kept.write_config(config | {"data": config["data"] | {"fingerprint": "0" * 16}})
    kept.weights("gan").write_bytes(Run(folder / "runs" / NAME).weights("gan").read_bytes())
    for words, says in (
        (["keep", "--runs", folder / "smoke"], "is a smoke run, whose numbers mean nothing"),
        (["box", "--run", "srgan-tiny-s1"], "did you mean srgan-tiny-s0?"),
        (["box", "--run", NAME], "was trained on other photographs, 0000000000000000, than"),
    ):
        done = command(*words)
        assert done.returncode == 1
        assert done.stderr.startswith("ship: ")
        assert says in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("clock", "psnr", "gan"),
    [
        ([2.0, 4.0, 5.0, 9.0], 4.0, 9.0),
        ([2.0, 4.0, 1.0, 5.0], 4.0, 9.0),  # the second phase is another run's that took the first from there
    ],
)
def test_a_cards_seconds_are_those_to_the_end_of_its_phase(project, clock, psnr, gan):
    ship = runpy.run_path(str(project / "studies" / "ship.py"))
    history = pd.DataFrame({"phase": ["psnr", "psnr", "gan", "gan"], "seconds": clock})
    assert (ship["seconds"](history, "psnr"), ship["seconds"](history, "gan")) == (psnr, gan)


def test_each_card_says_what_its_kept_run_took(project):
    ship = runpy.run_path(str(project / "studies" / "ship.py"))
    kept = {digest(path): path for path in (project / "studies" / "finished").glob("*/*/generator-*.safetensors")}
    for card in shipped():
        run = Run(kept[card["sha256"]].parent)
        assert card["seconds"] == ship["seconds"](run.history(), card["phase"]), card["file"]
