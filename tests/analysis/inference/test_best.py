import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.inference.best import best_method
from analysis.metrics.composability import point
from interventions.errors import InvalidInput
from tests.analysis.synthetic import curve, frame

RNG = np.random.default_rng(14)
BATCHES = 5


def composed(
    means: dict[str, float], noise: float = 0.02, criterion: str = "edit_success"
) -> pd.DataFrame:
    """FT and LoRA with some prunings, at two levels: the forward order has the mean."""
    runs = []
    for batch in range(BATCHES):
        for edit in ("ft", "lora"):
            for method, mean in means.items():
                sides = [mean + RNG.normal(0, noise, 2), mean - 0.2 + RNG.normal(0, noise, 2)]
                options: dict[str, Any] = {"criterion": criterion, "edit_batch": batch}
                runs += curve(edit, method, [0.25, 0.5], *sides, **options)
    return frame(runs)


def errors_of(runs: pd.DataFrame, method: str) -> np.ndarray:
    """Per batch, the mean error of the order in which the edit comes first."""
    first = runs[(runs.step2 == method)]
    return 1 - first.groupby("edit_batch").edit_success.mean().to_numpy()


def test_the_best_has_the_lowest_mean_and_a_paired_t_test_against_every_rival() -> None:
    runs = composed({"wanda": 0.8, "sparsegpt": 0.6, "magnitude": 0.5})
    best = best_method(runs, point(runs))
    assert best is not None
    assert (best.method, best.is_best, best.cells, best.units) == ("wanda", True, 4, BATCHES)
    assert best.value == pytest.approx(errors_of(runs, "wanda").mean())
    assert best.rivals.method.tolist() == ["sparsegpt", "magnitude"]
    for row in best.rivals.itertuples():
        reference = stats.ttest_rel(errors_of(runs, str(row.method)), errors_of(runs, "wanda"))
        assert row.p == pytest.approx(reference.pvalue)
        low, high = reference.confidence_interval(0.95)
        assert (row.low, row.high) == pytest.approx((low, high))
    assert best.p == best.rivals.p.max()


def test_one_rival_that_is_as_good_denies_the_title() -> None:
    runs = composed({"wanda": 0.8, "sparsegpt": 0.8, "magnitude": 0.3})
    best = best_method(runs, point(runs))
    assert best is not None and not best.is_best
    assert best.rivals.p.max() > 0.05 > best.rivals.p.min()


def test_methods_are_compared_over_what_all_of_them_have() -> None:
    runs = composed({"wanda": 0.8, "sparsegpt": 0.6})
    runs = runs[~((runs.step2 == "wanda") & (runs["wanda.sparsity"] == 0.5) & (runs.step1 == "ft"))]
    best = best_method(runs, point(runs))
    assert best is not None and best.cells == 3
    runs = runs[(runs.edit_batch > 1) | ~runs.pair.str.contains("sparsegpt")]
    fewer = best_method(runs, point(runs))
    assert fewer is not None and fewer.units == BATCHES - 2


def test_the_order_is_chosen_on_all_batches_together() -> None:
    """The forward order is better on average; in one batch it is not, and counts all the same."""
    runs = composed({"wanda": 0.8, "sparsegpt": 0.6}, noise=0.0)
    dip = (runs.edit_batch == 0) & (runs.step2 == "wanda")
    runs.loc[dip, "edit_success"] = 0.3
    best = best_method(runs, point(runs))
    assert best is not None
    assert best.rivals.margin[0] == pytest.approx((4 * 0.2 + 0.3 - 0.6) / 5)


def test_sensitivity_is_the_size_of_the_mean_difference() -> None:
    runs = composed({"wanda": 0.8, "sparsegpt": 0.8}, noise=0.0)
    turned = runs.step1 == "sparsegpt"
    runs.loc[turned, "edit_success"] += 0.1 + 0.01 * runs.edit_batch[turned]
    best = best_method(runs, point(runs), measure="order_sensitivity")
    assert best is not None and (best.method, best.is_best) == ("sparsegpt", True)
    assert best.value == pytest.approx(0.2 - 0.1 - 0.02)


def test_the_worse_order_counts_for_the_printed_equation() -> None:
    runs = composed({"wanda": 0.8, "sparsegpt": 0.6}, noise=0.0)
    best = best_method(runs, point(runs, error="worst"), error="worst")
    assert best is not None and best.value == pytest.approx(1 - 0.6)


def test_where_lower_is_better_the_lowest_value_is_best() -> None:
    runs = composed({"wanda": 0.8, "sparsegpt": 0.5}, criterion="wmdp")
    best = best_method(runs, point(runs))
    assert best is not None and (best.method, best.is_best) == ("sparsegpt", True)
    assert best.value == pytest.approx(0.3, abs=0.03)


def test_without_batches_nothing_is_the_best() -> None:
    runs = composed({"wanda": 0.9, "sparsegpt": 0.1})
    runs = runs[runs.edit_batch < 1]
    best = best_method(runs, point(runs))
    assert best is not None and not best.is_best and math.isnan(best.p)


def test_margins_without_any_spread_are_no_test() -> None:
    runs = composed({"wanda": 0.9, "sparsegpt": 0.1}, noise=0.0)
    best = best_method(runs, point(runs))
    assert best is not None and not best.is_best


def test_one_method_or_no_common_cell_is_no_comparison() -> None:
    runs = composed({"wanda": 0.9})
    assert best_method(runs, point(runs)) is None
    two = composed({"wanda": 0.9, "sparsegpt": 0.5})
    apart = two[
        ((two.pair.str.contains("wanda")) & two.pair.str.contains("ft"))
        | ((two.pair.str.contains("sparsegpt")) & two.pair.str.contains("lora"))
    ]
    assert best_method(apart, point(apart)) is None


def test_several_criteria_or_one_without_a_direction_are_refused() -> None:
    runs = composed({"wanda": 0.9, "sparsegpt": 0.5}).assign(mmlu=0.5, sparsity=0.5)
    with pytest.raises(InvalidInput, match="points must be of one criterion, but are of"):
        best_method(runs, point(runs))
    with pytest.raises(InvalidInput, match="no method is the best by sparsity"):
        best_method(runs, point(runs, ["sparsity"]))


def test_a_margin_is_over_the_batches_that_all_methods_have() -> None:
    runs = composed({"wanda": 0.8, "sparsegpt": 0.6, "magnitude": 0.3})
    runs = runs[(runs.edit_batch > 1) | ~runs.pair.str.contains("magnitude")]
    best = best_method(runs, point(runs))
    assert best is not None and best.rivals.method[0] == "sparsegpt"
    differences = errors_of(runs, "sparsegpt")[2:] - errors_of(runs, "wanda")[2:]
    assert best.rivals.margin[0] == pytest.approx(differences.mean())
