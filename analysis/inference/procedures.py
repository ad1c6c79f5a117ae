"""The procedures by which a difference between two orders is estimated and tested, as arrays.

Every function takes arrays of one shape, a value per point, and returns such arrays: `intervals`
and the simulation that measures how often the procedures are wrong run through the same lines.

Notation, for a difference d of unit u (an edit batch, or a seed) and item i (an edit, a question):
the variance s2 between the units' means; the variance e of a unit's mean that comes from what
item and unit do together; the variance j of the mean over units that comes from the items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

FEWEST_UNITS = 3  # that a test needs: two units show a direction, one shows nothing
# a spread that is smaller than this share of the values is rounding: the units tie
_ROUNDING = 1e-9
# below this many items' worth of difference the distribution of a mean is far from normal
_FEW_DIFFERENCES = 6.0


@dataclass(frozen=True)
class Moments:
    """What is known of some differences; every attribute has the shape (points,).

    Attributes:
        mean: over the units.
        scale: how large the values are that were subtracted, against which rounding is judged.
        units: how many distinct ones there are.
        is_sample: whether they stand for others, which seeds of a single batch of edits do not.
        variance: s2, between the units' means; NaN for fewer than two.
        crossed: whether all units have the same items, whose share does not shrink with the units.
        bounded: whether an item's difference lies within -1 and 1 (a value within 0 and 1).
        items: how many there are: of all units together, or of one where they are crossed; 0 where
            their scores are not known.
        total: the sum of the items' differences; where they are crossed, of their means.
        squares: the sum of the squares of the same.
        differing: how many items' worth of difference there is, by which a score is near its end.
        single: whether these are no differences, but values of one order, less 1/2 where they are
            bounded.
        item_variance: j; for one unit, the variance of its mean.
        residual: e; NaN where it is not defined.
    """

    mean: np.ndarray
    scale: np.ndarray
    units: np.ndarray
    is_sample: np.ndarray
    variance: np.ndarray
    crossed: np.ndarray
    bounded: np.ndarray
    items: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    differing: np.ndarray
    single: bool
    item_variance: np.ndarray
    residual: np.ndarray

    def has_spread(self) -> np.ndarray:
        """Return whether there are several units, and they differ by more than rounding."""
        smallest = (_ROUNDING * np.maximum(self.scale, _ROUNDING)) ** 2
        with np.errstate(invalid="ignore"):  # NaN, of one unit, is not greater
            return (self.units > 1) & (self.variance > smallest)


@dataclass(frozen=True)
class Estimates:
    """What follows from moments; every attribute has the shape (points,).

    Attributes:
        low: lower end of the interval; NaN where nothing is known.
        high: upper end.
        se: the standard error; NaN likewise.
        df: its degrees of freedom.
        p: two-sided, of no difference; NaN where no test is allowed: fewer than ``FEWEST_UNITS``
            units, units that tie, or that are no sample.
        p_claim: the same with no more degrees of freedom than twice those of the units, by which it
            holds its level far out in the tail, where a correction for many tests looks.
        over_units: whether the standard error is that between units; else it is of items alone.
    """

    low: np.ndarray
    high: np.ndarray
    se: np.ndarray
    df: np.ndarray
    p: np.ndarray
    p_claim: np.ndarray
    over_units: np.ndarray


def estimate(moments: Moments, confidence: float) -> Estimates:
    """Return intervals and tests of the mean differences.

    Over units with different items: Student's t. Over units with the same items: the variance is
    j + max(s2 - e, 0) / units, with degrees of freedom as in ``_crossed``. Where there is one unit,
    or the units tie: the items alone, with Agresti and Min's pseudo-counts where an item's
    difference is bounded. Where few items differ the wider of both counts.

    Args:
        moments: of the differences.
        confidence: of the intervals, between 0 and 1.
    """
    over_units = moments.has_spread()
    se, df, claim_df = _over_units(moments)
    centre, item_se, item_df = _over_items(moments)
    within_bounds = moments.bounded & moments.single
    low, high = _interval(moments.mean, se, df, confidence)
    share_low, share_high = _share_interval(moments, se, df, confidence)
    low = np.where(within_bounds, share_low, low)
    high = np.where(within_bounds, share_high, high)
    item_low, item_high = _interval(centre, item_se, item_df, confidence)
    is_sparse = moments.bounded & (moments.differing < _FEW_DIFFERENCES)
    low = np.where(over_units, np.where(is_sparse, np.fmin(low, item_low), low), item_low)
    high = np.where(over_units, np.where(is_sparse, np.fmax(high, item_high), high), item_high)
    may_test = over_units & moments.is_sample & (moments.units >= FEWEST_UNITS)
    with np.errstate(all="ignore"):  # no standard error: no test, NaN
        statistic = np.where(may_test, np.abs(moments.mean) / se, np.nan)
    return Estimates(
        low=low,
        high=high,
        se=np.where(over_units, se, item_se),
        df=np.where(over_units, df, item_df),
        p=2 * stats.t.sf(statistic, df),
        p_claim=2 * stats.t.sf(statistic, claim_df),
        over_units=over_units,
    )


def _over_units(moments: Moments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return standard error, df, and df for claims, of units that are a sample."""
    units = moments.units.astype(float)
    has_items = moments.crossed & (moments.items > 1)
    nested_df = np.maximum(units - 1, 1)
    with np.errstate(all="ignore"):  # one unit: NaN, replaced by the items'
        nested_variance = moments.variance / units
        variance, df, claim_df = _crossed(moments)
    variance = np.where(has_items, variance, nested_variance)
    dfs = (np.where(has_items, of_crossed, nested_df) for of_crossed in (df, claim_df))
    return (np.sqrt(variance), *dfs)


def _crossed(moments: Moments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the variance of the mean where all units have the same items, its df, and for claims.

    Two-way random effects without replication: the items' share, the residual's included, and the
    units' own, not below 0. Satterthwaite's df of that is too large where the units vary little,
    and with s2 itself in place of their share too small: the geometric mean holds (simulated). For
    claims the smaller one, and at most twice the units' own, as the normal tails end there.
    """
    units, items = moments.units.astype(float), moments.items.astype(float)
    spread, residual, of_items = moments.variance, moments.residual, moments.item_variance
    of_units = np.maximum(spread - residual, 0) / units
    variance = of_items + of_units
    item_part = of_items**2 / (items - 1)
    liberal = variance**2 / (of_units**2 / (units - 1) + item_part)
    residual_part = (residual / units) ** 2 / ((units - 1) * (items - 1))
    strict = variance**2 / ((spread / units) ** 2 / (units - 1) + item_part + residual_part)
    df = np.maximum(np.sqrt(liberal * strict), 1)
    return variance, df, np.maximum(np.minimum(strict, 2 * (units - 1)), 1)


def _over_items(moments: Moments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centre, standard error and df from the items alone; NaN where they do not tell.

    Source: Agresti and Min 2005, "Simple improved confidence intervals for comparing matched
    proportions": half an item in each cell of the paired table, that is two items more, one of
    which differs. For one order: Agresti and Coull 1998, two right and two wrong answers more.
    """
    count = moments.items.astype(float)
    # their squares sum to 1: two of 1 and 0, or four of 1/2
    all_items = count + (4 if moments.single else 2)
    with np.errstate(all="ignore"):  # no items: NaN
        centre = moments.total / all_items
        variance = ((moments.squares + 1) / all_items - centre**2) / all_items
        exact = np.where(moments.item_variance > 0, moments.item_variance, np.nan)
    centre = np.where(moments.bounded, centre, moments.mean)
    se = np.sqrt(np.where(moments.bounded, variance, exact))
    knows = moments.items > 1
    return centre, np.where(knows, se, np.nan), np.maximum(count - 1, 1)


def _interval(
    centre: np.ndarray, se: np.ndarray, df: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    half = stats.t.ppf((1 + confidence) / 2, df) * se
    return centre - half, centre + half


def _share_interval(
    moments: Moments, se: np.ndarray, df: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of a mean share, less 1/2, by Student's t on the scale of log odds.

    Near 0 and 1 the units' shares are skewed: t on their own scale covers 70 to 90 % (simulated).
    """
    count = moments.items.astype(float)
    with np.errstate(
        all="ignore"
    ):  # without items the mean as it is: where units differ it is inside
        share = np.where(
            count > 0, (moments.total + count / 2 + 1) / (count + 2), moments.mean + 0.5
        )
        half = stats.t.ppf((1 + confidence) / 2, df) * se / (share * (1 - share))
        low, high = (
            special.expit(special.logit(share) - half),
            special.expit(special.logit(share) + half),
        )
    return low - 0.5, high - 0.5


def sums_of_items(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of scores, and that of their squares, over the last axis."""
    return scores.sum(axis=-1), np.square(scores).sum(axis=-1)


def item_moments(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return j and e of items that all units have.

    Args:
        differences: shape (…, units, items), at least two items.

    Returns:
        The variance of the mean that comes from the items, and that of a unit's mean that comes
        from item and unit together (NaN for one unit); each of shape (…).
    """
    units, items = differences.shape[-2:]
    item_means = differences.mean(axis=-2, keepdims=True)
    of_items = item_means[..., 0, :].var(axis=-1, ddof=1) / items
    if units < 2:
        return of_items, np.full_like(of_items, np.nan)
    unit_means = differences.mean(axis=-1, keepdims=True)
    grand = item_means.mean(axis=-1, keepdims=True)
    residuals = differences - item_means - unit_means + grand
    mean_square = np.square(residuals).sum(axis=(-2, -1)) / ((units - 1) * (items - 1))
    return of_items, mean_square / items
