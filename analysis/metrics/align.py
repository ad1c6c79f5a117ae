"""Both orders of every pair side by side, replicate by replicate: what everything else is computed from.

Runs are compared only if all their settings and hyperparameters are equal, except the level (the strength that a sweep
turns), the seed and the edit batch. The two orders of a pair are matched by seed and edit batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import labels
from interventions.errors import InvalidInput
from tracking.catalogue import Catalogue
from tracking.query import BOOKKEEPING

CATEGORIES = (
    "editing",
    "unlearning",
    "compression",
)  # the paper writes edits and unlearning before compression
POINT = ["intervention", "partner", "strength", "level", "settings"]
VARIANT = ["context", "intervention_variant", "partner_variant"]
REPLICATE = ["seed", "edit_batch"]
_ABSENT = -1  # a seed or an edit batch that a run does not state
_MAIN = ("model", "data")  # always part of the context that is shown
EMPTY = "none"
_TWICE = 99


@dataclass(frozen=True)
class Orders:
    """Aligned runs.

    Attributes:
        frame: a row per point and replicate: ``point``, its number; ``POINT``, ``VARIANT``, ``REPLICATE``; and the
            positions in ``runs`` of the two orders' runs, ``forward`` (intervention first) and ``backward``; -1 where
            there is none.
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
        """A criterion per column, a row per row of ``frame``; NaN where there is no run. Shape (rows, criteria)."""
        table = np.vstack(
            [self.runs[criteria].to_numpy(float), np.full((1, len(criteria)), np.nan)]
        )
        return table[self.frame[order].to_numpy()]


def finished(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that ended well."""
    return runs[runs.status == "FINISHED"] if "status" in runs else runs


def both_orders(runs: pd.DataFrame) -> Orders:
    """Match the two orders of every pair of different interventions.

    Args:
        runs: rows of ``tracking.query.compositions``, newest first.

    Raises:
        InvalidInput: no run is a pair, or no pair was run in both orders.
    """
    catalogue = Catalogue.of(runs)
    used = finished(runs) if len(runs) else runs
    steps = _steps(used)
    if not (steps == 2).any():
        raise InvalidInput(
            f"no finished run is a pair of interventions; there are: {_some(runs, 'run_name')}"
        )
    few = used[steps <= 2].reset_index(drop=True)
    few = few.join(_named(few, catalogue))
    few = few.join(_settings(few, catalogue))
    for column in REPLICATE:
        known = few[column] if column in few else pd.Series(pd.NA, index=few.index)
        few[column] = known.astype("Int64").fillna(_ABSENT).astype("int64")
    few["forward"] = few.step1 == few.intervention
    once = ~few.duplicated([*POINT, *REPLICATE, "forward"])  # the newest of repeats
    left_out = _left_out(runs, used, steps, int((~once).sum()))
    few = few[once]
    pairs, alone = (
        few[there].reset_index(drop=True) for there in (few.partner != "", few.partner == "")
    )
    frame = _matched(pairs)
    if not ((frame.forward >= 0) & (frame.backward >= 0)).any():
        raise InvalidInput(
            f"no pair was run in both orders with equal settings; there are: {_some(pairs, 'run_name')}"
        )
    return Orders(frame, pairs, alone, criteria_of(few, catalogue), catalogue, left_out)


def _steps(runs: pd.DataFrame) -> pd.Series:
    """How many interventions were planned (0, 1, 2, …): recompressions are not counted; one twice counts as 99."""
    names = runs.pair.str.split(" + ", regex=False) if "pair" in runs else pd.Series(dtype=object)
    return names.map(
        lambda pair: 0 if pair == [EMPTY] else len(pair) if len(set(pair)) == len(pair) else _TWICE
    )


def criteria_of(runs: pd.DataFrame, catalogue: Catalogue) -> list[str]:
    """The criteria that at least one run has, in the catalogue's order."""
    return [name for name in catalogue.criteria if name in runs and runs[name].notna().any()]


def canonical(names: Iterable[str], catalogue: Catalogue) -> tuple[str, ...]:
    """(intervention, partner): edits before unlearning before compression, then by name."""
    return tuple(sorted(names, key=lambda name: (_rank(name, catalogue), name)))


def _rank(name: str, catalogue: Catalogue) -> int:
    facts = catalogue.interventions.get(name)
    return (
        CATEGORIES.index(facts.category)
        if facts is not None and facts.category in CATEGORIES
        else len(CATEGORIES)
    )


def _named(runs: pd.DataFrame, catalogue: Catalogue) -> pd.DataFrame:
    """``intervention, partner, strength, level``: the level is the partner's strength, else the intervention's."""
    known: dict[str, tuple[str, str, str]] = {}
    for pair in runs.pair.unique():
        names = () if pair == EMPTY else canonical(pair.split(" + "), catalogue)
        turned = [
            f"{name}.{facts.strength}"
            for name in reversed(names)
            if (facts := catalogue.interventions.get(name))
            and facts.strength
            and f"{name}.{facts.strength}" in runs
        ]
        intervention, partner = (*names, "", "")[:2]
        known[pair] = (intervention, partner, turned[0] if turned else "")
    named = pd.DataFrame(
        list(runs.pair.map(known)),
        columns=["intervention", "partner", "strength"],
        index=runs.index,
    )
    named["level"] = np.nan
    for strength in set(named.strength) - {""}:
        rows = named.strength == strength
        named.loc[rows, "level"] = pd.to_numeric(runs.loc[rows, strength], errors="coerce")
    return named


def settings_of(runs: pd.DataFrame, catalogue: Catalogue) -> list[str]:
    """Every column that is a setting: not bookkeeping, a replicate, a criterion or another metric (a float, no dot)."""
    columns = []
    for name in runs.columns:
        described = (
            name in BOOKKEEPING
            or name in ("composition", "pair", "recompressed")
            or name.startswith("step")
        )
        if described or name in (*REPLICATE, *POINT, *catalogue.criteria) or "/" in name:
            continue
        if "." in name or not pd.api.types.is_float_dtype(runs[name].dtype):
            columns.append(name)
    return columns


def _settings(pairs: pd.DataFrame, catalogue: Catalogue) -> pd.DataFrame:
    """``settings``: a number for each combination; ``VARIANT``: the run's settings and each step's, in words.

    The words name model and data, and of the rest what differs between the pairs.
    """
    columns = settings_of(pairs, catalogue)
    codes, told = np.empty((len(pairs), len(columns)), dtype=np.int64), {}
    for i, column in enumerate(columns):
        values = pairs[column].where(pairs.strength != column)  # the level is no setting
        text = values.map(str, na_action="ignore") if values.dtype == object else values
        codes[:, i], levels = pd.factorize(text, use_na_sentinel=True)
        if len(levels) > 1 or column in _MAIN:
            told[column] = values
    _, number = np.unique(codes, axis=0, return_inverse=True)
    context = _words(
        [(name, values) for name, values in told.items() if "." not in name], len(pairs)
    )
    steps = [(*name.partition("."), values) for name, values in told.items() if "." in name]
    variants = {
        f"{role}_variant": _words(
            [(key, v.where(pairs[role] == name)) for name, _, key, v in steps], len(pairs)
        )
        for role in ("intervention", "partner")
    }
    return pd.DataFrame(
        {"settings": number.reshape(-1), "context": context, **variants}, index=pairs.index
    )


def _words(told: list[tuple[str, pd.Series]], length: int) -> list[str]:
    rows: list[list[str]] = [[] for _ in range(length)]
    for name, values in told:
        for row, value, there in zip(rows, values, values.notna(), strict=True):
            if there:
                row.append(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}")
    return [", ".join(row) for row in rows]


def _matched(pairs: pd.DataFrame) -> pd.DataFrame:
    key = [*POINT, *VARIANT, *REPLICATE]
    sides = []
    for order, forward in (("forward", True), ("backward", False)):
        side = pairs.loc[pairs.forward == forward, key]
        sides.append(side.assign(**{order: side.index}))
    both = sides[0].merge(sides[1], on=key, how="outer")
    both[["forward", "backward"]] = both[["forward", "backward"]].fillna(-1).astype("int64")
    both = both.sort_values(key, ignore_index=True)
    both["point"] = both.groupby(POINT, dropna=False, sort=False).ngroup()
    return both


def _left_out(runs: pd.DataFrame, used: pd.DataFrame, steps: pd.Series, repeats: int) -> list[str]:
    counts = {
        "that did not finish": len(runs) - len(used),
        "of three and more interventions: composability is defined for two": int(
            steps.between(3, _TWICE - 1).sum()
        ),
        "of one intervention applied twice: there is no order to compare": int(
            (steps == _TWICE).sum()
        ),
        "repeated later with equal settings, seed and edit batch": repeats,
    }
    return [f"{labels.counted(count, 'run')} {which}" for which, count in counts.items() if count]


def _some(runs: pd.DataFrame, column: str, most: int = 6) -> str:
    """The first few distinct values, in words."""
    values = list(dict.fromkeys(runs[column])) if column in runs else []
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return (", ".join(map(str, values[:most])) + more) or "none"
