"""All that a study writes below figures/STUDY/: its record, tables and figures, and a page for each system."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from srkit.files import expanded, locked, write_text
from srkit.paths import home
from srkit.study.figures import alone, draw_crops, draw_study, save
from srkit.study.plan import Study
from srkit.study.reader import read_study
from srkit.study.record import Record, collect, read_record
from srkit.study.tables import cells, common_table, made, own_table, write_tables
from srkit.study.work import runs_of
from srkit.tables import as_markdown

PAGE = Path(__file__).with_name("page.md.j2")


def report(file: Path | str, runs: Path | str | None = None, figures: Path | str | None = None) -> list[Path]:
    """Collect what is done of a study, write its tables, figures and pages, and return their paths."""
    study = read_study(file)
    runs = runs_of(study, runs)
    with locked(runs / "report"):  # two at once take turns
        return _write(collect(study, runs, figures_of(study, figures)))


def redraw(file: Path | str, figures: Path | str | None = None) -> list[Path]:
    """The same tables, figures and pages from what figures/NAME keeps, without the runs and the photographs."""
    return _write(read_record(figures_of(read_study(file), figures)))


def figures_of(study: Study, figures: Path | str | None = None) -> Path:
    """The folder of a study's figures, by default figures/NAME of the project."""
    return expanded(figures) if figures else home() / "figures" / study.name


def system_page(record: Record, system: str) -> str:
    """A system's page as Markdown, with figures from the record's folder beside it: page.md.j2, filled in."""
    run = record.run(system)
    own, common = own_table(record), common_table(record)
    pages = Environment(trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined)
    pages.filters |= {"table": as_markdown, "words": _words}
    return pages.from_string(PAGE.read_text(encoding="utf-8")).render(
        system=system,
        run=run,
        recipe=run["recipe"],
        found=record.study.get("found", {}).get(system),  # an older record has none
        own=cells(own[own["system"].isin([system, "bicubic"]) & (own["task"] == run["task"])]),
        common=cells(common[common["task"].str.startswith(f"x{run['recipe']['scale']},")]),
        made=made(record),
        crops=record.study["crops"],
    )


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


def _write(record: Record) -> list[Path]:
    written = [*write_tables(record), *draw_study(record), *write_pages(record)]
    for old in {*record.folder.glob("crops-*"), *record.folder.glob("history-*")}.difference(written):
        old.unlink()  # of a picture that is no longer the one that a rule chooses, or of a system that is gone
    return written


def _words(part: dict[str, Any] | str) -> str:
    """A network, a loss or another part of a recipe, with its options; a loss's weight stands elsewhere."""
    if isinstance(part, str):
        return part
    options = ", ".join(f"{key} {value}" for key, value in part.items() if key not in ("name", "from", "weight"))
    return f"{part['name']} ({options})" if options else part["name"]
