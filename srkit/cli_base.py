"""What all commands are declared with: their groups, the options that several have, and how an error is told."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer
from typer import Argument, Option

from srkit.files import WRITING, CannotWrite, SrkitError, expanded

GROUPS = COURSE, NETWORKS, PICTURES = "The course", "Networks", "Pictures and data"  # of commands, in this order

program = typer.Typer(
    help="Super-resolution with GANs: a course and a thesis kit. With --debug an error shows its traceback.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
settings = SimpleNamespace(debug=False)


def argument(kind: type, metavar: str, help: str | None = None) -> object:
    """The declaration of a word that stands by itself, as a file's name."""
    return Annotated[kind, Argument(metavar=metavar, help=help)]


def option(
    kind: type, metavar: str | None, help: str | None = None, panel: str | None = None, **more: object
) -> object:
    """The declaration of an option; more: its limits, or whether it is hidden. Without a metavar its choices stand."""
    return Annotated[kind, Option(metavar=metavar, help=help, rich_help_panel=panel, **more)]


def optional(kind: type, *words: str | None, **more: object) -> object:
    """The declaration of an option that may be left out, and is then None."""
    return option(kind | None, *words, **more)


def flag(name: str, help: str, panel: str | None = None) -> object:
    """The declaration of an option without a value."""
    return Annotated[bool, Option(name, help=help, rich_help_panel=panel)]


Profile = option(str, "P", "smoke, laptop or gpu")
Seed = option(int, "N", "seed of all that is random", min=0, max=2**32 - 1)
Data = option(str, "D", "a named set or a folder")
NewRuns = optional(Path, "DIR", "where runs go (default: the project's runs/)")
Runs = optional(Path, "DIR", "where runs are (default: the project's runs/)")
System = option(str, "R", "the system to train, my_recipes.py:NAME, or all")
Only = optional(str, "03,05", "these notebooks alone, by number or name")
Device = optional(str, "D", "cpu, cuda, cuda:1 or mps (default: a GPU where there is one)")
NoLpips = flag("--no-lpips", "leave LPIPS out, which takes longest")


def command(group: str) -> Callable:
    """Make a function a command: its options are the signature's, its help the docstring's.

    It returns the status, where None is 0. What it imports should be imported inside, so that other commands start
    without it.
    """

    def declare(work: Callable) -> Callable:
        @functools.wraps(work)
        def run(**options: object) -> None:
            raise typer.Exit(_status(work, options))

        return program.command(rich_help_panel=group)(run)

    return declare


def _status(work: Callable, options: dict[str, object]) -> int:
    """Do the work of a command; an error is one sentence on stderr."""
    try:
        for name, value in options.items():
            if value == "":
                raise SrkitError(f"--{name.replace('_', '-')} is empty: give a value, or leave it out.")
        paths = {name: expanded(value) for name, value in options.items() if isinstance(value, Path)}
        return work(**options | paths) or 0
    except (SrkitError, OSError, KeyboardInterrupt) as error:
        if settings.debug or (isinstance(error, OSError) and error.errno not in WRITING):
            raise
        if isinstance(error, OSError):  # a full or read-only disk, wherever a library was writing
            error = CannotWrite(error.filename2 or error.filename or "a file that is needed", error)
        print(f"srkit: {str(error) or 'stopped before the end; what was finished is kept.'}", file=sys.stderr)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
