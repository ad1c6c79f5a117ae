"""How often a method is strictly best within its group (the row "# Wins" of the paper's Tables 2 to 4)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import labels
from analysis.metrics.points import MEASURES

_KEY = ["group", "versus", "criterion", "measure"]
_ALSO = [
    "versus_group",
    "strength",
    "level",
    "context",
]  # where there are levels and settings, equal ones compete
_DECIMALS = 10  # smaller differences are rounding of floats


def cells(points: pd.DataFrame) -> pd.DataFrame:
    """Points from the view of either method: each is a row of a table once, and a column once.

    Returns:
        ``group, method, versus, versus_group, criterion, strength`` (without the intervention's name)``, level,
        context``, the measures, and ``row``: the position in ``points``.
    """
    sides = []
    for method, versus in (("partner", "intervention"), ("intervention", "partner")):
        side = pd.DataFrame(
            {
                "group": points[f"{method}_group"],
                "method": _labelled(points[method], points[f"{method}_variant"]),
                "versus": _labelled(points[versus], points[f"{versus}_variant"]),
                "versus_group": points[f"{versus}_group"],
                "criterion": points.criterion,
                "strength": points.strength.map(labels.strength_of),
                "level": points.level,
                "context": points.context,
                **{measure: points[measure] for measure in MEASURES},
                "row": np.arange(len(points)),
            }
        )
        sides.append(side)
    return pd.concat(sides, ignore_index=True)


def duels(cells: pd.DataFrame) -> pd.DataFrame:
    """The best of each group against the next, for each thing that a table compares; groups of one have none.

    Returns:
        A row per comparison: its key, ``best, next`` (labels in ``cells``), ``margin`` (0 where they tie).
    """
    long = _long(cells)
    key = _keys(long)
    ranked = long.sort_values([*key, "value"], kind="stable")
    place = ranked.groupby(key, dropna=False, sort=False).cumcount()
    size = ranked.groupby(key, dropna=False, sort=False)["value"].transform("size")
    first, second = ranked[(place == 0) & (size > 1)], ranked[(place == 1) & (size > 1)]
    made = first[key].assign(best=first.cell)
    made["next"] = second.cell.to_numpy()
    with np.errstate(invalid="ignore"):
        margin = np.round(second.value.to_numpy() - first.value.to_numpy(), _DECIMALS)
    made["margin"] = np.nan_to_num(margin, nan=0.0)  # two infinite errors are equal
    return made.reset_index(drop=True)


def wins(cells: pd.DataFrame, tied: pd.Series | None = None) -> pd.DataFrame:
    """Count wins; being best with another, or by less than the noise, is a tie, and a tie is a loss.

    Args:
        cells: rows with ``group, method, versus, criterion, order_free_error, order_sensitivity``, and where there are
            several, ``level, strength, context``: of ``cells(points)``, or of a printed table.
        tied: for each row of ``duels(cells)``, whether the difference is within its interval
            (``statistics.tied``).

    Returns:
        A row per method, criterion, measure, and what ``cells`` has of category, level and context:
        ``wins, ties, comparisons``.
    """
    long, found = _long(cells), duels(cells)
    key = _keys(long)
    found["won"] = (found.margin > 0) & ~(
        tied.to_numpy() if tied is not None else np.zeros(len(found), bool)
    )
    long = long.merge(found, on=key)
    long["wins"] = long.won & (long.cell == long.best)
    with np.errstate(invalid="ignore"):
        behind = (long.value - long.groupby(key, dropna=False)["value"].transform("min")).fillna(0)
    level = behind.round(_DECIMALS) == 0
    long["ties"] = ~long.won & (level | ((long.cell == long.next) & (long.margin > 0)))
    by = ["group", "method", *(name for name in key if name not in ("group", "versus"))]
    counts = long.groupby(by, dropna=False, sort=False).agg(
        wins=("wins", "sum"), ties=("ties", "sum"), comparisons=("wins", "size")
    )
    return counts.reset_index()


def _keys(long: pd.DataFrame) -> list[str]:
    return [*_KEY, *(name for name in _ALSO if name in long)]


def _long(cells: pd.DataFrame) -> pd.DataFrame:
    """A row per cell and measure, ``cell`` being the row's label; without those that have no value."""
    frame = cells.assign(cell=cells.index)
    names = [
        "method",
        "group",
        "versus",
        "criterion",
        "cell",
        *(name for name in _ALSO if name in cells),
    ]
    return (
        frame.melt(names, list(MEASURES), "measure", "value")
        .dropna(subset="value")
        .reset_index(drop=True)
    )


def _labelled(names: pd.Series, variants: pd.Series) -> pd.Series:
    return names.where(variants == "", names + " (" + variants + ")")
