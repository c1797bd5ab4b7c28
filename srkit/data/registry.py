"""Data by name: what each set is, whose it is, where it comes from, and where it lies on this machine."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from srkit.files import SrkitError, expanded, near
from srkit.paths import data_folder, home, inputs


@dataclass(frozen=True)
class Archive:
    """A file to fetch. urls: addresses, tried in order. md5, size: None where they are not known.

    into: the folder of the prepared set that takes its pictures; only: pictures below a folder of that name, no others.
    """

    urls: tuple[str, ...]
    md5: str | None = None
    size: int | None = None
    into: str = ""
    only: str = ""

    @property
    def name(self) -> str:
        return self.urls[0].rpartition("/")[2]


@dataclass(frozen=True)
class Named:
    """A data set. pictures: how many it holds. parts: sets that belong to it, fetched and used with it.

    directed: whether one fixed blur or shift made all its LR pictures, so that training must not turn them.
    """

    name: str
    about: str
    cite: str
    licence: str = "not stated"
    use: str = "train"
    pictures: int | None = None
    archives: tuple[Archive, ...] = ()
    parts: tuple[str, ...] = ()
    kaggle: str = ""
    directed: bool = False


def _read() -> dict[str, Named]:
    sets = tomllib.loads(Path(__file__).with_name("datasets.toml").read_text(encoding="utf-8"))
    hosts = sets.pop("hosts")
    for facts in sets.values():
        archives = []
        for archive in facts.get("archives", ()):
            host, name = archive.pop("host"), archive.pop("name")
            archives.append(Archive(tuple(f"{address}/{name}" for address in hosts[host]), **archive))
        facts |= {"archives": tuple(archives), "parts": tuple(facts.get("parts", ()))}
    return {name: Named(name, **facts) for name, facts in sets.items()}


NAMED = _read()


def find_data(name: str) -> Named:
    """A data set by its name or as kaggle:OWNER/SLUG. Raises SrkitError with the names that there are."""
    owner, _, slug = name.removeprefix("kaggle:").partition("/")
    if name.startswith("kaggle:") and owner and slug and "/" not in slug:
        page = f"https://www.kaggle.com/datasets/{owner}/{slug}"
        return Named(f"{owner}-{slug}", "a data set of Kaggle", page, kaggle=f"{owner}/{slug}")
    if name not in NAMED:
        known = "a name that `srkit data` lists, such as starter, div2k or set5"
        meant = near(name, NAMED)
        raise SrkitError(f"{name} is no folder and no named set: {meant}give a folder, kaggle:OWNER/SLUG, or {known}.")
    return NAMED[name]


def several(data: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """The names and folders that are meant: one, several in a list, or several joined by "+"."""
    if isinstance(data, str | Path):
        joined = "+" in str(data) and not expanded(data).exists()
        data = str(data).split("+") if joined else [data]
    if not data or "" in data:
        raise SrkitError("no data is named: give a folder, or a name that `srkit data` lists.")
    return list(data)


def locate(data: str | Path) -> Path | None:
    """The folder that a path or a name means, or None where it is not here.

    An explicit path comes first, then SRKIT_DATA, then Kaggle's inputs, then data/.
    """
    given = expanded(data)
    if given.is_dir():
        return given
    return next((place for place in _places(str(data)) if place.is_dir()), None)


def _places(name: str) -> Iterator[Path]:
    known = find_data(name) if name in NAMED or name.startswith("kaggle:") else None
    own = known.name if known else name
    yield data_folder() / own
    owner, slug = known.kaggle.split("/") if known and known.kaggle else ("*", own)
    yield inputs() / slug
    yield from sorted(inputs().glob(f"datasets/{owner}/{slug}"))
    yield home() / "data" / own


def folders(data: str | Path) -> list[Path]:
    """The folders whose pictures a path or a name means, its own and its parts'; SrkitError where one is not here."""
    found = locate(data)
    if found and str(data) not in NAMED:
        return [found]
    named = find_data(str(data))
    if found is None and (named.archives or named.kaggle):
        raise SrkitError(f"{data} is not on this machine: `srkit data {data}` fetches it.")
    return [*(folder for part in named.parts for folder in folders(part)), *([found] if found else [])]


def listing() -> str:
    """Every named set in two lines: use, number of pictures, where it is; what it is, its licence, whom to cite."""
    lines = []
    for named in NAMED.values():
        try:
            here = ", ".join(map(str, folders(named.name))) or "in scikit-image"
        except SrkitError:
            here = f"not here; `srkit data {named.name}` fetches it"
        facts = f"{named.about}. Licence: {named.licence}. Cite: {named.cite}."
        unchecked = named.kaggle or any(archive.md5 is None for archive in named.archives)
        lines += [f"{named.name:18} {named.use:6} {named.pictures or '?':>5}  {here}"]
        lines += [f"{'':18} {facts}" + " No checksum known." * bool(unchecked)]
    return "\n".join([f"{'name':18} {'use':6} {'size':>5}  where", *lines])
