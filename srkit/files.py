"""Files that are whole or absent, and the one error that srkit shows to its user."""

import difflib
import hashlib
import math
import os
import secrets
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EDQUOT, EFBIG, EIO, ENOSPC, EROFS
from importlib import import_module
from numbers import Integral, Real
from pathlib import Path
from types import ModuleType
from typing import Any

FULL = ENOSPC, EDQUOT
WRITING = *FULL, EFBIG, EIO, EROFS  # what no reading ends in, or hardly ever


class SrkitError(Exception):
    """Something the user can mend. Its message is one sentence that names the thing and the way out."""


class CannotWrite(SrkitError):
    """A file or a folder that cannot be written: by its rights, its name, or for want of room."""

    def __init__(self, path: Path | str, reason: OSError, way_out: str = "choose another folder", then: str = ""):
        self.path, self.reason = path, reason
        way_out = "make room there" if reason.errno in FULL else way_out
        super().__init__(f"{path} cannot be written ({reason.strerror or reason}): {way_out}{then}.")


def check_numbers(least: float = 1, most: float = math.inf, /, **numbers: object) -> None:
    """Raise SrkitError for a number out of range, not finite or none at all; None is one that was left out.

    A whole `least` asks for whole numbers: check_numbers(1, batch=batch), but check_numbers(0.0, sharpen=sharpen).
    """
    whole = isinstance(least, int)
    for name, value in numbers.items():
        number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
        if value is not None and not (number and least <= value <= most and value < math.inf):
            enough = f"from {least:g}" if least == 0 or least >= 1 else "above 0"
            enough += f" to {most:g}" if most < math.inf else " on" * enough.startswith("from")
            word = name.replace("_", " ")
            raise SrkitError(f"{word} {value!r} does not do: give a {'whole ' * whole}number {enough}.")


def expanded(path: Path | str) -> Path:
    """A path with ~ at its beginning replaced by the user's folder, as a shell does where it sees one."""
    with suppress(RuntimeError):  # ~nobody: a name like any other
        return Path(path).expanduser()
    return Path(path)


def spelt(name: str) -> str:
    """A file's name as a UTF-8 file can hold it, where its bytes are of another encoding."""
    return name.encode("utf-8", "backslashreplace").decode()


def near(word: str, known: Iterable[str]) -> str:
    """ "did you mean srgan_light? " where a known name is close to a mistyped one, else nothing.

    >>> near("srgan_lite", ["srgan", "srgan_light"])
    'did you mean srgan_light? '
    """
    lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), lower, n=1)
    return f"did you mean {lower[found[0]]}? " if found else ""


def listed(paths: Iterable[Path | str]) -> str:
    """The names of at most five files, and how many more there are."""
    names = [Path(path).name for path in paths]
    return ", ".join(names[:5]) + f" and {len(names) - 5} more" * (len(names) > 5)


def find_named(what: str, name: str, known: Mapping[str, Any]) -> Any:
    """known[name]; SrkitError with the good names where there is none such."""
    if name not in known:
        raise SrkitError(f"{what} {name!r} is not known: {near(str(name), known)}choose one of {', '.join(known)}.")
    return known[name]


def needed(module: str, way: str) -> ModuleType:
    """A module of a package that not everybody has; SrkitError, with the way to it, where it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise SrkitError(f"{error.name or module} is not installed: {way}.") from error


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` when the block ends well, remove it when not.

    The suffix stays, so writers that look at it (Pillow, matplotlib) choose the same format. Raises SrkitError
    where the folder cannot be written, or the disk is full in the middle.
    """
    path = expanded(path)
    suffix = path.suffix if len(os.fsencode(path.suffix)) < 16 else ""
    beside = path.with_name(f".{path.stem[:32]}-{secrets.token_hex(8)}{suffix}")  # short, where the name is the longest
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # less the umask, as any new file
        rights = beside.stat().st_mode
    except OSError as error:
        raise CannotWrite(path.parent, error) from error
    try:
        yield beside
        if beside.stat().st_mode != rights:  # safetensors writes a file that its owner alone may read
            beside.chmod(rights)
        os.replace(beside, path)
    except SrkitError:
        raise
    except Exception as error:
        reason = _reason(error, beside)
        if reason is None:
            raise
        raise CannotWrite(path, reason) from error
    finally:
        beside.unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes had begun to write in the place of `path`, whose name may be a pattern."""
    for left in path.parent.glob(f".{path.stem[:32]}-{'?' * 16}{path.suffix}"):
        left.unlink()


def digest(path: Path) -> str:
    """SHA-256 of a whole file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path | str, text: str) -> None:
    """Write a text file in UTF-8, beside and renamed."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="")


def writable(folder: Path, way_out: str) -> Path:
    """Make the folder and try a file in it; CannotWrite, with the way out, where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise CannotWrite(folder, error, way_out) from error


@contextmanager
def or_left_out() -> Iterator[None]:
    """What cannot be used inside is left out: its SrkitError becomes a warning."""
    try:
        yield
    except SrkitError as error:
        warnings.warn(f"left out: {error}", stacklevel=3)


@contextmanager
def locked(path: Path, busy: str = "", patience: float = -1, waiting: str = "") -> Iterator[None]:
    """Hold the lock .NAME.lock beside a file or folder against other processes, as long as the block lasts.

    It is the system's own lock: gone with the process that holds it, however that ends. Another one is waited for, for
    at most `patience` seconds or for ever; `waiting` is printed after the first. Raises SrkitError with the sentence
    `busy` when these are over, and where the lock cannot be written.
    """
    from filelock import FileLock, Timeout

    name = os.fsencode(path.name)
    lock = FileLock(path.with_name(f".{path.name if len(name) < 240 else hashlib.sha256(name).hexdigest()}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            held = lock.acquire(timeout=1 if waiting else patience)
        except Timeout:
            if not waiting:
                raise
            print(waiting)
            held = lock.acquire(timeout=patience)
    except Timeout as error:
        raise SrkitError(busy) from error
    except OSError as error:
        raise CannotWrite(path.parent, error) from error
    with held:
        try:
            yield
        finally:
            if os.name == "posix":  # elsewhere filelock does it; who waits for this one opens another
                Path(lock.lock_file).unlink(missing_ok=True)


def _reason(error: Exception, beside: Path) -> OSError | None:
    """Why a file could not be written; None where something else went wrong.

    Libraries that write by themselves may hide the reason (torch.save's is a RuntimeError): the same disk is asked.
    """
    if isinstance(error, OSError) and error.errno:
        ours = error.filename is not None and os.fspath(error.filename) == str(beside)
        return error if ours or error.errno in WRITING else None
    try:
        with beside.open("ab") as file:
            file.write(bytes(1 << 16))
    except OSError as reason:
        return reason
    return None
