"""The command line, thin over the functions that the notebooks call. `srkit COMMAND --help` explains each."""

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from srkit import commands
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
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    _command(subparsers, "doctor", commands.doctor, "is this machine ready? OK, WARN or FAIL a line, and what to do")

    course = _command(subparsers, "course", commands.course, "run the notebooks in order and check what they made")
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

    train = _command(subparsers, "train", commands.train, "train a recipe")
    train.add_argument("recipe", metavar="RECIPE")
    _training_options(train)
    train.add_argument("--scale", type=int, metavar="S", help="instead of the recipe's scale")
    train.add_argument("--crop", type=int, metavar="PX", help="side of the HR crops, instead of the recipe's")
    train.add_argument("--batch", type=int, metavar="N", help="crops a step, instead of the recipe's")
    train.add_argument(
        "--accumulate", type=int, default=1, metavar="N", help="take each batch in N pieces: less memory"
    )
    train.add_argument(
        "--precision", choices=["fp32", "bf16", "fp16"], help="default: a GPU's quick 16 bits; fp32 on a CPU"
    )
    train.add_argument("--max-minutes", type=float, metavar="M", help="save and stop after so long; --resume goes on")
    train.add_argument("--cache", type=Path, metavar="DIR", help="where large sets lie decoded (default: data/cache)")
    train.add_argument(
        "--perceptual-weights", choices=["imagenet", "random"], help="of the VGG; smoke takes random ones by itself"
    )
    again = train.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on where a run stopped; start where there is none")
    again.add_argument("--force", action="store_true", help="start anew over an earlier run")

    check = _command(subparsers, "check", commands.check, "try a recipe of your own, in half a minute")
    check.add_argument("recipe", metavar="RECIPE", help="my_recipes.py:NAME, or a recipe's name")

    data = _command(subparsers, "data", commands.data, "list the named data sets; fetch, verify or report on one")
    data.add_argument("name", nargs="?", metavar="NAME", help="a named set, kaggle:OWNER/SLUG, or a folder")
    data.add_argument("--verify", action="store_true", help="compare every picture with what was fetched")
    data.add_argument("--report", action="store_true", help="count, sizes, grey ones, near-duplicates, quality, leaks")
    data.add_argument("--against", action="append", default=[], metavar="D", help="report pictures that D has too")
    data.add_argument("--keep-archive", action="store_true", help="keep what was downloaded, below data/archives")

    kaggle = _command(subparsers, "kaggle", commands.kaggle, "the notebooks as Kaggle kernels: build, push; badges")
    kaggle.add_argument("what", choices=("build", "push", "badges"))
    kaggle.add_argument("--out", type=Path, default=Path("build/kaggle"), metavar="DIR", help="default: build/kaggle")
    kaggle.add_argument("--user", metavar="NAME", help="your name on Kaggle")
    kaggle.add_argument("--profile", default="gpu", metavar="P", help="smoke, laptop or gpu (default: gpu)")
    kaggle.add_argument("--recipe", default="srgan", metavar="R", help="the system to train, or all (default: srgan)")
    kaggle.add_argument("--data", default="starter", metavar="D", help="a named set, or kaggle:OWNER/SLUG")
    kaggle.add_argument("--only", metavar="03,05", help="these notebooks alone, by number or name")
    kaggle.add_argument("--wheel", action="store_true", help="attach srkit as a wheel, rather than from the index")
    kaggle.add_argument("--previous", metavar="OWNER/KERNEL", help="attach its output, for 05 to go on from")

    evaluate = _command(
        subparsers, "evaluate", commands.evaluate, "PSNR, SSIM and LPIPS of methods on a folder of HR images"
    )
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
    evaluate.add_argument(
        "--gallery", type=Path, metavar="DIR", help="six figures, from the last method's greatest gain to its least"
    )
    evaluate.add_argument("--recipe", metavar="R", help="what a file of weights is of, or my_recipes.py:NAME of a run")
    evaluate.add_argument("--no-lpips", action="store_true", help="leave LPIPS out, which takes longest")
    evaluate.add_argument("--save", type=Path, metavar="DIR", help="keep the SR images, in a folder a method")
    evaluate.add_argument("--runs", type=Path, metavar="DIR", help="where runs are (default: the project's runs/)")

    upscale = _command(subparsers, "upscale", commands.upscale, "enlarge pictures by a trained network")
    upscale.add_argument(
        "pictures", nargs="+", metavar="FILE|DIR", help="pictures, and folders of them; -- before -a.png"
    )
    upscale.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the enlarged pictures go")
    upscale.add_argument("--recipe", metavar="R", help="the system (default: srresnet_light), or that of --weights")
    upscale.add_argument(
        "--weights", type=Path, metavar="FILE", help="a file of weights, rather than a run's or srkit's"
    )
    upscale.add_argument(
        "--scale", type=int, metavar="S", help="2, 3, 4 or 8 (default: the recipe's, or the file's own)"
    )
    upscale.add_argument("--alpha", type=float, metavar="A", help="between the PSNR weights, 0, and the GAN weights, 1")
    upscale.add_argument("--sharpen", type=float, default=0.0, metavar="X", help="amount of unsharp mask (default: 0)")
    upscale.add_argument(
        "--ensemble", action="store_true", help="the mean over eight flips and turns: better, and slow"
    )
    upscale.add_argument("--tile", type=int, metavar="PX", help="side of a tile (default: as the memory allows)")
    upscale.add_argument("--format", choices=("png", "jpg", "webp", "tif", "bmp", "gif"), help="instead of the input's")
    upscale.add_argument("--device", default="cpu", metavar="D", help="cpu or cuda (default: cpu)")
    upscale.add_argument("--max-pixels", type=int, metavar="N", help="refuse larger pictures (default: 100 million)")
    upscale.add_argument("--force", action="store_true", help="write over pictures that are there")
    upscale.add_argument("--runs", type=Path, metavar="DIR", help="where runs are (default: the project's runs/)")

    app = _command(subparsers, "app", commands.app, "serve notebook 07 as a web page")
    app.add_argument("--host", default="127.0.0.1", metavar="H", help="address to listen on (default: this machine)")
    app.add_argument("--port", type=int, default=8866, metavar="P", help="default: 8866")
    app.add_argument("--sessions", type=int, default=4, metavar="N", help="visitors at once (default: 4)")
    app.add_argument("--idle-minutes", type=float, default=15, metavar="M", help="then a visitor is forgotten")
    app.add_argument("--upload-mb", type=float, default=8, metavar="MB", help="largest file taken (default: 8)")
    app.add_argument("--pixels", type=int, default=400_000, metavar="N", help="most LR pixels (default: 400000)")
    app.add_argument("--seconds", type=float, default=60, metavar="S", help="longest answer (default: 60)")
    app.add_argument("--runs", type=Path, metavar="DIR", help="where runs are (default: the project's runs/)")
    return parser


def _command(subparsers, name: str, run: Callable, about: str) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
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
