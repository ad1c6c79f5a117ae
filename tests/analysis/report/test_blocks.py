"""The report's tables of levels, comparisons and areas, cell by cell."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from analysis.labels import Labels
from analysis.report.blocks import area_block, comparison_block, interval_text, level_block
from tests.analysis.report.block_texts import linked_runs, rows_of
from tracking.catalogue import Catalogue

TITLES = Labels(Catalogue())


def point(**columns: Any) -> dict[str, Any]:
    return {
        "context": "a", "intervention": "ft", "intervention_variant": "", "partner": "wanda",
        "partner_variant": "", "settings": "s", "criterion": "mmlu", "better": "higher",
        "strength": "wanda.sparsity", "level": 0.25, "forward": 0.6012, "backward": 0.5023,
        "replicates": 5, "gain": 0.0989, "gain_low": 0.0512, "gain_high": 0.1499,
        "order_sensitivity": 0.0988, "noise_floor": 0.0202, "p": 0.0123, "p_holm": 0.0246,
        "q": 0.0185, "units": 5, "basis": "seeds", "scope": "and items",
        "forward_runs": ("1", "2"), "backward_runs": ("2", "3"), **columns,
    }  # fmt: skip


COMPARED = [
    *("MMLU ↑", "sparsity 0.25", "0.601", "0.502", "0.099", "0.051 to 0.150", "0.099"),
    *("0.020", "0.012", "0.025", "0.018", "5", "seeds and items"),
]


def test_a_comparison_has_its_interval_and_tests_and_numbers_link_to_runs() -> None:
    block = comparison_block(pd.DataFrame([point()]), TITLES)
    assert rows_of(block) == {"FT + Wanda": COMPARED}
    assert list(block.values)[:2] == ["Criterion", "Level"]
    runs = ("1", "2", "3")
    assert linked_runs(block) == [[None, None, *[runs] * 10, None]]


def test_comparisons_stand_in_the_papers_order() -> None:
    """By context, then pair, then criterion as in the catalogue, then level."""
    shuffled = [
        point(context="b"),
        point(partner="rtn", level=0.1),
        point(partner="awq", level=0.2),
        point(intervention="lora", level=0.3),
        point(level=0.4),
        point(level=0.35),
        point(criterion="edit_success", level=0.5),
    ]
    block = comparison_block(pd.DataFrame(shuffled, index=range(7, 0, -1)), TITLES)
    assert list(zip(block.values.index, block.values.Level, strict=True)) == [
        ("FT + Wanda; a", "sparsity 0.5"),
        ("FT + Wanda; a", "sparsity 0.35"),
        ("FT + Wanda; a", "sparsity 0.4"),
        ("FT + AWQ; a", "sparsity 0.2"),
        ("FT + RTN; a", "sparsity 0.1"),
        ("LoRA + Wanda; a", "sparsity 0.3"),
        ("FT + Wanda; b", "sparsity 0.25"),
    ]


def test_what_was_not_run_in_both_orders_or_has_no_good_direction_is_not_compared() -> None:
    left_out = [point(forward=np.nan), point(better="neither"), point(replicates=0)]
    block = comparison_block(pd.DataFrame([*left_out, point(level=0.5)]), TITLES)
    assert block.values.Level.tolist() == ["sparsity 0.5"]


def test_a_comparison_without_a_test_has_no_empty_columns_and_no_minus_zero() -> None:
    untested = dict.fromkeys(("gain_low", "noise_floor", "p", "p_holm", "q"), np.nan)
    lone = point(**untested, gain=-0.0001, units=0, basis="", scope="")
    block = comparison_block(pd.DataFrame([lone]), TITLES)
    assert block.values.to_dict("records") == [
        {
            "Criterion": "MMLU ↑", "Level": "sparsity 0.25", "As written": "0.601",
            "Other way": "0.502", "Gain": "0.000", "|Difference|": "0.099",
        }
    ]  # fmt: skip
    assert linked_runs(block) == [[None, None, *[("1", "2", "3")] * 4]]


def test_an_interval_has_both_ends_or_none() -> None:
    assert interval_text(-0.0614, 0.25) == "-0.061 to 0.250"
    assert [interval_text(0.1, np.nan), interval_text(-np.inf, 0.1)] == ["–", "–"]


def advised(**columns: Any) -> dict[str, Any]:
    return {
        "strength": "wanda.sparsity", "level": 0.25, "order": "ft → wanda", "score": 0.1234,
        "low": 0.0512, "high": 0.1956, "p": 0.0123, "p_holm": 0.0246, "units": 5,
        "basis": "edit batches", **columns,
    }  # fmt: skip


def test_the_order_ahead_at_each_level_links_to_the_runs_of_that_level() -> None:
    points = pd.DataFrame(
        [
            point(level=np.nan, strength=""),
            point(forward_runs=("4",), backward_runs=("5",), partner="awq"),
        ]
    )
    tied = advised(strength="", level=np.nan, score=0.0, order="wanda → ft")
    advice: Any = SimpleNamespace(levels=pd.DataFrame([advised(), tied]))
    block = level_block([(points, advice)], TITLES)
    tests = ["0.012", "0.025", "5", "edit batches"]
    assert block.values.to_numpy().tolist() == [
        ["sparsity 0.25", "FT → Wanda", "0.123", "0.051 to 0.196", *tests],
        ["", "neither", "0.000", "0.051 to 0.196", *tests],
    ]
    columns = ["Level", "Ahead", "Score", "95% interval", "p", "p (Holm, pair)", "Units", "Over"]
    assert list(block.values) == columns
    assert list(block.values.index) == ["FT + Wanda"] * 2
    assert linked_runs(block) == [
        [None, None, *[("4", "5")] * 5, None],
        [None, None, *[("1", "2", "3")] * 5, None],
    ]
    assert level_block([], TITLES).values.empty


def test_an_area_links_to_the_runs_of_all_its_levels() -> None:
    area = {
        **point(), "levels": "sparsity 0.25, 0.5", "forward": 0.5511, "backward": 0.4522,
        "order_free_error": 0.4033, "order_free_error_adjusted": 0.3044, "signed": -0.1055,
        "signed_low": -0.2066, "signed_high": -0.0077,
    }  # fmt: skip
    del area["level"]
    first = {**area, "partner": "awq", "signed": np.inf, "p_holm": 0.0001}
    points = [
        point(partner="awq", forward_runs=("9",), backward_runs=()),
        point(level=0.5, forward_runs=("7", "1"), backward_runs=("8",)),
        point(),
    ]
    block = area_block(pd.DataFrame([first, area]), pd.DataFrame(points), TITLES)
    numbers = ["sparsity 0.25, 0.5", "0.551", "0.452", "0.403", "0.099", "0.304"]
    interval = "-0.207 to -0.008"
    assert rows_of(block) == {
        "FT + Wanda": ["MMLU ↑", *numbers, "-0.105", interval, "0.025", "0.018"],
        "FT + AWQ": ["MMLU ↑", *numbers, "∞", interval, "<0.001", "0.018"],
    }
    columns = ["As written", "Other way", "Order-free error", "Order sensitivity", "Adjusted"]
    last = ["Signed", "95% interval", "p (Holm)", "q (BH)"]
    assert list(block.values) == ["Criterion", "Levels", *columns, *last]
    both_levels = ("7", "1", "8", "2", "3")
    assert linked_runs(block) == [
        [None, None, *[both_levels] * 9],
        [None, None, *[("9",)] * 9],
    ]
