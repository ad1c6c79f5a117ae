"""Runs that are written to a file and logged again are those that they were."""

from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from benchmarks.findings_runs import LOADED, load, save
from composability.findings_plan import finished_runs
from tests.composability.test_findings import few_cells, log_finished, planned
from tracking import query, schema, store

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


def test_items_of_the_first_replicate_are_saved_and_judged_where_they_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = planned()["auto"]
    log_finished(auto)
    client = MlflowClient(store.uri())
    answers = {"bio/0": 1.0, "bio/1": 0.0, "bio/2": 1.0}
    finished = finished_runs(store.EXPERIMENT)
    for entry in auto:
        run_id = finished[entry.job.id].info.run_id
        for name in ("seed", "edit_batch"):
            client.log_param(run_id, name, getattr(entry.job.plan.settings, name))
        steps = len(entry.job.plan.composition)
        rows = [("wmdp", steps, item, score) for item, score in answers.items()]
        rows += [("wmdp", 0, "bio/0", 0.0), ("mmlu", steps, "0", 1.0)]
        frame = pd.DataFrame(rows, columns=["criterion", "step", "item", "score"])
        frame.to_parquet(tmp_path / schema.ITEMS, index=False)
        client.log_artifact(run_id, str(tmp_path / schema.ITEMS))
    save(store.EXPERIMENT, tmp_path / "runs.gz")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    load(store.EXPERIMENT, tmp_path / "runs.gz")
    loaded = finished_runs(store.EXPERIMENT)
    of_replicate = {entry.replicate: loaded[entry.job.id].info.run_id for entry in auto}
    items = query.items(list(of_replicate.values()), missing="skip")
    assert set(items.run_id) == {of_replicate[0]} and set(items.criterion) == {"wmdp"}
    assert dict(zip(items["item"], items.score, strict=True)) == answers
