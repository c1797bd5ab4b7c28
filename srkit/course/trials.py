"""A student's function is tried: hidden inputs go through it, through the right way and through usual mistakes."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch


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


def fault(task: Task, function: object) -> str | None:
    """What is wrong with a function: "" for nothing, the key of a usual mistake, a sentence, or None: it is still open.

    Tried on inputs that are the same each time; the notebook's own random numbers go on as if nothing had been drawn.
    An error of the function itself is raised as it is.
    """
    if not callable(function):
        return "A function is asked for."
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        for trial in range(3):
            torch.manual_seed(trial)
            inputs = task.inputs()
            found, right = _outcome(task, function, inputs), _outcome(task, task.right, inputs)
            if found is None:
                return None
            if _alike(found, right, task.within):
                continue
            for mistake, wrong in task.mistakes.items():
                made = _outcome(task, wrong, inputs)
                if _alike(found, made, task.within) and not _alike(made, right, task.within):
                    return mistake
            if isinstance(found, Exception):
                raise found
            shapes = [[part.shape for part in parts] for parts in (found, right)]
            return f"It runs, but gives {'other numbers' if shapes[0] == shapes[1] else 'another shape'}."
    return ""


def _outcome(task: Task, function: Callable, inputs: tuple) -> list | Exception | None:
    """The numbers that come of a function, or the error that it raised; None where they are still `...`."""
    torch.manual_seed(0)
    try:
        found = task.outcome(function, *deepcopy(inputs))
    except Exception as error:
        if "ellipsis" in str(error).lower():
            return None
        return error
    parts = [*found] if isinstance(found, list | tuple) else [found]
    if any(part is ... for part in parts):
        return None
    if any(part is None for part in parts):
        return ValueError("the function returns nothing: it has to end with return and the result")
    parts = [np.asarray(p.detach() if isinstance(p, torch.Tensor) else p, dtype=float) for p in parts]
    return parts if any(part.ndim for part in parts) else [np.array(parts)]  # two numbers may come as one array


def _alike(a: object, b: object, within: float) -> bool:
    if isinstance(a, Exception) or isinstance(b, Exception):
        return type(a) is type(b) and str(a) == str(b)
    same = len(a) == len(b) and all(x.shape == y.shape for x, y in zip(a, b, strict=True))
    return same and all(np.allclose(x, y, rtol=1e-4, atol=within) for x, y in zip(a, b, strict=True))
