"""How often the advice claims something where nothing is, and where something is."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from analysis.inference.recommendation import DEPENDS
from tests.analysis.inference.simulated_pairs import (
    advice_on_each,
    share_that_claims,
    simulate,
)

# with 60 pairs of which each claims with probability 0.05, 8 or more do in 1 of 100 simulations
MOST_OF_SIXTY = 8 / 60


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_few_null_pairs_are_said_to_differ(noise: float) -> None:
    runs, _ = simulate(60, batches=5, noise=noise)
    assert share_that_claims(advice_on_each(runs)) < MOST_OF_SIXTY


def test_an_effect_is_said_and_never_with_the_wrong_sign() -> None:
    runs, _ = simulate(30, batches=5, noise=0.03, gains=(0.15, 0.15))
    advice = advice_on_each(runs, weights={"edit_success": 1})
    assert np.mean([one.differs for one in advice]) > 0.7
    assert {one.order for one in advice if one.differs} == {("ft", "wanda")}


def test_opposite_effects_at_two_levels_are_said_and_not_averaged_away() -> None:
    runs, _ = simulate(20, batches=5, noise=0.03, gains=(0.3, -0.3))
    advice = advice_on_each(runs, weights={"edit_success": 1})
    assert np.mean([one.verdict == DEPENDS for one in advice]) > 0.6
    for one in advice:
        assert not one.differs or one.verdict == DEPENDS
        if one.verdict == DEPENDS:
            assert "depends on the level. Level by level: FT → Wanda is better at" in one.words
        else:  # where a test of one level misses, the numbers are said all the same
            assert "Wanda → FT is ahead at sparsity 0.5" in one.words


@pytest.mark.parametrize("batches", [1, 2])
def test_one_or_two_batches_claim_nothing_whatever_the_effect(batches: int) -> None:
    runs, items = simulate(5, batches, noise=0.0, gains=(0.5, 0.5), with_items=True)
    advice = advice_on_each(runs, items)
    assert share_that_claims(advice) == 0
    assert all(one.low > 0 for one in advice) or batches == 2


@pytest.mark.slow
@pytest.mark.parametrize("with_items", [False, True])
@pytest.mark.parametrize("noise", [0.0, 0.03, 0.06])
@pytest.mark.parametrize(("batches", "easy"), [(3, 0.0), (5, 0.0), (10, 0.0), (5, 0.45)])
def test_the_level_holds_in_many_null_pairs(
    batches: int, noise: float, easy: float, with_items: bool
) -> None:
    """Of 600 pairs with a true level of 0.05, more than 0.075 claim in 1 of 300 simulations."""
    pairs = 300 if with_items else 600
    runs, items = simulate(pairs, batches, noise, easy=easy, with_items=with_items, seed=11)
    advice = advice_on_each(runs, items)
    # three standard errors above the level that is promised
    assert share_that_claims(advice) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / pairs)
    covered = np.mean([one.low <= 0 <= one.high for one in advice])
    assert covered > 0.95 - 3 * np.sqrt(0.05 * 0.95 / pairs)


@pytest.mark.slow
@pytest.mark.parametrize("gains", [(0.15, 0.15), (0.15, -0.15)])
def test_effects_are_found_in_many_pairs(gains: Sequence[float]) -> None:
    runs, items = simulate(300, batches=5, noise=0.03, gains=gains, with_items=True, seed=12)
    advice = advice_on_each(runs, items, weights={"edit_success": 1})
    if gains[0] == gains[1]:
        claims = [one for one in advice if one.differs]
        assert len(claims) >= 0.85 * len(advice)
        assert {one.order for one in claims} == {("ft", "wanda")}
    else:
        said = ["is ahead at" in one.words or "is better at" in one.words for one in advice]
        assert np.mean(said) > 0.99
        levels = pd.concat([one.levels[one.levels.differs] for one in advice])
        assert set(zip(levels.order, levels.level, strict=True)) == {
            ("ft → wanda", 0.25),
            ("wanda → ft", 0.5),
        }
