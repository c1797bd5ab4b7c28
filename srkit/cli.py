"""The command line, thin over the functions that the notebooks call. `srkit COMMAND --help` explains each.

Each command is declared and done in one function, in `srkit.commands` and in the commands of each house.
"""

import signal
import sys
import warnings

import srkit.commands
import srkit.course.commands
import srkit.data.commands
import srkit.study.commands
import srkit.thesis.commands  # noqa: F401  importing them declares the commands
from srkit.cli_base import GROUPS, program, settings
from srkit.progress import lasting_output

program.registered_commands.sort(key=lambda each: GROUPS.index(each.rich_help_panel))


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns its status: 0 all that was asked is there, 1 an error, 130 stopped.

    Raises SystemExit(2) for wrong usage.
    """
    words = [*(sys.argv[1:] if argv is None else argv)]
    end = words.index("--") if "--" in words else len(words)  # what follows is no option
    settings.debug = "--debug" in words[:end]
    if argv is None:  # a process of its own, which leaves nothing half written when it is ended
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    warnings.formatwarning = lambda message, *where, **more: f"srkit: {message}\n"
    with lasting_output():
        try:
            program([word for word in words[:end] if word != "--debug"] + words[end:], prog_name="srkit")
        except SystemExit as left:
            if left.code == 2:
                raise
            return left.code or 0
    return 0
