"""All that a study writes below figures/STUDY/: its record, tables, figures and pages."""

from pathlib import Path

from srkit.files import expanded, locked
from srkit.paths import home
from srkit.study.figures import draw_study
from srkit.study.page import write_pages
from srkit.study.plan import Study
from srkit.study.reader import read_study
from srkit.study.record import Record, collect, read_record
from srkit.study.tables import write_tables
from srkit.study.work import runs_of


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


def _write(record: Record) -> list[Path]:
    written = [*write_tables(record), *draw_study(record), *write_pages(record)]
    for old in {*record.folder.glob("crops-*"), *record.folder.glob("history-*")}.difference(written):
        old.unlink()  # of a picture that is no longer the one that a rule chooses, or of a system that is gone
    return written
