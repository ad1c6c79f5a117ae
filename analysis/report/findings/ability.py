"""Findings on general ability: whether it shows what happened, and whether a model has any left."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis import labels
from analysis.report.findings.evidence import (
    NOTABLE,
    Evidence,
    Finding,
    interval_in_words,
    runs_of,
    within_sentence,
)


def hidden_by_general_ability(evidence: Evidence) -> Iterator[Finding]:
    """Yield at how many points the edits differ between the orders and the general criterion less.

    Only where the edits differ by a test, and where both intervals of the difference are apart:
    differences of criteria with unlike numbers of items cannot be compared without their noise.
    """
    edits, general = evidence.main_criteria.get("editing"), evidence.general_criterion
    if edits is None or general is None:
        return
    points = evidence.points[evidence.points.intervention_category == "editing"]
    differing = points[(points.criterion == edits) & points.differs].set_index("point")
    other = points[points.criterion == general].set_index("point").reindex(differing.index)
    if differing.empty:
        return
    is_less = other.order_sensitivity_high < differing.order_sensitivity_low
    if not is_less.any():
        return
    margin = differing.order_sensitivity_low - other.order_sensitivity_high
    shown = int(np.nanargmax(margin.to_numpy(float)))
    ability, measured = (evidence.plain_title(name) for name in (general, edits))
    is_shown = other.order_sensitivity_low > 0
    intervals = [
        interval_in_words(row.order_sensitivity_low, row.order_sensitivity_high)
        for row in (other.iloc[shown], differing.iloc[shown])
    ]
    yield Finding(
        f"{ability} shows less of the order than {within_sentence(measured)}, which differs at"
        f" {labels.counted(len(differing), 'point')}: at {int(is_less.sum())} of these the"
        f" intervals of both differences are apart (farthest: {intervals[0]} against"
        f" {intervals[1]}); at {int(is_shown.sum())} the interval of {ability} leaves out 0.",
        runs_of(differing),
        claim=True,
    )


def destroyed(evidence: Evidence) -> Iterator[Finding]:
    """Yield points where an unlearner wins because nothing is left: all criteria are at chance."""
    forgotten, general = evidence.main_criteria.get("unlearning"), evidence.general_criterion
    if forgotten is None or general is None:
        return
    points = evidence.of_category("unlearning")
    values = _values_by_order(points, [forgotten, general])
    if values.empty or values.shape[1] < 2:
        return
    facts = evidence.titles.catalogue.criteria
    forgotten_chance, general_chance = facts[forgotten].chance, facts[general].chance
    if forgotten_chance is not None and general_chance is not None:
        at_chance = values[values[forgotten] <= forgotten_chance + NOTABLE]
        empty = at_chance[at_chance[general] <= general_chance + NOTABLE]
        if len(empty):
            ability = evidence.plain_title(general)
            yield Finding(
                f"Forgotten or destroyed? {evidence.plain_title(forgotten)} is within"
                f" {NOTABLE:g} of chance in {labels.counted(len(at_chance), 'composition')} with"
                f" unlearning; in {len(empty)} of these {ability} is too: what was to stay is gone"
                f" as well. A bound on {ability} leaves them out.",
                runs_of(points[points.point.isin(empty.index)]),
            )
    yield from _infinite(points)


def _values_by_order(points: pd.DataFrame, criteria: list[str]) -> pd.DataFrame:
    """Return a row per point and order, and a column per criterion, where all were measured."""
    chosen = points[points.criterion.isin(criteria)]
    orders = [
        chosen.pivot(index="point", columns="criterion", values=order)
        for order in ("forward", "backward")
    ]
    return pd.concat(orders).dropna()


def _infinite(points: pd.DataFrame) -> Iterator[Finding]:
    """Yield how often a criterion is infinite, by its unit: the model's outputs overflowed."""
    infinite = points[points[["forward", "backward"]].isin([np.inf]).any(axis=1)]
    for unit, rows in infinite.groupby("unit", sort=False):
        yield Finding(
            f"{str(unit).capitalize()} is infinite in at least one order at"
            f" {labels.counted(len(rows), 'point')}.",
            runs_of(rows),
        )
