"""What a sweep ends with if jobs failed: an error that lists them, and the exit status 1."""

from __future__ import annotations

import sys
from collections.abc import Callable

from interventions.errors import printable_line
from sweeps.retry import StoreAway, is_store_away
from tracking import lifecycle


class Incomplete(Exception):
    """Some jobs of a sweep failed; the rest is done. The message names each with its reason."""


def sweep_exit_status(command: Callable[[], None]) -> int:
    """Run a command of a sweep and return the status that its process ends with.

    Returns:
        0; 1 if some jobs failed or the store stayed away; 2 on bad input; 130 after Ctrl-C; 143
        after SIGTERM. For 1 and 2, stderr has the reason.
    """
    try:
        return lifecycle.exit_status(command)
    except (Incomplete, StoreAway) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        if not is_store_away(error):
            raise
        # at a moment at which it is not waited for: the same command goes on
        print(f"error: the store is away: {printable_line(str(error), 300)}", file=sys.stderr)
        return 1
