"""The sentence on an order of which no test says that it is better, word for word."""

import math
from typing import Any

import pandas as pd
import pytest

from analysis.inference.recommendation import UNTOLD, Recommendation
from analysis.inference.units import BATCHES, ONE_BATCH, SEEDS
from analysis.inference.wording import advice_in_words
from analysis.labels import Labels
from tests.analysis.inference.edited_and_pruned import runs
from tracking.catalogue import Catalogue

UNKNOWN = {"low": math.nan, "high": math.nan, "p": math.nan, "p_holm": math.nan}
TESTED = {"low": -0.01, "high": 0.05, "p": 0.04, "p_holm": 0.2, "needed": 12.4}
UNTESTED = {**UNKNOWN, "low": -0.01, "high": 0.05}


def sentences(kind: str, units: int, **facts: Any) -> str:
    """The sentences on a gain of 0.02, over no levels if none are given."""
    fields: dict[str, Any] = {
        **{"basis": kind, "needed": math.nan, "replicates": units, "differs": False, "words": ""},
        **{"levels": pd.DataFrame(), "criteria": pd.DataFrame({"weight": []})},
        **{"settings": pd.DataFrame({"order": ["ft → wanda"], "pareto": [False]})},
        **facts,
    }
    advice = Recommendation(
        order=("ft", "wanda"), verdict=UNTOLD, score=0.02, units=units, kind=kind, **fields
    )
    return advice_in_words(advice, Labels(Catalogue.from_runs(runs())), {})


def untold(kind: str, units: int, **facts: Any) -> str:
    """The sentences on a gain of 0.02 over no levels, from the gain on."""
    words = sentences(kind, units, **facts)
    lead = "Which order of FT and Wanda is better cannot be told from these runs: gain of "
    end = " By the numbers alone, not beaten by another setting: none."
    assert words.startswith(lead) and words.endswith(end)
    return words.removeprefix(lead).removesuffix(end)


def test_a_gain_that_was_tested_is_said_with_what_would_be_needed() -> None:
    tested = "FT → Wanda 0.020 (-0.010 to 0.050; p 0.2; 5 {}). "
    seen = "to see a gain of 0.05 in 8 of 10 cases."
    assert untold(SEEDS, 5, **TESTED) == (
        tested.format(SEEDS) + f"About 12 seeds would be needed {seen}"
    )
    assert untold(BATCHES, 5, **{**TESTED, "needed": 5.0}) == (
        tested.format(BATCHES)
        + "With about 5 edit batches, a gain of 0.05 would be seen in 8 of 10 cases."
    )
    assert untold(BATCHES, 5, **{**TESTED, "needed": math.inf}) == (
        tested.format(BATCHES)
        + "No number of edit batches would show a gain of 0.05 with as few questions."
    )


@pytest.mark.parametrize(("p", "text"), [(0.001, "p 0.001"), (0.0009, "p < 0.001")])
def test_a_p_of_a_thousandth_is_said_with_its_number(p: float, text: str) -> None:
    assert f"; {text}; 5 seeds)" in untold(SEEDS, 5, **{**TESTED, "p_holm": p})


@pytest.mark.parametrize(("count", "tests"), [(1, ""), (2, " for 3 tests")])
def test_several_levels_are_tests_of_their_own(count: int, tests: str) -> None:
    at_level = {"strength": "wanda.sparsity", "order": "ft → wanda", "score": 0.02}
    row = {**at_level, "differs": False, "within": "both"}
    unscored = {**row, "level": 0.75, "score": math.nan}
    levels = pd.DataFrame([*({**row, "level": 0.25 * (n + 1)} for n in range(count)), unscored])
    words = sentences(SEEDS, 5, **TESTED, levels=levels)
    assert f"(-0.010 to 0.050; p 0.2{tests}; 5 seeds)" in words


@pytest.mark.parametrize("kind", [SEEDS, BATCHES])
def test_three_units_without_a_test_are_equal(kind: str) -> None:
    assert untold(kind, 3, **{**UNTESTED, "basis": "items only"}) == (
        f"FT → Wanda 0.020 (-0.010 to 0.050, items only, which says nothing about other {kind});"
        f" all 3 {kind} have the same, so there is no test."
    )
    assert untold(kind, 2, **UNKNOWN) == (
        f"FT → Wanda 0.020, without an interval. At least 3 {kind} would be needed."
    )


def test_replicates_with_equal_weights_are_said_to_count_once() -> None:
    lead = "FT → Wanda 0.020 (-0.010 to 0.050, {}). At least 3 edit batches would be needed"
    two = lead.format("2 edit batches")
    assert untold(BATCHES, 2, **UNTESTED) == f"{two}."
    equal = untold(BATCHES, 2, **UNTESTED, replicates=3)
    assert equal == f"{two}; replicates with equal weights count once."
    alone = lead.format("this batch only, which says nothing about another")
    assert untold(ONE_BATCH, 4, **UNTESTED, replicates=5) == f"{alone}."
