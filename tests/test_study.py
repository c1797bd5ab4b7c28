import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image

from srkit.cli import main
from srkit.course import studies
from srkit.degradations import WILD
from srkit.files import SrkitError
from srkit.images import write_image
from srkit.losses import Adversarial, Perceptual, Pixel, Wasserstein
from srkit.parts import load_file
from srkit.profiles import PROFILES, fit
from srkit.recipes import RECIPES, find_recipe
from srkit.records import describe
from srkit.runs import Run
from srkit.study import read_study, train_one, work
from srkit.study.figures import draw_crops, draw_curves, draw_losses, draw_plane, groups, losses_by_epoch
from srkit.study.record import by_term, collect, read_record, thinned
from srkit.study.report import redraw, system_page, write_pages
from srkit.study.scores import first_trained_by, is_scored, score_one, task
from srkit.study.tables import common_table, compared, means, overview, own_table, unlike, write_tables
from srkit.study.variants import vary
from srkit.study.work import claim, share, startable, status, submit_study
from srkit.tables import results

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = """
[study]
name = "tiny"
profile = "laptop"
data = "starter"
seeds = [0, 1]
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
recipe = "srresnet"

[[system]]
recipe = "my_recipes.py:GAN"

[[system]]
recipe = "div2k_x2"
name = "wild"
degradation = "wild"
seeds = [0]
"""
MINE = """
from dataclasses import replace
from srkit.losses import Adversarial, Pixel
from srkit.recipes import SRGAN
phase = replace(SRGAN.phases[1], losses={Pixel("mse"): 1.0, Adversarial(): 1e-3})
GAN = replace(SRGAN, name="gan", phases=(SRGAN.phases[0], phase))
NOT = 3
"""
VARIANT = '\n[[variant]]\nname = "hinge"\nbase = "gan"\nset = { %s }\n'
HINGE = '"phases.gan.losses.adversarial" = { name = "Adversarial", kind = "hinge" }'


def written(folder: Path, text: str = TINY) -> Path:
    """A study's file in a folder, with the recipes and the test pictures that it names."""
    (folder / "my_recipes.py").write_text(MINE)
    for name, seed in (("a", 0), ("b", 1)):
        noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
        write_image(folder / "pictures" / f"{name}.png", noise.repeat(8, 0).repeat(8, 1))
    (folder / "tiny.toml").write_text(text)
    return folder / "tiny.toml"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The tiny study, all of it trained and scored in this process, and its record."""
    folder = tmp_path_factory.mktemp("study")
    said = TINY + 'found = "Its noise is smoothed away."\n' + VARIANT % HINGE
    study = read_study(written(folder, said))
    for planned in study.runs():
        train_one(planned, folder / "runs")
        score_one(planned, folder / "runs")
    return study, folder, collect(study, folder / "runs", folder / "figures")


def test_a_study_means_each_system_times_its_seeds(tmp_path):
    study = read_study(written(tmp_path))
    runs = study.runs()
    assert [(p.system, p.seed) for p in runs] == [
        ("srresnet", 0), ("gan", 0), ("wild", 0), ("srresnet", 1), ("gan", 1),
    ]  # fmt: skip
    assert [p.folder for p in runs[:3]] == ["srresnet-tiny-s0", "gan-tiny-s0", "wild-tiny-s0"]
    srresnet, gan, wild = runs[:3]
    assert srresnet.first_phase == gan.first_phase != wild.first_phase
    assert (wild.recipe.degradation, wild.recipe.scale, wild.recipe.crop) == (WILD, 2, 32)
    expected = fit(
        RECIPES["srresnet"], replace(PROFILES["laptop"], psnr_steps=4, batch=2, crop=32, channels=4, blocks=1)
    )
    assert describe(srresnet.recipe)["phases"] == describe(expected)["phases"]
    for planned in runs:  # what `train` will fit again stays as it is
        assert describe(fit(planned.recipe, planned.profile)) == describe(planned.recipe)


def test_a_variant_says_more_than_its_profile_allows_and_what_it_drops_stays_away(tmp_path):
    more = VARIANT.replace("hinge", "wide") % '"generator.blocks" = 3, generator.norm = "none", phases.gan.lr = 0.5'
    more += VARIANT.replace("hinge", "short") % '"profile.gan_steps" = 1' + 'drop = ["phases.psnr"]\nseeds = [5]\n'
    more += VARIANT.replace("hinge", "bare") % "" + 'drop = ["phases.gan.losses.checkerboard"]\n'
    text = TINY.replace("validate_every", "guard = 5.0\nvalidate_every") + more
    runs = {planned.system: planned for planned in read_study(written(tmp_path, text)).runs()}
    wide = runs["wide"].recipe
    assert (wide.generator.keywords["blocks"], wide.generator.keywords["norm"], wide.phases[1].lr) == (3, None, 0.5)
    assert [(phase.name, phase.steps) for phase in runs["short"].recipe.phases] == [("gan", 1)]
    assert runs["short"].seed == 5
    terms = {name: {loss.term for loss in fit(p.recipe, p.profile).phases[-1].losses} for name, p in runs.items()}
    assert terms["gan"] - terms["bare"] == {"checkerboard"}


def test_dotted_names_change_one_thing_each():
    srgan = RECIPES["srgan"]
    (vgg, adversarial), phase = srgan.phases[1].losses, "phases.gan.losses"
    assert vary(srgan, {f"{phase}.adversarial.weight": 1}).phases[1].losses == {vgg: 0.006, adversarial: 1}
    hinge = vary(srgan, {f"{phase}.adversarial.kind": "hinge"})
    assert list(hinge.phases[1].losses) == [vgg, Adversarial("hinge")]
    added = vary(srgan, {f"{phase}.pixel": {"name": "Pixel", "kind": "l1", "weight": 2.0}}).phases[1].losses
    assert added[Pixel("l1")] == 2.0
    assert len(added) == 3
    wasserstein = {f"{phase}.adversarial": {"name": "Wasserstein"}, "discriminator.norm": "instance"}
    assert Wasserstein() in vary(srgan, wasserstein).phases[1].losses
    other = vary(srgan, {"generator": {"name": "RRDBNet", "blocks": 2}}).generator
    assert (other.func.__name__, other.keywords) == ("RRDBNet", {"blocks": 2})
    assert vary(srgan, {"ema": 0.0, "phases.gan.betas": [0.0, 0.9]}).phases[1].betas == (0.0, 0.9)
    assert vary(srgan, {}, [f"{phase}.perceptual"]).phases[1].losses == {adversarial: 1e-3}
    assert Perceptual("vgg19", "conv3_4") in vary(srgan, {f"{phase}.perceptual.layer": "conv3_4"}).phases[1].losses


OWN = """
from __future__ import annotations  # annotations are then text
from dataclasses import dataclass, replace
from torch import nn
from srkit.recipes import SRRESNET

class Net(nn.Module):
    def __init__(self, scale: int = 4, channels=16, slope=0.1, skip=False):
        super().__init__()
        self.scale = scale

@dataclass(frozen=True)
class Dead:
    share: float = 0.01

MINE = replace(SRRESNET, generator=Net, degradation=Dead())
"""


def test_an_option_of_ones_own_part_is_changed_whether_or_not_its_kind_can_be_read(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    mine = find_recipe(f"{tmp_path / 'own.py'}:MINE")
    changes = {"generator.channels": 32, "generator.slope": 1, "generator.skip": True, "degradation.share": 0.5}
    changed = vary(mine, changes)
    assert changed.generator.keywords == {"channels": 32, "slope": 1, "skip": True}
    assert changed.degradation.share == 0.5
    for name, value, kind in (("channels", "32", "a number"), ("skip", 1, "true or false")):
        with pytest.raises(SrkitError, match=f"generator.{name} = .* does not fit: it takes {kind}"):
            vary(mine, {f"generator.{name}": value})
    plain = replace(mine, degradation=type("Plain", (), {"__call__": lambda *_: None})())
    with pytest.raises(SrkitError, match=r"degradation.share: Plain has no options to change: make .* dataclass"):
        vary(plain, {"degradation.share": 0.5})


BAD = [
    ('name = "tiny"', "", r"line 2: \[study\] has no name"),
    ('name = "tiny"', 'name = "smoke"', "line 3: name = 'smoke' is a profile's"),
    ('name = "tiny"', 'name = "a/b"', "line 3: name = 'a/b' is to name a folder"),
    ('profile = "laptop"', 'profile = "smoke"', "line 4: .*smoke.*mean nothing"),
    ('profile = "laptop"', 'profile = "laptp"', "line 4: profile 'laptp' is not known"),
    ("seeds = [0, 1]", "", "srresnet has no seeds: write seeds"),
    ("seeds = [0, 1]", "seeds = [0, 0]", "seeds of srresnet has one of them twice"),
    ("seeds = [0, 1]", "seeds = [-1]", r"line 6: seeds = \(-1,\) is out of range"),
    ("seeds = [0, 1]", 'seeds = "0"', "line 6: seeds = '0' does not fit: it takes a list of whole numbers"),
    ("seeds = [0, 1]", "sedes = [0, 1]", r"line 6: \[study\] has no 'sedes': did you mean seeds\?"),
    ("seeds = [0, 1]", "seeds = [0, 1", r"tiny.toml: .*line 7"),
    ("batch = 2", "batchs = 2", r"line 12: a profile has no 'batchs': did you mean batch\?"),
    ("batch = 2", 'batch = "2"', "line 12: a profile.batch = '2' does not fit"),
    ("batch = 2", "batch = 0", "line 12: a profile.batch = 0 is out of range"),
    ('recipe = "srresnet"', 'recipe = "srresnt"', "line 25: recipe 'srresnt' is not known"),
    ('recipe = "srresnet"', "", r"line 24: this \[\[system\]\] has no recipe"),
    ("my_recipes.py:GAN", "my_recipes.py:GAM", r"line 28: .*my_recipes.py has no 'GAM': did you mean GAN\?"),
    ("my_recipes.py:GAN", "my_recipes.py:NOT", "line 28: .*my_recipes.py:NOT is a int, and no Recipe"),
    ("my_recipes.py:GAN", "no_recipes.py:GAN", "line 28: .*no_recipes.py is not there"),
    ('degradation = "wild"', 'degradation = "wilde"', r"line 33: .* 'wilde' is not known: did you mean wild\?"),
    ('degradation = "wild"', "degradation = { sigma = 2.0 }", "line 33: .*it takes a name, or a table with one"),
    ("seeds = [0, 1]", 'valid = "none.txt"', "line 6: .*none.txt does not open as a list"),
    ("seeds = [0, 1]", 'valid = "empty.txt"', "line 6: valid = 'empty.txt' lists no photograph"),
    ('tests = ["pictures"]', 'tests = ["a/Set5", "b/Set5"]', "line 7: .*names one set twice, or two of one name"),
    ('degradation = "wild"', "scale = 5", "wild: a 5-fold scale is not built"),
    ('degradation = "wild"', "bogus = 1", r"line 33: this \[\[system\]\] has no 'bogus'"),
    ('name = "wild"', 'name = "gan"', "name gan is taken"),
    ("[[system]]\n", "[[sistem]]\n", r"a study's file has no 'sistem': did you mean system\?"),
]  # fmt: skip
BAD_CHANGES = [
    ('genrator.norm = "none"', r"line 39: .*a recipe has no 'genrator': did you mean generator\?"),
    ("generator = 3", "line 39: generator = 3 does not fit: it takes a name, or a table with one"),
    ('generator.norm = "bacth"', "line 39: .*norm 'bacth' is not known"),
    ("generator.bloks = 2", r"line 39: .*SRResNet has no 'bloks': did you mean blocks\?"),
    ('generator.blocks = "2"', "line 39: .*generator.blocks = '2' does not fit: it takes a whole number"),
    ("phases.gna.lr = 1e-3", "line 39: .*hinge's phases has no 'gna'"),
    ('phases.gan.schedule = "linear"', "line 39: phases.gan.schedule = 'linear' does not fit: .*'cosine'"),
    ("phases.gan.lr = -1.0", "line 39: phases.gan.lr = -1.0 is out of range"),
    ("phases.gan.lr = nan", "line 39: phases.gan.lr = nan is out of range"),
    ("phases.gan.losses.perceptual.weight = 1.0", "line 39: .*phase gan has no 'perceptual'"),
    ('phases.gan.losses.adversarial.kind = "hing"', "line 39: .*kind = 'hing' does not fit: .*'hinge'"),
    ('phases.gan.losses.pixel = "Adversarial"', "line 39: .*Adversarial is no pixel loss"),
    (
        'phases.gan.losses.adversarial = "Wasserstein"',
        "line 39: phases.gan.losses.adversarial: a gradient penalty is .* batch norm mixes",
    ),
    ('generator.end = "tanh", generator.skip = true', "line 39: .*end 'tanh' is not known.*choose one of linear"),
    ("crop = 34", "a crop of 34 pixels is not a multiple of the scale 4"),
    ("phases.gan.losses.pixel = 3", "line 39: phases.gan.losses.pixel = .* it takes a name, or a table with one"),
    ("discriminator = 2.5", "line 39: discriminator = 2.5 does not fit"),
    (
        '} \ndrop = ["phases.gan.losses.pixl"] #',
        "line 40: what hinge may drop has no 'phases.gan.losses.pixl': did you mean",
    ),
    ('} \ndrop = ["phases.psnr", "phases.gan"] #', "line 40: without phases.gan there is nothing left to train with"),
    ("", "line 37: hinge is the same as gan: change something, or leave it out"),
]


@pytest.mark.parametrize(("old", "new", "message"), [*BAD, *(("", *change) for change in BAD_CHANGES)])
def test_what_cannot_be_run_or_built_is_refused_with_its_line(tmp_path, old, new, message):
    assert old in TINY
    (tmp_path / "empty.txt").write_text("# none\n\n")
    with pytest.raises(SrkitError, match=message) as error:
        read_study(written(tmp_path, TINY.replace(old, new, 1) if old else TINY + VARIANT % new))
    assert "\n" not in str(error.value)


def test_photographs_to_validate_on_are_listed_in_the_file_or_in_one_beside_it(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "some.txt").write_text("# chosen by hand\nchelsea.png\n\n  a/#1.png\n")
    for said in ('"lists/some.txt"', '["chelsea.png", "a/#1.png"]'):
        text = TINY.replace("seeds = [0, 1]", f"seeds = [0]\nvalid = {said}")
        assert read_study(written(tmp_path, text)).valid == ("chelsea.png", "a/#1.png")


def test_the_example_of_the_how_to_can_be_read(project, tmp_path):
    page = (project / "docs" / "howto" / "studies.md").read_text(encoding="utf-8")
    study = read_study(written(tmp_path, page.split("```toml\n")[1].split("```")[0]))
    assert [planned.system for planned in study.runs()[:2]] == ["srgan", "srgan-without-norm"]


def test_data_that_is_not_there_is_told_before_anything_runs(tmp_path):
    for old, new in (('"starter"', '"nowhere"'), ("pictures", "paintings")):
        study = read_study(written(tmp_path, TINY.replace(old, new)))
        with pytest.raises(SrkitError, match=re.escape(new.strip('"'))):
            study.check_data()


@pytest.mark.parametrize("name", ["systems", "choices"])
def test_the_studies_that_come_with_srkit_can_be_run(project, name):
    study = read_study(project / "studies" / f"{name}.toml")
    runs = study.runs()
    assert len({planned.folder for planned in runs}) == len(runs)
    assert len(set(study.valid)) == len(study.valid) >= 50
    if name == "systems":
        wanted = {"srresnet", "srgan", "esrgan", "pixelforge", "two_stage_rrdb", "bicubic_skip", "div2k_x2", "wgan_gp"}
        assert wanted <= {planned.system for planned in runs}
        assert all(sum(p.system == name for p in runs) == 3 for name in ("srresnet", "srgan"))


def test_their_photographs_hold_no_leak_and_are_divided_as_listed(project, shared):
    study = read_study(project / "studies" / "systems.toml")
    if study.place(study.data) != (shared / "photos").resolve():
        pytest.skip("the photographs are elsewhere")
    found = study.photographs
    assert len(found.train) + len(found.valid) == 1377
    assert [f"{path.parent.name}/{path.name}" for path in found.valid] == list(study.valid)
    assert "302003.jpg" not in {path.name for path in found.train}


def test_runs_of_one_first_phase_share_it_and_train_as_they_would_alone(done, tmp_path):
    study, folder, _ = done
    alone = next(planned for planned in study.runs() if planned.folder == "gan-tiny-s0")
    shared_run = Run(folder / "runs" / alone.folder)
    assert shared_run.config["first_phase_from"] == "srresnet-tiny-s0"
    again = train_one(alone, tmp_path)
    assert "first_phase_from" not in again.config
    assert again.weights("gan").read_bytes() == shared_run.weights("gan").read_bytes()


def test_no_run_begins_while_another_one_trains_its_first_phase(done, tmp_path):
    study, folder, _ = done
    runs = study.runs()
    names = lambda found: [planned.folder for planned in found]  # noqa: E731
    leaders = ["srresnet-tiny-s0", "wild-tiny-s0", "srresnet-tiny-s1"]
    assert names(startable(runs, runs, {}, tmp_path)) == leaders
    with claim(runs[0], tmp_path):  # by another start
        assert names(startable(runs, runs, {}, tmp_path)) == leaders[1:]
    assert names(startable(runs, runs, dict.fromkeys(leaders[:1]), tmp_path)) == leaders[1:]
    shutil.copytree(folder / "runs" / leaders[0], tmp_path / leaders[0])
    assert names(startable(runs[1:], runs, {}, tmp_path)) == ["gan-tiny-s0", "hinge-tiny-s0", *leaders[1:]]


def test_shares_are_whole_together_and_keep_a_first_phase_in_one(tmp_path):
    runs = read_study(written(tmp_path)).runs()
    shares = [share(runs, (number, 2)) for number in (1, 2)]
    assert sorted(p.folder for part in shares for p in part) == sorted(p.folder for p in runs)
    assert not {p.first_phase for p in shares[0]} & {p.first_phase for p in shares[1]}
    with pytest.raises(SrkitError, match="--part 3/2 is none"):
        share(runs, (3, 2))


def test_status_tells_what_is_done_running_stopped_failed_and_missing(done, tmp_path):
    study, folder, _ = done
    assert set(status(study.file, folder / "runs")["state"]) == {"done"}
    runs = tmp_path / "runs"
    for name in ("srresnet-tiny-s0", "gan-tiny-s0", "wild-tiny-s0"):
        shutil.copytree(folder / "runs" / name, runs / name)
    (runs / "srresnet-tiny-s0" / "scores.csv").unlink()
    (runs / "gan-tiny-s0" / "generator-gan.safetensors").unlink()
    history = runs / "gan-tiny-s0" / "history.csv"
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:6]))  # to step 5 of 6
    (runs / "wild-tiny-s0" / "generator-gan.safetensors").unlink()
    (runs / "logs").mkdir()
    (runs / "logs" / "wild-tiny-s0.failed").write_text("the disk is full")
    with claim(next(p for p in study.runs() if p.folder == "srresnet-tiny-s1"), runs):
        table = status(study.file, runs).set_index("run")
    assert dict(table["state"])["srresnet-tiny-s0"] == "trained"
    assert list(table.loc["gan-tiny-s0", ["state", "step", "of"]]) == ["stopped", 5, 6]
    assert list(table.loc["wild-tiny-s0", ["state", "note"]]) == ["failed", "the disk is full"]
    assert table.loc["srresnet-tiny-s1", "state"] == "running"
    assert table.loc["hinge-tiny-s1", "state"] == "missing"
    assert table["hours_left"].notna().all()


def test_status_tells_a_run_of_other_settings_and_forgets_a_failure_that_is_over(done, tmp_path):
    study, folder, _ = done
    runs = shutil.copytree(folder / "runs", tmp_path / "runs")
    for name in ("wild-tiny-s0", "gan-tiny-s0"):
        (runs / "logs").mkdir(exist_ok=True)
        (runs / "logs" / f"{name}.failed").write_text("the disk is full")
    (runs / "gan-tiny-s0" / "scores.csv").unlink()
    table = status(study.file, runs).set_index("run")
    assert list(table.loc["wild-tiny-s0", ["state", "note"]]) == ["done", ""]
    assert list(table.loc["gan-tiny-s0", ["state", "note"]]) == ["trained", ""]
    longer = written(tmp_path, study.file.read_text().replace("psnr_steps = 4", "psnr_steps = 6"))
    table = status(longer, runs)
    assert set(table["state"]) == {"other"}
    assert table["note"].str.contains("another recipe, profile or data set").all()


def test_a_run_that_was_stopped_while_it_was_scored_is_not_done(done, tmp_path):
    study, folder, _ = done
    shutil.copytree(folder / "runs", tmp_path / "runs")
    path = tmp_path / "runs" / "srresnet-tiny-s0" / "scores.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))  # one picture is missing
    assert dict(status(study.file, tmp_path / "runs").set_index("run")["state"])["srresnet-tiny-s0"] == "trained"
    record = collect(study, tmp_path / "runs", tmp_path / "figures")
    there = {(run["system"], run["seed"]) for run in record.study["runs"]}
    assert ("srresnet", 0) not in there
    assert ("gan", 0) not in there  # it has its first phase from there
    assert ("srresnet", 1) in there


def test_a_run_of_another_recipe_is_not_taken_for_done(done):
    _, folder, _ = done
    other = read_study(written(folder, TINY.replace("gan_steps = 2", "gan_steps = 3") + VARIANT % HINGE))
    table = status(other.file, folder / "runs").set_index("run")["state"]
    assert table["srresnet-tiny-s0"] == "done"
    assert table["gan-tiny-s0"] != "done"
    with pytest.raises(SrkitError, match="different recipe"):
        train_one(next(p for p in other.runs() if p.folder == "gan-tiny-s0"), folder / "runs")
    written(folder, TINY + VARIANT % HINGE)


def test_a_copied_run_whose_scores_come_before_its_weights_is_scored_and_one_trained_since_is_not(done, tmp_path):
    study, folder, _ = done
    planned = study.runs()[0]
    run = Run(shutil.copytree(folder / "runs" / planned.folder, tmp_path / planned.folder))
    for seconds, scored in ((0.5, True), (60, False)):
        for path in run.folder.iterdir():
            os.utime(path, times=(1e9, 1e9 - seconds * path.name.startswith("scores")))
        assert is_scored(planned, run) == scored


def test_a_first_phase_that_is_no_longer_where_it_was_taken_from_is_scored_with_the_run_that_has_it(done, tmp_path):
    study, folder, record = done
    runs = shutil.copytree(folder / "runs", tmp_path / "runs")
    planned = {each.folder: each for each in study.runs()}
    one, other = Run(runs / "srresnet-tiny-s0"), Run(runs / "gan-tiny-s0")
    holders = lambda: [first_trained_by(planned[run.folder.name], run) for run in (one, other)]  # noqa: E731
    assert [each.folder for each in holders()] == [one.folder, one.folder]
    taken = one.config
    one.write_config(taken | {"first_phase_from": "gan-tiny-s0"})
    assert holders() == [one, other], "each from the other, after one was trained anew"
    one.write_config(taken)
    weights = one.weights("psnr").read_bytes()
    one.weights("psnr").write_bytes(weights[:-1] + b"?")
    assert holders() == [one, other], "the other was trained anew, and has other weights"
    one.weights("psnr").write_bytes(weights)

    other.write_config(other.config | {"first_phase_from": "of-another-study-s0"})
    assert not is_scored(planned["gan-tiny-s0"], other)
    score_one(planned["gan-tiny-s0"], runs)
    rows = [each.scores.query("system == 'gan'") for each in (record, collect(study, runs, tmp_path / "figures"))]
    pd.testing.assert_frame_equal(*(each.reset_index(drop=True) for each in rows))


def test_the_record_holds_each_systems_scores_on_the_common_and_on_its_own_task(done):
    _, folder, record = done
    assert record.systems == ["srresnet", "gan", "wild", "hinge"]
    common, own = common_table(record), own_table(record)
    assert set(common["system"]) == {"bicubic", *record.systems}
    assert dict(zip(own["system"], own["task"], strict=True))["wild"] == "x2, wild"
    rows = pd.read_csv(folder / "runs" / "wild-tiny-s0" / "scores-own.csv")
    expected = rows[rows["method"] == "gan"]["psnr_y"].mean()
    assert own.set_index("system").loc["wild", "psnr_y"] == pytest.approx(expected, abs=1e-3)
    first = record.scores.query("system == 'gan' and phase == 'psnr' and seed == 0")["psnr_y"]
    theirs = pd.read_csv(folder / "runs" / "srresnet-tiny-s0" / "scores.csv")["psnr_y"]
    np.testing.assert_allclose(first, theirs, atol=1e-3)  # scored once, by whom it was trained


def test_two_degradations_of_ones_own_with_one_name_are_two_tasks(tmp_path):
    tasks = []
    for name, step in (("first", 4), ("second", 2)):
        file = tmp_path / f"{name}.py"
        file.write_text(f"def thinned(hr, scale, rng):\n    return hr[::{step}, ::{step}]\n")
        tasks.append(task(4, load_file(f"{file}:thinned")))
    assert tasks[0] != tasks[1]
    assert all(re.fullmatch("x4, thinned [0-9a-f]{6}", each) for each in tasks)


def test_means_spread_and_tests_are_those_of_the_definitions():
    rows = [
        {"set": "s", "task": "t", "system": system, "seed": seed, "image": image}
        | dict.fromkeys(("lpips", "ssim_y", "lpips_squeeze"), 0.5)
        | {"psnr_y": 20 + seed + 2 * image + (system == "b") * (1 + image / 10) + (system == "c") * (-1) ** image}
        for system in ("a", "b", "c") for seed in (0, 1, 2) for image in range(6)
    ]  # fmt: skip
    table = compared(rows := pd.DataFrame(rows), means(rows), {"b": "a", "c": "a"}).set_index("system")
    assert table.loc["a", "psnr_y"] == pytest.approx(20 + 1 + 5)
    assert table.loc["a", "psnr_y_std"] == pytest.approx(np.std([25, 26, 27], ddof=1))
    assert table.loc["b", "psnr_y_gain"] == pytest.approx(1.25)
    assert table.loc["b", "psnr_y_gain_low"] < 1.25 < table.loc["b", "psnr_y_gain_high"]
    # all six gains of b have one sign: two of 64 as far, twice that by Holm, as there are two tests
    assert table["psnr_y_p"].tolist() == pytest.approx([np.nan, 2 * 2 / 2**6, 1], nan_ok=True)
    assert table["against"].tolist() == ["–", "a", "a"]
    assert list(table["seeds"]) == [3, 3, 3]
    assert list(table["images"]) == [6, 6, 6]
    fewer = rows[(rows["system"] != "b") | (rows["seed"] == 2)]  # whose base scores a dB more than its mean over seeds
    table = compared(fewer, means(fewer), {"b": "a", "c": "a"}).set_index("system")
    assert table.loc["b", "psnr_y_gain"] == pytest.approx(1.25)


def test_runs_that_are_not_alike_are_told_of(done):
    _, _, record = done
    said = unlike(record.study["runs"])
    assert "steps: 4 psnr (srresnet); 4 psnr + 2 gan (gan, wild, hinge)" in said
    assert "photographs" not in said
    runs = json.loads(json.dumps(record.study["runs"]))
    runs[0]["data"]["fingerprint"] = "other"
    assert "photographs: starter (other) (srresnet)" in unlike(runs)


def test_the_generators_loss_is_the_sum_that_it_minimises(done):
    _, folder, record = done
    table = losses_by_epoch(record, "gan").query("phase == 'gan'")
    history = Run(folder / "runs" / "gan-tiny-s0").history().query("phase == 'gan'")
    expected = history["pixel"] + 1e-3 * history["adversarial"] + PROFILES["laptop"].guard * history["checkerboard"]
    np.testing.assert_allclose(table["generator"], expected, rtol=1e-3)
    np.testing.assert_allclose(table["epoch"], history["step"] * 2 / 3)  # 3 photographs, 2 crops a step


def test_losses_of_one_term_are_weighed_together_or_not_at_all(done):
    """The history has their sum alone: of 1 l1 + 10 mse nobody can make 11 times it."""
    _, _, record = done
    assert by_term([("pixel", 2.0), ("pixel", 2.0), ("adversarial", 1.0)]) == {"pixel": 2.0, "adversarial": 1.0}
    runs = json.loads(json.dumps(record.study["runs"]))
    for run in runs:
        run["loss_weights"]["psnr"] = by_term([("pixel", 1.0), ("pixel", 10.0)])
    other = replace(record, study=record.study | {"runs": runs})
    table = losses_by_epoch(other, "gan").set_index("phase")["generator"]
    assert table["psnr"].isna().all()
    assert table[["gan"]].notna().all()
    figure, _, _ = draw_losses(other, ["gan"])
    plt.close(figure)


def test_a_term_that_several_losses_have_names_none_of_them():
    srgan = RECIPES["srgan"]
    both = replace(srgan.phases[0], losses={Pixel("l1"): 1.0, Pixel("mse"): 10.0})
    mine = replace(srgan, name="mine", phases=(both, srgan.phases[1]))
    path = "phases.psnr.losses.pixel"
    for change in ({path: "Pixel"}, {f"{path}.weight": 2.0}, {f"{path}.kind": "l1"}):
        with pytest.raises(SrkitError, match="phase psnr has several pixel losses"):
            vary(mine, change)
    with pytest.raises(SrkitError, match="phase psnr has several pixel losses"):
        vary(mine, {}, [path])
    assert len(vary(mine, {}, ["phases.gan.losses.perceptual"]).phases[1].losses) == 1


def test_pictures_of_one_name_in_two_sets_count_twice(done):
    _, _, record = done
    twice = pd.concat([record.scores, record.scores.assign(set="more")])
    figure, _, text = draw_plane(replace(record, scores=twice), record.systems)
    assert "Means over the 4 pictures" in text
    plt.close(figure)


def test_a_thinned_history_keeps_its_end_and_its_validations():
    steps = np.arange(1, 5001)
    phases = np.where(steps <= 4001, "psnr", "gan")
    history = pd.DataFrame({"phase": phases, "step": steps, "psnr_y": np.where(steps % 50 == 0, 20.0, np.nan)})
    kept = thinned(history)
    assert len(kept) <= 402
    assert 4001 in set(kept["step"]), "each phase keeps its end"
    assert kept["psnr_y"].notna().sum() >= 50
    assert kept["step"].is_monotonic_increasing
    assert kept["step"].iloc[-1] == 5000
    pd.testing.assert_frame_equal(thinned(kept), kept)


def test_the_overview_has_every_system_on_the_common_task_and_on_its_own(done):
    _, _, record = done
    table = overview(record)
    assert list(zip(table["task"], table["system"], strict=True)) == [
        ("x4, bicubic", "bicubic"), ("x4, bicubic", "srresnet"), ("x4, bicubic", "gan"), ("x4, bicubic", "hinge"),
        ("x2, bicubic", "bicubic"), ("x2, bicubic", "wild"), ("x2, wild", "bicubic"), ("x2, wild", "wild"),
    ]  # fmt: skip
    of_gan = record.scores[(record.scores["system"] == "gan") & (record.scores["phase"] == "gan")]
    one, other = (float(np.mean(of_gan[of_gan["seed"] == seed]["psnr_y"])) for seed in (0, 1))
    psnr = table.set_index(["task", "system"]).loc[("x4, bicubic", "gan"), "pictures"].split(" / ")[0]
    assert psnr == f"{(one + other) / 2:.2f} ± {abs(one - other) / 2**0.5:.2f}"


def test_a_figure_shows_every_system_of_its_group(done):
    _, _, record = done
    assert groups(record) == {"": record.systems}
    grouped = replace(record, study=record.study | {"groups": record.study["groups"] | {"hinge": "kind"}})
    assert groups(grouped) == {"": ["srresnet", "gan", "wild"], "kind": ["gan", "hinge"]}
    assert {path.stem for path in write_pages(grouped) if path.suffix == ".md"} == {"srresnet", "gan", "wild"}
    for systems, judges in ((["srresnet"], 0), (["srresnet", "gan"], 1)):
        figure, _, _ = draw_losses(record, systems)
        assert len(figure.legends[0].get_texts()) == 1 + judges
    for draw in (draw_plane, draw_curves, draw_losses):
        figure, table, _ = draw(record, record.systems)
        assert set(record.systems) <= set(table["system"])
        plt.close(figure)
    place, failure = record.study["crops"]
    assert (place["picture"], failure["picture"], failure["rank"]) == ("pictures/a.png", "pictures/b.png", "least")
    figure, table, text = draw_crops(record, record.systems, place)
    shown = ["HR", "bicubic, x4", "bicubic, x2", "srresnet, x4", "gan, x4", "wild, x2", "hinge, x4"]
    assert list(table["shown"]) == [axis.get_title().partition("\n")[0] for axis in figure.axes if axis.images] == shown
    assert "All from the bicubic LR" in text
    plt.close(figure)


@pytest.mark.slow
def test_all_is_drawn_from_what_is_kept_without_runs_and_photographs(done, tmp_path):
    study, folder, _ = done
    shutil.copytree(folder / "figures", tmp_path / "figures")
    (tmp_path / "my_recipes.py").write_text(MINE)
    (tmp_path / "alone.toml").write_text(study.file.read_text())
    old, own = (tmp_path / "figures" / name for name in ("crops-of-wild-pictures-old.png", "mine.png"))
    old.touch(), own.touch()
    paths = redraw(tmp_path / "alone.toml", tmp_path / "figures")
    assert all(path.stat().st_size for path in paths)
    assert (old.exists(), own.exists()) == (False, True), "a figure that is no longer drawn"
    names = {path.name for path in paths}
    for figure in ("plane", "curves", "losses", "crops-pictures-a", "history-wild", "crops-of-wild-pictures-a"):
        assert {f"{figure}.{kind}" for kind in ("pdf", "png", "csv")} <= names
    assert {"common.tex", "common.md", "own.csv", "runs.md", "overview.md", "wild.md"} <= names
    assert "hinge" in (tmp_path / "figures" / "common.tex").read_text()


def test_a_page_says_where_a_system_is_from_what_it_was_trained_for_and_what_it_scored(done):
    _, _, record = done
    page = system_page(record, "wild")
    assert "Lim and Ye 2017" in page
    assert "## Its own task: x2, wild" in page
    score = own_table(record).set_index("system").loc["wild", "psnr_y"]
    assert f"{score:.2f}" in page
    assert "Its noise is smoothed away." in page
    assert "no equal of the numbers above" in page
    assert "many more steps" in system_page(record, "srresnet")
    with pytest.raises(SrkitError, match="no finished run of esrgan"):
        system_page(record, "esrgan")


def test_nothing_done_and_nothing_kept_are_one_sentence_each(tmp_path):
    study = read_study(written(tmp_path))
    with pytest.raises(SrkitError, match="nothing of tiny is done yet"):
        collect(study, tmp_path / "runs", tmp_path / "figures")
    with pytest.raises(SrkitError, match="keeps no study"):
        read_record(tmp_path / "figures")


@pytest.mark.parametrize(
    ("named", "expected"), [(None, ["0", "1", "0"]), ("", ["0", "1", "0"]), ("3,GPU-5a", ["3", "GPU-5a", "3"])]
)
def test_workers_share_out_the_gpus_that_they_may_use(named, expected, tmp_path, monkeypatch):
    """As SLURM names them to a job: each worker that saw all of them would take the first."""
    taken = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        work.subprocess,
        "Popen",
        lambda command, env, **options: taken.append(env["CUDA_VISIBLE_DEVICES"]) or SimpleNamespace(),
    )
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    planned = read_study(written(tmp_path)).runs()[0]
    for slot in range(3):
        work._start(planned, tmp_path, None, slot)
    assert taken == expected


def start(file: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "srkit", "study", "run", str(file), "--runs", str(file.parent / "runs")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    return subprocess.Popen(
        [*command, "--figures", str(file.parent / "figures"), *more], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def until(true, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
def test_a_killed_study_goes_on_and_ends_as_one_that_was_not(tmp_path):
    text = TINY.replace("psnr_steps = 4", "psnr_steps = 200").replace("seeds = [0, 1]", "seeds = [0]")
    file = written(tmp_path, text)
    log = tmp_path / "runs" / "srresnet-tiny-s0" / "history.csv"
    first = start(file, "--workers", "1")
    until(lambda: log.exists() and len(log.read_text().splitlines()) > 3)
    first.send_signal(signal.SIGKILL)  # its worker sees that, saves and stops
    first.wait()
    until(lambda: status(file, tmp_path / "runs").set_index("run")["state"]["srresnet-tiny-s0"] != "running")
    assert status(file, tmp_path / "runs").set_index("run")["state"]["srresnet-tiny-s0"] == "stopped"
    again = start(file)
    assert again.wait(400) == 0, again.stdout.read()
    whole = train_one(read_study(file).runs()[0], tmp_path / "other")
    mine = Run(tmp_path / "runs" / "srresnet-tiny-s0")
    assert mine.weights("psnr").read_bytes() == whole.weights("psnr").read_bytes()


@pytest.mark.slow
def test_two_starts_at_once_share_the_work_and_a_failed_run_is_named_at_the_end(tmp_path):
    file = written(tmp_path, TINY)
    (tmp_path / "my_recipes.py").write_text(MINE + WRONG)
    file.write_text(TINY + '\n[[system]]\nrecipe = "my_recipes.py:BROKEN"\nseeds = [0]\n')
    both = [start(file, "--workers", "1") for _ in range(2)]
    said = [each.communicate(timeout=400)[0] for each in both]
    assert [each.returncode for each in both] == [1, 1], said
    done = re.findall(r"^(\S+): done$", "\n".join(said), re.M)
    assert sorted(done) == sorted(p.folder for p in read_study(file).runs() if p.system != "broken")
    assert all("broken-tiny-s0 failed: RuntimeError: it breaks" in text for text in said)
    assert (tmp_path / "figures" / "common.md").exists()


WRONG = """
class Breaks(type(Pixel())):
    def __call__(self, sr, hr):
        raise RuntimeError("it breaks")
broken = replace(SRGAN.phases[0], losses={Breaks(): 1.0})
BROKEN = replace(SRGAN, name="broken", phases=(broken,), discriminator=None)
"""


@pytest.mark.slow
def test_an_array_of_jobs_does_a_study_on_this_machine(tmp_path):
    pytest.importorskip("submitit")
    file = written(tmp_path, TINY.replace("seeds = [0, 1]", "seeds = [0]"))
    jobs = submit_study(file, "jobs=2,partition=gpu,time=8:00:00", tmp_path / "runs", cluster="local")
    assert [job.result() for job in jobs] == [{}, {}]
    assert set(status(file, tmp_path / "runs")["state"]) == {"done"}


def test_the_command_line_says_one_sentence(tmp_path, capsys):
    file = written(tmp_path, TINY.replace("seeds = [0, 1]", ""))
    assert main(["study", "status", str(file)]) == 1
    assert re.fullmatch(r"srkit: tiny.toml, line \d+: srresnet has no seeds: .*\n", capsys.readouterr().err)
    assert main(["study", "status", str(tmp_path / "no.toml")]) == 1
    assert "does not open as a study's file" in capsys.readouterr().err
    assert main(["study", "status", str(written(tmp_path)), "--runs", str(tmp_path / "runs")]) == 1
    assert "5 missing" in capsys.readouterr().out


def test_a_notebook_shows_a_group_with_what_it_gained_on_its_base(done, tmp_path, monkeypatch, capsys):
    _, folder, record = done
    for name in ("home", "inputs"):
        monkeypatch.setattr(studies, name, lambda name=name: tmp_path / name)
    assert studies.show_group("", "tiny") is None
    assert "srkit study run studies/tiny.toml makes it" in capsys.readouterr().out
    attached = shutil.copytree(folder / "figures", tmp_path / "inputs" / "wheel" / "figures" / "tiny")  # on Kaggle
    write_tables(read_record(attached))
    shown = studies.show_group("", "tiny").data.set_index("variant")
    assert "Study tiny: tiny profile" in capsys.readouterr().out
    plt.close("all")
    rows = record.scores[record.scores["task"] == "x4, bicubic"]
    last = {"srresnet": "psnr", "gan": "gan", "hinge": "gan"}
    scores = {name: rows[(rows["system"] == name) & (rows["phase"] == phase)] for name, phase in last.items()}
    means = {name: each.groupby("image")["psnr_y"].mean() for name, each in scores.items()}
    for name, base in {"gan": "srresnet", "hinge": "gan"}.items():
        gain = (means[name] - means[base]).mean()
        assert float(shown.loc[name, "gain (95 % interval)"].split()[0]) == pytest.approx(gain, abs=0.006)
    assert shown.loc["srresnet", "gain (95 % interval)"] == "the base"
    of_gan = scores["gan"].groupby("seed")["psnr_y"].mean()
    assert shown.loc["gan", "PSNR-Y (dB)"] == f"{of_gan.mean():.2f} ± {of_gan.std():.2f}"


def test_a_notebook_takes_the_scores_of_each_picture_from_a_record(done, tmp_path, monkeypatch):
    _, folder, record = done
    for name in ("home", "inputs"):
        monkeypatch.setattr(studies, name, lambda name=name: tmp_path / name)
    assert studies.picture_scores(["gan"], "pictures", "tiny") is None
    shutil.copytree(folder / "figures", tmp_path / "home" / "figures" / "tiny")
    rows = studies.picture_scores(["gan", "srresnet"], "pictures", "tiny")
    assert set(rows["method"]) == {"bicubic", "gan, seed 0", "gan, seed 1", "srresnet, seed 0", "srresnet, seed 1"}
    table = results(rows[rows["scale"] == 4]).set_index("method")
    scored = (
        record.scores[record.scores["task"] == "x4, bicubic"]
        .set_index(["system", "seed", "phase", "image"])
        .sort_index()
    )
    gains = scored.loc[("gan", 1, "gan"), "psnr_y"] - scored.loc[("bicubic", 0, ""), "psnr_y"]
    assert table.loc["gan, seed 1", "gain"] == pytest.approx(gains.mean())
    assert len(rows) == len(studies.picture_scores(["srresnet"], "pictures", "tiny")) * 5 / 3  # bicubic at x4 alone


def test_a_notebook_takes_the_history_of_a_run_from_a_record(done, tmp_path, monkeypatch):
    _, folder, _ = done
    for name in ("home", "inputs"):
        monkeypatch.setattr(studies, name, lambda name=name: tmp_path / name)
    assert studies.study_history("gan", 1, "tiny") is None
    shutil.copytree(folder / "figures", tmp_path / "inputs" / "figures" / "tiny")
    theirs = Run(folder / "runs" / "gan-tiny-s1").history()
    ours = studies.study_history("gan", 1, "tiny")
    assert list(ours.columns) == list(theirs.columns)
    assert ours["psnr_y"].tolist() == pytest.approx(theirs["psnr_y"].tolist(), abs=1e-3, nan_ok=True)  # five digits


def test_a_notebook_shows_each_systems_page_with_its_pictures_inside(done, tmp_path, monkeypatch):
    _, folder, record = done
    shown = []
    monkeypatch.setattr(studies, "home", lambda: tmp_path)
    monkeypatch.setattr(studies, "display", lambda html: shown.append(html.data))
    shutil.copytree(folder / "figures", tmp_path / "figures" / "tiny")
    place = record.study["crops"][0]["folder"]
    for system in record.systems:
        for name in (f"history-{system}", f"crops-of-{system}-{place}"):
            write_image(tmp_path / "figures" / "tiny" / f"{name}.png", np.zeros((30, 1800, 3), np.uint8))
        (tmp_path / "figures" / "tiny" / "pages").mkdir(exist_ok=True)
        (tmp_path / "figures" / "tiny" / "pages" / f"{system}.md").write_text(system_page(record, system))
    studies.show_pages("tiny")
    assert len(shown) == len(record.systems)
    for system, html in zip(record.systems, shown, strict=True):
        assert html.startswith(f"<details><summary><b>{system}</b>")
        pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
        assert [Image.open(BytesIO(base64.b64decode(each))).size for each in pictures] == [(900, 15)] * 2
        assert "../" not in html
        assert "<table" in html
