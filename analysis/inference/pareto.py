"""Which settings of a pair, an order and a level each, no other setting beats."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis import labels
from analysis.metrics.bounds import check_direction
from tracking.catalogue import Catalogue


def compare_settings(
    points: pd.DataFrame,
    catalogue: Catalogue,
    weights: Mapping[str, float],
    bounds: Mapping[str, float],
) -> pd.DataFrame:
    """Return a row per order and level of a pair, with what speaks for it.

    Args:
        points: of one pair.
        catalogue: knows which criteria measure the work of a compression.
        weights: criterion to weight; those above zero are compared, and what measures a
            compression, such as average bits.
        bounds: criterion to its worst value: ``{"mmlu": 0.4}``.

    Returns:
        ``order, strength, level``, every criterion, ``within`` the bounds, and ``pareto``: whether
        no setting within the bounds is at least as good in everything and better in something.

    Raises:
        InvalidInput: a bounding criterion has no good direction.
    """
    settings = _values_of_settings(points)
    better = points.drop_duplicates("criterion").set_index("criterion").better
    goodness = {
        str(name): settings[name] if direction == "higher" else -settings[name]
        for name, direction in better.items()
    }
    within = pd.Series(True, index=settings.index)
    for name, bound in bounds.items():
        check_direction(name, better[name])
        within &= goodness[name] >= (bound if better[name] == "higher" else -bound)
    compared = [name for name, weight in weights.items() if weight > 0]
    for name in goodness:
        measures_compression = catalogue.criteria[name].category == "compression"
        if measures_compression and better[name] != "neither" and name not in compared:
            compared.append(name)
    if not compared:  # of no criterion is one direction better
        return settings.assign(within=within, pareto=False)
    values = np.column_stack([goodness[name] for name in compared])
    # what was not measured is as bad as can be
    values = np.nan_to_num(values, nan=-np.inf, neginf=-np.inf)
    is_beaten = _dominated(values, within.to_numpy())
    return settings.assign(within=within, pareto=within & ~is_beaten)


def _values_of_settings(points: pd.DataFrame) -> pd.DataFrame:
    """Return ``order, strength, level`` and a column per criterion."""
    names = [str(points.intervention.iloc[0]), str(points.partner.iloc[0])]
    sides = []
    for order, sequence in (("forward", names), ("backward", names[::-1])):
        wide = points.pivot(index=["strength", "level"], columns="criterion", values=order)
        side = wide.reset_index()
        side.insert(0, "order", labels.ARROW.join(sequence))
        sides.append(side)
    return pd.concat(sides, ignore_index=True).rename_axis(columns=None)


def _dominated(values: np.ndarray, may_beat: np.ndarray) -> np.ndarray:
    """Return whether a row that may beat is at least as good everywhere and better somewhere.

    Args:
        values: the larger the better, shape (rows, criteria).
        may_beat: shape (rows,).
    """
    # [i, j]: row j against row i
    as_good = (values[None] >= values[:, None]).all(-1)
    better = (values[None] > values[:, None]).any(-1)
    return np.asarray((as_good & better & may_beat[None]).any(1))
