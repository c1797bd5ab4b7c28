"""What the commands doctor, course and kaggle do; see srkit.commands."""

from pathlib import Path
from types import SimpleNamespace

from srkit.files import SrkitError


def doctor(options: SimpleNamespace) -> int:
    from srkit.course.doctor import FAIL, doctor

    rows = doctor()
    for row in rows.itertuples():
        print(f"{row.state:4}  {row.check:15} {row.found}")
        if row.do:
            print(f"{'':22}-> {row.do}")
    return int((rows["state"] == FAIL).any())


def course(options: SimpleNamespace) -> int | None:
    if options.action == "grade":
        return _grade(options)
    if options.action == "build":
        return _build(options)
    from srkit.course.runner import run_course

    file, colon, name = options.recipe.rpartition(":")
    recipe = f"{Path(file).resolve()}:{name}" if colon and Path(file).is_file() else options.recipe
    done = run_course(
        options.profile,
        recipe,
        options.data,
        options.seed,
        _only(options),
        options.runs,
        options.figures,
        settings=dict(_setting(text) for text in options.set or ()),
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


def _build(options: SimpleNamespace) -> None:
    from srkit.course.editions import build

    if not options.out:
        raise SrkitError("where does the edition go? Name a folder with --out.")
    print(*build(options.edition, options.out), sep="\n")


def _grade(options: SimpleNamespace) -> int:
    from srkit.course.grading import grade

    if not options.submissions:
        raise SrkitError("where are the submissions? Name their folder: srkit course grade FOLDER.")
    table = grade(options.submissions, options.csv)
    print(table.to_string(index=False))
    return 0


def _setting(text: str) -> tuple[str, object]:
    import ast

    name, equals, value = text.partition("=")
    if not equals:
        raise SrkitError(f"--set wants NAME=VALUE, and got {text!r}.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def kaggle(options: SimpleNamespace) -> None:
    from srkit.course.kaggle import build, push, write_badges

    if options.what == "badges":
        print(*write_badges() or ["every notebook has its badges"], sep="\n")
    elif options.what == "push":
        print(*push(options.out), sep="\n")
    else:
        if not options.user:
            raise SrkitError("whose kernels are they? Give your name on Kaggle with --user.")
        names = ("user", "profile", "recipe", "data", "wheel", "previous")
        named = {name: getattr(options, name) for name in names}
        print(*build(options.out, **named, only=_only(options)), sep="\n")
        print(f"Next: srkit kaggle push --out {options.out}, or `kaggle kernels push -p` with one of these folders.")


def _only(options: SimpleNamespace) -> str | None:
    if options.only is not None and not options.only.strip(" ,"):
        raise SrkitError(f"--only {options.only!r} names no notebook: write it as --only 03,05, or leave it out.")
    return options.only
