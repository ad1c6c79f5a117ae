import math

import numpy as np
import pandas as pd
import pytest

from analysis.inference.scores import (
    certainty,
    check_weights,
    compare_criteria,
    default_weights,
    gains,
    shares_of_points,
)
from analysis.metrics.composability import point
from interventions.errors import InvalidInput
from tests.analysis.synthetic import curve, frame, only, run, third_party
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
    weights = default_weights(points_of(pair, level=0.5, **EVERYTHING), Catalogue())
    assert weights == dict.fromkeys(weighted, 1.0)


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
    with pytest.raises(InvalidInput, match="weights must be at least 0, but mmlu has nan"):
        check_weights(points, {"mmlu": math.nan})
    check_weights(points, {"mmlu": 0.5})


def test_gains_are_differences_of_shares_and_halvings_of_the_rest() -> None:
    points = points_of("ga + wanda", level=0.5, mmlu=0.5, wmdp=0.5, wikitext_ppl=8.0, sparsity=0.5)
    assert list(points.criterion) == ["wmdp", "mmlu", "wikitext_ppl", "sparsity"]
    forward, backward = np.array([0.3, 0.6, 8.0, 0.1]), np.array([0.5, 0.5, 32.0, 0.2])
    gain = gains(points, np.arange(4), forward, backward)
    assert gain[:3] == pytest.approx([0.2, 0.1, 2.0])
    assert math.isnan(gain[3])
    turned = gains(points, np.array([2, 0]), np.full((2, 3), 0.5), np.full((2, 3), 0.25))
    assert turned == pytest.approx(np.array([[-1.0] * 3, [-0.25] * 3]))


def test_a_criterions_weight_is_spread_over_the_levels_that_have_a_gain() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.8, 0.7])
    for row, mmlu in zip(runs, [0.6, 0.5, 0.6, 0.5], strict=True):
        row["mmlu"] = mmlu
    points = point(frame(runs))
    assert list(points.criterion) == ["edit_success", "mmlu"] * 2
    weight = np.array([3.0, 1.0, 3.0, 1.0])
    parts = shares_of_points(points, weight, np.array([0.1, 0.1, 0.1, 0.1]))
    assert parts == pytest.approx([3 / 8, 1 / 8, 3 / 8, 1 / 8])
    with_gap = shares_of_points(points, weight, np.array([0.1, 0.1, math.nan, 0.1]))
    assert with_gap == pytest.approx([6 / 8, 1 / 8, 0, 1 / 8])
    assert shares_of_points(points, weight, np.full(4, math.nan)).tolist() == [0, 0, 0, 0]


def test_how_sure_is_the_share_of_weighted_resamples_in_the_good_direction() -> None:
    draws = {0: np.array([-1.0, -1.0, -1.0, 3.0]), 1: np.array([0.0, 1.0, -1.0, -1.0])}
    low, high, sure = certainty(np.array([0.5, 0.5]), draws, -1, 0.5)
    # minus the means: 0.5, 0, 1, -1
    assert (low, high) == pytest.approx((-0.25, 0.625))
    assert sure == (2 + 0.5) / 4
    missing = certainty(np.array([0.5, 0.5]), {0: draws[0]}, 1, 0.5)
    assert all(map(math.isnan, missing))
    unweighted = certainty(np.array([1.0, 0.0]), {0: draws[0]}, -1, 0.5)
    assert unweighted[2] == 3 / 4


def test_criteria_are_compared_by_their_means_over_levels() -> None:
    points = point(frame(curve("ft", "wanda", [0.25, 0.5], [0.9, 0.8], [0.7, 0.8])))
    gain = np.array([0.2, 0.0])
    draws = {0: np.array([0.1, 0.3]), 1: np.array([0.0, 0.1])}
    (row,) = compare_criteria(points, {"edit_success": 2.0}, gain, draws, 1, 0.5).itertuples()
    assert (row.chosen, row.other, row.gain) == pytest.approx((0.85, 0.75, 0.1))
    assert (row.low, row.high) == pytest.approx((0.0875, 0.1625))
    assert (row.weight, row.unit) == (2.0, "F1")
    backward = only(compare_criteria(points, {"edit_success": 2.0}, gain, draws, -1, 0.5))
    assert (backward.low, backward.high) == pytest.approx((-0.1625, -0.0875))
    turned = only(compare_criteria(points, {}, gain, {0: draws[0]}, -1, 0.5))
    assert (turned.chosen, turned.other, turned.gain) == pytest.approx((0.75, 0.85, -0.1))
    assert (turned.weight, math.isnan(turned.low)) == (0.0, True)
