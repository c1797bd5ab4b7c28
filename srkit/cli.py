"""The command line, thin over the functions that the notebooks call. `srkit COMMAND --help` explains each."""

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from srkit.chapters import home
from srkit.files import SrkitError


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns its status: 0 all that was asked is there, 1 an error, 2 wrong usage, 130 stopped."""
    options = _parser().parse_args(argv)
    warnings.formatwarning = lambda message, *where, **more: f"srkit: {message}\n"
    try:
        return options.run(options) or 0
    except SrkitError as error:
        if options.debug:
            raise
        print(f"srkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        if options.debug:
            raise
        print(f"srkit: {str(stop) or 'stopped before the end; what was finished is kept.'}", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="srkit", description="Super-resolution with GANs: a course and a thesis kit.")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    _command(commands, "doctor", _doctor, "is this machine ready? OK, WARN or FAIL a line, and what to do")

    course = _command(commands, "course", _course, "run the notebooks in order and check what they made")
    _training_options(course)
    course.add_argument("--only", metavar="03,05", help="these notebooks alone, by number or name")
    course.add_argument(
        "--figures", type=Path, metavar="DIR", help="where figures go (default: the project's figures/)"
    )
    course.add_argument("--recipe", default="srgan", metavar="R", help="the system to train, or all (default: srgan)")
    course.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one more parameter of the notebooks; repeatable",
    )

    train = _command(commands, "train", _train, "train a recipe")
    train.add_argument("recipe", metavar="RECIPE")
    _training_options(train)
    train.add_argument("--scale", type=int, metavar="S", help="instead of the recipe's scale")
    train.add_argument("--crop", type=int, metavar="PX", help="side of the HR crops, instead of the recipe's")
    train.add_argument("--batch", type=int, metavar="N", help="crops a step, instead of the recipe's")
    train.add_argument(
        "--accumulate", type=int, default=1, metavar="N", help="take each batch in N pieces: less memory"
    )
    train.add_argument("--max-minutes", type=float, metavar="M", help="save and stop after so long; --resume goes on")
    train.add_argument("--cache", type=Path, metavar="DIR", help="where large sets lie decoded (default: data/cache)")
    train.add_argument(
        "--perceptual-weights", choices=["imagenet", "random"], help="of the VGG; smoke takes random ones by itself"
    )
    again = train.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on where a run stopped; start where there is none")
    again.add_argument("--force", action="store_true", help="start anew over an earlier run")

    evaluate = _command(commands, "evaluate", _evaluate, "PSNR, SSIM and LPIPS of methods on a folder of HR images")
    evaluate.add_argument(
        "what",
        nargs="+",
        metavar="WHAT",
        help="bicubic, nearest, a run's folder, a recipe (its newest run), or a folder of ready-made SR images",
    )
    evaluate.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of HR images")
    evaluate.add_argument("--scale", type=int, required=True, metavar="S")
    evaluate.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="one line an image and method, added at once; what it holds already is not done again",
    )
    evaluate.add_argument(
        "--table", type=Path, metavar="FILE", help="the means as a table: LaTeX (.tex) or Markdown (.md)"
    )
    evaluate.add_argument("--no-lpips", action="store_true", help="leave LPIPS out, which takes longest")
    evaluate.add_argument("--save", type=Path, metavar="DIR", help="keep the SR images, in a folder a method")
    evaluate.add_argument("--runs", type=Path, metavar="DIR", help="where runs are (default: the project's runs/)")
    return parser


def _command(commands, name: str, run: Callable, about: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )
    parser.set_defaults(run=run)
    return parser


def _training_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="smoke", metavar="P", help="smoke, laptop or gpu (default: smoke)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all that is random (default: 0)")
    parser.add_argument("--data", default="starter", metavar="D", help="a named set or a folder (default: starter)")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="where runs go (default: the project's runs/)")


def _doctor(options: argparse.Namespace) -> int:
    from srkit.doctor import FAIL, doctor

    rows = doctor()
    for row in rows.itertuples():
        print(f"{row.state:4}  {row.check:15} {row.found}")
        if row.do:
            print(f"{'':22}-> {row.do}")
    return int((rows["state"] == FAIL).any())


def _course(options: argparse.Namespace) -> None:
    from srkit.course import run_course

    done = run_course(
        options.profile,
        options.recipe,
        options.data,
        options.seed,
        options.only,
        options.runs,
        options.figures,
        settings=dict(_setting(text) for text in options.set),
    )
    print(f"\n{'notebook':20} {'seconds':>8} {'peak MB':>8} {'files':>6}")
    for each in done:
        print(f"{each.notebook:20} {each.seconds:8.0f} {each.peak_mb:8.0f} {len(each.files):6}")
    files = [file for each in done for file in each.files]
    seconds, peak = sum(each.seconds for each in done), max(each.peak_mb for each in done)
    print(f"{'together':20} {seconds:8.0f} {peak:8.0f} {len(files):6}")
    print("\nWhere to look next")
    if files:
        print(f"  figures    {files[0].parent}")
    print(f"  notebooks  {done[0].executed.parent}")
    print("  by hand    make lab, and start with 00_start_here")


def _setting(text: str) -> tuple[str, object]:
    import ast

    name, equals, value = text.partition("=")
    if not equals:
        raise SrkitError(f"--set wants NAME=VALUE, and got {text!r}.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _train(options: argparse.Namespace) -> None:
    from srkit import ranks
    from srkit.health import in_words
    from srkit.training import train

    run = train(
        options.recipe,
        options.profile,
        seed=options.seed,
        data=options.data,
        scale=options.scale,
        crop=options.crop,
        batch=options.batch,
        accumulate=options.accumulate,
        max_minutes=options.max_minutes,
        cache=options.cache,
        runs=options.runs or home() / "runs",
        resume=options.resume,
        force=options.force,
        perceptual_weights=options.perceptual_weights,
    )
    if ranks.rank() > 0:  # under torchrun one process speaks for all
        return
    if (run.folder / "history.csv").exists():
        print(in_words(run.history()))
    print(f"{run.label}: {run.folder}")


def _evaluate(options: argparse.Namespace) -> int:
    import torch
    from torch import nn

    from srkit.dataset import find_pictures
    from srkit.evaluation import costs, evaluate, summary
    from srkit.metrics import lpips_judge
    from srkit.tables import protocol, write_table

    images = find_pictures(options.images)
    if not images:
        raise SrkitError(f"{options.images} holds no pictures: give the folder of the HR images with --images.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    methods, problems = {}, []
    for what in options.what:
        name, method = _method(what, options.scale, options.runs or home() / "runs")
        name = f"{Path(what).resolve().parent.name}-{name}" if name in methods else name
        methods[name] = method.to(device) if isinstance(method, nn.Module) else method
    lpips = None if options.no_lpips else lpips_judge(device)
    table = evaluate(
        methods,
        images,
        options.scale,
        lpips=lpips,
        save=options.save,
        csv=options.csv,
        problems=problems,
    )
    means = summary(table).merge(costs(methods, options.scale)).dropna(axis="columns", how="all")
    print(means.round(4).to_string(index=False, na_rep=""))
    print(f"{protocol(options.scale)}; means over the images. mos_estimate is guessed from PSNR, nobody was asked.")
    if options.table:
        write_table(options.table, table)
    for written in filter(None, (options.csv, options.table, options.save)):
        print(written)
    for problem in problems:
        print(f"srkit: left out: {problem}", file=sys.stderr)
    return int(bool(problems))


def _method(what: str, scale: int, runs: Path) -> tuple[str, object]:
    """The name and the method that a word on the command line means."""
    from srkit.dataset import find_pictures
    from srkit.recipes import RECIPES
    from srkit.runs import Run, find_runs
    from srkit.shipped import load

    if what in ("bicubic", "nearest"):
        return what, what
    if what in RECIPES:
        found = [run for run in find_runs(runs) if run.config["recipe"]["name"] == what and run.scale == scale]
        if not found:
            return f"{what} (shipped)", load(what, scale)
        print(f"{what}: {found[-1].folder} ({found[-1].label})")
        return what, found[-1].generator()
    folder = Path(what).resolve()
    if folder.is_dir() and not (folder / "config.json").exists():
        if not find_pictures(folder):
            raise SrkitError(f"{what} holds neither a run nor SR images: name another folder.")
        taken = folder.name in ("bicubic", "nearest", *RECIPES)
        return f"{folder.parent.name}-{folder.name}" if taken else folder.name, folder
    if not Path(what).is_dir():
        known = ", ".join(["bicubic", "nearest", *RECIPES])
        raise SrkitError(f"{what!r} is no method: give the folder of a run or of SR images, or one of {known}.")
    run = Run(folder)
    if run.scale != scale:
        raise SrkitError(
            f"{what} was trained for x{run.scale} and cannot be scored at x{scale}: use --scale {run.scale}."
        )
    return run.folder.name, run.generator()
