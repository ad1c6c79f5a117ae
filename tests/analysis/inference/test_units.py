from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.inference.intervals import intervals
from analysis.inference.units import BATCHES, ONE_BATCH, SEEDS, collect_units
from analysis.metrics.composability import point
from interventions.errors import InvalidInput
from tests.analysis.synthetic import curve, frame, run

RNG = np.random.default_rng(4)


def pair(first: str, values: Any, **columns: Any) -> list[dict[str, Any]]:
    """Both orders of a method and Wanda; ``values`` are those of the criteria after each order."""
    orders = (f"{first} | wanda", f"wanda | {first}")
    return [
        run(order, level=0.5, **columns, **of_order)
        for order, of_order in zip(orders, values, strict=True)
    ]


def drawn(**more: Any) -> list[dict[str, float]]:
    """Values of a criterion after either order, never equal to others."""
    return [{"mmlu": float(value), **more} for value in RNG.random(2)]


def units_of(runs: list[dict[str, Any]]) -> tuple[int, str]:
    """How many units the single point has, and of which kind."""
    table = frame(runs)
    points = point(table)
    units = collect_units(table, points)
    return len(units.point), str(units.kinds[0])


def test_a_pair_that_reads_edits_is_replicated_by_batches_and_its_seeds_are_averaged() -> None:
    runs = [
        run_
        for batch in range(3)
        for seed in range(2)
        for run_ in pair("ft", drawn(), edit_batch=batch, seed=seed)
    ]
    assert units_of(runs) == (3, BATCHES)
    table = frame(runs)
    points = point(table)
    units = collect_units(table, points)
    forward = table[table.step1 == "ft"].groupby("edit_batch").mmlu.mean()
    assert sorted(units.forward[:, 0]) == pytest.approx(sorted(forward))


def test_equal_weights_of_two_batches_are_one_unit() -> None:
    hashes = ["a", "b", "b", "c"]
    runs = [
        run_
        for batch, weights in enumerate(hashes)
        for run_ in pair("ft", drawn(weights=weights), edit_batch=batch)
    ]
    assert units_of(runs) == (3, BATCHES)


def test_equal_weights_of_one_order_alone_are_two_units() -> None:
    runs = []
    for batch in range(2):
        first, second = drawn()
        values = [{**first, "weights": "same"}, {**second, "weights": f"{batch}"}]
        runs += pair("ft", values, edit_batch=batch)
    assert units_of(runs) == (2, BATCHES)


@pytest.mark.parametrize("column", ["weights", "checksum"])
def test_a_method_that_ignores_the_seed_has_one_unit_whatever_is_measured(column: str) -> None:
    """Two machines measure a little otherwise; the weights are the same."""
    runs = [run_ for seed in range(5) for run_ in pair("ga", drawn(**{column: "same"}), seed=seed)]
    assert units_of(runs) == (1, SEEDS)


def test_the_hash_of_all_weights_tells_units_where_a_checksum_says_otherwise() -> None:
    runs = [
        run_
        for seed in range(2)
        for run_ in pair("ga", drawn(weights="same", checksum=f"{seed}"), seed=seed)
    ]
    assert units_of(runs) == (1, SEEDS)


def test_runs_of_before_have_one_unit_where_all_values_are_equal() -> None:
    same, other = drawn(), drawn()
    runs = [run_ for seed in range(4) for run_ in pair("ga", same, seed=seed)]
    assert units_of(runs) == (1, SEEDS)
    assert units_of([*runs, *pair("ga", other, seed=9)]) == (2, SEEDS)


def test_runs_of_before_that_are_judged_by_edits_alone_are_compared_within_a_batch() -> None:
    runs = []
    for batch in range(2):
        same = [{"edit_success": float(value)} for value in RNG.random(2)]
        for seed in range(3):
            runs += pair("ga", same, edit_batch=batch, seed=seed)
    assert units_of(runs) == (1, SEEDS)


def test_a_pair_that_reads_no_edits_has_one_unit_in_all_batches() -> None:
    """Its edits differ from batch to batch, so its edit success does, and its weights do not."""
    same = drawn()
    runs = []
    for batch in range(4):
        values = [{**side, "edit_success": float(RNG.random())} for side in same]
        runs += pair("ga", values, edit_batch=batch)
    assert units_of(runs) == (1, SEEDS)


def test_a_random_pair_that_reads_no_edits_is_replicated_by_seeds() -> None:
    runs = []
    for seed in range(3):
        same = drawn()
        for batch in range(2):
            runs += pair("rmu", same, edit_batch=batch, seed=seed)
    assert units_of(runs) == (3, SEEDS)


def test_a_pair_whose_weights_change_with_the_batch_reads_edits_whatever_its_category() -> None:
    runs = [run_ for batch in range(3) for run_ in pair("ga", drawn(), edit_batch=batch)]
    assert units_of(runs) == (3, BATCHES)


def test_equal_values_of_two_batches_of_edits_are_a_coincidence() -> None:
    """Saturated: all batches have 1.0. Other edits make other weights."""
    perfect = {"edit_success": 1.0, "mmlu": 1.0}
    runs = [run_ for batch in range(4) for run_ in pair("ft", [perfect, perfect], edit_batch=batch)]
    assert units_of(runs) == (4, BATCHES)


def test_one_batch_of_edits_with_several_seeds_is_this_batch_only() -> None:
    runs = [run_ for seed in range(4) for run_ in pair("ft", drawn(), seed=seed)]
    assert units_of(runs) == (4, ONE_BATCH)
    table = frame(runs)
    row = intervals(table, point(table)).iloc[0]
    assert (row.basis, row.differs) == (ONE_BATCH, False)


def test_one_batch_is_no_claim_however_clear_it_is() -> None:
    runs = []
    for seed in range(6):
        values = [{"mmlu": 0.9 + seed / 1e4}, {"mmlu": 0.1}]
        runs += pair("ft", values, seed=seed)
    table = frame(runs)
    row = intervals(table, point(table)).iloc[0]
    assert not row.differs and np.isnan(row.p)


def test_a_hash_counts_only_where_every_run_of_the_point_has_one() -> None:
    same = drawn()
    runs = [run_ for seed in range(3) for run_ in pair("ga", same, seed=seed)]
    for number, made in enumerate(runs[2:]):
        made["weights"] = f"{number}"
    assert units_of(runs) == (1, SEEDS)


def test_units_have_one_name_at_every_level() -> None:
    runs = []
    for batch in range(3):
        values = RNG.random(4)
        runs += curve("ft", "wanda", [0.25, 0.5], values[:2], values[2:], edit_batch=batch)
    table = frame(runs)
    units = collect_units(table, point(table))
    names = [set(units.names[units.point == number]) for number in (0, 1)]
    assert names[0] == names[1] and len(names[0]) == 3


def test_an_infinite_run_is_said() -> None:
    runs = [run_ for batch in range(3) for run_ in pair("ft", drawn(), edit_batch=batch)]
    for made in runs:
        made["wikitext_ppl"] = 5.0 + made["edit_batch"]
    runs[0]["wikitext_ppl"] = np.inf
    table = frame(runs)
    units = collect_units(table, point(table))
    infinite = dict(zip(units.criteria, units.is_infinite[0], strict=True))
    assert infinite == {"wikitext_ppl": True, "mmlu": False}


def test_points_of_other_runs_are_refused() -> None:
    runs = [run_ for batch in range(3) for run_ in pair("ft", drawn(), edit_batch=batch)]
    table = frame(runs)
    with pytest.raises(InvalidInput, match=r"points must be computed from these runs, but point 0"):
        intervals(table[table.edit_batch < 2], point(table))
    assert isinstance(intervals(table, point(table)), pd.DataFrame)
