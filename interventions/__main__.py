"""`python -m interventions`, as it was; `composability list interventions` is the command now."""

import sys

from interventions.moved import run_old_command

if __name__ == "__main__":
    sys.exit(run_old_command("interventions"))
