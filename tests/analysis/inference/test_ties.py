import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.inference.best import BestMethod
from analysis.inference.ties import _is_best, tied
from analysis.metrics.composability import cells, duels, point, wins
from interventions.errors import InvalidInput
from tests.analysis.synthetic import curve, frame, run


@pytest.mark.parametrize(("gap", "expected"), [(0.002, 0), (0.2, 1)])
def test_a_win_within_the_interval_is_a_tie(gap: float, expected: int) -> None:
    """Nine edit batches scatter by 0.1: a difference of 0.002 is noise, one of 0.2 is not."""
    runs = []
    for batch in range(9):
        scatter = 0.1 * (batch % 3 - 1)
        runs += curve("ft", "wanda", [0.5], [0.6 + gap + scatter], [0.3], edit_batch=batch)
        runs += curve("ft", "sparsegpt", [0.5], [0.6 - scatter], [0.3], edit_batch=batch)
    table = frame(runs)
    points = point(table)
    views = cells(points)
    is_tied = tied(table, points, views, duels(views))
    counted = wins(views, is_tied)
    errors = counted[(counted.measure == "order_free_error") & (counted.method == "wanda")]
    assert (errors.wins.sum(), errors.ties.sum()) == (expected, 1 - expected)
    assert wins(views).query("measure == 'order_free_error' and method == 'wanda'").wins.sum() == 1


def scattered(criterion: str, gap: float, units: int = 9) -> pd.DataFrame:
    """Two prunings over edit batches; the first one's values are ``gap`` higher and scatter."""
    runs = []
    for batch in range(units):
        scatter = 0.1 * (batch % 3 - 1)
        columns = {"criterion": criterion, "edit_batch": batch}
        runs += curve("ga", "wanda", [0.5], [0.6 + gap + scatter], [0.5], **columns)
        runs += curve("ga", "sparsegpt", [0.5], [0.6 - scatter], [0.5], **columns)
    return frame(runs)


def tied_measures(runs: pd.DataFrame, **options: Any) -> dict[str, bool]:
    points = point(runs, error=options.get("error", "best"))
    views = cells(points)
    fought = duels(views)
    is_tied = tied(runs, points, views, fought, **options)
    return dict(zip(fought.measure, map(bool, is_tied), strict=True))


def test_each_measure_is_compared_with_its_own_noise() -> None:
    """Where lower is better the better order, 0.5, is the same in both: no difference at all."""
    assert tied_measures(scattered("wmdp", 0.2)) == {
        "order_free_error": True,
        "order_sensitivity": False,
    }
    assert tied_measures(scattered("wmdp", 0.2), error="worst") == {
        "order_free_error": False,
        "order_sensitivity": False,
    }
    assert tied_measures(scattered("mmlu", 0.002)) == {
        "order_free_error": True,
        "order_sensitivity": True,
    }


def test_a_lower_confidence_ties_less() -> None:
    runs = scattered("mmlu", 0.05)
    assert tied_measures(runs)["order_free_error"]
    assert not tied_measures(runs, confidence=0.5)["order_free_error"]


def test_methods_of_different_edit_batches_share_nothing_and_none_is_better() -> None:
    runs = scattered("mmlu", 0.2)
    runs.loc[runs.pair == "ga + wanda", "edit_batch"] += 100
    assert all(tied_measures(runs).values())


def test_a_rival_with_one_batch_cannot_be_beaten_by_a_test() -> None:
    runs = scattered("mmlu", 0.2)
    runs = runs[(runs.pair == "ga + wanda") | (runs.edit_batch == 0)]
    assert all(tied_measures(runs).values())


def test_two_batches_show_no_best() -> None:
    assert all(tied_measures(scattered("mmlu", 0.2, units=2)).values())


def test_what_is_measured_exactly_needs_no_test_where_all_batches_agree() -> None:
    """Average bits have no items to sample: 6 in all batches is less than 8."""
    runs = []
    for batch in range(4):
        for method, bits in (("wanda", 6.0), ("sparsegpt", 8.0)):
            values = [[bits], [bits + 1]]
            runs += curve("ft", method, [0.5], *values, criterion="average_bits", edit_batch=batch)
    assert tied_measures(frame(runs)) == {"order_free_error": False, "order_sensitivity": True}
    saturated = frame(runs).rename(columns={"average_bits": "wikitext_ppl"})
    assert tied_measures(saturated)["order_free_error"]


def test_every_rival_must_be_worse_not_only_the_next_one() -> None:
    """Magnitude scatters so much that nobody knows, though its mean is the worst."""
    runs = scattered("mmlu", 0.2)
    more = []
    for batch in range(9):
        wild = 0.55 + 0.9 * (batch % 3 - 1)
        more += curve("ga", "magnitude", [0.5], [wild], [0.5], criterion="mmlu", edit_batch=batch)
    assert tied_measures(pd.concat([runs, frame(more)]))["order_free_error"]


def test_without_replicates_nothing_is_noise() -> None:
    assert not any(tied_measures(scattered("mmlu", 0.002, units=1)).values())


def test_criteria_of_opposite_directions_are_compared_at_once() -> None:
    runs = scattered("mmlu", 0.2)
    runs["wmdp"] = runs.mmlu
    points = point(runs)
    views = cells(points)
    fought = duels(views)
    fought["tied"] = tied(runs, points, views, fought)
    errors = fought[fought.measure == "order_free_error"].set_index("criterion")
    assert dict(errors.tied) == {"mmlu": False, "wmdp": True}


@pytest.mark.parametrize(("margin", "is_best"), [(1e-10, False), (2e-10, True)])
def test_a_margin_of_rounding_is_none(margin: float, is_best: bool) -> None:
    unknown = np.array([math.nan])
    columns = {"margin": np.array([margin]), "low": unknown, "high": unknown, "p": unknown}
    outcome = BestMethod("wanda", 6.0, 1, 4, False, math.nan, columns)
    assert _is_best(outcome, is_exact=True) is is_best
    assert not _is_best(outcome, is_exact=False)


def test_methods_without_a_level_are_compared_within_their_criterion() -> None:
    """LoRA is the best in one criterion, FT in the other."""
    runs = []
    for batch, noise in enumerate((-0.01, 0.0, 0.01)):
        for edit, success, locality in (("ft", 0.6, 0.9), ("lora", 0.9, 0.6)):
            values = {"edit_success": success, "edit_locality": locality}
            for steps, less in ((f"{edit} | ga", 0.0), (f"ga | {edit}", 0.1 - noise)):
                measured = {name: value + noise - less for name, value in values.items()}
                runs.append(run(steps, edit_batch=batch, **measured))
            noise /= 2
    table = frame(runs)
    points = point(table)
    views = cells(points)
    fought = duels(views)
    fought["tied"] = tied(table, points, views, fought)
    errors = fought[(fought.measure == "order_free_error") & fought.level.isna()]
    assert len(errors) >= 2 and not errors.tied.any()


def test_a_confidence_that_is_no_share_is_refused_though_there_is_no_duel() -> None:
    nothing = pd.DataFrame()
    with pytest.raises(InvalidInput, match=r"^confidence must be between 0 and 1, but got 0\.0$"):
        tied(nothing, nothing, nothing, nothing, confidence=0.0)
