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
    flag,
    optional,
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
    figures: optional(Path, "DIR", "where figures go (default: figures/)") = None,
    set: optional(list[str], "NAME=VALUE", "one more parameter of the notebooks; repeatable") = None,
    edition: Annotated[Literal["student", "solution", "teacher"], Option(help="of build", rich_help_panel=TEACHING)] = (
        "student"
    ),
    out: optional(Path, "DIR", "of build: where the edition goes", TEACHING) = None,
    csv: optional(Path, "FILE", "of grade: points by exercise", TEACHING) = None,
) -> None:
    """Run the notebooks in order and check what they made; build an edition of them; grade submissions."""


@command(NETWORKS)
def train(
    recipe: Annotated[str, Argument(metavar="RECIPE", help="a recipe's name, or my_recipes.py:NAME")],
    profile: Profile = "smoke",
    seed: Seed = 0,
    data: Data = "starter",
    runs: NewRuns = None,
    scale: optional(int, "S", "2, 3, 4 or 8", SIZES, min=2) = None,
    crop: optional(int, "PX", "side of HR crops", SIZES, min=8) = None,
    batch: optional(int, "N", "crops a step", SIZES, min=1) = None,
    accumulate: Annotated[
        int, Option(min=1, metavar="N", help="take each batch in N pieces: less memory", rich_help_panel=SIZES)
    ] = 1,
    white: optional(int, "N", "largest value of 10 or 12 bits in 16-bit files", min=1) = None,
    tensorboard: flag("--tensorboard", "mirror the history for TensorBoard") = False,
    device: Device = None,
    precision: optional(Literal["fp32", "bf16", "fp16"], None, "default: a GPU's quick 16 bits; fp32 on a CPU") = None,
    cache: optional(Path, "DIR", "where large sets lie decoded (default: data/cache)") = None,
    perceptual_weights: optional(
        Literal["imagenet", "random"], None, "of the VGG; smoke takes random ones by itself"
    ) = None,
    max_minutes: optional(float, "M", "save and stop after so long", GOING_ON) = None,
    resume: flag("--resume", "go on where a run stopped; start where there is none", GOING_ON) = False,
    force: flag("--force", "start anew over an earlier run", GOING_ON) = False,
) -> None:
    """Train a recipe."""


@command(NETWORKS)
def check(recipe: Annotated[str, Argument(metavar="RECIPE", help="my_recipes.py:NAME, or a recipe's name")]) -> None:
    """Try a recipe of your own in half a minute: OK, WARN or FAIL a line."""


@command(PICTURES)
def data(
    name: Annotated[str | None, Argument(metavar="NAME", help="a named set, kaggle:OWNER/SLUG, or a folder")] = None,
    verify: flag("--verify", "compare every picture with what was fetched") = False,
    report: flag("--report", "count, sizes, grey ones, near-duplicates, quality, leaks") = False,
    against: optional(list[str], "D", "report pictures that D has too; repeatable") = None,
    keep_archive: flag("--keep-archive", "keep what was downloaded, below data/archives") = False,
    degrade: optional(str, "NAME", "write HR and LR pairs of it into --out") = None,
    out: optional(Path, "DIR", "of --degrade: a new folder") = None,
    scale: Annotated[int, Option(min=2, metavar="S", help="of --degrade")] = 4,
    seed: Seed = 0,
) -> None:
    """List the named data sets; fetch, verify or report on one."""


@command(COURSE)
def kaggle(
    what: Annotated[Literal["build", "push", "badges"], Argument(metavar="build|push|badges")],
    out: Annotated[Path, Option(metavar="DIR", help="where the kernels go")] = Path("build/kaggle"),
    user: optional(str, "NAME", "your name on Kaggle") = None,
    profile: Profile = "gpu",
    recipe: System = "srgan",
    data: Annotated[str, Option(metavar="D", help="a named set, or kaggle:OWNER/SLUG")] = "starter",
    only: Only = None,
    wheel: Annotated[bool, Option(help="build srkit's wheel too, which every kernel has attached")] = True,
    previous: optional(str, "OWNER/KERNEL", "attach its output, for 05 to go on from") = None,
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
    csv: optional(
        Path, "FILE", "one line an image and method, added at once; what it holds already is not done again", RESULTS
    ) = None,
    table: optional(Path, "FILE", "the means as a table: LaTeX (.tex) or Markdown (.md)", RESULTS) = None,
    gallery: optional(Path, "DIR", "six figures, from the last method's greatest gain to its least", RESULTS) = None,
    save: optional(Path, "DIR", "keep the SR images, in a folder a method", RESULTS) = None,
    no_lpips: flag("--no-lpips", "leave LPIPS out, which takes longest") = False,
    degradation: optional(str, "NAME", "how LR is made, as unknown, mild, wild or high_order") = None,
    recipe: optional(str, "R", "what a file of weights is of, or my_recipes.py:NAME of a run's own parts") = None,
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
    recipe: optional(str, "R", "the system (default: srresnet_light), or that of --weights") = None,
    weights: optional(Path, "FILE", "a file of weights, a run's or a public one, or a run's folder") = None,
    scale: optional(int, "S", "2, 3, 4 or 8 (default: the recipe's, or the file's own)", min=1) = None,
    alpha: optional(float, "A", "between the PSNR weights, 0, and the GAN weights, 1") = None,
    sharpen: Annotated[float, Option(metavar="X", help="amount of unsharp mask")] = 0.0,
    ensemble: flag("--ensemble", "the mean over eight flips and turns: better, and slow") = False,
    tile: optional(int, "PX", "side of a tile (default: as the memory allows)") = None,
    format: optional(Literal["png", "jpg", "webp", "tif", "bmp", "gif"], None, "instead of the input's") = None,
    device: Device = None,
    max_pixels: optional(int, "N", "refuse larger pictures (default: 100 million)", min=1) = None,
    force: flag("--force", "write over pictures that are there") = False,
    precision: optional(Literal["fp32", "bf16"], None, "default: bf16 on a CPU that is quick at it") = None,
    real: flag("--real", "the network for photographs that are noisy or compressed") = False,
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
    static: optional(Path, "DIR", "write a page of plain files that works without a server, and end") = None,
    runs: Runs = None,
) -> None:
    """Serve notebook 07 as a web page."""


@command(NETWORKS)
def study(
    action: Annotated[Literal["run", "status", "figures"], Argument(metavar="run|status|figures")],
    file: Annotated[Path, Argument(metavar="FILE", help="a study's file, as studies/systems.toml")],
    workers: optional(int, "N", "processes (default: one a core, or a GPU)", min=1) = None,
    part: optional(str, "K/N", "one share of the runs; copy the folders together") = None,
    slurm: optional(str, "OPTIONS", "partition=gpu,time=8:00:00: an array of jobs") = None,
    device: Device = None,
    runs: NewRuns = None,
    figures: optional(Path, "DIR", "default: figures/STUDY") = None,
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
    network: Annotated[str, Argument(metavar="RUN|NAME", help="a run's folder, a recipe's name, a file of weights")],
    onnx: optional(Path, "FILE", "write one ONNX file") = None,
    hub: optional(Path, "DIR", "write a folder for Hugging Face") = None,
    scale: optional(int, "S", "of a name (default: its recipe's)", min=2) = None,
    phase: optional(str, "P", "psnr or gan (default: the last)") = None,
    licence: optional(str, "L", "of the weights, as mit") = None,
    runs: Runs = None,
) -> None:
    """A network for other programs."""
