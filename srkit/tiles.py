"""Large pictures in little memory: the network in pieces, each seeing as far around itself as the network does."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache
from itertools import pairwise
from math import ceil, isqrt

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from srkit.device import Device, find_device, memory_is_full
from srkit.files import SrkitError
from srkit.resize import imresize
from srkit.wrappers import parts

Box = tuple[int, int, int, int]  # top, left, bottom, right, in LR pixels
MOST = 1 << 30, 1 << 27  # bytes for a block and for a tile; less where less is free
SMALLEST = 8  # side of a tile when memory runs out
FARTHEST = 1024  # LR pixels to one side: what sees further is taken to see the whole picture
BICUBIC_REACH, SHARPEN_REACH = 3, 3  # LR pixels; SR pixels


def enlarge_in_tiles(
    network: nn.Module,
    picture: np.ndarray,
    after: Sequence[Callable[[Tensor], Tensor]] = (),
    tile: int | None = None,
    block: int | None = None,
    device: str = "cpu",
    bar: Callable[[int], object] = lambda pixels: None,
    dtype: torch.dtype = torch.float32,
) -> np.ndarray:
    """(H, W, C) uint8 or uint16 to (scale H, scale W, C); C is 1, grey, to 4, RGBA.

    Blocks go through `network.features` at LR size, which is cheap in memory and sees far. Each is then enlarged by
    `network.enlarge` in tiles, which is dear and sees a few pixels. Either is padded by what that part of the network
    sees, so that all is as if done at once, to one grey level. Alpha is enlarged by bicubic: a network would make an
    even one uneven. A network that lacks the two methods is all `enlarge`.

    after: what sharpens the SR picture. tile, block: sides in LR pixels; by default as the free memory allows, and
    halved when it runs out. bar: is told how many LR pixels were done. dtype: of the network's convolutions; torch's
    autocast chooses what else is done in it.
    Raises SrkitError where the SR picture does not fit into memory, or a network that sees all of it would be cut.
    """
    height, width, channels = picture.shape
    scale, (features_of, enlarge) = network.scale, parts(network)
    whole, multiple = (0, 0, height, width), getattr(network, "multiple", 1)
    there = find_device(device)
    autocast = torch.autocast(there.kind, dtype, enabled=dtype != torch.float32)
    tile_margin = cache(
        lambda: max(BICUBIC_REACH, reach(network, "enlarge") + ceil(SHARPEN_REACH * len(after) / scale))
    )
    block_margin = cache(lambda: tile_margin() + reach(network, "features"))
    if not tile or not block:
        side, most = _sides(network, there)
        tile = tile or most
        fits = height * width <= side**2
        block = block or (max(height, width) if fits else max(side - 2 * block_margin(), block_margin(), SMALLEST))
    if picture.size * scale**2 * picture.itemsize > psutil.virtual_memory().available:
        raise SrkitError(
            f"{width * scale} x {height * scale} pixels are more than memory holds: choose a smaller scale."
        )
    sr = np.empty((height * scale, width * scale, channels), picture.dtype)

    def one_block(box: Box) -> None:
        nonlocal tile
        outer = whole if box == whole else _grown(box, block_margin(), whole, multiple)
        lr = _tensor(picture[_slices(outer)], device)  # (1, C, h, w)
        colours = (lr[:, :3] if channels > 2 else lr[:, :1]).expand(-1, 3, -1, -1)
        with autocast:
            features = features_of(colours)

        def one_tile(core: Box) -> None:
            seen = whole if core == whole else _grown(core, tile_margin(), outer, multiple)
            here = (..., *_slices(seen, outer))
            with autocast:
                answer = enlarge(features[here], colours[here])
            answer = answer.float()
            for sharpen in after:
                answer = sharpen(answer)
            answer = answer.mean(1, keepdim=True) if channels < 3 else answer
            if channels in (2, 4):
                answer = torch.cat([answer, imresize(lr[here][:, -1:], scale)], dim=1)
            inside = _slices(_times(core, scale), _times(seen, scale))
            sr[_slices(_times(core, scale))] = _levels(answer[(..., *inside)], picture.dtype)
            bar((core[2] - core[0]) * (core[3] - core[1]))

        tile = _by_halves(one_tile, box, tile, there)

    with torch.no_grad():
        _by_halves(one_block, whole, block, there)
    return sr


@torch.enable_grad()
def reach(network: nn.Module, part: str) -> int:
    """How many LR pixels to each side of its own a part of a network, "features" or "enlarge", sees.

    Measured by gradient, as receptive_field: on a copy in float64 and eval mode, over all SR pixels of one LR pixel, on
    strips along both axes that grow until their ends are out of sight. Beyond 64 pixels (23 RRDBs see 346), those are
    not counted whose share in the gradient, all together, is lost in float32's own rounding.
    Raises SrkitError where the ends stay in sight.
    """
    probe = deepcopy(network).cpu().double().eval().requires_grad_(False)
    features_of, enlarge = parts(probe)
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    multiple, thick = getattr(network, "multiple", 1), max(2, getattr(network, "least", 1))
    middle = max(SMALLEST, thick)
    while middle <= FARTHEST:
        far, lost = 0, 0 if middle <= 64 else torch.finfo(torch.float32).eps
        for axis in (2, 3):
            strip = (1, 3, *((thick, 2 * middle + 1) if axis == 3 else (2 * middle + 1, thick)))
            inputs = [random(*strip).requires_grad_()]
            answer = features_of(*inputs)
            if part == "enlarge":
                inputs = [random(*answer.shape).requires_grad_(), *inputs]
                answer = enlarge(*inputs)
            step = answer.shape[axis] // (2 * middle + 1)
            own = answer.narrow(axis, middle * step, step)
            grads = torch.autograd.grad((own * random(*own.shape)).sum(), inputs, materialize_grads=True)
            distance = (torch.arange(2 * middle + 1) - middle).abs()
            for grad in grads:
                share = grad.abs().sum([n for n in range(4) if n != axis])
                share = torch.zeros(middle + 1, dtype=torch.float64).index_add(0, distance, share)
                beyond = share.flip(0).cumsum(0).flip(0)  # [d]: of all pixels at distance d or more
                far = max(far, int((beyond > lost * beyond[0]).sum()) - 1)
        if far < middle:
            return far + multiple - 1  # at most so much more for pixels at another place of a step
        middle *= 2
    raise SrkitError(
        f"this {type(network).__name__} looks at the whole picture, as with instance norm, and cannot work in tiles: "
        "take a smaller picture, or another network."
    )


@torch.no_grad()
def _sides(network: nn.Module, device: Device) -> list[int]:
    """Sides in LR pixels of the largest block and tile: three times the widest layer, in and out, may fit."""
    floats, (features_of, enlarge) = [0], parts(network)
    layers = [layer for layer in network.modules() if not list(layer.children())]
    hooks = [each.register_forward_hook(lambda _, x, y: floats.append(_numel(x) + _numel(y))) for each in layers]
    side = max(8, getattr(network, "least", 1))
    lr = torch.zeros(1, 3, side, side, device=device.name)
    features = features_of(lr)
    trunk, floats[:] = max(floats), [0]
    enlarge(features, lr)
    for hook in hooks:
        hook.remove()
    larger, free = 1 if device.kind == "cpu" else 8, device.free_memory()
    bytes_of = [4 * (3 * widest + features.numel()) / side**2 for widest in (trunk, max(floats))]  # of an LR pixel
    return [
        max(SMALLEST, isqrt(int(min(most * larger, free / 2) / each)))
        for most, each in zip(MOST, bytes_of, strict=True)
    ]


def _numel(value: object) -> int:
    """Of a tensor, or of all in a tuple."""
    return sum(map(_numel, value)) if isinstance(value, tuple) else getattr(value, "numel", lambda: 0)()


def _by_halves(work: Callable[[Box], None], box: Box, side: int, device: Device) -> int:
    """Do `work` on the squares of `side` that fill a box, halved when memory runs out. Returns the last side."""
    todo = _cut(box, side)
    while todo:
        try:
            work(todo[0])
            todo.pop(0)
            continue
        except (MemoryError, RuntimeError) as error:
            if not memory_is_full(error):
                raise
            if side <= SMALLEST:
                raise SrkitError("memory does not suffice for the smallest tile: close other programs.") from error
        side = ceil(side / 2)
        todo = [half for each in todo for half in _cut(each, side)]
        device.give_back()
    return side


def _cut(box: Box, side: int) -> list[Box]:
    """Boxes of about equal size, none wider or higher than `side`, that fill a box."""
    rows, columns = (_edges(box[n], box[n + 2], side) for n in (0, 1))
    return [(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def _edges(start: int, stop: int, side: int) -> list[tuple[int, int]]:
    pieces = ceil((stop - start) / side)
    return list(pairwise(start + (stop - start) * n // pieces for n in range(pieces + 1)))


def _grown(box: Box, margin: int, within: Box, multiple: int = 1) -> Box:
    """A box and what is seen around it; it begins at a multiple, so that what works in steps meets the same pixels."""
    top, left, bottom, right = box
    low = (max((low - margin) // multiple * multiple, edge) for low, edge in ((top, within[0]), (left, within[1])))
    return (*low, min(bottom + margin, within[2]), min(right + margin, within[3]))


def _times(box: Box, scale: int) -> Box:
    return tuple(scale * edge for edge in box)


def _slices(box: Box, origin: Box = (0, 0, 0, 0)) -> tuple[slice, slice]:
    """Rows and columns of a box within another."""
    return slice(box[0] - origin[0], box[2] - origin[0]), slice(box[1] - origin[1], box[3] - origin[1])


def _tensor(pixels: np.ndarray, device: str) -> Tensor:
    """(H, W, C) of whole numbers to (1, C, H, W) float32 in [0, 1]."""
    values = torch.from_numpy(pixels.astype(np.float32)) / np.iinfo(pixels.dtype).max
    return values.permute(2, 0, 1)[None].contiguous().to(device)


def _levels(sr: Tensor, kind: np.dtype) -> np.ndarray:
    """(1, C, H, W) float to (H, W, C) of whole numbers, clipped and rounded."""
    if not sr.isfinite().all():
        raise SrkitError("the network's answer is not a number everywhere: its weights are damaged.")
    levels = (sr[0].float().clamp(0, 1) * np.iinfo(kind).max).round()
    return levels.permute(1, 2, 0).cpu().numpy().astype(kind)
