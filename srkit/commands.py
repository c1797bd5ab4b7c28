"""The commands about networks and pictures: each calls the functions that the notebooks call, and prints what came."""

import sys
from pathlib import Path
from typing import Literal

import typer

from srkit.cli_base import (
    NETWORKS,
    PICTURES,
    Data,
    Device,
    NewRuns,
    NoLpips,
    Profile,
    Runs,
    Seed,
    argument,
    command,
    flag,
    option,
    optional,
)
from srkit.files import SrkitError, expanded, spelt
from srkit.paths import home

White = optional(int, "N", "largest value of 10 or 12 bits in 16-bit files", min=1, max=65535)
GOING_ON, SIZES, RESULTS = "Stopping and going on", "Sizes, instead of the recipe's", "What is written"


@command(NETWORKS)
def train(
    recipe: argument(str, "RECIPE", "a recipe's name, or my_recipes.py:NAME"),
    profile: Profile = "smoke",
    seed: Seed = 0,
    data: Data = "starter",
    runs: NewRuns = None,
    scale: optional(int, "S", "2, 3, 4 or 8", SIZES, min=2) = None,
    crop: optional(int, "PX", "side of HR crops", SIZES, min=8) = None,
    batch: optional(int, "N", "crops a step", SIZES, min=1) = None,
    accumulate: option(int, "N", "take each batch in N pieces: less memory", SIZES, min=1) = 1,
    white: White = None,
    tensorboard: flag("--tensorboard", "mirror the history for TensorBoard") = False,
    device: Device = None,
    precision: optional(Literal["fp32", "bf16", "fp16"], None, "default: a GPU's quick 16 bits; fp32 on a CPU") = None,
    cache: optional(Path, "DIR", "where large sets lie decoded (default: data/cache)") = None,
    perceptual_weights: optional(Literal["imagenet", "random"], None, "of the VGG; smoke takes random ones") = None,
    max_minutes: optional(float, "M", "save and stop after so long", GOING_ON) = None,
    resume: flag("--resume", "go on where a run stopped; start where there is none", GOING_ON) = False,
    force: flag("--force", "start anew over an earlier run", GOING_ON) = False,
) -> None:
    """Train a recipe."""
    options = locals()  # named as the arguments of srkit.training.train
    from srkit import distributed, training
    from srkit.device import find_device
    from srkit.health import in_words

    if resume and force:
        raise SrkitError("--resume goes on with a run and --force starts anew: choose one of them.")
    where = {"runs": runs or home() / "runs", "device": device and find_device(device).name}
    run = training.train(**options | where)
    if distributed.rank() > 0:  # under torchrun one process speaks for all
        return
    if (run.folder / "history.csv").exists():
        print(in_words(run.history()))
    print(f"{run.label}: {run.folder}")


@command(NETWORKS)
def check(recipe: argument(str, "RECIPE", "my_recipes.py:NAME, or a recipe's name")) -> int:
    """Try a recipe of your own in half a minute: OK, WARN or FAIL a line."""
    from srkit import checking

    findings = checking.check(recipe)
    for each in findings:
        print(f"{each.state:4}  {each.check:22} {each.found}")
    return int(any(each.state == checking.FAIL for each in findings))


@command(NETWORKS)
def evaluate(
    what: argument(
        list[str],
        "WHAT...",
        "bicubic, nearest, a run's folder, a recipe (its newest run), a file of weights (a public one too), "
        "or a folder of ready-made SR images",
    ),
    images: optional(Path, "DIR", "folder of HR images or a named set; of photographs beside --no-reference") = None,
    scale: optional(int, "S", min=1) = None,
    no_reference: flag("--no-reference", "NIQE, which needs no HR: of folders, or of methods on --images") = False,
    csv: optional(Path, "FILE", "a line an image and method; what it holds is not done again", RESULTS) = None,
    table: optional(Path, "FILE", "the means as a table: LaTeX (.tex) or Markdown (.md)", RESULTS) = None,
    gallery: optional(Path, "DIR", "six figures, from the last method's greatest gain to its least", RESULTS) = None,
    save: optional(Path, "DIR", "keep the SR images, as METHOD/SET/NAME.png", RESULTS) = None,
    no_lpips: NoLpips = False,
    degradation: optional(str, "NAME", "how LR is made, as unknown, mild, wild or high_order") = "bicubic",
    white: White = None,
    recipe: optional(str, "R", "what a file of weights is of, or my_recipes.py:NAME of a run's own parts") = None,
    device: Device = None,
    runs: Runs = None,
) -> int:
    """PSNR, SSIM and LPIPS of methods on a folder of HR images; NIQE where there is no HR."""
    if no_reference:
        hr = {"--degradation": degradation != "bicubic", "--gallery": gallery, "--no-lpips": no_lpips, "--white": white}
        if named := [option for option, value in hr.items() if value]:
            raise SrkitError(f"--no-reference compares with no HR: leave {' and '.join(named)} out.")
        if bool(images) != bool(scale) or (save and not images):
            raise SrkitError("with --no-reference, --images and --scale (and --save) go together: give them, or none.")
        return _without_reference(_methods(what, scale, runs, recipe, device), images, scale, csv, table, save)
    if not (images and scale):
        raise typer.BadParameter("evaluate needs both, or --no-reference.", param_hint="--images DIR and --scale S")
    from srkit import comparison, evaluation, tables
    from srkit.data.sources import find_images
    from srkit.degradations import find_degradation
    from srkit.device import find_device
    from srkit.metrics import lpips_judge

    files, given = find_images(images, scale)
    methods, problems = _methods(what, scale, runs, recipe, device), []
    if table:  # what cannot be written is refused before hours of scoring
        tables.check_table(table)
    if gallery:
        comparison.check_gallery(methods)
    lpips = False if no_lpips else lpips_judge(find_device(device).name)
    how = {"lpips": lpips, "given": given, "degradation": find_degradation(degradation), "white": white}
    scores = evaluation.evaluate(methods, files, scale, save=save, csv=csv, problems=problems, **how)
    means = evaluation.summary(scores).merge(evaluation.costs(methods, scale)).dropna(axis="columns", how="all")
    print(means.round(4).to_string(index=False, na_rep=""))
    print(f"{tables.protocol(scale)}; means over the images. mos_estimate is guessed from PSNR, nobody was asked.")
    if table:
        tables.write_table(table, scores)
    if gallery:
        comparison.gallery(scores, methods, files, scale, gallery, **how)
    return _left_out(problems, csv, table, save, gallery)


@command(NETWORKS)
def export(
    network: argument(str, "RUN|NAME", "a run's folder, a recipe's name, a file of weights"),
    onnx: optional(Path, "FILE", "write one ONNX file") = None,
    hub: optional(Path, "DIR", "write a folder for Hugging Face") = None,
    scale: optional(int, "S", "of a name (default: its recipe's)", min=2) = None,
    phase: optional(str, "P", "psnr or gan (default: the last)") = None,
    licence: optional(str, "L", "of the weights, as mit") = None,
    runs: Runs = None,
) -> None:
    """A network for other programs."""
    from srkit.export import export_hub, export_onnx

    if not (onnx or hub):
        raise SrkitError("export writes what you name: give --onnx FILE, or --hub DIR.")
    how = {"scale": scale, "phase": phase, "runs": _runs(runs)}
    if onnx:
        print(export_onnx(network, onnx, **how))
    if hub:
        print(export_hub(network, hub, **how, licence=licence))


@command(PICTURES)
def upscale(
    pictures: argument(list[str], "FILE|DIR...", "pictures, and folders of them; -- before -a.png"),
    out: option(Path, "DIR", "where the enlarged pictures go"),
    recipe: optional(str, "R", "the system (default: srresnet_light), or that of --weights") = None,
    weights: optional(Path, "FILE", "a file of weights, a run's or a public one, or a run's folder") = None,
    scale: optional(int, "S", "2, 3, 4 or 8 (default: the recipe's, or the file's own)", min=1) = None,
    alpha: optional(float, "A", "between the PSNR weights, 0, and the GAN weights, 1") = None,
    sharpen: option(float, "X", "amount of unsharp mask") = 0.0,
    ensemble: flag("--ensemble", "the mean over eight flips and turns: better, and slow") = False,
    tile: optional(int, "PX", "side of a tile (default: as the memory allows)") = None,
    format: optional(Literal["png", "jpg", "webp", "tif", "bmp", "gif"], None, "instead of the input's") = None,
    device: Device = None,
    max_pixels: optional(int, "N", "refuse larger pictures (default: 100 million)", min=1) = None,
    force: flag("--force", "write over pictures that are there") = False,
    precision: optional(Literal["fp32", "bf16"], None, "default: bf16 on a CPU that is quick at it") = None,
    white: White = None,
    real: flag("--real", "the network for photographs that are noisy or compressed") = False,
    runs: Runs = None,
) -> int:
    """Enlarge pictures by a trained network."""
    from srkit.device import find_device
    from srkit.images import MAX_PIXELS
    from srkit.pretrained import resolve
    from srkit.upscaling import targets, upscale_file

    if weights and not expanded(weights).exists():
        raise SrkitError(f"{weights} is not there: give a file of weights, or a run's folder.")
    if real and (weights or recipe):
        raise SrkitError("--real names a network, and so do --recipe and --weights: choose one of them.")
    usual = "real_light_gan" if real else "srresnet_light"
    what, recipe = (weights, recipe) if weights else (recipe or usual, None)
    network = resolve(what, scale, _runs(runs), alpha=alpha, recipe=recipe).network
    how = {"sharpen": sharpen, "ensemble": ensemble, "tile": tile, "force": force, "white": white}
    how |= {"device": find_device(device).name, "precision": precision, "max_pixels": max_pixels or MAX_PIXELS}
    problems = []
    for source, target in targets(pictures, out, format, problems):
        try:
            print(upscale_file(source, target, network, progress=True, **how))
        except SrkitError as problem:
            problems.append(problem)
    return _left_out(problems)


@command(PICTURES)
def app(
    host: option(str, "H", "address to listen on; 127.0.0.1 is this machine") = "127.0.0.1",
    port: option(int, "P", min=1, max=65535) = 8866,
    sessions: option(int, "N", "visitors at once", min=1) = 4,
    idle_minutes: option(float, "M", "then a visitor is forgotten", min=0.1) = 15,
    upload_mb: option(float, "MB", "largest file taken", min=0.01) = 8,
    pixels: option(int, "N", "most LR pixels", min=256) = 400_000,
    seconds: option(float, "S", "longest answer", min=0.1) = 60,
    static: optional(Path, "DIR", "write a page of plain files that works without a server, and end") = None,
    runs: Runs = None,
) -> None:
    """Serve notebook 07 as a web page."""
    if static:
        from srkit.apps.static import build_static

        print(build_static(static))
        return
    from srkit.apps.page import serve

    if runs and not runs.is_dir():
        raise SrkitError(f"{runs} is no folder of runs: check the name, or leave --runs out.")
    runs = str((runs or home() / "runs").resolve())
    settings = {"UPLOAD_MB": upload_mb, "PIXELS": pixels, "SECONDS": seconds, "RUNS": runs}
    serve(host, port, sessions, idle_minutes, settings)


def _methods(
    what: list[str], scale: int | None, runs: Path | None, recipe: str | None, device: str | None
) -> dict[str, object]:
    """What each word means, by the name that a table gives it; networks on the device."""
    from torch import nn

    from srkit.device import find_device
    from srkit.pretrained import resolve

    device, methods = find_device(device).name, {}
    for number, each in enumerate(what):
        if each in what[:number]:
            continue
        method = resolve(each, scale, _runs(runs), recipe=recipe)
        name, above = spelt(method.name), [*map(spelt, Path(each).resolve().parts[:-1])]
        while name in methods and above:  # as many of its folders as tell it from the others
            name = f"{above.pop()}-{name}"
        print(f"{name}: {method.source}") if method.source != name else None
        methods[name] = method.does.to(device) if isinstance(method.does, nn.Module) else method.does
    return methods


def _without_reference(
    methods: dict, images: Path | None, scale: int | None, csv: Path | None, table: Path | None, save: Path | None
) -> int:
    """NIQE of each picture and method, the means, and what they are worth."""
    from srkit import no_reference_evaluation as blind
    from srkit.data.sources import all_photographs
    from srkit.tables import check_table

    if table:
        check_table(table)
    files, problems = all_photographs(images) if images else [], []
    if images and not files:
        raise SrkitError(f"{images} holds no pictures: name the folder of the photographs.")
    scores = blind.evaluate_without_reference(methods, files, scale or 1, save=save, csv=csv, problems=problems)
    means, over = blind.means(scores)
    print(blind.side_by_side(scores).round(2).to_string(index=False, na_rep=""))
    print(means.round(2).dropna(axis="columns", how="all").to_string(index=False))
    print(f"{over} {blind.CAUTION}")
    if table:
        blind.write_table(table, scores)
    return _left_out(problems, csv, table, save)


def _left_out(problems: list, *written: Path | None) -> int:
    """Name what was written, and what could not be done; the command's status."""
    for path in filter(None, written):
        print(path)
    for problem in problems:
        print(f"srkit: left out: {problem}", file=sys.stderr)
    return int(bool(problems))


def _runs(named: Path | None) -> Path | None:
    """The folder of runs: the one that was named, or the project's where there is one."""
    usual = home() / "runs"
    return named or (usual if usual.is_dir() else None)
