"""What `srkit thesis` does: reads the options, writes the chapter, and says what is to be known of it."""

import shlex
import sys
from types import SimpleNamespace

from srkit.files import SrkitError


def thesis(options: SimpleNamespace) -> None:
    from srkit.data.sources import find_images
    from srkit.metrics import lpips_judge
    from srkit.thesis.chapter import write_chapter

    names = ("figures", "votes", "watts", "language", "slides")
    images = find_images(options.images)[0] if options.images else []
    if options.images and not images:
        raise SrkitError(f"{options.images} holds no pictures: give the folder of the HR images with --images.")
    paths, warned = write_chapter(
        options.what,
        options.out,
        images=images,
        looked_at=options.looked_at or (),
        columns=int(options.columns),
        lpips=False if options.no_lpips or not images else lpips_judge(),
        command=shlex.join(["srkit", *(word for word in sys.argv[1:] if word != "--debug")]),
        **{name: getattr(options, name) for name in names},
    )
    print(*(f"srkit: {warning}" for warning in warned), sep="\n", end="\n" * bool(warned), file=sys.stderr)
    print(f"{len(paths)} files in {options.out}: main.tex is yours, and stays; all else is made anew each time.")
