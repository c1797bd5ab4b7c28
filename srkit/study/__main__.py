"""`python -m srkit.study run|status FILE`: what `srkit study` does, and the worker processes that it starts."""

import argparse
import sys
from pathlib import Path

from srkit.files import SrkitError
from srkit.study.reader import read_study
from srkit.study.report import redraw, report
from srkit.study.work import run_study, status, submit_study, work_on


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit status, 0 only where all is there."""
    parser = argparse.ArgumentParser(prog="python -m srkit.study")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "status", "figures", "work"):
        command = commands.add_parser(name)
        command.add_argument("file", type=Path, metavar="FILE")
        command.add_argument("--runs", type=Path, metavar="DIR", help="default: the project's runs/NAME")
        if name == "work":
            command.add_argument("folder")
        if name in ("run", "work"):
            command.add_argument("--device", metavar="D")
        if name in ("run", "figures"):
            command.add_argument("--figures", type=Path, metavar="DIR", help="default: the project's figures/NAME")
        if name == "run":
            command.add_argument("--workers", type=int, metavar="N")
            command.add_argument("--part", metavar="K/N", help="one share of the runs; copy the folders together after")
            command.add_argument("--slurm", metavar="OPTIONS", help="partition=gpu,time=8:00:00,...: an array of jobs")
    options = parser.parse_args(argv)
    try:
        return COMMANDS[options.command](options)
    except SrkitError as error:
        print(f"srkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"srkit: {str(stop) or 'stopped; the same command goes on.'}", file=sys.stderr)
        return 130


def run(
    file: Path,
    workers: int | None = None,
    part: str | None = None,
    device: str | None = None,
    runs: Path | None = None,
    figures: Path | None = None,
    slurm: str | None = None,
) -> int:
    """`srkit study run`: do what is missing, draw what is there, name what failed."""
    if slurm is not None:
        jobs = submit_study(file, slurm, runs)
        print(
            f"{len(jobs)} jobs: {', '.join(job.job_id for job in jobs)}; srkit study status {file} tells how it goes."
        )
        return 0
    failed = run_study(file, workers, _part(part), device, runs)
    try:
        if read_study(file).tests:
            paths = report(file, runs, figures)
            print(f"{len(paths)} files, tables, figures and pages: {paths[0].parent}")
    finally:
        for name, reason in failed.items():
            print(f"srkit: {name} failed: {reason}", file=sys.stderr)
    return int(bool(failed))


def show_status(file: Path, runs: Path | None = None) -> int:
    """`srkit study status`: a line a run, and what is left; 0 where all is done."""
    table = status(file, runs)
    width = table["run"].str.len().max()
    for row in table.itertuples():
        left = f"{row.hours_left:6.2f} h left" if row.hours_left > 0 else ""
        print(f"{row.run:{width}}  {row.state:8} {row.step:7,} of {row.of:,}  {left}  {row.note}".rstrip())
    counts = ", ".join(f"{count} {state}" for state, count in table["state"].value_counts().items())
    unknown = " and more" * bool(table["hours_left"].isna().any())
    print(f"{counts}; {table['hours_left'].sum():.1f} hours of one worker left{unknown}.")
    return int((table["state"] != "done").any())


def _part(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    number, slash, count = text.partition("/")
    if not (slash and number.isdigit() and count.isdigit()):
        raise SrkitError(f"--part {text} is not understood: write K/N, as 1/3.")
    return int(number), int(count)


COMMANDS = {
    "run": lambda o: run(o.file, o.workers, o.part, o.device, o.runs, o.figures, o.slurm),
    "status": lambda o: show_status(o.file, o.runs),
    "figures": lambda o: int(not redraw(o.file, o.figures)),
    "work": lambda o: work_on(o.file, o.folder, o.runs, o.device),
}

if __name__ == "__main__":
    sys.exit(main())
