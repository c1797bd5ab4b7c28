"""Picture files with what belongs to them: 16 bits, alpha, EXIF, profile, resolution, text; read and written back."""

import re
import struct
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from srkit.files import SrkitError, expanded, replacing
from srkit.images import MAX_PIXELS, PNG_PIXELS, PNG_START, opened, orientation, png_chunks, turned, wide_grey

LONGEST = {"JPEG": 65500, "WEBP": 16383, "GIF": 65535, "AVIF": 65536}  # pixels that a side may have
# EXIF that stays: words, maker, model, software, time, artist, copyright; how and where the picture was taken; but not
# what counts pixels or tells a stack's shape
KEPT, FOLDERS = (270, 271, 272, 305, 306, 315, 33432), (34665, 34853)
COUNTS_PIXELS = {37396, 40962, 40963, 41492}
SHAPED = re.compile(r"ImageJ=|<OME|\{\"shape\"")
# What each kind of file holds here besides pixels, by Pillow's words
PNG_ALONE = ("text", "gamma", "chromaticity", "srgb")
HOLDS = {"PNG": ("exif", "icc_profile", "dpi", *PNG_ALONE), "JPEG": ("exif", "icc_profile", "dpi", "comment")}
HOLDS |= {"TIFF": ("exif", "icc_profile", "dpi"), "WEBP": ("exif", "icc_profile", "lossless")}
HOLDS |= {"AVIF": ("exif", "icc_profile"), "BMP": ("dpi",), "GIF": ("comment",)}
NAMES = {"exif": "EXIF", "icc_profile": "colour profile", "dpi": "resolution", "text": "text", "comment": "comment"}
NAMES |= {"gamma": "gamma", "chromaticity": "primaries", "srgb": "rendering intent"}
DEEPER = {
    "AVIF": lambda data: b"av1C" in data and data[data.index(b"av1C") + 6] & 64,
    "JPEG2000": lambda data: b"ihdr" in data and data[data.index(b"ihdr") + 14] & 127 > 7,
    "PPM": lambda data: (
        bool(deep := re.match(rb"P[36]\s(?:#[^\n]*\n|\s)*\d+\s+\d+\s+(\d+)", data)) and int(deep[1]) > 255
    ),
}  # colours that Pillow reads in 8 bits


@dataclass
class Picture:
    """pixels: uint8 or uint16, (H, W) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB or (H, W, 4) RGBA, upright.

    about: what else the file says, by Pillow's words: exif, icc_profile, dpi, text, comment, gamma ...
    lost: in words, what it held that is not here.
    """

    pixels: np.ndarray
    kind: str = "PNG"  # one of srkit.images.KINDS
    about: dict[str, Any] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def read_picture(path: Path | str, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode the first frame of a file, turned upright by its EXIF orientation.

    1-bit becomes grey; a palette RGB, or RGBA where one of its colours is transparent; CMYK sRGB, by its profile where
    it has one. Damaged EXIF, text and profiles are left out, and `lost` names them. Raises SrkitError where the file's
    pixels are damaged, over `max_pixels`, or of other than 8 or 16 bits.
    """
    path, lost = expanded(path), []
    with opened(path, max_pixels, lost) as picture:
        kind, data = "JPEG" if picture.format == "MPO" else picture.format, path.read_bytes()
        about = _about(picture, kind, lost)
        if kind == "WEBP" and b"VP8L" in data and b"VP8 " not in data:
            about["lossless"] = True
        if kind == "PNG" and any(name == b"cICP" for name, _ in png_chunks(data)):
            lost.append("colour space (cICP)")
        if DEEPER.get(kind, lambda data: False)(data):
            lost.append("bits beyond 8")
        tags = getattr(picture, "tag_v2", {})
        if kind == "PNG" and data[24] == 16 and picture.mode[0] not in "IF":
            pixels = turned(_deep_png(data), orientation(picture))
        elif kind == "TIFF" and np.max(tags.get(258, 8)) > 8 and picture.mode[0] not in "IF":
            pixels = _deep_tiff(path, max_pixels, lost)
        else:
            pixels = turned(decoded(picture, about, lost), orientation(picture))
            if tags.get(277, 1) > len(picture.getbands()) and picture.mode not in ("P", "PA"):
                lost.append("further channels")
        stack = re.search(r"ImageJ=.*^images=(\d+)", str(tags.get(270)), re.S | re.M)
        if _animated(picture) or (stack and int(stack[1]) > 1):
            lost.append("further pages or frames (save each as a file of its own to enlarge them)")
        return Picture(pixels, kind, about, lost)


def decoded(picture: Image.Image, about: dict[str, Any] | None = None, lost: list[str] | None = None) -> np.ndarray:
    """The pixels of a picture that Pillow has opened, in whatever mode: grey, grey and alpha, RGB or RGBA.

    about: loses its profile where that described the colours that the picture had before.
    """
    about, lost = {} if about is None else about, [] if lost is None else lost
    mode, clear = picture.mode, "transparency" in picture.info
    if mode[0] in "IF":
        lost += ["transparent colour"] if clear else []
        return wide_grey(picture)
    if mode in ("1", "L", "LA", "La"):
        return np.array(picture.convert("LA" if clear or mode in ("LA", "La") else "L"))
    if mode in ("CMYK", "LAB"):
        icc = about.pop("icc_profile", None)
        if icc and mode == "CMYK":
            from PIL import ImageCms

            try:
                profiles = ImageCms.ImageCmsProfile(BytesIO(icc)), ImageCms.createProfile("sRGB")
                picture = ImageCms.profileToProfile(picture, *profiles, outputMode="RGB")
            except (ImageCms.PyCMSError, OSError):
                lost.append("colour profile (damaged, or not of CMYK)")
    return np.array(picture.convert("RGBA" if clear or mode in ("PA", "RGBA", "RGBa") else "RGB"))


def _deep_png(data: bytes) -> np.ndarray:
    """Colours of 16 bits, of which Pillow keeps 8."""
    import imagecodecs

    return imagecodecs.png_decode(PNG_START + b"".join(chunk for name, chunk in png_chunks(data) if name in PNG_PIXELS))


def _deep_tiff(path: Path, max_pixels: int, lost: list[str]) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        known = page.dtype == np.uint16 and page.photometric == tifffile.PHOTOMETRIC.RGB and page.bitspersample == 16
        if not known or page.size > 8 * max_pixels or (page.samplesperpixel > 3 and 1 in page.extrasamples):
            raise ValueError("its numbers are not those of 8 or 16 bits, grey or RGB")
        pixels = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
            pixels = np.moveaxis(pixels, 0, -1)
        channels = 4 if 2 in page.extrasamples[:1] else 3
        lost += ["further channels"] if pixels.shape[2] > channels else []
        turn = page.tags.get(int(ExifTags.Base.Orientation))
        return turned(np.ascontiguousarray(pixels[..., :channels]), turn.value if turn else 1)


def _animated(picture: Image.Image) -> bool:
    try:
        return getattr(picture, "is_animated", False)
    except Exception:  # of a second frame that is damaged
        return True


def _about(picture: Image.Image, kind: str, lost: list[str]) -> dict[str, Any]:
    """What a file says besides its pixels, as far as it is sound."""
    info, tags = picture.info, getattr(picture, "tag_v2", {})
    about = {name: info[name] for name in HOLDS.get(kind, ()) if name != "exif" and info.get(name) is not None}
    text = {name: words for name, words in getattr(picture, "text", {}).items() if "xmp" not in name.lower()}
    about |= {"text": text} if text else {}
    if not all(1 < value < 1e6 for value in about.get("dpi", ())):  # 1 is Pillow's word for none
        del about["dpi"]
    lost += ["colour profile (damaged)"] if "icc_profile" in info and "icc_profile" not in about else []
    lost += ["resolution"] if info.get("resolution", (1, 1)) != (1, 1) else []
    lost += ["XMP"] if {"xmp", "XML:com.adobe.xmp", 700} & {*info, *tags} else []
    exif, sound = _sound_exif(picture)
    lost += [] if sound else ["EXIF (damaged)"]
    return about | ({"exif": exif.tobytes()} if len(exif) else {})


def _sound_exif(picture: Image.Image) -> tuple[Image.Exif, bool]:
    """What is kept of a picture's EXIF, and whether it could be read: of damaged EXIF nothing is."""
    kept = Image.Exif()
    try:
        exif = picture.getexif()
        if "exif" in picture.info:  # where Pillow met damage before, it has kept silent
            exif = Image.Exif()
            exif.load(picture.info["exif"])
        for tag in KEPT:
            if tag in exif and not (tag == 270 and SHAPED.search(str(exif[tag]))):
                kept[tag] = exif[tag]
        for tag in [tag for tag in FOLDERS if tag in exif]:
            if not (folder := exif.get_ifd(tag)):
                raise ValueError("a folder beyond the end")
            if folder := {name: value for name, value in folder.items() if name not in COUNTS_PIXELS}:
                kept[tag] = folder
        kept.tobytes()
    except Exception:
        return Image.Exif(), False
    return kept, True


def check_size(path: Path, kind: str, height: int, width: int) -> None:
    """Raise SrkitError where a kind of file cannot hold so large a picture."""
    if max(height, width) > LONGEST.get(kind, 1 << 31):
        raise SrkitError(f"{path.name} would be {width} x {height}, more than {kind} can hold: choose --format png.")


def write_picture(path: Path | str, picture: Picture) -> list[str]:
    """Write a picture as its kind, beside and renamed. Returns in words what of it the kind cannot hold.

    16 bits stay in PNG and TIFF. Alpha is laid on white in JPEG, BMP and PPM, and is all or nothing in GIF. EXIF and
    profile stay in PNG, JPEG, TIFF (of 16-bit colours without how and where), WebP and AVIF; the resolution in dots an
    inch in PNG, JPEG, TIFF and BMP; text in PNG, comments in JPEG and GIF; gamma and primaries in PNG.
    Raises SrkitError where the file cannot be written.
    """
    pixels, kind, path = _fitting(picture.pixels, picture.kind), picture.kind, expanded(path)
    held = {name: value for name, value in picture.about.items() if name in HOLDS.get(kind, ())}
    bare = {name: value for name, value in held.items() if name == "lossless"}
    deep = {"PNG": _save_deep_png, "TIFF": _save_deep_tiff}
    save = deep[kind] if pixels.dtype == np.uint16 and pixels.ndim == 3 else _save
    try:
        with replacing(path) as beside:
            try:
                lost = save(beside, pixels, kind, held)
            except (ValueError, TypeError, RuntimeError, struct.error, OverflowError):
                lost = save(beside, pixels, kind, bare)  # what is sound in one kind may be too long for another
                held = bare
    except SrkitError:
        raise
    except (OSError, ValueError, RuntimeError, struct.error, OverflowError, KeyError) as error:
        raise SrkitError(f"{path} cannot be written as {kind} ({error}): try another folder or --format.") from error
    lost += [] if pixels.dtype == picture.pixels.dtype else ["bits beyond 8"]
    return lost + [NAMES[name] for name in picture.about if name not in held and name in NAMES]


def _fitting(pixels: np.ndarray, kind: str) -> np.ndarray:
    """The pixels as a kind of file can hold them."""
    if pixels.dtype == np.uint16 and kind not in ("PNG", "TIFF"):
        pixels = ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    if pixels.shape[2] == 2 and kind != "PNG":
        pixels = pixels[..., [0, 0, 0, 1]]
    if kind in ("JPEG", "BMP", "PPM"):
        image = Image.fromarray(pixels)
        return np.array(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))
    if kind == "GIF":
        pixels[..., -1] = np.where(pixels[..., -1] < 128, 0, 255)
    return pixels


def _save(path: Path | BytesIO, pixels: np.ndarray, kind: str, held: dict[str, Any]) -> list[str]:
    options = {name: value for name, value in held.items() if name not in PNG_ALONE}
    if kind == "PNG":
        options["pnginfo"] = info = PngInfo()
        if "gamma" in held:
            info.add(b"gAMA", struct.pack(">I", round(held["gamma"] * 1e5)))
        if "chromaticity" in held:
            info.add(b"cHRM", struct.pack(">8I", *(round(value * 1e5) for value in held["chromaticity"])))
        if "srgb" in held:
            info.add(b"sRGB", bytes([held["srgb"]]))
        for name, words in held.get("text", {}).items():
            info.add_text(name, words)
    quality = {"quality": 95} if kind in ("JPEG", "WEBP", "AVIF") else {}
    Image.fromarray(pixels).save(path, format=kind, **options, **quality)
    return []


def _save_deep_png(path: Path, pixels: np.ndarray, kind: str, held: dict[str, Any]) -> list[str]:
    """Colours of 16 bits, which Pillow does not write, between the other chunks that it does."""
    import imagecodecs

    one, data = BytesIO(), imagecodecs.png_encode(pixels)
    _save(one, np.zeros((1, 1), np.uint8), kind, held)
    about = (chunk for name, chunk in png_chunks(one.getvalue()) if name not in PNG_PIXELS)
    header = len(PNG_START) + 25
    path.write_bytes(data[:header] + b"".join(about) + data[header:])
    return []


def _save_deep_tiff(path: Path, pixels: np.ndarray, kind: str, held: dict[str, Any]) -> list[str]:
    import tifffile

    exif = Image.Exif()
    exif.load(held.get("exif", b""))
    own = {270: "description", 305: "software", 306: "datetime"}
    options = {name: str(exif[tag]) for tag, name in own.items() if tag in exif}
    words = [(tag, "s", 0, str(exif[tag]), True) for tag in KEPT if tag in exif and tag not in own]
    options |= {"extrasamples": ["unassalpha"]} if pixels.shape[2] == 4 else {}
    options |= {"resolution": held["dpi"], "resolutionunit": "INCH"} if "dpi" in held else {}
    options |= {"iccprofile": held.get("icc_profile"), "extratags": words, "metadata": None}
    tifffile.imwrite(path, pixels, photometric="rgb", compression="zlib", **options)
    return ["EXIF of how and where it was taken"] if any(tag in exif for tag in FOLDERS) else []
