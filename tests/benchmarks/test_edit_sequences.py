"""The differences and the table of sequences of edits, from values whose answer is known."""

from typing import Any

import pytest
from scipy import stats

from benchmarks.edit_sequences import CRITERIA, METHODS, difference, sequence_of, table


def values_of(start: int, *scores: float) -> dict[str, Any]:
    items = {str(edit): score for edit, score in enumerate(scores)}
    return {
        **dict.fromkeys(("first batch, at once", *CRITERIA), 0.5),
        "start": start,
        "first_items": items,
    }


def test_every_step_of_a_sequence_writes_the_next_batch_with_equal_fields() -> None:
    for method in METHODS:
        steps = sequence_of(method, 3)
        assert [step.batches_later for step in steps] == [0, 1, 2]
        assert len({str(step.identity()) for step in steps}) == 1


def test_a_seed_draws_the_order_of_the_batches_after_the_first() -> None:
    orders = [
        tuple(step.batches_later for step in sequence_of("memit", 10, seed)) for seed in range(3)
    ]
    assert len(set(orders)) == 3 and orders[0] == tuple(range(10))
    assert {order[0] for order in orders} == {0} and {frozenset(o) for o in orders} == {
        frozenset(range(10))
    }


def test_an_edits_difference_is_the_mean_over_seeds_and_the_interval_is_over_edits() -> None:
    ours = [values_of(0, 1.0, 0.6), values_of(0, 0.8, 0.6), values_of(10, 0.5, 0.5)]
    theirs = [values_of(0, 0.2, 0.6), values_of(10, 0.1, 0.3), values_of(0, 0.4, 0.6)]
    gains = [0.6, 0.0, 0.4, 0.2]  # of two edits of each sequence
    mean, half = difference(ours, theirs)
    assert mean == pytest.approx(0.3)
    low, high = stats.t.interval(0.95, 3, loc=0.3, scale=stats.sem(gains))
    assert half == pytest.approx((high - low) / 2)


def test_the_table_has_a_row_a_method_and_says_how_far_sequences_differ() -> None:
    ours = [values_of(0, 1.0, 0.9), values_of(10, 0.5, 0.4)]
    theirs = [values_of(0, 0.5, 0.5), values_of(10, 0.5, 0.5)]
    lines = table({"alphaedit": ours, "memit": theirs})
    assert lines[2].startswith("| `alphaedit` | 0.50 |") and lines[3].startswith("| `memit` |")
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert lines[-1].startswith("`alphaedit` less `memit`, first batch at the end: +0.20 ± ")
    assert lines[-1].endswith("(+0.45 from batch 0, -0.05 from batch 10)")
