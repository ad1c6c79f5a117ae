"""`python -m analysis`, as it was; `composability analyze` is the command now."""

import sys

from interventions.moved import run_old_command

if __name__ == "__main__":
    sys.exit(run_old_command("analysis"))
