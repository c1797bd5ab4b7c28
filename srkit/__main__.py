"""`python -m srkit` is the command `srkit`."""

import sys

from srkit.cli import main

sys.exit(main())
