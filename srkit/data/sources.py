"""Where photographs come from: the starter set inside scikit-image, a named set, any folder, LR and HR pairs."""

import hashlib
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from srkit.data import pairs
from srkit.data.registry import NAMED, folders
from srkit.files import SrkitError
from srkit.images import SUFFIXES

# The colour photographs in scikit-image's own package. motorcycle_right is left out: it shows the scene of
# motorcycle_left from a hand's breadth further, and a picture's twin must never stand on the other side of the split.
STARTER_TRAIN = ("astronaut.png", "coffee.png", "motorcycle_left.png")
STARTER_VALID = ("chelsea.png", "rocket.jpg")
TRAIN, VALID = (re.compile(rf"(?<![a-z]){word}(?![a-z])", re.I) for word in ("train(ing)?", "val(id(ation)?)?"))


@dataclass(frozen=True)
class Photographs:
    """Files to train on and files to validate on, never both. The fingerprint changes when any of them does.

    lr: of given pairs, the LR file of each HR one; empty where LR is to be made.
    """

    name: str
    train: tuple[Path, ...]
    valid: tuple[Path, ...]
    fingerprint: str
    lr: dict[Path, Path] = field(default_factory=dict)


def find_photographs(data: "str | Path | Photographs" = "starter", scale: int | None = None) -> Photographs:
    """Photographs by name ("starter", "div2k", see srkit.data.registry) or from a folder, split into train and valid.

    Where folders are called train and valid (or val), as DIV2K_train_HR is too, they are taken at their word. Of any
    other set every tenth file by name validates, at least one. A file that repeats another byte for byte is left out,
    so no picture is on both sides. Folders of HR and LR are pairs; with a scale, their sizes are checked.
    Raises SrkitError for a folder that is missing, or holds too few pictures to split, and for sets made to test on.
    """
    if isinstance(data, Photographs):
        return data
    if str(data) == "starter":
        folder = _skimage_data()
        train, valid = ([folder / name for name in names] for names in (STARTER_TRAIN, STARTER_VALID))
        return _photographs("starter", train, valid)
    if str(data) in NAMED and NAMED[str(data)].use == "test":
        raise SrkitError(
            f"{data} is there to test on: train on another set, and score with srkit evaluate --images {data}."
        )
    train, valid, others, lr = _divided(data, scale)
    if not (train and valid):
        files = sorted([*train, *valid, *others])
        if len(files) < 2:
            held = f"holds only {files[0].name}" if files else f"holds no picture ({', '.join(SUFFIXES)})"
            raise SrkitError(f"{data} {held}: at least two are needed, one to train on and one to validate on.")
        valid = files[9::10] or files[-1:]
        train = [path for path in files if path not in set(valid)]
    name = str(data) if str(data) in NAMED else folders(data)[0].resolve().name
    return _photographs(name, train, valid, lr)


def gather_photographs(
    name: str,
    places: Sequence[str | Path],
    without: Sequence[str] = (),
    valid: Sequence[str] = (),
    keep: Callable[[Path], bool] = lambda path: True,
) -> Photographs:
    """The photographs of several sets and folders as one set called `name`, those that `keep` says.

    without: files to leave out, by name or as FOLDER/NAME; valid: those to validate on, every tenth without it.
    Raises SrkitError for a name that is not there, so that nothing is trained on that was to be left out.
    """
    files = [path for place in places for path in all_photographs(place)]
    sides = {}
    for what, names in (("without", without), ("valid", valid)):
        sides[what] = {path for path in files if path.name in names or f"{path.parent.name}/{path.name}" in names}
        here = {called for path in sides[what] for called in (path.name, f"{path.parent.name}/{path.name}")}
        missing = sorted(set(names) - here)
        if missing:
            raise SrkitError(f"{what} names {missing[0]}, and {name} has no such picture: check its name.")
    files = [path for path in files if path not in sides["without"] and keep(path)]
    held = [path for path in files if path in sides["valid"]] or files[9::10] or files[-1:]
    if len(files) < 2 or len(held) == len(files):
        raise SrkitError(f"{name} has {len(files)} pictures: two are needed, one to train on and one to validate on.")
    return _photographs(name, [path for path in files if path not in set(held)], held)


def find_images(data: str | Path, scale: int | None = None) -> tuple[list[Path], dict[Path, Path]]:
    """HR pictures to score methods on, by name or from a folder, and the LR file of each where pairs are given.

    Of a set that is divided into train and valid, those are the ones that validate.
    """
    if str(data) == "starter":
        return list(find_photographs().valid), {}
    train, valid, others, lr = _divided(data, scale)
    return valid if train and valid else sorted([*train, *valid, *others]), lr


def all_photographs(data: str | Path) -> list[Path]:
    """Every picture of a named set or a folder, of pairs the HR ones, whether to train, to validate or to test on."""
    if str(data) == "starter":
        return [_skimage_data() / name for name in STARTER_TRAIN + STARTER_VALID]
    return sorted(pairs.divide(_places(data))[0])


def _places(data: str | Path) -> dict[Path, str]:
    """Every picture file, and the folders between the set's own and it."""
    return {path: path.relative_to(root).parent.as_posix() for root in folders(data) for path in find_pictures(root)}


def _divided(data: str | Path, scale: int | None) -> tuple[list[Path], list[Path], list[Path], dict[Path, Path]]:
    """HR files that are called train, valid, and neither; and the LR file of each where there are pairs."""
    places = _places(data)
    hr, lr = pairs.divide(places)
    side = {path: "train" if TRAIN.search(at) else "valid" if VALID.search(at) else "" for path, at in places.items()}
    sides, matched = [], {}
    for name in ("train", "valid", ""):
        files, theirs = ([path for path in some if side[path] == name] for some in (hr, lr))
        if lr:
            found, left = pairs.match(files, theirs, scale)
            matched |= found
            for sentence in left:
                warnings.warn(f"{sentence}.", stacklevel=4)
        sides.append([path for path in files if path in matched] if lr else files)
    if lr and not matched:
        raise SrkitError(f"no LR picture of {data} has the name of an HR one: rename them, or give HR alone.")
    return *sides, matched


def _photographs(name: str, train: list[Path], valid: list[Path], lr: dict[Path, Path] | None = None) -> Photographs:
    digests = {path: _digest(path) for path in [*valid, *train]}
    first = {}
    for path, digest in digests.items():
        first.setdefault(digest, path)
    for path, digest in digests.items():
        if first[digest] != path:
            warnings.warn(f"left out: {path} is the same picture as {first[digest].name}.", stacklevel=3)
    train, valid = ([p for p in side if first[digests[p]] == p] for side in (train, valid))
    if not train:
        raise SrkitError(f"every training picture of {name} is also a validation picture: add different photographs.")
    kept = {path: lr[path] for path in (*train, *valid)} if lr else {}
    whole = [(p.name, digests[p]) for p in (*train, *valid)] + [(p.name, _digest(p)) for p in kept.values()]
    fingerprint = hashlib.sha256(repr(whole).encode()).hexdigest()[:16]
    return Photographs(name, tuple(train), tuple(valid), fingerprint, kept)


def _digest(path: Path) -> str:
    """Of a file's size, beginning and end: enough to tell photographs apart without reading gigabytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(65536)
        file.seek(max(0, size - 65536))
        return hashlib.sha256(b"%d" % size + head + file.read()).hexdigest()


def find_pictures(folder: Path) -> list[Path]:
    """The picture files in a folder and below it, by suffix, sorted; hidden ones are not pictures."""
    files = folder.rglob("*") if folder.is_dir() else ()
    return sorted(p for p in files if p.suffix.lower() in SUFFIXES and p.is_file() and not p.name.startswith("."))


def _skimage_data() -> Path:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SrkitError(
            "scikit-image, which brings the starter photographs, is not installed: pip install scikit-image"
        )
    return Path(spec.origin).parent / "data"
