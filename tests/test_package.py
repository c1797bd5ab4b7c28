"""What importing srkit does, and what it leaves alone."""

import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

WORDS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def told(code: str, **more: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in WORDS} | more
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp is Linux's")
def test_openmp_itself_says_that_waiting_threads_sleep():
    """torch's own library prints what it has read."""
    said = told("import srkit, torch; torch.ones(9)", OMP_DISPLAY_ENV="VERBOSE")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in said
    assert "GOMP_SPINCOUNT = '1000'" in said


@pytest.mark.parametrize("word", WORDS)
def test_what_the_user_has_set_stays_alone(word):
    code = f"import os, srkit; print([os.environ.get(name) for name in {WORDS}])"
    assert told(code, **{word: "17"}).strip() == str(["17" if name == word else None for name in WORDS])


def test_importing_srkit_is_quick_and_imports_nothing_large():
    code = "import sys, srkit; print([name for name in ('torch', 'numpy', 'PIL', 'matplotlib') if name in sys.modules])"
    assert told(code).strip() == "[]"


@pytest.mark.parametrize("package", ["srkit", "srkit.course"])
def test_what_a_package_names_is_what_its_modules_hold(package):
    """By tab completion, too; a name of a module itself would hide it."""
    found = import_module(package)
    for module, names in found.MODULES.items():
        for name in names.split():
            assert getattr(found, name) is getattr(import_module(f"{package}.{module}"), name)
            assert name in dir(found)
            assert find_spec(f"{package}.{name}") is None
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        found.nothing  # noqa: B018
