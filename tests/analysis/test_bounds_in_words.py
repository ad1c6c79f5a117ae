"""What words say at the very bounds where they change."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.inference.procedures import Moments
from analysis.inference.wording import _evidence
from analysis.metrics.align import _first_values
from analysis.metrics.levels import _runs_in_words
from analysis.plots.figures import save_figure
from analysis.report.cells import cut_note
from analysis.report.findings.evidence import p_in_words, p_number
from analysis.report.hypotheses.parts import _few


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "none"), (1, "0"), (6, "0, 1, 2, 3, 4, 5"), (7, "0, 1, 2, 3, 4, 5 and 1 more")],
)
def test_six_values_are_named_and_the_others_counted(count: int, text: str) -> None:
    runs = pd.DataFrame({"seed": [*range(count), *range(count)]})
    assert _first_values(runs, "seed") == text
    assert _first_values(runs, "data") == "none"


@pytest.mark.parametrize(("count", "text"), [(1, "a"), (3, "a, b, c"), (4, "a, b, c and 1 more")])
def test_three_cells_are_named_and_the_others_counted(count: int, text: str) -> None:
    assert _few("abcd"[:count]) == text


@pytest.mark.parametrize(
    ("methods", "text"),
    [
        ("", "no run has it"),
        ("a", "only x → a has it"),
        ("abc", "only x → a and x → b and x → c has it"),
        ("abcd", "only x → a and x → b and x → c and others has it"),
    ],
)
def test_three_orders_are_named(methods: str, text: str) -> None:
    rows = [{"intervention": "x", "partner": name, "forward": 0.5} for name in methods]
    assert _runs_in_words(pd.DataFrame(rows)) == text


def test_an_order_that_only_ran_backwards_is_named_so() -> None:
    rows = pd.DataFrame([{"intervention": "x", "partner": "y", "forward": np.nan}])
    assert _runs_in_words(rows) == "only y → x has it"


@pytest.mark.parametrize(
    ("p", "words", "number"),
    [(0.001, "p = 0.001", "0.001"), (0.00099, "p < 0.001", "<0.001"), (0.5, "p = 0.500", "0.500")],
)
def test_a_p_value_is_printed_down_to_a_thousandth(p: float, words: str, number: str) -> None:
    assert (p_in_words(p), p_number(p)) == (words, number)


@pytest.mark.parametrize(("rows", "note"), [(400, ""), (401, " 1 more row is in the CSV file.")])
def test_a_page_has_four_hundred_rows_of_a_table(rows: int, note: str) -> None:
    assert cut_note(cast(Any, SimpleNamespace(values=[0] * rows))) == note


@pytest.mark.parametrize(
    ("p", "levels", "tests"),
    [(0.001, 1, "p 0.001;"), (0.0009, 1, "p < 0.001;"), (0.02, 2, "p 0.02 for 3 tests;")],
)
def test_the_tests_of_several_levels_are_counted(p: float, levels: int, tests: str) -> None:
    advice = SimpleNamespace(p_holm=p, low=0.1, high=0.2, units=5, basis="edit batches")
    rows = [SimpleNamespace(score=0.1)] * levels + [SimpleNamespace(score=float("nan"))]
    assert f"; {tests} 5 edit batches" in _evidence(cast(Any, advice), rows)


def test_a_picture_has_a_hundred_and_sixty_dots_per_inch(tmp_path: Path) -> None:
    path = save_figure(Figure(figsize=(2, 1)), tmp_path / "new" / "figure.png")
    width, height = (int.from_bytes(path.read_bytes()[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (320, 160)


@pytest.mark.parametrize(
    ("variance", "scale", "has_spread"),
    [
        # smaller than a billionth of the values is rounding, and of values near 0 of a billionth
        (1.1e-18, 1.0, True), (0.9e-18, 1.0, False), (1.1e-14, 100.0, True),
        (0.9e-14, 100.0, False), (1.1e-36, 0.0, True), (0.9e-36, 0.0, False),
    ],
)  # fmt: skip
def test_a_spread_of_rounding_is_none(variance: float, scale: float, has_spread: bool) -> None:
    moments = SimpleNamespace(
        scale=np.array([scale]), units=np.array([2]), variance=np.array([variance])
    )
    assert Moments.has_spread(cast(Any, moments)).tolist() == [has_spread]
