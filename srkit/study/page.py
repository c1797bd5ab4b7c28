"""A page for each system of a study, written from its record."""

from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from srkit.files import write_text
from srkit.study.figures import alone, draw_crops, save
from srkit.study.record import Record
from srkit.study.tables import cells, common_table, made, own_table
from srkit.tables import as_markdown

PAGE = Path(__file__).with_name("page.md.j2")


def system_page(record: Record, system: str) -> str:
    """A system's page as Markdown, with figures from the record's folder beside it: page.md.j2, filled in."""
    run = record.run(system)
    own, common = own_table(record), common_table(record)
    pages = Environment(trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined)
    pages.filters["table"] = as_markdown
    return pages.from_string(PAGE.read_text(encoding="utf-8")).render(
        system=system,
        run=run,
        recipe=run["recipe"],
        found=record.study.get("found", {}).get(system),  # an older record has none
        parts=_recipe_rows(run),
        own=cells(own[own["system"].isin([system, "bicubic"]) & (own["task"] == run["task"])]),
        common=cells(common[common["task"].str.startswith(f"x{run['recipe']['scale']},")]),
        made=made(record),
        crops=record.study["crops"],
    )


def _recipe_rows(run: dict[str, Any]) -> pd.DataFrame:
    """A run's recipe as rows of part and what: networks, LR, sizes, and each phase with its losses."""
    recipe = run["recipe"]
    rows = [("generator", f"{_words(recipe['generator'])}; {run['parameters']:,} parameters")]
    if recipe["discriminator"] and len(recipe["phases"]) > 1:
        rows.append(("discriminator", _words(recipe["discriminator"])))
    rows.append(("LR", f"x{recipe['scale']}, {_words(recipe['degradation'])}"))
    rows.append(("a step", f"{recipe['batch']} crops of {recipe['crop']} x {recipe['crop']} pixels of HR"))
    for phase in recipe["phases"]:
        losses = " + ".join(f"{loss['weight']:g} {_words(loss, ('weight',))}" for loss in phase["losses"])
        schedule = phase["schedule"] if isinstance(phase["schedule"], str) else _words(phase["schedule"])
        how = f"{phase['steps']:,} steps, Adam {phase['lr']:g} {tuple(phase['betas'])}, {schedule}"
        how += f", discriminator's rate {phase['d_lr']:g}" if phase.get("d_lr") else ""
        how += f"; clip {phase['clip']:g}" if phase["clip"] else ""
        rows.append((f"{phase['name']} phase", f"{losses}; {how}"))
    rows.append(("evaluated", f"mean of the weights with decay {recipe['ema']:g}" if recipe["ema"] else "last weights"))
    if recipe["sharpen"]:
        rows.append(("after the network", f"unsharp mask of {recipe['sharpen']:g}"))
    return pd.DataFrame(rows, columns=["part", "what"])


def write_pages(record: Record) -> list[Path]:
    """pages/SYSTEM.md of every system of no group, and the figures that they alone show; the paths."""
    paths = []
    for system in alone(record):
        own = not record.run(system)["task"].endswith(", bicubic")
        for place in record.study["crops"]:
            name = f"crops-of-{system}-{place['folder']}"
            paths += save(record, name, [system], *draw_crops(record, [system], place, own))
        paths.append(record.folder / "pages" / f"{system}.md")
        write_text(paths[-1], system_page(record, system))
    return paths


def _words(part: dict[str, Any], without: tuple[str, ...] = ()) -> str:
    options = ", ".join(f"{key} {value}" for key, value in part.items() if key not in ("name", "from", *without))
    return f"{part['name']} ({options})" if options else part["name"]
