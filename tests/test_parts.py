"""Parts of one's own: they train, stop, resume, load and enlarge as built-in ones do, and a run never brings code."""

import json
import os
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from torch import nn

import srkit
from srkit import comparison, parts, recipes
from srkit.checking import check
from srkit.cli import main
from srkit.export import export_hub
from srkit.files import SrkitError
from srkit.images import read_image, to_image, to_tensor, write_image
from srkit.losses import Adversarial
from srkit.pretrained import find_systems, resolve
from srkit.profiles import PROFILES, fit
from srkit.recipes import Phase, Recipe, find_recipe
from srkit.records import build, describe
from srkit.runs import Run
from srkit.thesis.opening import _loss_weights
from srkit.training import Interrupted, train

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = replace(
    PROFILES["smoke"], psnr_steps=6, gan_steps=6, batch=2, crop=32, log_every=1, validate_every=3, validate_on=(1, 48)
)
FILE = """
from dataclasses import replace
from torch import nn
from srkit.recipes import SRRESNET_LIGHT, Phase

class Small(nn.Module):
    def __init__(self, scale=4, channels=8):
        super().__init__()
        self.scale = scale
        self.body = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.PReLU(),
                                  nn.Conv2d(channels, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr):
        return self.body(lr)

class Mae:
    def __call__(self, sr, hr):
        return (sr - hr).abs().mean()

MINE = replace(SRRESNET_LIGHT, name="mine", generator=Small, phases=(Phase("psnr", steps=6, losses={Mae(): 1.0}),))
number = 3
"""


class Plain(nn.Module):
    """forward and scale, and no more."""

    def __init__(self):
        super().__init__()
        self.scale = 4
        self.body = nn.Sequential(nn.Conv2d(3, 48, 5, padding=2), nn.PixelShuffle(4))

    def forward(self, lr):
        return self.body(lr)


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3))

    def forward(self, picture):
        return self.body(picture).mean((1, 2, 3))[:, None]


def mae(sr, hr):
    return (sr - hr).abs().mean()


def warmed(step, steps):
    return min(1.0, (step + 1) / 3)


@dataclass(frozen=True)
class Skipped:
    """Takes every scale-th pixel."""

    first: int = 0

    def __call__(self, hr, scale, seed=0):
        return hr[..., self.first :: scale, self.first :: scale]


GAN = Phase("gan", steps=6, losses={mae: 1.0, Adversarial("hinge"): 1e-3})
OWN = Recipe(
    name="own",
    about="all its parts are this file's",
    cite="nobody",
    generator=Plain,
    discriminator=Judge,
    degradation=Skipped(),
    phases=(Phase("psnr", steps=6, losses={mae: 1.0}, schedule=warmed), GAN),
)


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch):
    """Each test is a process of its own, as far as named parts go."""
    monkeypatch.setattr(parts, "NAMED", {})
    monkeypatch.setattr(recipes, "OWN", {})
    yield
    for name in [name for name in sys.modules if name.startswith(parts.OWN)]:
        del sys.modules[name]


@pytest.fixture
def file(tmp_path) -> Path:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "my_recipes.py").write_text(FILE)
    return tmp_path / "lab" / "my_recipes.py"


class Edges:
    term = "edges"

    def __call__(self, sr, hr):
        return (sr - hr).diff(dim=3).abs().mean()


def test_the_source_of_a_dataclass_without_functions_is_its_own_file_and_not_dataclasses(tmp_path):
    text = "from dataclasses import dataclass\nfrom srkit.losses import Adversarial\n\n"
    text += "@dataclass(frozen=True)\nclass Eager(Adversarial):\n    critic_steps = 10\n"
    (tmp_path / "eager.py").write_text(text)
    assert parts.source(parts.load_file(f"{tmp_path}/eager.py:Eager")) == text


def test_a_term_of_ones_own_stands_in_the_history_beside_the_usual_ones(tmp_path):
    phases = replace(OWN.phases[0], losses={mae: 1.0, Edges(): 5.0}), replace(GAN, losses={Edges(): 1.0})
    run = train(replace(OWN, phases=phases), TINY, runs=tmp_path)
    history = run.history()
    assert history["edges"].notna().all()
    assert (history["pixel"].notna() == (history["phase"] == "psnr")).all(), "not added to the pixel loss"
    shares = history[["share_pixel", "share_edges"]].fillna(0).sum(axis=1)
    assert shares.to_numpy() == pytest.approx(1, abs=1e-3)
    assert [loss.get("term") for loss in run.config["recipe"]["phases"][0]["losses"]] == [None, "edges"]
    assert _loss_weights(run.config) == {"psnr": {"pixel": 1.0, "edges": 5.0}, "gan": {"edges": 1.0}}


def test_a_recipe_of_own_parts_alone_stops_goes_on_and_ends_as_if_it_had_not(tmp_path):
    straight = train(OWN, TINY, runs=tmp_path / "straight")

    def stop(run):
        if run.history()["step"].iloc[-1] == 8:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(OWN, TINY, runs=tmp_path / "stopped", on_log=stop)
    run = train(OWN, TINY, runs=tmp_path / "stopped", resume=True)
    assert run.phases == ["psnr", "gan"]
    for phase in run.phases:
        assert run.weights(phase).read_bytes() == straight.weights(phase).read_bytes()
    recipe = run.config["recipe"]
    assert recipe["generator"]["from"]["module"] == __name__
    assert recipe["degradation"]["first"] == 0
    text = Path(__file__).read_text()
    assert run.config["parts"] == dict.fromkeys(("Plain", "Judge", "Skipped", "warmed", "mae"), text)
    rates = run.history().query("phase == 'psnr'").set_index("step")["lr"]
    assert rates.to_dict() == pytest.approx({n: rates[6] * min(1, n / 3) for n in range(1, 7)}, rel=1e-4)


def test_it_is_loaded_enlarged_in_tiles_compared_and_offered(tmp_path):
    run = train(OWN, TINY, runs=tmp_path)
    network = resolve("own", 4, tmp_path).network
    assert isinstance(network, Plain)
    photo = np.ascontiguousarray(astronaut()[20:57, 180:221])
    with torch.no_grad():
        whole = to_image(run.generator()(to_tensor(photo)))
    assert np.abs(srkit.upscale(photo, OWN, runs=tmp_path, tile=9).astype(int) - whole).max() <= 1
    systems, _ = comparison.load_systems(tmp_path, "smoke", 0, "starter")
    assert list(systems["own", 4]) == ["psnr", "gan"]
    assert find_systems(tmp_path, "own")[-1].label == "own-smoke-s0"


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    code = "import sys; from srkit.cli import main; sys.path = [p for p in sys.path if p]; sys.exit(main(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", code, *words], cwd=cwd, capture_output=True, text=True)


def test_a_file_of_ones_own_is_trained_and_found_again_by_another_process(tmp_path, file, monkeypatch):
    monkeypatch.setitem(PROFILES, "smoke", TINY)
    runs = tmp_path / "runs"
    assert main(["train", f"{file}:MINE", "--runs", str(runs)]) == 0
    run = Run(runs / "mine-smoke-s0")
    assert run.config["recipe"]["generator"]["from"]["module"] == "my_recipes"
    assert run.config["parts"]["Small"] == FILE
    write_image(tmp_path / "lr" / "a.png", np.ascontiguousarray(astronaut()[20:40, 180:204]))
    hub = export_hub(run.folder, tmp_path / "hub")
    card = (hub / "README.md").read_text()
    assert 'open_weights("model.safetensors", recipe="FILE.py:NAME")' in card
    assert "FILE.py:NAME is a recipe with Small" in card
    wanted = srkit.upscale(tmp_path / "lr" / "a.png", f"{file}:MINE", runs=runs)
    for number, weights in enumerate((run.weights("psnr"), run.folder, hub / "model.safetensors")):
        call = ["upscale", str(tmp_path / "lr"), "--out", str(tmp_path / f"sr{number}"), "--weights", str(weights)]
        named = command(*call, "--recipe", f"{file}:MINE", cwd=tmp_path)
        assert named.returncode == 0, named.stderr
        np.testing.assert_array_equal(read_image(tmp_path / f"sr{number}" / "a.png"), wanted)


def test_the_how_to_s_example_is_sound_and_trains(tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "howto" / "own-system.md").read_text()
    (tmp_path / "my_recipes.py").write_text(page.split("```python\n")[1].split("```")[0])
    word = f"{tmp_path / 'my_recipes.py'}:MINE"
    assert {each.state for each in check(word)} == {"OK"}
    run = train(word, TINY, runs=tmp_path / "runs")
    assert set(run.config["parts"]) == {"Small", "PatchJudge", "Charbonnier", "Dead", "warmed"}


def test_a_run_never_brings_code_along(tmp_path, file, monkeypatch):
    """Its folder holds a module of the recorded name, and is the current one: still nothing of it runs."""
    run = train(f"{file}:MINE", TINY, runs=tmp_path / "runs")
    parts.NAMED.clear()
    del sys.modules[parts.OWN + "my_recipes"]
    for folder in (run.folder, run.folder.parent):
        (folder / "my_recipes.py").write_text(f"open({str(tmp_path / 'boom')!r}, 'w')\n" + FILE)
        monkeypatch.syspath_prepend(folder)
    says = "Small of .*mine-smoke-s0 was defined in my_recipes, which is not here: .* by --recipe my_recipes.py:MINE"
    with pytest.raises(SrkitError, match=says) as refusal:
        run.generator()
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "boom").exists()
    config = run.config
    for module, name in (("os", "system"), ("subprocess", "Popen"), ("builtins", "exec"), ("", ""), ("no.such", "A")):
        generator = {"name": name, "from": {"module": module}, "command": "true"}
        run.write_config(config | {"recipe": config["recipe"] | {"generator": generator}})
        with pytest.raises(SrkitError, match="which is not here"):
            run.generator()


def test_a_source_that_has_changed_is_told_and_does_not_stop_the_work(tmp_path, file):
    run = train(f"{file}:MINE", replace(TINY, psnr_steps=3), runs=tmp_path / "runs")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.generator()
    del sys.modules[parts.OWN + "my_recipes"]
    file.write_text(FILE + "# a word\n")
    find_recipe(f"{file}:MINE")
    with pytest.warns(UserWarning, match=r"the source of Small has changed since .*mine-smoke-s0 was trained with it"):
        run.generator()
    run.weights("psnr").unlink()
    with pytest.warns(UserWarning, match="the source of Small, Mae has changed since .* was begun"):
        train(f"{file}:MINE", replace(TINY, psnr_steps=3), runs=tmp_path / "runs", resume=True)


def test_resume_looks_at_what_matters_and_names_it(tmp_path):
    short = replace(TINY, psnr_steps=2, gan_steps=2)
    train(OWN, short, runs=tmp_path)
    train(replace(OWN, about="said better", cite="somebody", reported="1 dB"), short, runs=tmp_path, resume=True)
    with pytest.raises(SrkitError, match=r"a different recipe \(degradation, ema\): "):
        train(replace(OWN, ema=0.5, degradation=Skipped(1)), short, runs=tmp_path, resume=True)
    other = replace(OWN, phases=(replace(OWN.phases[0], schedule=lambda step, steps: 1.0), OWN.phases[1]))
    with pytest.raises(SrkitError, match=r"a different recipe \(phases\): "):
        train(other, short, runs=tmp_path, resume=True)


def test_a_first_phase_is_shared_only_where_its_source_is_the_same(tmp_path, file, capsys):
    run = train(f"{file}:MINE", TINY, runs=tmp_path)
    twin = replace(find_recipe(f"{file}:MINE"), name="twin")
    train(twin, TINY, runs=tmp_path)
    assert "its first phase is that of mine-smoke-s0" in capsys.readouterr().out
    config = run.config
    config["recipe"]["generator"]["from"]["sha256"] = "another"
    run.write_config(config)
    Run(tmp_path / "twin-smoke-s0").clear()
    train(twin, TINY, runs=tmp_path)
    assert "its first phase" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "word", "says"),
    [
        (None, "nowhere.py:MINE", "nowhere.py is not there: name a Python file and a recipe in it"),
        (FILE, "my_recipes.py:MIEN", "has no 'MIEN': did you mean MINE?"),
        (FILE, "my_recipes.py:number", "is a int, and no Recipe"),
        ("\n\ndef f(:\n", "my_recipes.py:MINE", r"does not run: SyntaxError at line 3 \(invalid syntax"),
        ("x = 1\ny = x / 0\n", "my_recipes.py:MINE", r"does not run: ZeroDivisionError at line 2 \(division by zero"),
        ("import nosuchthing\n", "my_recipes.py:MINE", "ModuleNotFoundError at line 1"),
        ("import sys\nsys.exit(3)\n", "my_recipes.py:MINE", "SystemExit at line 2"),
        (FILE.replace("generator=Small", "generator=Small()"), "my_recipes.py:MINE", r"is a Small: give the class"),
        (FILE.replace("Mae(): 1.0", "Mae: 1.0"), "my_recipes.py:MINE", "Mae is no loss: give one that is called"),
        (FILE.replace('name="mine"', 'name="a/b"'), "my_recipes.py:MINE", "'a/b' is no name for a recipe"),
    ],
)
def test_a_file_that_is_no_recipe_is_one_sentence(tmp_path, monkeypatch, capsys, text, word, says):
    monkeypatch.chdir(tmp_path)
    if text:
        Path("my_recipes.py").write_text(text)
    with pytest.raises(SrkitError, match=says):
        find_recipe(word)
    assert main(["train", word, "--runs", "runs"]) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "Traceback" not in errors
    assert not Path("runs").exists()
    assert os.getcwd() not in sys.path


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        ("linear", "'linear' is no schedule: choose constant, step, cosine, or give a function"),
        (lambda step: 1.0, "gives no number at step 0 of 6"),
        (lambda step, steps: None, "gives no number at step 0 of 6"),
        (lambda step, steps: 1 / (steps - 1 - step), "gives no number at step 5 of 6"),
        (lambda step, steps: -1.0, "gives -1.0 at step 0 of 6: a share of lr is 0 or more"),
    ],
)
def test_a_schedule_that_gives_no_rate_is_one_sentence(schedule, says):
    with pytest.raises(SrkitError, match=says):
        Phase("psnr", steps=6, losses={}, schedule=schedule)


def test_options_reach_those_parts_that_have_them():
    fitted = fit(OWN, PROFILES["smoke"])
    assert (fitted.generator.keywords, fitted.discriminator.keywords) == ({}, {})
    found = json.loads(json.dumps(describe(fitted)))
    assert found["phases"][0]["losses"][0]["name"] == "mae"
    with pytest.raises(SrkitError, match="its Plain is not for x2"):
        build(OWN, 2)
