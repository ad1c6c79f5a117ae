"""Which method composes best: chosen on all units together, and held against every rival by a test.

The choice on all units does not make the test wrong, as the best must beat every rival: simulated,
it says so of equal methods in 3 to 4.4 % of cases with two, and in fewer with more (never choose
per unit: 7 to 17 %). See docs/explanation/statistics.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.inference.combinations import Combiner, Term
from analysis.inference.confidence import CONFIDENCE, check_confidence
from analysis.inference.corrections import may_claim
from analysis.inference.item_scores import items_of_points
from analysis.inference.procedures import estimate
from analysis.inference.units import collect_units
from analysis.metrics.columns import MEASURES
from analysis.metrics.measures import complete
from interventions.arguments import check_columns
from interventions.errors import InvalidInput, one_of
from tracking.measures import Error

_SIDES = ("intervention", "partner")


@dataclass(frozen=True)
class BestMethod:
    """The method with the lowest measure, and whether it may be called the best.

    Attributes:
        method: its name, with what sets a variant of it apart, as ``wanda (samples=64)``.
        value: its measure, the mean over the cells that all methods have.
        cells: how many these are.
        units: how many edit batches or seeds all methods have in common, at least.
        is_best: whether a test says that every rival is worse.
        p: of the closest rival, two-sided; NaN where there is no test.
        rival_columns: of ``rivals``; each has the shape (rivals,).
        confidence: of the intervals and tests.
    """

    method: str
    value: float
    cells: int
    units: int
    is_best: bool
    p: float
    rival_columns: Mapping[str, Sequence[str] | np.ndarray]
    confidence: float = CONFIDENCE

    @property
    def rivals(self) -> pd.DataFrame:
        """A row per rival, the closest first.

        ``method, value``; ``margin``, how much worse it is, with ``low, high``; ``p``.
        """
        return pd.DataFrame(dict(self.rival_columns))


def best_method(
    runs: pd.DataFrame,
    points: pd.DataFrame,
    items: pd.DataFrame | None = None,
    side: str = "partner",
    measure: str = "order_free_error",
    confidence: float = CONFIDENCE,
    error: Error = "best",
) -> BestMethod | None:
    """Return which of some methods composes best, over all that they were composed with.

    Methods are compared over the cells (what they were composed with, and the level) that all of
    them have, and over the units that all cells have.

    Args:
        runs: what ``points`` were computed from.
        points: rows of ``composability.point``, of one criterion.
        items: rows of ``tracking.query.items``, of the last step.
        side: which side of the points the methods are, "partner" or "intervention".
        measure: "order_free_error" or "order_sensitivity".
        confidence: of the test of each rival.
        error: as ``points`` were computed with.

    Returns:
        None where there are no two methods, or no cell is common to all.

    Raises:
        InvalidInput: the points are of several criteria, of one that has no good direction, or of
            other runs.
    """
    check_confidence(confidence)
    one_of("side", side, _SIDES)
    one_of("measure", measure, MEASURES)
    check_columns("points", points, ("criterion", "better", "level", "point", *_SIDES))
    points = points[complete(points)].reset_index(drop=True)
    criteria = list(points.criterion.unique())
    if len(criteria) > 1:
        raise InvalidInput(f"points must be of one criterion, but are of {', '.join(criteria)}")
    cells = _cells(points, side)
    if len(cells) < 2 or not next(iter(cells.values())):
        return None
    better = points.better.unique().item()
    if better == "neither":
        raise InvalidInput(f"no method is the best by {criteria[0]}: neither direction is better")
    units = collect_units(runs, points)
    combiner = Combiner(units, points, items_of_points(units, points, items))
    sums = {
        method: [
            term
            for position in positions
            for term in measure_terms(combiner, position, better, measure, error, len(positions))
        ]
        for method, positions in cells.items()
    }
    is_error_of_share = measure == MEASURES[0] and better == "higher"
    contest = Contest(sums, constant=1.0 if is_error_of_share else 0.0)
    return compare_methods(combiner, [contest], confidence)[0]


def _cells(points: pd.DataFrame, side: str) -> dict[str, list[int]]:
    """Return the positions of each method's points, at equal places for what they share."""
    other = _SIDES[1 - _SIDES.index(side)]
    variants = points[f"{side}_variant"]
    methods = points[side].where(variants == "", points[side] + " (" + variants + ")")
    key = [points[other], points[f"{other}_variant"], points.level, points.context]
    frame = pd.DataFrame({"method": methods, "position": points.index})
    frame["cell"] = points.groupby(key, dropna=False).ngroup()
    wide = frame.pivot_table(index="cell", columns="method", values="position", aggfunc="first")
    shared = wide.dropna()
    return {str(method): shared[method].astype(int).tolist() for method in wide.columns}


def measure_terms(
    combiner: Combiner, position: int, better: str, measure: str, error: Error, count: int
) -> list[Term]:
    """Return a point's measure as a sum over units, but for a constant.

    The order that is better (or worse), and the sign of the difference, are those of all units.

    Args:
        combiner: of the points.
        position: of the point.
        better: which direction is good.
        measure: "order_free_error" or "order_sensitivity".
        error: which order counts.
        count: of the points over which the mean is taken.
    """
    forward, backward = combiner.means(position)
    if measure == MEASURES[1]:
        sign = np.sign(forward - backward) / count
        return [(position, sign, -sign)]
    forward_is_higher = forward >= backward
    takes_higher = (better == "higher") == (error == "best")
    weight = (-1.0 if better == "higher" else 1.0) / count
    if forward_is_higher == takes_higher:
        return [(position, weight, 0.0)]
    return [(position, 0.0, weight)]


@dataclass(frozen=True)
class Contest:
    """Methods that are compared with each other.

    Attributes:
        terms: method to the terms of its measure, at least two methods.
        constant: what the sum of the terms lacks to be the measure.
    """

    terms: Mapping[str, Sequence[Term]]
    constant: float = 0.0

    def everywhere(self) -> list[Term]:
        """Return the terms without weight: they leave out units that one of the methods lacks."""
        return [(term[0], 0.0, 0.0) for terms in self.terms.values() for term in terms]


def compare_methods(
    combiner: Combiner, contests: Sequence[Contest], confidence: float
) -> list[BestMethod | None]:
    """Return the method with the lowest sum of each contest, and the tests against its rivals.

    Args:
        combiner: of the points.
        contests: of methods.
        confidence: of each test.

    Returns:
        One per contest; None where its methods have no unit in common.
    """
    entries = [(contest, name) for contest in contests for name in contest.terms]
    means = combiner.moments(
        [[*contest.terms[name], *contest.everywhere()] for contest, name in entries]
    ).mean
    of_contest = iter(means)
    values = [{name: float(next(of_contest)) for name in contest.terms} for contest in contests]
    rankings = [sorted(of_name, key=lambda name: of_name[name]) for of_name in values]
    margins = []
    for contest, ranking in zip(contests, rankings, strict=True):
        opposite = [(position, -a, -b) for position, a, b in contest.terms[ranking[0]]]
        everywhere = [*opposite, *contest.everywhere()]
        margins += [[*contest.terms[name], *everywhere] for name in ranking[1:]]
    moments = combiner.moments(margins)
    estimates = estimate(moments, confidence)
    columns = {
        "margin": moments.mean,
        "low": estimates.low,
        "high": estimates.high,
        "p": estimates.p,
        "units": moments.units,
    }
    outcomes: list[BestMethod | None] = []
    start = 0
    for contest, of_name, ranking in zip(contests, values, rankings, strict=True):
        end = start + len(ranking) - 1
        measured = {name: column[start:end] for name, column in columns.items()}
        start = end
        if np.isnan(list(of_name.values())).any():
            outcomes.append(None)
        else:
            outcomes.append(_outcome(contest, of_name, ranking, measured, confidence))
    return outcomes


def _outcome(
    contest: Contest,
    values: Mapping[str, float],
    ranking: list[str],
    measured: dict[str, np.ndarray],
    confidence: float,
) -> BestMethod:
    units = measured.pop("units")
    terms = next(iter(contest.terms.values()))  # all methods have as many cells
    rival_values = [values[name] + contest.constant for name in ranking[1:]]
    closest = float(np.max(measured["p"]))  # NaN where one rival cannot be tested
    return BestMethod(
        method=ranking[0],
        value=values[ranking[0]] + contest.constant,
        cells=len({position for position, *_ in terms}),
        units=int(units.min()),
        is_best=bool(may_claim(np.array([closest]), confidence)[0]),
        p=closest,
        rival_columns={"method": ranking[1:], "value": np.array(rival_values), **measured},
        confidence=confidence,
    )
