"""Links to a pair's runs and charts, from levels that are given."""

import pandas as pd
import pytest

from analysis.comparison import ComparedLevel
from analysis.pair_links import CHARTS, level_views, pair_links
from tracking.links import charts_link, run_link
from tracking.saved_views import orders_view

UI = "http://127.0.0.1:5000"


def level(title: str, forward: int, backward: int) -> ComparedLevel:
    """Runs named f0, f1, … of one order, and b0, b1, … of the other."""
    return ComparedLevel(
        title=title,
        forward="ft → wanda",
        backward="wanda → ft",
        forward_runs=tuple(f"f{number}" for number in range(forward)),
        backward_runs=tuple(f"b{number}" for number in range(backward)),
        replicates=min(forward, backward),
        criteria=(),
    )


RUNS = pd.DataFrame({"run_id": ["b0", "f0", "f1"], "experiment_id": [7, 8, 8]})


def test_links_lead_to_the_charts_and_to_the_first_run_of_each_order_of_the_first_level() -> None:
    """The charts are those of the newest run's experiment."""
    levels = [level("sparsity 0.25", 2, 1), level("sparsity 0.5", 0, 0)]
    assert pair_links(RUNS, "ft + wanda", levels, UI) == {
        CHARTS: charts_link(UI, "7", "params.pair = 'ft + wanda'"),
        "ft → wanda": run_link(UI, "8", "f0"),
        "wanda → ft": run_link(UI, "7", "b0"),
    }


@pytest.mark.parametrize(
    ("titles", "names"),
    [
        (["sparsity 0.5"], [CHARTS]),
        ([""], [CHARTS]),
        (
            ["sparsity 0.25", "sparsity 0.5"],
            [f"{CHARTS}, sparsity 0.25", f"{CHARTS}, sparsity 0.5"],
        ),
        ([f"{bits} bits" for bits in range(8)], [f"{CHARTS}, {bits} bits" for bits in range(6)]),
    ],
)
def test_views_are_named_by_their_level_where_there_are_several(
    titles: list[str], names: list[str]
) -> None:
    views = level_views(RUNS, "ft + wanda", [level(title, 1, 1) for title in titles])
    assert list(views) == names


def test_a_level_with_over_a_hundred_runs_has_no_view() -> None:
    levels = [level("2 bits", 60, 40), level("3 bits", 60, 41)]
    assert list(level_views(RUNS, "ft + awq", levels)) == [f"{CHARTS}, 2 bits"]


@pytest.mark.parametrize(
    ("forward", "sweeps", "is_grouped"),
    [(1, None, False), (2, None, True), (1, ["", "", "grid"], False), (1, ["", "grid", ""], True)],
)
def test_a_view_has_the_runs_of_its_level_grouped_where_they_repeat_or_are_in_a_grid(
    forward: int, sweeps: list[str] | None, is_grouped: bool
) -> None:
    runs = RUNS if sweeps is None else RUNS.assign(sweep=sweeps)
    (view,) = level_views(runs, "ft + wanda", [level("sparsity 0.5", forward, 1)]).values()
    ids = ", ".join(f"'{name}'" for name in ["b0", "f0", "f1"][: forward + 1])
    filter = f"attributes.run_id IN ({ids})"
    assert view == orders_view("ft + wanda, sparsity 0.5", filter, [], is_grouped)
