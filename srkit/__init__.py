"""srkit: a course and thesis kit for single-image super-resolution with GANs.

Each notebook's number and name lead to a module: 01_dataset to srkit.dataset, 02_generator to srkit.generator ...
"""

import os
from importlib import import_module

__version__ = "0.2.0"

# Threads that wait for each other sleep rather than spin, which on cores that others use too halves the time of a step.
# Each system's OpenMP has its own word, and reads it when torch is imported. What the user has set stays.
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
if not _WAITING.keys() & os.environ.keys():
    os.environ.update(_WAITING)

os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # what torch lacks on Apple's MPS is done on the CPU

_HOMES = {
    "load": "pretrained",
    "train": "training",
    "evaluate": "evaluation",
    "CompareSlider": "apps.slider",
    "upscale": "upscaling",
    "SrkitError": "files",
    "RECIPES": "recipes",
    "PROFILES": "profiles",
}


def __getattr__(name: str) -> object:
    """srkit.train and a few others, imported when first asked for, so that `import srkit` is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'srkit' has no attribute {name!r}")
    return getattr(import_module(f"srkit.{_HOMES[name]}"), name)
