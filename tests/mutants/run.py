"""Mutation testing of what notebooks 01 to 06 teach: does any test see a formula that is wrong?

    python tests/mutants/run.py [ROOM ...]      rooms.toml names the rooms, left.toml what may be left

cosmic-ray makes each mutant, a module of srkit with one small change, and keeps what became of it in
build/mutants/ROOM.sqlite (`cr-html` draws it). A mutant is found when a test of its room fails, or takes far too long.
It is tried in a fork of this process, which has torch and pandas imported already, and is given to Python in the place
of the file, so nothing on the disk changes. Stopped, it goes on where it was; a module that changed begins anew; those
that were left are tried again when the tests changed.
"""

import ast
import gc
import hashlib
import json
import math
import os
import signal
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import FrameType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "mutants"
os.environ |= {"SRKIT_SHARED": str(BUILD / "none"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"}
sys.path[:0] = [str(ROOT), str(HERE)]
sys.dont_write_bytecode = False

import pytest  # noqa: E402
from cosmic_ray.ast import ast_nodes, get_ast  # noqa: E402
from cosmic_ray.mutating import mutate_code  # noqa: E402
from cosmic_ray.operators.provider import OperatorProvider  # noqa: E402
from cosmic_ray.work_db import WorkDB, use_db  # noqa: E402
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult  # noqa: E402
from operators import CORE, OWN  # noqa: E402
from parso.tree import NodeOrLeaf  # noqa: E402

LONGEST = 1.5  # seconds of CPU: by default slower tests are not asked
OPERATORS = OWN | {f"core/{name}": OperatorProvider()[name] for name in CORE}


def warm_up() -> None:
    """Import what takes long and is not srkit's own, so that a fork has it."""
    import pandas  # noqa: F401
    import scipy.stats  # noqa: F401
    import skimage.metrics  # noqa: F401
    import torch
    import torchmetrics.image.lpip  # noqa: F401
    import torchvision.models  # noqa: F401

    torch.set_num_threads(1)
    gc.freeze()


class Tests:
    """A pytest plugin: the tests that call a function, the quickest first, and none that is slow.

    What each test costs in seconds of CPU, and the lines where the functions that it calls begin, are measured once and
    kept in a file. A test that the file does not know is asked always.
    """

    def __init__(self, file: Path, longest: float = math.inf, function: range | None = None):
        self.file, self.longest, self.function, self.calls = file, longest, function, set()
        self.known = json.loads(file.read_text()) if file.exists() else {}
        self.measured, self.shared = {}, set()

    def chosen(self, name: str) -> bool:
        cost, calls = self.known.get(name, (0.0, None))
        return cost <= self.longest and (not self.function or calls is None or any(n in self.function for n in calls))

    def pytest_collection_modifyitems(self, items: list) -> None:
        cost = {item: self.known.get(item.nodeid, (0.0,))[0] for item in items if self.chosen(item.nodeid)}
        items[:] = sorted(cost, key=cost.get)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        before, self.calls = sum(os.times()[:4]), set()
        done = yield
        self.measured[item.nodeid] = round(sum(os.times()[:4]) - before, 3), self.calls
        return done

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        done = yield
        self.shared |= self.calls  # by fixtures, which several tests may look at
        return done

    def watch(self, module: str) -> None:
        end = f"{module.replace('.', '/')}.py"

        def called(frame: FrameType, event: str, what: object) -> None:
            if frame.f_code.co_filename.endswith(end):
                self.calls.add(frame.f_code.co_firstlineno)

        threading.settrace(called)
        sys.settrace(called)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if not self.known and not exitstatus:
            each = {name: (cost, sorted(calls | self.shared)) for name, (cost, calls) in self.measured.items()}
            self.file.write_text(json.dumps(each))


def tried(module: str, source: str, tests: list[str], plugin: Tests, limit: float) -> bool:
    """Whether the tests see that `source` stands in the place of a module: True where one fails, or time runs out."""
    if child := os.fork():
        end = time.monotonic() + limit
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status) not in (0, 5)  # 5: no test calls that function
            time.sleep(0.02)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return True
    try:
        os.setsid()
        log = os.open(BUILD / "last.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        of_file = SourceFileLoader.get_code

        def code(loader: SourceFileLoader, name: str) -> object:
            return compile(source, loader.path, "exec") if name == module else of_file(loader, name)

        SourceFileLoader.get_code = code
        gc.disable()
        if not plugin.known:
            plugin.watch(module)
        quick = ["-p", "no:cacheprovider", "-p", "no:unraisableexception", "-p", "no:threadexception"]
        os._exit(pytest.main(["-x", "-q", *quick, *tests], [plugin]))
    finally:
        os._exit(70)


def annotation(node: NodeOrLeaf) -> bool:
    """Whether a part of a source is a type: none of it is a formula."""
    while node.parent:
        parent, before = node.parent, node.get_previous_sibling()
        if parent.type in ("tfpdef", "annassign", "funcdef") and before in (":", "->") and node.type != "suite":
            return True
        node = parent
    return False


def mutants(room: str, source: str) -> Iterator[WorkItem]:
    """All that can be made of a module."""
    tree = get_ast(source)
    for name, operator in OPERATORS.items():
        places = [(node, place) for node in ast_nodes(tree) for place in operator().mutation_positions(node)]
        for number, (node, (start, end)) in enumerate(places):
            if not annotation(node) and start < end:
                spec = MutationSpec(f"srkit/{room}.py", name, number, start, end)
                yield WorkItem.single(f"{name}-{number}", spec)


def change(source: str, mutated: str) -> str:
    """What differs, within some of its line: how a mutant is named, wherever in the file it is."""
    lines = zip(source.splitlines(), mutated.splitlines(), strict=False)
    old, new = next(((a.strip(), b.strip()) for a, b in lines if a != b), ("", ""))
    start = len(os.path.commonprefix([old, new]))  # noqa: RUF071
    rest = len(os.path.commonprefix([old[start:][::-1], new[start:][::-1]]))  # noqa: RUF071
    end = len(old) - rest
    return f"{old[max(0, start - 40) : start]}[{old[start:end]} ⇒ {new[start : len(new) - rest]}]{old[end:][:30]}"


def function_at(source: str, line: int) -> range | None:
    """The lines of the function or method that a line is in; None outside of all."""
    tree = ast.parse(source)
    bodies = [tree.body, *(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
    for node in (node for body in bodies for node in body if isinstance(node, ast.FunctionDef)):
        lines = range(min([node, *node.decorator_list], key=lambda part: part.lineno).lineno, node.end_lineno + 1)
        if line in lines:
            return lines
    return None


def fingerprint(paths: list[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def session(room: str, source: str) -> Path:
    """The file that keeps the results for this source, new where there is none."""
    file, mark = BUILD / f"{room}.sqlite", BUILD / f"{room}.txt"
    now = fingerprint([ROOT / "srkit" / f"{room}.py", HERE / "operators.py"])
    if not (file.exists() and mark.exists() and mark.read_text() == now):
        file.unlink(missing_ok=True)
        file.with_suffix(".json").unlink(missing_ok=True)
        with use_db(file) as database:
            database.add_work_items(mutants(room, source))
        mark.write_text(now)
    return file


def run(room: str, tests: list[str], longest: float) -> None:
    """Try what was not tried yet, and what was left when the tests were others."""
    source, paths = (ROOT / "srkit" / f"{room}.py").read_text(), [ROOT / "tests" / name for name in tests]
    BUILD.mkdir(parents=True, exist_ok=True)
    state, words = fingerprint(paths), [str(path) for path in paths]
    with use_db(session(room, source)) as database:
        done = dict(database.results)
        old = {job for job, result in done.items() if result.test_outcome == TestOutcome.SURVIVED}
        old = {job for job in old if done[job].output != state}
        items = [item for item in database.work_items if item.job_id in old or item.job_id not in done]

        def found(code: str, limit: float, *chosen: object) -> bool:
            return tried(f"srkit.{room}", code, words, Tests(BUILD / f"{room}.json", *chosen), limit)

        began = [time.monotonic()]
        for chosen in [(), (longest,)] if items else []:  # the first measures all
            if found(source, 3600, *chosen):
                sys.exit(f"{room}: its tests fail without any change: see {BUILD / 'last.log'}")
            began.append(time.monotonic())
        limit = 20 + 5 * (began[-1] - began[-2]) if items else 0
        for number, item in enumerate(items, 1):
            spec = item.mutations[0]
            mutated = mutate_code(source, OPERATORS[spec.operator_name](), spec.occurrence)
            seen = found(mutated, limit, longest, function_at(source, spec.start_pos[0]))
            outcome = TestOutcome.KILLED if seen else TestOutcome.SURVIVED
            line = change(source, mutated)
            database.set_result(item.job_id, WorkResult(WorkerOutcome.NORMAL, state, outcome, line))
            if not seen or number % 50 == 0:
                print(f"{room}: {number} of {len(items)}" + ("" if seen else f": left, {line}"), flush=True)
        summary(room, database)


def summary(room: str, database: WorkDB) -> None:
    """What was made, found and left; and what was left without a reason in left.toml, line by line."""
    why = {change for each in tomllib.loads((HERE / "left.toml").read_text()).get(room, []) for change in each["left"]}
    left = [r.diff for _, r in database.results if r.test_outcome == TestOutcome.SURVIVED]
    known = [line for line in left if line in why]
    print(
        f"{room}: {database.num_results} of {database.num_work_items} made, {database.num_results - len(left)} found, "
        f"{len(left)} left, {len(known)} of them with a reason"
    )
    for line in sorted({*left} - why):
        print(f"    {line}")


def main(rooms: list[str]) -> None:
    known = tomllib.loads((HERE / "rooms.toml").read_text())
    if wrong := [room for room in rooms if room not in known]:
        sys.exit(f"no room {wrong[0]}: choose of {', '.join(known)}")
    warm_up()
    for room in rooms or known:
        run(room, known[room]["tests"], known[room].get("longest", LONGEST))


if __name__ == "__main__":
    main(sys.argv[1:])
