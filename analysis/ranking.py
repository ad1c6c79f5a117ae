"""Rank the pairs of a grid by how well they compose, by the numbers alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.entities import Metric, RunTag

from analysis import labels
from analysis.metrics.composability import point
from analysis.metrics.groups import category_of
from analysis.metrics.measures import complete
from analysis.report.claims import claimed_criteria
from interventions.aside import scratch_folder
from interventions.errors import InvalidInput
from tracking import query, schema, store
from tracking.catalogue import Catalogue
from tracking.markup import plain_cells, plain_markdown

_MOST_DESCRIBED = 30  # pairs in a description


@dataclass(frozen=True)
class RankedPair:
    """One pair at one level.

    Attributes:
        pair: "ft + wanda".
        level: "sparsity 0.5"; "" where nothing has a level.
        best: the order with the smaller error: "ft → wanda"; "either" where they are equal.
        error: the order-free error, the mean over ``criteria``; smaller is better.
        sensitivity: the order sensitivity, the mean over ``criteria``.
        criteria: that judge the pair's work, and general ability.
        replicates: how many seeds and edit batches both orders have.
    """

    pair: str
    level: str
    best: str
    error: float
    sensitivity: float
    criteria: tuple[str, ...]
    replicates: int


def rank_sweep(experiment: str, sweep: str) -> list[RankedPair]:
    """Return the pairs of a grid's finished runs that have both orders, the best first.

    Args:
        experiment: where the runs are.
        sweep: the grid's name.
    """
    name = sweep.replace("'", "")
    filter = f"attributes.status = 'FINISHED' and tags.`{schema.SWEEP}` = '{name}'"
    runs = query.compositions(experiment, filter)
    try:
        return rank_pairs(runs)
    except InvalidInput:  # no pair in both orders
        return []


def rank_pairs(runs: pd.DataFrame) -> list[RankedPair]:
    """Return the pairs of some runs, the best first.

    The order-free error is the mean over the first criterion that judges each category of the pair,
    and the first that measures general ability: a destroyed model, which has forgotten all, is not
    the best at unlearning. Of criteria with a chance level, where lower is better, it is the
    adjusted one. A pair of which no such criterion was measured is not ranked.

    Args:
        runs: rows of ``tracking.query.compositions``.

    Raises:
        InvalidInput: no pair was run in both orders.
    """
    catalogue = Catalogue.from_runs(runs)
    points = point(runs)
    judging = claimed_criteria(catalogue, list(points.criterion.unique()))
    points = points[complete(points) & points.criterion.isin(list(judging))]
    ranked = []
    for _, of_point in points.groupby("point"):
        first = of_point.iloc[0]
        categories = {category_of(str(first[side]), catalogue) for side in _SIDES}
        counts = of_point.criterion.map(judging).isin(categories | {""})
        if counts.any():
            ranked.append(_ranked(of_point[counts], first))
    return sorted(ranked, key=lambda pair: pair.error)


_SIDES = ("intervention", "partner")


def _ranked(points: pd.DataFrame, first: Any) -> RankedPair:
    adjusted = points.order_free_error_adjusted
    errors = adjusted.where(adjusted.notna(), points.order_free_error)
    signs = points.better.map({"higher": 1.0, "lower": -1.0})
    lead = float((signs * (points.forward - points.backward)).mean())
    names = [str(first[side]) for side in _SIDES]
    order = names if lead > 0 else names[::-1]
    return RankedPair(
        pair=schema.pair_name(names),
        level=labels.levels_text(str(first.strength), [first.level]) if first.strength else "",
        best="either" if lead == 0 else labels.ARROW.join(order),
        error=float(errors.mean()),
        sensitivity=float(points.order_sensitivity.mean()),
        criteria=tuple(points.criterion),
        replicates=int(points.replicates.min()),
    )


def log_ranking(experiment: str, sweep: str, ranked: Sequence[RankedPair]) -> None:
    """Make the ranking the description of a grid's parent run, with the best pair's numbers.

    All pairs are its artifact ``ranking.csv``, and the first ones a picture, ``ranking.png``.

    Args:
        experiment: where the parent is.
        sweep: the grid's name.
        ranked: the best first, one at least.
    """
    client = store.client()
    name = sweep.replace("'", "")
    filter = f"tags.`{schema.SWEEP_ROOT}` = '{name}'"
    for parent in query.all_runs(client, [store.ensure_experiment(experiment)], filter):
        run_id, timestamp = parent.info.run_id, int(time.time() * 1000)
        values = {
            schema.PAIRS_RANKED: float(len(ranked)),
            schema.BEST_ERROR: ranked[0].error,
            schema.BEST_SENSITIVITY: ranked[0].sensitivity,
        }
        metrics = [Metric(key, value, timestamp, 0) for key, value in values.items()]
        note = RunTag(schema.NOTE, ranking_markdown(ranked))
        client.log_batch(run_id, metrics=metrics, tags=[note])
        with scratch_folder() as folder:
            _write_files(ranked, folder)
            client.log_artifacts(run_id, str(folder))


def _write_files(ranked: Sequence[RankedPair], folder: Path) -> None:
    # imported once a grid has ended, where the time is nothing
    from analysis.plots.ranking_figure import draw_ranking

    rows = [{**asdict(pair), "criteria": " ".join(pair.criteria)} for pair in ranked]
    plain_cells(pd.DataFrame(rows)).to_csv(folder / "ranking.csv", index=False)
    draw_ranking(ranked).savefig(folder / "ranking.png", dpi=120)


def ranking_markdown(ranked: Sequence[RankedPair]) -> str:
    """Return the first pairs as a table in Markdown.

    Args:
        ranked: the best first.
    """
    head = ["pair", "level", "better order", "order-free error", "order sensitivity", "runs"]
    rows = [
        [
            plain_markdown(pair.pair),
            plain_markdown(pair.level),
            plain_markdown(pair.best),
            f"{pair.error:.3f}",
            f"{pair.sensitivity:.3f}",
            str(pair.replicates),
        ]
        for pair in ranked[:_MOST_DESCRIBED]
    ]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    more = len(ranked) - len(rows)
    lines += [f"\n… and {more} more."] if more > 0 else []
    criteria = plain_markdown(", ".join(ranking_criteria(ranked)))
    lines.append(
        f"\nRanked by order-free error, the mean over {criteria} where they judge the pair; smaller"
        " is better. By the numbers alone: which order is better, `composability analyze` tests."
    )
    return "\n".join(lines)


def ranking_criteria(ranked: Iterable[RankedPair]) -> list[str]:
    """Return the criteria that some pair is ranked by, each once."""
    return list(dict.fromkeys(name for pair in ranked for name in pair.criteria))
