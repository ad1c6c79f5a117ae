"""What the grid "mine" has left in the store of the test."""

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from tracking import query, schema, store

NAME = "mine"


def composition_runs(status: str = "FINISHED") -> list[Run]:
    """Return the grid's runs of compositions that have a status."""
    return _search(f"tags.`{schema.SWEEP}` = '{NAME}' and attributes.status = '{status}'")


def parent_runs() -> list[Run]:
    return _search(f"tags.`{schema.SWEEP_ROOT}` = '{NAME}'")


def _search(filter: str) -> list[Run]:
    client = MlflowClient(tracking_uri=store.uri())
    return list(client.search_runs([store.ensure_experiment()], filter))


def results() -> pd.DataFrame:
    """Return every composition's criteria, in an order that does not depend on when they ran."""
    frame = query.compositions(
        filter=f"tags.`{schema.SWEEP}` = '{NAME}' and attributes.status = 'FINISHED'"
    )
    criteria = ("edit_success", "edit_locality", "average_bits", "sparsity")
    measured = [name for name in criteria if name in frame]
    columns = ["composition", "edit_batch", "key", *measured]
    return frame[columns].sort_values("composition", ignore_index=True)
