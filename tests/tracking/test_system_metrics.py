"""MLflow's system metrics, where its variable asks for them."""

import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tracking import query, store
from tracking.checkpoints.store import Checkpoints
from tracking.run import run
from tracking.system_metrics import system_metrics


def system_names(run_id: str) -> set[str]:
    metrics = MlflowClient(store.uri()).get_run(run_id).data.metrics
    return {name for name in metrics if name.startswith("system/")}


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")


@pytest.mark.usefixtures("often")
def test_a_run_logs_what_the_machine_does_only_if_it_is_asked_to(
    local_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured() -> str:
        spec = "magnitude(sparsity=0.5)"
        return run(spec, criteria="mmlu", checkpoints="none", cache=Checkpoints(tmp_path))

    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monitored = measured()
    monkeypatch.delenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING")
    without = measured()
    assert not system_names(without)
    assert {"system/cpu_utilization_percentage", "system/disk_usage_percentage"} <= system_names(
        monitored
    )
    # they are no columns, by which runs would be told apart
    assert not [name for name in query.compositions().columns if name.startswith("system/")]


@pytest.mark.usefixtures("often")
def test_a_run_that_goes_on_goes_on_with_its_steps_and_its_store(
    local_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    for _ in range(2):
        with system_metrics(run_id):
            time.sleep(1)
    history = client.get_metric_history(run_id, "system/cpu_utilization_percentage")
    steps = [entry.step for entry in history]
    assert len(steps) > 2 and steps == sorted(set(steps))
