"""Checks of the notebooks' exercises: a right answer is told why, a wrong one gets a hint, and no answer is printed.

What is asked stands in the notebooks; answers, reasons and hints in exercises.toml; what functions are tried with in
`srkit.course.tasks`.
"""

import tomllib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from srkit.files import SrkitError

OPEN = "Not answered yet: replace the ... and run the cell again."


class Unsolved(SrkitError):
    """An exercise that is not solved. In a notebook its sentence stands alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@dataclass(frozen=True)
class Exercise:
    """What is known of an exercise: why the answer is right, a hint, and a hint for each usual mistake.

    right: a number (within: how far off it may be), a word or a list of numbers; None where a function is asked for.
    """

    why: str
    hint: str
    right: object = None
    within: float = 1e-6
    mistakes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A coding exercise: `inputs` draws arguments; `right` and the `mistakes` answer as a student's function does.

    outcome: the numbers that are compared, of a function and its arguments; by default what it returns.
    within: how far off they may be, absolutely.
    """

    inputs: Callable[[], tuple]
    right: Callable
    mistakes: dict[str, Callable]
    outcome: Callable = lambda function, *arguments: function(*arguments)
    within: float = 1e-5


@cache
def exercises() -> dict[str, Exercise]:
    """All exercises of the course by name."""
    table = tomllib.loads(files("srkit.course").joinpath("exercises.toml").read_text(encoding="utf-8"))
    return {name: Exercise(**entry) for name, entry in table.items()}


def check(name: str, answer: object, right: object = None) -> None:
    """Print why the answer is right; raise Unsolved, with a hint where there is an answer, when it is not.

    answer: the function that the exercise asks for, a number of any library, a word in any case, or a list. It is open
    as long as it is `...`. right: the right answer where it depends on the run.
    """
    exercise = exercises()[name]
    if answer is ...:
        raise Unsolved(OPEN)
    if exercise.right is None and right is None:
        mistake = fault(name, answer)
        hint = exercise.mistakes.get(mistake, f"{mistake} {exercise.hint}" if mistake else "")
    else:
        hint = "" if _same(answer, exercise.right if right is None else right, exercise.within) else exercise.hint
    if hint:
        raise Unsolved(f"Not yet. {hint}")
    print(f"Right: {exercise.why}")


def _same(answer: object, right: object, within: float) -> bool:
    """Is it the same number, word or list, whatever type it has?"""
    answer = answer.tolist() if hasattr(answer, "tolist") else answer
    if isinstance(right, str):
        return str(answer).strip().lower() == right.lower()
    if isinstance(right, list):
        parts = answer if isinstance(answer, list | tuple) and len(answer) == len(right) else [None] * len(right)
        return all(_same(a, b, within) for a, b in zip(parts, right, strict=True))
    if isinstance(answer, list) and len(answer) == 1:  # a tensor or an array that holds one number
        answer = answer[0]
    return isinstance(answer, int | float) and not isinstance(answer, bool) and abs(answer - right) <= within


def fault(name: str, function: object) -> str:
    """What is wrong with the function of a coding exercise: "", the key of a usual mistake, or a sentence.

    Tried on inputs that are the same each time; the notebook's own random numbers go on as if nothing had been drawn.
    Raises Unsolved where the function is still open, and an error of the function itself as it is.
    """
    import torch

    from srkit.course.tasks import TASKS

    task = TASKS[name]
    if not callable(function):
        return "A function is asked for."
    with torch.random.fork_rng(devices=[]):
        for trial in range(3):
            torch.manual_seed(trial)
            inputs = task.inputs()
            found, right = _outcome(task, function, inputs), _outcome(task, task.right, inputs)
            if _alike(found, right, task.within):
                continue
            for mistake, wrong in task.mistakes.items():
                made = _outcome(task, wrong, inputs)
                if _alike(found, made, task.within) and not _alike(made, right, task.within):
                    return mistake
            if isinstance(found, Exception):
                raise found
            shapes = [[part.shape for part in parts] for parts in (found, right)]
            return (
                "It runs, but gives other numbers." if shapes[0] == shapes[1] else "It gives another shape or number."
            )
    return ""


def _outcome(task: Task, function: Callable, inputs: tuple) -> list | Exception:
    """The numbers that come of a function, or the error that it raised; Unsolved where they are still `...`."""
    import numpy as np
    import torch

    torch.manual_seed(0)
    try:
        found = task.outcome(function, *deepcopy(inputs))
    except Exception as error:
        if "ellipsis" in str(error).lower():
            raise Unsolved(OPEN) from None
        return error
    parts = [*found] if isinstance(found, list | tuple) else [found]
    if any(part is None or part is ... for part in parts):
        raise Unsolved(OPEN)
    parts = [np.asarray(p.detach() if isinstance(p, torch.Tensor) else p, dtype=float) for p in parts]
    return parts if any(part.ndim for part in parts) else [np.array(parts)]  # two numbers may come as one array


def _alike(a: object, b: object, within: float) -> bool:
    import numpy as np

    if isinstance(a, Exception) or isinstance(b, Exception):
        return type(a) is type(b) and str(a) == str(b)
    same = len(a) == len(b) and all(x.shape == y.shape for x, y in zip(a, b, strict=True))
    return same and all(np.allclose(x, y, rtol=1e-4, atol=within) for x, y in zip(a, b, strict=True))
