"""Studies that nobody could run are refused by their count, before anything is enumerated."""

from typing import Any

import pytest

from interventions.data.testbed import MODEL
from interventions.data.testbed import testbed as small_world
from interventions.errors import InvalidInput
from interventions.lm import skeleton
from interventions.search_space import TuningContext
from sweeps.study.objectives import read_constraints, read_objectives
from sweeps.study.options import MOST_TRIALS
from sweeps.study.request import read_study_request
from sweeps.study.run import tune
from sweeps.study.samplers import _SLOTS
from sweeps.study.search_space import Space


@pytest.fixture(scope="module")
def context() -> TuningContext:
    return TuningContext(skeleton(MODEL), small_world())


def test_a_grid_of_too_many_points_is_refused_before_one_is_made(
    context: TuningContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def product(*axes: Any) -> None:
        raise AssertionError("enumerated")

    space = Space("rmu | gd | ga", "paper", context)
    monkeypatch.setattr("sweeps.study.search_space.itertools.product", product)
    with pytest.raises(InvalidInput, match="a grid may have 100000 points, but this one has"):
        space.points()


def test_a_grid_that_fits_is_made(context: TuningContext) -> None:
    assert len(Space("rmu(steps=100)", "paper", context).points()) > 1


def test_a_study_tunes_no_value_that_does_not_fit_the_data(context: TuningContext) -> None:
    with pytest.raises(InvalidInput, match=r"ga\.samples is 801, but there are 800 texts"):
        Space("ga(samples=801)", "default", context)


def test_no_two_trials_of_the_greatest_study_share_a_samplers_state() -> None:
    assert MOST_TRIALS <= _SLOTS


@pytest.mark.parametrize(
    "value",
    [10**9, 100_001, "1000000000", 10**5000, "9" * 5000, "\u0663", "1e9"],
    ids=lambda value: type(value).__name__,
)
def test_too_many_trials_are_one_line(value: Any) -> None:
    with pytest.raises(InvalidInput, match="trials must be an integer of at least 1") as error:
        read_study_request("rmu", trials=value)
    assert len(str(error.value)) < 400
    assert read_study_request("rmu", trials=MOST_TRIALS).trials == MOST_TRIALS


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sampler_seed": 2**32}, "sampler_seed must be an integer of at least 0 and at most"),
        ({"seed": 10**30}, "seed must be an integer of at least 0 and at most 4294967295"),
        ({"prune_every": 10**5000}, "prune_every must be an integer of at least 1 and at most"),
        ({"objective": "wmdp:min," * 1000}, "objective may have 6000 characters"),
        ({"experiment": "a\x00"}, "experiment must be one line"),
        ({"name": "x" * 300}, "name must be one line of 1 to 200"),
        ({"workers": 10**5000}, "workers must be at least 1"),
    ],
)
def test_values_that_nothing_can_hold_are_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as error:
        read_study_request("rmu", **values)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"intervention": 5}, "intervention must be a string, but got 5"),
        ({"trials": 2.5}, "trials must be an integer or a string, but got 2.5"),
        ({"seed": True}, "seed must be an integer or a string, but got True"),
        ({"trails": 3}, "tune has no argument 'trails'. Did you mean 'trials'?"),
    ],
)
def test_wrong_types_from_python_are_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        tune(**{"intervention": "rmu", **values})
    assert message in str(error.value)


def test_a_long_objective_or_constraint_is_one_line() -> None:
    for read in (lambda text: read_objectives(text, []), read_constraints):
        with pytest.raises(InvalidInput) as error:
            read("a:b:c<" * 900)
        assert len(str(error.value)) < 400
