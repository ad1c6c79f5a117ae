import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.inference.intervals import intervals
from analysis.inference.samples import (
    EXACT,
    ITEMS,
    MANY,
    REPLICATES,
    Samples,
    collect_samples,
    count_units,
    samples_in_words,
)
from analysis.metrics.composability import point
from tests.analysis.inference.replicated import interval, replicated
from tests.analysis.synthetic import curve, frame


def with_items(
    scores: list[tuple[float, float]], criterion: str = "edit_success", **columns: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One run per order, with a score per item of each."""
    means = [float(np.mean(side)) for side in zip(*scores, strict=True)]
    runs = frame(curve("ft", "wanda", [0.5], means[:1], means[1:], criterion=criterion, **columns))
    forward = runs.step1 == "ft"
    rows = []
    for item, pair in enumerate(scores):
        for is_order, score in zip((forward, ~forward), pair, strict=True):
            run_id = runs.run_id[is_order].item()
            described = {"run_id": run_id, "criterion": criterion, "step": 2}
            rows.append({**described, "item": str(item), "score": score})
    return runs, pd.DataFrame(rows)


def test_items_are_resampled_in_pairs_where_there_are_few_replicates() -> None:
    """60 items are 1 / 1, 30 are 1 / 0, 10 are 0 / 1. Reference: McNemar's standard error."""
    scores = [(1.0, 1.0)] * 60 + [(1.0, 0.0)] * 30 + [(0.0, 1.0)] * 10
    row = interval(*with_items(scores))
    error = math.sqrt((30 + 10 - (30 - 10) ** 2 / 100) / 100**2)
    assert row.gain == pytest.approx(0.2)
    assert row.gain_high - row.gain_low == pytest.approx(2 * 1.96 * error, rel=0.12)
    assert (row.units, row.over) == (100, "items")


def test_many_replicates_go_before_items() -> None:
    runs = replicated()
    _, items = with_items([(1.0, 0.0)] * 20)
    assert interval(runs, items).over == "edit batches and seeds"


def test_a_criterion_that_is_not_the_mean_of_its_items_has_no_interval_from_them() -> None:
    """Perplexity is the exponential of a mean; its items are negative log-likelihoods."""
    runs, items = with_items([(1.5, 1.6), (1.7, 1.8)], criterion="wikitext_ppl")
    runs["wikitext_ppl"] = np.exp(runs.wikitext_ppl)
    assert interval(runs, items).over == ""


def test_what_is_measured_exactly_has_no_width_whatever_its_items_are() -> None:
    """Average bits: every layer is measured, so layers are no sample."""
    runs, items = with_items(
        [(4.0, 4.0), (8.0, 4.0)], criterion="average_bits", **{"stderr/average_bits": 0.0}
    )
    row = interval(runs, items)
    assert (row.gain_low, row.gain_high, row.units) == (-2.0, -2.0, 0)


def test_items_of_replicates_are_averaged_by_item() -> None:
    """Two batches with the same questions are no two samples of questions."""
    batches = (
        with_items([(1.0, 0.0), (0.0, 0.0), (1.0, 1.0)]),
        with_items([(1.0, 0.0), (0.0, 0.0), (1.0, 1.0)]),
    )
    batches[1][0]["edit_batch"] = 1
    row = interval(*(pd.concat(tables) for tables in zip(*batches, strict=True)))
    assert (row.units, row.replicates) == (3, 2)


def test_items_of_different_edit_batches_are_not_paired() -> None:
    runs, items = with_items([(1.0, 0.0)] * 20)
    runs["edit_batch"] = [0, 1]
    both = pd.concat([runs, frame(curve("ft", "wanda", [0.75], [0.9], [0.8]))], ignore_index=True)
    row: Any = intervals(both, point(both), items).set_index("level").loc[0.5]
    assert (row.units, row.over, row.replicates) == (0, "", 0)
    assert math.isnan(row.gain)


def test_two_replicates_are_resampled_where_there_are_no_items() -> None:
    runs = replicated(np.array([0.9, 0.7]), np.array([0.6, 0.5]))
    (sample,) = collect_samples(runs, point(runs)).values()
    assert (sample.kind, sample.units) == (REPLICATES, ((0, 0), (0, 1)))
    assert (sample.forward.tolist(), sample.backward.tolist()) == ([0.9, 0.7], [0.6, 0.5])


@pytest.mark.parametrize(("count", "kind"), [(MANY - 1, ITEMS), (MANY, REPLICATES)])
def test_few_replicates_give_way_to_items(count: int, kind: str) -> None:
    tables = [with_items([(1.0, 0.0), (0.0, 0.0), (1.0, 1.0)]) for _ in range(count)]
    for batch, (runs, _) in enumerate(tables):
        runs["edit_batch"] = batch
    runs, items = (pd.concat(parts) for parts in zip(*tables, strict=True))
    assert [sample.kind for sample in collect_samples(runs, point(runs), items).values()] == [kind]


def test_only_items_that_both_orders_have_are_compared() -> None:
    runs, items = with_items([(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.0, 0.0)])
    is_forward = items.run_id == runs.run_id[runs.step1 == "ft"].item()
    items = items[~(is_forward & items.item.isin(["0", "1"]))]
    (sample,) = collect_samples(runs, point(runs), items.iloc[::-1]).values()
    assert sample.units == ("2", "3")
    assert sample.forward.tolist() == sample.backward.tolist() == [1.0, 0.0]


def test_a_point_with_items_of_one_run_only_has_no_samples() -> None:
    tables = [with_items([(1.0, 0.0), (0.0, 0.0)]) for _ in range(2)]
    tables[1][0]["edit_batch"] = 1
    runs = pd.concat([tables[0][0], tables[1][0]])
    (sample,) = collect_samples(runs, point(runs), tables[0][1]).values()
    assert sample.kind == REPLICATES


def test_a_criterion_that_is_exact_in_one_order_only_is_not_exact() -> None:
    runs, items = with_items([(4.0, 4.0), (8.0, 4.0)], criterion="average_bits")
    runs["stderr/average_bits"] = np.where(runs.step1 == "ft", 0.0, 0.5)
    (sample,) = collect_samples(runs, point(runs), items).values()
    assert sample.kind == ITEMS
    assert count_units(sample) == 2


def test_samples_are_described_by_their_sizes() -> None:
    def sample(kind: str, size: int) -> Samples:
        return Samples(kind, tuple(range(size)), np.zeros(size), np.zeros(size))

    assert samples_in_words({0: sample(ITEMS, 300), 4: sample(ITEMS, 50)}) == "50 to 300 items"
    assert samples_in_words({0: sample(ITEMS, 9), 1: sample(REPLICATES, 5)}) == (
        "5 edit batches and seeds and 9 items"
    )
    few = samples_in_words({0: sample(REPLICATES, 4), 1: sample(REPLICATES, 8)})
    assert few == "4 to 8 edit batches and seeds, which says little"
    assert samples_in_words({0: sample(EXACT, 2)}) == "nothing: measured exactly"


def test_a_replicate_that_only_one_order_has_is_not_resampled() -> None:
    runs = replicated(np.array([0.9, 0.7, 0.8]), np.array([0.6, 0.5, 0.4]))
    is_dropped = (runs.step1 == "ft") & (runs.edit_batch == 1)
    runs = runs[~is_dropped].reset_index(drop=True)
    (sample,) = collect_samples(runs, point(runs)).values()
    assert sample.units == ((0, 0), (0, 2))
    assert sample.backward.tolist() == [0.6, 0.4]


def test_the_scores_of_an_item_are_averaged_over_replicates() -> None:
    tables = [with_items([(1.0, 0.0), (1.0, 0.0)]), with_items([(0.0, 0.0), (1.0, 1.0)])]
    tables[1][0]["edit_batch"] = 1
    runs, items = (pd.concat(parts) for parts in zip(*tables, strict=True))
    (sample,) = collect_samples(runs, point(runs), items).values()
    assert (sample.kind, sample.units) == (ITEMS, ("0", "1"))
    assert (sample.forward.tolist(), sample.backward.tolist()) == ([0.5, 1.0], [0.0, 0.5])
