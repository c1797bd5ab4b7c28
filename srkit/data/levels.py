"""Pictures of 10, 12 or 14 bits that lie in files of 16: recognised, and read by the level that is white in them."""

import warnings
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path

import numpy as np

from srkit.files import SrkitError, listed
from srkit.image_files import read_picture
from srkit.images import read_image

BITS = (8, 10, 12, 14)  # of which 16-bit files hold data that look black; what uses more is a picture as it is


def read_levels(path: Path | str, white: int | None = None) -> tuple[np.ndarray, int | None]:
    """A picture as uint8 RGB (H, W, 3); and the largest value of a 16-bit file that is not of these levels, or None.

    That is one of fewer bits, which looks black, or of values over `white`, which are cut.
    white: the value that is white in 16-bit files, such as 4095, which becomes 255; by default 65535. Files of 8 bits
    know theirs. Raises SrkitError as `read_image` does.
    """
    image = read_image(path)
    if white is None and image.max(initial=0) > 1 << max(BITS) - 8:
        return image, None
    try:
        pixels = read_picture(path).pixels
    except SrkitError:  # its pixels are sound, and something else in it is not
        if white is None:
            return image, None
        raise
    if pixels.dtype != np.uint16:
        return image, None
    if white is None:
        return image, fewer_bits(pixels)
    colours = pixels.reshape(*pixels.shape[:2], -1)[..., : 3 if pixels.shape[2:] > (2,) else 1]
    levels = (np.minimum(colours, white) * (255 / white) + 0.5).astype(np.uint8)
    largest = int(colours.max())
    return np.broadcast_to(levels, image.shape).copy(), largest if largest > white else None


def fewer_bits(pixels: np.ndarray) -> int | None:
    """The largest value of pixels of 16 bits that hold fewer, and look black; None of others."""
    largest = int(pixels.max())
    return largest if pixels.dtype == np.uint16 and largest < 1 << max(BITS) else None


def stretched(pixels: np.ndarray, white: int | None) -> np.ndarray:
    """Pixels of 16 bits as if their `white` were 65535; others, and without a white, as they are."""
    if white is None or pixels.dtype != np.uint16:
        return pixels
    return ((np.minimum(pixels, white).astype(np.uint32) * 65535 + white // 2) // white).astype(np.uint16)


def check_white(white: int | None) -> None:
    """Raise SrkitError for a white level that no 16-bit file can have."""
    if white is not None and not (isinstance(white, Integral) and 0 < white <= 65535):
        raise SrkitError(f"a white level of {white!r} is none of 16 bits: give 1023, 4095 or another up to 65535.")


def say_levels(found: Mapping[Path, int], white: int | None = None) -> None:
    """Warn of files whose levels are not those that they were read by; found: the largest value of each."""
    if not found:
        return
    most = max(found.values())
    words = f"nearly black: {listed(found)}; of their 16 bits no value is over {most}. "
    if white is not None:
        words = f"over white: {listed(found)}; values up to {most} are cut at {white}. "
    warnings.warn(f"{words}If white is {likely_white(most)} there, say so: white={likely_white(most)}.", stacklevel=3)


def likely_white(largest: int) -> int:
    """The white level of the fewest bits that hold a value: 4095 for 3000."""
    return next((1 << bits) - 1 for bits in (*BITS, 16) if largest < 1 << bits)
