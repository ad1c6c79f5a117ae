import pandas as pd
import pytest

from analysis.metrics.composability import area, point, within
from interventions.errors import InvalidInput
from tests.analysis.synthetic import curve, frame


def areas(runs: list[dict[str, object]], bounds: dict[str, float]) -> pd.DataFrame:
    return area(point(frame(runs)), bounds)


def bounded_runs() -> list[dict[str, object]]:
    runs = curve("ft", "wanda", [0.25, 0.5, 0.75], [0.9, 0.8, 0.7], [0.9, 0.6, 0.1])
    for row, mmlu in zip(runs, [0.6, 0.6, 0.5, 0.45, 0.5, 0.3], strict=True):
        row["mmlu"] = mmlu
    return runs


def test_levels_where_another_criterion_fell_below_its_bound_in_either_order_are_left_out() -> None:
    rows = areas(bounded_runs(), bounds={"mmlu": 0.4}).set_index("criterion")
    assert (rows.levels["edit_success"], rows.left_out["edit_success"]) == ("0.25 0.5", "0.75")
    assert rows.order_sensitivity["edit_success"] == pytest.approx(0.1)


def test_a_bound_on_a_criterion_where_lower_is_better_is_a_maximum() -> None:
    runs = curve(
        "ft",
        "wanda",
        [0.25, 0.5, 0.75],
        [5.0, 6.0, 30.0],
        [5.0, 7.0, 9.0],
        criterion="wikitext_ppl",
    )
    assert areas(runs, bounds={"wikitext_ppl": 8}).levels[0] == "0.25 0.5"
    assert list(within(point(frame(runs)), {"wikitext_ppl": 8}).level) == [0.25, 0.5]


def test_a_bound_without_a_direction_is_refused() -> None:
    runs = curve("ft", "wanda", [0.25, 0.5], [0.2, 0.5], [0.2, 0.5], criterion="sparsity")
    with pytest.raises(InvalidInput, match="sparsity cannot be a bound: neither direction"):
        areas(runs, bounds={"sparsity": 0.4})


def test_a_value_that_equals_its_bound_is_within() -> None:
    points = point(frame(curve("ft", "wanda", [0.25, 0.5], [0.5, 0.4], [0.5, 0.5])))
    assert list(within(points, {"edit_success": 0.5}).level) == [0.25]


def test_every_bound_must_hold() -> None:
    runs = bounded_runs()
    for row, bits in zip(runs, [16, 16, 8, 8, 4, 4], strict=True):
        row["average_bits"] = bits
    points = point(frame(runs))
    assert set(within(points, {"mmlu": 0.4, "average_bits": 8}).level) == {0.5}


def test_an_order_without_the_bounding_criterion_is_out_of_bounds() -> None:
    runs = bounded_runs()
    del runs[0]["mmlu"]
    assert set(within(point(frame(runs)), {"mmlu": 0.4}).level) == {0.5}


def test_a_bound_on_an_unknown_criterion_names_the_nearest() -> None:
    points = point(frame(curve("ft", "wanda", [0.25], [0.5], [0.5])))
    with pytest.raises(InvalidInput, match=r"no criterion 'edit_sucess'\. Did you mean"):
        within(points, {"edit_sucess": 0.5})
