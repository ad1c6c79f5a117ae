"""The sentences on levels, of levels made by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.inference.level_wording import level_sentences, where_text
from analysis.inference.recommendation import DEPENDS, LEVELS, NEITHER, PRINTED
from analysis.labels import Labels
from tracking.catalogue import Catalogue

FORWARD, BACKWARD = "ft → wanda", "wanda → ft"


def level(at: float, order: str, score: float, differs: bool = False, within: str = "both") -> Any:
    return SimpleNamespace(
        strength="wanda.sparsity" if at else "",
        level=at or math.nan,
        order=order,
        score=score,
        low=score - 0.05,
        high=score + 0.125,
        differs=differs,
        within=within,
    )


def sentences(verdict: str, *levels: Any) -> list[str]:
    return level_sentences(verdict, list(levels), Labels(Catalogue()), "MMLU ≥ 0.4")


def test_tests_then_numbers_then_bounds_are_said_of_the_levels() -> None:
    levels = [
        level(0.25, FORWARD, 0.2, differs=True),
        level(0.5, BACKWARD, 0.1),
        level(0.75, FORWARD, 0.0),
        level(0.8, FORWARD, math.nan, within="forward"),
        level(0.85, BACKWARD, math.nan, within="backward"),
        level(0.9, FORWARD, math.nan, within="neither"),
    ]
    tested, ahead, *bounded = sentences(LEVELS, *levels)
    assert tested == (
        "Level by level: FT → Wanda is better at sparsity 0.25 (by 0.200, 0.150 to 0.325);"
        " it cannot be told at sparsity 0.5, 0.75."
    )
    numbers = "FT → Wanda is ahead at sparsity 0.25; Wanda → FT is ahead at sparsity 0.5"
    assert ahead == f"By the numbers alone, {numbers}, which no test confirms."
    assert bounded == [
        "Only FT → Wanda is within MMLU ≥ 0.4 at sparsity 0.8.",
        "Only Wanda → FT is within MMLU ≥ 0.4 at sparsity 0.85.",
        "Neither order is within MMLU ≥ 0.4 at sparsity 0.9.",
    ]
    assert sentences(DEPENDS, *levels) == [tested, *bounded]
    assert sentences(PRINTED, *levels) == [tested, f"As printed, {numbers}.", *bounded]
    assert sentences(NEITHER, levels[-1]) == []


@pytest.mark.parametrize(
    "levels",
    [
        [level(0.25, FORWARD, 0.2, differs=True)],
        [level(0.25, FORWARD, 0.2), level(0.5, FORWARD, 0.1)],
        # equal numbers are nobody's
        [level(0.25, FORWARD, 0.2), level(0.5, BACKWARD, 0.0)],
    ],
)
def test_nothing_is_said_of_a_single_level_and_of_levels_without_a_test(levels: list[Any]) -> None:
    assert sentences(LEVELS, *levels) == []


def test_two_levels_that_differ_leave_nothing_untold() -> None:
    levels = [level(0.25, FORWARD, 0.2, differs=True), level(0.5, FORWARD, 0.1, differs=True)]
    assert sentences(LEVELS, *levels) == [
        "Level by level: FT → Wanda is better at sparsity 0.25 (by 0.200, 0.150 to 0.325),"
        " sparsity 0.5 (by 0.100, 0.050 to 0.225)."
    ]


def test_a_pair_without_levels_has_one_setting() -> None:
    outside = level(0, FORWARD, math.nan, within="neither")
    assert sentences(LEVELS, outside) == [
        "Neither order is within MMLU ≥ 0.4 at the only setting.",
    ]


def test_where_is_one_level_or_an_average_over_them() -> None:
    first, second = level(0.25, FORWARD, 0.1), level(0.5, FORWARD, 0.1)
    assert where_text([]) == where_text([level(0, FORWARD, 0.1)]) == ""
    assert where_text([first]) == ", at sparsity 0.25"
    assert where_text([first, second]) == ", on average over sparsity 0.25, 0.5"
