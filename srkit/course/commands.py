"""What the commands doctor, course and kaggle do."""

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from srkit.cli_base import COURSE, Data, NewRuns, Only, Profile, Seed, System, argument, command, option, optional
from srkit.files import SrkitError

if TYPE_CHECKING:
    from srkit.course.runner import Done

TEACHING = "Editions and grades"


@command(COURSE)
def doctor() -> int:
    """Is this machine ready? OK, WARN or FAIL a line, and what to do."""
    from srkit.course import doctor

    rows = doctor.doctor()
    for row in rows.itertuples():
        print(f"{row.state:4}  {row.check:15} {row.found}")
        if row.do:
            print(f"{'':22}-> {row.do}")
    return int((rows["state"] == doctor.FAIL).any())


@command(COURSE)
def course(
    action: argument(Literal["run", "build", "grade"], "[run|build|grade]", "run the notebooks, or see below") = "run",
    submissions: argument(Path | None, "DIR", "of grade: a folder of submissions") = None,
    profile: Profile = "smoke",
    recipe: System = "srgan",
    data: Data = "starter",
    seed: Seed = 0,
    only: Only = None,
    runs: NewRuns = None,
    figures: optional(Path, "DIR", "where figures go (default: figures/)") = None,
    set: optional(list[str], "NAME=VALUE", "one more parameter of the notebooks; repeatable") = None,
    edition: option(Literal["student", "solution", "teacher"], None, "of build", TEACHING) = "student",
    out: optional(Path, "DIR", "of build: where the edition goes", TEACHING) = None,
    csv: optional(Path, "FILE", "of grade: points by exercise", TEACHING) = None,
) -> None:
    """Run the notebooks in order and check what they made; build an edition of them; grade submissions."""
    if action == "grade":
        from srkit.course.grading import grade

        if not submissions:
            raise SrkitError("where are the submissions? Name their folder: srkit course grade FOLDER.")
        print(grade(submissions, csv).to_string(index=False))
    elif action == "build":
        from srkit.course.editions import build

        if not out:
            raise SrkitError("where does the edition go? Name a folder with --out.")
        print(*build(edition, out), sep="\n")
    else:
        from srkit.course.runner import run_course

        file, colon, name = recipe.rpartition(":")
        recipe = f"{Path(file).resolve()}:{name}" if colon and Path(file).is_file() else recipe
        more = dict(map(_setting, set or ()))
        _tell(run_course(profile, recipe, data, seed, only, runs, figures, settings=more))


def _tell(done: list["Done"]) -> None:
    """What a run of the course took and made, and where to look next."""
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
    name, equals, value = text.partition("=")
    if not equals:
        raise SrkitError(f"--set wants NAME=VALUE, and got {text!r}.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


@command(COURSE)
def kaggle(
    what: argument(Literal["build", "push", "badges"], "build|push|badges"),
    out: option(Path, "DIR", "where the kernels go") = Path("build/kaggle"),
    user: optional(str, "NAME", "your name on Kaggle") = None,
    profile: Profile = "gpu",
    recipe: System = "srgan",
    data: option(str, "D", "a named set, or kaggle:OWNER/SLUG") = "starter",
    only: Only = None,
    wheel: option(bool, None, "build srkit's wheel too, which every kernel has attached") = True,
    previous: optional(str, "OWNER/KERNEL", "attach its output, for 05 to go on from") = None,
) -> None:
    """The notebooks as Kaggle kernels: build, push; badges."""
    from srkit.course.kaggle import build, push, write_badges

    if what == "badges":
        print(*write_badges() or ["every notebook has its badges"], sep="\n")
    elif what == "push":
        print(*push(out), sep="\n")
    else:
        if not user:
            raise SrkitError("whose kernels are they? Give your name on Kaggle with --user.")
        print(*build(out, user, profile, recipe, data, only, wheel, previous), sep="\n")
        print(f"Next: srkit kaggle push --out {out}, or `kaggle kernels push -p` with one of these folders.")
