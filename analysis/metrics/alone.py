"""What each intervention of a pair does alone: what a composed value is compared with."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.metrics.align import NO_RUN, Orders
from analysis.metrics.columns import REPLICATE

ALONE = ("alone_intervention", "alone_partner")
_KEY = ["context", "method", "variant", "level", *REPLICATE]


def alone_values(points: pd.DataFrame, orders: Orders) -> pd.DataFrame:
    """Return the criterion after each intervention alone, at the point's level and replicates.

    Args:
        points: with ``point`` and ``criterion``.
        orders: what they were computed from.

    Returns:
        ``ALONE``, aligned with ``points``: the mean over the seeds and edit batches that both
        orders of the point have, where the intervention was run alone with these; else NaN.
    """
    criteria = list(points.criterion.unique())
    frame = orders.frame
    paired = frame[(frame.forward != NO_RUN) & (frame.backward != NO_RUN)]
    columns = {}
    for name, side in zip(ALONE, ("intervention", "partner"), strict=True):
        # the strength of a pair is that of one of its interventions, "wanda.sparsity"
        has_level = paired.strength.str.rpartition(".")[0] == paired[side]
        wanted = pd.DataFrame(
            {
                "point": paired.point,
                "context": paired.context,
                "method": paired[side],
                "variant": paired[f"{side}_variant"],
                "level": paired.level.where(has_level),
                **{column: paired[column] for column in REPLICATE},
            }
        )
        columns[name] = _means(wanted, orders.alone, criteria, points)
    return pd.DataFrame(columns, index=points.index)


def _means(
    wanted: pd.DataFrame, alone: pd.DataFrame, criteria: list[str], points: pd.DataFrame
) -> np.ndarray:
    """Return the mean of the runs alone that each point's replicates match, shape (points,)."""
    measured = [name for name in criteria if name in alone]
    known = alone.rename(columns={"intervention": "method", "intervention_variant": "variant"})
    matched = _without_nan(wanted).merge(_without_nan(known[[*_KEY, *measured]]), on=_KEY)
    # infinite values have an infinite mean
    means = matched.groupby("point")[measured].mean() if len(matched) else pd.DataFrame()
    table = means.reindex(index=points.point.unique(), columns=criteria)
    rows = table.index.get_indexer(pd.Index(points.point))
    return table.to_numpy(float)[rows, table.columns.get_indexer(pd.Index(points.criterion))]


def _without_nan(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose missing levels are equal, so that they can be matched."""
    return frame.assign(level=frame.level.fillna(-np.inf))
