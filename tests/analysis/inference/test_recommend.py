import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import recommend
from analysis.inference.recommend import advise
from analysis.labels import Labels
from analysis.metrics.composability import point
from interventions.errors import InvalidInput
from tests.analysis.inference.edited_and_pruned import runs
from tests.analysis.synthetic import frame, run
from tracking import query
from tracking.catalogue import Catalogue


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


def batches(count: int, noise: float = 0.01, seed: int = 1) -> pd.DataFrame:
    """Several edit batches, whose runs have noise of their own."""
    rng = np.random.default_rng(seed)
    tables = [runs(edit_batch=batch) for batch in range(count)]
    for table in tables:
        table["edit_success"] += rng.normal(0, noise, 4)
        table["mmlu"] += rng.normal(0, noise, 4)
    return pd.concat(tables, ignore_index=True)


def scores_of_batches(table: pd.DataFrame) -> np.ndarray:
    """The mean over both criteria and levels of wanda first less ft first, batch by batch."""
    values = table.edit_success + table.mmlu
    sides = [
        values[table.step1 == name].groupby(table.edit_batch).mean() for name in ("wanda", "ft")
    ]
    return np.asarray((sides[0] - sides[1]) / 2)


def test_the_interval_is_students_t_over_the_scores_of_the_edit_batches() -> None:
    """Reference: scipy's one-sample t test of the batches' scores."""
    table = batches(8)
    advice = recommend(table, "ft + wanda")
    reference = stats.ttest_1samp(scores_of_batches(table), 0)
    low, high = reference.confidence_interval(0.95)
    assert (advice.low, advice.high) == pytest.approx((low, high))
    assert advice.p == pytest.approx(reference.pvalue)
    assert (advice.units, advice.basis, advice.replicates) == (8, "edit batches", 8)
    assert (advice.verdict, advice.differs) == ("better", True)


def test_the_test_over_all_levels_has_two_thirds_of_the_errors() -> None:
    """Weighted Holm with weights 4, 1 and 1: the smallest p value is of the average."""
    advice = recommend(batches(5, noise=0.02), "ft + wanda")
    assert advice.p / 4 < advice.levels.p.min()
    assert advice.p_holm == pytest.approx(1.5 * advice.p)
    first, second = sorted(advice.levels.p)
    assert sorted(advice.levels.p_holm) == pytest.approx([2 * first, max(2 * first, second)])


def test_seeds_within_a_batch_are_averaged_first() -> None:
    table = batches(5)
    noisy = table.assign(edit_success=table.edit_success + 0.02 * (table.step1 == "ft"))
    both = pd.concat([table, noisy.assign(seed=1, run_id=noisy.run_id + "b")])
    advice = recommend(both, "ft + wanda")
    assert (advice.units, advice.replicates) == (5, 10)
    mean = (scores_of_batches(table) + scores_of_batches(noisy)) / 2
    assert advice.p == pytest.approx(stats.ttest_1samp(mean, 0).pvalue)


def test_equal_runs_of_several_seeds_are_no_evidence() -> None:
    """A method that ignores the seed: five equal runs are one."""
    table = pd.concat([runs(seed=seed) for seed in range(5)])
    advice = recommend(table, "ft + wanda")
    assert (advice.units, advice.differs) == (1, False)
    assert "is better by" not in advice.words
    assert "cannot be told from these runs" in advice.words


def test_equal_scores_of_all_batches_make_no_test() -> None:
    """Five batches that tie by rounding have a variance of 0, and so would have a p of 0."""
    advice = recommend(pd.concat([runs(edit_batch=batch) for batch in range(5)]), "ft + wanda")
    assert math.isnan(advice.p) and not advice.differs
    assert "all 5 edit batches have the same, so there is no test" in advice.words


def test_two_batches_show_a_direction_and_no_more() -> None:
    advice = recommend(batches(2, noise=0.0001), "ft + wanda")
    assert advice.low > 0 and math.isnan(advice.p)
    assert "At least 3 edit batches would be needed." in advice.words
    assert "is better" not in advice.words.replace("Which order of FT and Wanda is better", "")


def test_a_level_with_one_batch_takes_the_test_from_the_average() -> None:
    table = batches(5)
    table = table[(table["wanda.sparsity"] == 0.25) | (table.edit_batch == 0)]
    advice = recommend(table, "ft + wanda")
    assert (advice.units, advice.kind) == (1, "this batch only")
    assert math.isnan(advice.p) and advice.levels.differs.tolist() == [True, False]


def test_without_replicates_nothing_is_told() -> None:
    advice = recommend(runs(), "ft + wanda")
    assert math.isnan(advice.p) and math.isnan(advice.low)
    assert (advice.verdict, advice.basis) == ("untold", "")
    assert "gain of Wanda → FT 0.085, without an interval. At least 3 edit batches" in advice.words


def test_what_cannot_be_told_says_how_many_batches_would_be_needed() -> None:
    advice = recommend(batches(4, noise=0.2), "ft + wanda")
    assert not advice.differs and advice.needed > 4
    assert f"About {advice.needed:.0f} edit batches would be needed to see" in advice.words


def test_the_words_name_order_amount_levels_and_settings() -> None:
    words = str(recommend(runs(), "ft + wanda", bounds={"mmlu": 0.48}))
    for part in (
        "gain of Wanda → FT 0.040",
        "at sparsity 0.25",
        "Wanda → FT: Edit success ↑ 0.90 against 0.80",
        "under mmlu 0.48:",
        "FT → Wanda at sparsity 0.25, 0.5",
        "Wanda → FT at sparsity 0.25.",
    ):
        assert part in words


def test_a_pair_whose_orders_are_equal_has_no_better_one() -> None:
    table = runs().assign(edit_success=0.5, mmlu=0.5)
    advice = recommend(table, "ft + wanda")
    assert advice.verdict == "equal"
    assert "have equal numbers, on average over sparsity 0.25, 0.5." in advice.words


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
        ({"weights": {"mmlu": math.inf}}, "weights must be at least 0, but mmlu has inf"),
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


def test_runs_that_state_a_setting_and_runs_that_do_not_are_told_apart() -> None:
    """They may have had the same one, or not: their numbers are not mixed."""
    table = pd.concat([runs(), runs(note="a", seed=1)], ignore_index=True)
    with pytest.raises(InvalidInput, match=r"several settings; .*not all of them state the same"):
        recommend(table, "ft + wanda")
    assert len(advise(table, point(table), Labels(Catalogue.from_runs(table)))) == 2


def test_the_fewest_replicates_of_a_level_are_stated() -> None:
    more = runs(edit_batch=1)
    table = pd.concat([runs(), more[more["wanda.sparsity"] == 0.25]])
    assert recommend(table, "ft + wanda").replicates == 1


def test_a_batch_that_lacks_a_weighted_criterion_counts_for_the_others() -> None:
    table = batches(7)
    table.loc[table.edit_batch == 6, "edit_success"] = np.nan
    assert recommend(table, "ft + wanda", weights={"mmlu": 1}).units == 7
    both = recommend(table, "ft + wanda")
    assert both.units == 6
    only_mmlu = table[table.edit_batch == 6].mmlu
    gain = only_mmlu[table.step1 == "wanda"].mean() - only_mmlu[table.step1 == "ft"].mean()
    complete = scores_of_batches(table[table.edit_batch < 6])
    means = table[table.edit_batch < 6].groupby("step1")[["edit_success", "mmlu"]].mean()
    gains = means.loc["wanda"] - means.loc["ft"]
    expected = (gains.edit_success + (6 * gains.mmlu + gain) / 7) / 2
    assert both.score == pytest.approx(expected)
    assert both.score != pytest.approx(complete.mean(), abs=1e-6)


def test_an_infinite_gain_has_no_interval() -> None:
    table = batches(6)
    # halvings down to nothing
    table["average_bits"] = np.where(table.step1 == "ft", 0.0, 8.0)
    advice = recommend(table, "ft + wanda", weights={"average_bits": 1})
    assert (advice.order, advice.score) == (("ft", "wanda"), math.inf)
    assert math.isnan(advice.low) and math.isnan(advice.p)
    assert "FT → Wanda is ahead by ∞" in advice.words


def test_bounds_restrict_the_score() -> None:
    """At sparsity 0.5 pruning first has less MMLU than the bound: the score is of 0.25 alone."""
    advice = recommend(batches(5), "ft + wanda", bounds={"mmlu": 0.48})
    alone = batches(5)
    alone = alone[alone["wanda.sparsity"] == 0.25]
    expected = recommend(alone, "ft + wanda")
    assert advice.score == pytest.approx(expected.score)
    assert advice.p_holm == pytest.approx(expected.p_holm)
    assert list(advice.levels.within) == ["both", "forward"]
    assert "Only FT → Wanda is within mmlu 0.48 at sparsity 0.5." in advice.words
    assert advice.criteria.chosen[0] == pytest.approx(expected.criteria.chosen[0])


def test_where_one_order_alone_is_within_the_bounds_it_is_the_one_to_choose() -> None:
    table = batches(5)
    bound = {"edit_success": 0.7}
    advice = recommend(table[table["wanda.sparsity"] == 0.5], "ft + wanda", bounds=bound)
    assert (advice.order, advice.verdict) == (("wanda", "ft"), "bounds")
    assert math.isnan(advice.score)
    outside = recommend(table, "ft + wanda", bounds={"edit_success": 2})
    assert outside.verdict == "neither"
    assert "Neither order of" in outside.words and "is better" not in outside.words


def test_a_pair_whose_bound_was_not_measured_is_not_within_it() -> None:
    sides = [run(order, level=0.5, wmdp=0.3) for order in ("ga | wanda", "wanda | ga")]
    table = pd.concat([runs(), frame(sides)], ignore_index=True)
    titles = Labels(Catalogue.from_runs(table))
    verdicts = {
        points.intervention[0]: advice.verdict
        for points, advice in advise(table, point(table), titles, bounds={"edit_success": 0.1})
    }
    assert verdicts == {"ft": "untold", "ga": "neither"}


def test_locality_and_preservation_share_one_weight() -> None:
    table = runs().assign(edit_locality=0.5, edit_preservation=0.5)
    advice = recommend(table, "ft + wanda").criteria.set_index("criterion")
    assert advice.weight.to_dict() == {
        "edit_success": 1,
        "edit_locality": 0.5,
        "edit_preservation": 0.5,
        "mmlu": 1,
        "average_bits": 0,
    }


def test_forgetting_below_chance_earns_nothing() -> None:
    sides = [run("ga | wanda", level=0.5, wmdp=0.10), run("wanda | ga", level=0.5, wmdp=0.24)]
    assert recommend(frame(sides), "ga + wanda", weights={"wmdp": 1}).score == 0
    sides = [run("ga | wanda", level=0.5, wmdp=0.10), run("wanda | ga", level=0.5, wmdp=0.40)]
    advice = recommend(frame(sides), "ga + wanda", weights={"wmdp": 1})
    assert advice.order == ("ga", "wanda")
    assert advice.score == pytest.approx(0.15)


def test_several_pairs_get_the_advice_that_each_gets_alone() -> None:
    """The report and the function have the same numbers."""
    table = pd.concat([batches(5), batches(5).assign(**{"ft.lr": 1.0})], ignore_index=True)
    table.loc[table["ft.lr"].isna(), "ft.lr"] = 2.0
    table["run_id"] = [f"{row:032x}" for row in range(len(table))]
    noise = np.random.default_rng(3).normal(0, 0.05, len(table))
    table["mmlu"] = table.mmlu + noise * (table["ft.lr"] == 1)
    titles = Labels(Catalogue.from_runs(table))
    bounds = {"mmlu": 0.4}
    together = advise(table, point(table), titles, bounds=bounds)
    assert len(together) == 2
    for points, advice in together:
        rate = 1.0 if "lr=1" in points.intervention_variant[0] else 2.0
        alone = recommend(table[table["ft.lr"] == rate], "ft + wanda", bounds=bounds)
        assert advice.words == alone.words
        pd.testing.assert_frame_equal(advice.levels, alone.levels)


def test_printed_numbers_are_said_to_be_printed(published: pd.DataFrame) -> None:
    advice = recommend(published, "ft + wanda")
    assert advice.verdict == "printed"
    assert advice.words.startswith("As printed, Wanda → FT is ahead by 0.")
    assert "is better" not in advice.words


def test_items_are_read_where_none_are_given(grid: pd.DataFrame) -> None:
    """The grid has one edit batch: only its items tell anything, of this batch."""
    advice = recommend(grid, "ft + wanda")
    assert advice.basis == "this batch only"
    assert "this batch only, which says nothing about another" in advice.words
    assert not advice.differs
    given = query.items(grid, missing="skip")
    assert recommend(grid, "ft + wanda", items=given).low == pytest.approx(advice.low)
    none = recommend(grid, "ft + wanda", items=given.iloc[:0])
    assert math.isnan(none.low) and none.score == pytest.approx(advice.score)


def test_items_of_too_many_runs_are_not_read_and_that_is_said(
    grid: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.inference.recommend.MOST_ITEM_RUNS", 5)
    advice = recommend(grid, "ft + wanda")
    assert math.isnan(advice.low)
    assert "Items of 6 runs were not read: more than 5." in advice.words
