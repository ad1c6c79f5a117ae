"""The files of an analysis of runs of our own: a small grid on the testbed."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.inference import intervals
from analysis.metrics import composability as co
from tests.analysis.report.command import analyze
from tracking import query

pytestmark = pytest.mark.full  # making the grid takes over ten seconds

COLUMNS = (
    "intervention",
    "partner",
    "criterion",
    "level",
    "forward",
    "backward",
    "order_free_error",
    "order_sensitivity",
)
NUMBERS = {
    "composability.csv",
    "areas.csv",
    "wins.csv",
    "order.csv",
    "losses.csv",
    "items.csv",
    "report.html",
}
TABLES = {
    f"tables/table{number}.{kind}" for number in (2, 8, 9, 10) for kind in ("md", "csv", "tex")
}
FIGURES = {
    f"figures/{name}.{kind}"
    for name in (
        "figure2",
        "perplexity-editing",
        "order-sensitivity",
        "pareto-edit-success",
        "pareto-mmlu",
    )
    for kind in ("png", "html")
}


def test_every_file_is_written(analysed: Path) -> None:
    files = {str(path.relative_to(analysed)) for path in analysed.rglob("*") if path.is_file()}
    assert files == NUMBERS | TABLES | FIGURES


def test_composability_csv_has_a_row_per_criterion_and_level(
    analysed: Path, grid: pd.DataFrame
) -> None:
    """Checked against the runs themselves."""
    table = pd.read_csv(analysed / "composability.csv")
    assert tuple(table.columns[:8]) == COLUMNS
    assert {*("edit_success", "mmlu", "wikitext_ppl", "sparsity")} < set(table.criterion)
    assert len(table) == 3 * table.criterion.nunique()
    assert "point" not in table and "settings" not in table
    runs = grid.set_index("composition")
    row = table[(table.criterion == "edit_success") & (table.level == 0.75)].iloc[0]
    forward = runs.edit_success["ft(steps=10) | wanda(sparsity=0.75, samples=16)"]
    backward = runs.edit_success["wanda(sparsity=0.75, samples=16) | ft(steps=10)"]
    assert (row.forward, row.backward) == (forward, backward)
    assert row.order_free_error == pytest.approx(1 - max(forward, backward))
    assert row.order_sensitivity == pytest.approx(abs(forward - backward))
    assert set(row.forward_runs.split()) | set(row.backward_runs.split()) <= set(grid.run_id)


def test_single_runs_say_nothing_of_another_batch(analysed: Path) -> None:
    table = pd.read_csv(analysed / "composability.csv").set_index("criterion")
    assert set(table.basis["mmlu"]) <= {"this batch only", "items only"}
    assert set(table.units["mmlu"]) == {1}
    assert (table.order_free_error_low["mmlu"] <= table.order_free_error["mmlu"]).all()
    assert table.p.isna().all() and not table.differs.any()


def test_what_each_step_did_to_each_item_is_a_file(analysed: Path, grid: pd.DataFrame) -> None:
    """Checked against the runs themselves."""
    items = pd.read_csv(analysed / "items.csv")
    assert set(items.change) <= {"kept", "lost", "gained", "wrong"}
    # a run that compressed again has a third step
    is_last = items.step == items.groupby("run_id").step.transform("max")
    last = items[is_last & (items.criterion == "mmlu")]
    run_id = last.run_id.iloc[0]
    right = last[last.run_id == run_id].after.mean()
    assert right == pytest.approx(grid.set_index("run_id").mmlu[run_id])


def test_areas_and_wins_and_the_order_are_in_files_of_their_own(analysed: Path) -> None:
    areas = pd.read_csv(analysed / "areas.csv")
    assert set(areas.levels) == {"0.25 0.5 0.75"}
    points = pd.read_csv(analysed / "composability.csv")
    assert sorted(areas.criterion) == sorted(points.criterion.unique())
    (order,) = pd.read_csv(analysed / "order.csv").to_dict("records")
    assert {order["intervention"], order["partner"]} == {"ft", "wanda"}
    assert "on average over sparsity 0.25, 0.5, 0.75" in order["words"]
    wins = pd.read_csv(analysed / "wins.csv")
    assert {"group", "method", "wins", "ties", "comparisons", "over"} <= set(wins.columns)
    assert set(wins.over) <= {"level", "area"}


def test_a_figure_is_a_page_of_its_own_that_works_offline(analysed: Path) -> None:
    text = (analysed / "figures" / "figure2.html").read_text()
    assert text.startswith("<!doctype html>")
    assert "plotly.js v" in text and "cdn.plot.ly" not in text.partition("plotly.js v")[0]


def test_the_recompressed_order_is_the_backward_one(grid: pd.DataFrame) -> None:
    points = co.point(grid, ["sparsity"])
    assert points.backward.tolist() == pytest.approx([0.25, 0.5, 0.75], abs=0.01)
    assert (grid.recompressed.fillna("none") != "none").sum() == 3


def test_own_and_published_results_stand_side_by_side(
    grid: pd.DataFrame, published: pd.DataFrame
) -> None:
    contexts = co.point(pd.concat([grid, published], ignore_index=True)).context.unique()
    assert len(contexts) == 2
    assert any("data=testbed" in context for context in contexts)


def test_items_of_the_grid_agree_with_its_criteria(grid: pd.DataFrame) -> None:
    scores = query.items(grid, ["mmlu", "edit_success"])
    means = scores.groupby(["run_id", "criterion"]).score.mean().unstack()
    runs = grid.set_index("run_id")
    for name in ("mmlu", "edit_success"):
        expected = runs[name].sort_index()
        pd.testing.assert_series_equal(means[name].sort_index(), expected, check_names=False)
    points = intervals.intervals(grid, co.point(grid, ["mmlu"]), scores)
    assert points.basis.isin(["this batch only", "items only"]).all()


def test_criteria_bounds_and_error_are_as_requested(grid: pd.DataFrame, tmp_path: Path) -> None:
    request = {"criteria": "edit_success", "bounds": "mmlu=0.9", "error": "worst", "items": "none"}
    assert analyze(**request, output=str(tmp_path)) == 0
    table = pd.read_csv(tmp_path / "composability.csv")
    assert set(table.criterion) == {"edit_success"}
    worse = table[["forward", "backward"]].min(axis=1)
    assert table.order_free_error.tolist() == pytest.approx((1 - worse).tolist())
    assert table.basis.isna().all()
    within = co.within(co.point(grid), {"mmlu": 0.9}).level.unique()
    assert table[table.within_bounds].level.tolist() == sorted(within)


def test_a_criterion_without_a_good_direction_can_be_analysed_alone(
    grid: pd.DataFrame, tmp_path: Path
) -> None:
    assert analyze(criteria="sparsity", items="none", output=str(tmp_path)) == 0
    assert pd.read_csv(tmp_path / "composability.csv").order_free_error.isna().all()
