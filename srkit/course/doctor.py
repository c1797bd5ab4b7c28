"""Is this machine ready? Each check is tried for real and answered in words."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from srkit.files import CannotWrite, SrkitError, writable
from srkit.paths import home

if TYPE_CHECKING:
    import pandas as pd

OK, WARN, FAIL = "OK", "WARN", "FAIL"
WEIGHTS_WAYS = (
    "connect to the network once, so that torchvision fetches them; or point TORCH_HOME at a folder that has them; "
    'or train with perceptual_weights="random" (smoke does so by itself)'
)


def doctor() -> "pd.DataFrame":
    """One row a check: state (OK, WARN or FAIL), check, found, do (empty where nothing is to be done)."""
    import pandas as pd

    return pd.DataFrame(_checks(), columns=["state", "check", "found", "do"])


def _checks() -> Iterator[tuple[str, str, str, str]]:
    recent = sys.version_info >= (3, 11)
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield OK if recent else FAIL, "Python", found, "" if recent else "install Python 3.11 or newer"
    missing = missing_packages()
    found = f"{len(missing)} missing: {', '.join(missing)}" if missing else "all that srkit needs are here"
    yield FAIL if missing else OK, "packages", found, f"run: pip install {' '.join(missing)}" if missing else ""
    try:
        import torch
        import torchvision
    except (ImportError, RuntimeError, OSError) as error:
        yield FAIL, "torch", _line(error), "install torch and torchvision from one and the same place"
    else:
        yield OK, "torch", f"torch {torch.__version__}, torchvision {torchvision.__version__}", ""
        yield from _devices()
        yield _starter_set()
        yield _weights()
    yield from _resources()
    yield _folder("runs", "give another folder with --runs")
    yield _folder("figures", "give another folder with --figures")
    yield _kernel()


def missing_packages() -> list[str]:
    """Names of the packages that srkit needs and this Python lacks, as after an installation without dependencies."""
    try:
        needed = [re.match(r"[\w.-]+", line)[0] for line in requires("srkit") or [] if "extra ==" not in line]
    except PackageNotFoundError:  # srkit itself is read from a folder
        return []
    here = {re.sub("[-_.]+", "-", each.name or "").lower() for each in distributions()}
    return [name for name in needed if re.sub("[-_.]+", "-", name).lower() not in here]


def _devices() -> Iterator[tuple[str, str, str, str]]:
    """A convolution and its gradient on every device there is; `is_available()` alone can promise too much."""
    import torch

    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    others = cuda + (["mps"] if torch.backends.mps.is_available() else [])
    for device in ["cpu", *others]:
        try:
            image = torch.rand(1, 3, 16, 16, device=device, requires_grad=True)
            torch.nn.Conv2d(3, 8, 3, device=device)(image).square().mean().backward()
            works = bool(image.grad.isfinite().all()) and bool(image.grad.any())
            what = "convolution and gradient computed" if works else "a gradient came out wrong"
        except (RuntimeError, NotImplementedError, AssertionError) as error:
            works, what = False, _line(error)
        name = f" ({torch.cuda.get_device_name(device)})" if device in cuda else ""
        do = "" if works else _too_old(device) if device in cuda else 'train with device="cpu"'
        yield OK if works else FAIL, "device", f"{device}{name}: {what}", do
    if cuda:
        more = "; torchrun trains on all of them, see notebook 05" * (len(cuda) > 1)
        yield OK, "GPU", f"{len(cuda)} by CUDA {torch.version.cuda}{more}", ""
    elif not others:
        yield OK, "GPU", "none, and none is needed for the smoke and laptop profiles", ""


def _too_old(device: str) -> str:
    """Why a GPU that is there does not compute: most often this torch holds no code for one so old, such as a P100."""
    import torch

    made_for = sorted(int(name[3:].rstrip("af")) for name in torch.cuda.get_arch_list() if name.startswith("sm_"))
    major, minor = torch.cuda.get_device_capability(device)
    if not made_for or 10 * major + minor >= made_for[0]:
        return 'try again in a fresh session; until then train with device="cpu"'
    return (
        f"this torch is made for sm_{made_for[0]} and newer, and this GPU is an sm_{major}{minor}: on Kaggle choose "
        'the accelerator "GPU T4 x2" in place of a P100; elsewhere install an older torch, or train with device="cpu"'
    )


def _starter_set() -> tuple[str, str, str, str]:
    from srkit.data.sources import find_photographs
    from srkit.dataset import decode

    try:
        photographs = find_photographs("starter")
        decode(photographs.valid[:1])
    except (SrkitError, OSError) as error:
        return FAIL, "starter set", _line(error), "install scikit-image again: its data folder holds the photographs"
    found = f"{len(photographs.train)} photographs to train, {len(photographs.valid)} to validate"
    return OK, "starter set", found, ""


def _weights() -> tuple[str, str, str, str]:
    import torch
    from torchvision.models import VGG19_Weights

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = folder / VGG19_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    if file.is_file():
        return OK, "VGG weights", str(file), ""
    return WARN, "VGG weights", f"not in {folder}", WEIGHTS_WAYS


def _resources() -> Iterator[tuple[str, str, str, str]]:
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield OK if cores > 1 else WARN, "cores", str(cores), "" if cores > 1 else "everything takes about twice as long"
    memory = psutil.virtual_memory().available / 1e9
    do = "" if memory >= 4 else "close other programs: the course takes up to 4 GB"
    yield WARN if do else OK, "free memory", f"{memory:.1f} GB", do
    disk = shutil.disk_usage(home()).free / 1e9
    do = "" if disk >= 2 else "make room: runs and figures of the course take up to 2 GB"
    yield WARN if do else OK, "free disk", f"{disk:.1f} GB", do


def _folder(name: str, do: str) -> tuple[str, str, str, str]:
    """Can files be made in the project's folder of that name? Where it is missing, it is its parent that counts."""
    folder = home() / name
    try:
        writable(folder if folder.exists() else folder.parent, do)
    except CannotWrite as error:
        return FAIL, f"{name}/", f"{folder}: {error.reason.strerror}", do
    return OK, f"{name}/", f"{folder} can be written", ""


def _kernel() -> tuple[str, str, str, str]:
    command = [sys.executable, "-m", "ipykernel_launcher", "--version"]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode == 0:
        return OK, "Jupyter kernel", f"ipykernel {version('ipykernel')} in {sys.executable}", ""
    last = (answer.stderr.strip().splitlines() or ["no answer"])[-1]
    return FAIL, "Jupyter kernel", last, f"run: {sys.executable} -m pip install ipykernel"


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
