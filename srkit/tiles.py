"""Large pictures in little memory: the network in pieces, each seeing as far around itself as the network does."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from math import ceil, sqrt

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from srkit.files import SrkitError
from srkit.resize import imresize

Box = tuple[int, int, int, int]  # top, left, bottom, right, in LR pixels
FARTHEST = 2048  # LR pixels to one side: what sees further is taken to see the whole picture
BLOCK_BYTES, TILE_BYTES = (
    1 << 30,
    1 << 28,
)  # at most, for the work at LR size and for the enlarging; less if less is free
BICUBIC_REACH, SHARPEN_REACH = 3, 3  # LR pixels; SR pixels


def enlarge_in_tiles(
    network: nn.Module,
    picture: np.ndarray,
    sharpen: Callable[[Tensor], Tensor] | None = None,
    tile: int | None = None,
    block: int | None = None,
    device: str = "cpu",
    bar: Callable[[int], None] = lambda pixels: None,
) -> np.ndarray:
    """(H, W, C) of uint8 or uint16, C being grey, grey and alpha, RGB or RGBA, to (scale H, scale W, C) of the same kind.

    Blocks of side `block` go through `network.features` at LR size, which is cheap in memory and sees far. Each is
    then enlarged by `network.enlarge` in tiles of side `tile`, which is dear and sees a few pixels. Either is padded by
    what its part of the network sees, measured, so the answer is that of the whole picture to one grey level. Sides not
    given are chosen by the memory that is free, and halved when it runs out. A network without these two methods is
    all `enlarge`. Alpha is enlarged by bicubic: a network would make an even alpha uneven. `sharpen` follows the network.
    `bar` is told the LR pixels done. Raises SrkitError where a network that sees the whole picture would need tiles.
    """
    height, width, channels = picture.shape
    scale, parts = network.scale, _parts(network)
    block = block or _side(parts, 0, BLOCK_BYTES, device)
    tile = tile or _side(parts, 1, TILE_BYTES, device)
    sr = np.empty((height * scale, width * scale, channels), picture.dtype)
    margins: list[int] = []  # of a tile and of a block; measured when something is first cut

    def margin(number: int, box: Box, whole: Box) -> int:
        if box == whole:
            return 0
        if not margins:
            around = ceil(SHARPEN_REACH / scale) if sharpen else 0
            margins.append(max(reach(network, "enlarge") + around, BICUBIC_REACH))
        if number and len(margins) < 2:
            margins.append(reach(network, "features") + margins[0])
        return margins[number]

    def one_block(box: Box) -> None:
        nonlocal tile
        whole = (0, 0, height, width)
        outer = _grown(box, margin(1, box, whole), whole)
        lr = _tensor(picture[_slices(outer)], device)
        colours = (lr[:, :3] if channels > 2 else lr[:, :1]).expand(-1, 3, -1, -1)
        features = parts[0](colours)

        def one_tile(inner: Box) -> None:
            seen = _grown(inner, margin(0, inner, whole), outer)
            here = (..., *_slices(seen, outer))
            answer = parts[1](features[here], colours[here])
            answer = sharpen(answer) if sharpen else answer
            if channels < 3:
                answer = answer.mean(1, keepdim=True)
            if channels in (2, 4):
                answer = torch.cat([answer, imresize(lr[here][:, -1:], scale)], dim=1)
            core = answer[(..., *_slices(tuple(scale * edge for edge in inner), tuple(scale * edge for edge in seen)))]
            sr[_slices(tuple(scale * edge for edge in inner))] = _levels(core, picture.dtype)
            bar((inner[2] - inner[0]) * (inner[3] - inner[1]))

        tile = _by_halves(one_tile, box, tile)

    with torch.no_grad():
        _by_halves(one_block, (0, 0, height, width), block)
    return sr


@torch.enable_grad()
def reach(network: nn.Module, part: str, farthest: int = FARTHEST) -> int:
    """How many LR pixels to each side of its own a part of a network, "features" or "enlarge", sees: measured by gradient.

    On a copy in float64 and eval mode, over all SR pixels of one LR pixel, on a strip along either axis that grows until
    both its ends are out of sight. Raises SrkitError where they never are.
    """
    probe = deepcopy(network).cpu().double().eval().requires_grad_(False)
    first, second = _parts(probe)
    generator = torch.Generator().manual_seed(0)
    random = partial(torch.rand, generator=generator, dtype=torch.float64)
    middle = 8
    while middle <= farthest:
        far = 0
        for axis in (2, 3):
            shape = (2, 2 * middle + 1) if axis == 3 else (2 * middle + 1, 2)
            lr = random(1, 3, *shape).requires_grad_()
            features = first(lr)
            seen = (lr,)
            if part == "enlarge":
                features = random(features.shape).requires_grad_()
                seen = (features, lr)
                features = second(features, lr)
            step = features.shape[axis] // (2 * middle + 1)
            own = features.narrow(axis, middle * step, step)
            grads = torch.autograd.grad((own * random(own.shape)).sum(), seen, allow_unused=True)
            for grad in filter(lambda grad: grad is not None, grads):
                places = grad.abs().amax([n for n in range(4) if n != axis]).nonzero()
                far = max(far, *((places - middle).abs().flatten().tolist() or [0]), 0)
        if far < middle:
            return far
        middle *= 2
    raise SrkitError(
        f"this {type(network).__name__} looks at the whole picture (instance norm does), so it cannot work in tiles: "
        "give it a smaller picture, or another network."
    )


def _parts(network: nn.Module) -> tuple[Callable, Callable]:
    if hasattr(network, "features") and hasattr(network, "enlarge"):
        return network.features, network.enlarge
    return (lambda lr: lr), (lambda features, lr: network(lr))


def _side(parts: tuple[Callable, Callable], number: int, most: int, device: str) -> int:
    return 128 if number else 512


def _by_halves(work: Callable[[Box], None], box: Box, side: int) -> int:
    """Do `work` on squares of `side` that fill a box; halve the side when memory runs out. Returns the side that went."""
    todo = _cut(box, side)
    while todo:
        try:
            work(todo[0])
            todo.pop(0)
            continue
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if side <= 8:
                raise SrkitError("memory does not suffice even for tiles of 8 pixels: close other programs.") from error
        side = ceil(side / 2)
        todo = [smaller for larger in todo for smaller in _cut(larger, side)]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return side


def _out_of_memory(error: Exception) -> bool:
    words = ("out of memory", "not enough memory", "can't allocate")
    return isinstance(error, MemoryError) or any(each in str(error) for each in words)


def _cut(box: Box, side: int) -> list[Box]:
    """Boxes of about equal size, none wider or higher than `side`, that fill a box."""
    rows, columns = (_edges(box[n], box[n + 2], side) for n in (0, 1))
    return [(y, x, down, right) for y, down in rows for x, right in columns]


def _edges(start: int, stop: int, side: int) -> list[tuple[int, int]]:
    pieces = ceil((stop - start) / side)
    edges = [start + (stop - start) * n // pieces for n in range(pieces + 1)]
    return list(zip(edges, edges[1:], strict=False))


def _grown(box: Box, margin: int, within: Box) -> Box:
    low, high = (max(box[n] - margin, within[n]) for n in (0, 1)), (min(box[n] + margin, within[n]) for n in (2, 3))
    return (*low, *high)


def _slices(box: Box, origin: Box = (0, 0, 0, 0)) -> tuple[slice, slice]:
    return slice(box[0] - origin[0], box[2] - origin[0]), slice(box[1] - origin[1], box[3] - origin[1])


def _tensor(pixels: np.ndarray, device: str) -> Tensor:
    """(H, W, C) of whole numbers to (1, C, H, W) float32 in [0, 1]."""
    top = np.iinfo(pixels.dtype).max
    return torch.from_numpy(pixels.astype(np.float32)).to(device).permute(2, 0, 1)[None].contiguous() / top


def _levels(sr: Tensor, kind: np.dtype) -> np.ndarray:
    """(1, C, H, W) float to (H, W, C) of whole numbers, clipped and rounded."""
    if not sr.isfinite().all():
        raise SrkitError("the network's answer is not a number everywhere: its weights are damaged.")
    top = np.iinfo(kind).max
    return (sr[0].float().clamp(0, 1) * top).round().permute(1, 2, 0).cpu().numpy().astype(kind)
