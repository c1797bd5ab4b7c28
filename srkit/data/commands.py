"""What `srkit data` does."""

from pathlib import Path

from srkit.cli_base import PICTURES, Seed, argument, command, flag, option, optional
from srkit.files import SrkitError


@command(PICTURES)
def data(
    name: argument(str | None, "NAME", "a named set, kaggle:OWNER/SLUG, or a folder") = None,
    verify: flag("--verify", "compare every picture with what was fetched") = False,
    report: flag("--report", "count, sizes, grey ones, near-duplicates, quality, leaks") = False,
    against: optional(list[str], "D", "report pictures that D has too; repeatable") = None,
    keep_archive: flag("--keep-archive", "keep what was downloaded, below data/archives") = False,
    degrade: optional(str, "NAME", "write HR and LR pairs of it into --out") = None,
    out: optional(Path, "DIR", "of --degrade: a new folder") = None,
    scale: option(int, "S", "of --degrade", min=2) = 4,
    seed: Seed = 0,
) -> int:
    """List the named data sets; fetch, verify or report on one."""
    from srkit.data import audit, download, registry
    from srkit.data.sources import all_photographs

    if name is None and (verify or report or against or degrade or out):
        raise SrkitError("of which photographs? Name a set or a folder: `srkit data` alone lists the sets.")
    if name is None:
        print(registry.listing())
    elif report or against:
        for what, words in audit.report(name, against or []):
            print(f"{what:26}  {words}")
    elif degrade:
        from srkit.data.degraded import write_degraded
        from srkit.degradations import find_degradation

        if not out:
            raise SrkitError("where do the pairs go? Name a new folder with --out.")
        print(write_degraded(all_photographs(name), out, find_degradation(degrade), scale, seed))
    elif verify:
        problems = [problem for folder in registry.folders(name) for problem in download.verify(folder)]
        print(*problems or [f"{name}: every picture is as it was fetched"], sep="\n")
        return int(bool(problems))
    else:
        if name in registry.NAMED or name.startswith("kaggle:"):
            download.fetch(name, keep_archive)
        found = all_photographs(name)
        places = {str(path.parent) for path in found}
        print(f"{name}: {len(found)} pictures in {', '.join(sorted(places))}")
    return 0
