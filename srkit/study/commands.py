"""What the command study does; see srkit.commands."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

from srkit.files import SrkitError


def study(options: SimpleNamespace) -> int:
    from srkit.study.report import redraw
    from srkit.study.work import submit_study, work_on

    file, runs = options.file, options.runs
    if options.one:
        return work_on(file, options.one, runs, options.device)
    if options.action == "status":
        return _status(file, runs)
    if options.action == "figures":
        print(*redraw(file, options.figures), sep="\n")
        return 0
    if options.slurm is not None:
        jobs = submit_study(file, options.slurm, runs)
        names = ", ".join(job.job_id for job in jobs)
        print(f"{len(jobs)} jobs: {names}; srkit study status {file} tells how it goes.")
        return 0
    return _run(options)


def _run(options: SimpleNamespace) -> int:
    """Do what is missing, draw what is there, name what failed."""
    from srkit.study.reader import read_study
    from srkit.study.report import report
    from srkit.study.work import run_study

    part = re.fullmatch(r"(\d+)/(\d+)", options.part or "1/1")
    if not part:
        raise SrkitError(f"--part {options.part} is not understood: write K/N, as 1/3.")
    failed = run_study(options.file, options.workers, tuple(map(int, part.groups())), options.device, options.runs)
    try:
        if read_study(options.file).tests:
            paths = report(options.file, options.runs, options.figures)
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
