"""The whole text of a run, and the marks, numbers and widths of its table."""

import math

import pytest

from composability.run_table import _cells, _fitting, _number, fates, run_text
from tests.composability.test_run_table import pair, summary
from tracking.facts import CriterionFacts

NAN = math.nan
TABLE = """
                     edit_locality  edit_success  wmdp  average_bits  wikitext_ppl  sparsity
base model                   1.00          0.00     -             -          4.90         -
lora                         0.90▼         0.80▲    -             -          5.00▼        -
wanda(sparsity=0.5)          0.10▼         0.40▼    -             -             -         -
"""
FATE = "in part: edit_success 0.80 → 0.40, 50% of its gain is left"
COMMAND = 'composability run "wanda(sparsity=0.5) | lora"'
SENTENCES = [
    "▲ better than the row above, ▼ worse, as far as these digits show",
    f"the edit survived wanda(sparsity=0.5) {FATE}",
    f"the other order has not run with these settings: {COMMAND}",
    "one run, on one batch of edits: what holds over batches, `composability analyze` tests",
]
HIGHER = CriterionFacts("higher", "share")


def test_the_text_is_the_table_the_legend_what_became_of_the_edit_the_order_and_a_caution() -> None:
    lines = run_text(pair(0.4), 300).splitlines()
    assert lines == [*TABLE.splitlines()[1:], *SENTENCES]


def test_one_step_alone_needs_no_caution() -> None:
    step = ("lora", "editing", {"edit_success": 0.8})
    text = run_text(summary(step, base={"edit_success": 0.5}), 100)
    assert text.splitlines()[-1].startswith("▲ better than the row above")


@pytest.mark.parametrize(("after", "end"), [(0.8, None), (None, 0.8)])
def test_a_criterion_that_failed_after_one_step_says_nothing(
    after: float | None, end: float | None
) -> None:
    scores = [{} if value is None else {"edit_success": value} for value in (after, end)]
    steps = summary(("lora", "editing", scores[0]), ("ft", "editing", scores[1]), base={})
    assert fates(steps) == []


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        # against the row above, not against the one above that
        ([0.5, 0.9, 0.7], ["0.50 ", "0.90▲", "0.70▼"]),
        ([0.5, NAN, 0.7], ["0.50 ", "- ", "0.70 "]),
        ([NAN, 0.5, NAN], ["- ", "0.50 ", "- "]),
        ([0.5, 0.501, 0.6], ["0.50 ", "0.50 ", "0.60▲"]),
    ],
)
def test_a_change_is_marked_against_the_row_above(values: list[float], cells: list[str]) -> None:
    assert _cells(values, HIGHER) == cells


def test_numbers_from_ten_thousand_on_have_an_exponent() -> None:
    numbers = (9999.0, 10000.0, -10000.0, -0.5, math.inf)
    assert [_number(number) for number in numbers] == [
        *("9999.00", "1.0e+04", "-1.0e+04", "-0.50"),
        "inf",
    ]


@pytest.mark.parametrize(
    ("width", "count"), [(22, 3), (21, 2), (16, 2), (15, 1), (9, 1), (8, 1), (1, 1)]
)
def test_a_column_fits_if_it_ends_at_the_width_and_one_is_always_shown(
    width: int, count: int
) -> None:
    """The first column has 4 characters, the others 3, 5 and 4, and two blanks before each."""
    columns = [["a", "abc"], ["abcde", "a"], ["abcd", ""]]
    assert _fitting(["base", "x"], columns, width) == count
