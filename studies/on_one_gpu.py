"""Train the runs of several studies side by side on one GPU, within a number of minutes.

    python studies/on_one_gpu.py studies/systems.toml studies/choices.toml --minutes 8 --workers 6 --out DIR

Small networks leave most of a large GPU idle, so several train at once, each in a process of its own that takes run
after run. With --mps their kernels run at the same moment: on an H200 five processes that replay small graphs did 2.6
times as much with it. More of them than fill the GPU only end later, all together (nine made some 1,000 steps a second
in all), and of a run that is stopped only finished phases and a small checkpoint are kept.
A finished run is scored on the validation photographs (scores.csv) and packed at once into DIR/runs-N.tar of at most
15 MB, weights of more than 2 MB in half precision; `tar -xf` below runs/ puts it where `srkit study` looks for it. Of a
run that was stopped a small checkpoint comes along, with which it goes on anywhere.
"""

import io
import multiprocessing as mp
import os
import subprocess
import sys
import tarfile
import time
import traceback
from functools import cache
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from typer import Option

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
LARGEST = 15_000_000  # bytes of a tar file
SMALL = 2_000_000  # bytes of weights that keep their precision


def main(
    studies: list[Path],
    minutes: float = 8,
    workers: int = 6,
    out: Path = Path("build/gpu"),
    runs: Path = Path("runs"),
    device: str = "cuda",
    judge: Annotated[bool, Option(help="score finished runs on the validation photographs")] = True,
    mps: Annotated[bool, Option("--mps", help="let processes share the GPU at the same moment")] = False,
) -> None:
    """Train the runs of several studies side by side on one GPU, within a number of minutes."""
    until = time.monotonic() + 60 * minutes
    out.mkdir(parents=True, exist_ok=True)
    if mps:
        _share_gpu()
    waiting = [(file, number, run) for file in studies for number, run in enumerate(_runs(file))]
    print(f"{len(waiting)} runs", flush=True)
    _train(waiting, workers, out, (str(runs), device, judge, until))


def _share_gpu() -> None:
    """Start NVIDIA's multi-process service, a program of the user's; without it processes take turns."""
    for name in ("PIPE", "LOG"):
        folder = Path(f"/tmp/mps-{name.lower()}")
        folder.mkdir(exist_ok=True)
        os.environ[f"CUDA_MPS_{name}_DIRECTORY"] = str(folder)
    try:
        done = subprocess.run(["nvidia-cuda-mps-control", "-d"], capture_output=True, text=True, timeout=20)
        print("multi-process service:", done.returncode, (done.stdout + done.stderr).strip()[-300:], flush=True)
    except OSError as error:
        print("multi-process service:", error, flush=True)


@cache
def _runs(file: Path) -> list:
    from srkit.study import read_study

    return read_study(file).runs()


def _train(waiting: list, workers: int, out: Path, how: tuple[str, str, bool, float]) -> None:
    """Keep the workers busy until the time is over; one that dies takes only its own run with it."""
    todo, busy, done, until = list(waiting), {}, set(), how[-1]
    with mp.get_context("spawn").Pool(min(workers, len(waiting))) as pool:
        while busy or todo:
            over = time.monotonic() - until
            if over > 60 or (over > 0 and not busy):
                break
            for job in list(todo):
                first = job[0], job[2].first_phase
                alone = first in [other for other, _ in busy.values()]  # one run of a first phase goes ahead of others
                if over < 0 and len(busy) < workers and (first in done or not alone):
                    todo.remove(job)
                    busy[job[:2]] = first, pool.apply_async(_work, (*job[:2], *how))
            time.sleep(0.5)
            for job in [job for job, (_, answer) in busy.items() if answer.ready()]:
                first, answer = busy.pop(job)
                done.add(first)
                rows, said, folder = answer.get()
                print(f"{time.monotonic() - until:6.0f} s {said}", flush=True)
                if rows:
                    scores = out / "scores.csv"
                    pd.DataFrame(rows).to_csv(
                        scores, mode="a", header=not scores.exists(), index=False, float_format="%.5g"
                    )
                if folder:
                    _pack(folder, out)
        print(f"left: {len(todo)} not begun, {len(busy)} not ended", flush=True)
        if not busy:
            pool.close()
            pool.join()


def _work(
    file: Path, number: int, runs: str, device: str, judge: bool, until: float
) -> tuple[list[dict], str, Path | None]:
    """Train and judge one run: its rows, what came of it in words, and its folder."""
    import torch

    from srkit import dataset
    from srkit.data.sources import find_photographs
    from srkit.study import train_one

    torch.set_num_threads(1)
    dataset.LARGE, began = 0, time.monotonic()  # decoded and degraded once, in files that the processes share
    try:
        planned = _runs(file)[number]
        run = train_one(planned, Path(runs) / planned.study.name, device, max(0.05, (until - began) / 60))
        photographs = find_photographs(planned.study.photographs)
        rows = _judge(run, photographs, planned.recipe.degradation, device) if judge and run.phases else []
        last = run.history().iloc[-1]
        said = f"{run.folder.name}: {'done' if run.done else 'STOPPED'} at {last['step']:.0f}, "
        said += f"{time.monotonic() - began:.0f} s; " + "; ".join(map(_in_short, rows))
        return rows, f"{said}; D {last['d_hr']:.2f} {last['d_sr']:.2f} {list(run.config.get('health', ()))}", run.folder
    except BaseException as error:
        traceback.print_exc()
        return [], f"{file.name} {number}: FAILED {type(error).__name__}: {error}", None


def _in_short(row: dict) -> str:
    grid = row["grid"] / row["grid_bicubic"]
    return f"{row['phase']} {row['psnr_y']:.2f} lpips {row['lpips']:.3f} grid {grid:.2f} colour {row['colour']:.1f}"


def _judge(run, photographs, made_by, device: str) -> list[dict]:
    """A row a phase: means on the validation photographs, the middle 256 pixels of each."""
    import torch

    from srkit.dataset import checked_validation
    from srkit.evaluation import enlarge
    from srkit.metrics import grid, lpips_judge
    from srkit.scoring import judged

    pairs = checked_validation(photographs, run.scale, len(photographs.valid), 256, made_by)
    lpips, rows = lpips_judge(device), []
    columns = ("psnr_y", "ssim_y", "lpips", "lpips_squeeze", "grid")
    for phase in run.phases:
        network, scores = run.generator(phase).to(device), []
        for hr, lr in pairs:
            sr, found = judged(network, hr, run.scale, lpips, lr, columns)
            colours = dict(zip(("red", "green", "blue"), (sr.astype(float) - hr).mean(axis=(0, 1)), strict=True))
            scores.append(found | {"grid_bicubic": grid(enlarge(lr, run.scale), hr)} | colours)
        row = pd.DataFrame(scores).drop(columns="seconds").mean().to_dict()
        row["colour"] = max(abs(row[name]) for name in ("red", "green", "blue"))
        steps = int(run.history().query("phase == @phase")["step"].max())
        rows.append({"run": run.folder.name, "phase": phase, "step": steps, "seconds": run.config["seconds"]} | row)
    torch.cuda.empty_cache()
    return rows


def _pack(folder: Path, out: Path) -> None:
    """Add a run to the newest tar file, or to a new one where that is full."""
    from safetensors.torch import load_file, save

    from srkit.runs import Run

    files = {name: (folder / name).read_bytes() for name in ("config.json", "history.csv") if (folder / name).exists()}
    for path in folder.glob("generator-*.safetensors"):
        files[path.name] = path.read_bytes()
        if len(files[path.name]) > SMALL:
            files[path.name] = save({k: v.half() if v.is_floating_point() else v for k, v in load_file(path).items()})
    for path in sorted((folder / "samples").glob("*.png"))[-1:]:
        files[f"samples/{path.name}"] = path.read_bytes()
    if sum(map(len, files.values())) > LARGEST:
        files = {name: data for name, data in files.items() if not name.endswith(".safetensors")}
    size, going = sum(map(len, files.values())), folder / "checkpoint.pt"
    if not Run(folder).done and going.exists() and size + going.stat().st_size < LARGEST:
        files[going.name] = going.read_bytes()
        size += len(files[going.name])
    tars = sorted(out.glob("runs-*.tar"), key=lambda path: int(path.stem.split("-")[1]))
    room = tars and tars[-1].stat().st_size + size < LARGEST
    path = tars[-1] if room else out / f"runs-{len(tars) + 1}.tar"
    with tarfile.open(path, "a" if room else "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"{folder.parent.name}/{folder.name}/{name}")
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    typer.run(main)
