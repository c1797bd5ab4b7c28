"""What `make mutants` makes of a source, and that its lists name what is there."""

import importlib.util
import tomllib

import pytest

mutating = pytest.importorskip("cosmic_ray.mutating", reason="needs the extra: pip install -e '.[mutants]'")


@pytest.fixture(scope="module")
def operators(project):
    place = importlib.util.spec_from_file_location("operators", project / "tests" / "mutants" / "operators.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module.OWN


@pytest.mark.parametrize(
    ("name", "source", "mutants"),
    [
        ("Numbers", "x = 2 * 0.5", ["x = 3 * 0.5", "x = 1 * 0.5", "x = 2 * 0.625", "x = 2 * 0.375"]),
        ("Numbers", "x = 0.0", ["x = 1.0", "x = -1.0"]),
        ("Names", "x.mean() + max(y, 1)", ["x.sum() + max(y, 1)", "x.mean() + min(y, 1)"]),
        ("Calls", "x.square().mean().detach()", ["x.mean().detach()", "x.square().mean()"]),
        ("Keywords", "f(1, a=2, b=3)", ["f(1, b=3)", "f(1, a=2)"]),
        ("Keywords", "f(a=2)", ["f()"]),
        ("Statements", "x = f()\nx.zero_()\nx |= 1\n", ["x = f()\npass\nx |= 1\n", "x = f()\nx.zero_()\npass\n"]),
    ],
)
def test_each_way_to_be_wrong_makes_these_mutants(operators, name, source, mutants):
    made = [mutating.mutate_code(source, operators[f"srkit/{name}"](), number) for number in range(len(mutants) + 1)]
    assert made == [*mutants, None]


def test_rooms_are_modules_with_tests_and_what_is_left_has_a_reason(project):
    folder = project / "tests" / "mutants"
    rooms, left = (tomllib.loads((folder / f"{name}.toml").read_text()) for name in ("rooms", "left"))
    for room, has in rooms.items():
        assert (project / "srkit" / f"{room}.py").exists()
        assert all((project / "tests" / name).exists() for name in has["tests"])
    assert left.keys() <= rooms.keys()
    assert all(each["why"] and each["left"] for groups in left.values() for each in groups)
