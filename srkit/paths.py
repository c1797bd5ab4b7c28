"""Where things lie: the project, its data, and what a hosted notebook is given."""

import os
from pathlib import Path

from srkit.files import expanded


def home() -> Path:
    """The project's folder: the checkout that srkit is imported from, or else the current folder, or the one above it

    where that holds the course's notebooks/, so that a notebook and the command line agree.
    """
    places = (Path(__file__).resolve().parent.parent, Path.cwd(), Path.cwd().parent)
    return next((place for place in places if any(place.glob("notebooks/[0-9][0-9]_*.ipynb"))), Path.cwd())


def inputs() -> Path:
    """Where a hosted notebook finds, read-only, what is attached to it: /kaggle/input, or what SRKIT_INPUTS names."""
    return Path(os.environ.get("SRKIT_INPUTS", "/kaggle/input"))


def data_folder() -> Path:
    """The folder that takes data sets, one folder each: what SRKIT_DATA names, or the project's data/."""
    return expanded(os.environ.get("SRKIT_DATA") or home() / "data")
