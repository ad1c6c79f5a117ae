"""Findings on general ability: whether it shows what happened, and whether a model has any left."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.report.findings.evidence import (
    NOTABLE,
    Evidence,
    Finding,
    runs_of,
    within_sentence,
)

_FEWEST = 3  # points, for a mean worth a sentence


def hidden_by_general_ability(evidence: Evidence) -> Iterator[Finding]:
    """Yield that the general criterion does not show what happens to the edits, if it does not."""
    edits, general = evidence.main_criteria.get("editing"), evidence.general_criterion
    if edits is None or general is None:
        return
    points = evidence.points
    both = points[
        points.criterion.isin([edits, general]) & (points.intervention_category == "editing")
    ]
    wide = both.pivot(index="point", columns="criterion", values="order_sensitivity").dropna()
    if len(wide) < _FEWEST or wide.shape[1] < 2:
        return
    edits_differ, general_differs = wide[edits].mean(), wide[general].mean()
    if edits_differ > 2 * general_differs:
        yield Finding(
            f"{evidence.plain_title(general)} does not show it: between the orders it differs by"
            f" {general_differs:.3f} on average, {within_sentence(evidence.plain_title(edits))} by"
            f" {edits_differ:.3f}.",
            runs_of(both),
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
                f"Forgotten or destroyed? {evidence.plain_title(forgotten)} is at chance in"
                f" {len(at_chance)} compositions with unlearning; in {len(empty)} of these"
                f" {ability} is at chance too: the model is broken, not unlearned. A bound on"
                f" {ability} leaves them out.",
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
            f"{str(unit).capitalize()} is infinite in at least one order at {len(rows)} points.",
            runs_of(rows),
        )
