"""Runs that are written to a file and logged again are those that they were."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from benchmarks.findings_runs import LOADED, load, save
from composability.findings_plan import finished_runs
from tests.composability.test_findings import few_cells, log_finished, planned
from tracking import schema, store

__all__ = ["few_cells"]


def test_saved_runs_are_found_by_their_jobs_in_another_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = planned()["auto"]
    log_finished(auto[:3])
    before = finished_runs(store.EXPERIMENT)
    assert save(store.EXPERIMENT, tmp_path / "runs.gz") == 3
    with monkeypatch.context() as later:
        later.setattr("gzip.time.time", lambda: 1e9)
        assert save(store.EXPERIMENT, tmp_path / "again.gz") == 3
    assert (tmp_path / "runs.gz").read_bytes() == (tmp_path / "again.gz").read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    log_finished(auto[2:3], key="of the other store")
    assert load(store.EXPERIMENT, tmp_path / "runs.gz") == 2
    assert load(store.EXPERIMENT, tmp_path / "runs.gz") == 0
    after = finished_runs(store.EXPERIMENT)
    assert set(after) == set(before)
    for entry in auto[:2]:
        loaded, saved = after[entry.job.id], before[entry.job.id]
        assert loaded.data.params == saved.data.params
        assert loaded.data.metrics == saved.data.metrics
        assert loaded.data.tags[schema.KEY] == saved.data.tags[schema.KEY]
        assert loaded.data.tags[LOADED] == "runs.gz"
        history = MlflowClient(store.uri()).get_metric_history(loaded.info.run_id, "wmdp")
        assert [entry.step for entry in history] == [len(schema.step_names(saved.data.params))]
    assert after[auto[2].job.id].data.tags[schema.KEY] == "of the other store"
