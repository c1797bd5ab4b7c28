"""What each command does: reads the options, calls the functions that the notebooks call, prints what came of it."""

import argparse
import sys
from pathlib import Path

from srkit.files import SrkitError
from srkit.paths import home


def doctor(options: argparse.Namespace) -> int:
    from srkit.course.doctor import FAIL, doctor

    rows = doctor()
    for row in rows.itertuples():
        print(f"{row.state:4}  {row.check:15} {row.found}")
        if row.do:
            print(f"{'':22}-> {row.do}")
    return int((rows["state"] == FAIL).any())


def course(options: argparse.Namespace) -> None:
    from srkit.course.runner import run_course

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


def train(options: argparse.Namespace) -> None:
    from srkit import distributed
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
        precision=options.precision,
        max_minutes=options.max_minutes,
        cache=options.cache,
        runs=options.runs or home() / "runs",
        resume=options.resume,
        force=options.force,
        perceptual_weights=options.perceptual_weights,
    )
    if distributed.rank() > 0:  # under torchrun one process speaks for all
        return
    if (run.folder / "history.csv").exists():
        print(in_words(run.history()))
    print(f"{run.label}: {run.folder}")


def evaluate(options: argparse.Namespace) -> int:
    import torch
    from torch import nn

    from srkit.comparison import check_gallery, gallery
    from srkit.data.sources import find_images
    from srkit.evaluation import costs, evaluate, summary
    from srkit.metrics import lpips_judge
    from srkit.tables import check_table, protocol, write_table

    images, given = find_images(options.images, options.scale)
    if not images:
        raise SrkitError(f"{options.images} holds no pictures: give the folder of the HR images with --images.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    methods, problems = {}, []
    for what in options.what:
        name, method = _method(what, options.scale, options.runs or home() / "runs")
        name = f"{Path(what).resolve().parent.name}-{name}" if name in methods else name
        methods[name] = method.to(device) if isinstance(method, nn.Module) else method
    if options.table:  # what cannot be written is refused before hours of scoring
        check_table(options.table)
    if options.gallery:
        check_gallery(methods)
    lpips = False if options.no_lpips else lpips_judge(device)
    table = evaluate(
        methods,
        images,
        options.scale,
        lpips=lpips,
        save=options.save,
        csv=options.csv,
        problems=problems,
        given=given,
    )
    means = summary(table).merge(costs(methods, options.scale)).dropna(axis="columns", how="all")
    print(means.round(4).to_string(index=False, na_rep=""))
    print(f"{protocol(options.scale)}; means over the images. mos_estimate is guessed from PSNR, nobody was asked.")
    if options.table:
        write_table(options.table, table)
    if options.gallery:
        gallery(table, methods, images, options.scale, options.gallery, lpips=lpips)
    for written in filter(None, (options.csv, options.table, options.save, options.gallery)):
        print(written)
    for problem in problems:
        print(f"srkit: left out: {problem}", file=sys.stderr)
    return int(bool(problems))


def data(options: argparse.Namespace) -> int:
    from srkit.data.audit import report
    from srkit.data.download import fetch, verify
    from srkit.data.registry import NAMED, folders, listing
    from srkit.data.sources import all_photographs

    name = options.name
    if name is None:
        print(listing())
    elif options.report or options.against:
        for what, words in report(name, options.against):
            print(f"{what:26}  {words}")
    elif options.verify:
        problems = [problem for folder in folders(name) for problem in verify(folder)]
        print(*problems or [f"{name}: every picture is as it was fetched"], sep="\n")
        return int(bool(problems))
    else:
        if name in NAMED or name.startswith("kaggle:"):
            fetch(name, options.keep_archive)
        found = all_photographs(name)
        places = {str(path.parent) for path in found}
        print(f"{name}: {len(found)} pictures in {', '.join(sorted(places))}")
    return 0


def kaggle(options: argparse.Namespace) -> None:
    from srkit.course.kaggle import build, push, write_badges

    if options.what == "badges":
        print(*write_badges() or ["every notebook has its badges"], sep="\n")
    elif options.what == "push":
        print(*push(options.out), sep="\n")
    else:
        if not options.user:
            raise SrkitError("whose kernels are they? Give your name on Kaggle with --user.")
        names = ("user", "profile", "recipe", "data", "only", "wheel", "previous")
        print(*build(options.out, **{name: getattr(options, name) for name in names}), sep="\n")
        print(f"Next: srkit kaggle push --out {options.out}, or `kaggle kernels push -p` with one of these folders.")


def app(options: argparse.Namespace) -> None:
    from srkit.apps.page import serve

    settings = {"UPLOAD_MB": options.upload_mb, "PIXELS": options.pixels, "SECONDS": options.seconds}
    settings["RUNS"] = str((options.runs or home() / "runs").resolve())
    serve(options.host, options.port, options.sessions, options.idle_minutes, settings)


def upscale(options: argparse.Namespace) -> int:
    from srkit.images import MAX_PIXELS
    from srkit.upscaling import find_network, open_weights, targets, upscale_file

    runs, recipe = options.runs or home() / "runs", options.recipe or "srresnet_light"
    if options.weights:
        network = find_network(open_weights(options.weights, options.recipe, options.scale), alpha=options.alpha)
    elif options.alpha is not None:
        network = find_network(recipe, options.scale, options.alpha, runs)
    else:
        network = _method(recipe, options.scale, runs)[1]
        if not hasattr(network, "scale"):
            raise SrkitError(f"{recipe} is no network: name a recipe or the folder of a run by --recipe.")
    names = ("sharpen", "ensemble", "tile", "device", "force")
    more = {name: getattr(options, name) for name in names} | {"max_pixels": options.max_pixels or MAX_PIXELS}
    problems = []
    for source, target in targets(options.pictures, options.out, options.format):
        try:
            print(upscale_file(source, target, network, progress=True, **more))
        except SrkitError as problem:
            problems.append(problem)
    for problem in problems:
        print(f"srkit: left out: {problem}", file=sys.stderr)
    return int(bool(problems))


def _method(what: str, scale: int, runs: Path) -> tuple[str, object]:
    """The name and the method that a word on the command line means."""
    from srkit.data.sources import find_pictures
    from srkit.pretrained import load
    from srkit.recipes import RECIPES
    from srkit.runs import Run, find_runs

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
