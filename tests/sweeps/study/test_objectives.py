"""What a study looks for, as it is written."""

import math

import pandas as pd
import pytest

from analysis.metrics import composability
from interventions.base import Intervention
from interventions.compression.gptq import GPTQ
from interventions.compression.wanda import Wanda
from interventions.editing.ft import FT
from interventions.errors import InvalidInput
from interventions.unlearning.rmu import RMU
from sweeps.study.objectives import (
    Constraint,
    Objective,
    finite,
    objectives_in_words,
    read_constraints,
    read_objectives,
)
from tracking.measures import MEASURES

STEPS = (FT, Wanda)


@pytest.fixture(autouse=True)
def _small_testbed() -> None:
    """All criteria are known here, not only the cheap ones; none is measured."""


def test_a_direction_that_is_not_written_is_the_criterions_better_one() -> None:
    objectives = read_objectives("edit_success, average_bits,sparsity:max", STEPS)
    words = objectives_in_words(objectives)
    assert words == "edit_success:max,average_bits:min,sparsity:max"
    assert read_objectives(words, STEPS) == objectives
    assert objectives_in_words(read_objectives("edit_success:min", STEPS)) == "edit_success:min"


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
        for measure in MEASURES:
            (objective,) = read_objectives(f"{measure}:{criterion}", STEPS)
            assert objective.name == f"{measure}:{criterion}"
            assert objective.direction == "minimize"
            value = objective.from_paths(*([{objective.criterion: each}] for each in both))
            assert value == pytest.approx(points.loc[criterion, measure])


def test_two_destroyed_models_are_not_insensitive_to_order() -> None:
    (objective,) = read_objectives("order_sensitivity:edit_success", STEPS)
    for both in ((math.inf, math.inf), (math.inf, 1.0)):
        paths = [[{objective.criterion: each}] for each in both]
        assert objective.from_paths(*paths) == math.inf


def test_an_objective_of_the_criterion_itself_is_its_value_after_the_last_step() -> None:
    path = [{"mmlu": 0.25}, {"mmlu": 0.5}, {"mmlu": 0.75}]
    assert Objective("mmlu", "maximize").from_paths(path) == 0.75


def test_a_measure_of_a_criterion_that_no_registry_has_goes_by_the_better_direction_given() -> None:
    objective = Objective("of_mine", "minimize", "order_free_error", better="lower")
    assert objective.from_paths([{"of_mine": 0.5}], [{"of_mine": 0.25}]) == 0.25


def test_samplers_get_finite_values() -> None:
    assert (finite(math.inf), finite(-math.inf), finite(0.5)) == (1e9, -1e9, 0.5)


def test_a_constraint_is_met_strictly_or_not_as_it_is_written() -> None:
    above, at_most = read_constraints("edit_success>0.55, average_bits<=4")
    assert (str(above), str(at_most)) == ("edit_success>0.55", "average_bits<=4")
    for value, met in ((0.56, True), (0.55, False), (0.5, False)):
        assert (above.violation({"edit_success": value}) <= 0) == met
    for value, met in ((3.0, True), (4.0, True), (4.1, False), (math.inf, False)):
        assert (at_most.violation({"average_bits": value}) <= 0) == met
        assert math.isfinite(at_most.violation({"average_bits": value}))
    assert Constraint("edit_success", ">=", 0.5).violation({"edit_success": 0.5}) <= 0
    assert read_constraints("none") == []


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
        read_objectives(text, STEPS)


def test_orders_are_of_two_different_steps() -> None:
    for steps in ((FT,), (FT, FT), (FT, Wanda, FT)):
        with pytest.raises(
            InvalidInput, match="compares the two orders of two different interventions, but got ft"
        ):
            read_objectives("order_sensitivity:edit_success", steps)


@pytest.mark.parametrize(
    "text",
    [
        "edit_success",
        "edit_success=1",
        "edit_success>x",
        "edit_success>nan",
        "edit_success<inf",
        "",
        ">1",
    ],
)
def test_a_constraint_that_cannot_be_read_is_one_line(text: str) -> None:
    with pytest.raises(
        InvalidInput, match=r"cannot read the constraint .* such as mmlu>0.55,wmdp<0.30"
    ):
        read_constraints(text)
    with pytest.raises(InvalidInput, match="no criterion is named 'nothing'"):
        read_constraints("edit_success>0.5,nothing<1")


def test_the_usual_objectives_are_those_that_studies_are_named_by() -> None:
    """Their order enters a study's automatic name, so that it must not change."""
    usual: dict[type[Intervention], str] = {
        FT: "edit_success:max,edit_locality:max",
        Wanda: "average_bits:min,wikitext_ppl:min",
        RMU: "wmdp:min,mmlu:max",
    }
    for step, words in usual.items():
        assert objectives_in_words(read_objectives("auto", [step])) == words
    assert (
        objectives_in_words(read_objectives("auto", [FT, RMU, FT])) == f"{usual[FT]},{usual[RMU]}"
    )


def test_a_category_that_no_criterion_judges_needs_an_objective(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FT, "category", "alchemy")
    with pytest.raises(InvalidInput, match="no criterion judges alchemy: give an objective"):
        read_objectives("auto", [FT])


def test_the_restored_share_is_of_what_unlearning_took_wherever_it_stands() -> None:
    def value(text: str, steps: tuple[type[Intervention], ...], path: list[float]) -> float:
        (objective,) = read_objectives(text, steps)
        assert not objective.compares_orders and objective.direction == "minimize"
        return objective.from_paths([{"wmdp": of_step} for of_step in path])

    assert objectives_in_words(read_objectives("restored:wmdp", (RMU, GPTQ))) == "restored:wmdp:min"
    # base model, after rmu, after gptq: of .5 that were taken away .1 is back
    assert value("restored:wmdp", (RMU, GPTQ), [0.9, 0.4, 0.5]) == pytest.approx(0.2)
    # an edit before it, and a compression that was applied again
    assert value("restored:wmdp", (FT, RMU, GPTQ), [0.9, 0.8, 0.4, 0.6, 0.7]) == pytest.approx(0.75)
    assert value("restored:wmdp", (RMU, GPTQ), [0.9, 0.4, 0.3]) == 0
    # where nothing was taken, or the model is gone, no share is small
    for path in ([0.9, 0.86, 0.5], [0.9, 0.95, 0.9], [0.9, 0.4, math.inf], [math.nan, 0.4, 0.5]):
        assert value("restored:wmdp", (RMU, GPTQ), path) == math.inf
    assert value("restored:wmdp", (RMU, GPTQ), [0.75, 0.5, 0.5]) == 0


@pytest.mark.parametrize(
    ("text", "steps", "words"),
    [
        ("restored:wmdp", (RMU,), "needs one step of unlearning with others after it"),
        ("restored:wmdp", (GPTQ, RMU), "such as rmu | gptq, but got gptq | rmu"),
        ("restored:wmdp", (FT, Wanda), "but got ft | wanda"),
        ("restored:wmdp", (RMU, FT, RMU, GPTQ), "but got rmu | ft | rmu | gptq"),
        ("restored:mmlu", (RMU, GPTQ), "and 'mmlu' does not measure that; wmdp does"),
        ("restored:flips", (RMU, GPTQ), "and 'flips' does not measure that; wmdp does"),
        ("restored:forget_quality", (RMU, GPTQ), "of forget_quality the better direction is"),
    ],
)
def test_what_has_no_restored_share_is_refused(
    text: str, steps: tuple[type[Intervention], ...], words: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_objectives(text, steps)
    assert words in str(refused.value)
