"""Whether the best method of a group is better than all others by a test, or only looks so."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.inference.best import BestMethod, Contest, compare_methods, measure_terms
from analysis.inference.combinations import Combiner
from analysis.inference.confidence import CONFIDENCE, check_confidence
from analysis.inference.corrections import may_claim
from analysis.inference.item_scores import items_of_points
from analysis.inference.units import collect_units
from analysis.metrics.columns import MEASURES
from tracking.measures import Error

_DUEL_COLUMNS = ("best", "next", "margin", "measure")
_ROUNDING = 1e-10  # scores that differ by less are equal


def tied(
    runs: pd.DataFrame,
    points: pd.DataFrame,
    cells: pd.DataFrame,
    duels: pd.DataFrame,
    items: pd.DataFrame | None = None,
    confidence: float = CONFIDENCE,
    error: Error = "best",
) -> pd.Series:
    """Return for each duel whether no test says that the best is better than every rival.

    Args:
        runs: what ``points`` were computed from.
        points: rows of ``composability.point``.
        cells: ``composability.cells(points)``.
        duels: ``composability.duels(cells)``.
        items: rows of ``tracking.query.items``.
        confidence: of the tests, between 0 and 1.
        error: as ``points`` were computed with.

    Returns:
        Aligned with ``duels``; False where the methods were run once each, so that there is nothing
        to test and the numbers count as they are.
    """
    check_confidence(confidence)
    is_tied = pd.Series(False, index=duels.index)
    if duels.empty:
        return is_tied
    units = collect_units(runs, points)
    several = np.bincount(units.point, minlength=len(units.kinds)) > 1
    has_several = several[points.point.to_numpy()]
    facts = units.orders.catalogue.criteria
    is_exact = points.criterion.map(lambda name: facts[name].items == "exact").to_numpy(bool)
    combiner = Combiner(units, points, items_of_points(units, points, items))
    better = points.better.to_numpy()
    key = [name for name in duels.columns if name not in _DUEL_COLUMNS]
    members = cells.groupby(key, dropna=False).ngroup()
    labels_of_group = cells.index.to_series().groupby(members.to_numpy()).agg(list).to_dict()
    group_of_label = dict(zip(cells.index, members, strict=True))
    measured = {name: cells[name].notna().to_dict() for name in MEASURES}
    row_of_label = cells.row.to_dict()
    contests: dict[int, Contest] = {}
    for duel, best, measure in zip(duels.index, duels.best, duels.measure, strict=True):
        rows = {
            str(label): int(row_of_label[label])
            for label in labels_of_group[group_of_label[best]]
            if measured[measure][label]
        }
        if any(has_several[row] for row in rows.values()):
            terms = {
                name: measure_terms(combiner, row, better[row], measure, error, 1)
                for name, row in rows.items()
            }
            contests[duel] = Contest(terms)
    outcomes = compare_methods(combiner, list(contests.values()), confidence)
    for duel, outcome in zip(contests, outcomes, strict=True):
        best = duels.best[duel]
        exact = bool(is_exact[row_of_label[best]])
        is_best = outcome is not None and outcome.method == str(best) and _is_best(outcome, exact)
        is_tied[duel] = not is_best
    return is_tied


def _is_best(outcome: BestMethod, is_exact: bool) -> bool:
    """Return whether every rival is worse by a test, or by what is measured exactly in all units.

    A criterion without items to sample (average bits) can be equal in all units: then its margin
    has no spread, and no test.
    """
    if not is_exact:
        return outcome.is_best
    rivals = outcome.rivals
    same_in_all_units = rivals.low.isna() & (rivals.margin > _ROUNDING)
    return bool((may_claim(rivals.p.to_numpy(), outcome.confidence) | same_in_all_units).all())
