"""Runs of somebody else in the same experiment, with tags of our names: they are no obstacle."""

import itertools
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Param, RunTag

from sweeps.parent_run import ParentRun
from tests.tracking.checkpoints.test_holding import run_quickly
from tracking import lifecycle, query, schema, store
from tracking.checkpoints.store import Checkpoints

TEXTS = ("{", "[1]", "nan", "-1", "null", '{"1": 2}', "1e999", "9" * 40, "x y z", "\U0001f600")
TAGS = sorted(
    value
    for name, value in vars(schema).items()
    if name.isupper() and isinstance(value, str) and value.startswith("composability.")
)
TAGS[TAGS.index(schema.CHECKSUM)] = schema.checksum_tag(1)
PARAMS = ("composition", "step1", "seed", "model", "data", "wanda.sparsity", "wanda.version")


@pytest.fixture
def foreign_runs(local_store: str) -> list[str]:
    """A run for each text, with the text in all of our tags and params; half of them RUNNING."""
    client, experiment_id = MlflowClient(), store.ensure_experiment()
    ids = []
    for number, text in enumerate(TEXTS):
        run_id = client.create_run(experiment_id).info.run_id
        ids.append(run_id)
        tags = [RunTag(tag, text) for tag in TAGS]
        params = [Param(param, text) for param in PARAMS]
        client.log_batch(run_id, params=params, tags=tags)
        if number % 2:
            client.set_terminated(run_id)
    return ids


def test_a_bad_tag_stops_no_later_run_and_no_reader(
    foreign_runs: list[str], local_store: str, tmp_path: Path
) -> None:
    run_id = run_quickly(Checkpoints(tmp_path / "cache"), "none", "magnitude(sparsity=0.5)")
    client = MlflowClient()
    assert client.get_run(run_id).info.status == "FINISHED"
    assert len(query.compositions()) == len(foreign_runs) + 1
    statuses = [client.get_run(run).info.status for run in foreign_runs]
    assert set(statuses) == {"RUNNING", "FINISHED"}


def test_a_sweep_whose_name_somebody_elses_runs_have_is_settled(
    foreign_runs: list[str], local_store: str
) -> None:
    client, experiment_id = MlflowClient(), store.ensure_experiment()
    for run_id, tag in itertools.product(foreign_runs, (schema.SWEEP, schema.JOB)):
        client.set_tag(run_id, tag, "mine")
    ParentRun(client, experiment_id, "mine").settle_runs()
    assert lifecycle.end_dead_runs(client, experiment_id) == []


def test_a_running_run_of_another_program_is_not_ended_however_long_it_takes(
    local_store: str,
) -> None:
    client, experiment_id = MlflowClient(), store.ensure_experiment()
    foreign = client.create_run(experiment_id, start_time=1).info.run_id
    tags = {"mlflow.project.entryPoint": "main"}
    launched = client.create_run(experiment_id, start_time=1, tags=tags).info.run_id
    assert lifecycle.end_dead_runs(client, experiment_id) == [launched]
    assert client.get_run(foreign).info.status == "RUNNING"
