"""Where MLflow's UI shows both orders of a pair: links, and views with charts of a level's runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from tracking import schema
from tracking.links import charts_link, run_link
from tracking.saved_views import SavedView, orders_view

if TYPE_CHECKING:
    from analysis.comparison import ComparedLevel

CHARTS = "both orders in charts"  # the name of a link
_MOST_VIEWS = 6  # levels whose charts are linked
_MOST_CHARTED_RUNS = 100  # of a level: their ids are the view's filter


def level_views(
    runs: pd.DataFrame, pair: str, levels: Sequence[ComparedLevel]
) -> dict[str, SavedView]:
    """Return views of the first levels' runs, by what a link to them is called.

    Args:
        runs: rows of ``compositions``.
        pair: "lora + wanda".
        levels: of the comparison.
    """
    return {
        _name(level, levels): _view(pair, level, runs)
        for level in levels[:_MOST_VIEWS]
        if len(level.forward_runs) + len(level.backward_runs) <= _MOST_CHARTED_RUNS
    }


def pair_links(
    runs: pd.DataFrame, pair: str, levels: Sequence[ComparedLevel], ui: str
) -> dict[str, str]:
    """Return links to the pair's charts, and to the newest run of each order.

    Args:
        runs: rows of ``compositions``, newest first.
        pair: "lora + wanda".
        levels: of the comparison.
        ui: address of MLflow's UI.
    """
    experiment_ids = dict(zip(runs.run_id, runs.experiment_id.astype(str), strict=True))
    quoted = pair.replace("'", "")
    of_pair = f"params.{schema.PAIR} = '{quoted}'"
    links = {CHARTS: charts_link(ui, str(runs.experiment_id.iloc[0]), of_pair)}
    for level in levels[:1]:
        for order, run_ids in (
            (level.forward, level.forward_runs),
            (level.backward, level.backward_runs),
        ):
            links[order] = run_link(ui, experiment_ids[run_ids[0]], run_ids[0])
    return links


def _name(level: ComparedLevel, levels: Sequence[ComparedLevel]) -> str:
    """Return what the link to a level's charts is called."""
    return f"{CHARTS}, {level.title}" if len(levels) > 1 and level.title else CHARTS


def _view(pair: str, level: ComparedLevel, runs: pd.DataFrame) -> SavedView:
    """Return a view of exactly the runs of a level, whose means its table has."""
    run_ids = [*level.forward_runs, *level.backward_runs]
    quoted = ", ".join(f"'{run_id}'" for run_id in sorted(run_ids))
    of_level = runs[runs.run_id.isin(run_ids)]
    # MLflow's page hides runs under their parent, unless it groups them
    is_nested = "sweep" in of_level and bool((of_level.sweep.fillna("") != "").any())
    return orders_view(
        ", ".join(filter(None, [pair, level.title])),
        f"attributes.run_id IN ({quoted})",
        [criterion.name for criterion in level.criteria],
        is_nested or len(run_ids) > 2,
    )
