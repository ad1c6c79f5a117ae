"""`composability published`: the paper's 311 rows as runs."""

from __future__ import annotations

import click


@click.command()
def published() -> int:
    """Import the paper's 311 rows as runs.

    They lie in the experiment `published`; a second import adds nothing.
    """
    from tracking.lifecycle import exit_status
    from tracking.published import import_rows

    return exit_status(import_rows)
