"""Runs to analyse: the paper's, from a store; and a small grid of our own on the testbed."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from interventions.data.base import Data
from tracking import published as paper
from tracking import query, store
from tracking.checkpoints.store import Checkpoints
from tracking.run import run


@pytest.fixture(scope="session")
def published(published_uri: str) -> pd.DataFrame:
    """The paper's 311 rows, as the query gives them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", published_uri)
        return query.compositions(paper.EXPERIMENT)


@pytest.fixture(scope="session")
def grid_uri(tmp_path_factory: pytest.TempPathFactory, small: Data, kept_folder: Path) -> str:
    """A store with both orders of FT and Wanda at three levels, each alone, and little data."""
    folder = tmp_path_factory.mktemp("grid")
    fewer = dataclasses.replace(
        small, questions=dataclasses.replace(small.questions, split="validation")
    )
    uri, checkpoints = f"sqlite:///{folder}/mlflow.db", Checkpoints(kept_folder)
    pruned = [f"wanda(sparsity={level}, samples=16)" for level in (0.25, 0.5, 0.75)]
    edit = "ft(steps=10)"
    specs = [
        "none",
        edit,
        *pruned,
        *(f"{edit} | {p}" for p in pruned),
        *(f"{p} | {edit}" for p in pruned),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setattr("tracking.run_data.testbed", lambda edit_batch, split: fewer)
        for spec in specs:
            run(spec, checkpoints="none", cache=checkpoints)
    return uri


@pytest.fixture
def grid(grid_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[pd.DataFrame]:
    """The grid's runs; its store is the current one."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", grid_uri)
    yield query.compositions(store.EXPERIMENT)
