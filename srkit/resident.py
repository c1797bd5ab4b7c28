"""The photographs of a small set copied to the GPU once, and batches cut from them there."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from srkit.dataset import Patches, dihedral
from srkit.device import find_device

SHARE = 0.4  # of the GPU's free memory that pictures may take


def fits(patches: Patches, device: torch.device) -> bool:
    """Whether all HR and LR pictures can lie on a GPU and leave it room to train; fresh LR cannot, a CPU makes it."""
    needed = sum(image.nbytes for image in (*patches.hr, *patches.lr))
    return device.type == "cuda" and not patches.fresh and needed < SHARE * find_device(device).free_memory()


class ResidentPatches:
    """The batches of `patches`, to the last bit, from its pictures copied to `device` once."""

    def __init__(self, patches: Patches, device: torch.device | str):
        self.patches, self.device = patches, torch.device(device)
        self.lr, self.hr = (Pictures(images, self.device) for images in (patches.lr, patches.hr))

    def batch(self, step: int, size: int, part: tuple[int, int] = (0, 1)) -> tuple[Tensor, Tensor]:
        """As Patches.batch, on the device: (size, 3, h, w) and (size, 3, scale h, scale w) in [0, 1]."""
        scale, crop = self.patches.scale, self.patches.crop
        which, where, turns = self.patches.drawn(step, size, part)
        plan = torch.from_numpy(np.column_stack([which, where, turns])).to(self.device, non_blocking=True)
        which, corner, turns = plan[:, 0], plan[:, 1:3], plan[:, 3]
        return self.lr.cut(which, corner, turns, crop // scale), self.hr.cut(which, corner * scale, turns, crop)


class Pictures:
    """uint8 pictures (H, W, 3) of many sizes, end to end in one tensor."""

    def __init__(self, images: Sequence[np.ndarray], device: torch.device):
        self.pixels = torch.empty(sum(image.size for image in images) // 3, 3, dtype=torch.uint8, device=device)
        starts = np.cumsum([0, *(image.size // 3 for image in images)])
        for start, image in zip(starts, images, strict=False):
            flat = torch.from_numpy(np.ascontiguousarray(image)).reshape(-1, 3)
            self.pixels[start : start + len(flat)] = flat.to(device)
        self.starts = torch.as_tensor(starts[:-1], device=device)
        self.widths = torch.tensor([image.shape[1] for image in images], device=device)
        self.turned: dict[int, Tensor] = {}  # by the side of a square: where each pixel of its eight turns comes from

    def cut(self, which: Tensor, corner: Tensor, turns: Tensor, size: int) -> Tensor:
        """Turned squares (n, 3, size, size) in [0, 1]; which, turns (n,), corner (n, 2): see Patches.drawn."""
        if size not in self.turned:
            upright = np.arange(size * size).reshape(size, size)
            eight = np.stack([dihedral(upright, turn) for turn in range(8)])
            self.turned[size] = torch.from_numpy(eight).to(self.pixels.device)
        source = self.turned[size][turns]  # (n, size, size)
        top, left = (corner[:, side, None, None] for side in (0, 1))
        rows, columns = top + source // size, left + source % size
        place = self.starts[which][:, None, None] + rows * self.widths[which][:, None, None] + columns
        return self.pixels[place].permute(0, 3, 1, 2).float().div_(255)
