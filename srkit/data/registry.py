"""Data by name: what each set is, whose it is, where it comes from, and where it lies on this machine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from srkit.files import SrkitError
from srkit.paths import data_folder, home, inputs

DIV2K_HOSTS = (
    "https://data.vision.ee.ethz.ch/cvl/DIV2K",
    "https://huggingface.co/datasets/goodfellowliu/DIV2K/resolve/main",
)
MD5 = {  # of DIV2K_train_NAME.zip and DIV2K_valid_NAME.zip
    "HR": ("bdc2d9338d4e574fe81bf7d158758658", "9fcdda83005c5e5997799b69f955ff88"),
    "LR_bicubic_X2": ("9a637d2ef4db0d0a81182be37fb00692", "1512c9a3f7bde2a1a21a73044e46b9cb"),
    "LR_bicubic_X3": ("ad80b9fe40c049a07a8a6c51bfab3b6d", "18b1d310f9f88c13618c287927b29898"),
    "LR_bicubic_X4": ("76c43ec4155851901ebbe8339846d93d", "21962de700c8d368c6ff83314480eff0"),
    "LR_unknown_X2": ("1396d023072c9aaeb999c28b81315233", "d319bd9033573d21de5395e6454f34f8"),
    "LR_unknown_X3": ("4e651308aaa54d917fb1264395b7f6fa", "05184168e3608b5c539fbfb46bcade4f"),
    "LR_unknown_X4": ("e3c7febb1b3f78bd30f9ba15fe8e3956", "8ac3413102bb3d0adc67012efb8a6c94"),
    "LR_mild": ("807b3e3a5156f35bd3a86c5bbfb674bc", "8c433f812ca532eed62c11ec0de08370"),
    "LR_wild": ("d00982366bffee7c4739ba7ff1316b3b", "aacae8db6bec39151ca5bb9c80bf2f6c"),
}


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
    """A data set. pictures: how many it holds. parts: sets that belong to it, fetched and used with it."""

    name: str
    about: str
    cite: str
    licence: str = "not stated"
    use: str = "train"
    pictures: int | None = None
    archives: tuple[Archive, ...] = ()
    parts: tuple[str, ...] = ()
    kaggle: str = ""


def _div2k(what: str) -> tuple[Archive, ...]:
    found = []
    for side, md5 in zip(("train", "valid"), MD5[what], strict=True):
        name = f"DIV2K_{side}_{what}.zip"
        size = 3_530_603_713 if name == "DIV2K_train_HR.zip" else None
        found.append(Archive(tuple(f"{host}/{name}" for host in DIV2K_HOSTS), md5, size, into=side))
    return tuple(found)


def _track(track: str, scale: int, tail: str = "") -> Named:
    """A track of DIV2K: given LR pictures, of which div2k holds the HR ones."""
    year, cite = ("2017", "Timofte et al. 2017") if tail else ("2018", "Timofte et al. 2018")
    return Named(
        f"div2k_{track}{tail.lower()}",
        f"DIV2K with given LR pictures x{scale}, the {track} track of {year}",
        cite,
        "academic research only",
        pictures=None if track == "wild" else 900,  # wild: several LR pictures of each photograph
        archives=_div2k(f"LR_{track}{tail}"),
        parts=("div2k",),
    )


def _benchmark(name: str, about: str, pictures: int, cite: str, md5: str | None = None) -> Named:
    url = f"https://huggingface.co/datasets/eugenesiow/{name}/resolve/main/data/{name}_HR.tar.gz"
    return Named(name.lower(), about, cite, use="test", pictures=pictures, archives=(Archive((url,), md5),))


FLICKR2K = Archive(
    ("https://cv.snu.ac.kr/research/EDSR/Flickr2K.tar",),
    "5d3f39443d5e9489bff8963f8f26cb03",
    None,
    "train",
    "Flickr2K_HR",
)
NAMED = {
    named.name: named
    for named in (
        Named(
            "starter",
            "the colour photographs inside scikit-image; nothing is fetched",
            "van der Walt et al. 2014",
            "each its own, in skimage/data/README.txt",
            pictures=5,
        ),
        Named(
            "div2k",
            "2K photographs: 800 to train, 100 to validate",
            "Agustsson and Timofte 2017",
            "academic research only",
            pictures=900,
            archives=_div2k("HR"),
        ),
        *(_track(track, scale, f"_X{scale}") for track in ("bicubic", "unknown") for scale in (2, 3, 4)),
        _track("mild", 4),
        _track("wild", 4),
        Named(
            "flickr2k",
            "2K photographs from Flickr",
            "Lim et al. 2017, Timofte et al. 2017",
            pictures=2650,
            archives=(FLICKR2K,),
        ),
        Named(
            "df2k",
            "div2k and flickr2k together; div2k's 100 validate",
            "Agustsson and Timofte 2017, Lim et al. 2017",
            "academic research only",
            pictures=3550,
            parts=("div2k", "flickr2k"),
        ),
        Named(
            "nitk",
            "given LR and HR pairs, the data of bicubic_skip, from Kaggle",
            "Patil and Santosh, ACM NITK 2023-24",
            kaggle="doobiusp/various-ordered-images-for-super-resolution-task",
        ),
        _benchmark("Set5", "five small pictures, the oldest test", 5, "Bevilacqua et al. 2012"),
        _benchmark("Set14", "fourteen pictures, one of them grey", 14, "Zeyde et al. 2010"),
        _benchmark("BSD100", "photographs: BSDS500's val folder", 100, "Martin et al. 2001"),
        _benchmark("Urban100", "buildings", 100, "Huang et al. 2015", "65d9d84a34b72c6f7ca1e26a12df1e4c"),
    )
}


def find_data(name: str) -> Named:
    """A data set by its name or as kaggle:OWNER/SLUG. Raises SrkitError with the names that there are."""
    owner, _, slug = name.removeprefix("kaggle:").partition("/")
    if name.startswith("kaggle:") and owner and slug and "/" not in slug:
        page = f"https://www.kaggle.com/datasets/{owner}/{slug}"
        return Named(f"{owner}-{slug}", "a data set of Kaggle", page, kaggle=f"{owner}/{slug}")
    if name not in NAMED:
        known = "a name that `srkit data` lists, such as starter, div2k or set5"
        raise SrkitError(f"{name} is no folder and no named set: give a folder, kaggle:OWNER/SLUG, or {known}.")
    return NAMED[name]


def several(data: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """The names and folders that are meant: one, several in a list, or several joined by "+"."""
    if isinstance(data, str | Path):
        joined = "+" in str(data) and not Path(data).expanduser().exists()
        data = str(data).split("+") if joined else [data]
    if not data or "" in data:
        raise SrkitError("no data is named: give a folder, or a name that `srkit data` lists.")
    return list(data)


def locate(data: str | Path) -> Path | None:
    """The folder that a path or a name means, or None where it is not here.

    An explicit path comes first, then SRKIT_DATA, then Kaggle's inputs, then data/.
    """
    given = Path(data).expanduser()
    if given.is_dir():
        return given
    return next((place for place in _places(str(data)) if place.is_dir()), None)


def _places(name: str) -> Iterator[Path]:
    known = find_data(name) if name in NAMED or name.startswith("kaggle:") else None
    own = known.name if known else name
    yield data_folder() / own
    for owner, slug in [known.kaggle.split("/")] if known and known.kaggle else [("*", own)]:
        yield inputs() / slug
        yield from sorted(inputs().glob(f"datasets/{owner}/{slug}"))
    yield home() / "data" / own


def folders(data: str | Path) -> list[Path]:
    """The folders whose pictures a path or a name means: its own, and those of its parts.

    Raises SrkitError where one is not here, and says how to fetch it.
    """
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
