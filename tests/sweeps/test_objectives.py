"""What a study looks for, as it is written."""

import math

import pandas as pd
import pytest

from analysis.metrics import composability
from interventions.compression.wanda import Wanda
from interventions.criteria.base import Scores
from interventions.editing.ft import FT
from interventions.errors import InvalidInput
from sweeps.study.objectives import Constraint, constraints, in_words, objectives
from tracking.measures import MEASURES

STEPS = (FT, Wanda)


def scores(**values: float) -> dict[str, Scores]:
    return {name: Scores(value, 0.0, {}) for name, value in values.items()}


def test_a_direction_that_is_not_written_is_the_criterions_better_one() -> None:
    found = objectives("edit_success, average_bits,sparsity:max", STEPS)
    assert in_words(found) == "edit_success:max,average_bits:min,sparsity:max"
    assert in_words(objectives(in_words(found), STEPS)) == in_words(found)
    assert in_words(objectives("edit_success:min", STEPS)) == "edit_success:min"


def test_composability_is_an_objective_of_both_orders_and_as_the_analysis_has_it() -> None:
    """The two formulas, on one pair: made-up values."""
    common = {
        "pair": "ft + wanda",
        "wanda.sparsity": 0.5,
        "status": "FINISHED",
        "model": "m",
        "data": "d",
    }
    values = {"edit_success": (0.9, 0.7), "average_bits": (3.5, 4.0)}
    runs = pd.DataFrame(
        [
            {
                "run_id": steps[0],
                "run_name": steps[0],
                "step1": steps[0],
                "step2": steps[1],
                **common,
            }
            | {criterion: both[i] for criterion, both in values.items()}
            for i, steps in enumerate((("ft", "wanda"), ("wanda", "ft")))
        ]
    )
    points = composability.point(runs).set_index("criterion")
    for criterion, both in values.items():
        forward, backward = (scores(**{criterion: value}) for value in both)
        for measure in MEASURES:
            (one,) = objectives(f"{measure}:{criterion}", STEPS)
            assert (one.name, one.direction) == (f"{measure}:{criterion}", "minimize")
            assert one.value(forward, backward) == pytest.approx(points.loc[criterion, measure])


def test_two_destroyed_models_are_not_insensitive_to_order() -> None:
    (one,) = objectives("order_sensitivity:edit_success", STEPS)
    infinite = scores(edit_success=math.inf)
    assert one.value(infinite, infinite) == math.inf and one.told(math.inf) == 1e9
    assert one.value(infinite, scores(edit_success=1.0)) == math.inf


def test_a_constraint_is_met_strictly_or_not_as_it_is_written() -> None:
    found = constraints("edit_success>0.55, average_bits<=4")
    assert [str(one) for one in found] == ["edit_success>0.55", "average_bits<=4"]
    above, at_most = found
    for value, met in ((0.56, True), (0.55, False), (0.5, False)):
        assert (above.violation(scores(edit_success=value)) <= 0) == met
    for value, met in ((3.0, True), (4.0, True), (4.1, False), (math.inf, False)):
        assert (at_most.violation(scores(average_bits=value)) <= 0) == met
        assert math.isfinite(at_most.violation(scores(average_bits=value)))
    assert Constraint("edit_success", ">=", 0.5).violation(scores(edit_success=0.5)) <= 0
    assert constraints("none") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("edit_succes", "no criterion is named 'edit_succes'. Did you mean 'edit_success'"),
        (
            "edit_success:up",
            "the direction of objective 'edit_success:up' must be min or max, but got 'up'",
        ),
        ("sparsity", "neither direction of sparsity is the better one: write sparsity:min or :max"),
        ("edit_success,edit_success:min", "objective edit_success is named twice"),
        ("", "cannot read the objective ''"),
        ("edit_success:max:x", "cannot read the objective 'edit_success:max:x'"),
        ("order_sensitivity:nothing", "no criterion is named 'nothing'"),
        ("order_sensitivity", "cannot read the objective 'order_sensitivity'"),
    ],
)
def test_an_objective_that_cannot_be_read_is_one_line(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        objectives(text, STEPS)


def test_orders_are_of_two_different_steps() -> None:
    for steps in ((FT,), (FT, FT), (FT, Wanda, FT)):
        with pytest.raises(
            InvalidInput, match="compares the two orders of two different interventions, but got ft"
        ):
            objectives("order_sensitivity:edit_success", steps)


@pytest.mark.parametrize(
    "text", ["edit_success", "edit_success=1", "edit_success>x", "edit_success>nan", "", ">1"]
)
def test_a_constraint_that_cannot_be_read_is_one_line(text: str) -> None:
    with pytest.raises(
        InvalidInput, match=r"cannot read the constraint .* such as mmlu>0.55,wmdp<0.30"
    ):
        constraints(text)
    with pytest.raises(InvalidInput, match="no criterion is named 'nothing'"):
        constraints("edit_success>0.5,nothing<1")
