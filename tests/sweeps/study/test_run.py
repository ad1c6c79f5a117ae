"""Tuning from Python, and what its options import."""

import subprocess
import sys
from inspect import signature

import pytest

from sweeps.study.request import read_study_request
from sweeps.study.run import tune
from tests.sweeps.study.small_study import SPEC, final_runs, parent_run, trial_runs
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
