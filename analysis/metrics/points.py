"""Order-free error and order sensitivity, point by point (paper, section 2.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import get_args

import numpy as np
import pandas as pd

from analysis.metrics.align import Orders, both_orders
from analysis.metrics.alone import alone_values
from analysis.metrics.bounds import check_criterion, within
from analysis.metrics.columns import DESCRIBED, POINT, VARIANT
from analysis.metrics.groups import group_of
from analysis.metrics.levels import at_levels
from analysis.metrics.measures import measures_of
from interventions.arguments import checked
from interventions.errors import one_of
from tracking.catalogue import Catalogue
from tracking.measures import Error


@checked
def point(
    runs: pd.DataFrame,
    criteria: Iterable[str] | None = None,
    error: Error = "best",
    levels: Mapping[str, float] | None = None,
    bounds: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return order-free error and order sensitivity of every pair, criterion and level.

    Replicates over seeds and edit batches are averaged first, only those that both orders have;
    runs that differ in anything else stay apart. A level that only one order has is a row with NaN
    in place of the other order. Orders that have no seed and edit batch in common have values, but
    no measures.

    Args:
        runs: rows of ``tracking.query.compositions``, or of ``composability.compositions``.
        criteria: names; all by default.
        error: "best" (the paper's tables) or "worst" (its printed equation 1).
        levels: only these, by strength: ``{"sparsity": 0.25, "bits": 4}``.
        bounds: leave out levels where, in either order, another criterion is worse:
            ``{"mmlu": 0.4}``.

    Returns:
        A row per pair, criterion and level:

        - ``intervention, partner``, and ``level`` of ``strength`` ("wanda.sparsity");
        - ``forward``: the criterion after intervention, then partner; ``backward``: after the
          opposite order; ``replicates``: how many seeds and edit batches both have; ``unpaired``:
          how many only one has;
        - ``order_free_error, order_sensitivity``, in the criterion's unit, and
          ``order_free_error_adjusted``: for criteria with a chance level where lower is better,
          max(0, κ - chance) / (1 - chance) in place of κ;
        - ``alone_intervention, alone_partner``: the criterion after each alone, of the same seeds
          and edit batches; NaN where it was not run alone with these;
        - ``better, unit`` of the criterion; ``intervention_group, partner_group``: "pruning",
          "quantization", or the category;
        - ``context, intervention_variant, partner_variant, settings``: what the runs have in
          common; ``forward_runs, backward_runs``: their ids; ``point``: a number per pair, level
          and settings.

    Raises:
        InvalidInput: an unknown criterion, error or bound; no pair in both orders; a level that no
            pair has in both orders.

    Example:
        From the rows that the paper prints, which ship with the code:

        >>> import pandas as pd
        >>> from tracking.published import rows
        >>> printed = [row for row in rows() if {name for name, _ in row.steps} == {"ft", "wanda"}]
        >>> runs = pd.DataFrame([{**row.params(), **row.values} for row in printed])
        >>> runs = runs.assign(run_id=runs.composition).astype({"wanda.sparsity": float})
        >>> points = point(runs, ["edit_success"], levels={"sparsity": 0.25})
        >>> points[["forward", "backward", "order_free_error", "order_sensitivity"]].round(2)
           forward  backward  order_free_error  order_sensitivity
        0     0.96      0.99              0.01               0.03
    """
    orders = both_orders(runs)
    one_of("error", error, get_args(Error))
    if criteria is None:
        chosen = orders.criteria
    else:
        chosen = [check_criterion(name, orders.criteria) for name in criteria]
    bounding = [check_criterion(name, orders.criteria) for name in bounds or ()]
    points = _average(orders, list(dict.fromkeys([*chosen, *bounding])))
    if levels:
        points = at_levels(points, levels)
    points = points.join(_describe(points, orders.catalogue))
    points = points.join(measures_of(points, orders.catalogue, error))
    points = points.join(alone_values(points, orders))
    if bounds:
        points = within(points, bounds)
    return points[points.criterion.isin(chosen)].reset_index(drop=True)


def _average(orders: Orders, criteria: list[str]) -> pd.DataFrame:
    """Return a row per point and criterion, with the mean of each order over its replicates.

    Where a point has replicates that both orders have, only these count; elsewhere all that it has.
    """
    forward, backward = orders.values("forward", criteria), orders.values("backward", criteria)
    # by criterion, as one that diverged or was added later may be missing in some runs
    is_paired = ~(np.isnan(forward) | np.isnan(backward))
    is_absent = np.isnan(forward) & np.isnan(backward)
    numbers = orders.frame.point.to_numpy()
    has_pairs = np.greater(_sum_by(numbers, is_paired), 0)  # (points, criteria)
    counts = is_paired | ~has_pairs[numbers]  # (replicates, criteria)
    columns = {
        "forward": _mean_by(numbers, np.where(counts, forward, np.nan)),
        "backward": _mean_by(numbers, np.where(counts, backward, np.nan)),
        "replicates": _sum_by(numbers, is_paired),
        "unpaired": _sum_by(numbers, ~is_paired & ~is_absent),
    }
    once = orders.frame.drop_duplicates("point").reset_index(drop=True)
    points = once[["point", *POINT, *VARIANT]].copy()
    counting_rows = is_paired.any(1) | ~has_pairs.any(1)[numbers]
    for order in ("forward", "backward"):
        points[f"{order}_runs"] = _run_ids(orders, order, counting_rows)
    long = points.loc[points.index.repeat(len(criteria))].reset_index(drop=True)
    long.insert(3, "criterion", np.tile(np.array(criteria, dtype=object), len(points)))
    for name, values in columns.items():
        long[name] = values.reshape(-1)
    # a criterion that no run of the point has would be a row without numbers
    has_value = long.forward.notna() | long.backward.notna()
    return long[has_value].reset_index(drop=True)


def _sum_by(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    summed: np.ndarray = pd.DataFrame(values).groupby(numbers).sum().to_numpy()
    return summed


def _mean_by(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    return pd.DataFrame(values).groupby(numbers).mean().to_numpy()


def _run_ids(orders: Orders, order: str, counting_rows: np.ndarray) -> list[tuple[str, ...]]:
    """Return, for each point, the ids of one order's runs in the rows that count."""
    numbers = orders.frame.point.to_numpy()
    ids: list[list[str]] = [[] for _ in range(numbers.max() + 1)]
    names = orders.runs.run_id.to_numpy()
    positions = orders.frame[order]
    for number, position, counts in zip(numbers, positions, counting_rows, strict=True):
        if position >= 0 and counts:
            ids[number].append(names[position])
    return [tuple(run_ids) for run_ids in ids]


def _describe(points: pd.DataFrame, catalogue: Catalogue) -> pd.DataFrame:
    """Return ``DESCRIBED``: the criterion's direction and unit, and both interventions' groups."""
    facts = points.criterion.map(catalogue.criteria)
    columns = [
        facts.map(lambda criterion: criterion.better),
        facts.map(lambda criterion: criterion.unit),
        points.intervention.map(lambda name: group_of(name, catalogue)),
        points.partner.map(lambda name: group_of(name, catalogue)),
    ]
    return pd.DataFrame(dict(zip(DESCRIBED, columns, strict=True)), index=points.index)
