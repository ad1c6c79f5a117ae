"""`composability setup`: the store, and the environment that `mlflow run` uses."""

from __future__ import annotations

import click

from composability.commands.options import Integer


@click.command()
@click.option(
    "--ui",
    "port",
    type=Integer(1, 65535),
    help="Print the link to the runs table at this port.",
)
@click.option("--serve", is_flag=True, help="With --ui: serve MLflow's UI there, too.")
@click.option(
    "--store", "show_store", is_flag=True, help="Print the store's address, without its password."
)
def setup(port: int | None, serve: bool, show_store: bool) -> int:
    """Set this checkout up for `mlflow run .`.

    Initialises the store and registers this environment, so that no flag is needed.
    """
    from tracking import store
    from tracking.lifecycle import exit_status
    from tracking.setup import runs_table_address, serve_ui, set_up

    if serve and port is None:
        raise click.UsageError("--serve needs --ui PORT")
    if show_store:
        return exit_status(lambda: print(store.shown_address()))
    if port is not None and serve:
        return exit_status(lambda: serve_ui(port))
    if port is not None:
        return exit_status(lambda: print(runs_table_address(port)))
    return exit_status(set_up)
