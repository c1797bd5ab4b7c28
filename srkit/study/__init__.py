"""A study: several recipes, or variants of one, times seeds, on the same photographs; declared in a TOML file.

    [study]
    name = "norms"
    profile = "laptop"            # and in [profile] what this study changes of it
    data = "div2k"                # a named set, a folder, or a list of folders
    tests = ["Set5", "Set14"]     # named sets or folders; scored once, when a run is done
    seeds = [0, 1, 2]

    [[system]]
    recipe = "srgan"              # or "my_recipes.py:NAME"

    [[variant]]
    name = "srgan-without-norm"
    base = "srgan"
    set = { "generator.norm" = "none", "phases.gan.losses.adversarial.weight" = 1e-2 }

[study] takes besides: about; without (files to leave out), valid (files to validate on, or a text file that lists
them), min_side; against (the system that others are compared with; a variant is compared with its base); crops (test
pictures that figures show, SET/FILE); threads of a worker; and what `srkit.training.train` takes, such as precision.
[[system]] takes name, scale, degradation or several degradations, and with [[variant]] seeds, profile, set, drop
(phases or losses to leave out), group (systems to be drawn together), about, and found (what its training showed, for
its page). `srkit.study.variants.vary` says what can be set. Folders are told from the file's own place. Names of
systems and variants name folders.
"""

from srkit import from_modules

__getattr__, __dir__ = from_modules(__name__, {"plan": "Planned Study train_one", "reader": "read_study"})
