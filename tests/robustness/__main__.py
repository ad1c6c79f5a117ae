"""Run harnesses from a shell: `python -m tests.robustness kills-grid --count 50 --seed 0`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.robustness.clocks import clocks
from tests.robustness.damage import damage
from tests.robustness.databases import databases
from tests.robustness.faults import faults
from tests.robustness.kills import kills
from tests.robustness.launchers import launchers
from tests.robustness.races import races
from tests.robustness.soak import soak
from tests.robustness.tally import Attempts

# name -> the harness, and the count that the documentation has
HARNESSES: dict[str, tuple[Callable[[int, int, Path], Attempts], int]] = {
    "kills-grid": (partial(kills, "grid"), 50),
    "kills-study": (partial(kills, "study"), 50),
    "kills-tpe": (partial(kills, "tpe"), 50),
    "kills-nsga2": (partial(kills, "nsga2"), 20),
    "kills-random": (partial(kills, "random"), 10),
    "damage": (damage, 200),
    "races": (races, 50),
    "clocks": (clocks, 10),
    "faults": (faults, 15),
    "databases": (databases, 12),
    "launchers": (launchers, 10),
    "soak": (soak, 2000),
}


def main() -> int:
    """Run the harnesses that are named, or all; return 1 if anything was not handled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(HARNESSES)}")
    parser.add_argument("--count", type=int, default=0, help="attempts; 0: the documentation's")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    status = 0
    for name in options.names or HARNESSES:
        harness, count = HARNESSES[name]
        with tempfile.TemporaryDirectory() as folder:
            status |= harness(options.count or count, options.seed, Path(folder)).report()
    return status


if __name__ == "__main__":
    sys.exit(main())
