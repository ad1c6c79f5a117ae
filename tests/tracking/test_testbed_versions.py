"""Runs of two versions of the testbed: told apart, never paired, restored from what was logged."""

import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from analysis.inference.recommend import recommend
from analysis.metrics.composability import point
from interventions.composition import Composition
from interventions.errors import InvalidInput
from tests.sweeps.small_testbed import use_small_testbed
from tracking import query, schema, store
from tracking.checkpoints import load_checkpoint
from tracking.checkpoints.store import Checkpoints
from tracking.run import run


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs measure what takes milliseconds, on a few questions."""
    use_small_testbed(monkeypatch)


def log(spec: str, value: float, **settings: str) -> None:
    """Log a finished run of a composition with some params."""
    steps = Composition.parse(spec)
    names = [step.name for step in steps]
    params = {
        schema.COMPOSITION: spec,
        schema.PAIR: schema.pair_name(names),
        **schema.step_params(names),
        **schema.hyperparameter_params(steps),
        "seed": "0",
        "edit_batch": "0",
        **{name.replace("used_", schema.USED): text for name, text in settings.items()},
    }
    client = MlflowClient()
    run_id = client.create_run(store.ensure_experiment(), run_name=spec).info.run_id
    logged = [Param(key, text) for key, text in params.items()]
    client.log_batch(run_id, [Metric("mmlu", value, 0, 2)], logged)
    client.set_terminated(run_id)


def as_version_1_recorded() -> None:
    """Rewrite the store's runs: version 1 recorded the testbed's plain name."""
    database = sqlite3.connect(store.uri().removeprefix("sqlite:///"))
    with database:
        database.execute("UPDATE params SET value = 'testbed' WHERE value = 'testbed@3'")
    database.close()


def test_a_plain_name_is_read_as_version_1_unless_the_run_says_what_it_used(
    local_store: str,
) -> None:
    log("ft", 0.5, model="testbed", data="testbed")
    log("ft", 0.5, model="testbed@3", data="testbed@3")
    # what `mlflow run` logs, and the run beside it
    log("ft", 0.5, model="testbed", data="testbed", used_model="testbed@3", used_data="testbed@3")
    log("ft", 0.5, model="gpt2", data="paper")
    runs = query.compositions()
    assert [tuple(row) for row in runs[["model", "data"]].to_numpy()] == [
        ("gpt2", "paper"),
        ("testbed@3", "testbed@3"),
        ("testbed@3", "testbed@3"),
        ("testbed@1", "testbed@1"),
    ]
    assert runs.window.astype(object).tolist() == [8192, 64, 64, 64]


@pytest.mark.parametrize("earlier", ["testbed", "testbed@2"])
@pytest.mark.parametrize("setting", ["model", "data"])
def test_an_order_of_one_version_is_not_paired_with_the_other_order_of_another(
    local_store: str, setting: str, earlier: str
) -> None:
    other = {"model": "data", "data": "model"}[setting]
    log("ft | rtn", 0.5, **{setting: earlier, other: "paper"})
    log("rtn | ft", 0.9, **{setting: "testbed@3", other: "paper"})
    with pytest.raises(InvalidInput, match="no pair was run in both orders with equal settings"):
        point(query.compositions(), ["mmlu"])


@pytest.mark.parametrize(("recorded", "earlier"), [("testbed", "testbed@1"), ("testbed@2",) * 2])
def test_two_versions_are_no_replicates_and_no_average_is_taken_of_them(
    local_store: str, recorded: str, earlier: str
) -> None:
    for version, value in ((recorded, 0.5), ("testbed@3", 0.9)):
        for spec in ("ft | rtn", "rtn | ft"):
            log(spec, value, model=version, data=version)
    runs = query.compositions()
    points = point(runs, ["mmlu"])
    assert sorted(points.forward) == [0.5, 0.9] and list(points.replicates) == [1, 1]
    assert sorted(points.context) == [
        f"model={earlier}, data={earlier}",
        "model=testbed@3, data=testbed@3",
    ]
    with pytest.raises(InvalidInput, match=earlier):
        recommend(runs, "ft + rtn")


@pytest.mark.usefixtures("small")
def test_a_run_of_version_1_is_restored_from_its_artifacts_and_never_computed_again(
    local_store: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    logged = run("magnitude", cache=checkpoints)
    unlogged = run("magnitude(sparsity=0.25)", checkpoints="none", cache=checkpoints)
    as_version_1_recorded()
    client = MlflowClient()
    for run_id in (logged, unlogged):
        # the other model led to another key
        client.set_tag(run_id, schema.KEY, "0" * 32)
    whole = load_checkpoint(logged, 1, tmp_path / "whole", Checkpoints(tmp_path / "empty"))
    assert (whole / "model.safetensors").exists()
    for folder in (tmp_path / "out", None):
        with pytest.raises(InvalidInput) as error:
            load_checkpoint(unlogged, 1, folder, checkpoints)
        assert f"step 1 of run {unlogged} was not logged whole, and cannot be computed again: its" \
            " model was testbed@1, which is testbed@3 now" in str(error.value)  # fmt: skip
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("small")
def test_a_run_of_now_says_the_version_and_is_computed_again(
    local_store: str, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    run_id = run("magnitude", checkpoints="none", cache=checkpoints)
    params = MlflowClient().get_run(run_id).data.params
    assert (params["model"], params["data"]) == ("testbed@3", "testbed@3")
    assert "used.model" not in params and "used.data" not in params
    folder = load_checkpoint(run_id, 1, tmp_path / "out", Checkpoints(tmp_path / "empty"))
    assert (folder / "model.safetensors").exists()


@pytest.mark.usefixtures("small")
def test_a_run_that_mlflow_run_made_says_the_version_beside_what_was_typed(
    local_store: str, monkeypatch: pytest.MonkeyPatch, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    client = MlflowClient(local_store)
    run_id = client.create_run(store.ensure_experiment()).info.run_id
    for name in ("model", "data"):
        client.log_param(run_id, name, "testbed")
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert run("magnitude", checkpoints="none", cache=checkpoints) == run_id
    params = client.get_run(run_id).data.params
    assert (params["used.model"], params["used.data"]) == ("testbed@3", "testbed@3")
    row = query.compositions().iloc[0]
    assert (row["model"], row["data"]) == ("testbed@3", "testbed@3")
    folder = load_checkpoint(run_id, 1, tmp_path / "out", Checkpoints(tmp_path / "empty"))
    assert (folder / "model.safetensors").exists()
