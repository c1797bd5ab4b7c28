"""A page for each system of a study, written from its record."""

from pathlib import Path
from typing import Any

import pandas as pd

from srkit.files import replacing
from srkit.study.figures import alone, draw_crops, save
from srkit.study.record import Record
from srkit.study.tables import cells, common_table, made, own_table
from srkit.tables import as_markdown

NOT_COMPARABLE = (
    "It was measured on that page's own pictures, with its own way from a picture to a number; neither the pictures nor"
    " the border, the luma and the rounding are told. It is quoted here, and is no equal of the numbers above."
)
FROM_A_PAPER = (
    "It was trained for many more steps on many more photographs than here: it says what the system can reach, not "
    "what this run should have."
)


def system_page(record: Record, system: str) -> str:
    """A system's page as Markdown, with figures from the record's folder beside it.

    Idea and source, the recipe as a table, its own task and score, its row in the common table, losses by step, crops,
    and what its own page reported. Everything is from the record. Raises SrkitError where it has no finished run.
    """
    run = record.run(system)
    recipe = run["recipe"]
    own, common = own_table(record), common_table(record)
    own = own[own["system"].isin([system, "bicubic"]) & (own["task"] == run["task"])]
    common = common[common["task"].str.startswith(f"x{recipe['scale']},")]
    found = record.study.get("found", {}).get(system)  # an older record has none
    parts = [
        f"# {system}\n\n",
        f"{recipe['about'][:1].upper()}{recipe['about'][1:]}. From {recipe['cite']}.\n\n",
        "## The recipe as it was trained here\n\n",
        as_markdown(recipe_rows(run)),
        f"\n{run['data']['train']:,} photographs ({run['data']['name']}, fingerprint {run['data']['fingerprint']}); ",
        f"{run.get('precision', 'fp32')} on {run.get('device', 'cpu')}, {run.get('seconds', 0) / 3600:.2f} hours",
        f" after the first phase of {run['first_phase_from']}" if run["first_phase_from"] else "",
        f".{' Its history shows: ' * bool(run['health'])}{'; '.join(run['health'])}.\n\n".replace("..", "."),
        f"{found}\n\n" if found else "",
        f"## Its own task: {run['task']}\n\n",
        as_markdown(cells(own)),
        "\n## Its row in the common table\n\n",
        "On the papers' bicubic LR, beside all systems of the same scale.\n\n",
        as_markdown(cells(common)),
        f"\n{made(record)}\n",
        f"\n## How it went\n\n![losses by step](../history-{system}.png)\n",
        "\n## What it makes of the same squares\n\n",
        *(f"![{place['picture']}](../crops-of-{system}-{place['folder']}.png)\n" for place in record.study["crops"]),
    ]
    if recipe.get("reported"):
        why = FROM_A_PAPER if recipe["cite"][:1].isupper() else NOT_COMPARABLE
        parts += [f"\n## What its own page reported\n\n{recipe['reported']}. {why}\n"]
    return "".join(parts)


def recipe_rows(run: dict[str, Any]) -> pd.DataFrame:
    """A run's recipe as rows of part and what: networks, LR, sizes, and each phase with its losses."""
    recipe = run["recipe"]
    rows = [("generator", f"{_words(recipe['generator'])}; {run['parameters']:,} parameters")]
    if recipe["discriminator"] and len(recipe["phases"]) > 1:
        rows.append(("discriminator", _words(recipe["discriminator"])))
    rows.append(("LR", f"x{recipe['scale']}, {_words(recipe['degradation'])}"))
    rows.append(("a step", f"{recipe['batch']} crops of {recipe['crop']} x {recipe['crop']} pixels of HR"))
    for phase in recipe["phases"]:
        losses = " + ".join(f"{loss['weight']:g} {_words(loss, ('weight',))}" for loss in phase["losses"])
        how = f"{phase['steps']:,} steps, Adam {phase['lr']:g} {tuple(phase['betas'])}, {_schedule(phase)}"
        how += f", discriminator's rate {phase['d_lr']:g}" if phase.get("d_lr") else ""
        rows.append(
            (f"{phase['name']} phase", f"{losses}; {how}" + (f"; clip {phase['clip']:g}" if phase["clip"] else ""))
        )
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
        with replacing(paths[-1]) as beside:
            beside.write_text(system_page(record, system), encoding="utf-8")
    return paths


def _schedule(phase: dict[str, Any]) -> str:
    """The schedule's name; of one's own a record says more."""
    return phase["schedule"] if isinstance(phase["schedule"], str) else _words(phase["schedule"])


def _words(part: dict[str, Any], without: tuple[str, ...] = ()) -> str:
    options = ", ".join(f"{key} {value}" for key, value in part.items() if key not in ("name", "from", *without))
    return f"{part['name']} ({options})" if options else part["name"]
