"""Tuning from Python, and what its options import."""

import subprocess
import sys
from inspect import signature

import pytest
from mlflow import MlflowClient

from interventions.errors import InvalidInput
from sweeps.study.request import read_study_request
from sweeps.study.run import tune
from sweeps.study.runner import prepare_study
from tests.sweeps.study.small_study import SPEC, final_runs, parent_run, trial_runs
from tracking import store
from tracking.checkpoints.store import Checkpoints


@pytest.mark.usefixtures("four_rates")
def test_a_study_from_python_returns_what_it_ends_with(cache: Checkpoints) -> None:
    result = tune(SPEC, space="paper", objective="edit_locality", name="mine", cache=cache)
    assert (result.name, result.run_id, result.trials) == ("mine", parent_run().info.run_id, 4)
    (tested,) = final_runs()
    assert result.spec == tested.data.params["composition"]
    assert result.test == {"edit_locality": tested.data.metrics["edit_locality"]}
    best = max(run.data.metrics["edit_locality"] for run in trial_runs())
    assert result.validation == {"edit_locality": best}
    assert parent_run().data.params["objective"] == "edit_locality"
    again = tune(SPEC, space="paper", objective="edit_locality", name="mine", cache=cache)
    assert again == result and len(trial_runs()) == 4


@pytest.mark.usefixtures("four_rates")
def test_a_study_whose_constraints_nothing_meets_has_no_spec(cache: Checkpoints) -> None:
    result = tune(
        SPEC,
        space="paper",
        objective="edit_locality",
        constraint="edit_locality>1",
        name="mine",
        cache=cache,
    )
    assert (result.spec, result.validation, result.test, result.trials) == ("", {}, {}, 4)
    assert final_runs() == []


def test_a_study_in_a_deleted_experiment_is_refused_before_anything_runs(
    cache: Checkpoints, local_store: str
) -> None:
    MlflowClient(local_store).delete_experiment(store.ensure_experiment())
    with pytest.raises(InvalidInput, match=r"was deleted .* mlflow experiments restore"):
        prepare_study(read_study_request(SPEC, objective="edit_locality"), cache)


def test_a_study_from_python_asks_for_the_store_before_it_is_prepared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise InvalidInput("the store is away")

    monkeypatch.setattr(store, "check_reachable", fail)
    monkeypatch.setattr("sweeps.study.run.prepare_study", lambda *_: pytest.fail("it went on"))
    with pytest.raises(InvalidInput, match="the store is away"):
        tune(SPEC, space="paper", objective="edit_locality")


def test_the_function_has_the_requests_parameters_and_defaults() -> None:
    parameters = dict(signature(tune).parameters)
    assert parameters.pop("cache").default is None
    assert parameters == dict(signature(read_study_request).parameters)


def test_the_options_import_nothing_heavy() -> None:
    code = "import sys, sweeps.study.options; print(*sys.modules)"
    listed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"torch", "mlflow", "optuna", "numpy"} & set(listed.stdout.split())
