"""A study: several recipes, or variants of one, times seeds, on the same photographs; declared in a TOML file.

docs/howto/studies.md has the format.
"""

from srkit import from_modules

__getattr__, __dir__ = from_modules(__name__, {"plan": "Planned Study train_one", "reader": "read_study"})
