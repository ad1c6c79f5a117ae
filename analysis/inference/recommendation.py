"""What a recommendation holds."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

# what may be said of the two orders
BETTER = "better"  # a test says so, on average over the levels
DEPENDS = "depends"  # tests say that one order is better at one level, and not at another
LEVELS = "levels"  # tests say so at some levels, but not on average
UNTOLD = "untold"  # no test says so
EQUAL = "equal"  # all numbers are
PRINTED = "printed"  # by numbers that were printed, and cannot be tested
INFINITE = "infinite"  # an infinite value decides, or two that oppose each other
BOUNDS = "bounds"  # at no level are both orders within the bounds
NEITHER = "neither"  # no level of either order is within the bounds

ITEMS_ONLY = "items only"
USEFUL_GAIN = 0.05  # the score for which the number of units that it needs is said


@dataclass(frozen=True)
class Recommendation:
    """Which order of a pair to choose, and why.

    Attributes:
        order: (first, second), the order with the larger score, or the only one within the bounds;
            the forward one where they tie.
        verdict: what may be said: "better" (a test says so, on average over the levels),
            "depends" (tests say that it depends on the level), "levels" (tests say so at some
            levels only), "untold" (no test says so), "equal" (all numbers are), "printed" (numbers
            that cannot be tested), "infinite", "bounds" (at no level are both orders within them;
            this one is at most), "neither" (no order is).
        score: how much better this order is: the weighted mean of the criteria's gains, averaged
            over the levels at which both orders are within the bounds; NaN where there is none.
        low: lower end of the score's interval; NaN where there is none.
        high: its upper end.
        p: of the test that the score is 0; NaN where no test holds its level.
        p_holm: the same, corrected for the tests of the single levels.
        differs: whether ``p_holm`` is small enough to say that this order is better.
        units: how many edit batches (or seeds) with weights of their own each level has, at least.
        kind: what the units are: "edit batches", "seeds", or "this batch only", where there is one
            edit batch, and several seeds at most; "" where nothing counts.
        basis: what the interval is over: "edit batches", "seeds", with " and items" where it
            reckons with other questions too; "this batch only" or "items only", of which no test
            can be made; "" where there is no interval.
        needed: how many units would show a score of 0.05 in 8 of 10 cases; inf where no number
            would, as the questions are too few; NaN where that is not known.
        replicates: how many seeds and edit batches both orders have at each level, at least.
        levels: a row per level: ``strength, level, order, score, low, high, p, p_holm, differs,
            units, basis``, and ``within``: "both", "forward", "backward" or "neither" order is
            within the bounds. A score is that of the row's order.
        criteria: a row per criterion: ``weight``, the mean over levels in this order (``chosen``)
            and in the opposite one (``other``), ``gain`` in the good direction with ``low``,
            ``high`` and ``p``, uncorrected. Gains are differences, for criteria to be forgotten
            above chance only; where values have no upper bound (perplexity, bits), halvings:
            log2(other / chosen).
        settings: a row per order and level: every criterion, ``within`` the bounds, and whether no
            setting within them is at least as good in all weighted criteria (and in what measures a
            compression, such as average bits) and better in one: ``pareto``.
        words: all of it in a few sentences.
    """

    order: tuple[str, str]
    verdict: str
    score: float
    low: float
    high: float
    p: float
    p_holm: float
    differs: bool
    units: int
    kind: str
    basis: str
    needed: float
    replicates: int
    levels: pd.DataFrame
    criteria: pd.DataFrame
    settings: pd.DataFrame
    words: str

    def __str__(self) -> str:
        return self.words
