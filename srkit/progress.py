"""One progress bar: in a terminal, in a notebook, and as plain lines in a log."""

import sys
import time
from collections.abc import Callable


class Progress:
    """Shows `done` of `total`, what is happening and the time left: in a terminal, a notebook or a log.

    Use as a context: `with Progress(200, "psnr") as bar: bar.update(1, "loss 0.012")`. Notebook outputs are updated in
    place, so an executed notebook keeps the last state and nothing else.
    """

    def __init__(self, total: int, label: str, start: int = 0):
        self.total, self.label, self.start, self.done = total, label, start, start
        self.note, self.began, self.shown = "", time.monotonic(), 0.0
        self.show, self.every = _screen()

    def __enter__(self) -> "Progress":
        self._draw()
        return self

    def update(self, steps: int = 1, note: str | None = None) -> None:
        self.done += steps
        self.note = self.note if note is None else note
        if time.monotonic() - self.shown > self.every and self.done < self.total:
            self._draw()

    def __exit__(self, *_: object) -> None:
        self._draw(last=True)

    def _draw(self, last: bool = False) -> None:
        self.shown = time.monotonic()
        spent = self.shown - self.began
        left = spent / max(1, self.done - self.start) * (self.total - self.done)
        when = f"{clock(left)} left" if self.done > self.start and self.done < self.total else f"{clock(spent)}"
        self.show(
            f"{self.label}: {self.done} of {self.total}, {when}{'  ' + self.note if self.note else ''}", self, last
        )


def clock(seconds: float) -> str:
    """0:07, 12:30 or 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def in_notebook() -> bool:
    """Whether a Jupyter kernel is listening."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return bool(shell and getattr(shell, "kernel", None))


def _screen() -> tuple[Callable, float]:
    if in_notebook():
        return _notebook(), 0.5
    return (_terminal, 0.2) if sys.stderr.isatty() else (_log, 10.0)


def _notebook() -> Callable:
    from html import escape

    from IPython.display import HTML, display

    handle = display(HTML(""), display_id=True)

    def show(text: str, bar: Progress, last: bool) -> None:
        picture = f"<progress value='{bar.done}' max='{bar.total}' style='width: 16em'></progress>"
        handle.update(HTML(f"{picture} <code>{escape(text)}</code>"))

    return show


def _terminal(text: str, bar: Progress, last: bool) -> None:
    filled = round(20 * bar.done / max(1, bar.total))
    print(f"\r\x1b[K{'█' * filled}{'░' * (20 - filled)} {text}", end="\n" if last else "", file=sys.stderr, flush=True)


def _log(text: str, bar: Progress, last: bool) -> None:
    print(text, file=sys.stderr, flush=True)
