"""Picture files with all that belongs to them: 16 bits, alpha, EXIF and ICC profile, read and written back."""

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import putchunk

from srkit.files import SrkitError, replacing
from srkit.images import MAX_PIXELS, opened, wide_grey

KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF"}
KINDS |= {".tif": "TIFF", ".tiff": "TIFF"}
LONGEST = {"JPEG": 65500, "WEBP": 16383, "GIF": 65535}  # pixels that a side may have
KEPT = (270, 271, 272, 305, 306, 315, 33432)  # of EXIF: words, maker, model, software, time, artist, copyright ...
FOLDERS = (34665, 34853)  # ... and how and where it was taken


@dataclass
class Picture:
    """pixels: uint8 or uint16, (H, W) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB or (H, W, 4) RGBA, upright."""

    pixels: np.ndarray
    kind: str = "PNG"  # one of KINDS
    exif: bytes = b""
    icc: bytes | None = None
    lossless: bool = False  # of a WebP


def read_picture(path: Path | str, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode the first frame of a file, turned upright by its EXIF orientation.

    1-bit becomes grey; a palette RGB, or RGBA where one of its colours is transparent; CMYK sRGB, by its profile where
    it has one. Raises SrkitError where the file is damaged, over `max_pixels`, or holds other than 8 or 16 bits.
    """
    with opened(path, max_pixels) as picture:
        kind, layout = "JPEG" if picture.format == "MPO" else picture.format, str(picture.tile)
        kept, icc = _kept(picture.getexif()), picture.info.get("icc_profile") or None
        lossless = kind == "WEBP" and b"VP8L" in (data := Path(path).read_bytes()) and b"VP8 " not in data
        bits = np.max(getattr(picture, "tag_v2", {}).get(258, 8))
        if picture.mode[0] not in "IF" and (bits > 8 or ";16" in layout):
            pixels = _deep(path)
        else:
            ImageOps.exif_transpose(picture, in_place=True)
            pixels, icc = _pixels(picture, icc)
        return Picture(pixels, kind, kept, icc, lossless)


def _pixels(picture: Image.Image, icc: bytes | None) -> tuple[np.ndarray, bytes | None]:
    mode, clear = picture.mode, "transparency" in picture.info
    if mode[0] in "IF":
        return wide_grey(picture), icc
    if mode == "CMYK":
        if icc:
            from PIL import ImageCms

            profiles = ImageCms.ImageCmsProfile(BytesIO(icc)), ImageCms.createProfile("sRGB")
            picture = ImageCms.profileToProfile(picture, *profiles, outputMode="RGB")
        return np.array(picture.convert("RGB")), None
    grey = "LA" if clear or mode in ("LA", "La") else "L"
    colour = "RGBA" if clear or mode in ("PA", "RGBA", "RGBa") else "RGB"
    return np.array(picture.convert(grey if mode in ("1", "L", "LA", "La") else colour)), icc


def _deep(path: Path | str) -> np.ndarray:
    """Colours of 16 bits, of which Pillow keeps 8: read as big-endian, as little-endian, and put together."""
    halves = []
    for ends in ({"B": "B", "L": "L", "N": "L"}, {"B": "L", "L": "B", "N": "B"}):  # first the high bytes, then the low
        with Image.open(path) as picture:
            raw, *more = np.atleast_1d(np.array(picture.tile[0].args, object))
            known, grey = raw[:-1] in ("RGB;16", "RGBA;16"), raw == "LA;16B"
            if not known and not grey:
                raise ValueError("its numbers are not those of 8 or 16 bits, pixel by pixel")
            raw = "RGBA" if grey else raw[:-1] + ends[raw[-1]]  # two bytes of grey and two of alpha: a pixel's four
            picture.tile = [tile._replace(args=(raw, *more) if more else raw) for tile in picture.tile]
            ImageOps.exif_transpose(picture, in_place=True)
            halves.append(np.array(picture).astype(np.uint16))
    high, low = (halves[0][..., 0::2], halves[0][..., 1::2]) if grey else halves
    return high << 8 | low


def _kept(exif: Image.Exif) -> bytes:
    kept = Image.Exif()
    for tag in KEPT:
        if tag in exif:
            kept[tag] = exif[tag]
    for tag in FOLDERS:
        if tag in exif:
            kept[tag] = dict(exif.get_ifd(tag))
    return kept.tobytes() if len(kept) else b""


def check_size(path: Path, kind: str, height: int, width: int) -> None:
    """Raise SrkitError where a kind of file cannot hold so large a picture."""
    if max(height, width) > LONGEST.get(kind, 1 << 31):
        raise SrkitError(f"{path.name} would be {width} x {height}, more than {kind} can hold: choose --format png.")


def write_picture(path: Path | str, picture: Picture) -> None:
    """Write a picture as its kind, beside and renamed; what the kind cannot hold is left out.

    16 bits stay in PNG and TIFF. Alpha is laid on white in JPEG and BMP, and is all or nothing in GIF. A TIFF of 16-bit
    colours, and BMP and GIF, have no EXIF. SrkitError where the file cannot be written.
    """
    pixels, kind, path = _fitting(picture.pixels, picture.kind), picture.kind, Path(path)
    try:
        with replacing(path) as beside:
            if pixels.dtype == np.uint16 and kind == "PNG":
                _write_png(beside, pixels, picture)
            elif pixels.dtype == np.uint16 and pixels.ndim == 3:
                import tifffile

                alpha = {"extrasamples": ["unassalpha"]} if pixels.shape[2] == 4 else {}
                options = {"photometric": "rgb", "compression": "zlib", "iccprofile": picture.icc, "metadata": None}
                tifffile.imwrite(beside, pixels, **options, **alpha)
            else:
                options = {"exif": picture.exif} if picture.exif else {}
                options |= {"icc_profile": picture.icc} if picture.icc else {}
                options |= {"quality": 95} if kind in ("JPEG", "WEBP") else {}
                options |= {"lossless": True} if picture.lossless else {}
                Image.fromarray(pixels).save(beside, format=kind, **options)
    except (OSError, ValueError, RuntimeError, struct.error, OverflowError) as error:
        raise SrkitError(f"{path} cannot be written as {kind} ({error}): try another folder or --format.") from error


def _fitting(pixels: np.ndarray, kind: str) -> np.ndarray:
    """The pixels as a kind of file can hold them."""
    if pixels.dtype == np.uint16 and kind not in ("PNG", "TIFF"):
        pixels = ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    if pixels.shape[2] == 2 and kind != "PNG":
        pixels = pixels[..., [0, 0, 0, 1]]
    if kind in ("JPEG", "BMP"):
        image = Image.fromarray(pixels)
        return np.array(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))
    if kind == "GIF":
        pixels[..., -1] = np.where(pixels[..., -1] < 128, 0, 255)
    return pixels


def _write_png(path: Path, pixels: np.ndarray, picture: Picture) -> None:
    """A PNG of 16 bits a channel, which Pillow writes for grey alone: rows of differences to the row above."""
    height, width, channels = (*pixels.shape, 1)[:3]
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
        putchunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
        if picture.icc:
            putchunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(picture.icc))
        if picture.exif:
            putchunk(file, b"eXIf", picture.exif.removeprefix(b"Exif\0\0"))
        packer, above = zlib.compressobj(6), np.zeros(2 * width * channels, np.uint8)
        for row in pixels.astype(">u2").reshape(height, -1).view(np.uint8):
            putchunk(file, b"IDAT", packer.compress(b"\2" + (row - above).tobytes()))
            above = row
        putchunk(file, b"IDAT", packer.flush())
        putchunk(file, b"IEND", b"")
