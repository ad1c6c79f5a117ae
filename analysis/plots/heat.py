"""Order sensitivity over all pairs, as a matrix per criterion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import labels
from analysis.labels import Labels

_GROUPS = ("editing", "unlearning", "pruning", "quantization", "compression")
_MOST = 24  # methods; a sweep over hyperparameters can have hundreds
_KEY = ["criterion", "intervention", "intervention_variant", "partner", "partner_variant"]


@dataclass(frozen=True)
class Heat:
    """``values[criterion]``: (methods, methods), symmetric, NaN where there is no pair.

    ``most`` is the scale's end; ``dropped`` methods found no place.
    """

    name: str
    caption: str
    methods: list[str]
    criteria: list[str]
    values: dict[str, np.ndarray]
    most: float
    dropped: int


def heats(points: pd.DataFrame, areas: pd.DataFrame, titles: Labels) -> list[Heat]:
    """One per context: the area over the levels where a pair was swept, else the value at its one level."""
    swept = areas[
        [
            *_KEY,
            "context",
            "unit",
            "better",
            "intervention_group",
            "partner_group",
            "order_sensitivity",
        ]
    ]
    rest = points.merge(
        swept[[*_KEY, "context"]], on=[*_KEY, "context"], how="left", indicator=True
    )
    single = rest.loc[rest._merge == "left_only", swept.columns]
    both = pd.concat([swept, single]).dropna(subset="order_sensitivity")
    both = both[
        both.unit.isin(labels.SHARES) & (both.better != "neither")
    ]  # one colour scale can compare them
    return [
        _heat(both[both.context == context], f"order-sensitivity{suffix}", context, titles)
        for context, suffix in labels.suffixes(both.context).items()
    ]


def _heat(cells: pd.DataFrame, name: str, context: str, titles: Labels) -> Heat:
    groups: dict[tuple[str, str], str] = {}
    for side in ("intervention", "partner"):
        for method, variant, group in zip(
            cells[side], cells[f"{side}_variant"], cells[f"{side}_group"], strict=True
        ):
            groups[method, variant] = group
    ranked = sorted(groups, key=lambda m: (_rank(groups[m]), labels.place(m[0]), m[1]))
    order = _spread(ranked) if len(ranked) > _MOST else ranked
    place = {method: i for i, method in enumerate(order)}
    criteria = [c for c in titles.catalogue.criteria if c in set(cells.criterion)]
    values = {criterion: np.full((len(order), len(order)), np.nan) for criterion in criteria}
    columns = [cells[name] for name in (*_KEY, "order_sensitivity")]
    for criterion, one, one_variant, other, other_variant, value in zip(*columns, strict=True):
        if (one, one_variant) not in place or (other, other_variant) not in place:
            continue
        i, j = place[one, one_variant], place[other, other_variant]
        values[criterion][i, j] = values[criterion][j, i] = value
    most = (
        max((float(value) for v in values.values() for value in v[np.isfinite(v)]), default=0.0)
        or 1.0
    )
    caption = (
        f"Order sensitivity: areas over the levels, or the value where there are none; {context}"
    )
    return Heat(
        name,
        caption,
        [titles.method(*method) for method in order],
        criteria,
        values,
        most,
        len(ranked) - len(order),
    )


def _spread(methods: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """As many variants of each intervention as find a place, the first ones, so that none is lost to another's."""
    names = list(dict.fromkeys(name for name, _ in methods))
    each = max(1, _MOST // len(names))
    kept = [
        variants[:each]
        for name in names
        if (variants := [method for method in methods if method[0] == name])
    ]
    return [method for variants in kept for method in variants][:_MOST]


def _rank(group: str) -> int:
    return _GROUPS.index(group) if group in _GROUPS else len(_GROUPS)
