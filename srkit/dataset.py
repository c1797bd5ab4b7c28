"""Where photographs come from: the starter set inside scikit-image, or any folder."""

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from srkit.files import SrkitError, replacing
from srkit.images import SUFFIXES, picture_mode, read_image
from srkit.progress import Progress

# The colour photographs in scikit-image's own package. motorcycle_right is left out: it shows the scene of
# motorcycle_left from a hand's breadth further, and a picture's twin must never stand on the other side of the split.
STARTER_TRAIN = ("astronaut.png", "coffee.png", "motorcycle_left.png")
STARTER_VALID = ("chelsea.png", "rocket.jpg")
LARGE = 64_000_000  # bytes of picture files: a set above it is kept decoded in a file, and not in memory


@dataclass(frozen=True)
class Photographs:
    """Files to train on and files to validate on, never both. The fingerprint changes when any of them does."""

    name: str
    train: tuple[Path, ...]
    valid: tuple[Path, ...]
    fingerprint: str


def find_photographs(data: str | Path = "starter") -> Photographs:
    """Photographs by name ("starter") or from a folder, split into train and valid.

    A folder that holds `train` and `valid` is taken at its word. Of any other, every tenth file by name validates, at
    least one. A file that repeats another byte for byte is left out, so no picture is on both sides.
    Raises SrkitError for a folder that is missing, or holds too few pictures to split.
    """
    if str(data) == "starter":
        folder = _skimage_data()
        train, valid = ([folder / name for name in names] for names in (STARTER_TRAIN, STARTER_VALID))
        return _photographs("starter", train, valid)
    folder = Path(data).expanduser()
    if not folder.is_dir():
        raise SrkitError(f"{folder} is not a folder: give a folder of photographs, or the name starter.")
    train, valid = (find_pictures(folder / side) for side in ("train", "valid"))
    if not (train and valid):
        files = find_pictures(folder)
        if len(files) < 2:
            held = f"holds only {files[0].name}" if files else f"holds no picture ({', '.join(SUFFIXES)})"
            raise SrkitError(f"{folder} {held}: at least two are needed, one to train on and one to validate on.")
        valid = files[9::10] or files[-1:]
        train = [f for f in files if f not in set(valid)]
    return _photographs(folder.resolve().name, train, valid)


def decode(paths: Iterable[Path]) -> dict[Path, np.ndarray]:
    """Decode pictures to uint8 (H, W, 3), once; those that do not open are left out, each named by a warning.

    Grey, transparent and palette pictures are read as RGB, and named too. Raises SrkitError where none opens.
    """
    paths = list(paths)
    return {paths[number]: image for number, image in _opened(paths)}


def _opened(paths: list[Path]) -> Iterator[tuple[int, np.ndarray]]:
    bad, other = [], []
    for number, path in enumerate(paths):
        try:
            image, mode = read_image(path), picture_mode(path)
        except SrkitError as error:
            bad.append(path)
            warnings.warn(f"left out: {error}", stacklevel=3)
            continue
        if mode not in ("RGB", "CMYK", "YCbCr"):
            other.append(f"{path.name} ({mode})")
        yield number, image
    if other:
        names = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
        warnings.warn(f"read as RGB, transparency on white: {names}; leave them out if that is wrong.", stacklevel=3)
    if len(bad) == len(paths):
        named = bad[0].parent if bad else "this list"
        raise SrkitError(f"none of the {len(bad)} pictures in {named} opens: give a folder of photographs.")


def decode_all(photographs: Photographs, cache: Path) -> tuple[dict[Path, np.ndarray], Path | None]:
    """The training photographs, decoded; of a large set into a file below `cache`, so that memory stays small.

    Returns them, and the folder of that file or None. The next run on the same photographs finds it there.
    """
    if sum(path.stat().st_size for path in photographs.train) < LARGE:
        return decode(photographs.train), None
    paths, folder = photographs.train, cache / f"{photographs.name}-{photographs.fingerprint}"
    images = stored(folder / "hr.u8", _opened(list(paths)), len(paths), "decoding, once")
    return {paths[number]: image for number, image in images.items()}, folder


def stored(path: Path, pictures: Iterable[tuple[int, np.ndarray]], total: int, label: str) -> dict[int, np.ndarray]:
    """Numbered uint8 pictures (H, W, 3) in one memory-mapped file; taken from `pictures` where it is not there yet.

    The file holds nothing but pixels; the JSON beside it, which is written last, has number and shape of each picture.
    """
    index = path.with_suffix(".json")
    shapes = json.loads(index.read_text()) if index.exists() and path.exists() else None
    if shapes is None or path.stat().st_size != sum(height * width * 3 for _, height, width in shapes):
        shapes = []
        with replacing(index) as beside_index:
            with replacing(path) as beside, beside.open("wb") as file, Progress(total, label) as bar:
                for number, picture in pictures:
                    file.write(np.ascontiguousarray(picture))
                    shapes.append((number, *picture.shape[:2]))
                    bar.update(number + 1 - bar.done)
            beside_index.write_text(json.dumps(shapes))
    flat, start, images = np.memmap(path, np.uint8, "c"), 0, {}
    for number, height, width in shapes:
        images[number] = flat[start : start + height * width * 3].reshape(height, width, 3)
        start += height * width * 3
    return images


def _photographs(name: str, train: list[Path], valid: list[Path]) -> Photographs:
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
    whole = hashlib.sha256(repr([(p.name, digests[p]) for p in (*train, *valid)]).encode()).hexdigest()[:16]
    return Photographs(name, tuple(train), tuple(valid), whole)


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
