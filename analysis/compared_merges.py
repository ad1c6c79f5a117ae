"""Merges of a pair's interventions, beside both of its orders, for the comparison of one pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from analysis import labels
from analysis.metrics.columns import VARIANT
from analysis.report.merges import merged_points
from tracking import schema


@dataclass(frozen=True)
class OverOrder:
    """How much better a merge is than one order.

    Attributes:
        value: of the criterion after the order.
        gain: how much better the merge is; NaN where neither direction is.
        low: lower end of the gain's interval; NaN where nothing is known.
        high: its upper end.
        basis: what the interval is over; "" for nothing.
        p_holm: of no difference, corrected over the criteria of all merges and both orders.
        differs: whether it may be said that the merge and the order differ.
    """

    value: float
    gain: float
    low: float
    high: float
    basis: str
    p_holm: float
    differs: bool


@dataclass(frozen=True)
class MergedCriterion:
    """One criterion after a merge, beside both orders.

    Attributes:
        name: of the criterion.
        better: "higher", "lower" or "neither".
        merged: its value after the merge.
        forward: the merge over the first order; None where that has not run with its settings.
        backward: over the second.
    """

    name: str
    better: str
    merged: float
    forward: OverOrder | None
    backward: OverOrder | None


@dataclass(frozen=True)
class ComparedMerge:
    """One way of merging at one level.

    Attributes:
        way: of merging, such as "merge(how='ties')".
        title: the level, and the setting where there are several; "" for the only one.
        forward: the first order, as "lora → rmu".
        backward: the second.
        criteria: in their usual order.
    """

    way: str
    title: str
    forward: str
    backward: str
    criteria: tuple[MergedCriterion, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values; what is not finite as text."""
        return {
            "way": self.way,
            "title": self.title,
            "criteria": {
                row.name: {
                    "better": row.better,
                    "merged": schema.json_number(row.merged),
                    self.forward: _numbers(row.forward),
                    self.backward: _numbers(row.backward),
                }
                for row in self.criteria
            },
        }


def compared_merges(
    runs: pd.DataFrame, items: pd.DataFrame | None, order: Sequence[str]
) -> tuple[ComparedMerge, ...]:
    """Return the merges of a pair, by way of merging and level.

    Args:
        runs: rows of ``compositions``: both orders' and the merges'.
        items: rows of ``tracking.query.items`` of these runs, if known.
        order: of the criteria's names.
    """
    points = merged_points(runs, items)
    if points.empty:
        return ()
    several = points.groupby(VARIANT, sort=False).ngroups > 1
    places = {name: place for place, name in enumerate(order)}
    points = points.sort_values("criterion", key=lambda names: names.map(places), kind="stable")
    groups = points.groupby(["way", "strength", "level", *VARIANT], dropna=False, sort=False)
    return tuple(_merge(of_merge, several) for _, of_merge in groups)


def _merge(points: pd.DataFrame, several: bool) -> ComparedMerge:
    first = points.iloc[0]
    level = labels.levels_text(str(first.strength), [first.level]) if first.strength else ""
    variants = [str(first[name]) for name in VARIANT] if several else []
    names = (str(first.intervention), str(first.partner))
    return ComparedMerge(
        way=str(first.way),
        title="; ".join(dict.fromkeys(filter(None, [level, *variants]))),
        forward=labels.ARROW.join(names),
        backward=labels.ARROW.join(reversed(names)),
        criteria=tuple(
            MergedCriterion(
                row["criterion"],
                row["better"],
                float(row["merged"]),
                _over(row, "forward"),
                _over(row, "backward"),
            )
            for row in points.to_dict("records")
        ),
    )


def _over(row: dict[Any, Any], order: str) -> OverOrder | None:
    if pd.isna(row[f"{order}_differs"]):
        return None
    return OverOrder(
        value=float(row[order]),
        gain=float(row[f"{order}_gain"]),
        low=float(row[f"{order}_gain_low"]),
        high=float(row[f"{order}_gain_high"]),
        basis=str(row[f"{order}_basis"]),
        p_holm=float(row[f"{order}_p_holm"]),
        differs=bool(row[f"{order}_differs"]),
    )


def _numbers(over: OverOrder | None) -> dict[str, Any] | None:
    if over is None:
        return None
    return {
        name: schema.json_number(value) if isinstance(value, float) else value
        for name, value in asdict(over).items()
    }
