"""Count how often a method is strictly best within its group, as the paper's row "# Wins"."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import labels
from analysis.metrics.columns import MEASURES
from analysis.metrics.groups import WITHOUT_WINS

_KEY = ["group", "versus", "criterion", "measure"]
# where cells have levels and settings, only cells with equal ones compete
_OPTIONAL_KEY = ["versus_group", "strength", "level", "context"]
_DECIMALS = 10  # smaller differences are rounding of floats


def cells(points: pd.DataFrame) -> pd.DataFrame:
    """Return points from the view of either method: each is a row of a table once, a column once.

    Args:
        points: rows of ``point`` or of ``area``.

    Returns:
        ``group, method, versus, versus_group, criterion, strength`` (without the intervention's
        name)``, level, context``, the measures, and ``row``: the position in ``points``.
    """
    sides = []
    for method, versus in (("partner", "intervention"), ("intervention", "partner")):
        columns = {
            "group": points[f"{method}_group"],
            "method": _name_variants(points[method], points[f"{method}_variant"]),
            "versus": _name_variants(points[versus], points[f"{versus}_variant"]),
            "versus_group": points[f"{versus}_group"],
            "criterion": points.criterion,
            "strength": points.strength.map(labels.strength_of),
            "level": points.level,
            "context": points.context,
            **{measure: points[measure] for measure in MEASURES},
            "row": np.arange(len(points)),
        }
        sides.append(pd.DataFrame(columns))
    return pd.concat(sides, ignore_index=True)


def duels(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the best of each group against the next best; groups of one have no duel.

    Args:
        cells: as for ``wins``.

    Returns:
        A row per group, opponent, criterion, measure and level: these; ``best, next`` (index labels
        of ``cells``); ``margin``, how much lower the best's value is (0 where they tie).
    """
    long = _one_measure_per_row(cells)
    key = _key_of(long)
    ranked = long.sort_values([*key, "value"], kind="stable")
    groups = ranked.groupby(key, dropna=False)
    rank = groups.cumcount()
    competes = groups["value"].transform("size") > 1
    first, second = ranked[(rank == 0) & competes], ranked[(rank == 1) & competes]
    with np.errstate(invalid="ignore"):
        margin = np.round(second.value.to_numpy() - first.value.to_numpy(), _DECIMALS)
    # both come in the order of the keys, so the rows of one are those of another
    fought = first[key].assign(best=first.cell)
    fought["next"] = second.cell.to_numpy()
    fought["margin"] = np.nan_to_num(margin, nan=0.0)  # two infinite errors are equal
    return fought.reset_index(drop=True)


def wins(cells: pd.DataFrame, tied: pd.Series | None = None) -> pd.DataFrame:
    """Count how often each method has the lowest error of its group; a tie is a loss for all.

    Methods of the categories "training" and "merging" are in no such group.

    A method ties where it is best together with another one, or best by less than the noise.

    Args:
        cells: rows with ``group, method, versus, criterion, order_free_error, order_sensitivity``,
            and where there are several, ``level, strength, context``: of ``cells(points)``, or of a
            printed table.
        tied: for each row of ``duels(cells)``, whether the difference is within its interval
            (``analysis.inference.ties.tied``).

    Returns:
        A row per method, criterion, measure, and what ``cells`` has of the optional columns:
        ``wins, ties, comparisons``.

    Example:
        >>> printed = pd.DataFrame({
        ...     "group": "pruning", "method": ["wanda", "sparsegpt"], "versus": "ft",
        ...     "criterion": "mmlu", "order_free_error": [0.46, 0.47], "order_sensitivity": [0, 0],
        ... })
        >>> wins(printed)[["method", "measure", "wins", "ties"]]
              method            measure  wins  ties
        0      wanda   order_free_error     1     0
        1  sparsegpt   order_free_error     0     0
        2      wanda  order_sensitivity     0     1
        3  sparsegpt  order_sensitivity     0     1
    """
    long, fought = _one_measure_per_row(cells), duels(cells)
    key = _key_of(long)
    is_noise = np.zeros(len(fought), bool) if tied is None else tied.to_numpy()
    fought["won"] = (fought.margin > 0) & ~is_noise
    long = long.merge(fought, on=key)
    long["wins"] = long.won & (long.cell == long.best)
    lowest = long.groupby(key, dropna=False)["value"].transform("min")
    with np.errstate(invalid="ignore"):
        # two infinite errors are equal, and their difference is NaN
        behind = (long.value - lowest).fillna(0)
    shares_first_place = behind.round(_DECIMALS) == 0
    # where the best has not won, its lead over the next one is noise
    long["ties"] = ~long.won & (shares_first_place | (long.cell == long.next))
    by = ["group", "method", *(name for name in key if name not in ("group", "versus"))]
    counts = long.groupby(by, dropna=False, sort=False).agg(
        wins=("wins", "sum"), ties=("ties", "sum"), comparisons=("wins", "size")
    )
    return counts.reset_index()


def _key_of(long: pd.DataFrame) -> list[str]:
    """Return the columns in which two cells must be equal to compete."""
    return [*_KEY, *(name for name in _OPTIONAL_KEY if name in long)]


def _one_measure_per_row(cells: pd.DataFrame) -> pd.DataFrame:
    """Return a row per cell and measure that has a value; ``cell`` is the cell's index label."""
    competing = cells[~cells.group.isin(WITHOUT_WINS)]
    frame = competing.assign(cell=competing.index)
    optional = [name for name in _OPTIONAL_KEY if name in cells]
    names = ["method", "group", "versus", "criterion", "cell", *optional]
    long = frame.melt(names, list(MEASURES), "measure", "value")
    return long.dropna(subset="value")


def _name_variants(names: pd.Series, variants: pd.Series) -> pd.Series:
    """Return ``wanda``, or ``wanda (samples=64)`` where there are variants."""
    return names.where(variants == "", names + " (" + variants + ")")
