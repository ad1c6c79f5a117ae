"""`python -m sweeps.grid`, as it was; `composability grid` is the command now."""

import sys

from sweeps.grid.spec import main

sys.exit(main())
