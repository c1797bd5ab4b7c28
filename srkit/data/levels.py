"""Pictures of 10, 12 or 14 bits that lie in files of 16: recognised, and read by the level that is white in them."""

from pathlib import Path

import numpy as np

from srkit.files import SrkitError
from srkit.image_files import read_picture
from srkit.images import read_image

BITS = (8, 10, 12, 14)  # of which 16-bit files hold data that look black; what uses more is a picture as it is


def read_levels(path: Path | str, white: int | None = None) -> tuple[np.ndarray, int | None]:
    """A picture as uint8 RGB (H, W, 3); and the largest value in use of a 16-bit file that holds fewer bits, or None.

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
        largest = int(pixels.max())
        return image, largest if largest < 1 << max(BITS) else None
    colours = pixels.reshape(*pixels.shape[:2], -1)[..., : 3 if pixels.shape[2:] > (2,) else 1]
    levels = (np.minimum(colours, white) * (255 / white) + 0.5).astype(np.uint8)
    return np.broadcast_to(levels, image.shape).copy(), None


def likely_white(largest: int) -> int:
    """The white level of the fewest bits that hold a value: 4095 for 3000."""
    return next((1 << bits) - 1 for bits in BITS if largest < 1 << bits)
