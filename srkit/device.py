"""Where networks are computed, CUDA, then Apple's MPS, then the CPU, and what each of them can.

What torch lacks on MPS it computes on the CPU instead, by PYTORCH_ENABLE_MPS_FALLBACK, which importing srkit sets; and
float64, which MPS has not, is asked of the CPU alone. No Mac has run this: the tests describe one to it.
"""

import platform
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil
import torch
from torch import Tensor

from srkit.files import SrkitError

REFUSALS = (RuntimeError, AssertionError, NotImplementedError)  # torch's ways to say that there is no such device
FULL = ("out of memory", "not enough memory", "allocate memory", "ALLOC_FAILED")  # and that a memory is full


@dataclass(frozen=True)
class Device:
    """A device that works, and what it can.

    name: torch's, as "cpu", "cuda:1" or "mps". title: what a record calls it. precision: what training takes by
    default, "fp32", or the 16 bits that a GPU is quick at. inference: the same of enlarging 8-bit pictures. queued:
    whether it works on while Python goes ahead, and Adam skips a step that is not finite without being waited for.
    """

    name: str
    title: str
    precision: str = "fp32"
    inference: str = "fp32"
    queued: bool = False

    @property
    def kind(self) -> str:
        """Torch's word without the number: "cpu", "cuda" or "mps"."""
        return torch.device(self.name).type

    def free_memory(self) -> int:
        """Bytes that can be had now, with what torch keeps unused; on MPS of what Apple recommends to use at most."""
        if self.kind == "cuda":
            kept = torch.cuda.memory_reserved(self.name) - torch.cuda.memory_allocated(self.name)
            return torch.cuda.mem_get_info(self.name)[0] + kept
        if self.kind == "mps":
            return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
        return psutil.virtual_memory().available

    def used_memory(self) -> str:
        """How much of its memory this process has used, in words."""
        if self.kind == "cuda":
            used, whole = torch.cuda.max_memory_allocated(self.name), torch.cuda.mem_get_info(self.name)[1]
            return f"at most {used / 1e9:.1f} of the GPU's {whole / 1e9:.1f} GB were in use by this run"
        used, whole = psutil.Process().memory_info().rss, psutil.virtual_memory()
        free = f"{whole.available / 1e9:.1f} of {whole.total / 1e9:.1f} GB free"
        return f"{used / 1e9:.1f} GB in use by this run, {free}"

    def give_back(self) -> None:
        """Return what torch holds of a GPU's memory and does not use."""
        if self.kind != "cpu":
            getattr(torch, self.kind).empty_cache()

    def random_state(self) -> Tensor | None:
        """The state of its own random numbers, for a checkpoint; None on the CPU, whose state is torch's."""
        if self.kind == "cuda":
            return torch.cuda.get_rng_state(self.name)
        return torch.mps.get_rng_state() if self.kind == "mps" else None

    def set_random_state(self, state: Tensor) -> None:
        """Go on with random numbers from a state that a device of this kind had."""
        if self.kind == "cuda":
            torch.cuda.set_rng_state(state, self.name)
        elif self.kind == "mps":
            torch.mps.set_rng_state(state)


def find_device(name: str | torch.device | None = None) -> Device:
    """The device of a name, or the best there is: a GPU of CUDA, of MPS, or the CPU.

    Each is tried: a GPU that is too old for this torch is there, and computes nothing. Where none was named, such a one
    is left out, with a warning. Raises SrkitError where the one that was named is not to be had.
    """
    if name is not None:
        try:
            return _tried(str(name))
        except REFUSALS as error:
            raise SrkitError(f"device {str(name)!r} is not to be had here: choose cpu, or see srkit doctor.") from error
    for kind, here in (("cuda", torch.cuda.is_available), ("mps", torch.backends.mps.is_available)):
        try:
            if here():
                return _tried(kind)
        except REFUSALS as error:
            words = str(error).partition("\n")[0]
            warnings.warn(f"{kind} is there and does not work, so the CPU is used ({words}).", stacklevel=2)
    return _tried("cpu")


def memory_is_full(error: Exception) -> bool:
    """Whether an error says so, of a GPU or of the machine; torch has a class of its own for one way of several."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in FULL)


def _tried(name: str) -> Device:
    torch.zeros(1, device=name).add(1).item()  # on meta there is no number to read
    kind = torch.device(name).type
    if kind == "cuda":  # before Ampere, as on a T4, bfloat16 is only emulated
        half = "bf16" if torch.cuda.get_device_capability(name)[0] >= 8 else "fp16"
        return Device(name, torch.cuda.get_device_name(name), precision=half, queued=True)
    if kind == "cpu":
        return Device(name, platform.processor() or "cpu", inference="bf16" if quick_bf16() else "fp32")
    return Device(name, "Apple's MPS" if kind == "mps" else kind)


@cache
def quick_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 by itself (AVX512-BF16, AMX); others take twice as long as for float32."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        told = str([name for name, has in getattr(torch.cpu, "get_capabilities", dict)().items() if has is True])
    return "avx512_bf16" in told or "amx_bf16" in told
