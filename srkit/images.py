"""Pictures at the edges of srkit: RGB uint8 arrays (H, W, 3) outside, float tensors (N, 3, H, W) in [0, 1] inside."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from srkit.files import SrkitError, expanded, replacing

KINDS = {".png": "PNG", ".apng": "PNG", ".webp": "WEBP", ".avif": "AVIF", ".bmp": "BMP", ".dib": "DIB", ".gif": "GIF"}
KINDS |= {".tga": "TGA", ".qoi": "QOI"} | dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG")
KINDS |= dict.fromkeys((".tif", ".tiff"), "TIFF") | dict.fromkeys((".jp2", ".j2k", ".jpx"), "JPEG2000")
KINDS |= dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM")
SUFFIXES = tuple(KINDS)  # of what is taken for a picture; an opened file's kind is told by its content
MAX_PIXELS = 100_000_000
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS = b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"
SETTINGS = ("transparency", "exif", "icc_profile", "dpi", "gamma", "chromaticity", "srgb")  # Pillow's words


@contextmanager
def opened(
    path: Path | str | BytesIO, max_pixels: int = MAX_PIXELS, lost: list[str] | None = None
) -> Iterator[Image.Image]:
    """Yield a decoded picture, as it lies in the file: whatever goes wrong here or inside is one SrkitError.

    Only the first frame or page is decoded. A file's content says its kind, and not its name. Where a PNG's text or
    profile is damaged or too large, the picture comes without, and `lost` is told.
    A decoder in want of sound data raises nearly anything, and so all is caught.
    """
    path = path if isinstance(path, BytesIO) else expanded(path)
    if isinstance(path, Path) and path.exists() and not path.is_file():
        raise SrkitError(f"{path} is no file: give a picture that is saved on disk.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's doubts: it opens the picture whole, or an error follows
            with _decoded(path, max_pixels, [] if lost is None else lost) as picture:
                yield picture
    except SrkitError:
        raise
    except FileNotFoundError:
        raise SrkitError(f"{path} is not there: check its name and folder.") from None
    except PermissionError as error:
        raise SrkitError(f"{path} cannot be read ({error.strerror}): mend its rights, or leave it out.") from None
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SrkitError(f"{path} does not open as a picture ({reason}): replace it or leave it out.") from error


def _decoded(path: Path | BytesIO, max_pixels: int, lost: list[str]) -> Image.Image:
    try:
        return _loaded(path, path, max_pixels)
    except SrkitError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:  # of the disk, and not of the file's content
            raise
        data = path.getvalue() if isinstance(path, BytesIO) else path.read_bytes()
        kept = b"".join(chunk for name, chunk in png_chunks(data) if name in (*PNG_PIXELS, b"eXIf"))
        if not data.startswith(PNG_START):
            raise
        try:
            picture = _loaded(BytesIO(PNG_START + kept), path, max_pixels)
        except OSError:
            raise error from None
    lost.append("text, colour profile and other metadata")
    return picture


def _loaded(source: Path | BytesIO, path: Path | BytesIO, max_pixels: int) -> Image.Image:
    anything = {"TGA"} if getattr(path, "suffix", "").lower() != ".tga" else set()  # its content does not say
    with ExitStack() as stack:
        picture = stack.enter_context(Image.open(source, formats=sorted(set(KINDS.values()) - anything)))
        width, height = picture.size
        if width * height > max_pixels:
            raise SrkitError(f"{path} is {width} x {height}, over {max_pixels:,} pixels: make it smaller.")
        picture.load()
        for name in SETTINGS:
            if isinstance(picture.info.get(name), str):  # a PNG's text by that name
                del picture.info[name]
        stack.pop_all()
        return picture


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG file: each one's name, and all of it."""
    start = len(PNG_START)
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4])
        yield data[start + 4 : start + 8], data[start:end]
        start = end


def orientation(picture: Image.Image) -> int:
    """How a picture must be turned, by its EXIF: 1 to 8. Damaged EXIF says nothing."""
    try:
        turn = Image.Image.getexif(picture).get(ExifTags.Base.Orientation)  # a PNG's own would decode all of it first
    except Exception:
        turn = None
    return turn if turn in range(1, 9) else 1


def turned(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Pixels (H, W) or (H, W, C) upright, by their EXIF orientation."""
    pixels = pixels.swapaxes(0, 1) if turn in (5, 6, 7, 8) else pixels
    pixels = pixels[::-1] if turn in (3, 4, 7, 8) else pixels
    return np.ascontiguousarray(pixels[:, ::-1] if turn in (2, 3, 6, 7) else pixels)


def read_image(path: Path | str | BytesIO) -> np.ndarray:
    """Decode a picture as uint8 RGB (H, W, 3), turned upright by its EXIF orientation.

    Transparent pictures are laid on white, palettes looked up, grey ones given three equal channels.
    Raises SrkitError where the file is missing, truncated or no picture.
    """
    with opened(path) as picture:
        turn = orientation(picture)
        if picture.mode[0] in "IF":  # Pillow's own conversion clips at 255
            wide = wide_grey(picture).astype(np.float64)
            return turned(np.repeat((wide / 257 + 0.5).astype(np.uint8)[..., None], 3, axis=2), turn)
        if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        return turned(np.array(picture.convert("RGB")), turn)


def wide_grey(picture: Image.Image) -> np.ndarray:
    """Grey of 16 bits as uint16 (H, W). ValueError where its numbers are none: floats, 12 or 32 bits, below 0."""
    values = np.asarray(picture)
    tags = getattr(picture, "tag_v2", {})
    if values.dtype.kind not in "iu" or tags.get(258) in (12, (12,)) or values.min() < 0 or values.max() > 65535:
        raise ValueError("its numbers are not those of 8 or 16 bits")
    values = values.astype(np.uint16)
    return 65535 - values if tags.get(262) == 0 else values  # there 0 is white


@contextmanager
def header(path: Path | str | BytesIO) -> Iterator[Image.Image]:
    """Yield a picture that is not decoded yet, for its mode and size; decoded where damaged metadata ask for it."""
    with ExitStack() as stack:
        try:
            picture = stack.enter_context(Image.open(path))
        except Exception:  # as of a PNG whose text is damaged
            picture = stack.enter_context(opened(path))
        yield picture


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
    """Drop rows and columns at the bottom and right until height and width are multiples of `scale`.

    >>> crop_to_multiple(np.zeros((7, 9, 3)), scale=4).shape
    (4, 8, 3)
    """
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
