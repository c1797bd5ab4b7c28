"""Files that are whole or absent, and the one error that srkit shows to its user."""

import difflib
import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class SrkitError(Exception):
    """Something the user can mend. Its message is one sentence that names the thing and the way out."""


def near(word: str, known: Iterable[str]) -> str:
    """ "did you mean srgan_light? " where a known name is close to a mistyped one, else nothing.

    >>> near("srgan_lite", ["srgan", "srgan_light"])
    'did you mean srgan_light? '
    """
    lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), lower, n=1)
    return f"did you mean {lower[found[0]]}? " if found else ""


def check_numbers(least: float = 1, **numbers: object) -> None:
    """Raise SrkitError for a number that is below `least`, not finite or none at all; None is one that was left out."""
    for name, value in numbers.items():
        good = isinstance(value, int | float) and not isinstance(value, bool) and least <= value < math.inf
        if value is not None and not good:
            enough = f"from {least:g} on" if least in (0, 1) else "above 0"
            raise SrkitError(f"{name.replace('_', ' ')} {value!r} does not do: give a number {enough}.")


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` when the block ends well, remove it when not.

    The suffix stays, so writers that look at it (Pillow, matplotlib) choose the same format. Raises SrkitError
    where the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise SrkitError(f"{path.parent} cannot be written ({error.strerror}): choose another folder.") from error
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o666 & ~_umask())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
