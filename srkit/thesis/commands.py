"""What `srkit thesis` does: reads the options, writes the chapter, and says what is to be known of it."""

import shlex
import sys
from pathlib import Path
from typing import Literal

from srkit.cli_base import NETWORKS, NoLpips, argument, command, flag, option, optional
from srkit.files import SrkitError


@command(NETWORKS)
def thesis(
    what: argument(list[str], "RUN|STUDY...", "runs' folders, and studies' files"),
    out: option(Path, "DIR", "the chapter's folder; main.tex in it is left as it is"),
    images: optional(Path, "DIR", "HR images to score the runs on, once") = None,
    figures: optional(Path, "DIR", "of a study (default: figures/STUDY)") = None,
    photographs: optional(str, "D", "those of training, to report on: sizes, near-duplicates, leaks") = None,
    votes: optional(Path, "FILE", "of people who rated pictures") = None,
    looked_at: optional(list[str], "SET", "a test set that was used for choices; repeatable") = None,
    recipe: optional(list[str], "R", "my_recipes.py:NAME that has the parts of one's own of a run; repeatable") = None,
    watts: option(float, "W", "taken for a run while it trains", min=0.0) = 100.0,
    columns: option(Literal["1", "2"], None, "of a page") = "1",
    language: option(Literal["en", "de"], None, "of labels and the decimal comma") = "en",
    slides: flag("--slides", "the figures at 16:9 too, and the slider as GIF") = False,
    no_lpips: NoLpips = False,
) -> None:
    """A chapter's skeleton in LaTeX, with tables, figures and references, from what was recorded."""
    options = locals()  # named as the arguments of srkit.thesis.chapter.write_chapter
    del options["recipe"], options["no_lpips"]
    from srkit.data.sources import find_images
    from srkit.metrics import lpips_judge
    from srkit.recipes import find_recipe
    from srkit.thesis.chapter import write_chapter

    for name in recipe or ():  # from here on its parts are known
        find_recipe(name)
    files, given = find_images(images) if images else ([], {})
    if given:
        raise SrkitError(f"{images} brings LR pictures of its own: name a folder that holds HR alone.")
    options |= {"images": files, "looked_at": looked_at or (), "columns": int(columns)}
    options |= {"lpips": lpips_judge() if files and not no_lpips else False}
    command = shlex.join(["srkit", *(word for word in sys.argv[1:] if word != "--debug")])
    paths, warned = write_chapter(**options, command=command)
    for warning in warned:
        print(f"srkit: {warning}", file=sys.stderr)
    print(f"{len(paths)} files in {out}: main.tex is yours, and stays; all else is made anew each time.")
