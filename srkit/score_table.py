"""The CSV file of scores: a line an image and method, so that an evaluation that was stopped goes on where it was."""

import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from srkit.csv_log import CsvLog
from srkit.metrics import LPIPS_LEAST
from srkit.scoring import SCORES, Judge

# degradation: how LR was made, or "given". key: digests of the HR's folder, of HR and LR, and of the method.
COLUMNS = ("method", "set", "scale", "degradation", "image", "width", "height", *SCORES, "seconds", "key")
WORD_COLUMNS = ("method", "set", "degradation", "image", "key")
NEEDED = ("method", "set", "scale", "image", "psnr_y", "ssim_y", "key")  # in the table of an older srkit too


def score_log(path: Path | str) -> CsvLog:
    """The CSV file of `evaluate`, to read or to add to."""
    return CsvLog(path, COLUMNS, WORD_COLUMNS, NEEDED, "%.6f", "table of srkit evaluate")


class Results:
    """The rows of a CSV file, a line an image and method, added as soon as it is there. None keeps no file."""

    def __init__(self, log: CsvLog | None):
        self.log = log
        self.rows = defaultdict(list)
        for row in self.tidy():
            self.rows[_place(row)].append(row)

    def find(self, row: Mapping[str, Any], lpips: Judge | Literal[False] | None) -> dict[str, Any] | None:
        """The row that is here already, of the same key, and with the LPIPS that are asked for."""
        known = next((known for known in self.rows[_place(row)] if known["key"] == row["key"]), None)
        if known is None:
            return None
        asked = [] if lpips is False else ["lpips", "lpips_squeeze"] if lpips else ["lpips_squeeze"]
        if not any(math.isnan(known[name]) for name in asked) or math.isnan(known["psnr_rgb"]):
            return known
        return None if min(known["width"], known["height"]) - 2 * known["scale"] >= LPIPS_LEAST else known

    def append(self, row: dict[str, Any]) -> None:
        self.rows[_place(row)].append(row)
        if self.log:
            self.log.append(row)

    def tidy(self) -> list[dict[str, Any]]:
        """Write the file anew, without what was cut off or has been scored again; its rows."""
        return self.log.rewrite(_newest).to_dict("records") if self.log else []


def _newest(table: pd.DataFrame) -> pd.DataFrame:
    """The rows, but for those of a picture and method that were scored again further down."""
    kept, seen = [], defaultdict(list)
    for number, row in reversed(list(enumerate(table.to_dict("records")))):
        if not any(_same(row, other) for other in seen[_place(row)]):
            kept.append(number)
            seen[_place(row)].append(row)
    return table.iloc[kept[::-1]]


def _same(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two rows of one place are of one picture: from one folder, or of one content; an older srkit's always."""
    parts, others = row["key"].split("-"), other["key"].split("-")
    if min(len(parts), len(others)) < 3:
        return True
    return row.get("degradation") == other.get("degradation") and (parts[0] == others[0] or parts[1] == others[1])


def _place(row: Mapping[str, Any]) -> tuple:
    return tuple(row[name] for name in ("set", "scale", "method", "image"))
