import math

import numpy as np
import pandas as pd
import pytest

from analysis.inference.scores import (
    check_weights,
    default_weights,
    gains,
    shares_of_points,
)
from analysis.metrics.composability import point
from interventions.errors import InvalidInput
from tests.analysis.synthetic import frame, run, third_party
from tracking.catalogue import Catalogue, CriterionFacts, as_tag, house_criteria

EVERYTHING = {name: 0.5 for name in house_criteria()}


def points_of(pair: str, **columns: object) -> pd.DataFrame:
    names = pair.split(" + ")
    orders = (" | ".join(names), " | ".join(reversed(names)))
    return point(frame(run(steps, **columns) for steps in orders))


@pytest.mark.parametrize(
    ("pair", "weighted"),
    [
        (
            "ft + wanda",
            ["edit_success", "edit_generalization", "edit_locality", "edit_preservation", "mmlu"],
        ),
        ("ga + wanda", ["wmdp", "mmlu"]),
        ("awq + wanda", ["mmlu"]),
    ],
)
def test_criteria_that_a_pair_is_about_have_a_weight_by_default(
    pair: str, weighted: list[str]
) -> None:
    values = dict.fromkeys([*weighted, *EVERYTHING], 0.5)
    weights = default_weights(points_of(pair, level=0.5, **values), Catalogue())
    assert set(weighted) <= set(weights)
    assert not any(name.startswith(("wmdp_", "average", "sparsity", "wiki")) for name in weights)


def test_parts_of_a_criterion_count_where_the_whole_was_not_measured() -> None:
    values = {"wmdp_bio": 0.3, "wmdp_cyber": 0.4}
    weights = default_weights(points_of("ga + wanda", level=0.5, **values), Catalogue())
    assert list(weights) == ["wmdp_bio", "wmdp_cyber"]


def test_a_third_partys_criterion_counts_for_every_pair_or_for_its_category() -> None:
    facts = {
        "toxicity": CriterionFacts("lower", "share", group="toxicity"),
        "leakage": CriterionFacts("lower", "share", category="unlearning"),
        "speed": CriterionFacts("higher", "tokens per second"),
    }
    columns = third_party(toxicity=0.2, leakage=0.1, speed=9.0, about_criteria=as_tag(facts))
    points = points_of("ft + wanda", level=0.5, **columns)
    catalogue = Catalogue(criteria=house_criteria() | facts)
    assert default_weights(points, catalogue) == {"toxicity": 1.0}


def test_a_criterion_without_a_direction_cannot_have_a_weight() -> None:
    points = points_of("ft + wanda", level=0.5, sparsity=0.5, mmlu=0.5)
    with pytest.raises(InvalidInput, match="sparsity cannot have a weight: neither direction"):
        check_weights(points, {"sparsity": 1})
    with pytest.raises(InvalidInput, match="the runs have no criterion 'mmluu'"):
        check_weights(points, {"mmluu": 1})
    with pytest.raises(InvalidInput, match="weights must be at least 0, but mmlu has nan"):
        check_weights(points, {"mmlu": math.nan})
    with pytest.raises(InvalidInput, match="weights must be at least 0, but mmlu has inf"):
        check_weights(points, {"mmlu": math.inf})
    check_weights(points, {"mmlu": 0.5})


def gain_of(criterion: str, forward: float, backward: float) -> float:
    facts = house_criteria()[criterion]
    sides = np.array([forward]), np.array([backward])
    return float(gains(facts.better, facts.unit, facts.chance, *sides)[0])


def test_gains_are_differences_of_shares_and_halvings_of_the_rest() -> None:
    assert gain_of("mmlu", 0.6, 0.5) == pytest.approx(0.1)
    assert gain_of("wmdp", 0.3, 0.5) == pytest.approx(0.2)
    assert gain_of("wikitext_ppl", 8.0, 32.0) == 2
    assert gain_of("average_bits", 4.0, 2.0) == -1
    assert math.isnan(gain_of("sparsity", 0.1, 0.2))
    assert math.isnan(gain_of("wikitext_ppl", math.inf, math.inf))


def test_nothing_is_gained_below_chance_where_lower_is_better() -> None:
    assert gain_of("wmdp", 0.10, 0.20) == 0
    assert gain_of("wmdp", 0.10, 0.35) == pytest.approx(0.10)
    assert gain_of("wmdp", 0.35, 0.10) == pytest.approx(-0.10)
    assert gain_of("mmlu", 0.10, 0.20) == pytest.approx(-0.10)


@pytest.mark.parametrize("criterion", ["wmdp", "wikitext_ppl"])
def test_equal_values_have_no_negative_zero_for_a_gain(criterion: str) -> None:
    assert str(gain_of(criterion, 0.1, 0.1)) == "0.0"


def test_what_measures_one_thing_shares_a_weight() -> None:
    points = points_of("ft + wanda", level=0.5, **EVERYTHING)
    weights = default_weights(points, Catalogue())
    assert weights["edit_locality"] == weights["edit_preservation"] == 0.5
    alone = {"edit_preservation": 0.5, "mmlu": 0.5}
    assert default_weights(points_of("ft + wanda", level=0.5, **alone), Catalogue()) == {
        "edit_preservation": 1.0,
        "mmlu": 1.0,
    }


def test_a_criterions_weight_is_spread_over_the_levels_that_have_a_gain() -> None:
    criteria, weight = np.array([0, 1, 0, 1]), np.array([3.0, 1.0, 3.0, 1.0])
    parts = shares_of_points(criteria, weight, np.array([0.1, 0.1, 0.1, 0.1]))
    assert parts == pytest.approx([3 / 8, 1 / 8, 3 / 8, 1 / 8])
    with_gap = shares_of_points(criteria, weight, np.array([0.1, 0.1, math.nan, 0.1]))
    assert with_gap == pytest.approx([6 / 8, 1 / 8, 0, 1 / 8])
    assert shares_of_points(criteria, weight, np.full(4, math.nan)).tolist() == [0, 0, 0, 0]
