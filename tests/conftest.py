"""What several tests need: material beside the project that is not part of it, found or skipped for with a reason."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import srkit  # noqa: F401 (before torch, for how its threads wait)

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's folder."""
    return PROJECT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Benchmark pictures and weights for measuring: the folder `shared` beside the project, or SRKIT_SHARED."""
    folder = Path(os.environ.get("SRKIT_SHARED", PROJECT.parent / "shared"))
    if not (folder / "benchmarks").is_dir():
        pytest.skip(f"needs benchmark pictures in {folder} (SRKIT_SHARED names another folder)")
    return folder


@pytest.fixture(scope="session")
def imagenet_home(shared, tmp_path_factory) -> Path:
    """A folder for TORCH_HOME that holds ImageNet weights (VGG19's are real up to conv3_4, NaN above)."""
    folder = tmp_path_factory.mktemp("torch_home")
    subprocess.run([sys.executable, shared / "weights" / "make_torch_home.py", folder], check=True)
    return folder


@pytest.fixture
def imagenet(imagenet_home, monkeypatch) -> Path:
    """Points TORCH_HOME at them for one test."""
    monkeypatch.setenv("TORCH_HOME", str(imagenet_home))
    return imagenet_home


@pytest.fixture(scope="module")
def one_thread():
    """One torch thread for a module's tests: networks this small are slower on two."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def forgetting():
    """Forgets the recipes of one's own that are named meanwhile, so that what comes next does not know them."""
    from srkit.recipes import OWN

    before = dict(OWN)
    yield
    OWN.clear()
    OWN.update(before)


after_each_test = pytest.fixture(autouse=True)(forgetting)
after_each_module = pytest.fixture(autouse=True, scope="module")(forgetting)  # what its own fixtures named


@pytest.fixture
def exact(monkeypatch):
    """As on a CPU that is not quick at bf16: whatever machine runs these tests."""
    monkeypatch.setattr("srkit.device.quick_bf16", lambda: False)
