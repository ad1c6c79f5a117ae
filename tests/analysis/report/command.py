"""The command `composability analyze` below its command line."""

import mlflow
from mlflow import MlflowClient

from analysis.report.run import run_command
from tracking import lifecycle, store


def analyze(**options: str) -> int:
    """Run the command; return its exit status."""
    return lifecycle.exit_status(lambda: run_command(options))


def reports(uri: str) -> list[mlflow.entities.Run]:
    """Return the runs of the experiment `reports`, newest first."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(store.REPORTS)
    return list(client.search_runs([experiment.experiment_id])) if experiment else []
