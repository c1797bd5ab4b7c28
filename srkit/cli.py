"""The command line, thin over the functions that the notebooks call. `srkit COMMAND --help` explains each.

A command is declared here, its words and its help; the function of the same name in `srkit.commands` does it.
"""

import sys
import warnings
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from srkit.cli_base import (
    COURSE,
    GOING_ON,
    NETWORKS,
    PICTURES,
    RESULTS,
    SIZES,
    TEACHING,
    Data,
    Device,
    NewRuns,
    Only,
    Profile,
    Runs,
    Seed,
    System,
    command,
    program,
    settings,
)
from srkit.progress import lasting_output


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns its status: 0 all that was asked is there, 1 an error, 130 stopped.

    Raises SystemExit(2) for wrong usage.
    """
    with lasting_output():
        return _run([*(sys.argv[1:] if argv is None else argv)])


def _run(words: list[str]) -> int:
    end = words.index("--") if "--" in words else len(words)  # what follows is no option
    settings.debug = "--debug" in words[:end]
    warnings.formatwarning = lambda message, *where, **more: f"srkit: {message}\n"
    try:
        program([word for word in words[:end] if word != "--debug"] + words[end:], prog_name="srkit")
    except SystemExit as left:
        if left.code == 2:
            raise
        return left.code or 0
    return 0


@command(COURSE)
def doctor() -> None:
    """Is this machine ready? OK, WARN or FAIL a line, and what to do."""


@command(COURSE)
def course(
    action: Annotated[
        Literal["run", "build", "grade"], Argument(metavar="[run|build|grade]", help="run the notebooks, or see below")
    ] = "run",
    submissions: Annotated[Path | None, Argument(metavar="DIR", help="of grade: a folder of submissions")] = None,
    profile: Profile = "smoke",
    recipe: System = "srgan",
    data: Data = "starter",
    seed: Seed = 0,
    only: Only = None,
    runs: NewRuns = None,
    figures: Annotated[Path | None, Option(metavar="DIR", help="where figures go (default: figures/)")] = None,
    set: Annotated[
        list[str] | None, Option(metavar="NAME=VALUE", help="one more parameter of the notebooks; repeatable")
    ] = None,
    edition: Annotated[Literal["student", "solution", "teacher"], Option(help="of build", rich_help_panel=TEACHING)] = (
        "student"
    ),
    out: Annotated[
        Path | None, Option(metavar="DIR", help="of build: where the edition goes", rich_help_panel=TEACHING)
    ] = None,
    csv: Annotated[
        Path | None, Option(metavar="FILE", help="of grade: points by exercise", rich_help_panel=TEACHING)
    ] = None,
) -> None:
    """Run the notebooks in order and check what they made; build an edition of them; grade submissions."""


@command(NETWORKS)
def train(
    recipe: Annotated[str, Argument(metavar="RECIPE", help="a recipe's name, or my_recipes.py:NAME")],
    profile: Profile = "smoke",
    seed: Seed = 0,
    data: Data = "starter",
    runs: NewRuns = None,
    scale: Annotated[int | None, Option(min=2, metavar="S", help="2, 3, 4 or 8", rich_help_panel=SIZES)] = None,
    crop: Annotated[int | None, Option(min=8, metavar="PX", help="side of HR crops", rich_help_panel=SIZES)] = None,
    batch: Annotated[int | None, Option(min=1, metavar="N", help="crops a step", rich_help_panel=SIZES)] = None,
    accumulate: Annotated[
        int, Option(min=1, metavar="N", help="take each batch in N pieces: less memory", rich_help_panel=SIZES)
    ] = 1,
    white: Annotated[
        int | None, Option(min=1, metavar="N", help="largest value of 10 or 12 bits in 16-bit files")
    ] = None,
    tensorboard: Annotated[bool, Option("--tensorboard", help="mirror the history for TensorBoard")] = False,
    device: Device = None,
    precision: Annotated[
        Literal["fp32", "bf16", "fp16"] | None, Option(help="default: a GPU's quick 16 bits; fp32 on a CPU")
    ] = None,
    cache: Annotated[
        Path | None, Option(metavar="DIR", help="where large sets lie decoded (default: data/cache)")
    ] = None,
    perceptual_weights: Annotated[
        Literal["imagenet", "random"] | None, Option(help="of the VGG; smoke takes random ones by itself")
    ] = None,
    max_minutes: Annotated[
        float | None, Option(metavar="M", help="save and stop after so long", rich_help_panel=GOING_ON)
    ] = None,
    resume: Annotated[
        bool, Option("--resume", help="go on where a run stopped; start where there is none", rich_help_panel=GOING_ON)
    ] = False,
    force: Annotated[bool, Option("--force", help="start anew over an earlier run", rich_help_panel=GOING_ON)] = False,
) -> None:
    """Train a recipe."""


@command(NETWORKS)
def check(recipe: Annotated[str, Argument(metavar="RECIPE", help="my_recipes.py:NAME, or a recipe's name")]) -> None:
    """Try a recipe of your own in half a minute: OK, WARN or FAIL a line."""


@command(PICTURES)
def data(
    name: Annotated[str | None, Argument(metavar="NAME", help="a named set, kaggle:OWNER/SLUG, or a folder")] = None,
    verify: Annotated[bool, Option("--verify", help="compare every picture with what was fetched")] = False,
    report: Annotated[
        bool, Option("--report", help="count, sizes, grey ones, near-duplicates, quality, leaks")
    ] = False,
    against: Annotated[list[str] | None, Option(metavar="D", help="report pictures that D has too; repeatable")] = None,
    keep_archive: Annotated[
        bool, Option("--keep-archive", help="keep what was downloaded, below data/archives")
    ] = False,
    degrade: Annotated[str | None, Option(metavar="NAME", help="write HR and LR pairs of it into --out")] = None,
    out: Annotated[Path | None, Option(metavar="DIR", help="of --degrade: a new folder")] = None,
    scale: Annotated[int, Option(min=2, metavar="S", help="of --degrade")] = 4,
    seed: Seed = 0,
) -> None:
    """List the named data sets; fetch, verify or report on one."""


@command(COURSE)
def kaggle(
    what: Annotated[Literal["build", "push", "badges"], Argument(metavar="build|push|badges")],
    out: Annotated[Path, Option(metavar="DIR", help="where the kernels go")] = Path("build/kaggle"),
    user: Annotated[str | None, Option(metavar="NAME", help="your name on Kaggle")] = None,
    profile: Profile = "gpu",
    recipe: System = "srgan",
    data: Annotated[str, Option(metavar="D", help="a named set, or kaggle:OWNER/SLUG")] = "starter",
    only: Only = None,
    wheel: Annotated[bool, Option(help="build srkit's wheel too, which every kernel has attached")] = True,
    previous: Annotated[
        str | None, Option(metavar="OWNER/KERNEL", help="attach its output, for 05 to go on from")
    ] = None,
) -> None:
    """The notebooks as Kaggle kernels: build, push; badges."""


@command(NETWORKS)
def evaluate(
    what: Annotated[
        list[str],
        Argument(
            metavar="WHAT...",
            help="bicubic, nearest, a run's folder, a recipe (its newest run), a file of weights (a public one too), "
            "or a folder of ready-made SR images",
        ),
    ],
    images: Annotated[Path, Option(metavar="DIR", help="folder of HR images, or a named set")],
    scale: Annotated[int, Option(min=1, metavar="S")],
    csv: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="one line an image and method, added at once; what it holds already is not done again",
            rich_help_panel=RESULTS,
        ),
    ] = None,
    table: Annotated[
        Path | None,
        Option(metavar="FILE", help="the means as a table: LaTeX (.tex) or Markdown (.md)", rich_help_panel=RESULTS),
    ] = None,
    gallery: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="six figures, from the last method's greatest gain to its least",
            rich_help_panel=RESULTS,
        ),
    ] = None,
    save: Annotated[
        Path | None, Option(metavar="DIR", help="keep the SR images, in a folder a method", rich_help_panel=RESULTS)
    ] = None,
    no_lpips: Annotated[bool, Option("--no-lpips", help="leave LPIPS out, which takes longest")] = False,
    degradation: Annotated[
        str | None, Option(metavar="NAME", help="how LR is made, as unknown, mild, wild or high_order")
    ] = None,
    recipe: Annotated[
        str | None, Option(metavar="R", help="what a file of weights is of, or my_recipes.py:NAME of a run's own parts")
    ] = None,
    device: Device = None,
    runs: Runs = None,
) -> None:
    """PSNR, SSIM and LPIPS of methods on a folder of HR images."""


@command(PICTURES)
def upscale(
    pictures: Annotated[
        list[str], Argument(metavar="FILE|DIR...", help="pictures, and folders of them; -- before -a.png")
    ],
    out: Annotated[Path, Option(metavar="DIR", help="where the enlarged pictures go")],
    recipe: Annotated[
        str | None, Option(metavar="R", help="the system (default: srresnet_light), or that of --weights")
    ] = None,
    weights: Annotated[
        Path | None, Option(metavar="FILE", help="a file of weights, of a run or a public one, rather than srkit's")
    ] = None,
    scale: Annotated[
        int | None, Option(min=1, metavar="S", help="2, 3, 4 or 8 (default: the recipe's, or the file's own)")
    ] = None,
    alpha: Annotated[float | None, Option(metavar="A", help="from the PSNR weights, 0, to the GAN weights, 1")] = None,
    sharpen: Annotated[float, Option(metavar="X", help="amount of unsharp mask")] = 0.0,
    ensemble: Annotated[
        bool, Option("--ensemble", help="the mean over eight flips and turns: better, and slow")
    ] = False,
    tile: Annotated[int | None, Option(metavar="PX", help="side of a tile (default: as the memory allows)")] = None,
    format: Annotated[
        Literal["png", "jpg", "webp", "tif", "bmp", "gif"] | None, Option(help="instead of the input's")
    ] = None,
    device: Annotated[str, Option(metavar="D", help="cpu or cuda")] = "cpu",
    max_pixels: Annotated[
        int | None, Option(min=1, metavar="N", help="refuse larger pictures (default: 100 million)")
    ] = None,
    force: Annotated[bool, Option("--force", help="write over pictures that are there")] = False,
    precision: Annotated[
        Literal["fp32", "bf16"] | None, Option(help="default: bf16 on a CPU that is quick at it")
    ] = None,
    real: Annotated[bool, Option("--real", help="the network for photographs that are noisy or compressed")] = False,
    runs: Runs = None,
) -> None:
    """Enlarge pictures by a trained network."""


@command(PICTURES)
def app(
    host: Annotated[str, Option(metavar="H", help="address to listen on; 127.0.0.1 is this machine")] = "127.0.0.1",
    port: Annotated[int, Option(min=1, max=65535, metavar="P")] = 8866,
    sessions: Annotated[int, Option(min=1, metavar="N", help="visitors at once")] = 4,
    idle_minutes: Annotated[float, Option(min=0.1, metavar="M", help="then a visitor is forgotten")] = 15,
    upload_mb: Annotated[float, Option(min=0.01, metavar="MB", help="largest file taken")] = 8,
    pixels: Annotated[int, Option(min=256, metavar="N", help="most LR pixels")] = 400_000,
    seconds: Annotated[float, Option(min=0.1, metavar="S", help="longest answer")] = 60,
    static: Annotated[
        Path | None, Option(metavar="DIR", help="write a page of plain files that works without a server, and end")
    ] = None,
    runs: Runs = None,
) -> None:
    """Serve notebook 07 as a web page."""


@command(NETWORKS)
def study(
    action: Annotated[Literal["run", "status", "figures"], Argument(metavar="run|status|figures")],
    file: Annotated[Path, Argument(metavar="FILE", help="a study's file, as studies/systems.toml")],
    workers: Annotated[int | None, Option(min=1, metavar="N", help="processes (default: one a core, or a GPU)")] = None,
    part: Annotated[str | None, Option(metavar="K/N", help="one share of the runs; copy the folders together")] = None,
    slurm: Annotated[str | None, Option(metavar="OPTIONS", help="partition=gpu,time=8:00:00: an array of jobs")] = None,
    device: Device = None,
    runs: NewRuns = None,
    figures: Annotated[Path | None, Option(metavar="DIR", help="default: figures/STUDY")] = None,
    one: Annotated[str | None, Option(metavar="RUN", hidden=True)] = None,  # what a worker process is started for
) -> None:
    """All runs of an experiment, its tables and figures; how far it is; its figures anew."""


@command(NETWORKS)
def thesis(
    what: Annotated[list[str], Argument(metavar="RUN|STUDY...", help="runs' folders, and studies' files")],
    out: Annotated[Path, Option(metavar="DIR", help="the chapter's folder; main.tex in it is left as it is")],
    images: Annotated[Path | None, Option(metavar="DIR", help="HR images to score the runs on, once")] = None,
    figures: Annotated[Path | None, Option(metavar="DIR", help="of a study (default: figures/STUDY)")] = None,
    photographs: Annotated[
        str | None, Option(metavar="D", help="those of training, to report on: sizes, near-duplicates, leaks")
    ] = None,
    votes: Annotated[Path | None, Option(metavar="FILE", help="of people who rated pictures")] = None,
    looked_at: Annotated[
        list[str] | None, Option(metavar="SET", help="a test set that was used for choices; repeatable")
    ] = None,
    watts: Annotated[float, Option(min=0.0, metavar="W", help="taken for a run while it trains")] = 100.0,
    columns: Annotated[Literal["1", "2"], Option(help="of a page")] = "1",
    language: Annotated[Literal["en", "de"], Option(help="of labels and the decimal comma")] = "en",
    slides: Annotated[bool, Option("--slides", help="the figures at 16:9 too, and the slider as GIF")] = False,
    no_lpips: Annotated[bool, Option("--no-lpips", help="score without LPIPS, which takes longest")] = False,
) -> None:
    """A chapter's skeleton in LaTeX, with tables, figures and references, from what was recorded."""


@command(NETWORKS)
def export(
    network: Annotated[str, Argument(metavar="RUN|NAME", help="a run's folder, or a recipe's name")],
    onnx: Annotated[Path | None, Option(metavar="FILE", help="write one ONNX file")] = None,
    hub: Annotated[Path | None, Option(metavar="DIR", help="write a folder for Hugging Face")] = None,
    scale: Annotated[int, Option(min=2, metavar="S", help="of a name")] = 4,
    phase: Annotated[str | None, Option(metavar="P", help="psnr or gan (default: the last)")] = None,
    licence: Annotated[str | None, Option(metavar="L", help="of the weights, as mit")] = None,
    runs: Runs = None,
) -> None:
    """A network for other programs."""
