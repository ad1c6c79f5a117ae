"""What is refused first, whose items are read, and which points an advice comes with."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.inference import recommend as recommending
from analysis.inference.recommend import advise, recommend
from analysis.labels import Labels
from analysis.metrics.composability import point
from interventions.errors import InvalidInput
from tests.analysis.inference.edited_and_pruned import runs
from tests.analysis.synthetic import curve, frame
from tracking import query
from tracking.catalogue import Catalogue

NAMES = ["a", "b", "c", "d"]  # of the four runs


def test_items_without_a_column_are_refused_before_the_pair_is_looked_for() -> None:
    items = pd.DataFrame({"run_id": ["a"], "criterion": ["mmlu"], "score": [1.0]})
    with pytest.raises(
        InvalidInput,
        match=r"^items must have a column 'item', but its columns are: run_id, criterion, score$",
    ):
        recommend(runs(), "ft + wnda", items=items)


@pytest.mark.parametrize("items", [None, pd.DataFrame()])
def test_runs_without_files_leave_no_items_unread(items: pd.DataFrame | None) -> None:
    table = runs().drop(columns="artifact_uri")
    titles = Labels(Catalogue.from_runs(table))
    ((_, advice),) = advise(table, point(table), titles)
    assert recommend(table, "ft + wanda", items=items).words == advice.words


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"artifact_uri": ["", np.nan, None, ""]}, (None, 0)),
        ({"artifact_uri": ["", np.nan, None, "x"]}, (["d"], 0)),
        ({"artifact_uri": ["x", "", "x", ""]}, (["a", "c"], 0)),
        ({"artifact_uri": ["x", "x", "x", ""]}, (None, 3)),
        ({"artifact_uri": ["x"] * 4, "published": ["paper", None, None, "paper"]}, (["b", "c"], 0)),
    ],
)
def test_items_are_read_of_at_most_so_many_runs_that_have_files_and_are_not_printed(
    monkeypatch: pytest.MonkeyPatch, columns: dict[str, Any], expected: tuple[Any, int]
) -> None:
    def items(table: pd.DataFrame, criteria: Any, missing: str) -> list[str]:
        assert ([*criteria], missing) == (["edit_success", "mmlu", "average_bits"], "skip")
        return list(table.run_id)

    monkeypatch.setattr(query, "items", items)
    monkeypatch.setattr(recommending, "MOST_ITEM_RUNS", 2)
    table = runs().assign(run_id=NAMES, **columns)
    assert recommending._read_items(table, point(table)) == expected
    more = frame([*curve("lora", "wanda", [0.5], [0.5], [0.5], artifact_uri="x")])
    both = pd.concat([table, more], ignore_index=True)
    assert recommending._read_items(both, point(table)) == expected


def test_advice_is_in_the_order_of_the_points_and_comes_with_them() -> None:
    """Of one pair the numbers are printed, at two levels, and of the other one measured."""
    levels, values = [0.25, 0.5], ([0.9, 0.8], [0.5, 0.4])
    printed = curve("ft", "wanda", levels, *values, published="paper")
    table = frame([*printed, *curve("lora", "wanda", levels, *values, published=None)])
    points = point(table)
    titles = Labels(Catalogue.from_runs(table))
    assert points.intervention.tolist() == ["ft", "ft", "lora", "lora"]
    measured_first = points.iloc[[2, 3, 0, 1]]
    advice = advise(table, measured_first, titles)
    assert [recommendation.verdict for _, recommendation in advice] == ["untold", "printed"]
    for (group, _), rows in zip(advice, ([2, 3], [0, 1]), strict=True):
        pd.testing.assert_frame_equal(group, points.iloc[rows].reset_index(drop=True))
