"""What `srkit study` does."""

import re
import sys
from pathlib import Path
from typing import Literal

from srkit.cli_base import NETWORKS, Device, argument, command, optional
from srkit.files import SrkitError


@command(NETWORKS)
def study(
    action: argument(Literal["run", "status", "figures"], "run|status|figures"),
    file: argument(Path, "FILE", "a study's file, as studies/systems.toml"),
    workers: optional(int, "N", "processes (default: one a core, or a GPU)", min=1) = None,
    part: optional(str, "K/N", "one share of the runs; copy the folders together") = "1/1",
    slurm: optional(str, "OPTIONS", "partition=gpu,time=8:00:00: an array of jobs") = None,
    device: Device = None,
    runs: optional(Path, "DIR", "of the runs (default: runs/STUDY of the project)") = None,
    figures: optional(Path, "DIR", "default: figures/STUDY") = None,
    one: optional(str, "RUN", hidden=True) = None,  # what a worker process is started for
) -> int:
    """All runs of an experiment, its tables and figures; how far it is; its figures anew."""
    from srkit.study.reader import read_study
    from srkit.study.report import redraw, report
    from srkit.study.work import run_study, submit_study, work_on

    if one:
        return work_on(file, one, runs, device)
    if action == "status":
        return _status(file, runs)
    if action == "figures":
        print(*redraw(file, figures), sep="\n")
        return 0
    if slurm is not None:
        jobs = submit_study(file, slurm, runs)
        names = ", ".join(job.job_id for job in jobs)
        print(f"{len(jobs)} jobs: {names}; srkit study status {file} tells how it goes.")
        return 0
    share = re.fullmatch(r"(\d+)/(\d+)", part)
    if not share:
        raise SrkitError(f"--part {part} is not understood: write K/N, as 1/3.")
    failed = run_study(file, workers, tuple(map(int, share.groups())), device, runs)
    try:
        if read_study(file).tests:
            paths = report(file, runs, figures)
            print(f"{len(paths)} files, tables, figures and pages: {paths[0].parent}")
    finally:
        for name, reason in failed.items():
            print(f"srkit: {name} failed: {reason}", file=sys.stderr)
    return int(bool(failed))


def _status(file: Path, runs: Path | None) -> int:
    """A line a run, and what is left; 0 where all is done."""
    from srkit.study.work import status

    table = status(file, runs)
    width = table["run"].str.len().max()
    for row in table.itertuples():
        left = f"{row.hours_left:6.2f} h left" if row.hours_left > 0 else ""
        print(f"{row.run:{width}}  {row.state:8} {row.step:7,} of {row.of:,}  {left}  {row.note}".rstrip())
    counts = ", ".join(f"{count} {state}" for state, count in table["state"].value_counts().items())
    unknown = " and more" * bool(table["hours_left"].isna().any())
    print(f"{counts}; {table['hours_left'].sum():.1f} hours of one worker left{unknown}.")
    return int((table["state"] != "done").any())
