"""`python -m sweeps.study`."""

import sys

from sweeps.study.command import main

sys.exit(main())
