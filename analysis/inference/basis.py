"""Say what an interval is over: units, units and items, items alone, one batch, or nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.inference.procedures import Estimates, Moments
from analysis.inference.units import ONE_BATCH, Units

ITEMS_ONLY, NOTHING, AND_ITEMS = "items only", "", " and items"
THESE_ITEMS = "these items"


def basis_columns(
    units: Units, points: pd.DataFrame, moments: Moments, estimates: Estimates
) -> dict[str, np.ndarray]:
    """Return ``units``, ``basis`` and ``scope`` as ``intervals`` describes them.

    Args:
        units: of the points.
        points: rows of ``composability.point``; of a sum, one of its points.
        moments: of the points, or of the sums.
        estimates: that follow from them.
    """
    kinds = units.kinds[points.point.to_numpy()].astype(object)
    is_known = ~np.isnan(estimates.se)
    with_items = moments.crossed & (moments.items > 0) & (kinds != ONE_BATCH)
    over_units = np.where(with_items, kinds + AND_ITEMS, kinds)
    over_items = np.where(kinds == ONE_BATCH, ONE_BATCH, ITEMS_ONLY)
    basis = np.where(estimates.over_units, over_units, over_items)
    facts = units.orders.catalogue.criteria
    is_exact = points.criterion.map(lambda name: facts[name].items == "exact").to_numpy(bool)
    no_scores = moments.crossed & (moments.items == 0) & estimates.over_units & ~is_exact
    return {
        "units": moments.units.astype(int),
        "basis": np.where(is_known, basis, NOTHING),
        "scope": np.where(no_scores, THESE_ITEMS, ""),
    }
