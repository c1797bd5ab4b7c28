"""Run the notebooks in order, each in a fresh kernel, and check that each wrote what it promised."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from srkit.course.notebooks import Chapter, chapters, check_parameters, choose, plain_path, recipe_for
from srkit.files import SrkitError, expanded, writable
from srkit.paths import home
from srkit.progress import Progress


@dataclass(frozen=True)
class Done:
    """One notebook that ran to its end: seconds, peak memory of its kernel in MB, files written, executed copy."""

    notebook: str
    seconds: float
    peak_mb: float
    files: tuple[Path, ...]
    executed: Path


def run_course(
    profile: str = "smoke",
    recipe: str = "srgan",
    data: str = "starter",
    seed: int = 0,
    only: str | None = None,
    runs: Path | str | None = None,
    figures: Path | str | None = None,
    settings: dict[str, object] | None = None,
    notebooks: Path | str | None = None,
) -> list[Done]:
    """Run the notebooks, or those that `only` names ("03,05"), and return what each took and made.

    Executed copies go to `runs`/course-`profile`, figures to `figures`/`profile`; both folders default to the
    project's own. `settings` are further parameters by name, given to the notebooks that have them. Raises SrkitError
    before anything runs for what can be known then, and where a cell fails or a promised file is not new and filled.
    """
    from srkit.data.registry import several
    from srkit.data.sources import find_photographs
    from srkit.profiles import find_profile

    settings = settings or {}
    find_profile(profile)
    chosen = choose(chapters(notebooks), only)
    data = "+".join(map(_whole, several(data)))
    find_photographs(data)
    runs = expanded(runs or home() / "runs").resolve()
    figures = expanded(figures or home() / "figures").resolve()
    given = {"PROFILE": profile, "DATA": data, "SEED": seed, "RUNS": str(runs), "FIGURES": str(figures)}
    known = {name for chapter in chosen for name in chapter.parameters}
    if unknown := sorted(settings.keys() - known):
        raise SrkitError(f"No notebook has a parameter {', '.join(unknown)}: they know {', '.join(sorted(known))}.")
    taken = {}
    for chapter in chosen:
        own = {name: value for name, value in settings.items() if name in chapter.parameters}
        taken[chapter.name] = given | {"RECIPE": recipe_for(chapter, recipe)} | own
        check_parameters(chapter, taken[chapter.name])
    executed = writable(runs / f"course-{profile}", "choose another folder with --runs")
    drawn = writable(figures / profile, "choose another folder with --figures")
    for chapter in chosen:
        (executed / chapter.path.name).unlink(missing_ok=True)

    done = []
    with Progress(sum(chapter.code_cells + 1 for chapter in chosen), f"course, {profile} profile") as bar:
        for chapter in chosen:
            copy = executed / chapter.path.name
            done.append(_run(chapter, taken[chapter.name], copy, drawn, lambda name=chapter.name: bar.update(1, name)))
    return done


def _whole(name: str) -> str:
    """A data set's name as it is, and a folder's from the root: a notebook's own folder is another."""
    folder = expanded(name)
    return str(folder.resolve()) if name != "starter" and folder.is_dir() else name


def _run(chapter: Chapter, parameters: dict, copy: Path, drawn: Path, cell_ends: Callable[[], None]) -> Done:
    """Execute one notebook into `copy`, and check its files in the folder `drawn`."""
    import nbclient.exceptions
    import papermill

    from srkit.stopping import stop_asked  # slow to import, and not needed to grade

    promised = chapter.files(drawn)
    before = {path: _stamp(path) for path in promised}
    kernels, now, as_far = [], {}, f"the notebook as far as it came: {copy}"

    def begins(cell: dict, cell_index: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt(f"stopped in {chapter.name}; {as_far}")
        now["cell"] = cell

    start = time.monotonic()
    try:
        with _peak_memory(kernels) as peak, stop_asked(lambda: _interrupt(kernels)) as stop:
            papermill.execute_notebook(
                plain_path(chapter.path),
                plain_path(copy),
                parameters=parameters,
                kernel_name="python3",
                language="python",
                kernel_manager_class=own_kernel(kernels),
                cwd=chapter.path.parent,
                progress_bar=False,
                on_cell_start=begins,
                on_cell_complete=lambda cell, cell_index: cell_ends(),
            )
    except papermill.PapermillExecutionError as error:
        if stop.is_set():
            said = f": {error.evalue}" if error.ename == "Interrupted" else ""  # training says how to go on
            raise KeyboardInterrupt(f"stopped in {chapter.name}{said}; {as_far}") from error
        message = error.evalue if error.ename == "SrkitError" else f"{error.ename}: {error.evalue}"
        raise SrkitError(_stopped(chapter, f"cell [{error.exec_count}]", error.source, message, copy)) from error
    except (nbclient.exceptions.DeadKernelError, RuntimeError) as error:
        message = f"the kernel died ({error}); the usual reason is that memory ran out"
        raise SrkitError(_stopped(chapter, "cell", now.get("cell", {}).get("source", ""), message, copy)) from error
    for path in promised:
        stamp = _stamp(path)
        if stamp is None or stamp == before[path] or stamp[-1] == 0:
            fault = "did not write" if stamp is None else "left as it was" if stamp == before[path] else "left empty"
            promise = f"{path}, which its WRITES promises"
            raise SrkitError(f"{chapter.name} ran to its end but {fault} {promise}: see {copy}.")
    return Done(chapter.name, time.monotonic() - start, peak[0] / 1e6, tuple(promised), copy)


def _stopped(chapter: Chapter, cell: str, source: str, message: str, copy: Path) -> str:
    first = next((line.strip() for line in source.splitlines() if line.strip()), "its first line")
    where = f"{chapter.name} stopped in {cell}, which begins `{first}`"
    return f"{where}\n{message}\nThe notebook as far as it came: {copy}"


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written again; None where there is no file. Clocks are not compared."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_size


def own_kernel(started: list) -> type:
    """A kernel manager for this very interpreter, whatever kernels the machine has; adds itself to `started`."""
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class OwnKernel(AsyncKernelManager):
        def __init__(self, *args: object, **kwargs: object):
            super().__init__(*args, **kwargs)
            started.append(self)

        @property
        def kernel_spec(self) -> KernelSpec:
            package = str(Path(__file__).resolve().parents[2])
            paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
            env = {"PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
            command = get_kernel_dict(["--log-level=ERROR"], ["-Xfrozen_modules=off"])
            return KernelSpec(name="python3", env=env, **command)

    return OwnKernel


def _interrupt(kernels: list) -> None:
    """Hand a stop on to the kernel, whose cell can then tidy up; on Windows Ctrl-C is sent to it as well."""
    for pid in _pids(kernels) if os.name == "posix" else ():
        os.kill(pid, signal.SIGINT)


@contextmanager
def _peak_memory(kernels: list) -> Iterator[list[int]]:
    """Watches the resident memory of kernels and of what they start; its most, in bytes, is the list's one number."""
    import psutil

    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.25):
            with suppress(psutil.Error):
                kernel = [psutil.Process(pid) for pid in _pids(kernels)]
                whole = [*kernel, *(child for each in kernel for child in each.children(recursive=True))]
                peak[0] = max(peak[0], sum(process.memory_info().rss for process in whole))

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield peak
    finally:
        over.set()


def _pids(kernels: list) -> list[int]:
    return [pid for kernel in kernels if (pid := getattr(kernel.provisioner, "pid", None))]
