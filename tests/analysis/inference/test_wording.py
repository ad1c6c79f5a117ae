import math

import numpy as np
import pandas as pd
import pytest

from analysis import recommend
from tests.analysis.inference.edited_and_pruned import measured, runs
from tests.analysis.synthetic import frame, run

LEVELS = (0.25, 0.5, 0.75)


def batches(*gains: float, noise: float = 0.004, count: int = 5) -> pd.DataFrame:
    """Edit batches of FT and Wanda; by how much FT first is better, level by level."""
    rng = np.random.default_rng(6)
    rows = []
    for batch in range(count):
        for level, gain in zip(LEVELS, gains, strict=False):
            for order, sign in (("ft | wanda", 1), ("wanda | ft", -1)):
                value = 0.5 + sign * gain / 2 + rng.normal(0, noise)
                rows.append(measured(order, level, value, 0.5, 8.0, edit_batch=batch))
    return frame(rows)


def words_on(table: pd.DataFrame, **options: object) -> str:
    weights = {"edit_success": 1}
    return recommend(table, "ft + wanda", weights=weights, **options).words  # type: ignore[arg-type]


def test_one_level_is_named_and_no_level_is_not() -> None:
    assert " edit batches), at sparsity 0.25. " in words_on(batches(0.2))
    unpruned = frame(
        [run("ft | ga", edit_success=0.9, mmlu=0.5), run("ga | ft", edit_success=0.8, mmlu=0.5)]
    )
    words = recommend(unpruned, "ft + ga").words
    assert words.startswith(
        "Which order of FT and GA is better cannot be told from these runs: gain of FT → GA 0.050"
    )
    assert words.endswith("not beaten by another setting: FT → GA.")


def test_a_difference_that_a_test_shows_is_said_with_interval_p_and_units() -> None:
    words = words_on(batches(0.2, 0.1))
    assert words.startswith("FT → Wanda is better by 0.147 (0.142 to 0.151; ")
    assert "; p < 0.001 for 3 tests; 5 edit batches), on average over sparsity 0.25, 0.5." in words
    assert "Level by level: FT → Wanda is better at sparsity 0.25 (by 0.1" in words
    assert "cannot be told" not in words


def test_a_level_at_which_no_test_shows_it_is_named() -> None:
    words = words_on(batches(0.2, 0.1, 0.0))
    assert "it cannot be told at sparsity 0.75." in words


def test_opposite_effects_are_said_with_the_level_of_each() -> None:
    words = words_on(batches(0.2, -0.2))
    assert words.startswith("Which order of")
    assert (
        "is better depends on the level. Level by level: FT → Wanda is better at sparsity 0.25"
        in words
    )
    assert "Wanda → FT is better at sparsity 0.5 (by 0.2" in words
    assert "on average" not in words


def test_an_average_that_a_test_shows_does_not_hide_an_opposite_level() -> None:
    words = words_on(batches(0.4, 0.4, -0.2))
    assert "depends on the level" in words and "Wanda → FT is better at sparsity 0.75" in words


def test_a_level_that_opposes_the_average_is_said_though_no_other_level_is_sure() -> None:
    """What two levels gain goes up and down together, so that only their sum is sure."""
    table = batches(0.4, 0.4, -0.1)
    shift = 0.5 * (-1.0) ** table.edit_batch
    for level, sign in ((0.25, 1), (0.5, -1)):
        is_moved = (table["wanda.sparsity"] == level) & (table.step1 == "ft")
        table.loc[is_moved, "edit_success"] += sign * shift[is_moved]
    advice = recommend(table, "ft + wanda", weights={"edit_success": 1})
    assert advice.levels.differs.tolist() == [False, False, True]
    assert (advice.differs, advice.order, advice.verdict) == (True, ("ft", "wanda"), "depends")
    assert "depends on the level" in advice.words and "FT → Wanda is better" not in advice.words


def test_numbers_that_oppose_each_other_are_said_though_no_test_confirms_them() -> None:
    table = batches(0.05, -0.05, count=4)
    is_first = table.step1 == "ft"
    table.loc[is_first, "edit_success"] += 0.2 * (-1.0) ** table.edit_batch[is_first]
    words = words_on(table)
    assert "By the numbers alone, " in words and ", which no test confirms." in words
    printed = batches(0.2, -0.1, count=1).assign(published="Table 8")
    words = words_on(printed)
    assert words.startswith("As printed, FT → Wanda is ahead by 0.044, on average over")
    assert (
        "As printed, FT → Wanda is ahead at sparsity 0.25; Wanda → FT is ahead at sparsity 0.5."
        in words
    )


def test_what_is_better_only_at_some_levels_is_not_said_of_their_average() -> None:
    table = batches(0.2, 0.0)
    is_last = (table["wanda.sparsity"] == 0.5) & (table.step1 == "ft")
    table.loc[is_last, "edit_success"] += np.linspace(-0.4, 0.4, 5)
    words = words_on(table)
    assert "is better cannot be told from these runs, on average over" in words
    assert "Level by level: FT → Wanda is better at sparsity 0.25" in words


def test_orders_that_are_infinitely_better_at_one_level_each_cannot_be_weighed() -> None:
    table = runs().assign(wikitext_ppl=8.0)
    is_first = table.step1 == "ft"
    table.loc[is_first & (table["wanda.sparsity"] == 0.25), "wikitext_ppl"] = math.inf
    table.loc[~is_first & (table["wanda.sparsity"] == 0.5), "wikitext_ppl"] = math.inf
    advice = recommend(table, "ft + wanda", weights={"wikitext_ppl": 1})
    assert "cannot be weighed, on average over sparsity 0.25, 0.5" in advice.words
    assert "each is infinitely better somewhere" in advice.words


def test_a_pair_without_a_criterion_to_weigh_is_not_weighed() -> None:
    table = runs().drop(columns=["mmlu", "edit_success"])
    advice = recommend(table, "ft + wanda")
    assert "no criterion that was measured has a weight" in advice.words
    assert math.isnan(advice.score)


def test_only_weighted_criteria_are_compared_in_words() -> None:
    words = recommend(runs(), "ft + wanda", weights={"mmlu": 1}).words
    assert "MMLU ↑ 0.55 against 0.52." in words
    assert "Edit success" not in words


def test_a_criterion_in_which_the_order_is_worse_is_said_to_be() -> None:
    words = recommend(runs(), "ft + wanda").words
    assert (
        "Wanda → FT: Edit success ↑ 0.85 against 0.65; worse in MMLU ↑ 0.52 against 0.55." in words
    )


def test_equal_means_of_a_criterion_are_not_worse() -> None:
    words = recommend(runs().assign(mmlu=0.5), "ft + wanda").words
    assert "Wanda → FT: Edit success ↑ 0.85 against 0.65, MMLU ↑ 0.50 against 0.50." in words


def test_if_no_setting_is_within_the_bounds_none_is_named() -> None:
    words = recommend(runs(), "ft + wanda", bounds={"mmlu": 0.9}).words
    assert words.startswith("Neither order of FT and Wanda is known to be within mmlu 0.9")
    assert words.endswith("not beaten by another setting under mmlu 0.9: none.")


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_better_is_never_said_at_a_laxer_level_than_five_percent(confidence: float) -> None:
    table = batches(0.03, noise=0.02)
    advice = recommend(table, "ft + wanda", weights={"edit_success": 1}, confidence=confidence)
    assert advice.differs == (advice.p <= min(0.05, 1 - confidence))
    assert ("FT → Wanda is better by" in advice.words) == advice.differs
