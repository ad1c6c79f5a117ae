"""`composability cache`: what computed checkpoints take, and how to make that less."""

from __future__ import annotations

import click

from composability.commands.options import Number

_MOST_LISTED = 20  # checkpoints
_MOST_GIB = 1e6  # of a cache


@click.group("cache")
def cache() -> None:
    """Show or prune the cache of computed checkpoints."""


@cache.command("list")
@click.option("--all", "everything", is_flag=True, help="Every checkpoint, not the last 20 used.")
def list_contents(everything: bool) -> int:
    """List what the cache holds: checkpoints by their last use, and sizes."""
    from tracking.lifecycle import exit_status

    def show() -> None:
        from composability.cache_text import contents_text
        from tracking.checkpoints.contents import contents

        print(contents_text(contents(), None if everything else _MOST_LISTED))

    return exit_status(show)


@cache.command()
@click.option(
    "--gib",
    type=Number(0, _MOST_GIB),
    help="GiB of checkpoints and statistics that may stay. By default COMPOSABILITY_CACHE_GIB, or"
    " 10; 0 removes all.",
)
def prune(gib: float | None) -> int:
    """Remove what was used longest ago, and what killed processes left.

    Nothing is lost but time: what is needed again is computed again. Values of criteria stay.
    """
    from tracking.lifecycle import exit_status

    def remove() -> None:
        from composability.cache_text import pruned_text
        from interventions.cache import limit_gib
        from tracking.checkpoints.contents import prune_cache

        print(pruned_text(*prune_cache(limit_gib() if gib is None else gib)))

    return exit_status(remove)
