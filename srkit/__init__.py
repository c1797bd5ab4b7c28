"""srkit: a course and thesis kit for single-image super-resolution with GANs.

Each notebook's number and name lead to a module: 01_dataset to srkit.dataset, 02_generator to srkit.generator ...
"""

import os
from collections.abc import Callable
from importlib import import_module

__version__ = "0.2.0"

# Threads that wait for each other sleep rather than spin, which on cores that others use too halves the time of a step.
# Each system's OpenMP has its own word, and reads it when torch is imported. What the user has set stays.
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
if not _WAITING.keys() & os.environ.keys():
    os.environ.update(_WAITING)

os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # what torch lacks on Apple's MPS is done on the CPU


def from_modules(package: str, modules: dict[str, str]) -> tuple[Callable, Callable]:
    """The __getattr__ and __dir__ of a package that names what its modules hold, so that importing it stays quick.

    modules: by module, the names that are imported from it when they are first asked for.
    """
    homes = {name: module for module, names in modules.items() for name in names.split()}

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return get, lambda: sorted({*homes, *vars(import_module(package))})


MODULES = {  # what the notebooks call srkit.NAME
    "paths": "home",
    "files": "SrkitError",
    "images": "crop_at crop_to_multiple luma read_image to_image to_tensor",
    "resize": "imresize",
    "degradations": "BICUBIC Bicubic quantise",
    "generator": "count_parameters interpolate sharpen",
    "discriminator": "frozen",
    "features": "IMAGENET_MEAN IMAGENET_STD vgg_index",
    "losses": "Adversarial Wasserstein gradient_penalty slope_between",
    "recipes": "RECIPES find_recipe",
    "profiles": "PROFILES find_profile fit",
    "data.audit": "report",
    "data.sources": "find_images find_photographs",
    "dataset": "Patches checked_validation decode middle",
    "steps": "Learner gradient_shares learning_rate",
    "runs": "Run find_runs",
    "health": "in_words",
    "training": "train",
    "pretrained": "find_systems load shipped",
    "upscaling": "upscale",
    "metrics": "lpips_judge",
    "no_reference": "niqe",
    "high_order": "crisp",
    "evaluation": "enlarge evaluate lr_of psnr_y super_resolve",
    "figures": "LiveCurves WIDTH busiest chart_over_row compare loss_curves save_figure show_grid show_row",
    "comparison": "score_dots",
    "apps.slider": "CompareSlider",
}
__getattr__, __dir__ = from_modules(__name__, MODULES)
