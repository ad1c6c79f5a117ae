"""Of a hundred experiments without an effect few claim one; three known effects are found."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from analysis.inference.intervals import intervals
from analysis.metrics.composability import point
from tests.analysis.inference.made_up_stores import (
    BATCHES,
    EFFECTS,
    null_store,
    store_with_effects,
)
from tracking import query, schema

STORES, FEW_STORES = 100, 6


def claims(runs: pd.DataFrame) -> pd.DataFrame:
    points = intervals(runs, point(runs))
    return points[points.differs]


def are_found(runs: pd.DataFrame) -> bool:
    """Whether all three effects are claimed; a wrong sign fails."""
    claimed = claims(runs)
    expected = [EFFECTS[pair] for pair in zip(claimed.intervention, claimed.partner, strict=True)]
    assert (np.sign(claimed.gain) == np.sign(expected)).all()
    return len(claimed) == len(EFFECTS)


def test_hardly_any_of_6_stores_without_an_effect_claims_one() -> None:
    rng = np.random.default_rng(16)
    assert sum(len(claims(null_store(rng))) > 0 for _ in range(FEW_STORES)) <= 1


def test_three_known_effects_are_found_in_nearly_all_of_6_stores() -> None:
    rng = np.random.default_rng(17)
    assert sum(are_found(store_with_effects(rng)) for _ in range(FEW_STORES)) >= 5


@pytest.mark.slow
def test_of_100_stores_without_an_effect_at_most_10_claim_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(18)
    stores = [through_mlflow(null_store(rng), tmp_path, n) for n in range(STORES)]
    assert sum(len(claims(runs)) > 0 for runs in stores) <= 10


@pytest.mark.slow
def test_three_known_effects_are_found_in_90_of_100_stores(tmp_path: Path) -> None:
    rng = np.random.default_rng(19)
    stores = [through_mlflow(store_with_effects(rng), tmp_path, n) for n in range(STORES)]
    assert sum(map(are_found, stores)) >= 90


def through_mlflow(runs: pd.DataFrame, folder: Path, number: int) -> pd.DataFrame:
    """Write runs into an experiment of a store as `tracking.log` does, and query them back."""
    uri = f"sqlite:///{folder}/mlflow.db"
    client = MlflowClient(tracking_uri=uri)
    name = f"made up {number}"
    experiment_id = client.create_experiment(name)
    for row in runs.iloc[::-1].to_dict("records"):
        told: dict[str, Any] = {str(key): value for key, value in row.items() if pd.notna(value)}
        created = client.create_run(experiment_id, run_name=told["run_name"])
        run_id = created.info.run_id
        metrics = [
            Metric(key, value, 0, 2)
            for key, value in told.items()
            if isinstance(value, float) and "." not in key
        ]
        keys = (schema.COMPOSITION, schema.PAIR, "step1", "step2", "model", "data")
        params = [Param(key, str(told[key])) for key in keys]
        params += [Param(key, str(told[key])) for key in ("seed", "edit_batch")]
        params += [Param(key, str(value)) for key, value in told.items() if "." in key]
        client.log_batch(run_id, metrics=metrics, params=params)
        client.set_terminated(run_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        read = query.compositions(name)
    assert len(read) == len(runs) and read.edit_batch.nunique() == BATCHES
    return read
