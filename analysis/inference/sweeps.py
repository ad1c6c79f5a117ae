"""Does the order matter at some level of a sweep? One test per pair and criterion."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.inference.corrections import benjamini_hochberg, holm, may_claim
from analysis.inference.procedures import FEWEST_UNITS
from analysis.metrics.columns import CURVE
from interventions.arguments import check_columns, checked

_TESTED = ("level", "gain", "gain_low", "gain_high", "p_claim", "units")
_CONFIDENCE = 0.95  # of all claims together, where none is given


@checked
def sweep_tests(points: pd.DataFrame, confidence: float = _CONFIDENCE) -> pd.DataFrame:
    """Return for each pair and criterion whether the order matters at one level at least.

    Holm's first step over the levels: the smallest p times the number of levels that have enough
    units for a test. A level whose units tie counts among them and shows nothing.

    Args:
        points: rows of ``intervals``, with every level.
        confidence: 1 less it is the error of all claims together, over the rows.

    Returns:
        A row per pair, criterion and setting that has a level with a test: the columns
        ``analysis.metrics.columns.CURVE``; ``levels``, how many were tested; ``level``, at which
        the difference shows most, with its ``gain, gain_low, gain_high, units``; ``p``, over the
        levels; ``p_holm`` and ``q``, over the rows; ``differs``.

    Raises:
        InvalidInput: the points have no intervals.
    """
    check_columns("points", points, (*CURVE, *_TESTED))
    points = points.reset_index(drop=True)
    may_test = points[(points.units >= FEWEST_UNITS) & points.gain.notna()]
    ranked = may_test.sort_values("p_claim", kind="stable")  # levels without a test come last
    groups = ranked.groupby(CURVE, dropna=False)
    first = ranked[groups.cumcount() == 0]
    counts = groups["level"].transform("size")[first.index]
    tests = first[[*CURVE, "level", "gain", "gain_low", "gain_high", "units"]].assign(
        levels=counts, p=np.minimum(first.p_claim * counts, 1)
    )
    tests = tests[tests.p.notna()].sort_index().reset_index(drop=True)
    p_holm = holm(tests.p.to_numpy(float))
    return tests.assign(
        p_holm=p_holm,
        q=benjamini_hochberg(tests.p.to_numpy(float)),
        differs=may_claim(p_holm, confidence),
    )
