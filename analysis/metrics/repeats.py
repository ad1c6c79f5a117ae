"""Of runs that repeat each other, choose the one that counts."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def without_repeats(
    runs: pd.DataFrame, key: Sequence[str], criteria: Sequence[str]
) -> pd.DataFrame:
    """Return one run of all that are equal in some columns, in the order that they came in.

    Of repeats that counts which measured most of the criteria, of these the first: a later run
    that was asked for one criterion does not hide what an earlier one says of the others.

    Args:
        runs: newest first, each with an index of its own.
        key: columns in which repeats are equal.
        criteria: columns; NaN where a run did not measure one.

    Example:
        >>> runs = pd.DataFrame({"job": [1, 1, 2], "wmdp": [0.4, 0.4, 0.5], "mmlu": [None, 0.8, 0]})
        >>> without_repeats(runs, ["job"], ["wmdp", "mmlu"]).index.tolist()
        [1, 2]
    """
    measured = runs[list(criteria)].notna().sum(axis=1)
    by_measured = runs.loc[measured.sort_values(ascending=False, kind="stable").index]
    chosen = by_measured.drop_duplicates(list(key)).index
    return runs[runs.index.isin(chosen)]
