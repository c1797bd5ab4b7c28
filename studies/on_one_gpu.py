"""Train the runs of several studies side by side on one GPU, within a number of minutes.

    python studies/on_one_gpu.py studies/systems.toml studies/choices.toml --minutes 8 --workers 6 --out DIR

Small networks leave most of a large GPU idle, so several train at once, each in a process of its own that takes run
after run. More of them than fill the GPU only end later, all together (sixteen on an H200 made 1,000 steps a second in
all, and most were not done when the time was over), and a run that is stopped keeps nothing but finished phases.
A finished run is scored on the validation photographs (scores.csv) and packed at once, its weights in half precision,
into DIR/runs-N.tar of at most 15 MB; `tar -xf` below runs/ puts it where `srkit study` looks for it.
"""

import argparse
import io
import multiprocessing as mp
import os
import subprocess
import sys
import tarfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from queue import Empty

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
LARGEST = 15_000_000  # bytes of a tar file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("build/gpu"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--mps", action="store_true", help="let processes share the GPU at the same moment")
    options = parser.parse_args()
    began = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.mps:
        _share_gpu()
    waiting = _planned(options.studies)
    _prepare(waiting)
    print(f"{len(waiting)} runs; photographs ready after {time.monotonic() - began:.0f} s", flush=True)
    _train(waiting, options, began + 60 * options.minutes)


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


def _planned(files: list[Path]) -> list:
    """(file, number, run) of every run, in the order of the files."""
    from srkit.study import read_study

    return [(file, number, run) for file in files for number, run in enumerate(read_study(file).runs())]


def _prepare(planned: list) -> None:
    """Decode and degrade the photographs once for all processes: each way to make LR in a process of its own."""
    from srkit.data.sources import find_photographs
    from srkit.degradations import BICUBIC

    found, work = {}, {}
    for _, _, run in planned:
        recipe, study = run.recipe, run.study
        if not getattr(recipe.degradation, "fresh", False):
            seed = 0 if recipe.degradation == BICUBIC else run.seed  # any seed's are the same
            if study.file not in found:
                found[study.file] = find_photographs(study.photographs)
                _decoded(found[study.file])
            photographs = found[study.file]
            key = photographs.fingerprint, recipe.scale, repr(recipe.degradation), seed
            work.setdefault(key, (photographs, recipe.scale, recipe.crop, recipe.degradation, seed))
    with ProcessPoolExecutor(mp_context=mp.get_context("spawn")) as pool:
        list(pool.map(_degraded, *zip(*work.values(), strict=True)))


def _decoded(photographs) -> tuple:
    from srkit import dataset
    from srkit.paths import home

    dataset.LARGE = 0  # even a small set is kept in files
    return dataset.decode_all(photographs, home() / "data" / "cache")


def _degraded(photographs, scale: int, crop: int, degradation, seed: int) -> None:
    from srkit.dataset import Patches

    images, kept = _decoded(photographs)  # from the file, now
    Patches(images, scale, crop, degradation, seed, kept, photographs.lr, photographs.white)


def _train(waiting: list, options: argparse.Namespace, until: float) -> None:
    context = mp.get_context("spawn")
    jobs, answers = context.Queue(), context.Queue()
    workers = [
        context.Process(target=_work, args=(jobs, answers, str(options.runs), options.device, until))
        for _ in range(min(options.workers, len(waiting)))
    ]
    for worker in workers:
        worker.start()
    todo, busy, done = list(waiting), {}, set()

    def send() -> None:
        for job in list(todo):
            first = (job[0], job[2].first_phase)
            if len(busy) == len(workers) or time.monotonic() > until:
                return
            if first in done or first not in busy.values():  # one run of a first phase goes ahead of the others
                todo.remove(job)
                busy[job[:2]] = first
                jobs.put(job[:2])

    send()
    while busy and time.monotonic() < until + 60:
        try:
            job, rows, said, folder = answers.get(timeout=5)
        except Empty:
            if not any(worker.is_alive() for worker in workers):
                break
            continue
        done.add(busy.pop(job))
        send()
        print(f"{time.monotonic() - until:6.0f} s {said}", flush=True)
        if rows:
            _note(options.out / "scores.csv", rows)
        if folder:
            _pack(Path(folder), options.out)
    for _ in workers:
        jobs.put(None)
    print(f"left: {len(todo)} not begun, {len(busy)} not ended", flush=True)
    for worker in workers:
        worker.join(timeout=5)
        worker.kill()


def _work(jobs: mp.Queue, answers: mp.Queue, runs: str, device: str, until: float) -> None:
    """Take run after run. A worker says what came of each, and never ends the others."""
    import torch

    torch.set_num_threads(1)
    from srkit import dataset
    from srkit.data.sources import find_photographs
    from srkit.study import read_study, train_one

    dataset.LARGE, studies = 0, {}
    for job in iter(jobs.get, None):
        file, number = job
        began = time.monotonic()
        try:
            study = studies.setdefault(file, read_study(file))
            planned = study.runs()[number]
            run = train_one(planned, Path(runs) / study.name, device, max(0.05, (until - began) / 60))
            photographs = find_photographs(study.photographs)
            rows = _judge(run, photographs, planned.recipe.degradation, device) if run.phases else []
            last = run.history().iloc[-1]
            said = f"{run.folder.name}: {'done' if run.done else 'STOPPED'} at {last['step']:.0f}, "
            said += f"{time.monotonic() - began:.0f} s; " + "; ".join(map(_in_short, rows))
            said += f"; D {last['d_hr']:.2f} {last['d_sr']:.2f} {list(run.config.get('health', ()))}"
            answers.put((job, rows, said, str(run.folder)))
        except BaseException as error:
            traceback.print_exc()
            answers.put((job, [], f"{file.name} {number}: FAILED {type(error).__name__}: {error}", None))


def _in_short(row: dict) -> str:
    grid = row["grid"] / row["grid_bicubic"]
    return f"{row['phase']} {row['psnr_y']:.2f} lpips {row['lpips']:.3f} grid {grid:.2f} colour {row['colour']:.1f}"


def _judge(run, photographs, made_by, device: str) -> list[dict]:
    """A row a phase: means on the validation photographs, the middle 256 pixels of each."""
    import pandas as pd
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
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return rows


def _note(path: Path, rows: list[dict]) -> None:
    import pandas as pd

    pd.DataFrame(rows).to_csv(path, mode="a", header=not path.exists(), index=False, float_format="%.5g")


def _pack(folder: Path, out: Path) -> None:
    """Add a run to the newest tar file, or to a new one where that is full."""
    from safetensors.torch import load_file, save

    files = {name: (folder / name).read_bytes() for name in ("config.json", "history.csv") if (folder / name).exists()}
    for path in folder.glob("generator-*.safetensors"):
        halves = {k: v.half() if v.is_floating_point() else v for k, v in load_file(path).items()}
        files[path.name] = save(halves)
    for path in sorted((folder / "samples").glob("*.png"))[-1:]:
        files[f"samples/{path.name}"] = path.read_bytes()
    if sum(map(len, files.values())) > LARGEST:
        files = {name: data for name, data in files.items() if not name.endswith(".safetensors")}
    size = sum(map(len, files.values()))
    tars = sorted(out.glob("runs-*.tar"), key=lambda path: int(path.stem.split("-")[1]))
    room = tars and tars[-1].stat().st_size + size < LARGEST
    path = tars[-1] if room else out / f"runs-{len(tars) + 1}.tar"
    with tarfile.open(path, "a" if room else "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"{folder.parent.name}/{folder.name}/{name}")
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    main()
