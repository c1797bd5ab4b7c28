"""Checks of the notebooks' exercises: a right answer is told why, a wrong one gets a hint, and no answer is printed.

What is asked stands in the notebooks; answers, reasons and hints in exercises.toml; what functions are tried with in
`srkit.course.tasks`.
"""

import tomllib
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
        from srkit.course.tasks import TASKS
        from srkit.course.trials import fault

        mistake = fault(TASKS[name], answer)
        if mistake is None:
            raise Unsolved(OPEN)
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
