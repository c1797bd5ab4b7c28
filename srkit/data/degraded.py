"""HR and LR files of one degradation, seeded: a fixed set to score on, here and by other code."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from srkit import __version__
from srkit.data.sources import find_pictures
from srkit.degradations import degrade
from srkit.files import SrkitError, expanded, write_text
from srkit.images import crop_to_multiple, read_image, write_image
from srkit.progress import Progress
from srkit.records import describe


def write_degraded(
    photographs: Sequence[Path],
    folder: Path | str,
    degradation: Callable[[Tensor, int, int], Tensor],
    scale: int = 4,
    seed: int = 0,
) -> Path:
    """Write HR/NAME.png and LR/NAME.png of each photograph, and manifest.json, into a new folder; returns the folder.

    Photograph number n, from 0, is degraded with seed + n, so the files are the same wherever they are made.
    `srkit evaluate --images FOLDER` takes the pairs. Raises SrkitError where the folder holds pictures already.
    """
    folder, made = expanded(folder), {}
    if find_pictures(folder):
        raise SrkitError(f"{folder} holds pictures already: name a new folder, or empty this one.")
    with Progress(len(photographs), "degrading") as bar:
        for number, path in enumerate(photographs):
            hr = crop_to_multiple(read_image(path), scale)
            name = path.stem if path.stem not in made else f"{path.stem}-{number}"
            made[name] = {"photograph": path.name, "seed": seed + number}
            for kind, picture in (("HR", hr), ("LR", degrade(hr, scale, degradation, seed + number))):
                write_image(folder / kind / f"{name}.png", picture)
            bar.update(1)
    how = {"degradation": describe(degradation), "scale": scale}
    write_text(folder / "manifest.json", json.dumps(how | {"srkit": __version__, "pictures": made}, indent=2) + "\n")
    return folder
