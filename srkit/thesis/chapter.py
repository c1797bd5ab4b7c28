"""The folder of a chapter: main.tex is its writer's; generated/, figures/ and references.bib are made."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from srkit import __version__
from srkit.apps.rating import opinions
from srkit.data.audit import report
from srkit.data.registry import NAMED
from srkit.files import digest, expanded, write_text
from srkit.paths import home
from srkit.profiles import PROFILES
from srkit.study.record import Record
from srkit.study.scores import COMMON
from srkit.study.tables import KEYS, common_table, last_phases, own_rows
from srkit.tables import SHOWN, tex
from srkit.thesis import facts
from srkit.thesis.drawing import draw, draw_slides
from srkit.thesis.facts import Fact
from srkit.thesis.opening import open_records, read_votes, warnings

SECTIONS = ("method", "data", "protocol", "results", "qualitative", "ablation", "threats", "reproducibility")
BIB = Path(__file__).parent.parent / "references.bib"


def write_chapter(
    what: Sequence[str],
    out: Path,
    *,
    images: Sequence[Path] = (),
    figures: Path | None = None,
    photographs: str | Path | None = None,
    votes: Path | None = None,
    looked_at: Sequence[str] = (),
    watts: float = 100.0,
    columns: Literal[1, 2] = 1,
    language: Literal["en", "de"] = "en",
    slides: bool = False,
    lpips: Any = None,
    command: str = "srkit thesis",
) -> tuple[list[Path], list[str]]:
    """Write a chapter into a folder, and return the files and the warnings, which stand in the chapter as well.

    The arguments are what `srkit thesis` takes; `opening.open_records` says more of what, images and figures. main.tex
    is left as it is where there is one; all else is renewed. srkit-thesis.json says of each number from which file and
    row it came. Raises SrkitError for what must not stand in a chapter.
    """
    records = open_records(what, out, images, figures, lpips)
    warned = warnings(records, looked_at)
    writer = Writer(language)
    drawn = {record.folder: draw(record, out / "figures", columns, writer.words) for record in records}
    everything = {
        "records": [_facts(record, drawn[record.folder], out) for record in records],
        "warnings": warned,
        "looked_at": list(looked_at),
        "report": report(photographs, sorted({path.parent for path in images})) if photographs else [],
        "opinions": facts.rows(opinions(read_votes(votes)), _name(votes, out), ["method"]) if votes else [],
        "watts": Fact(watts, "the command", "--watts"),
        "columns_of_page": columns,
        "command": command,
        "sets": {name.lower(): each for name, each in NAMED.items()},
        "inputs": _inputs(what, records, out),
        "version": __version__,
        "profiles": list(PROFILES),
        "titles": {name: title for name, (title, *_) in SHOWN.items()},
    }
    paths = {out / "generated" / f"{name}.tex": writer.render(name, everything) for name in SECTIONS}
    main = writer.render("main", everything)
    works = {key for text in [*paths.values(), main] for key in re.findall(r"\\cite\{([^}]*)\}", text)}
    works = {key for keys in works for key in keys.split(",")}
    paths[out / "references.bib"] = "".join(writer.works[key] for key in sorted(works))
    if not (out / "main.tex").exists():
        paths[out / "main.tex"] = main
    said = {"command": command, "srkit": __version__, "warnings": warned, "inputs": everything["inputs"]}
    said["report"] = dict(everything["report"])
    paths[out / "srkit-thesis.json"] = json.dumps(said | {"numbers": writer.numbers}, indent=1) + "\n"
    for path, text in paths.items():
        write_text(path, text)
    made = [figure["path"] for each in drawn.values() for figure in each.values()]
    return [*paths, *made, *(draw_slides(records, out / "slides", writer.words) if slides else [])], warned


class Writer:
    """Fills the templates in, and keeps of each number that it writes where it came from.

    A string is escaped, a `Fact` is written and noted, and any other number is an error: it has no record.
    """

    def __init__(self, language: str):
        folder = PackageLoader("srkit.thesis")
        signs = {"block_start_string": "<%", "block_end_string": "%>", "variable_start_string": "<<"}
        signs |= {"variable_end_string": ">>", "comment_start_string": "<#", "comment_end_string": "#>"}
        how = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
        self.pages = Environment(loader=folder, finalize=self._written, **signs, **how)
        words = tomllib.loads((Path(__file__).parent / "templates" / "german.toml").read_text(encoding="utf-8"))
        self.words: Mapping[str, str] = words if language == "de" else {}
        self.comma = "{,}" if language == "de" else "."
        self.works = dict(re.findall(r"^(?=@\w+\{([^,]+),)(.+\n)", BIB.read_text(encoding="utf-8"), re.MULTILINE))
        self.numbers, self.file = [], ""
        self.pages.filters |= {"t": lambda text: self.words.get(text, text), "cite": self._cited, "label": _label}
        self.pages.filters |= {"raw": Markup, "scaled": _scaled, "same": _same, "path": _breakable}
        self.pages.globals |= {"german": language == "de"}

    def render(self, name: str, everything: Mapping[str, Any]) -> str:
        """A template filled in."""
        self.file = "main.tex" if name == "main" else f"generated/{name}.tex"
        return self.pages.get_template(f"{name}.tex.j2").render(everything)

    def _written(self, value: Any) -> Markup:
        if isinstance(value, Fact):
            text = value.tex(self.comma)
            self.numbers.append({"in": self.file, "number": text, "file": value.file, "place": value.place})
            return Markup(text)
        if not isinstance(value, str):
            raise TypeError(f"{value!r} in {self.file} has no record that it comes from")
        return value if isinstance(value, Markup) else Markup(tex(value))

    def _cited(self, text: str) -> Markup:
        """The works that a recipe's or a data set's `cite` names, by arXiv number or by first author and year."""
        found = []
        for key, work in self.works.items():
            number = re.search(r"arXiv:([\d.]+)", work)
            author, year = re.search(r"author = \{+([^,}]+)", work)[1], re.search(r"year = \{(\d+)", work)[1]
            named = rf"\b{re.escape(author)}\b[^;]*?\b{year}\b(?!,? \(?arXiv)"  # the number decides where there is one
            if (number and number[1] in text) or re.search(named, text):
                found.append(key)
        return Markup(rf"~\cite{{{','.join(found)}}}") if found else Markup(f" ({tex(text)})")


def _facts(record: Record, drawn: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """All that the templates say of a record."""
    files = ("study.json", "scores.csv", "histories.csv")
    study, scores, histories = (_name(record.folder / name, out) for name in files)
    told, common = facts.told(record.study, study), record.common()
    common = last_phases(common) if len(record.systems) > 1 else facts.by_phase(common)
    own = own_rows(record)
    tables = {"common": common, "own": own[~own["task"].str.endswith(f", {COMMON}")]}
    tables = {name: facts.scored(table) if len(table) else table for name, table in tables.items()}
    counts = record.scores.groupby("set", sort=False)["image"].nunique()
    return {
        "study": told,
        "systems": [told["runs"][record.study["runs"].index(record.run(name))] for name in record.systems],
        "networks": facts.networks(record, study),
        "tables": {name: facts.rows(table, scores, KEYS) for name, table in tables.items()},
        "gains": facts.rows(common_table(record), scores, KEYS) if len(common) else [],
        "failures": facts.rows(facts.failures(record), scores, ["system", "task", "set", "image"]),
        "ends": facts.rows(facts.ends(record.histories), histories, ["system", "seed", "phase"]),
        "images": {name: Fact(count, scores, f"pictures where set={name}") for name, count in counts.items()},
        "drawn": {name: {"file": each["path"].name, "wide": each["wide"]} for name, each in drawn.items()},
    }


def _inputs(what: Sequence[str], records: Sequence[Record], out: Path) -> dict[str, dict[str, str]]:
    """The SHA-256 of each file that a chapter is made from, by folder: the records', and what lies in the runs'."""
    folders = [*(record.folder for record in records), *(expanded(word) for word in what if expanded(word).is_dir())]
    kinds = (".json", ".csv", ".safetensors")
    return {
        _name(folder, out): {path.name: digest(path) for path in sorted(folder.glob("*")) if path.suffix in kinds}
        for folder in folders
    }


def _name(path: Path, out: Path) -> str:
    """A file as seen from the chapter's folder or the project's, where it lies in one of them."""
    for folder in (out.resolve(), home()):
        if path.resolve().is_relative_to(folder):
            return path.resolve().relative_to(folder).as_posix()
    return str(path)


def _breakable(text: str) -> Markup:
    """A path or a command, which may be broken behind a stroke."""
    return Markup(re.sub(r"(?<=/)|(?<=_)|(?<=\w-)(?=\w)", r"\\allowbreak{}", tex(text)))


def _label(text: str) -> Markup:
    """A word as a label or a file's name."""
    return Markup(re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-"))


def _scaled(fact: Fact, factor: float, digits: int) -> Fact:
    return Fact(fact * factor, fact.file, f"{fact.place}, times {factor:.4g}", digits)


def _same(loss: Mapping[str, Any]) -> str:
    """What a loss is, whatever its weight."""
    return str({name: value for name, value in loss.items() if name != "weight"})
