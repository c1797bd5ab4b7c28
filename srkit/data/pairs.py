"""Given pairs: which files are LR and which HR, which belong together, and that their sizes agree with the scale."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np

from srkit.data.levels import read_levels
from srkit.files import SrkitError
from srkit.images import header, orientation

# A folder says what it holds: DIV2K_train_HR, LR_bicubic, hr, high_res, high, GTmod12, lq ...
LR_FOLDER = re.compile(r"(?<![a-z])(lr|lq|low[-_ ]?res|low(?![a-z]))", re.I)
HR_FOLDER = re.compile(r"(?<![a-z])(hr|gt|high[-_ ]?res|high(?![a-z]))", re.I)
KIND = re.compile(r"^x[2348]$|bicubic", re.I)  # and how LR was made
# What names of LR and HR files add to the picture's own: 0001x4, 0801x4m, 0001x4w1, baby_LR, img_001_SRF_4_HR ...
ENDING = re.compile(r"([-_ ]?(x[2348]([mdw]\d?)?|lr|hr|gt|lq|srf[-_ ]?\d|bicubic|low|high))+$", re.I)
LR_NAME = re.compile(r"(?<![a-z])(lr|lq|low|x[2348]([mdw]\d?)?)(?=x\d|[^a-z]|$)", re.I)
HR_NAME = re.compile(r"(?<![a-z])(hr|gt|high)(?=x\d|[^a-z]|$)", re.I)


def divide(places: Mapping[Path, str]) -> tuple[list[Path], list[Path], list[Path]]:
    """HR files, LR files and others, by the folders that they lie in, or else by the endings of their names.

    places: of each file the folders between the data set's own and it, such as "train/LR_bicubic/X4". Where there are
    not both HR and LR, all are HR.
    """
    said = {at: "lr" if LR_FOLDER.search(at) else "hr" if HR_FOLDER.search(at) else "" for at in places.values()}
    kinds = {path: said[at] for path, at in places.items()}
    if not {"hr", "lr"} <= set(kinds.values()):
        kinds = _by_ending(places)
    hr, lr, others = ([path for path, kind in kinds.items() if kind == each] for each in ("hr", "lr", ""))
    return (hr, lr, others) if hr and lr else (list(places), [], [])


def _by_ending(paths: Iterable[Path]) -> dict[Path, str]:
    """Of each file "hr", "lr" or "", where some two that share the rest of their names are a pair; or else no kinds."""
    kinds = {}
    for path in paths:
        ending = ENDING.search(path.stem)
        begin = ending.start() if ending else len(path.stem)
        kinds[path] = "hr" if HR_NAME.search(path.stem, begin) else "lr" if LR_NAME.search(path.stem, begin) else ""
    large = "hr" if "hr" in kinds.values() else ""
    by_name = {(path.parent, _bare(path)): path for path, kind in kinds.items() if kind == large}
    lr = ((by_name.get((path.parent, _bare(path))), path) for path, kind in kinds.items() if kind == "lr")
    both = [pair for pair in lr if pair[0]]
    if large:
        return kinds if both else {}
    if any(max(scales(*pair), default=1) > 1 for pair in both):
        return {path: kind or "hr" for path, kind in kinds.items()}
    return {}


def match(
    hr: Iterable[Path], lr: Iterable[Path], scale: int | None, places: Mapping[Path, str]
) -> tuple[dict[Path, Path], dict[str, list[Path]]]:
    """The LR file of each HR one, by name and by the folders beside those that say HR or LR; and what is left out, why.

    With a scale the sizes are checked: LR is HR / scale, rounded either way, and of several LR files the first that is
    so is taken. Raises SrkitError where all pairs are of another scale, and says of which.
    """
    hr, lr = sorted(hr), sorted(lr)
    candidates: dict[Path, list[Path]] = {path: [] for path in hr}
    by_name, alone = {}, []
    for path in hr:
        for key in product(_clips(places[path]), enumerate((path.stem.lower(), _bare(path)))):
            by_name.setdefault(key, []).append(path)
    for path in lr:  # in a like folder before in any, a whole name before one without its ending
        keys = product(_clips(places[path]), (path.stem.lower(), _bare(path)), (0, 1))
        named = (by_name.get((clip, (ending, name)), []) for clip, name, ending in keys)
        found = next((paths[0] for paths in named if len(paths) == 1), None)
        (candidates[found] if found else alone).append(path)
    pairs, wrong, closed = {}, {}, []
    for path, several in candidates.items():
        fitting = [each for each in several if scale is None or scale in scales(path, each)]
        if fitting:
            pairs[path] = fitting[0]
        elif several:
            broken = [each for each in (path, *several) if size(each) is None]
            closed += broken
            wrong |= {} if broken else {path: several[0]}
    left = {
        "HR without LR": [path for path, several in candidates.items() if not several],
        "LR without HR": alone,
        "that do not open": closed,
        f"of another scale than x{scale}": list(wrong),
    }
    if wrong and not pairs:
        (path, other), *_ = wrong.items()
        have = " or ".join(f"x{each}" for each in scales(path, other)) or "no whole scale"
        sizes = ["{} x {}".format(*size(each)) for each in (path, other)]
        raise SrkitError(f"{path.name} is {sizes[0]} and its LR {sizes[1]}: that is {have}, not x{scale}.")
    return pairs, left


def looks_paired(paths: Iterable[Path]) -> str | None:
    """A sentence where most pictures have a namesake of half, a third, ... the size, though nothing says HR or LR."""
    paths, groups, found = list(paths), {}, {}
    for path in paths:
        words = re.split("[-_ ]", path.stem.lower())  # HR_baby and LR_baby, baby-large and baby-small
        for name in {_bare(path), "-".join(words[1:]), "-".join(words[:-1])} - {""}:
            groups.setdefault(name, []).append(path)
    for name, group in groups.items():
        if len(group) == 2 or (len(group) > 2 and name == _bare(group[0])):
            hr, lr, *_ = sorted(group, key=lambda path: size(path) or (0, 0), reverse=True)
            times = max(scales(hr, lr), default=1)
            found |= {lr: (hr, lr, times)} if times > 1 else {}
    if 3 * len(found) < max(len(paths), 3):
        return None
    (hr, lr, scale), *_ = found.values()
    more = f", as {len(found) - 1} more are" * (len(found) > 1)
    return f"{hr} is {scale} times as large as {lr}{more}: if they are pairs, call their folders HR and LR"


def read_lr(path: Path, hr: np.ndarray, scale: int, white: int | None = None) -> np.ndarray:
    """Decode a given LR picture as uint8 (H // scale, W // scale, 3) of HR (H, W, ...): an edge rounded up is cut.

    white: see `srkit.data.levels.read_levels`. Raises SrkitError where it has another size, or is black and HR is not.
    """
    height, width = (side // scale for side in hr.shape[:2])
    lr, most = read_levels(path, white)
    if white is None and most is not None and hr.mean() > 2 * lr.mean() + 1:
        why = f"of its 16 bits no value is over {most}"
        raise SrkitError(f"{path} is nearly black, and HR is not: {why}: save all alike.")
    if not (0 <= lr.shape[0] - height <= 1 and 0 <= lr.shape[1] - width <= 1):
        raise SrkitError(f"{path} is {lr.shape[1]} x {lr.shape[0]}, and x{scale} wants {width} x {height}: replace it.")
    return lr[:height, :width]


def scales(hr: Path, lr: Path) -> list[int]:
    """The scales at which LR has the size of HR divided by them, rounded down or up; none where one does not open."""
    large, small = size(hr), size(lr)
    if not (large and small):
        return []
    sides = list(zip(large, small, strict=True))
    return [s for s in range(1, 17) if all(small in (large // s, -(-large // s)) for large, small in sides)]


def size(path: Path) -> tuple[int, int] | None:
    """Width and height of a picture that is turned upright, by its header; None where it does not open."""
    with suppress(SrkitError), header(path) as picture:
        return picture.size[::-1] if orientation(picture) >= 5 else picture.size
    return None


def says_only_kind(place: str) -> bool:
    """Whether folders such as "LR_bicubic/X4" say of pictures what kind they are, and nothing more."""
    return len(_clips(place)) == 1


def _clips(place: str) -> list[tuple[str, ...]]:
    """Folders but for those that say HR or LR, all and ever fewer: of "train/LR/X4/7" train, 7; then 7; then none."""
    kinds = KIND, LR_FOLDER, HR_FOLDER
    parts = tuple(part for part in Path(place).parts if not any(kind.search(part) for kind in kinds))
    return [parts[n:] for n in range(len(parts) + 1)]


def _bare(path: Path) -> str:
    return ENDING.sub("", path.stem).lower() or path.stem.lower()
