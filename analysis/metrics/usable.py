"""Leave out the runs that say nothing usable: anybody may log runs into an experiment."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis import labels
from analysis.metrics.columns import POINT, VARIANT
from tracking.catalogue import Catalogue, is_readable

# columns that are computed, which a param of the same name would stand in the way of
_COMPUTED = (*POINT, *VARIANT, "forward", "backward", "point", "settings", "strength", "level")
_EMPTY = "none"  # the pair of a run without interventions


def usable(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the runs that can be compared, and sentences on those that cannot.

    Args:
        runs: rows of ``tracking.query.compositions``; an own run is always usable.
    """
    runs = runs.drop(columns=[name for name in _COMPUTED if name in runs])
    if not len(runs) or "pair" not in runs:
        return runs, []
    of_runs = runs.reindex(columns=["pair", "step1", "step2"])
    columns = [of_runs[name].tolist() for name in of_runs]
    states_steps = pd.Series(map(_states_steps, *columns), index=runs.index, dtype=bool)
    has_facts = is_readable(runs)
    reasons = {
        "whose params do not say which interventions they are of": int((~states_steps).sum()),
        "whose tags on interventions or criteria cannot be read": int(
            (states_steps & ~has_facts).sum()
        ),
    }
    left_out = [f"{labels.counted(count, 'run')} {why}" for why, count in reasons.items() if count]
    return runs[states_steps & has_facts], left_out


def as_numbers(runs: pd.DataFrame, catalogue: Catalogue) -> pd.DataFrame:
    """Return runs whose criteria are numbers: a param of a criterion's name is no value of it."""
    texts = [
        name
        for name in catalogue.criteria
        if name in runs and not pd.api.types.is_numeric_dtype(runs[name].dtype)
    ]
    return runs.assign(**{name: pd.to_numeric(runs[name], errors="coerce") for name in texts})


def _states_steps(pair: Any, *steps: Any) -> bool:
    """Return whether a run's pair and its first steps are text and agree."""
    if not isinstance(pair, str):
        return False
    names = [] if pair == _EMPTY else pair.split(" + ")
    return all(step in names for step in steps[: len(names)])
