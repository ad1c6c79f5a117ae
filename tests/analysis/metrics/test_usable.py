"""Foreign and damaged runs are left out of an analysis, and that is said."""

import math
from typing import Any

import pytest

from analysis.metrics.align import both_orders
from analysis.metrics.points import point
from analysis.metrics.usable import usable
from interventions.errors import InvalidInput
from tests.analysis.synthetic import curve, frame, only, run

PAIR = curve("ft", "wanda", [0.5], [0.9], [0.8])


def foreign(**columns: Any) -> dict[str, Any]:
    """A run of a pair that somebody else logged, in part."""
    return {**run("ft | wanda", level=0.5, edit_success=0.1, minutes=5), **columns}


@pytest.mark.parametrize(
    "columns",
    [
        {"pair": None},
        {"pair": math.nan},
        {"pair": 3.5},
        {"step1": None},
        {"step2": "other"},
        {"pair": "ga + wanda"},
    ],
)
def test_a_run_that_does_not_say_its_steps_is_left_out(columns: dict[str, Any]) -> None:
    runs = frame([*PAIR, foreign(**columns)])
    assert both_orders(runs).left_out == [
        "1 run whose params do not say which interventions they are of"
    ]
    assert only(point(runs)).forward == 0.9


@pytest.mark.parametrize("column", ["about_interventions", "about_criteria"])
@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "3",
        '{"ft": 3}',
        '{"ft": {}}',
        '{"ft": {"title": 3, "category": "editing", "better": "higher", "unit": 4}}',
        '{"x": {"title": "x", "category": "y", "better": "sideways", "unit": "z", "level": "a"}}',
        '{"x": {"title": "x", "category": ["y"], "better": "higher", "unit": "z", "chance": NaN}}',
        '{"x": {"title": "x", "category": "y", "group": 3, "better": "lower", "unit": "z",'
        ' "judges": 3}}',
        "[" * 5000,
    ],
)
def test_a_run_with_unreadable_tags_is_left_out(column: str, text: str) -> None:
    runs = frame([*PAIR, foreign(**{column: text})])
    assert both_orders(runs).left_out == [
        "1 run whose tags on interventions or criteria cannot be read"
    ]
    assert only(point(runs)).forward == 0.9


def test_tags_of_a_later_version_are_read_without_what_is_new() -> None:
    text = '{"ft": {"title": "FT", "category": "editing", "strength": "", "colour": "red"}}'
    runs = frame([*PAIR, foreign(about_interventions=text)])
    assert both_orders(runs).left_out == [
        "1 run repeated with equal settings, seed and edit batch (that which measured most counts,"
        " of these the latest)"
    ]


def test_params_that_have_names_of_computed_columns_or_criteria_do_no_harm() -> None:
    columns = {"level": "high", "intervention": "x", "settings": "y", "context": "z"}
    runs = frame([*PAIR, foreign(edit_success="a lot", mmlu="b", **columns)])
    assert only(point(runs)).forward == 0.9  # what cannot be read was not measured


def test_an_experiment_of_foreign_runs_only_is_refused_in_one_line() -> None:
    with pytest.raises(InvalidInput, match=r"no finished run is a pair .*; 2 runs whose params"):
        both_orders(frame([foreign(pair=None), foreign(step1=3)]))


def test_runs_without_a_column_of_pairs_are_as_they_are() -> None:
    runs = frame([run("ft")]).drop(columns="pair")
    readable, left_out = usable(runs)
    assert len(readable) == 1 and left_out == []
