"""The paper's measures of two values: order-free error and order sensitivity (section 2.2)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.metrics.columns import ADJUSTED, MEASURES
from tracking import measures
from tracking.catalogue import Catalogue
from tracking.measures import Error


def complete(points: pd.DataFrame) -> pd.Series:
    """Return whether both orders have a value, of at least one common seed and edit batch."""
    return points.forward.notna() & points.backward.notna() & (points.replicates > 0)


def measures_of(points: pd.DataFrame, catalogue: Catalogue, error: Error) -> pd.DataFrame:
    """Return the measures of each point, NaN where it is not complete.

    Args:
        points: with ``criterion``, ``better``, ``forward``, ``backward`` and ``replicates``.
        catalogue: knows what guessing gets at each criterion.
        error: which of the two orders counts; "best" is the paper's text, "worst" its equation 1.

    Returns:
        ``order_free_error``, ``order_sensitivity`` and ``order_free_error_adjusted``, the error as
        a share of the way from guessing to certainty, where guessing is good.
    """
    forward, backward = points.forward, points.backward
    free = measures.order_free_error(forward, backward, points.better, error)
    sensitivity = measures.order_sensitivity(forward, backward)
    chance = points.criterion.map(_chances(catalogue)).astype(float)
    adjusted = np.maximum(0, (free - chance) / (1 - chance))
    columns = {MEASURES[0]: free, MEASURES[1]: sensitivity, ADJUSTED: adjusted}
    return pd.DataFrame(columns, index=points.index).where(complete(points))


def _chances(catalogue: Catalogue) -> dict[str, float]:
    """Return what guessing gets at the criteria where a lower value is better."""
    return {
        name: facts.chance
        for name, facts in catalogue.criteria.items()
        if facts.chance is not None and facts.better == "lower"
    }
