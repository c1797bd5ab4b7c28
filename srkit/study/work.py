"""Doing a study's runs: in worker processes that share what there is to do, on one machine, several, or a cluster."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout

from srkit.files import SrkitError, expanded, needed, write_text
from srkit.paths import home
from srkit.runs import Run
from srkit.stopping import stop_asked
from srkit.study.plan import Planned, Study, is_of, is_trained, train_one
from srkit.study.reader import read_study
from srkit.study.scores import is_scored, score_one

BUSY = 75  # a worker's exit status where another process is at this run already


def run_study(
    file: Path | str,
    workers: int | None = None,
    part: tuple[int, int] | None = None,
    device: str | None = None,
    runs: Path | str | None = None,
) -> dict[str, str]:
    """Train and score every run of a study that is missing, and return those that failed, each with its reason.

    workers: processes at a time, by default one a GPU, or one for each of the study's threads that the machine has
    cores for. part: (K, N) takes the K-th of N shares. runs: the folder of the runs, by default runs/NAME of the
    project. Started again, it goes on; started twice at once, the two share the work. Ctrl-C saves what is in hand.
    """
    study = read_study(file)
    study.check_data()
    folder = runs_of(study, runs)
    todo = mine = share(study.runs(), part)
    workers = workers or torch.cuda.device_count() or max(1, (os.cpu_count() or 1) // study.threads)
    active: dict[str, tuple[subprocess.Popen, Planned, int]] = {}  # and the worker's number
    failed: dict[str, str] = {}
    with stop_asked() as stop:
        while (todo or active) and not stop.is_set():
            todo = [each for each in todo if not finished(each, folder) and each.folder not in failed]
            for planned in startable(todo, mine, active, folder)[: workers - len(active)]:
                slot = min(set(range(workers)).difference(taken for *_, taken in active.values()))
                active[planned.folder] = _start(planned, folder, device, slot), planned, slot
            time.sleep(0.5)
            for name, (process, planned, _) in list(active.items()):
                if process.poll() is not None:
                    del active[name]
                    if process.returncode == BUSY:
                        continue
                    if process.returncode or not finished(planned, folder):
                        failed[name] = _reason(process.returncode, planned, folder)
                    print(f"{name}: {f'failed: {failed[name]}' if name in failed else 'done'}", flush=True)
        for process, *_ in active.values():
            process.send_signal(signal.SIGTERM)
        for process, *_ in active.values():
            process.wait()
        if stop.is_set():
            raise KeyboardInterrupt("stopped, and nothing is lost: the same command goes on.")
    return failed


def submit_study(
    file: Path | str, options: str = "", runs: Path | str | None = None, cluster: str | None = None
) -> list:
    """Submit a study to Slurm as an array of jobs that share its work; returns submitit's jobs.

    options: Slurm's own, as "partition=gpu,time=8:00:00,gres=gpu:1"; jobs=N says how many, by default one a run and at
    most eight. A job that is put off or runs out of its time goes on when it is queued again. cluster: "local" runs the
    array on this machine.
    """
    submitit = needed("submitit", 'pip install "srkit[cluster]", or submitit alone')
    study = read_study(file)
    study.check_data()
    folder = runs_of(study, runs)
    said = dict(each.strip().split("=", 1) if "=" in each else (each, "") for each in filter(None, options.split(",")))
    if "" in said.values() or not said.get("jobs", "1").isdigit():
        raise SrkitError(f"--slurm {options!r} is not understood: write NAME=VALUE,NAME=VALUE.")
    missing = [planned for planned in study.runs() if not finished(planned, folder)]
    count = min(int(said.pop("jobs", 8)), len(missing))
    if not count:
        return []
    executor = submitit.AutoExecutor(folder / "cluster", cluster=cluster, slurm_max_num_timeout=99)
    executor.update_parameters(name=f"srkit-{study.name}", slurm_additional_parameters=said)
    return executor.map_array(_Job(), [str(study.file)] * count, [str(folder.resolve())] * count)


class _Job:
    """One job of the array. submitit calls `checkpoint` when its time is over, and queues what that returns."""

    def __call__(self, file: str, runs: str) -> dict[str, str]:
        return run_study(file, workers=torch.cuda.device_count() or 1, runs=runs)

    def checkpoint(self, *args: str):
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *args)


def runs_of(study: Study, runs: Path | str | None = None) -> Path:
    """The folder of a study's runs."""
    return expanded(runs) if runs else home() / "runs" / study.name


def share(runs: list[Planned], part: tuple[int, int] | None) -> list[Planned]:
    """The K-th of N shares, (K, N), of about as many steps each; runs of one first phase stay together."""
    number, count = part or (1, 1)
    if not 1 <= number <= count:
        raise SrkitError(f"--part {number}/{count} is none: K goes from 1 to N.")
    steps = Counter()
    for planned in runs:
        steps[planned.first_phase] += planned.steps
    shares, sizes = [[] for _ in range(count)], [0] * count
    for first_phase, more in steps.most_common():
        place = sizes.index(min(sizes))
        shares[place].append(first_phase)
        sizes[place] += more
    return [planned for planned in runs if planned.first_phase in shares[number - 1]]


def startable(todo: list[Planned], mine: list[Planned], active: Mapping[str, Any], folder: Path) -> list[Planned]:
    """What of `todo` may begin: nobody is at it, and its first phase is done, or nobody is at that either."""
    claimed = {planned.folder for planned in todo if planned.folder in active or _is_claimed(planned, folder)}
    ready = {planned.first_phase for planned in mine if planned.first_weights(folder).exists()}
    begun = {planned.first_phase for planned in todo if planned.folder in claimed} - ready
    found = []
    for planned in todo:
        if planned.folder not in claimed and planned.first_phase not in begun:
            found.append(planned)
            begun |= {planned.first_phase} - ready
    return found


def finished(planned: Planned, folder: Path) -> bool:
    """Whether a run is trained and scored."""
    run = Run(folder / planned.folder)
    return is_trained(planned, run) and is_scored(planned, run)


@contextmanager
def claim(planned: Planned, folder: Path) -> Iterator[None]:
    """Hold a run for this process alone; filelock's Timeout where another one has it. Its end, however, frees it."""
    (folder / "locks").mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "locks" / f"{planned.folder}.lock", timeout=0):
        yield


def _is_claimed(planned: Planned, folder: Path) -> bool:
    try:
        with claim(planned, folder):
            return False
    except Timeout:
        return True


def work_on(file: Path | str, name: str, runs: Path | str, device: str | None) -> int:
    """What a worker process does: one run, trained and scored. Returns its exit status."""
    study, folder = read_study(file), expanded(runs)
    planned = next(planned for planned in study.runs() if planned.folder == name)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        with claim(planned, folder):
            train_one(planned, folder, device)
            score_one(planned, folder, device)
    except Timeout:
        return BUSY
    return 0


def _end_with(parent: int) -> None:
    """Ask this process to save and stop when the one that started it is no more."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _start(planned: Planned, folder: Path, device: str | None, slot: int) -> subprocess.Popen:
    log = _log(planned, folder)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.with_suffix(".failed").unlink(missing_ok=True)
    command = [sys.executable, "-m", "srkit", "study", "run", str(planned.study.file)]
    command += ["--one", planned.folder, "--runs", str(folder)]
    threads = str(planned.study.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    gpus = torch.cuda.device_count()
    if device:
        command += ["--device", device]
    elif gpus:  # one of those that may be used: all, or those that SLURM or the user has named
        named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        environment["CUDA_VISIBLE_DEVICES"] = (named if named[0] else [str(n) for n in range(gpus)])[slot % gpus]
    with log.open("a") as out:  # a session of its own: Ctrl-C is the parent's to pass on, once
        return subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True)


def _log(planned: Planned, folder: Path) -> Path:
    return folder / "logs" / f"{planned.folder}.log"


def _reason(status: int, planned: Planned, folder: Path) -> str:
    """Why a worker ended, in its own last words; kept for `status`."""
    log = _log(planned, folder)
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    reason = lines[-1].removeprefix("srkit: ") if lines else f"exit status {status}"
    if status < 0:
        reason = f"ended by {signal.Signals(-status).name}"
        reason += ", as a system does whose memory is full" if -status == signal.SIGKILL else ""
    write_text(log.with_suffix(".failed"), reason)
    return reason


def status(file: Path | str, runs: Path | str | None = None) -> pd.DataFrame:
    """A line a run: its state, steps, hours that are left, and a note.

    The states are done, trained (and not scored yet), running, stopped, failed, missing, and other: a run that the file
    does not mean lies in its place. hours_left: from the pace of this system's runs, or of the others; a first phase
    that several share counts once.
    """
    study = read_study(file)
    folder, planned_runs = runs_of(study, runs), study.runs()
    begun = {planned.folder: Run(folder / planned.folder) for planned in planned_runs}
    histories = {name: run.history() if run.history_text().strip() else pd.DataFrame() for name, run in begun.items()}
    paces = [pace for planned in planned_runs for pace in _paces(planned, histories[planned.folder])]
    paces = pd.DataFrame(paces, columns=["system", "phase", "seconds"])
    rows, paid = [], set()
    for planned in planned_runs:
        run, history = begun[planned.folder], histories[planned.folder]
        step = 0 if history.empty else int(history["step"].max())
        note = _log(planned, folder).with_suffix(".failed")
        state = "missing" if history.empty else "stopped"
        state, why = ("failed", note.read_text()) if note.exists() else (state, "")
        if (run.folder / "config.json").exists() and not is_of(planned, run):
            state, why = "other", "another recipe, profile or data set: take another --runs, or remove it"
        elif is_trained(planned, run):
            state, why = "done" if is_scored(planned, run) else "trained", ""
        elif _is_claimed(planned, folder):
            state = "running"
        seconds, end = 0.0, 0
        for number, phase in enumerate(planned.recipe.phases):
            end += phase.steps
            left = min(phase.steps, max(0, end - step)) if state not in ("done", "trained") else 0
            first = number == 0 and step == 0
            if first and planned.first_phase in paid:
                continue
            own = paces[(paces["system"] == planned.system) & (paces["phase"] == phase.name)]
            pace = (own if len(own) else paces[paces["phase"] == phase.name])["seconds"].median()
            seconds += left * pace if left else 0
        paid.add(planned.first_phase)
        line = {"run": planned.folder, "state": state, "step": step, "of": planned.steps}
        rows.append(line | {"hours_left": round(seconds / 3600, 2), "note": why})
    return pd.DataFrame(rows)


def _paces(planned: Planned, history: pd.DataFrame) -> Iterator[tuple[str, str, float]]:
    """Seconds a step of each phase that has two lines or more in a history."""
    for phase, rows in history.groupby("phase") if len(history) else ():
        steps = rows["step"].max() - rows["step"].min()
        if steps > 0:
            yield planned.system, phase, (rows["seconds"].max() - rows["seconds"].min()) / steps
