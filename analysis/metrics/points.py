"""Order-free error and order sensitivity, point by point (paper, section 2.2), and what is missing for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from analysis import labels
from analysis.metrics.align import POINT, VARIANT, Orders, both_orders
from analysis.metrics.bounds import known, within
from interventions.errors import InvalidInput
from tracking.catalogue import Catalogue

Error = Literal["best", "worst"]
MEASURES = ("order_free_error", "order_sensitivity")
ADJUSTED = "order_free_error_adjusted"
_GROUPS = {
    "sparsity": "pruning",
    "bits": "quantization",
}  # what a compression turns says which kind it is
DESCRIBED = ["better", "unit", "intervention_group", "partner_group"]


def point(
    runs: pd.DataFrame,
    criteria: Iterable[str] | None = None,
    error: Error = "best",
    levels: Mapping[str, float] | None = None,
    bounds: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Order-free error and order sensitivity of every pair, criterion and level.

    Replicates over seeds and edit batches are averaged first, those alone that both orders have; runs that differ in
    anything else stay apart. A level that only one order has is a row with NaN in the other's place; orders that have
    no seed and edit batch in common have values, but no measures.

    Args:
        runs: rows of ``tracking.query.compositions``.
        criteria: names; all by default.
        error: "best" (the paper's tables) or "worst" (its printed equation 1).
        levels: only these, by strength: ``{"sparsity": 0.25, "bits": 4}``.
        bounds: leave out levels where, in either order, another criterion is worse: ``{"mmlu": 0.4}``.

    Returns:
        A row per pair, criterion and level. ``intervention, partner``; ``level`` of ``strength`` ("wanda.sparsity");
        ``forward``: the criterion after intervention, then partner; ``backward``: after the other order;
        ``order_free_error, order_sensitivity``, in the criterion's unit; ``order_free_error_adjusted``: for criteria
        with a chance level where lower is better, max(0, κ - chance) / (1 - chance) in place of κ; ``replicates``;
        ``better, unit`` of the criterion; the ``…_group`` of each intervention (pruning, quantization, or its
        category); ``context, intervention_variant, partner_variant, settings``: what the runs have in common;
        ``forward_runs, backward_runs``: their ids; ``point``: a number per pair, level and settings.

    Raises:
        InvalidInput: an unknown criterion, error or bound; no pair in both orders; a level that both orders lack.
    """
    orders = both_orders(runs)
    if error not in get_args(Error):
        raise InvalidInput(f"error must be {' or '.join(get_args(Error))}, but got {error!r}")
    wanted = (
        orders.criteria if criteria is None else [known(name, orders.criteria) for name in criteria]
    )
    needed = list(
        dict.fromkeys([*wanted, *(known(name, orders.criteria) for name in bounds or ())])
    )
    points = _averaged(orders, needed)
    if levels:
        points = _at(points, levels)
    points = points.join(_described(points, orders.catalogue))
    points = points.join(_measures(points, orders.catalogue, error))
    points = within(points, bounds) if bounds else points
    return points[points.criterion.isin(wanted)].reset_index(drop=True)


def _averaged(orders: Orders, criteria: list[str]) -> pd.DataFrame:
    """The long frame of points; the mean of each order over the replicates that both have."""
    forward, backward = orders.values("forward", criteria), orders.values("backward", criteria)
    paired = ~(np.isnan(forward) | np.isnan(backward))
    number = orders.frame.point.to_numpy()
    both = np.greater(
        _sum_by(number, paired), 0
    )  # where a point has pairs, only they count; elsewhere what there is
    columns = {
        "forward": _mean_by(number, np.where(paired | ~both[number], forward, np.nan)),
        "backward": _mean_by(number, np.where(paired | ~both[number], backward, np.nan)),
        "replicates": _sum_by(number, paired),
        "unpaired": _sum_by(number, ~paired & ~(np.isnan(forward) & np.isnan(backward))),
    }
    points = orders.frame.drop_duplicates("point")[["point", *POINT, *VARIANT]].reset_index(
        drop=True
    )
    for order in ("forward", "backward"):
        points[f"{order}_runs"] = _ids(orders, order, number, paired.any(1) | ~both.any(1)[number])
    long = points.loc[points.index.repeat(len(criteria))].reset_index(drop=True)
    long.insert(3, "criterion", np.tile(np.array(criteria, dtype=object), len(points)))
    for name, values in columns.items():
        long[name] = values.reshape(-1)
    return long[~(long.forward.isna() & long.backward.isna())].reset_index(drop=True)


def _sum_by(number: np.ndarray, values: np.ndarray) -> np.ndarray:
    summed: np.ndarray = pd.DataFrame(values).groupby(number).sum().to_numpy()
    return summed


def _mean_by(number: np.ndarray, values: np.ndarray) -> np.ndarray:
    return pd.DataFrame(values).groupby(number).mean().to_numpy()


def _ids(orders: Orders, order: str, number: np.ndarray, used: np.ndarray) -> list[tuple[str, ...]]:
    ids: list[list[str]] = [[] for _ in range(number.max() + 1)]
    names = orders.runs.run_id.to_numpy()
    for at, position, counts in zip(number, orders.frame[order], used, strict=True):
        if position >= 0 and counts:
            ids[at].append(names[position])
    return [tuple(runs) for runs in ids]


def group_of(name: str, catalogue: Catalogue) -> str:
    """Pruning, quantization, or the category."""
    facts = catalogue.interventions.get(name)
    return "other" if facts is None else _GROUPS.get(facts.strength or "", facts.category)


def _described(points: pd.DataFrame, catalogue: Catalogue) -> pd.DataFrame:
    facts = points.criterion.map(catalogue.criteria)
    groups = [
        points[side].map(lambda name: group_of(name, catalogue))
        for side in ("intervention", "partner")
    ]
    columns = [facts.map(lambda f: f.better), facts.map(lambda f: f.unit), *groups]
    return pd.DataFrame(dict(zip(DESCRIBED, columns, strict=True)), index=points.index)


def _measures(points: pd.DataFrame, catalogue: Catalogue, error: Error) -> pd.DataFrame:
    better = points.better
    chances = {
        name: f.chance
        for name, f in catalogue.criteria.items()
        if f.chance is not None and f.better == "lower"
    }
    chance = points.criterion.map(chances).astype(float)
    pair = points[["forward", "backward"]]
    low, high = pair.min(axis=1, skipna=False), pair.max(axis=1, skipna=False)
    best = (
        np.where(better == "higher", high, low)
        if error == "best"
        else np.where(better == "higher", low, high)
    )
    free = np.where(better == "higher", 1 - best, np.where(better == "lower", best, np.nan))
    with np.errstate(invalid="ignore"):  # two infinite perplexities have no difference
        sensitivity = (points.forward - points.backward).abs()
    adjusted = np.maximum(0, (free - chance) / (1 - chance))
    measures = pd.DataFrame(
        {MEASURES[0]: free, MEASURES[1]: sensitivity, ADJUSTED: adjusted}, index=points.index
    )
    return measures.where(complete(points))


def _at(points: pd.DataFrame, levels: Mapping[str, float]) -> pd.DataFrame:
    """Only the given levels; strengths that are not named keep all of theirs."""
    turned = points.strength.map(labels.strength_of)
    keep = ~turned.isin(list(levels))
    for strength, level in levels.items():
        those = turned == strength
        if not those.any():
            there = ", ".join(sorted(set(turned) - {""})) or "none"
            raise InvalidInput(f"no pair has a strength named {strength!r}; there are: {there}")
        at = those & np.isclose(points.level, level)
        if not (at & complete(points)).any():
            have = sorted(points.level[those & complete(points)].unique())
            only = (
                f"only {' and '.join(_orders_of(points[at]))} has it"
                if at.any()
                else "no run has it"
            )
            both = ", ".join(f"{level:g}" for level in have) or "none"
            raise InvalidInput(
                f"level {strength}={level:g}: {only}; levels that both orders have: {both}"
            )
        keep |= at
    return points[keep].reset_index(drop=True)


def complete(points: pd.DataFrame) -> pd.Series:
    """Whether both orders are there, for at least one seed and edit batch."""
    return points.forward.notna() & points.backward.notna() & (points.replicates > 0)


def _orders_of(points: pd.DataFrame) -> list[str]:
    """The orders that were run, in words."""
    once = points.drop_duplicates(["intervention", "partner"])
    words = [
        f"{partner} → {intervention}" if lacks else f"{intervention} → {partner}"
        for intervention, partner, lacks in zip(
            once.intervention, once.partner, once.forward.isna(), strict=True
        )
    ]
    return words[:3] + (["others"] if len(words) > 3 else [])


def missing(points: pd.DataFrame) -> pd.DataFrame:
    """What is not there, by name: orders, levels, and replicates that have no counterpart.

    Returns:
        ``intervention, partner, strength, level, context, …_variant, what``, the last in words; empty if all is there.
    """
    once = points.drop_duplicates("point")
    rows: list[tuple[Any, str]] = []
    present: list[Any] = list(once.itertuples())
    for row in present:
        names = (row.intervention, row.partner)
        for order, runs in ((names, row.forward_runs), (names[::-1], row.backward_runs)):
            if not runs:
                rows.append((row, f"{' → '.join(order)} was not run"))
        if row.forward_runs and row.backward_runs and row.unpaired:
            lacking = "no seed and edit batch is common to both orders" if not row.replicates else (
                f"{labels.counted(row.unpaired, 'replicate')} (seed and edit batch) in one order only"
            )  # fmt: skip
            rows.append((row, lacking))
    rows += _missing_levels(once)
    columns = ["intervention", "partner", "strength", "level", *VARIANT]
    return pd.DataFrame(
        [[*(getattr(row, c) for c in columns), what] for row, what in rows],
        columns=[*columns, "what"],
    )


def _missing_levels(once: pd.DataFrame) -> list[tuple[Any, str]]:
    """Levels that another pair with the same strength has, in the same context."""
    rows = []
    for (strength, _), group in once[once.strength != ""].groupby(
        ["strength", "context"], sort=False
    ):
        swept = set(group.level)
        for _, pair in group.groupby(["intervention", "partner", "settings"], sort=False):
            for level in sorted(swept - set(pair.level)):
                row = next(pair.assign(level=level).itertuples())
                rows.append(
                    (
                        row,
                        f"neither order was run, though other pairs have this level of {strength}",
                    )
                )
    return rows
