"""The examples in docstrings say what comes of them."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import srkit

HOUSE = Path(srkit.__file__).parent
FILES = [path.relative_to(HOUSE.parent).with_suffix("") for path in HOUSE.rglob("*.py") if ">>> " in path.read_text()]


@pytest.mark.parametrize("name", [".".join(path.parts) for path in sorted(FILES)])
def test_the_examples_of_a_module_hold(name):
    found = doctest.testmod(import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
