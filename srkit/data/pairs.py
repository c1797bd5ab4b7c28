"""Given pairs: which files are LR and which HR, which belong together, and that their sizes agree with the scale."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from srkit.files import SrkitError
from srkit.images import read_image

# A folder says what it holds: DIV2K_train_HR, LR_bicubic, hr, high_res, GTmod12, lq ...
LR_FOLDER = re.compile(r"(?<![a-z])(lr|lq|low[-_ ]?res)", re.I)
HR_FOLDER = re.compile(r"(?<![a-z])(hr|gt|high[-_ ]?res)", re.I)
# What names of LR and HR files add to the picture's own: 0001x4, 0801x4m, 0001x4w1, baby_LR, img_001_SRF_4_HR ...
ENDING = re.compile(r"([-_ ]?(x[2348]([mdw]\d?)?|lr|hr|gt|lq|srf[-_ ]?\d|bicubic|low|high))+$", re.I)

KIND = re.compile(r"^(\.|x[2348]|.*bicubic.*)$", re.I)  # folders that say how LR was made, beside those two


def divide(places: Mapping[Path, str]) -> tuple[list[Path], list[Path]]:
    """HR and LR files by the folders that they lie in; where there are not both, all are HR.

    places: of each file the folders between the data set's own and it, such as "train/LR_bicubic/X4".
    """
    lr = [path for path, place in places.items() if LR_FOLDER.search(place)]
    hr = [path for path, place in places.items() if HR_FOLDER.search(place) and not LR_FOLDER.search(place)]
    return (hr, lr) if hr and lr else (list(places), [])


def match(hr: Iterable[Path], lr: Iterable[Path], scale: int | None = None) -> tuple[dict[Path, Path], list[str]]:
    """The LR file of each HR one, by name, and a sentence on what is left out.

    With a scale the sizes are checked: LR is HR / scale, rounded either way, and of several LR files the first that is
    so is taken. Raises SrkitError where all pairs are of another scale, and says of which.
    """
    hr, lr = sorted(hr), sorted(lr)
    by_name = {_bare(path): path for path in hr} | {path.stem.lower(): path for path in hr}
    candidates: dict[Path, list[Path]] = {path: [] for path in hr}
    alone = []
    for path in lr:
        found = by_name.get(path.stem.lower()) or by_name.get(_bare(path))
        (candidates[found] if found else alone).append(path)
    pairs, wrong = {}, {}
    for path, several in candidates.items():
        fitting = [each for each in several if scale is None or scale in scales(path, each)]
        if fitting:
            pairs[path] = fitting[0]
        elif several:
            wrong[path] = several[0]
    left = {
        "HR without LR": [path for path, several in candidates.items() if not several],
        "LR without HR": alone,
        f"of another scale than x{scale}": list(wrong),
    }
    if wrong and not pairs:
        (path, other), *_ = wrong.items()
        have = " or ".join(f"x{each}" for each in scales(path, other)) or "no whole scale"
        raise SrkitError(f"{path.name} is {_size(path)} and its LR {_size(other)}: that is {have}, not x{scale}.")
    return pairs, [f"left out: {len(paths)} {what}: {listed(paths)}" for what, paths in left.items() if paths]


def read_lr(path: Path, hr: np.ndarray, scale: int) -> np.ndarray:
    """Decode a given LR picture as uint8 (H // scale, W // scale, 3) of HR (H, W, ...): an edge rounded up is cut."""
    height, width = (side // scale for side in hr.shape[:2])
    lr = read_image(path)
    if not (0 <= lr.shape[0] - height <= 1 and 0 <= lr.shape[1] - width <= 1):
        raise SrkitError(f"{path} is {lr.shape[1]} x {lr.shape[0]}, and x{scale} wants {width} x {height}: replace it.")
    return lr[:height, :width]


def scales(hr: Path, lr: Path) -> list[int]:
    """The scales at which LR has the size of HR divided by them, rounded down or up."""
    with Image.open(hr) as large, Image.open(lr) as small:
        sides = list(zip(large.size, small.size, strict=True))
    return [s for s in range(1, 17) if all(small in (large // s, -(-large // s)) for large, small in sides)]


def listed(paths: Iterable[Path]) -> str:
    """The names of at most five files, and how many more there are."""
    names = [path.name for path in paths]
    return ", ".join(names[:5]) + f" and {len(names) - 5} more" * (len(names) > 5)


def says_only_kind(place: str) -> bool:
    """Whether folders such as "LR_bicubic/X4" say of pictures what kind they are, and nothing more."""
    return all(any(each.search(part) for each in (KIND, LR_FOLDER, HR_FOLDER)) for part in Path(place).parts)


def _bare(path: Path) -> str:
    return ENDING.sub("", path.stem).lower() or path.stem.lower()


def _size(path: Path) -> str:
    with Image.open(path) as picture:
        return f"{picture.width} x {picture.height}"
