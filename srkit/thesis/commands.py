"""What `srkit thesis` does: reads the options, writes the chapter, and says what is to be known of it."""

import shlex
import sys
from types import SimpleNamespace

from srkit.files import SrkitError


def thesis(options: SimpleNamespace) -> None:
    from srkit.data.sources import find_images
    from srkit.metrics import lpips_judge
    from srkit.thesis.chapter import write_chapter

    images, given = find_images(options.images) if options.images else ([], {})
    if given:
        raise SrkitError(f"{options.images} brings LR pictures of its own: name a folder that holds HR alone.")
    if options.images and not images:
        raise SrkitError(f"{options.images} holds no pictures: give the folder of the HR images with --images.")
    paths, warned = write_chapter(
        options.what,
        options.out,
        images=images,
        looked_at=options.looked_at or (),
        figures=options.figures,
        photographs=options.photographs,
        votes=options.votes,
        watts=options.watts,
        columns=int(options.columns),
        language=options.language,
        slides=options.slides,
        lpips=False if options.no_lpips or not images else lpips_judge(),
        command=shlex.join(["srkit", *(word for word in sys.argv[1:] if word != "--debug")]),
    )
    print(*(f"srkit: {warning}" for warning in warned), sep="\n", end="\n" * bool(warned), file=sys.stderr)
    print(f"{len(paths)} files in {options.out}: main.tex is yours, and stays; all else is made anew each time.")
