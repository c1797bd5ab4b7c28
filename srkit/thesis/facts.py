"""Numbers that know where they come from: the file of a record, and the row or field there."""

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from srkit.records import build_generator
from srkit.study.record import SCORES, Record
from srkit.study.tables import KEYS, compared, last_phases, means
from srkit.tables import SHOWN, holm_corrected, interval, paired_test

SURE = 0.05  # p, after Holm's correction, below which a rank is marked
ENDS = ("", "_low", "_high", "_std", "_gain", "_gain_low", "_gain_high")  # of a score's columns
DIGITS = {f"{name}{end}": digits for name, (_, digits, _) in SHOWN.items() for end in ENDS}
DIGITS |= {"psnr_y_p": 3, "lpips_p": 3, "gain": 2, "mos": 2, "low": 2, "high": 2}


class Fact(float):
    """A number with the file that it is from and its place there; `digits` decimals show, or as many as it needs."""

    def __new__(cls, value: float, file: str, place: str, digits: int | None = None, signed: bool = False):
        fact = super().__new__(cls, value)
        fact.file, fact.place, fact.digits, fact.signed = file, place, digits, signed
        return fact

    @property
    def known(self) -> bool:
        """Whether it is a finite number."""
        return bool(np.isfinite(self))

    @property
    def least(self) -> "Fact":
        """The least p that is shown, for one below it."""
        return Fact(0.001, self.file, self.place, 3)

    def tex(self, comma: str = ".") -> str:
        """As LaTeX wants it, in text or in a formula: thousands apart, a minus as long as a plus, powers of ten."""
        if not self.known:
            return "--"
        digits = self.digits
        text = f"{self:,.{digits}f}" if digits is not None else f"{self:,.0f}" if self.is_integer() else f"{self:.6g}"
        mantissa, _, power = text.partition("e")
        text = mantissa.replace(",", r"\,").replace(".", comma)
        text = f"+{text}" if self.signed and self > 0 else text
        if power:
            factor = "" if mantissa == "1" else rf"{text}\cdot "
            return rf"\ensuremath{{{factor}10^{{{int(power)}}}}}"
        return rf"\ensuremath{{{text}}}" if text[0] in "+-" else text


def told(data: Any, file: str, place: str = "") -> Any:
    """What a record holds, every number in it with its place: runs[0].recipe.batch."""
    if isinstance(data, Mapping):
        return {key: told(value, file, f"{place}.{key}".lstrip(".")) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [told(value, file, f"{place}[{number}]") for number, value in enumerate(data)]
    return Fact(data, file, place) if isinstance(data, int | float) and not isinstance(data, bool) else data


def layers(network: nn.Module, size: Sequence[int], file: str, place: str) -> list[dict[str, Any]]:
    """A row for each part of a network, and one for all of it: name, what it is made of, parameters, multiply_adds.

    size: height and width of its input, a picture of three channels. Nothing is computed: only shapes go through.
    """
    from torch.utils.flop_counter import FlopCounterMode

    network = network.to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, *size, device="meta"))
    counts = counter.get_flop_counts()
    whole = type(network).__name__
    rows = []
    for name, part in [*network.named_children(), ("", network)]:
        work = sum(counts.get(f"{whole}.{name}" if name else "Global", {}).values()) / 2
        parameters = sum(each.numel() for each in part.parameters())
        where = f"{place}, built; {name or 'all of it'}"
        row = {"name": name, "what": in_words(part) if name else whole}
        row["parameters"] = Fact(parameters, file, f"{where}: parameters")
        row["multiply_adds"] = Fact(work / 1e9, file, f"{where}: multiply-adds at {size[0]} x {size[1]}", 2)
        rows.append(row)
    return rows


def in_words(part: nn.Module) -> str:
    """What a network's part is made of, in the order it is listed; repetitions as "8 × (...)"."""
    kind = type(part).__name__
    if isinstance(part, nn.Conv2d):
        stride = f", stride {part.stride[0]}" * (part.stride[0] > 1)
        return f"conv {part.kernel_size[0]}×{part.kernel_size[1]}, {part.out_channels}{stride}"
    if isinstance(part, nn.Linear):
        return f"dense {part.out_features}"
    if isinstance(part, nn.PixelShuffle):
        return f"PixelShuffle ×{part.upscale_factor}"
    inside = [in_words(each) for each in part.children() if not isinstance(each, nn.Identity)]
    if not inside or "parametrize" in type(part).__module__:
        return {"BatchNorm2d": "BN", "InstanceNorm2d": "IN"}.get(kind, kind)
    repeated = ((words, len([*same])) for words, same in groupby(inside))
    return "; ".join(f"{count} × ({words})" if count > 1 else words for words, count in repeated)


def rows(table: pd.DataFrame, file: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    """A table's rows, every number in them with its file, column and what tells its row from the others."""
    found = table.to_dict("records")
    for row in found:
        place = ", ".join(f"{key}={row[key]}" for key in keys)
        for name, value in row.items():
            if isinstance(value, int | float):
                row[name] = Fact(value, file, f"{name} where {place}", DIGITS.get(name), "gain" in name)
    return found


def networks(record: Record, file: str) -> list[dict[str, Any]]:
    """Every generator of a record once: the systems that have it, its description, scale and rows of `layers`."""
    found: dict[str, dict[str, Any]] = {}
    for system in record.systems:
        recipe = record.run(system)["recipe"]
        made, scale = recipe["generator"], recipe["scale"]
        if str(made) not in found:
            size = round(720 / scale), round(1280 / scale)
            parts = layers(build_generator(made, record.folder), size, file, f"recipe.generator of {system}")
            found[str(made)] = {"systems": [], "made": made, "scale": f"{scale}", "rows": parts}
        found[str(made)]["systems"].append(system)
    return list(found.values())


def scored(scores: pd.DataFrame) -> pd.DataFrame:
    """A line a set, task and system: `srkit.study.tables.compared` with bicubic, and more of each score.

    _low and _high: the bootstrap interval of its mean over pictures. _mark: 1 the best, 2 the second, each only where
    the paired test against the next one leaves no doubt after Holm's correction for all that is marked in that score;
    else 0.
    """
    scores = scores.sort_values("system", key=lambda names: names != "bicubic", kind="stable")
    table = compared(scores, means(scores), dict.fromkeys(scores["system"], "bicubic"))
    pictures = scores.groupby([*KEYS, "image"], sort=False)[SCORES].mean()
    for column in SCORES:
        marks = _marks(pictures.reset_index(), column)
        places = table[KEYS].itertuples(index=False, name=None)
        table[f"{column}_mark"] = [str(marks.get(place, 0)) for place in places]
        ends = pictures[column].groupby(KEYS, sort=False).agg(lambda values: interval(values.dropna()))
        ends = pd.DataFrame([*ends], ends.index, [f"{column}_low", f"{column}_high"])
        table = table.merge(ends.reset_index(), on=KEYS)
    return table


def _marks(pictures: pd.DataFrame, column: str) -> dict[tuple[str, str, str], int]:
    """1 and 2 by set, task and system, where the difference to the next one holds."""
    tests = []
    for (name, task), own in pictures.groupby(["set", "task"], sort=False):
        wide = own.pivot_table(column, "image", "system", sort=False).dropna()
        order = (SHOWN[column][2] * wide.mean()).sort_values(ascending=False).index[:3]
        for place, (one, other) in enumerate(pairwise(order), 1):
            tests.append(((name, task, one), place, paired_test(wide[one], wide[other])))
    sure = holm_corrected([p for *_, p in tests]) < SURE
    return {key: place for (key, place, _), good in zip(tests, sure, strict=True) if good}


def by_phase(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one system, each of its phases as a system of its own where it has several."""
    several = rows.loc[rows["system"] != "bicubic", "phase"].nunique() > 1
    phase = rows["phase"].where(rows["phase"] == "", ", " + rows["phase"] + " phase")
    return rows.assign(system=rows["system"] + phase) if several else rows


def failures(record: Record) -> pd.DataFrame:
    """Of each system the picture of all test sets on which it gains least on bicubic in PSNR-Y."""
    pictures = last_phases(record.common()).pivot_table("psnr_y", ["task", "set", "image"], "system", sort=False)
    found = []
    for system in [name for name in record.systems if name in pictures and "bicubic" in pictures]:
        gain = (pictures[system] - pictures["bicubic"]).dropna()
        task, name, image = gain.idxmin()
        found.append({"system": system, "task": task, "set": name, "image": image, "gain": gain.min()})
    return pd.DataFrame(found)


def ends(histories: pd.DataFrame) -> pd.DataFrame:
    """The last validation of every run and phase: system, seed, phase, step, psnr_y."""
    validated = histories.dropna(subset=["psnr_y"])
    last = validated.groupby(["system", "seed", "phase"], sort=False)[["step", "psnr_y"]].last()
    return last.reset_index().astype({"seed": str})
