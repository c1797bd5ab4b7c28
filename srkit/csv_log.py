"""A CSV file that several processes may append to at once: no line is lost, and none is half there."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from srkit.files import CannotWrite, SrkitError, expanded, locked, write_text

PATIENCE = 60  # seconds that a process waits for another one to finish its line


class CsvLog:
    """Rows of one kind, each in its file as soon as it is there.

    columns: the header of a new file; an older one may lack some, and keeps its own until it is rewritten. None where
    the file is read or cut only, whatever it has. words: the columns that hold text, so that a picture called "NA" or
    "007" stays one. needed: the columns without which a file is of another kind, by default all. floats: how numbers
    are written. kind: what the file is, for its errors.

    All writing happens under a lock (.NAME.lock beside it), which other processes wait for. A line that a crash cut off
    is not read, and goes with the next writing.
    """

    def __init__(
        self,
        path: Path | str,
        columns: Sequence[str] | None,
        words: Sequence[str] = (),
        needed: Sequence[str] | None = None,
        floats: str = "%.6g",
        kind: str = "table of this kind",
    ):
        self.path, self.columns, self.words = expanded(path), columns and list(columns), list(words)
        self.needed, self.floats, self.kind = list(columns if needed is None else needed), floats, kind

    def read(self) -> pd.DataFrame:
        """Every whole line, NaN in columns that an older file lacks. Raises SrkitError for another kind of file."""
        text = self._whole()
        try:
            header = list(pd.read_csv(StringIO(text), nrows=0)) if text else self.columns or self.needed
            columns = self.columns or header
            if not set(self.needed) <= set(header) <= set(columns):
                raise ValueError("other columns")
            numbers = {name: ["", "nan", "NaN"] for name in header if name not in self.words}
            kinds = dict.fromkeys((name for name in self.words if name in header), str)
            options = {"dtype": kinds, "na_values": numbers, "keep_default_na": False}
            table = pd.read_csv(StringIO(text or ",".join(header)), **options)
        except ValueError as error:  # pandas' errors of parsing are ValueErrors too
            raise SrkitError(f"{self.path} is no {self.kind}: name another file.") from error
        return table.reindex(columns=columns)

    def append(self, *rows: Mapping[str, Any]) -> None:
        """Add rows, in the columns that the file has; the header first where it is new."""
        with self._locked():
            text = self._whole()
            with self.path.open("r+" if self.path.exists() else "w", encoding="utf-8", newline="") as file:
                file.seek(len(text.encode()))
                file.truncate()
                columns = list(pd.read_csv(StringIO(text), nrows=0)) if text else self.columns
                file.write(self._text(pd.DataFrame(rows, columns=columns), header=not text))

    def rewrite(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
        """Put what `change` makes of all rows in their place, as one step that no other process comes between."""
        with self._locked():
            table = change(self.read())
            write_text(self.path, self._text(table, header=True))
        return table

    def _whole(self) -> str:
        """The file's text up to the end of its last whole line."""
        if self.path.exists() and not self.path.is_file():  # as a folder, or a device, which may have no end
            raise SrkitError(f"{self.path} is no {self.kind}: name another file.")
        try:
            text = self.path.read_bytes().decode("utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise SrkitError(f"{self.path} is no {self.kind}: name another file.") from error
        whole = text[: text.rfind("\n") + 1]
        if not whole and self.columns and not ",".join(self.columns).startswith(text):
            raise SrkitError(f"{self.path} is no {self.kind}: name another file.")
        return whole

    def _text(self, table: pd.DataFrame, header: bool) -> str:
        return table.to_csv(index=False, header=header, float_format=self.floats, lineterminator="\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        busy = f"{self.path} is in use by another process: try again, or name another file."
        try:
            with locked(self.path, busy, PATIENCE):
                yield
        except OSError as error:
            raise CannotWrite(self.path, error, "name another file") from error
