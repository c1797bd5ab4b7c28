"""Several processes that train one run together, started by torchrun: who is who, and what they share.

Every process keeps the same weights and draws the same batch, takes its own part of it, and the gradients are averaged
(which, unlike PyTorch's wrapper, needs no care with a gradient penalty or a network that is frozen for a while).
"""

import atexit
import os
from collections.abc import Mapping
from importlib import import_module

import torch
import torch.distributed as dist
from torch import nn

from srkit.files import SrkitError


def begin(batch: int, device: str | None = None) -> str | None:
    """Join the others where torchrun started this process; the device that is this one's. Does nothing elsewhere."""
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        return device
    if batch % count:
        raise SrkitError(
            f"a batch of {batch} is not divisible by {count} processes: use --batch {-(-batch // count) * count}."
        )
    local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count() if device != "cpu" else 0
    if gpus and int(os.environ["LOCAL_WORLD_SIZE"]) > gpus:
        raise SrkitError(f"{os.environ['LOCAL_WORLD_SIZE']} processes share {gpus} GPUs: use --nproc_per_node={gpus}.")
    if gpus:
        torch.cuda.set_device(local)
    if not dist.is_initialized():  # what lies on the CPU goes by gloo, and so no GPU is waited for
        import_module("torch.distributed.nn")  # imported later, its default arguments would hold the group to the end
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpus and dist.is_nccl_available() else "gloo")
        atexit.register(_leave)
    return f"cuda:{local}" if gpus else "cpu"


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is; 0 is the one that writes."""
    return dist.get_rank() if world() > 1 else 0


def alike(network: nn.Module) -> nn.Module:
    """The network, with the first process's weights in each: one's own layers may begin by other dice than torch's."""
    for value in network.state_dict().values() if world() > 1 else ():
        first = value.contiguous()  # a collective takes no channels last
        dist.broadcast(first, 0)
        value.copy_(first)
    return network


def mean_gradients(network: nn.Module) -> None:
    """Give every process the mean of all their gradients."""
    if world() > 1:
        slopes = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([slope.flatten() for slope in slopes])
        dist.all_reduce(flat)
        for slope, mean in zip(slopes, flat.div_(world()).split([s.numel() for s in slopes]), strict=True):
            slope.copy_(mean.view(slope.shape))


def mean(values: Mapping[str, torch.Tensor], device: torch.device) -> dict[str, float]:
    """Numbers to log, each the mean over the processes."""
    together = torch.stack([torch.as_tensor(v, dtype=torch.float32, device=device) for v in values.values()])
    if world() > 1:
        dist.all_reduce(together)
    return dict(zip(values, (together / world()).tolist(), strict=True))


def any_of(asked: bool) -> bool:
    """Whether one process at least asks; all wait here for the last one. By way of the CPU it takes a part of a ms."""
    if world() == 1:
        return asked
    flag = torch.tensor(float(asked))
    dist.all_reduce(flag)
    return bool(flag)


def require_same_step(step: int) -> None:
    """Raise SrkitError, in every process, where not all are at one step: as where they do not see one run's folder."""
    if world() > 1:
        steps = torch.zeros(world(), dtype=torch.int64)
        steps[rank()] = step
        dist.all_reduce(steps)
        if len(steps.unique()) > 1:
            at = ", ".join(map(str, steps.tolist()))
            raise SrkitError(f"the processes begin at steps {at}: name a folder by --runs that all of them share.")
