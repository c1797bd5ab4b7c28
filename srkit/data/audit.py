"""A report on a folder of pictures before anything is trained on it: what is in it, and what does not belong."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from srkit.data.levels import likely_white, read_levels
from srkit.data.registry import NAMED
from srkit.data.sources import all_photographs, find_photographs
from srkit.files import SrkitError, listed
from srkit.images import read_image

ALIKE = 32  # of 256 bits: two pictures whose hashes differ in no more show the same scene
BLOCKS = 85  # JPEG quality below which a network learns to draw the blocks too
IJG_LUMA = 3688  # sum of the JPEG standard's luma table (annex K), which is quality 50


def report(data: str | Path, against: Sequence[str | Path] = ()) -> list[tuple[str, str]]:
    """What a folder or a named set is like, a row a matter: (what, in words); what needs a look begins with "look: ".

    against: sets, such as benchmarks, that must have no picture in common with this one.
    """
    others = [(Path(other).name, all_photographs(other)) for other in against]  # a name that is none is told at once
    sizes, grey, bad, dark, quality, hashes = [], [], [], {}, {}, {}
    for path in all_photographs(data):
        try:
            image, largest = read_levels(path)
        except SrkitError as error:
            bad.append(str(error))
            continue
        sizes.append((min(image.shape[:2]), max(image.shape[:2])))
        dark |= {path: largest} if largest else {}
        grey += [path] if (np.ptp(image, axis=2) == 0).all() else []
        quality[path], hashes[path] = jpeg_quality(path), fingerprint(image)
    if not hashes:
        raise SrkitError(f"{data} holds no picture that opens: name another folder.")
    short, long = zip(*sorted(sizes), strict=True)
    known = sorted(value for value in quality.values() if value)
    low = [path for path, value in quality.items() if value and value < BLOCKS]
    twins = alike(hashes, hashes)
    rows = [("pictures", str(len(hashes))), *(("look: does not open", fault) for fault in bad)]
    middle = f"median {short[len(short) // 2]}"
    rows += [("sizes", f"short side {short[0]} to {short[-1]}, {middle}; longest {max(long)} px")]
    rows += [("look: grey", f"{len(grey)}: {listed(grey)}")] if grey else [("grey", "none")]
    if dark:
        white = likely_white(max(dark.values()))
        rows += [("look: nearly black", f"{len(dark)} of 16 bits: {listed(dark)}; white is likely {white} there")]
    if known:
        rows += [("JPEG quality", f"{known[0]} to {known[-1]}, median {known[len(known) // 2]}, of {len(known)} files")]
    if low:
        rows += [(f"look: JPEG below {BLOCKS}", f"{len(low)}: {listed(low)}; their blocks are learnt too")]
    rows += _shared("near-duplicates", twins)
    if len(hashes) > 1 and not (str(data) in NAMED and NAMED[str(data)].use == "test"):
        try:
            split = find_photographs(data)
        except SrkitError as error:
            rows += [("look: cannot be split", str(error))]
        else:
            rows += [("split", f"{len(split.train)} train, {len(split.valid)} validate")]
            sides = {path: side for side in ("train", "valid") for path in getattr(split, side)}
            across = [pair for pair in twins if {sides.get(path) for path in pair} == {"train", "valid"}]
            rows += _shared("leaks from train to valid", across)
    for name, paths in others:
        rows += _compared(hashes, name, paths)
    return rows


def _compared(hashes: dict[Path, np.ndarray], name: str, paths: Sequence[Path]) -> list[tuple[str, str]]:
    """The rows on another set: its pictures that do not open are named, and the others compared."""
    theirs, rows = {}, []
    for path in paths:
        try:
            theirs[path] = fingerprint(read_image(path))
        except SrkitError as error:
            rows.append((f"look: does not open, of {name}", str(error)))
    return rows + _shared(f"also in {name}", alike(hashes, theirs))


def fingerprint(image: np.ndarray) -> np.ndarray:
    """Perceptual hashes (dHash) of a picture uint8 (H, W, 3) and of its mirror image: (2, 256) bool.

    A bit says whether one of 16 x 17 grey cells is darker than its neighbour, so size and JPEG change few of them.
    """
    import imagehash

    grey = Image.fromarray(image).convert("L")
    mirrored = grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.stack([imagehash.dhash(each, 16).hash.ravel() for each in (grey, mirrored)])


def alike(some: dict[Path, np.ndarray], others: dict[Path, np.ndarray]) -> list[tuple[Path, Path]]:
    """Files of `some` and of `others` that show the same scene by their fingerprints, mirrored or not; a pair once."""
    paths, found = list(others), {}
    theirs = np.array([bits[0] for bits in others.values()]).reshape(-1, 256)
    for path, bits in some.items():
        apart = np.minimum(*((theirs != each).sum(1) for each in bits))
        for n in np.flatnonzero(apart <= ALIKE):
            if some is not others or paths[n] != path:  # in another set the same file is a leak
                found.setdefault(frozenset((path, paths[n])), (path, paths[n]))
    return list(found.values())


def jpeg_quality(path: Path) -> int | None:
    """The quality, 1 to 100, that a JPEG was saved with, from its luma quantisation table; None for other formats.

    The inverse of the IJG's scaling: a factor of (200 - 2 q) % above quality 50, 5000 / q % below.
    Below 20 the table is clipped, and the answer a little high.
    """
    with suppress(UnidentifiedImageError), Image.open(path, formats=["JPEG"]) as picture:
        percent = 100 * sum(picture.quantization[0]) / IJG_LUMA
        return round(min(100, 100 - percent / 2 if percent <= 100 else 5000 / percent))
    return None


def _shared(what: str, twins: list[tuple[Path, Path]]) -> list[tuple[str, str]]:
    rows = [(f"look: {what}", f"{a.name} is {b.name}") for a, b in twins[:10]] or [(what, "none")]
    return rows + ([(f"look: {what}", f"and {len(twins) - 10} more")] if len(twins) > 10 else [])
