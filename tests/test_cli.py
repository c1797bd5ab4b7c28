"""The command line: its commands and groups, its statuses, and numbers that do not do."""

import errno
import inspect
import os
import subprocess
import sys
import time

import pytest
from PIL import Image

from srkit import commands
from srkit.cli import main, program
from srkit.cli_base import GROUPS
from srkit.files import SrkitError
from srkit.training import train

COMMANDS = {"doctor", "course", "train", "check", "data", "kaggle", "evaluate", "upscale", "app"}


def test_every_command_has_a_group_and_a_sentence_of_help(capsys):
    declared = {each.callback.__name__: each for each in program.registered_commands}
    assert declared.keys() >= COMMANDS
    for name, each in declared.items():
        assert each.rich_help_panel in GROUPS
        assert inspect.getdoc(each.callback).endswith(".")
        assert main([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"Usage: srkit {name}" in said for name in COMMANDS)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "srgan", "--seed", "-1"],
        ["train", "srgan", "--batch", "0"],
        ["train", "srgan", "--batch", "-2"],
        ["train", "srgan", "--batch", "many"],
        ["train", "srgan", "--accumulate", "0"],
        ["train", "srgan", "--crop", "0"],
        ["train", "srgan", "--scale", "0"],
        ["train", "srgan", "--precision", "fp8"],
        ["train", "srgan", "--profle", "smoke"],
        ["train"],
        ["trian", "srgan"],
        ["evaluate", "bicubic", "--images", "x"],
        ["evaluate", "bicubic", "--images", "x", "--scale", "0"],
        ["upscale", "a.png"],
        ["upscale", "a.png", "--out", "x", "--max-pixels", "0"],
        ["upscale", "a.png", "--out", "x", "--format", "xcf"],
        ["app", "--port", "99999"],
        ["app", "--sessions", "0"],
        ["kaggle", "bild"],
        [],
    ],
)
def test_wrong_usage_is_status_2_and_no_traceback(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "srgan", "--max-minutes", "0"], "max minutes 0.0 does not do"),
        (["train", "srgan", "--max-minutes", "nan"], "max minutes nan does not do"),
        (["train", "srgan", "--data", ""], "--data is empty: give a value, or leave it out"),
        (["train", "srgan", "--device", "gpu"], "device 'gpu' is not to be had here"),
        (["train", "srgan", "--resume", "--force"], "choose one of them"),
        (["train", "srgn"], "did you mean srgan?"),
        (["train", "srgan", "--profile", "lptop"], "did you mean laptop?"),
        (["train", "my.py:MINE"], "my.py is not there"),
        (["thesis", "run", "--out", "x", "--recipe", "my.py:MINE"], "my.py is not there"),
        (["evaluate", "srgan_lite", "--images", ".", "--scale", "4"], "holds no pictures"),
        (["upscale", "a.png", "--out", "x", "--sharpen", "nan"], "sharpen nan does not do: give a number"),
        (["upscale", "a.png", "--out", "x", "--alpha", "nan"], "alpha nan does not lie"),
        (["upscale", "a.png", "--out", "x", "--scale", "7"], "no weights of srresnet_light x7"),
        (["upscale", "a.png", "--out", "x", "--recipe", "bicubic"], "is no network"),
        (["upscale", "a.png", "--out", "x", "--recipe", "srgan_lite"], "did you mean srgan_light?"),
        (["upscale", "a.png", "--out", "x", "--weights", "nowhere.safetensors"], "is not there"),
        (["upscale", "a.png", "--out", "x", "--device", "abacus"], "is not to be had here"),
        (["upscale", "a.png", "--out", "x", "--tile", "0"], "tile 0 does not do"),
        (["upscale", "a.png", "--out", "x", "--alpha", "0.5"], "no weights of srresnet_light"),
        (["upscale", "a.png", "--out", "x", "--max-pixels", "99"], "over 99 pixels"),
        (["upscale", "a.png", "--out", "x", "--runs", "mistyped"], "mistyped is no folder of runs"),
        (["course", "--only", ","], "names no notebook"),
        (["app", "--runs", "mistyped"], "mistyped is no folder of runs"),
    ],
)
def test_what_does_not_do_is_one_sentence_and_leaves_nothing(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if words[0] == "upscale":
        Image.new("RGB", (20, 20)).save("a.png")
    monkeypatch.setattr(commands, "home", lambda: tmp_path)
    before = set(tmp_path.rglob("*"))
    assert main(words) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("srkit:")]
    assert len(errors) == 1
    assert says in errors[0]
    assert set(tmp_path.rglob("*")) == before


def test_debug_is_understood_anywhere_before_two_dashes(tmp_path):
    for words in (["--debug", "train", "nosuch"], ["train", "nosuch", "--debug"]):
        with pytest.raises(SrkitError):
            main(words)
    assert main(["train", "nosuch"]) == 1


@pytest.mark.parametrize(("number", "way_out"), [(errno.ENOSPC, "make room there"), (errno.EROFS, "another folder")])
def test_a_disk_that_takes_no_more_is_one_sentence_wherever_it_is_met(number, way_out, tmp_path, monkeypatch, capsys):
    def full(folder):
        raise OSError(number, os.strerror(number), "sw.js", None, f"{folder}/sw.js")  # as shutil.copyfile does

    monkeypatch.setattr("srkit.apps.static.build_static", full)
    assert main(["app", "--static", str(tmp_path)]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"srkit: {tmp_path}/sw.js cannot be written ({os.strerror(number)}): ")
    assert way_out in said
    with pytest.raises(OSError, match="sw.js"):
        main(["app", "--static", str(tmp_path), "--debug"])


@pytest.mark.parametrize(
    "numbers",
    [
        {"seed": -1},
        {"seed": "0"},
        {"batch": 0},
        {"crop": -48},
        {"accumulate": 0},
        {"scale": "4"},
        {"scale": 0},
        {"scale": True},
        {"max_minutes": 0},
        {"max_minutes": float("nan")},
    ],
)
def test_the_functions_refuse_numbers_too(numbers, tmp_path):
    with pytest.raises(SrkitError, match=f"{next(iter(numbers)).replace('_', ' ')} .* does not do: give a"):
        train("srresnet", **numbers, runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_ended_command_leaves_nothing_half_written(tmp_path):
    """By SIGTERM, as of a cluster or a shutdown: it ends as by Ctrl-C, in a sentence, with 130."""
    (tmp_path / "my.py").write_text(
        "import time\nfrom srkit.files import replacing\n"
        "with replacing('out.png') as beside:\n    beside.write_text('half')\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "srkit", "check", "my.py:MINE"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not any(path.read_text() for path in tmp_path.glob(".out-*")):
        assert process.poll() is None
        time.sleep(0.1)
    process.terminate()
    said = process.communicate()[1]
    assert (process.returncode, said) == (130, "srkit: stopped before the end; what was finished is kept.\n")
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"my.py"}


def test_a_shell_completes_commands():
    """As bash asks for it."""
    asked = {"_SRKIT_COMPLETE": "complete_bash", "COMP_WORDS": "srkit eval", "COMP_CWORD": "1"}
    words = [sys.executable, "-c", "from srkit.cli import main; main()"]
    answer = subprocess.run(words, env=os.environ | asked, capture_output=True, text=True)
    assert answer.stdout.split() == ["evaluate"]
