"""The values of the final test, as the store has them."""

import math
import sys
from types import SimpleNamespace
from typing import Any, cast

from sweeps.parent_run import ParentRun
from sweeps.study.conclusion import _tested_values
from sweeps.study.objectives import Objective
from sweeps.study.spec import StudySpec
from sweeps.study.study_runs import StudyRuns
from tracking import schema

# MLflow's stores have the largest float in place of infinity
METRICS = {
    "first": {"edit_success": 0.9, "edit_locality": sys.float_info.max},
    "second": {"edit_success": 0.7, "edit_locality": 0.5},
}


def get_run(run_id: str) -> SimpleNamespace:
    return SimpleNamespace(data=SimpleNamespace(metrics=METRICS[run_id], tags={}, params={}))


def runs_of(client: Any) -> StudyRuns:
    unused: Any = None
    return StudyRuns(cast(ParentRun, SimpleNamespace(client=client)), "", unused)


def test_tested_values_are_of_both_orders_and_infinite_where_the_store_cannot_be() -> None:
    objectives = [Objective("edit_success", "minimize", "order_free_error")]
    spec = cast(StudySpec, SimpleNamespace(objectives=objectives))
    study_runs = runs_of(SimpleNamespace(get_run=get_run))
    values = _tested_values(spec, study_runs, ["second", "first"])
    assert {name: round(value, 6) for name, value in values.items()} == {
        "order_free_error:edit_success": 0.1
    }
    objectives[:] = [Objective("edit_locality", "maximize")]
    assert _tested_values(spec, study_runs, ["first"]) == {"edit_locality": math.inf}


def test_a_value_of_an_earlier_step_is_none_where_the_criterion_failed_at_the_last() -> None:
    tags = {schema.FAILED_CRITERIA: '{"1": {"edit_success": "ValueError"}}'}
    data = SimpleNamespace(metrics=METRICS["first"], tags=tags, params={"step1": "ft"})
    client = SimpleNamespace(get_run=lambda run_id: SimpleNamespace(data=data))
    spec = cast(StudySpec, SimpleNamespace(objectives=[Objective("edit_success", "maximize")]))
    study_runs = runs_of(client)
    assert math.isnan(_tested_values(spec, study_runs, ["first"])["edit_success"])
