"""Pictures under one slider: a widget for notebooks, and the same as a page, as an animation and as a figure."""

import base64
import html
import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import anywidget
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from traitlets import Bool, Bytes, Float, Int, List, TraitError, Tuple, Unicode, validate

from srkit.files import SrkitError, check_numbers, expanded, replacing, write_text
from srkit.images import read_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).parent
Comparable = np.ndarray | Image.Image | Path | str
LARGEST = 960, 640  # CSS pixels that a slider takes at most, and that a small picture is enlarged to


class CompareSlider(anywidget.AnyWidget):
    """Two or more pictures of one size in one frame, with a handle between the left one and the right one.

    pictures: by label, uint8 (H, W, 3) or (H, W), PIL images, or paths of picture files.
    Keys, mouse and touch change its state, which Python can read and set:
    position, percent of the frame that shows the left picture; zoom from 1 and centre (x, y), in shares of the picture;
    left and right, numbers of pictures; loupe. With `cropping` a rectangle can be drawn: box is then [top, left,
    height, width] in pixels. Raises SrkitError for pictures that are not of one size, or are none.
    """

    _esm = HERE / "slider.js"
    _css = HERE / "slider.css"
    _pictures = List(Bytes()).tag(sync=True)
    labels = List(Unicode()).tag(sync=True)
    width = Int().tag(sync=True)
    position = Float(50.0, min=0, max=100).tag(sync=True)
    zoom = Float(1.0, min=1, max=32).tag(sync=True)
    centre = Tuple(Float(), Float(), default_value=(0.5, 0.5)).tag(sync=True)
    left = Int(0).tag(sync=True)
    right = Int(1).tag(sync=True)
    loupe = Bool(False).tag(sync=True)
    cropping = Bool(False).tag(sync=True)
    box = List(Int()).tag(sync=True)

    def __init__(self, pictures: Mapping[str, Comparable], **state: object):
        self.pictures: dict[str, np.ndarray] = {}
        super().__init__()
        self.show(pictures)
        for name, value in state.items():
            setattr(self, name, value)

    def show(self, pictures: Mapping[str, Comparable]) -> None:
        """Put other pictures into the frame. Position, zoom and sides stay, as far as there are such pictures.

        What is shown is a copy: after a change in an array, show it again.
        """
        pictures = _arrays(pictures)
        before = list(zip(self.pictures.values(), self._pictures, strict=True))
        self.pictures = pictures
        with self.hold_sync():
            last = len(pictures) - 1
            height, width = next(iter(pictures.values())).shape[:2]
            fit = min(LARGEST[0] / width, LARGEST[1] / height)
            self.width = round(width * (int(fit) if fit >= 1 else fit))  # whole times, so that pixels stay squares
            self.labels = list(pictures)
            self.left, self.right = min(self.left, last), min(self.right, last)
            self._pictures = [
                next((png for old, png in before if np.array_equal(old, picture)), None) or _png(picture)
                for picture in pictures.values()
            ]

    @validate("left", "right")
    def _is_a_picture(self, proposal: dict) -> int:
        if not 0 <= proposal["value"] < max(2, len(self.pictures)):
            raise TraitError(f"there are {len(self.pictures)} pictures, numbered from 0: {proposal['value']} is none.")
        return proposal["value"]

    def to_html(self, path: Path | str, title: str = "Compare") -> Path:
        """Write the slider as it stands as one page that needs no kernel, no network and no other file."""
        uris = [f"data:image/png;base64,{base64.b64encode(png).decode()}" for png in self._pictures]
        names = ("labels", "width", "position", "zoom", "centre", "left", "right", "loupe")
        state = {name: getattr(self, name) for name in names} | {"_pictures": uris}
        still = "".join(
            f'<figure><img src="{uri}" width="100%"><figcaption>{html.escape(label)}</figcaption></figure>'
            for label, uri in zip(self.labels, uris, strict=True)
        )
        page = Template((HERE / "slider.html").read_text(encoding="utf-8")).substitute(
            title=html.escape(title),
            css=(HERE / "slider.css").read_text(encoding="utf-8"),
            esm=(HERE / "slider.js").read_text(encoding="utf-8").replace("export default", "const widget ="),
            state=json.dumps(state).replace("<", "\\u003c"),  # a label must not end the script
            pictures=still,
        )
        write_text(path, page)
        return expanded(path)

    def to_gif(self, path: Path | str, wipe: bool = True, seconds: float = 1.5) -> Path:
        """Write an animation: each picture under its label for `seconds`, then the next one, wiped over it or at once.

        A GIF has 256 colours; all pictures share one palette, chosen from all of them, so that no difference between
        two frames comes from their colours being counted apart. Raises SrkitError for a name that does not end in .gif.
        """
        if Path(path).suffix.lower() != ".gif":
            raise SrkitError(f"{path} is no name of an animation: let it end in .gif.")
        check_numbers(0.0, seconds=seconds)
        labelled = [_labelled(picture, label) for label, picture in self.pictures.items()]
        height, width = labelled[0].shape[:2]
        together = Image.fromarray(np.concatenate(labelled)).quantize(256)
        stills = np.asarray(together).reshape(len(labelled), height, width)
        frames, times = [], []
        for still, following in zip(stills, np.roll(stills, -1, axis=0), strict=True):
            frames.append(still)
            times.append(round(1000 * seconds))
            for step in range(1, 12 if wipe else 0):
                frames.append(np.where(np.arange(width) < width * step / 12, following, still))
                times.append(40)
        first, *rest = (Image.fromarray(frame.astype(np.uint8), "P") for frame in frames)
        for frame in (first, *rest):
            frame.putpalette(together.getpalette())
        with replacing(path) as beside:
            first.save(beside, save_all=True, append_images=rest, duration=times, loop=0, optimize=False)
        return expanded(path)

    def twin(self, size: int = 64) -> "Figure":
        """The figure that stands for the slider: the last picture whole, and of each the part that is zoomed in on.

        Without a zoom that is the size x size square with the steepest edges in the last picture.
        """
        from srkit.figures import busiest, compare

        whole = list(self.pictures)[-1]
        height, width = self.pictures[whole].shape[:2]
        if self.zoom > 1:
            size = max(8, round(min(height, width) / self.zoom))
            middle = zip(self.centre[::-1], (height, width), strict=True)
            corner = tuple(round(np.clip(share * side - size / 2, 0, side - size)) for share, side in middle)
        else:
            size = min(size, height, width)
            corner = busiest(self.pictures[whole], size)
        return compare(self.pictures, corner, size, whole=whole)


def _arrays(pictures: Mapping[str, Comparable]) -> dict[str, np.ndarray]:
    """Each picture by its label, as a copy; SrkitError where they cannot be compared."""
    if not isinstance(pictures, Mapping) or len(pictures) < 2:
        given = len(pictures) if isinstance(pictures, Mapping) else f"a {type(pictures).__name__}"
        raise SrkitError(f"a slider compares two pictures or more, and got {given}: give them by their labels.")
    arrays = {}
    for label, picture in pictures.items():
        if isinstance(picture, Path | str):
            picture = read_image(picture)
        elif isinstance(picture, Image.Image):
            picture = np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))
        picture = arrays[str(label)] = np.array(picture)
        if picture.dtype != np.uint8 or not picture.size or not (picture.ndim == 2 or picture.shape[2:] == (3,)):
            raise SrkitError(f"{label} is {picture.dtype} {picture.shape}: a slider shows uint8 (H, W, 3) or (H, W).")
    sizes = {label: f"{picture.shape[1]} x {picture.shape[0]}" for label, picture in arrays.items()}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{label} {size}" for label, size in sizes.items())
        raise SrkitError(f"a slider needs pictures of one size ({said}): enlarge LR by nearest neighbour first.")
    if len(arrays) < len(pictures):
        raise SrkitError(f"two labels of {', '.join(arrays)} are the same word: give each picture its own.")
    return arrays


def _png(picture: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(picture).save(file, "png", compress_level=1)
    return file.getvalue()


def _labelled(picture: np.ndarray, label: str) -> np.ndarray:
    """The picture in colour with its label in the upper left corner: (H, W, 3) uint8."""
    image = Image.fromarray(picture).convert("RGB")
    pen, size = ImageDraw.Draw(image), max(12, image.height // 24)
    font = ImageFont.load_default(size)
    left, top, right, bottom = pen.textbbox((size // 2, size // 2), label, font=font)
    pen.rectangle((left - size // 3, top - size // 3, right + size // 3, bottom + size // 3), fill=(32, 32, 32))
    pen.text((size // 2, size // 2), label, fill="white", font=font)
    return np.asarray(image)
