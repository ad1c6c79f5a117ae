"""Pair the runs of both orders, replicate by replicate: what everything else is computed from.

Runs are compared only if all their settings and hyperparameters are equal, except the level (the
strength that a sweep turns), the seed and the edit batch. The two orders of a pair are matched by
seed and edit batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import labels
from analysis.metrics.columns import POINT, REPLICATE, VARIANT
from analysis.metrics.groups import canonical
from analysis.metrics.repeats import without_repeats
from analysis.metrics.settings import describe_settings
from analysis.metrics.usable import as_numbers, usable
from interventions.errors import InvalidInput
from tracking.catalogue import Catalogue

EMPTY = "none"  # the pair of a run without interventions
NO_RUN = -1  # in place of a run's position
_ABSENT = -1  # a seed or an edit batch that a run does not state
_TWICE = 99  # steps of a run that applies one intervention twice


@dataclass(frozen=True)
class Orders:
    """Runs of pairs, with both orders beside each other.

    Attributes:
        frame: a row per point and replicate: ``point``, its number; ``POINT``, ``VARIANT``,
            ``REPLICATE``; and the positions in ``runs`` of the two orders' runs, ``forward``
            (intervention first) and ``backward``; -1 where there is none.
        runs: the runs of pairs, positions 0, 1, ….
        alone: the runs of one intervention or none, described likewise (``partner`` is empty).
        criteria: the criteria that the runs have.
        catalogue: what is known of interventions and criteria.
        left_out: sentences on the runs that are not used.
    """

    frame: pd.DataFrame
    runs: pd.DataFrame
    alone: pd.DataFrame
    criteria: list[str]
    catalogue: Catalogue
    left_out: list[str]

    def values(self, order: str, criteria: list[str]) -> np.ndarray:
        """Return the criteria of one order, aligned with the rows of ``frame``.

        Args:
            order: "forward" or "backward".
            criteria: names, one per column.

        Returns:
            Shape (rows of ``frame``, criteria); NaN where there is no run.
        """
        measured = self.runs[criteria].to_numpy(float)
        # position -1, of a run that is not there, is the last row
        table = np.vstack([measured, np.full(len(criteria), np.nan)])
        return table[self.frame[order].to_numpy()]


def both_orders(runs: pd.DataFrame) -> Orders:
    """Return the runs of both orders, aligned by level, settings, seed and edit batch.

    Args:
        runs: rows of ``tracking.query.compositions``, newest first.

    Raises:
        InvalidInput: no run is a pair, or no pair was run in both orders.
    """
    runs, unusable = usable(runs)
    catalogue = Catalogue.from_runs(runs)
    runs = as_numbers(runs, catalogue)
    ended = finished(runs) if len(runs) else runs
    steps = count_steps(ended)
    if not (steps == 2).any():
        names = _first_values(runs, "run_name")
        reasons = "".join(f"; {sentence}" for sentence in unusable)
        raise InvalidInput(
            f"no finished run is a pair of interventions; there are: {names}{reasons}"
        )
    described = described_runs(ended[steps <= 2], catalogue)
    criteria = criteria_of(described, catalogue)
    once = without_repeats(described, [*POINT, *REPLICATE, "forward"], criteria)
    left_out = unusable + _left_out(runs, ended, steps, len(described) - len(once))
    described = once
    pairs = described[described.partner != ""].reset_index(drop=True)
    alone = described[described.partner == ""].reset_index(drop=True)
    frame = _match_orders(pairs)
    if not ((frame.forward != NO_RUN) & (frame.backward != NO_RUN)).any():
        names = _first_values(pairs, "run_name")
        raise InvalidInput(
            f"no pair was run in both orders with equal settings; there are: {names}"
        )
    return Orders(frame, pairs, alone, criteria, catalogue, left_out)


def finished(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that ended well; all of them where there is no column ``status``."""
    return runs[runs.status == "FINISHED"] if "status" in runs else runs


def criteria_of(runs: pd.DataFrame, catalogue: Catalogue) -> list[str]:
    """Return the criteria that at least one run has, in the catalogue's order."""
    return [name for name in catalogue.criteria if name in runs and runs[name].notna().any()]


def count_steps(runs: pd.DataFrame) -> pd.Series:
    """Count the planned interventions, without recompressions: 1 where there are none.

    A run that applies one intervention twice has 99.
    """
    if "pair" not in runs:
        return pd.Series(dtype=object)
    return runs.pair.map(_count_planned)


def _count_planned(pair: str) -> int:
    names = pair.split(" + ")
    return len(names) if len(set(names)) == len(names) else _TWICE


def described_runs(runs: pd.DataFrame, catalogue: Catalogue) -> pd.DataFrame:
    """Return the runs with ``POINT``, ``VARIANT``, ``REPLICATE`` and ``forward``."""
    runs = runs.reset_index(drop=True)
    runs = runs.join(_name_pairs(runs, catalogue))
    runs = runs.join(describe_settings(runs, catalogue))
    for column in REPLICATE:
        # the paper's rows state neither seed nor edit batch: each is one replicate
        stated = runs[column] if column in runs else pd.Series(pd.NA, index=runs.index)
        runs[column] = stated.astype("Int64").fillna(_ABSENT).astype("int64")
    runs["forward"] = runs.step1 == runs.intervention
    return runs


def _name_pairs(runs: pd.DataFrame, catalogue: Catalogue) -> pd.DataFrame:
    """Return ``intervention, partner, strength, level`` of each run."""
    by_pair = {}
    for pair in runs.pair.unique():
        names = () if pair == EMPTY else canonical(pair.split(" + "), catalogue)
        intervention, partner = (*names, "", "")[:2]
        by_pair[pair] = (intervention, partner, _strength_of_pair(names, runs, catalogue))
    named = pd.DataFrame(
        list(runs.pair.map(by_pair)),
        columns=["intervention", "partner", "strength"],
        index=runs.index,
    )
    named["level"] = np.nan
    for strength in set(named.strength) - {""}:
        rows = named.strength == strength
        named.loc[rows, "level"] = pd.to_numeric(runs.loc[rows, strength], errors="coerce")
    return named


def _strength_of_pair(names: tuple[str, ...], runs: pd.DataFrame, catalogue: Catalogue) -> str:
    """Return the column of the partner's strength, else of the intervention's; "" without one."""
    # compression is written last, and its level is what the paper sweeps
    for name in reversed(names):
        facts = catalogue.interventions.get(name)
        column = f"{name}.{facts.strength}" if facts and facts.strength else ""
        if column in runs:
            return column
    return ""


def _match_orders(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return a row per point and replicate, with the positions of both orders' runs."""
    key = [*POINT, *VARIANT, *REPLICATE]
    sides = []
    for order, is_forward in (("forward", True), ("backward", False)):
        side = pairs.loc[pairs.forward == is_forward, key]
        sides.append(side.assign(**{order: side.index}))
    # an order that was not run stays as a gap, so that it can be named; the rows are sorted by key
    both = sides[0].merge(sides[1], on=key, how="outer")
    both[["forward", "backward"]] = both[["forward", "backward"]].fillna(NO_RUN).astype("int64")
    both["point"] = both.groupby(POINT, dropna=False).ngroup()
    return both


def _left_out(runs: pd.DataFrame, ended: pd.DataFrame, steps: pd.Series, repeats: int) -> list[str]:
    """Return a sentence for each reason for which runs are not used."""
    longer, twice = (steps > 2) & (steps < _TWICE), steps == _TWICE
    counts = {
        "that did not finish": len(runs) - len(ended),
        "of three and more interventions: composability is defined for two": int(longer.sum()),
        "of one intervention applied twice: there is no order to compare": int(twice.sum()),
        "repeated with equal settings, seed and edit batch (that which measured most counts, of"
        " these the latest)": repeats,
    }
    return [f"{labels.counted(count, 'run')} {why}" for why, count in counts.items() if count]


def _first_values(runs: pd.DataFrame, column: str, most: int = 6) -> str:
    """Return the first few distinct values, in words."""
    values = list(dict.fromkeys(runs[column])) if column in runs else []
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return (", ".join(map(str, values[:most])) + more) or "none"
