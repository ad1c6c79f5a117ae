import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from analysis.inference.recommend import advise
from analysis.labels import Labels
from analysis.metrics import composability as co
from analysis.report.answer import PairAnswer, PairTest, pair_answers, pair_tests
from analysis.report.findings.losses import measured_losses
from tests.analysis.report.findings.sentences import alone, evidence_of, replicated
from tests.analysis.synthetic import curve, frame
from tracking.catalogue import Catalogue

DIFFERS = replicated("ft", "wanda", {0.5: 0.9}, {0.5: 0.5})
ALIKE = replicated("lora", "wanda", {0.5: 0.7}, {0.5: 0.699})


def answers(runs: list[dict[str, object]]) -> dict[str, PairAnswer]:
    table = frame(runs)
    titles = Labels(Catalogue.from_runs(table))
    advice = advise(table, co.point(table), titles)
    rows = pair_answers(advice, measured_losses(evidence_of(runs)), titles)
    return {row.pair: row for row in rows}


def test_an_order_is_named_where_a_test_over_all_pairs_says_so() -> None:
    rows = answers([*DIFFERS, *ALIKE])
    assert list(rows) == ["FT + Wanda", "LoRA + Wanda"]  # claims first
    first, second = rows.values()
    assert (first.claim, first.order) == (True, "FT → Wanda")
    assert (
        first.sure.startswith("score 0.400 (0.") and "over all pairs; 5 edit batches" in first.sure
    )
    assert (second.claim, second.order) == (False, "cannot be told")
    assert set(first.runs) == {entry["run_id"] for entry in DIFFERS}


def test_one_run_of_each_order_cannot_be_told() -> None:
    (row,) = answers(curve("ft", "wanda", [0.5], [0.9], [0.1])).values()
    assert (row.claim, row.order) == (False, "cannot be told")
    assert row.sure.endswith("one run of each order")


def test_what_is_printed_is_not_told() -> None:
    printed = curve("ft", "wanda", [0.5], [0.9], [0.1], published="Table 9")
    (row,) = answers(printed).values()
    assert (row.claim, row.order) == (False, "as printed, FT → Wanda is ahead")
    assert row.sure == "not tested: one printed number for each order"


def test_opposite_orders_at_two_levels_are_both_said() -> None:
    runs = replicated("ft", "wanda", {0.25: 0.5, 0.5: 0.9}, {0.25: 0.9, 0.5: 0.5})
    (row,) = answers(runs).values()
    assert row.claim
    assert set(row.order.split("; ")) == {
        "Wanda → FT at sparsity 0.25",
        "FT → Wanda at sparsity 0.5",
    }


def test_composing_is_answered_level_by_level() -> None:
    pair = replicated("ft", "wanda", {0.25: 0.95, 0.5: 0.6}, {0.25: 0.95, 0.5: 0.5})
    (row,) = answers([*pair, *alone("ft", 0.95)]).values()
    yes, no = row.compose.split("; ")
    assert yes == "yes at sparsity 0.25: Edit success ↑ within 0.05 of alone"
    assert no.startswith("no at sparsity 0.5: Edit success ↑ loses up to 0.35 (0.3")


def test_composing_cannot_be_told_without_the_intervention_alone() -> None:
    (row,) = answers(DIFFERS).values()
    assert row.compose == "cannot be told: not run alone, or judged by nothing"


def test_several_contexts_are_named() -> None:
    other = [entry | {"model": "b"} for entry in DIFFERS]
    assert set(answers([*DIFFERS, *other])) == {
        "FT + Wanda; model=m, data=d",
        "FT + Wanda; model=b, data=d",
    }


def made_up(*p_values: tuple[float, list[float]]) -> list[object]:
    """Recommendations of which only the tests are read."""
    return [
        type("Advice", (), {"p_holm": p, "levels": pd.DataFrame({"p_holm": of_levels})})()
        for p, of_levels in p_values
    ]


def test_pairs_are_corrected_by_holm() -> None:
    tests = pair_tests(made_up((0.01, [0.5]), (0.5, [0.02]), (math.nan, []), (0.9, [0.9])))  # type: ignore[arg-type]
    assert [test.p for test in tests] == pytest.approx([0.03, 0.04, np.nan, 0.9], nan_ok=True)
    assert [test.factor for test in tests] == [3, 2, 1, 1]


def test_a_claim_needs_its_own_test_and_that_of_the_pair() -> None:
    assert PairTest(1.0, 0.04).allows(0.04)
    assert not PairTest(2.0, 0.04).allows(0.03)
    assert not PairTest(1.0, 0.06).allows(0.01)
    assert not PairTest().allows(math.nan)


@pytest.mark.parametrize(
    ("needed", "words"),
    [(6.0, "6 would show a gain of 0.05"), (math.inf, "no number would show a gain of 0.05")],
)
def test_how_many_units_would_be_needed_is_a_whole_number_or_none(
    needed: float, words: str
) -> None:
    table = frame(ALIKE)
    ((points, advice),) = advise(table, co.point(table), Labels(Catalogue.from_runs(table)))
    changed = dataclasses.replace(advice, needed=needed)
    losses = measured_losses(evidence_of(ALIKE))
    (row,) = pair_answers([(points, changed)], losses, Labels(Catalogue.from_runs(table)))
    assert f"; {words} in 8 of 10 cases" in row.sure


def test_equal_numbers_are_no_order() -> None:
    (row,) = answers(curve("ft", "wanda", [0.5], [0.7], [0.7])).values()
    assert (row.claim, row.order) == (False, "equal numbers")


def test_where_no_level_is_within_the_bounds_there_is_no_order() -> None:
    table = frame(DIFFERS)
    titles = Labels(Catalogue.from_runs(table))
    for worst in (0.95, 0.7):  # below which both orders are, and one of them
        bounds = {"edit_success": worst}
        advice = advise(table, co.point(table), titles, None, None, bounds)
        (row,) = pair_answers(advice, measured_losses(evidence_of(DIFFERS)), titles)
        assert (row.claim, row.order) == (False, "no level has both orders within the bounds")
