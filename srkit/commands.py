"""What each command does: reads the options, calls the functions that the notebooks call, prints what came of it."""

import sys
from pathlib import Path
from types import SimpleNamespace

from srkit.course.commands import course, doctor, kaggle
from srkit.files import SrkitError
from srkit.paths import home
from srkit.study.commands import study
from srkit.thesis.commands import thesis

__all__ = ["app", "check", "course", "data", "doctor", "evaluate", "export", "kaggle", "study", "thesis", "train"]
__all__ += ["upscale"]


def check(options: SimpleNamespace) -> int:
    from srkit.checking import FAIL, check

    findings = check(options.recipe)
    for each in findings:
        print(f"{each.state:4}  {each.check:22} {each.found}")
    return int(any(each.state == FAIL for each in findings))


def export(options: SimpleNamespace) -> None:
    from srkit.export import export_hub, export_onnx

    if not (options.onnx or options.hub):
        raise SrkitError("export writes what you name: give --onnx FILE, or --hub DIR.")
    how = {"scale": options.scale, "phase": options.phase, "runs": _runs(options)}
    if options.onnx:
        print(export_onnx(options.network, options.onnx, **how))
    if options.hub:
        print(export_hub(options.network, options.hub, **how, licence=options.licence))


def train(options: SimpleNamespace) -> None:
    from srkit import distributed
    from srkit.device import find_device
    from srkit.health import in_words
    from srkit.training import train

    if options.resume and options.force:
        raise SrkitError("--resume goes on with a run and --force starts anew: choose one of them.")
    where = {"runs": options.runs or home() / "runs", "device": options.device and find_device(options.device).name}
    run = train(**vars(options) | where)
    if distributed.rank() > 0:  # under torchrun one process speaks for all
        return
    if (run.folder / "history.csv").exists():
        print(in_words(run.history()))
    print(f"{run.label}: {run.folder}")


def evaluate(options: SimpleNamespace) -> int:
    from torch import nn

    from srkit.comparison import check_gallery, gallery
    from srkit.data.sources import find_images
    from srkit.degradations import find_degradation
    from srkit.device import find_device
    from srkit.evaluation import costs, evaluate, summary
    from srkit.metrics import lpips_judge
    from srkit.pretrained import resolve
    from srkit.tables import check_table, protocol, write_table

    images, given = find_images(options.images, options.scale)
    if not images:
        raise SrkitError(f"{options.images} holds no pictures: give the folder of the HR images with --images.")
    device = find_device(options.device).name
    methods, problems = {}, []
    for what in options.what:
        method = resolve(what, options.scale, _runs(options), recipe=options.recipe)
        name = f"{Path(what).resolve().parent.name}-{method.name}" if method.name in methods else method.name
        print(f"{name}: {method.source}") if method.source != name else None
        methods[name] = method.does.to(device) if isinstance(method.does, nn.Module) else method.does
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
        degradation=find_degradation(options.degradation or "bicubic"),
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
    return _left_out(problems)


def data(options: SimpleNamespace) -> int:
    from srkit.data.audit import report
    from srkit.data.download import fetch, verify
    from srkit.data.registry import NAMED, folders, listing
    from srkit.data.sources import all_photographs

    name = options.name
    if name is None:
        print(listing())
    elif options.report or options.against:
        for what, words in report(name, options.against or []):
            print(f"{what:26}  {words}")
    elif options.degrade:
        from srkit.data.degraded import write_degraded
        from srkit.degradations import find_degradation

        if not options.out:
            raise SrkitError("where do the pairs go? Name a new folder with --out.")
        degradation = find_degradation(options.degrade)
        print(write_degraded(all_photographs(name), options.out, degradation, options.scale, options.seed))
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


def app(options: SimpleNamespace) -> None:
    from srkit.apps.page import serve

    if options.static:
        from srkit.apps.static import build_static

        print(build_static(options.static))
        return
    settings = {"UPLOAD_MB": options.upload_mb, "PIXELS": options.pixels, "SECONDS": options.seconds}
    if options.runs and not options.runs.is_dir():
        raise SrkitError(f"{options.runs} is no folder of runs: check the name, or leave --runs out.")
    settings["RUNS"] = str((options.runs or home() / "runs").resolve())
    serve(options.host, options.port, options.sessions, options.idle_minutes, settings)


def upscale(options: SimpleNamespace) -> int:
    from srkit.device import find_device
    from srkit.images import MAX_PIXELS
    from srkit.pretrained import resolve
    from srkit.upscaling import targets, upscale_file

    if options.weights and not options.weights.expanduser().exists():
        raise SrkitError(f"{options.weights} is not there: give a file of weights, or a run's folder.")
    if options.real and (options.weights or options.recipe):
        raise SrkitError("--real names a network, and so do --recipe and --weights: choose one of them.")
    usual = "real_light_gan" if options.real else "srresnet_light"
    what, recipe = (options.weights, options.recipe) if options.weights else (options.recipe or usual, None)
    network = resolve(what, options.scale, _runs(options), alpha=options.alpha, recipe=recipe).network
    more = {name: getattr(options, name) for name in ("sharpen", "ensemble", "tile", "force", "precision")}
    more |= {"device": find_device(options.device).name}
    more |= {"max_pixels": MAX_PIXELS if options.max_pixels is None else options.max_pixels}
    problems = []
    for source, target in targets(options.pictures, options.out, options.format, problems):
        try:
            print(upscale_file(source, target, network, progress=True, **more))
        except SrkitError as problem:
            problems.append(problem)
    return _left_out(problems)


def _left_out(problems: list) -> int:
    """Name what could not be done; the command's status."""
    for problem in problems:
        print(f"srkit: left out: {problem}", file=sys.stderr)
    return int(bool(problems))


def _runs(options: SimpleNamespace) -> Path | None:
    """The folder of runs: the one that was named, or the project's where there is one."""
    usual = home() / "runs"
    return options.runs or (usual if usual.is_dir() else None)
