"""Which settings of a pair, an order and a level each, no other setting beats."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis import labels
from analysis.inference.scores import names_of_pair
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
        bounds: criterion to its worst value: ``{"mmlu": 0.4}``; what was not measured is worse.

    Returns:
        ``order, strength, level``, every criterion, ``within`` the bounds, and ``pareto``: whether
        no setting within the bounds is at least as good in everything and better in something.

    Raises:
        InvalidInput: a bounding criterion has no good direction.
    """
    settings = _values_of_settings(points)
    better = dict(zip(points.criterion, points.better, strict=True))
    goodness = {
        str(name): settings[name].to_numpy()
        if direction == "higher"
        else -settings[name].to_numpy()
        for name, direction in better.items()
    }
    within = np.full(len(settings), True)
    for name, bound in bounds.items():
        if name not in goodness:  # not measured: nobody knows
            within[:] = False
            continue
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
    is_beaten = _dominated(values, within)
    return settings.assign(within=within, pareto=within & ~is_beaten)


def _values_of_settings(points: pd.DataFrame) -> pd.DataFrame:
    """Return ``order, strength, level`` and a column per criterion, the forward order first."""
    names = names_of_pair(points)
    # NaN, of a pair without levels, is no key
    keys = list(zip(points.strength, points.level.fillna(-np.inf), strict=True))
    settings = sorted(set(keys))
    row_of = {key: row for row, key in enumerate(settings)}
    rows = np.array([row_of[key] for key in keys])
    columns, criteria = pd.factorize(points.criterion, sort=True)
    count = len(settings)
    values = np.full((2 * count, len(criteria)), np.nan)
    values[rows, columns] = points.forward
    values[count:][rows, columns] = points.backward
    levels = np.array([level for _, level in settings])
    return pd.DataFrame(
        {
            "order": [labels.ARROW.join(names)] * count + [labels.ARROW.join(names[::-1])] * count,
            "strength": [strength for strength, _ in settings] * 2,
            "level": np.tile(np.where(np.isinf(levels), np.nan, levels), 2),
            **dict(zip(criteria, values.T, strict=True)),
        }
    )


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
