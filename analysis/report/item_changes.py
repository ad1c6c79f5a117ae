"""Which items a step keeps, loses or gains, in either order: read from the scores of every item."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.labels import ARROW
from analysis.metrics.columns import VARIANT
from analysis.report.findings.evidence import runs_of
from tracking import query

MOST_RUNS = 200  # whose items are read: a file each
RIGHT = 0.5  # an item counts as right from this score on
CHANGES = ("kept", "lost", "gained", "wrong")
_POINT = ["intervention", "partner", "strength", "level", *VARIANT]
_KEY = [*_POINT, "order", "criterion", "step", "applied"]


def runs_to_read(points: pd.DataFrame, runs: pd.DataFrame, most: int = MOST_RUNS) -> pd.DataFrame:
    """Return the runs whose items are read: those of whole points, until there are enough.

    Args:
        points: of ``composability.point``, in the order in which they are shown.
        runs: that may have items, with ``run_id``.
        most: how many are read at most.
    """
    known, chosen = set(runs.run_id), dict[str, None]()
    once = points.drop_duplicates("point")
    for position in range(len(once)):
        of_point = [run_id for run_id in runs_of(once.iloc[[position]]) if run_id in known]
        added = dict.fromkeys([*chosen, *of_point])
        if len(added) > most:
            break
        chosen = added
    return runs[runs.run_id.isin(chosen)]


def read_step_scores(
    points: pd.DataFrame, runs: pd.DataFrame, criteria: list[str]
) -> pd.DataFrame | None:
    """Return the scores of every item after every step, of at most ``MOST_RUNS`` runs.

    Args:
        points: of ``composability.point``.
        runs: that may have items: rows of ``compositions``.
        criteria: names.

    Returns:
        ``run_id, criterion, step, item, score``; None where no run has any.
    """
    chosen = runs_to_read(points, runs)
    if not len(chosen) or not criteria:
        return None
    scores = query.items(chosen, criteria, last=False, missing="skip")
    return scores if len(scores) else None


def item_changes(points: pd.DataFrame, scores: pd.DataFrame, steps: pd.DataFrame) -> pd.DataFrame:
    """Return what each step did to each item, in either order.

    Args:
        points: of ``composability.point``.
        scores: of ``read_step_scores``.
        steps: rows of ``compositions``, for the names of the steps.

    Returns:
        A row per point, order, criterion, step, run and item: the point's columns; ``order``;
        ``applied``, the step's intervention; ``run_id, item``; ``before, after``, whether the item
        was right; ``change``: "kept", "lost", "gained" or "wrong" (before and after).
    """
    after = scores.assign(after=scores.score >= RIGHT)
    before = after[["run_id", "criterion", "step", "item", "after"]].assign(step=after.step + 1)
    changed = after.merge(
        before.rename(columns={"after": "before"}), on=["run_id", "criterion", "step", "item"]
    )
    changed["change"] = np.select(
        [changed.before & changed.after, changed.before, changed.after],
        CHANGES[:3],
        CHANGES[3],
    )
    run_rows = _runs_of_points(points)
    frame = changed.drop(columns="score").merge(run_rows, on="run_id")
    return frame.assign(applied=_applied(frame, steps))[
        [*_KEY, "run_id", "item", "before", "after", "change"]
    ]


def _runs_of_points(points: pd.DataFrame) -> pd.DataFrame:
    """Return a row per point, order and run."""
    rows: list[dict[str, Any]] = []
    for point in points.drop_duplicates("point").to_dict("records"):
        names = [point["intervention"], point["partner"]]
        for order, sequence in (("forward", names), ("backward", names[::-1])):
            row = {name: point[name] for name in _POINT} | {"order": ARROW.join(sequence)}
            rows += [row | {"run_id": run_id} for run_id in point[f"{order}_runs"]]
    return pd.DataFrame(rows, columns=[*_POINT, "order", "run_id"])


def _applied(changes: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Return the name of the intervention of each row's step; "" where the run states none."""
    names = {
        (run["run_id"], number): run.get(f"step{number}")
        for run in runs[runs.run_id.isin(changes.run_id)].to_dict("records")
        for number in range(1, int(changes.step.max() if len(changes) else 0) + 1)
    }
    keys = zip(changes.run_id, changes.step, strict=True)
    applied = (names.get((run_id, int(step))) for run_id, step in keys)
    return [name if isinstance(name, str) else "" for name in applied]


def count_changes(changes: pd.DataFrame) -> pd.DataFrame:
    """Return how many items each step kept, lost and gained, on average over the runs.

    Args:
        changes: of ``item_changes``.

    Returns:
        A row per point, order, criterion and step: these, ``runs``, how many; ``items`` of a run;
        ``kept, lost, gained``, on average; ``wrong``, before and after.
    """
    groups = changes.groupby(_KEY, sort=False, dropna=False)
    counts = groups.change.value_counts().unstack(fill_value=0)
    counts = counts.reindex(columns=list(CHANGES), fill_value=0)
    runs = groups.run_id.nunique()
    means = counts.div(runs, axis=0)
    return means.assign(runs=runs, items=counts.sum(axis=1) / runs).reset_index()
