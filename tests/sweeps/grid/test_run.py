"""The function that users call from Python."""

from dataclasses import fields
from inspect import signature

import pytest

from interventions.errors import InvalidInput
from sweeps.grid.run import grid
from sweeps.grid.spec import GridRequest
from tests.sweeps.grid.conftest import Applied
from tests.sweeps.grid.recorded import composition_runs, parent_runs
from tracking.checkpoints.store import Checkpoints


def test_a_grid_from_python_runs_what_is_missing(
    local_store: str, cache: Checkpoints, applied: Applied
) -> None:
    values = "magnitude(sparsity=[0.25, 0.5])"
    result = grid(values, length="0..1", name="mine", cache=cache)
    (parent,) = parent_runs()
    assert (result.name, result.run_id) == ("mine", parent.info.run_id)
    assert (result.runs, result.finished_before, result.applications) == (3, 0, 2)
    assert result.seconds > 0 and len(composition_runs()) == 3
    assert parent.data.params["interventions"] == values
    again = grid(values, length=[0, 1], name="mine", cache=cache, seeds=[0])
    assert (again.runs, again.finished_before) == (3, 3) and len(applied.keys) == 2


def test_what_cannot_run_is_refused_before_anything_does(
    local_store: str, cache: Checkpoints
) -> None:
    with pytest.raises(InvalidInput, match="pairs must be across or all, but got 'some'"):
        grid("ft; ga", pairs="some", cache=cache)
    assert parent_runs() == []


def test_the_function_has_the_requests_parameters_and_defaults() -> None:
    parameters = signature(grid).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    assert defaults.pop("cache") is None
    assert defaults == {value.name: value.default for value in fields(GridRequest)}
