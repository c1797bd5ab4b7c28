"""srkit: a course and thesis kit for single-image super-resolution with GANs.

Each notebook's number and name lead to a module: 01_dataset to srkit.dataset, 02_generator to srkit.generator ...
"""

from importlib import import_module

__version__ = "0.2.0"

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
