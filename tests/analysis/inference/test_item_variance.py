import math

import numpy as np
import pytest

from analysis.inference.item_variance import (
    PointGains,
    variance_of_questions,
    variance_over_items,
)

RNG = np.random.default_rng(4)
TABLE = RNG.normal(0, 1, (4, 30)) + RNG.normal(0, 0.5, 30)


def gains_of(table: np.ndarray, criterion: str, **facts: object) -> PointGains:
    units = tuple(range(len(table)))
    options = {"sample": "crossed", "bounded": False, **facts}
    return PointGains(units, table.mean(1), items=tuple(table), criterion=criterion, **options)  # type: ignore[arg-type]


def test_levels_share_their_questions() -> None:
    """Equal gains of a question at two levels do not average out; opposite ones cancel."""
    one = variance_of_questions([(1.0, gains_of(TABLE, "mmlu"))])[0]
    halves = [(0.5, gains_of(TABLE, "mmlu")), (0.5, gains_of(TABLE, "mmlu"))]
    assert variance_of_questions(halves)[0] == pytest.approx(one)
    opposed = [(0.5, gains_of(TABLE, "mmlu")), (0.5, gains_of(-TABLE, "mmlu"))]
    assert variance_of_questions(opposed)[0] == pytest.approx(0, abs=1e-12)


def test_the_variance_of_questions_is_that_of_their_means_less_the_residual() -> None:
    """Reference: two-way analysis of variance; the mean square of items less that of residuals."""
    variance, is_known = variance_of_questions([(1.0, gains_of(TABLE, "mmlu"))])
    units, count = TABLE.shape
    residuals = TABLE - TABLE.mean(0) - TABLE.mean(1, keepdims=True) + TABLE.mean()
    of_residual = (residuals**2).sum() / ((units - 1) * (count - 1))
    of_items = units * TABLE.mean(0).var(ddof=1)
    assert variance == pytest.approx((of_items - of_residual) / units / count)
    assert is_known


def test_questions_of_which_a_unit_lacks_scores_are_not_known() -> None:
    short = PointGains((0, 1), np.zeros(2), items=(np.zeros(3), np.zeros(2)), sample="crossed")
    assert variance_of_questions([(1.0, short)]) == (0, False)
    none = PointGains((0, 1), np.zeros(2), sample="crossed")
    assert variance_of_questions([(0.5, none), (0.5, gains_of(TABLE, "mmlu"))])[1] is False
    assert variance_of_questions([(1.0, PointGains((0, 1), np.zeros(2)))]) == (0, False)


@pytest.mark.parametrize("sample", ["nested", "crossed"])
def test_criteria_that_judge_the_same_edits_are_not_taken_for_independent(sample: str) -> None:
    """Several batches have edits of their own; seeds of one batch have its edits in common."""
    batch = TABLE[:1]
    facts = {"sample": sample, "of_edits": True}
    one = variance_over_items([(1.0, gains_of(batch, "edit_success", **facts))])[0]
    same = [(0.5, gains_of(batch, name, **facts)) for name in ("edit_success", "edit_locality")]
    assert variance_over_items(same)[0] == pytest.approx(one)
    questions = [(0.5, gains_of(batch, name)) for name in ("mmlu", "wmdp")]
    assert variance_over_items(questions)[0] == pytest.approx(one / 2)


def test_edits_of_several_batches_average_out() -> None:
    one = variance_over_items([(1.0, gains_of(TABLE[:1], "edit_success", sample="nested"))])[0]
    same = np.repeat(TABLE[:1], 4, axis=0)
    four = variance_over_items([(1.0, gains_of(same, "edit_success", sample="nested"))])[0]
    assert four == pytest.approx(one / 4)


def test_what_is_no_sample_adds_nothing_and_what_lacks_items_is_not_known() -> None:
    exact = PointGains((0,), np.array([0.5]))
    asked = gains_of(TABLE[:1], "mmlu")
    both = variance_over_items([(0.5, exact), (0.5, asked)])
    assert both == pytest.approx((variance_over_items([(0.5, asked)])[0], 30))
    assert math.isnan(variance_over_items([(1.0, exact)])[0])
    unknown = PointGains((0,), np.array([0.5]), sample="nested")
    variance, fewest = variance_over_items([(0.5, asked), (0.5, unknown)])
    assert math.isnan(variance) and fewest == 0
    assert variance_over_items([(1.0, unknown)])[1] == variance_over_items([(1.0, exact)])[1] == 0


def test_half_an_item_is_added_to_each_cell_where_differences_are_bounded() -> None:
    """Agresti and Min's: 1 / items squared, also of items that are all alike."""
    alike = gains_of(np.zeros((1, 20)), "mmlu", bounded=True)
    assert variance_over_items([(1.0, alike)])[0] == pytest.approx(1 / 20**2)
    edits = gains_of(np.zeros((2, 20)), "edit_success", bounded=True, sample="nested")
    assert variance_over_items([(1.0, edits)])[0] == pytest.approx(1 / 20**2 / 2)
    halves = [(0.5, alike), (0.25, alike)]
    assert variance_over_items(halves)[0] == pytest.approx((0.75 / 20) ** 2)


def nested(*rows: list[float]) -> PointGains:
    """Edits of their own in each unit."""
    return gains_of_rows([np.array(row) for row in rows], sample="nested")


def gains_of_rows(rows: list[np.ndarray], sample: str) -> PointGains:
    gains = np.array([row.mean() for row in rows])
    return PointGains(
        tuple(range(len(rows))), gains, items=tuple(rows), sample=sample, bounded=False
    )


def test_the_same_edits_at_two_levels_are_summed_one_by_one() -> None:
    """By hand: .5 (1, 2, 4) + .25 (0, 2, 1) = (.5, 1.5, 2.25), of variance 37/48, over 3 edits."""
    levels = [(0.5, nested([1, 2, 4])), (0.25, nested([0, 2, 1]))]
    variance, count = variance_over_items(levels)
    assert variance == pytest.approx(37 / 144) and count == 3
    assert math.isnan(variance_over_items([levels[0], (0.25, nested([0, 2]))])[0])


def test_the_fewest_items_of_a_unit_are_told() -> None:
    """By hand: variances 1 and 2.5 of 3 and 5 edits, over 2 batches."""
    variance, fewest = variance_over_items([(1.0, nested([1, 2, 3], [1, 2, 3, 4, 5]))])
    assert variance == pytest.approx((1 / 3 + 2.5 / 5) / 2 / 2) and fewest == 3


def test_questions_that_some_units_lack_have_neither_a_variance_nor_a_number() -> None:
    short = gains_of_rows([np.zeros(3), np.zeros(2)], "crossed")
    variance, fewest = variance_over_items([(1.0, short)])
    assert math.isnan(variance) and fewest == 0


def test_two_units_tell_what_is_due_to_the_questions() -> None:
    """By hand: questions' means 2 and 0 have variance 2, over 2; the residual 1/2, over 2 units."""
    pair_of_units = gains_of_rows([np.array([3.0, 0.0]), np.array([1.0, 0.0])], "crossed")
    variance, is_known = variance_of_questions([(1.0, pair_of_units)])
    assert variance == pytest.approx(0.75) and is_known
