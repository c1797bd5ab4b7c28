"""One progress bar, in a terminal, in a notebook and as plain lines in a log; and output that ends no work."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from io import StringIO
from typing import Any, TextIO

from tqdm import tqdm


class Progress(tqdm):
    """Shows how much of `total` is done, what is happening and the time left: in a terminal, a notebook or a log.

    Use as a context: `with Progress(200, "psnr") as bar: bar.update(1, "loss 0.012")`. Notebook outputs are updated in
    place, so an executed notebook keeps the last state and nothing else. Under torchrun one process speaks for all.
    delay: seconds in which nothing is shown, and what is done by then never is.
    """

    monitor_interval = 0  # no thread beside the work

    def __init__(self, total: int, label: str, start: int = 0, delay: float = 0):
        self.handle = _notebook_output() if in_notebook() else None
        terminal = self.handle is None and not getattr(sys.stderr, "closed", True) and sys.stderr.isatty()
        self.log = None if terminal or self.handle else sys.stderr
        super().__init__(
            total=total,
            desc=label,
            initial=start,
            file=sys.stderr if terminal else StringIO(),
            mininterval=0.2 if terminal else 0.5 if self.handle else 10,
            miniters=1,
            delay=delay,
            dynamic_ncols=True,
            bar_format="{desc}: {n} of {total} |{bar:20}| {elapsed}<{remaining}{postfix}",
            disable=os.environ.get("RANK", "0") != "0",
        )

    def update(self, steps: int = 1, note: str | None = None) -> None:
        if note is not None:
            self.set_postfix_str(note, refresh=False)
        super().update(steps)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the present state; output that is closed or full is no reason to stop."""
        with suppress(OSError, ValueError):
            if self.handle is not None:
                from html import escape

                from IPython.display import HTML

                bar = f"<progress value='{self.n}' max='{self.total}' style='width: 16em'></progress>"
                self.handle.update(HTML(f"{bar} <code>{escape(self._words())}</code>"))
            elif self.log is not None:
                print(self._words(), file=self.log, flush=True)
            else:
                super().display(msg, pos)

    def _words(self) -> str:
        return self.format_meter(
            **self.format_dict | {"bar_format": "{desc}: {n} of {total}, {elapsed}<{remaining}{postfix}"}
        )


def in_notebook() -> bool:
    """Whether a Jupyter kernel is listening."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return bool(shell and getattr(shell, "kernel", None))


def _notebook_output() -> Any:
    from IPython.display import HTML, display

    return display(HTML(""), display_id=True)


class _Lasting:
    """A text stream as it is, but for errors of writing: the first is told on the other stream, and ends no work."""

    def __init__(self, stream: TextIO):
        self.stream = stream
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # names that the terminal's encoding cannot hold

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        self._try(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self.stream.flush)

    def _try(self, work: Any, *values: str) -> None:
        try:
            work(*values)
        except (OSError, ValueError) as error:
            with suppress(OSError, ValueError):  # what waits to be written goes nowhere, now and at the end
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.stream.fileno())
                os.close(nowhere)
            if getattr(error, "errno", None) not in (None, errno.EPIPE) and self.stream is not sys.__stderr__:
                print(f"srkit: the output cannot be written ({error.strerror}); the work goes on.", file=sys.stderr)


@contextmanager
def lasting_output() -> Iterator[None]:
    """Let no closed or full output, and no name that it cannot spell, end the work inside."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number: no file that is opened later can be in its place
    out, err = (_Lasting(stream) if stream else StringIO() for stream in (sys.stdout, sys.stderr))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield
        finally:
            out.flush()
            err.flush()
