"""Where photographs come from: the starter set inside scikit-image, a named set, any folder, LR and HR pairs."""

import hashlib
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from srkit.data import pairs
from srkit.data.levels import check_white
from srkit.data.registry import NAMED, folders, several
from srkit.files import SrkitError, digest, expanded, listed
from srkit.images import SUFFIXES

# The colour photographs in scikit-image's own package. motorcycle_right is left out: it shows the scene of
# motorcycle_left from a hand's breadth further, and a picture's twin must never stand on the other side of the split.
STARTER = {"train": ("astronaut.png", "coffee.png", "motorcycle_left.png"), "valid": ("chelsea.png", "rocket.jpg")}
# A split by the first folder that names one: train, DIV2K_train_HR, Validation, val, testset ...
SPLIT = re.compile(
    r"(?<![a-z])(?:(train(?:ing|s)?)|(val(?:s|id|ids|idation|idations)?)|(test(?:ing|s)?))(?:[-_ ]?set)?(?![a-z])", re.I
)
SIDES = {1: "train", 2: "valid", 3: "test"}
HIDDEN = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN")  # what systems leave beside pictures, as dot folders are
CLOSED = r"hei[cf]|jxl|jxr|psd|svgz?|exr|hdr|eps|ico|pcx|mpo|dng|cr[23]|crw|nef|arw|orf|rw2|raf|pef|srw|xcf"
CLOSED = re.compile(rf"\.({CLOSED})$", re.I)


@dataclass(frozen=True)
class Photographs:
    """Files to train on and files to validate on, never both. The fingerprint changes when any of them does.

    lr: of given pairs, the LR file of each HR one; empty where LR is to be made. white: the value that is white in
    16-bit files; None for 65535. directed: see `srkit.data.registry.Named`.
    """

    name: str
    train: tuple[Path, ...]
    valid: tuple[Path, ...]
    fingerprint: str
    lr: dict[Path, Path] = field(default_factory=dict)
    white: int | None = None
    directed: bool = False


def find_photographs(
    data: str | Path | Sequence[str | Path] | Photographs = "starter",
    scale: int | None = None,
    *,
    without: Iterable[str | Path] = (),
    valid: Iterable[str | Path] = (),
    white: int | None = None,
) -> Photographs:
    """Photographs by name ("starter", "div2k", see srkit.data.registry) or from folders, split into train and valid.

    data: a name or a folder, or several of them, in a list or joined by "+", as "div2k+flickr2k" is; what was found
    before is returned as it is. without: files to leave out. valid: the files that validate, in this order, so that all
    others train. A file is named as "0001.png", as "bsds400/0001.png" or by its whole path. white: the value that is
    white in 16-bit files, such as 4095. scale: of given pairs, to check their sizes.

    data/README.md says how the names of folders and files divide them. A file that repeats another byte for byte is
    left out, so no picture is on both sides. Raises SrkitError for a folder that is missing or holds too few pictures
    to split, for a file in `without` or `valid` that is not there, and for sets made to test on.
    """
    if isinstance(data, Photographs):
        return data
    names = several(data)
    for name in names:
        if str(name) in NAMED and NAMED[str(name)].use == "test":
            way = f"train on another set, and score with srkit evaluate --images {name}"
            raise SrkitError(f"{name} is there to test on: {way}.")
    split, lr = defaultdict(list), {}
    for name in names:
        theirs, pairs_of = _divided(name, scale)
        lr |= pairs_of
        for side, files in theirs.items():
            split[side] += files
    usable = [path for side, files in split.items() if side != "left out" for path in files]
    gone = set(_named(without, [*usable, *split["left out"]]))
    chosen = [path for path in _named(valid, usable) if path not in gone]
    train, validating = ([path for path in split[side] if path not in gone] for side in ("train", "valid"))
    train += [path for path in split[""] if path not in gone]
    if chosen:
        _say_left_out("of valid folders, not among those that were chosen", set(validating) - set(chosen))
        train, validating = [path for path in train if path not in set(chosen)], chosen
    elif not (train and validating):
        files = sorted([*train, *validating])
        if len(files) < 2:
            held = f"holds only {files[0].name}" if files else f"holds no picture ({', '.join(SUFFIXES)})"
            held += " beside those to test on" * bool(split["test"])
            raise SrkitError(f"{_name(names)} {held}: at least two are needed, one to train on and one to validate on.")
        validating = files[9::10] or files[-1:]
        train = [path for path in files if path not in set(validating)]
    check_white(white)
    directed = any(NAMED[str(name)].directed for name in names if str(name) in NAMED)
    return _photographs(_name(names), train, validating, lr, white, directed)


def find_images(
    data: str | Path | Sequence[str | Path], scale: int | None = None
) -> tuple[list[Path], dict[Path, Path]]:
    """HR pictures to score methods on, by name or from folders, and the LR file of each where pairs are given.

    Of a set that is divided by the names of its folders, those are the ones to test on, or else to validate on.
    """
    images, lr = [], {}
    for name in several(data):
        split, pairs_of = _divided(name, scale)
        images += split["test"] or split["valid"] or [*split["train"], *split[""]]
        lr |= pairs_of
    if not images:
        raise SrkitError(f"{_name(several(data))} holds no pictures to score on: give the folder of the HR images.")
    return images, lr


def all_photographs(data: str | Path | Sequence[str | Path]) -> list[Path]:
    """Every picture of a named set or a folder, of pairs the HR ones, whether to train, to validate or to test on."""
    return [path for name in several(data) for path in sorted(pairs.divide(_places(name))[0])]


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one that systems keep for themselves, such as .thumbnails or __MACOSX."""
    return name.startswith(".") or name in HIDDEN


def find_pictures(folder: Path) -> list[Path]:
    """The picture files in a folder and below it, by suffix, sorted. Links are followed; what is hidden is not there.

    Pictures of kinds that do not open here, such as HEIC, are counted and named by a warning.
    """
    found, closed, seen = [], [], set()
    for root, below, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(root))
        inside = sorted(name for name in below if not is_hidden(name))
        below[:] = [name for name in inside if os.path.realpath(os.path.join(root, name)) not in seen]
        shown = [Path(root, name) for name in names if not is_hidden(name)]
        found += [path for path in shown if path.suffix.lower() in SUFFIXES and path.is_file()]
        closed += [path for path in shown if CLOSED.search(path.name)]
    if closed:
        kinds = ", ".join(sorted({path.suffix.lower() for path in closed}))
        _say_left_out(f"{kinds} in {folder}, which do not open here, save them as PNG or JPEG", closed)
    return sorted(found)


def _places(name: str | Path) -> dict[Path, str]:
    """Every picture file of one set, and the folders between the set's own and it."""
    if str(name) == "starter":
        here = Path(find_spec("skimage").origin).with_name("data")  # found without the time that an import takes
        return {here / n: side for side, names in STARTER.items() for n in names}
    return {path: path.relative_to(root).parent.as_posix() for root in folders(name) for path in find_pictures(root)}


def _divided(name: str | Path, scale: int | None) -> tuple[dict[str, list[Path]], dict[Path, Path]]:
    """HR files of one set by side, "train", "valid", "test", "" for unsaid or "left out"; and LR files by HR file.

    Where folders name sides, pictures outside of them train if no folder is called train, and are left out otherwise.
    """
    places = _places(name)
    hr, lr, others = pairs.divide(places)
    said = {at: found and SIDES[found.lastindex] for at in set(places.values()) for found in [SPLIT.search(at)]}
    sides = {side for side in said.values() if side}
    outside = "" if not sides else "left out" if "train" in sides else "train"
    side = {
        path: said[at] or (outside if pairs.says_only_kind(at) else "left out" if sides else "")
        for path, at in places.items()
    }
    split, matched = {}, {}
    for each in ("train", "valid", "test", ""):
        files, theirs = ([path for path in some if side[path] == each] for some in (hr, lr))
        if lr:
            found, left = pairs.match(files, theirs, scale, places)
            matched |= found
            for why, paths in left.items():
                _say_left_out(why, paths)
        elif sentence := pairs.looks_paired(files):
            warnings.warn(f"{sentence}.", stacklevel=4)
        split[each] = [path for path in files if path in matched] if lr else files
    if lr and not matched:
        raise SrkitError(f"no LR picture of {name} has the name of an HR one: rename them, or give HR alone.")
    _say_left_out(f"of {name} that are neither HR nor LR by their folders or names", others)
    unknown = [path for path in side if side[path] == "left out"]
    where = listed(sorted({Path(name, places[path]) for path in unknown}))
    _say_left_out(f"in {where}, beside folders for {' and '.join(sorted(sides))}", unknown)
    split["left out"] = sorted(set(places).difference(matched.values(), *split.values()))
    return split, matched


def _named(wanted: Iterable[str | Path], files: list[Path]) -> list[Path]:
    """The files that are meant, in the order of `wanted`. Raises SrkitError for a name that means none."""
    found = []
    for name in map(Path, wanted):
        same = [path for path in files if path.name == name.name]
        whole, parts = expanded(name).resolve(), name.parts
        meant = [path for path in same if path.parts[-len(parts) :] == parts or path.resolve() == whole]
        if not meant:
            raise SrkitError(f"{name} is not among the {len(files)} photographs: correct its name, or leave it out.")
        found += meant
    return list(dict.fromkeys(found))


def _name(names: Sequence[str | Path]) -> str:
    return "+".join(str(name) if str(name) in NAMED else folders(name)[0].resolve().name for name in names)


def _say_left_out(what: str, paths: Iterable[Path]) -> None:
    if paths := sorted(paths):
        warnings.warn(f"left out: {len(paths)} {what}: {listed(paths)}.", stacklevel=4)


def _photographs(
    name: str, train: list[Path], valid: list[Path], lr: dict[Path, Path], white: int | None, directed: bool
) -> Photographs:
    """Both sides without the files that repeat another or cannot be read, and the fingerprint of what is left."""
    digests, first = {}, {}
    for path in [*valid, *train]:
        try:
            digests[path] = digest(path)
        except OSError as error:
            warnings.warn(f"left out: {path} cannot be read ({error.strerror}).", stacklevel=3)
            continue
        original = first.setdefault(digests[path], path)
        if original != path:
            warnings.warn(f"left out: {path} is the same picture as {original.name}.", stacklevel=3)
    kept = set(first.values())
    train, valid = ([path for path in side if path in kept] for side in (train, valid))
    if not (train and valid):
        raise SrkitError(f"every picture that is left of {name} is on one side: add different photographs.")
    lr = {path: lr[path] for path in (*train, *valid)} if lr else {}
    whole = [[(path.name, digests[path]) for path in side] for side in (train, valid)]
    whole.append([(path.name, digest(path)) for path in lr.values()])
    whole += [] if white is None else [white]
    fingerprint = hashlib.sha256(repr(whole).encode()).hexdigest()[:16]
    return Photographs(name, tuple(train), tuple(valid), fingerprint, lr, white, directed)
