"""What `composability compare` says of merges, and of intervals that touch 0."""

import math
from typing import Any

import pytest

from analysis.compared_merges import ComparedMerge, MergedCriterion, OverOrder
from analysis.comparison import ComparedCriterion, ComparedLevel, Comparison
from composability.comparison_text import comparison_text
from tests.composability.test_comparison_text import criterion, text

TESTED = OverOrder(0.5, 0.25, 0.125, 0.375, "seeds", p_holm=0.01, differs=True)
NOT_APART = OverOrder(0.5, -0.25, -0.5, 0.125, "this batch only", p_holm=0.5, differs=False)
UNTESTED = OverOrder(0.5, 0.25, math.nan, math.nan, "", p_holm=math.nan, differs=False)
SAYS_DIFFERS = (
    " In a table of a merge * says that it differs from that order (5 %, corrected over the"
    " criteria that judge this pair, all merges and both orders)."
)
SAYS_NO_DIFFERENCE = " No test says that a merge differs from an order."
SAYS_UNTESTED = " Of the merges nothing could be tested, for the same reason."


def with_merge(forward: OverOrder | None, backward: OverOrder | None, title: str = "") -> list[str]:
    """Return the blocks of a comparison with one merge."""
    row = MergedCriterion("mmlu", "higher", 0.75, forward, backward)
    merge = ComparedMerge("merge(how='ties')", title, "lora → rmu", "rmu → lora", (row,))
    level = ComparedLevel("", "lora → rmu", "rmu → lora", ("a",), ("b",), 2, (criterion(),))
    compared = Comparison("lora + rmu", (level,), (), {"charts": "u"}, merges=(merge,))
    return comparison_text(compared, width=1000).split("\n\n")


def test_a_merge_stands_beside_both_orders() -> None:
    level, merge, _, _ = with_merge(TESTED, NOT_APART, "sparsity 0.5")
    assert level.startswith("2 runs of each order\n")
    title, _, row = merge.split("\n")
    assert title == "sparsity 0.5: merged"
    assert " ".join(row.split()) == (
        "mmlu 0.750 +0.250 +0.125 to +0.375 over seeds * -0.250 -0.500 to +0.125 this batch only"
    )


def test_an_order_that_has_not_run_with_a_merges_settings_has_dashes() -> None:
    _, merge, _, _ = with_merge(None, UNTESTED)
    title, _, row = merge.split("\n")
    assert title == "merged" and " ".join(row.split()) == "mmlu 0.750 - - not run +0.250 -"


@pytest.mark.parametrize(
    ("forward", "backward", "sentence"),
    [
        (TESTED, NOT_APART, SAYS_DIFFERS),
        (None, TESTED, SAYS_DIFFERS),
        (NOT_APART, UNTESTED, SAYS_NO_DIFFERENCE),
        (UNTESTED, None, SAYS_UNTESTED),
    ],
)
def test_a_sentence_says_what_the_tests_say_of_merges(
    forward: OverOrder | None, backward: OverOrder | None, sentence: str
) -> None:
    _, _, legend, _ = with_merge(forward, backward)
    assert legend.endswith(f"of both orders.{sentence}")


def test_one_criterion_of_two_is_enough_for_a_sentence_of_the_orders() -> None:
    def said(*criteria: ComparedCriterion) -> str:
        return " ".join(text(*criteria).split())

    assert "* a test says" in said(criterion(p_holm=0.01, differs=True), criterion("mmlu"))
    assert "No test says" in said(criterion(p_holm=0.5), criterion("mmlu"))
    assert "An interval without 0" in said(criterion(low=0.1, high=0.2), criterion("mmlu"))
    assert "An interval without 0" in said(criterion(low=-0.2, high=-0.1))


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.5), (-0.5, 0.0), (-0.5, 0.5)])
def test_an_interval_that_touches_0_is_not_without_0(low: float, high: float) -> None:
    assert "An interval without 0" not in " ".join(text(criterion(low=low, high=high)).split())


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"low": 0.1, "high": math.inf}, "-"),
        ({"low": 9999.0, "high": 1e4}, "+9999.000 to +1.0e+04"),
    ],
)
def test_an_interval_is_written_if_both_ends_are_finite(bounds: dict[str, Any], words: str) -> None:
    row = text(criterion(forward=9999.0, backward=1e4, **bounds)).splitlines()[2]
    assert " ".join(row.split()) == f"edit_success 9999.000 1.0e+04 +0.400 {words}"
