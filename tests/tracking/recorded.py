"""What a run has recorded, for the tests of what runs log."""

from pathlib import Path

import mlflow
from mlflow import MlflowClient

from tracking import schema


def history(client: MlflowClient, run_id: str, metric: str) -> dict[int, float]:
    """Return a metric by number of interventions applied."""
    entries = client.get_metric_history(run_id, metric)
    return {entry.step: schema.from_store(entry.value) for entry in entries}


def artifacts(run_id: str) -> Path:
    """Return a folder with all artifacts of a run."""
    return Path(mlflow.artifacts.download_artifacts(run_id=run_id))
