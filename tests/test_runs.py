"""Nothing that a run has learned is lost: not to a kill, not to a full disk or memory, not to a clock."""

import os
import random
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from srkit import training
from srkit.cli import main
from srkit.files import SrkitError
from srkit.profiles import PROFILES, fit
from srkit.recipes import find_recipe
from srkit.runs import Run
from srkit.training import Interrupted, train

TINY = replace(
    PROFILES["smoke"], psnr_steps=30, gan_steps=18, batch=2, crop=32, channels=8, blocks=1, width=4, dense=8,
    log_every=1, validate_every=6, validate_on=(1, 48),
)  # fmt: skip
NOISY = "wgan_gp"  # its penalty draws random numbers in the loop


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def contents(run):
    """The weights bit for bit, and the history but for its clock columns."""
    clockless = run.history().drop(columns=["seconds", "images_per_second"])
    return [run.weights(phase).read_bytes() for phase in run.phases], clockless.to_csv()


# What a child does to itself, so that the kill comes at the worst moment.
def killed_inside_a_save(number):
    whole, count = torch.save, iter(range(number))

    def half(state, file):
        if next(count, None) is not None:
            return whole(state, file)
        whole(state, file)
        file.flush()
        os.truncate(file.fileno(), os.fstat(file.fileno()).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    torch.save = half


def killed_between_the_two_renames(number):
    whole, count = Path.replace, iter(range(number))

    def then_die(path, target):
        whole(path, target)
        if path.name == "checkpoint.pt" and next(count, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    Path.replace = then_die


def killed_inside_a_line_of_history(number):
    whole, count = Run.append_history, iter(range(number))

    def half(run, row, columns):
        whole(run, row, columns)
        if next(count, None) is None:
            path = run.folder / "history.csv"
            os.truncate(path, path.stat().st_size - 20)
            os.kill(os.getpid(), signal.SIGKILL)

    Run.append_history = half


def in_a_child(work, after=None):
    """Fork, work there, and kill it -9 `after` seconds of training; whether it came to its end before."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            work(lambda run: os.write(write, b"."))  # each history line says that training goes on
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(write)
    if after is not None and os.read(read, 1):
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    while os.read(read, 4096):
        pass
    os.close(read)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), "the child failed by itself"
    return status == 0


def kill_ten_times(folder):
    """Runs in an interpreter of its own, which has trained nothing, so that its threads do not trouble a fork."""
    torch.set_num_threads(1)
    folder, moments = Path(folder), random.Random()
    seed = moments.randrange(1000)
    moments.seed(seed)
    print("moments drawn from seed", seed)

    def go(name, **how):
        return lambda on_log: train(NOISY, TINY, runs=folder / name, resume=True, on_log=on_log, device="cpu", **how)

    for phase in fit(find_recipe(NOISY), TINY).phases:  # built once, before the forks
        for loss in phase.losses:
            getattr(loss, "ready", lambda device: None)("cpu")
    began = time.monotonic()
    assert in_a_child(go("straight"))
    whole = time.monotonic() - began
    wanted = contents(Run(folder / "straight" / f"{NOISY}-smoke-s0"))
    worst = (killed_inside_a_save, killed_between_the_two_renames, killed_inside_a_line_of_history)
    plan = [(way, moments.randrange(1, 4)) for way in worst] + [(killed_inside_a_save, 0)] + [None] * 6
    moments.shuffle(plan)
    kills, number = 0, 0
    while kills < len(plan):
        way, work = plan[kills], go(f"killed-{number}")

        def dying(on_log, way=way, work=work):
            if way:
                way[0](way[1])
            work(on_log)

        if in_a_child(dying, None if way else moments.uniform(0, whole / 4)):  # it was done first: begin another
            assert contents(Run(folder / f"killed-{number}" / f"{NOISY}-smoke-s0")) == wanted
            number += 1
        else:
            kills += 1
    assert in_a_child(go(f"killed-{number}"))
    last = folder / f"killed-{number}" / f"{NOISY}-smoke-s0"
    assert contents(Run(last)) == wanted
    assert not list(last.rglob(".*")), "a file that was begun was left"
    print(f"{kills} kills, {number + 1} runs, the same to the last bit")


def test_a_run_killed_ten_times_ends_with_the_same_bits(tmp_path):
    command = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_runs; "
    command += f"test_runs.kill_ten_times({str(tmp_path)!r})"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "10 kills" in done.stdout


SHORT = replace(TINY, psnr_steps=12, validate_every=4)


def test_a_full_disk_keeps_the_checkpoint_before_and_is_told_in_a_sentence(tmp_path):
    resource = pytest.importorskip("resource")
    straight = train("srresnet", SHORT, runs=tmp_path / "straight")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(run):
        if run.history()["step"].iloc[-1] == 7:  # a checkpoint of step 4 is there; files stay small from here on
            resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))

    try:
        with pytest.raises(SrkitError, match=r"checkpoint\.pt cannot be written \(File too large\).*--resume"):
            train("srresnet", SHORT, runs=tmp_path / "full", on_log=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    full = Run(tmp_path / "full" / "srresnet-smoke-s0")
    assert full.load_checkpoint()["step"] == 4
    assert contents(train("srresnet", SHORT, runs=tmp_path / "full", resume=True)) == contents(straight)


def test_a_full_memory_names_the_knobs_and_what_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(training.Learner, "step", lambda *_, **more: torch.empty(1 << 50))  # the allocator's own error
    with pytest.raises(SrkitError, match=r"GB in use.*2 crops of 32 x 32.*--accumulate 2.*--crop or --batch"):
        train("srresnet", SHORT, runs=tmp_path, device="cpu")


def test_sigterm_saves_and_leaves_and_a_time_budget_ends_well(tmp_path, capsys):
    straight = train("srresnet", SHORT, runs=tmp_path / "straight")

    def ask(run):
        if run.history()["step"].iloc[-1] == 6:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted, match="step 6"):
        train("srresnet", SHORT, runs=tmp_path / "stopped", on_log=ask)
    capsys.readouterr()
    left = train("srresnet", SHORT, runs=tmp_path / "stopped", resume=True, max_minutes=1e-6)
    assert not left.done
    assert "minutes are over: stopped at step 7, nothing is lost: go on with --resume" in capsys.readouterr().out
    assert contents(train("srresnet", SHORT, runs=tmp_path / "stopped", resume=True)) == contents(straight)


@pytest.mark.parametrize("left", ["", "\n\n"])
def test_a_run_stopped_before_its_first_history_line_goes_on(tmp_path, left):
    rare = replace(SHORT, log_every=4)
    straight = train("srresnet", rare, runs=tmp_path / "straight")
    stopped = train("srresnet", rare, runs=tmp_path / "stopped", max_minutes=1e-6)
    assert Run(stopped.folder).load_checkpoint()["step"] == 1
    assert not (stopped.folder / "history.csv").exists()
    (stopped.folder / "history.csv").write_text(left)  # as an earlier version of srkit left it
    assert contents(train("srresnet", rare, runs=tmp_path / "stopped", resume=True)) == contents(straight)


def test_a_time_budget_on_the_command_line_exits_with_0(tmp_path, capsys):
    assert main(["train", "srresnet", "--max-minutes", "0.0001", "--runs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "go on with --resume" in said
    assert "Health" not in said or "looks ill" in said


def test_a_loss_that_is_not_finite_keeps_the_checkpoint_before(tmp_path):
    def poison(run):
        if run.history()["step"].iloc[-1] == 6:
            trainer.learner.generator.tail[0].weight.data.fill_(float("nan"))

    class Watched(training.Trainer):
        def fit(self, *args):
            nonlocal trainer
            trainer = self
            super().fit(*args)

    trainer = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "Trainer", Watched)
        with pytest.raises(SrkitError, match="the pixel loss is not finite at step 7"):
            train("srresnet", SHORT, runs=tmp_path, on_log=poison)
    state = Run(tmp_path / "srresnet-smoke-s0").load_checkpoint()
    assert state["step"] == 4
    assert all(torch.isfinite(value).all() for value in state["generator"].values())


def test_checkpoints_that_are_all_damaged_or_of_another_version_are_refused(tmp_path):
    train("srresnet", SHORT, runs=tmp_path)
    run = Run(tmp_path / "srresnet-smoke-s0")
    run.weights("psnr").unlink()
    torch.save({"step": 4, "net": {}}, run.folder / "checkpoint.pt")
    with pytest.raises(SrkitError, match="of another version.*--force"):
        train("srresnet", SHORT, runs=tmp_path, resume=True)
    for name in ("checkpoint.pt", "checkpoint-before.pt"):
        (run.folder / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(SrkitError, match="damaged .* no whole one to go on from: start anew with --force"):
        train("srresnet", SHORT, runs=tmp_path, resume=True)


def test_history_is_cut_after_a_step_and_keeps_the_columns_of_the_version_that_began_it(tmp_path):
    run, text = Run(tmp_path), "step,phase,old\n1,psnr,0.25\n2,psnr,\n"
    (tmp_path / "history.csv").write_text(text + "3,gan,1e-07\n4,ga")
    run.append_history({"phase": "gan", "step": 4, "old": 0.5, "new": 1.0}, ("phase", "step", "new"))
    assert run.history_text() == text + "3,gan,1e-07\n4,gan,0.5\n"
    run.cut_history(2)
    assert run.history_text() == text
    np.testing.assert_array_equal(run.history()["old"], [0.25, np.nan])


def test_history_whose_header_was_cut_off_is_begun_anew(tmp_path):
    run = Run(tmp_path)
    (tmp_path / "history.csv").write_text("phase,st")
    run.cut_history(0)
    run.append_history({"phase": "psnr", "step": 1}, ("phase", "step"))
    assert (tmp_path / "history.csv").read_text() == "phase,step\npsnr,1\n"


HOLDER = """
import sys, time
from srkit.runs import Run
with Run(sys.argv[1]).locked():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_run_is_trained_by_one_process_at_a_time_and_a_killed_one_leaves_it_free(tmp_path):
    run = Run(tmp_path / "runs" / "srgan-smoke-s0")
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(run.folder)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SrkitError, match="srgan-smoke-s0 is being trained by another process: wait"), run.locked():
            pass
        holder.kill()
    with run.locked(), Run(tmp_path / "runs" / "srgan-smoke-s1").locked():
        assert not run.folder.exists(), "a lock makes no run"


def test_clearing_removes_what_a_killed_save_left_and_nothing_else(tmp_path):
    end = "0123456789abcdef"  # as `files.replacing` draws it
    left = [f".checkpoint-{end}.pt", f".history-{end}.csv", f".generator-psnr-{end}.safetensors", f".config-{end}.json"]
    left += ["config.json", f"samples/.psnr-000004-{end}.png"]
    mine = ["notes.txt", ".hidden", "my-generator.safetensors"]
    (tmp_path / "samples").mkdir()
    for name in [*left, *mine, "samples/mine.txt"]:
        (tmp_path / name).touch()
    Run(tmp_path).clear()
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == sorted([*mine, "mine.txt"])


def test_a_tensorboard_that_is_not_installed_is_named(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if "tensorboard" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(SrkitError, match="tensorboard is not installed: pip install tensorboard"):
        train("srresnet", SHORT, runs=tmp_path, tensorboard=True)


def test_the_history_is_mirrored_to_tensorboard_where_that_is_asked_for(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator

    def ask(run):
        if run.history()["step"].iloc[-1] == 6:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train("srresnet", SHORT, runs=tmp_path, on_log=ask, tensorboard=True)
    run = train("srresnet", SHORT, runs=tmp_path, resume=True, tensorboard=True)
    board = reader(str(run.folder / "tensorboard")).Reload()
    mirrored = {event.step: event.value for event in board.Scalars("pixel")}
    assert mirrored == pytest.approx(run.history().set_index("step")["pixel"].to_dict(), rel=1e-5)
