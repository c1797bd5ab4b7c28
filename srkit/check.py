"""Checks of the notebooks' exercises: each says whether the answer is right, and why, or gives a hint."""


def judge(answer: object, right: object, why: str, hint: str) -> None:
    """Print "not answered yet" for `...`, the reason for a right answer, a hint for a wrong one."""
    if answer is ...:
        print("Not answered yet: replace the ... and run the cell again.")
    else:
        print(f"Right: {why}" if answer == right else f"Not yet. {hint}")
