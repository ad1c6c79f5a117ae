import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import recommend
from interventions.errors import InvalidInput
from tests.analysis.inference.edited_and_pruned import runs


def test_the_order_is_the_one_with_the_larger_mean_gain_over_criteria_and_levels() -> None:
    """Edit success: (0.1 + 0.3) / 2 = 0.2; MMLU: -(0.02 + 0.04) / 2 = -0.03; their mean: 0.085."""
    advice = recommend(runs(), "ft + wanda")
    assert advice.order == ("wanda", "ft")
    assert advice.score == pytest.approx(0.085)
    gains = advice.criteria.set_index("criterion").gain
    assert gains.edit_success == pytest.approx(0.2)
    assert gains.mmlu == pytest.approx(-0.03)
    assert gains.average_bits == 0


def test_weights_can_turn_it_round() -> None:
    advice = recommend(runs(), ("wanda", "ft"), weights={"edit_success": 1, "mmlu": 9})
    assert advice.order == ("ft", "wanda")
    assert advice.score == pytest.approx((9 * 0.03 - 0.2) / 10)


def test_the_pair_may_be_written_either_way() -> None:
    assert recommend(runs(), "wanda | ft").words == recommend(runs(), "ft + wanda").words


def test_perplexity_counts_in_halvings_and_only_if_it_has_a_weight() -> None:
    table = runs()
    table["wikitext_ppl"] = np.where(table.step1 == "ft", 8.0, 32.0)
    assert recommend(table, "ft + wanda").order == ("wanda", "ft")
    advice = recommend(table, "ft + wanda", weights={"wikitext_ppl": 1})
    assert (advice.order, advice.score) == (("ft", "wanda"), 2.0)


def test_an_infinite_perplexity_in_both_orders_decides_nothing() -> None:
    table = runs()
    table["wikitext_ppl"] = math.inf
    advice = recommend(table, "ft + wanda", weights={"edit_success": 1, "wikitext_ppl": 1})
    assert advice.score == pytest.approx(0.2)
    one_sided = table.assign(wikitext_ppl=np.where(table.step1 == "ft", 5.0, math.inf))
    assert recommend(
        one_sided, "ft + wanda", weights={"edit_success": 1, "wikitext_ppl": 1}
    ).order == ("ft", "wanda")


def test_how_sure_is_the_share_of_resamples_that_agree() -> None:
    rng = np.random.default_rng(1)
    tables = [runs(edit_batch=batch) for batch in range(8)]
    for table in tables:
        table["edit_success"] += rng.normal(0, 0.01, 4)
    advice = recommend(pd.concat(tables), "ft + wanda")
    assert advice.low < advice.score < advice.high
    assert (advice.sure, advice.replicates, advice.resampled) == (
        1.0,
        8,
        "8 edit batches and seeds",
    )
    even = pd.concat([t.assign(edit_success=rng.normal(0.5, 0.1, 4), mmlu=0.5) for t in tables])
    doubtful = recommend(even, "ft + wanda")
    assert doubtful.low < 0 < doubtful.high
    assert "not clearly so" in doubtful.words


def test_without_replicates_how_sure_is_unknown_and_said_to_be() -> None:
    advice = recommend(runs(), "ft + wanda")
    assert math.isnan(advice.sure) and math.isnan(advice.low)
    assert "How sure is unknown" in advice.words


def test_the_words_name_order_amount_levels_and_settings() -> None:
    words = str(recommend(runs(), "ft + wanda", bounds={"mmlu": 0.48}))
    for part in (
        "Wanda → FT is better by 0.085, on average over sparsity 0.25, 0.5.",
        "Edit success ↑ 0.85 against 0.65",
        "under mmlu 0.48:",
        "FT → Wanda at sparsity 0.25, 0.5",
        "Wanda → FT at sparsity 0.25.",
    ):
        assert part in words


def test_a_pair_whose_orders_are_equal_has_no_better_one() -> None:
    table = runs().assign(edit_success=0.5, mmlu=0.5)
    assert "Neither order of" in recommend(table, "ft + wanda").words


def test_the_paper_says_prune_before_editing_and_edit_before_gptq(published: pd.DataFrame) -> None:
    """Its finding 2; AWQ before editing."""
    firsts = {
        pair: recommend(published, pair).order[0]
        for pair in ("ft + wanda", "ft + gptq", "ft + awq", "lora + awq")
    }
    assert firsts == {
        "ft + wanda": "wanda",
        "ft + gptq": "ft",
        "ft + awq": "awq",
        "lora + awq": "awq",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"pair": "ft + wnda"},
            r"pair 'ft \+ wnda' was not run in both orders; pairs that were: ft \+ wanda",
        ),
        ({"weights": {"mmluu": 1}}, "no criterion 'mmluu'. Did you mean 'mmlu'"),
        ({"weights": {"mmlu": -1}}, "weights must be at least 0, but mmlu has -1"),
        ({"weights": {"mmlu": 0}}, "at least one weight must be greater than 0"),
        ({"bounds": {"ppl": 5}}, "no criterion 'ppl'"),
        ({"confidence": 2.0}, "confidence must be between 0 and 1, but got 2"),
    ],
)
def test_bad_input_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        recommend(runs(), **{"pair": "ft + wanda", **options})


def test_several_settings_must_be_told_apart() -> None:
    table = pd.concat([runs(**{"ft.lr": 1e-3}), runs(**{"ft.lr": 2e-3})])
    with pytest.raises(
        InvalidInput,
        match=r"run with several settings; give the runs of one: .*lr=0.001; .*lr=0.002",
    ):
        recommend(table, "ft + wanda")
    assert recommend(table[table["ft.lr"] == 1e-3], "ft + wanda").order == ("wanda", "ft")


def test_the_fewest_replicates_of_a_level_are_stated() -> None:
    more = runs(edit_batch=1)
    table = pd.concat([runs(), more[more["wanda.sparsity"] == 0.25]])
    assert recommend(table, "ft + wanda").replicates == 1


def test_only_what_the_score_is_made_of_is_said_to_be_resampled() -> None:
    tables = [runs(edit_batch=batch) for batch in range(7)]
    tables[6]["edit_success"] = np.nan
    advice = recommend(pd.concat(tables), "ft + wanda", weights={"mmlu": 1})
    assert advice.resampled == "7 edit batches and seeds"
    both = recommend(pd.concat(tables), "ft + wanda")
    assert both.resampled == "6 to 7 edit batches and seeds"


def test_an_infinite_gain_has_no_interval() -> None:
    tables = [runs(edit_batch=batch) for batch in range(6)]
    for table in tables:
        # halvings down to nothing
        table["average_bits"] = np.where(table.step1 == "ft", 0.0, 8.0)
    advice = recommend(pd.concat(tables), "ft + wanda", weights={"average_bits": 1})
    assert (advice.order, advice.score) == (("ft", "wanda"), math.inf)
    assert math.isnan(advice.low) and math.isnan(advice.sure)
