"""Pictures at the edges of srkit: RGB uint8 arrays (H, W, 3) outside, float tensors (N, 3, H, W) in [0, 1] inside."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from srkit.files import SrkitError, replacing

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".avif")
SUFFIXES += (".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".qoi")
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "AVIF", "JPEG2000", "PPM", "TGA", "QOI")
MAX_PIXELS = 100_000_000


@contextmanager
def opened(path: Path | str, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Yield a picture by its header, to be decoded inside: whatever goes wrong there is one SrkitError.

    Only the first frame or page is meant. A decoder in want of sound data raises nearly anything, and so all is caught.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's doubts: it opens the picture whole, or an error follows
            with Image.open(path, formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > max_pixels:
                    raise SrkitError(f"{path} is {width} x {height}, over {max_pixels:,} pixels: make it smaller.")
                yield picture
    except SrkitError:
        raise
    except FileNotFoundError:
        raise SrkitError(f"{path} is not there: check its name and folder.") from None
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SrkitError(f"{path} does not open as a picture ({reason}): replace it or leave it out.") from error


def read_image(path: Path | str, grey: bool = False) -> np.ndarray:
    """Decode a picture as uint8 RGB (H, W, 3), turned upright by its EXIF orientation.

    Transparent pictures are laid on white, palettes looked up, grey ones given three equal channels; with
    `grey=True` a file that holds one channel comes back as (H, W), as the benchmark protocol wants it.
    Raises SrkitError where the file is missing, truncated or no picture.
    """
    with opened(path) as picture:
        ImageOps.exif_transpose(picture, in_place=True)
        if grey and picture.mode in ("1", "L"):
            return np.asarray(picture.convert("L"))
        if picture.mode[0] in "IF":  # Pillow's own conversion clips at 255
            wide = wide_grey(picture).astype(np.float64)
            return np.repeat((wide / 257 + 0.5).astype(np.uint8)[..., None], 3, axis=2)
        if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        return np.array(picture.convert("RGB"))


def wide_grey(picture: Image.Image) -> np.ndarray:
    """Grey of 16 bits as uint16 (H, W). ValueError where its numbers are none: floats, 12 or 32 bits, below 0."""
    values = np.asarray(picture)
    tags = getattr(picture, "tag_v2", {})
    if values.dtype.kind not in "iu" or tags.get(258) in (12, (12,)) or values.min() < 0 or values.max() > 65535:
        raise ValueError("its numbers are not those of 8 or 16 bits")
    values = values.astype(np.uint16)
    return 65535 - values if tags.get(262) == 0 else values  # there 0 is white


def picture_mode(path: Path | str) -> str:
    """Pillow's name for how a file keeps its pixels: "RGB", "L" for grey, "RGBA", "P" for a palette ..."""
    with Image.open(path) as picture:
        return picture.mode


def write_image(path: Path | str, image: np.ndarray) -> None:
    """Write a uint8 picture (H, W, 3) or (H, W), lossless where the format allows, beside and renamed."""
    with replacing(path) as beside:
        Image.fromarray(image).save(beside, **({"quality": 95} if beside.suffix in (".jpg", ".jpeg") else {}))


def luma(image: np.ndarray) -> np.ndarray:
    """BT.601 luma on 16..235, rounded to uint8: (H, W, 3) uint8 to (H, W) uint8, as MATLAB's rgb2ycbcr gives it.

    A grey picture (H, W) is its own luma.
    """
    if image.ndim == 2:
        return image
    y = 16 + image.astype(np.float64) @ (np.array([65.481, 128.553, 24.966]) / 255)
    return np.floor(y + 0.5).astype(np.uint8)


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """Drop rows and columns at the bottom and right until height and width are multiples of `scale`."""
    height, width = image.shape[0] // scale * scale, image.shape[1] // scale * scale
    return image[:height, :width]


def crop_at(image: np.ndarray, corner: tuple[int, int], size: int) -> np.ndarray:
    """The size x size square whose upper left corner is (top, left)."""
    top, left = corner
    return image[top : top + size, left : left + size]


def to_tensor(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 to (1, 3, H, W) float32 in [0, 1]; a grey (H, W) gives (1, 1, H, W)."""
    image = image[..., None] if image.ndim == 2 else image
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255


def to_image(tensor: Tensor) -> np.ndarray:
    """(1, C, H, W) or (C, H, W) float in [0, 1] to uint8 (H, W, 3), or (H, W) for one channel: clipped and rounded."""
    picture = tensor.detach().reshape(tensor.shape[-3:]).float().clamp(0, 1)
    image = (picture * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image)
