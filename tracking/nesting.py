"""Nest a run under the run that a user's own code has begun with ``mlflow.start_run``."""

from __future__ import annotations

from collections.abc import Mapping

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tracking import schema, store


def place_of_run(client: MlflowClient, experiment: str) -> tuple[str, Mapping[str, str]]:
    """Return the experiment that a new run goes to, and the tags that nest it.

    It goes under the active run of this process, into that one's experiment, if there is one in the
    store and the caller names no other experiment than the usual one.

    Args:
        client: of the store.
        experiment: the name that was given.
    """
    active = mlflow.active_run()
    if active is None or experiment != store.EXPERIMENT:
        return store.ensure_experiment(experiment), {}
    try:
        parent = client.get_run(active.info.run_id)
    except MlflowException:  # a run of another store
        return store.ensure_experiment(experiment), {}
    store.check_reachable()
    return str(parent.info.experiment_id), {schema.PARENT: parent.info.run_id}
