import math

import numpy as np
import pandas as pd
import pytest

from analysis.inference.item_scores import (
    PointItems,
    _by_unit,
    _RunScores,
    _Scores,
    items_of_points,
)
from analysis.inference.units import collect_units
from analysis.metrics.composability import point
from interventions.errors import InvalidInput
from tests.analysis.inference.replicated import interval, scored
from tests.analysis.synthetic import only

RNG = np.random.default_rng(6)


def point_items(runs: pd.DataFrame, items: pd.DataFrame) -> list[PointItems]:
    points = point(runs)
    return items_of_points(collect_units(runs, points), points, items)


def answers(units: int, items: int) -> np.ndarray:
    return (RNG.random((units, items)) < 0.6).astype(float)


def test_questions_are_crossed_with_units_and_edits_belong_to_their_batch() -> None:
    forward, backward = answers(3, 20), answers(3, 20)
    for criterion, crossed in (("mmlu", True), ("edit_success", False)):
        (items,) = point_items(*scored(forward, backward, criterion))
        assert items.crossed is crossed
        assert np.stack(items.forward) == pytest.approx(forward)
        assert np.stack(items.backward) == pytest.approx(backward)


def test_edits_judge_every_seed_of_a_pair_that_reads_none() -> None:
    """The weights are those of the seed; the items of all its batches are crossed with seeds."""
    parts = []
    for batch in range(2):
        own = scored(
            answers(3, 10),
            answers(3, 10),
            first_step="rmu",
            edit_batch=batch,
            seed=lambda unit: unit,
            mmlu=lambda unit: unit / 8,
        )
        parts.append(own)
    runs, items = (pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True))
    of_edits = [each for each in point_items(runs, items) if len(each.forward[0]) == 20]
    assert len(of_edits) == 1 and of_edits[0].crossed and len(of_edits[0].forward) == 3


def test_edits_of_two_batches_are_others_and_questions_are_the_same() -> None:
    """One unit, as all weights are equal: three edits of each batch, and three questions."""
    same = np.full((2, 3), 0.5)
    for criterion, codes in (("edit_success", [0, 1, 2, 3, 4, 5]), ("mmlu", [0, 1, 2])):
        runs, items = scored(same, same, criterion, first_step="ga", weights="a")
        (of_point,) = point_items(runs, items)
        assert of_point.codes.tolist() == codes


def test_items_that_only_some_units_have_are_left_out_where_they_are_crossed() -> None:
    runs, items = scored(answers(3, 12), answers(3, 12), "mmlu")
    first = runs.run_id.iloc[0]
    shorter = items[~((items.run_id == first) & (items.item == "11"))].copy()
    runs.loc[0, "mmlu"] = shorter[shorter.run_id == first].score.mean()
    (kept,) = point_items(runs, shorter)
    assert [len(scores) for scores in kept.forward] == [11, 11, 11]


def test_a_point_with_a_run_without_items_has_none() -> None:
    runs, items = scored(answers(3, 12), answers(3, 12), "mmlu")
    assert point_items(runs, items[items.run_id != runs.run_id.iloc[2]]) == []
    assert items_of_points(collect_units(runs, point(runs)), point(runs), None) == []


def test_items_whose_mean_is_not_the_criterion_are_not_used() -> None:
    runs, items = scored(answers(3, 12), answers(3, 12), "mmlu")
    assert point_items(runs.assign(mmlu=runs.mmlu + 1e-3), items) == []


def test_the_mean_of_groups_of_unequal_size_is_weighted() -> None:
    """WMDP is the mean of two accuracies: 4 questions on biology, 16 on computing."""
    names = [f"bio/{n}" for n in range(4)] + [f"cyber/{n}" for n in range(16)]
    scores = answers(3, 20)
    runs, items = scored(scores, answers(3, 20), "wmdp", names=names)
    parts = items.item.str.partition("/")[0].rename("part")
    means = items.groupby(["run_id", parts]).score.mean().groupby("run_id").mean()
    runs["wmdp"] = runs.run_id.map(means)
    (weighted,) = point_items(runs, items)
    forward = runs[runs.step1 == "ft"].sort_values("edit_batch").wmdp
    assert [side.mean() for side in weighted.forward] == pytest.approx(list(forward))
    assert weighted.forward[0][:4] == pytest.approx(scores[0, :4] * 20 / 8)


def test_questions_about_one_edit_are_one_item() -> None:
    """Ten edits with three questions each, all answered alike: ten items, not thirty."""
    names = [f"{edit}/hop/{n}" for edit in range(10) for n in range(3)]
    per_edit = answers(4, 10)
    forward, backward = np.repeat(per_edit, 3, axis=1), np.repeat(1 - per_edit, 3, axis=1)
    (grouped,) = point_items(*scored(forward, backward, "edit_portability", names=names))
    assert [len(side) for side in grouped.forward] == [10] * 4
    assert np.stack(grouped.forward) == pytest.approx(per_edit)


def test_perplexity_is_the_exponential_of_its_items_mean() -> None:
    """Reference: the delta method, exp(mean) x the standard error of the mean."""
    nats = RNG.normal(2, 0.3, (1, 60))
    runs, items = scored(nats, nats - 0.5, "wikitext_ppl")
    runs["wikitext_ppl"] = np.exp(runs.wikitext_ppl)
    row = interval(runs, items)
    first, second = math.exp(nats.mean()), math.exp(nats.mean() - 0.5)
    error = (first - second) * nats.std(ddof=1) / math.sqrt(60)
    assert row.se == pytest.approx(error)
    assert (row.basis, row.units) == ("this batch only", 1)
    assert row.gain == pytest.approx(second - first)


def test_what_is_measured_exactly_has_no_sample_of_items() -> None:
    runs, items = scored(np.array([[4.0, 8.0]]), np.array([[4.0, 4.0]]), "average_bits")
    assert point_items(runs, items) == []
    row = interval(runs, items)
    assert (row.basis, row.gain) == ("", -2.0) and math.isnan(row.gain_low)


def test_infinite_items_are_not_used() -> None:
    nats = np.full((2, 5), 1.0)
    nats[1, 3] = math.inf
    runs, items = scored(nats, np.full((2, 5), 1.0), "wikitext_ppl")
    runs["wikitext_ppl"] = np.exp(runs.wikitext_ppl)
    assert point_items(runs, items) == []


def test_items_of_repeated_runs_of_a_batch_are_averaged() -> None:
    """Two seeds of one batch: an item that one of them answers counts half."""
    parts = [
        scored(answers(3, 20), answers(3, 20), seed=seed, edit_batch=lambda unit: unit)
        for seed in (0, 1)
    ]
    runs, items = (pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True))
    (averaged,) = point_items(runs, items)
    halves = np.stack(averaged.forward)
    assert halves.shape == (3, 20) and set(np.unique(halves)) == {0.0, 0.5, 1.0}


def test_items_without_a_column_are_refused() -> None:
    runs, items = scored(answers(2, 5), answers(2, 5))
    with pytest.raises(InvalidInput, match="items"):
        interval(runs, items.drop(columns="score"))
    assert only(point(runs)).replicates == 2


def test_no_items_are_items_of_no_point() -> None:
    runs, items = scored(answers(2, 5), answers(2, 5))
    assert point_items(runs, items.iloc[:0]) == []


@pytest.mark.parametrize("lacking", [0, 1, 2])
def test_items_that_one_unit_lacks_are_left_out_of_all(lacking: int) -> None:
    units = [
        _RunScores(np.array([2, 4, 6, 8]), np.array([0.2, 0.4, 0.6, 0.8]) + unit)
        for unit in range(3)
    ]
    units[lacking] = _RunScores(np.array([2, 6, 8]), np.array([0.2, 0.6, 0.8]) + lacking)
    by_unit = _by_unit({"forward": units, "backward": units}, np.arange(3), True)
    assert by_unit is not None
    forward, backward, codes = by_unit
    assert codes.tolist() == [2, 6, 8]
    expected = np.array([[0.2, 0.6, 0.8]]) + np.arange(3)[:, None]
    assert np.stack(forward) == pytest.approx(expected)
    assert np.stack(backward) == pytest.approx(expected)


@pytest.mark.parametrize(("count", "is_enough"), [(1, False), (2, True)])
def test_every_unit_has_two_items_at_least(count: int, is_enough: bool) -> None:
    units = [_RunScores(np.arange(size), np.zeros(size)) for size in (3, count)]
    by_unit = _by_unit({"forward": units, "backward": units}, np.arange(2), False)
    assert (by_unit is not None) is is_enough


def run_scores(ids: list[str], scores: list[float], value: float) -> list[float] | None:
    """What the items of a single run are taken for, given the criterion's value."""
    items = pd.DataFrame({"run_id": "r", "criterion": "c", "item": ids, "score": scores})
    run_items = _Scores(items).of("r", "c", value, nested=False)
    return None if run_items is None else run_items.scores.tolist()


@pytest.mark.parametrize(("difference", "is_used"), [(1.0, True), (1.1, False)])
def test_a_mean_may_be_off_by_a_millionth(difference: float, is_used: bool) -> None:
    """Of a million that is 1; likewise of the mean of two groups, of 1 and 2 questions."""
    mean = 1e6 + difference
    assert (run_scores(["1", "2"], [mean - 5, mean + 5], 1e6) is not None) is is_used
    grouped = run_scores(["a/1", "b/1", "b/2"], [mean + 300, mean - 300, mean - 300], 1e6)
    assert (grouped is not None) is is_used


def test_below_1_a_mean_may_be_off_by_a_millionth_of_1() -> None:
    assert run_scores(["1", "2"], [0.9e-6, 0.9e-6], 0.0) == [0.9e-6, 0.9e-6]
    assert run_scores(["1", "2"], [1.5e-6, 1.5e-6], 0.0) is None
    mean, apart = 1.5e-6, 0.003
    scores = [mean + apart, mean - apart, mean - apart]
    assert run_scores(["a/1", "b/1", "b/2"], scores, 0.0) is None


def test_scores_of_an_exponential_are_turned_to_its_scale() -> None:
    """Delta method: exp(mean + d) is exp(mean) (1 + d); below 1 too."""
    mean = math.log(0.5)
    turned = run_scores(["1", "2", "3"], [mean - 0.2, mean, mean + 0.2], 0.5)
    assert turned == pytest.approx([0.4, 0.5, 0.6])
    assert run_scores(["1", "2"], [0.1, 0.1], 1.0) == pytest.approx([1.0, 1.0])
    assert run_scores(["1", "2"], [0.11, 0.11], 1.0) is None
    assert run_scores(["1", "2"], [0.0, 0.1], 0.0) is None
