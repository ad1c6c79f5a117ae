"""Name the orders, levels and replicates that are missing for a comparison."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis import labels
from analysis.metrics.alone import ALONE
from analysis.metrics.columns import VARIANT

_COLUMNS = ["intervention", "partner", "strength", "level", *VARIANT]


def missing(points: pd.DataFrame) -> pd.DataFrame:
    """Return what is missing: orders, levels, and replicates that have no counterpart.

    Args:
        points: rows of ``point``.

    Returns:
        ``intervention, partner, strength, level, context, …_variant, what``, the last in words;
        empty if nothing is missing.
    """
    # what is missing for one criterion of a point is missing for all
    once = points.drop_duplicates("point")
    pairs: list[Any] = list(once.itertuples())
    gaps = [(pair, words) for pair in pairs for words in _missing_runs(pair)]
    gaps += _missing_levels(once)
    rows = [[*(getattr(pair, name) for name in _COLUMNS), words] for pair, words in gaps]
    return pd.DataFrame(rows, columns=[*_COLUMNS, "what"])


def _missing_runs(pair: Any) -> list[str]:
    """Return the orders that were not run, and the replicates that only one order has."""
    names = (pair.intervention, pair.partner)
    words = []
    for order, run_ids in ((names, pair.forward_runs), (names[::-1], pair.backward_runs)):
        if not run_ids:
            words.append(f"{' → '.join(order)} was not run")
    if pair.forward_runs and pair.backward_runs and pair.unpaired:
        if pair.replicates:
            replicates = labels.counted(pair.unpaired, "replicate")
            words.append(f"{replicates} (seed and edit batch) in one order only")
        else:
            words.append("no seed and edit batch is common to both orders")
    return words


def _missing_levels(once: pd.DataFrame) -> list[tuple[Any, str]]:
    """Return the levels that another pair with the same strength has, in the same context."""
    swept = once[once.strength != ""]
    gaps = []
    for (strength, _), group in swept.groupby(["strength", "context"], sort=False):
        levels = set(group.level)
        for _, pair in group.groupby(["intervention", "partner", "settings"], sort=False):
            for level in sorted(levels - set(pair.level)):
                first_row = next(pair.assign(level=level).itertuples())
                words = f"neither order was run, though other pairs have this level of {strength}"
                gaps.append((first_row, words))
    return gaps


def missing_alone(points: pd.DataFrame) -> pd.DataFrame:
    """Return the interventions of compared pairs that were not run alone, so that loss is unknown.

    Args:
        points: rows of ``point``.

    Returns:
        Columns as those of ``missing``. One that was run alone at no level of a pair is named once,
        with ``strength`` "" and ``level`` NaN.
    """
    compared = points[points.replicates > 0]
    key = ["intervention", "partner", "settings", "context"]
    rows: list[list[Any]] = []
    for _, pair in compared.groupby(key, sort=False):
        for side, column in zip(key, ALONE, strict=False):
            is_absent = pair[column].isna().groupby(pair.point).transform("all")
            absent = pair[is_absent].drop_duplicates("point")
            if is_absent.all():
                absent = absent.iloc[:1].assign(strength="", level=float("nan"))
            name = pair[side].iloc[0]
            words = f"{name} was not run alone with the seeds and batches of both orders"
            rows += [[*values, words] for values in absent[_COLUMNS].itertuples(index=False)]
    return pd.DataFrame(rows, columns=[*_COLUMNS, "what"])
