"""What may come between a run and its end: a request to stop, a full disk, a full memory."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from srkit.device import Device, memory_is_full
from srkit.files import WRITING, CannotWrite, SrkitError
from srkit.recipes import Recipe


@contextmanager
def stop_asked(then: Callable[[], None] = lambda: None) -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, so the step in hand can end; a second one interrupts at once.

    then: what is done besides when the first one comes.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        then()

    for name in before:
        signal.signal(name, ask)
    try:
        yield asked
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@contextmanager
def explained(folder: Path, recipe: Recipe, device: Device) -> Iterator[None]:
    """A full disk and a full memory in one sentence each, which says what to do; the last checkpoint stays."""
    try:
        yield
    except (OSError, CannotWrite) as error:
        where, reason = (error.path, error.reason) if isinstance(error, CannotWrite) else (error.filename, error)
        if reason.errno not in WRITING and not (where and folder in Path(where).parents):
            raise  # of a picture, or of the network between processes
        then = ", and go on from the last whole checkpoint with --resume"
        raise CannotWrite(where or folder, reason, "mend that", then) from error
    except (MemoryError, RuntimeError) as error:
        if not memory_is_full(error):
            raise
        raise SrkitError(
            f"the memory is full ({device.used_memory()}): a step holds {recipe.batch} crops of {recipe.crop} x "
            f"{recipe.crop}; go on with --resume --accumulate 2, or start anew with a smaller --crop or --batch."
        ) from error
