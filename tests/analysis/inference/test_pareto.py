import numpy as np
import pandas as pd
import pytest

from analysis import recommend
from analysis.inference.pareto import compare_settings
from analysis.metrics.composability import point
from interventions.errors import InvalidInput
from tests.analysis.inference.edited_and_pruned import measured, runs
from tests.analysis.synthetic import curve, frame
from tracking.catalogue import Catalogue


def test_settings_that_no_other_beats_are_pareto_optimal() -> None:
    """At either level each order is better in one criterion; more bits keep more."""
    settings = recommend(runs(), "ft + wanda").settings.set_index(["order", "level"])
    assert settings.pareto.all()
    beaten = runs()
    beaten.loc[(beaten.step1 == "ft") & (beaten["wanda.sparsity"] == 0.5), "mmlu"] = 0.40
    settings = recommend(beaten, "ft + wanda").settings.set_index(["order", "level"])
    assert dict(settings.pareto) == {
        ("ft → wanda", 0.25): True,
        ("ft → wanda", 0.5): False,
        ("wanda → ft", 0.25): True,
        ("wanda → ft", 0.5): True,
    }


def test_settings_out_of_bounds_are_neither_optimal_nor_do_they_beat_others() -> None:
    settings = recommend(runs(), "ft + wanda", bounds={"mmlu": 0.48}).settings.set_index(
        ["order", "level"]
    )
    assert not settings.within["wanda → ft", 0.5]
    assert not settings.pareto["wanda → ft", 0.5]
    assert settings.pareto["ft → wanda", 0.5]


def test_more_bits_beat_nothing_where_they_are_not_measured() -> None:
    """Average bits count though they have no weight: without them the lower level wins."""
    settings = recommend(runs(), "ft + wanda", weights={"mmlu": 1}).settings
    assert set(settings[settings.pareto].order) == {"ft → wanda"}
    assert len(settings[settings.pareto]) == 2
    without_bits = recommend(runs().drop(columns="average_bits"), "ft + wanda", {"mmlu": 1})
    unbeaten = without_bits.settings[without_bits.settings.pareto]
    assert list(zip(unbeaten.order, unbeaten.level, strict=True)) == [("ft → wanda", 0.25)]


def test_equal_settings_do_not_beat_each_other() -> None:
    table = runs().assign(edit_success=0.5, mmlu=0.5, average_bits=8.0)
    assert recommend(table, "ft + wanda").settings.pareto.all()


def test_a_maximum_is_a_bound_where_lower_is_better() -> None:
    settings = recommend(runs(), "ft + wanda", bounds={"average_bits": 8}).settings
    assert settings.within.tolist() == (settings.level == 0.5).tolist()
    assert settings.pareto.sum() == 2


def test_a_value_that_was_not_measured_is_beaten() -> None:
    table = runs()
    lacks_mmlu = (table.step1 == "ft") & (table["wanda.sparsity"] == 0.5)
    table.loc[lacks_mmlu, ["mmlu", "edit_success"]] = np.nan
    both = recommend(table, "ft + wanda", {"edit_success": 1, "mmlu": 1}).settings
    assert set(both[both.level == 0.25].pareto) == {True}


def test_without_a_direction_no_setting_is_better() -> None:
    table = runs().drop(columns=["mmlu", "edit_success", "average_bits"]).assign(sparsity=0.5)
    assert not recommend(table, "ft + wanda").settings.pareto.any()


def test_a_bound_without_a_direction_is_refused() -> None:
    with pytest.raises(InvalidInput, match="sparsity cannot be a bound"):
        recommend(runs().assign(sparsity=0.5), "ft + wanda", bounds={"sparsity": 0.5})


def test_a_criterion_with_weight_zero_is_not_compared() -> None:
    table = runs().drop(columns="average_bits")
    settings = recommend(table, "ft + wanda", {"mmlu": 1, "edit_success": 0}).settings
    assert settings.pareto.sum() == 1


def test_a_level_that_one_order_lacks_is_no_setting() -> None:
    extra = frame([measured("ft | wanda", 0.75, 1.0, 1.0, 2.0)])
    settings = recommend(pd.concat([runs(), extra]), "ft + wanda").settings
    assert set(settings.level) == {0.25, 0.5}


def test_a_setting_out_of_bounds_beats_none() -> None:
    """Pruning first at 0.25 has more edit success, and less MMLU than the bound."""
    table = runs().drop(columns="average_bits")
    settings = recommend(table, "ft + wanda", {"edit_success": 1}, {"mmlu": 0.59}).settings
    unbeaten = settings[settings.pareto]
    assert list(zip(unbeaten.order, unbeaten.level, strict=True)) == [("ft → wanda", 0.25)]


def test_every_order_and_level_has_its_values_whatever_the_order_of_the_points() -> None:
    points = pd.DataFrame(
        [
            ("mmlu", 0.5, 0.1, 0.2, "higher"),
            ("mmlu", 0.25, 0.3, 0.4, "higher"),
            ("average_bits", 0.5, 8.0, 9.0, "lower"),
        ],
        columns=["criterion", "level", "forward", "backward", "better"],
    ).assign(intervention="ft", partner="wanda", strength="wanda.sparsity")
    settings = compare_settings(points, Catalogue(), {"mmlu": 1.0}, {})
    expected = {
        "order": ["ft → wanda"] * 2 + ["wanda → ft"] * 2,
        "strength": ["wanda.sparsity"] * 4,
        "level": [0.25, 0.5, 0.25, 0.5],
        "average_bits": [np.nan, 8.0, np.nan, 9.0],
        "mmlu": [0.3, 0.1, 0.4, 0.2],
        "within": [True] * 4,
        # 0.3 is beaten by 0.4; bits that were not measured are as bad as can be
        "pareto": [False, True, True, True],
    }
    pd.testing.assert_frame_equal(settings, pd.DataFrame(expected))
    unknown = compare_settings(points, Catalogue(), {"mmlu": 1.0}, {"wmdp": 0.5})
    assert not unknown.within.any() and not unknown.pareto.any()


def test_settings_come_by_level() -> None:
    levels = [0.7, 0.3, 0.9, 0.1, 0.5]
    table = frame(curve("ft", "wanda", levels, levels, levels))
    settings = compare_settings(point(table).iloc[[3, 0, 4, 2, 1]], Catalogue(), {}, {})
    assert settings.level.tolist() == sorted(levels) * 2
    assert settings.edit_success.tolist() == sorted(levels) * 2
