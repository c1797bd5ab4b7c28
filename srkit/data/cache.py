"""Decoded pictures in a file, mapped into memory, so that a large set takes none of it and is decoded once."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from srkit.files import locked, remove_unfinished, replacing, write_text
from srkit.progress import Progress


def stored(path: Path, pictures: Iterable[tuple[int, np.ndarray]], total: int, label: str) -> dict[int, np.ndarray]:
    """Numbered uint8 pictures (H, W, 3) in one memory-mapped file; taken from `pictures` where it is not there yet.

    The file holds nothing but pixels; the JSON beside it, which is written last, has number and shape of each picture.
    Of several processes that want the same file one makes it, and the others wait.
    """
    if _shapes(path) is None:
        _store(path, pictures, total, label)
    flat, start, images = np.memmap(path, np.uint8, "c"), 0, {}
    for number, height, width in _shapes(path):
        images[number] = flat[start : start + height * width * 3].reshape(height, width, 3)
        start += height * width * 3
    return images


def _store(path: Path, pictures: Iterable[tuple[int, np.ndarray]], total: int, label: str) -> None:
    index = path.with_suffix(".json")
    with locked(path):
        remove_unfinished(path)
        remove_unfinished(index)
        shapes = _shapes(path) or []  # another process may have made it meanwhile
        if not shapes:
            with replacing(path) as beside, beside.open("wb") as file, Progress(total, label) as bar:
                for number, picture in pictures:
                    file.write(np.ascontiguousarray(picture))
                    shapes.append((number, *picture.shape[:2]))
                    bar.update(number + 1 - bar.n)
        write_text(index, json.dumps(shapes))


def _shapes(path: Path) -> list[tuple[int, int, int]] | None:
    """Number, height and width of each picture in a whole file; None where it is to be made."""
    try:
        shapes = json.loads(path.with_suffix(".json").read_text())
        whole = path.stat().st_size == sum(height * width * 3 for _, height, width in shapes)
    except (OSError, ValueError, TypeError):
        return None
    return shapes if whole else None
