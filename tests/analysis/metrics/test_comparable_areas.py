import math

import pandas as pd
import pytest

from analysis.metrics.composability import area, cells, comparable_areas, point, wins
from interventions.errors import InvalidInput
from tests.analysis.synthetic import curve, frame, run

LEVELS = [0.25, 0.5, 0.75]


def contest(runs: list[dict[str, object]], **options: object) -> pd.DataFrame:
    areas = comparable_areas(point(frame(runs)), **options)  # type: ignore[arg-type]
    return areas[areas.group == "pruning"].set_index("method")


def test_methods_are_compared_over_the_levels_that_both_have() -> None:
    """Wanda was run at a sparsity that destroys the model, SparseGPT was not."""
    runs = curve("ft", "wanda", [0.25, 0.5, 0.95], [0.9, 0.9, 0.0], [0.9, 0.9, 0.0])
    runs += curve("ft", "sparsegpt", [0.25, 0.5], [0.8, 0.8], [0.8, 0.8])
    areas = contest(runs)
    assert list(areas.levels) == ["0.25 0.5", "0.25 0.5"]
    assert areas.order_free_error.to_dict() == pytest.approx({"wanda": 0.1, "sparsegpt": 0.2})
    counts = wins(areas.reset_index()).set_index(["method", "measure"]).wins
    assert counts["wanda", "order_free_error"] == 1
    # each over its own range, the destroyed model makes Wanda lose
    own = cells(area(point(frame(runs))).assign(level=math.nan))
    errors = own[own.group == "pruning"].set_index("method").order_free_error
    assert errors["wanda"] > errors["sparsegpt"]


def test_a_level_that_one_has_between_two_common_ones_is_no_gap() -> None:
    runs = curve("ft", "wanda", LEVELS, [0.9, 0.1, 0.9], [0.9, 0.1, 0.9])
    runs += curve("ft", "sparsegpt", [0.25, 0.75], [0.8, 0.8], [0.8, 0.8])
    areas = contest(runs)
    assert list(areas.levels) == ["0.25 0.75"] * 2
    assert areas.order_free_error["wanda"] == pytest.approx(0.1)


def test_nothing_is_drawn_across_a_level_that_one_of_them_lacks_an_order_of() -> None:
    levels = [0.1, 0.2, 0.3, 0.4, 0.6]
    runs = curve("ft", "wanda", levels, [0.5] * 5, [0.4] * 5)
    runs += curve("ft", "sparsegpt", [0.1, 0.2, 0.4, 0.6], [0.5] * 4, [0.1, 0.1, 0.4, 0.4])
    runs.append(run("ft | sparsegpt", level=0.3, edit_success=0.5))
    areas = contest(runs)
    assert list(areas.levels) == ["0.1 0.2 0.4 0.6"] * 2
    assert areas.order_sensitivity["sparsegpt"] == pytest.approx((0.1 * 0.4 + 0.2 * 0.1) / 0.3)


def test_methods_without_two_common_levels_are_not_compared() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9] * 2, [0.9] * 2)
    runs += curve("ft", "sparsegpt", [0.5, 0.75], [0.8] * 2, [0.8] * 2)
    assert contest(runs).empty


def test_a_method_with_a_single_level_does_not_restrict_the_others() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.9] * 2, [0.9] * 2)
    runs += curve("ft", "sparsegpt", [0.25], [0.8], [0.8])
    assert list(contest(runs).index) == ["wanda"]


def test_bounds_leave_out_levels_for_all() -> None:
    runs = curve("ft", "wanda", LEVELS, [0.9, 0.8, 0.7], [0.9, 0.8, 0.7])
    runs += curve("ft", "sparsegpt", LEVELS, [0.9, 0.8, 0.7], [0.9, 0.8, 0.7])
    for row, mmlu in zip(runs, [0.6] * 4 + [0.3] * 2 + [0.6] * 6, strict=True):
        row["mmlu"] = mmlu
    areas = contest(runs, bounds={"mmlu": 0.4})
    assert set(areas.levels) == {"0.25 0.5"}


def test_where_all_have_the_same_levels_the_areas_are_those_of_each(
    published: pd.DataFrame,
) -> None:
    """For some pairs the paper prints more bits than for those that they compete with."""
    points = point(published, ["edit_success", "mmlu"])
    of_each = area(points)
    areas, separate = comparable_areas(points), cells(of_each.assign(level=math.nan))
    separate["levels"] = list(of_each.levels.iloc[separate.row])
    key = ["group", "method", "versus", "criterion", "strength"]
    both = areas.merge(separate, on=key, suffixes=("", "_of_each"))
    assert len(both) == len(areas) == len(separate)
    is_same = both.levels == both.levels_of_each
    assert is_same.sum() > 80 and not is_same.all()
    for measure in ("order_free_error", "order_sensitivity"):
        expected = list(both[f"{measure}_of_each"][is_same])
        assert list(both[measure][is_same]) == pytest.approx(expected)
    for row in both[~is_same].itertuples():
        assert set(str(row.levels).split()) < set(str(row.levels_of_each).split())


def test_contests_and_methods_come_as_their_points_do() -> None:
    runs = curve("lora", "wanda", LEVELS, [0.9] * 3, [0.8] * 3)
    runs += curve("ft", "wanda", LEVELS, [0.9] * 3, [0.8] * 3)
    runs += curve("ft", "sparsegpt", LEVELS, [0.9] * 3, [0.8] * 3)
    points = point(frame(runs))
    order = [("lora", "wanda"), ("ft", "wanda"), ("ft", "sparsegpt")]
    pairs = list(zip(points.intervention, points.partner, strict=True))
    points = points.iloc[sorted(range(len(points)), key=lambda row: order.index(pairs[row]))]
    areas = comparable_areas(points)
    pruned = areas[areas.group == "pruning"]
    # rows are numbered as they come, from the lowest level of a pair
    assert list(zip(pruned.versus, pruned.method, pruned.row, strict=True)) == [
        ("lora", "wanda", 0),
        ("ft", "wanda", 3),
        ("ft", "sparsegpt", 6),
    ]
    with pytest.raises(InvalidInput, match="points"):
        comparable_areas(points.drop(columns="order_sensitivity"))
