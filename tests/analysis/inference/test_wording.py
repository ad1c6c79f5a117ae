import math

import pandas as pd
import pytest

from analysis import recommend
from tests.analysis.inference.edited_and_pruned import runs
from tests.analysis.synthetic import frame, run


def test_one_level_is_named_and_no_level_is_not() -> None:
    one_level = runs()
    one_level = one_level[one_level["wanda.sparsity"] == 0.25]
    assert " by 0.040, at sparsity 0.25. " in recommend(one_level, "ft + wanda").words
    unpruned = frame(
        [run("ft | ga", edit_success=0.9, mmlu=0.5), run("ga | ft", edit_success=0.8, mmlu=0.5)]
    )
    words = recommend(unpruned, "ft + ga").words
    assert words.startswith("FT → GA is better by 0.050. How sure is unknown")
    assert words.endswith("Not beaten by another setting: FT → GA.")


def test_orders_that_are_infinitely_better_at_one_level_each_cannot_be_weighed() -> None:
    table = runs().assign(wikitext_ppl=8.0)
    is_first = table.step1 == "ft"
    table.loc[is_first & (table["wanda.sparsity"] == 0.25), "wikitext_ppl"] = math.inf
    table.loc[~is_first & (table["wanda.sparsity"] == 0.5), "wikitext_ppl"] = math.inf
    advice = recommend(table, "ft + wanda", weights={"wikitext_ppl": 1})
    assert "cannot be weighed, on average over sparsity 0.25, 0.5" in advice.words
    assert "each is infinitely better somewhere" in advice.words


@pytest.mark.parametrize(("spread", "verdict"), [(0.0, "is better by"), (0.4, "looks better")])
def test_a_difference_is_clear_if_its_interval_is_above_zero(spread: float, verdict: str) -> None:
    tables = []
    for batch in range(8):
        table = runs(edit_batch=batch)
        sign = 1 if batch % 2 else -1
        table["edit_success"] += (table.step1 == "ft") * sign * spread
        tables.append(table)
    words = recommend(pd.concat(tables), "ft + wanda", weights={"edit_success": 1}).words
    assert words.startswith(f"Wanda → FT {verdict}")
    assert "resampling 8 edit batches and seeds." in words


def test_only_weighted_criteria_are_compared_in_words() -> None:
    words = recommend(runs(), "ft + wanda", weights={"mmlu": 1}).words
    assert "MMLU ↑ 0.55 against 0.52." in words
    assert "Edit success" not in words


def test_if_no_setting_is_within_the_bounds_none_is_named() -> None:
    words = recommend(runs(), "ft + wanda", bounds={"mmlu": 0.9}).words
    assert words.endswith("Not beaten by another setting under mmlu 0.9: none.")
