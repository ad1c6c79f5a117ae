"""`composability setup`: the store, and the environment that `mlflow run` uses."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--ui",
    "port",
    type=click.IntRange(1, 65535),
    help="Print the link to the runs table at this port.",
)
@click.option("--store", "show_store", is_flag=True, help="Print the address of the store.")
def setup(port: int | None, show_store: bool) -> int:
    """Set this checkout up for `mlflow run .`.

    Initialises the store and registers this environment, so that no flag is needed.
    """
    from tracking import store
    from tracking.lifecycle import exit_status
    from tracking.setup import runs_table_address, set_up

    if show_store:
        return exit_status(lambda: print(store.uri()))
    if port is not None:
        return exit_status(lambda: print(runs_table_address(port)))
    return exit_status(set_up)
