"""How much of what was unlearned a later step brings back, in shares of what was taken away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from analysis.metrics.align import count_steps, criteria_of, described_runs, finished
from analysis.metrics.bounds import check_criterion
from analysis.metrics.columns import REPLICATE
from analysis.metrics.repeats import without_repeats
from analysis.metrics.usable import as_numbers, usable
from interventions.arguments import checked
from interventions.errors import InvalidInput
from tracking.catalogue import Catalogue
from tracking.measures import LEAST_TAKEN as LEAST_TAKEN
from tracking.measures import restored_share

HASH = "weights"  # the column with a hash of all weights after the last step
_FEWEST = 3  # replicates for an interval
_COVERED = 0.95  # how often an interval holds the true share
_GROUP = [
    *("context", "unlearning", "unlearning_variant", "then", "then_variant"),
    *("strength", "level", "settings"),
]


@checked
def restored(runs: pd.DataFrame, criteria: Iterable[str] | None = None) -> pd.DataFrame:
    """Return for every "unlearn, then another step" what share of the unlearned comes back.

        share = (after both - after unlearning alone) / (base model - after unlearning alone)

    0: all stays unlearned; 1: all is back; below 0: the second step takes more away. Each pair of
    steps is compared with runs of its unlearning alone with the same hyperparameters, seed and edit
    batch, and with the mean over runs of the base model (``composability run none``), of equal
    model, data and settings.

    Args:
        runs: rows of ``compositions``.
        criteria: names; by default those that say what unlearning took: lower is better, and
            their category is unlearning.

    Returns:
        A row per pair, criterion and level: ``context``; ``unlearning, then`` and their variants;
        ``strength, level``; ``criterion``; the means ``base``, ``unlearned`` and ``after``;
        ``restored``, the mean over the replicates' shares, and ``low, high``, its 95 % interval by
        Student's t, NaN for fewer than three replicates; ``replicates``: runs with equal weights
        are one. ``restored`` is NaN where unlearning took less than
        .05 in some replicate.

    Raises:
        InvalidInput: no run is a pair that begins with unlearning, or what it is compared with is
            missing.

    Source: Zhang et al. 2025, "Catastrophic Failure of LLM Unlearning via Quantization", section 4
    (of the forgotten, 21 % is left in full precision and 83 % at 4 bits).

    Example:
        From the rows that the paper prints:

        >>> from tracking.published import rows
        >>> printed = [row for row in rows() if {name for name, _ in row.steps} <= {"rmu", "gptq"}]
        >>> runs = pd.DataFrame([{**row.params(), **row.values} for row in printed])
        >>> runs = runs.assign(run_id=runs.composition).astype({"gptq.bits": float})
        >>> restored(runs)[["unlearning", "then", "level", "restored"]].round(2)
          unlearning  then  level  restored
        0        rmu  gptq    2.0     -0.14
        1        rmu  gptq    3.0     -0.10
        2        rmu  gptq    4.0     -0.07
        3        rmu  gptq    8.0      0.00
    """
    runs, _ = usable(runs)
    catalogue = Catalogue.from_runs(runs)
    runs = finished(as_numbers(runs, catalogue))
    steps = count_steps(runs)
    described = described_runs(runs[steps <= 2], catalogue) if len(runs) else runs
    known = criteria_of(described, catalogue)
    chosen = [
        name
        for name in known
        if catalogue.criteria[name].category == "unlearning"
        and catalogue.criteria[name].better == "lower"
    ]
    if criteria is not None:
        chosen = [check_criterion(name, known) for name in criteria]
    pairs = _once(_unlearning_first(described, catalogue), chosen)
    if not chosen or pairs.empty:
        raise InvalidInput(
            "no finished run begins with unlearning and goes on with another step, and has a"
            " criterion of what was unlearned"
        )
    is_single = (described.partner == "") & (described.intervention != "")
    alone = _once(described[is_single], chosen)
    base = described[described.intervention == ""].groupby("context")[chosen].mean()
    if alone.empty or base.empty:
        missing = "the base model (composability run none)" if base.empty else "unlearning alone"
        raise InvalidInput(f"what comes back is told by runs of {missing}, and there is none")
    parts = [_of_criterion(pairs, alone, base, name) for name in chosen]
    frame = pd.concat(parts, ignore_index=True)
    if frame.empty:
        raise InvalidInput(
            "no run of unlearning alone, and of the base model, has the hyperparameters, seed, edit"
            " batch, model and data of a run that begins with unlearning"
        )
    return frame


def _unlearning_first(described: pd.DataFrame, catalogue: Catalogue) -> pd.DataFrame:
    """Return the runs of two steps of which the first unlearns, with the steps in their order."""
    if "partner" not in described:
        return described  # there are no runs
    pairs = described[described.partner != ""]
    for role, first in (("unlearning", True), ("then", False)):
        is_intervention = pairs.forward == first
        for suffix in ("", "_variant"):
            partner = pairs[f"partner{suffix}"]
            step = pairs[f"intervention{suffix}"].where(is_intervention, partner)
            pairs = pairs.assign(**{f"{role}{suffix}": step})
    facts = catalogue.interventions
    unlearns = pairs.unlearning.map(
        lambda name: name in facts and facts[name].category == "unlearning"
    )
    return pairs[unlearns.astype(bool)]


def _once(runs: pd.DataFrame, criteria: Sequence[str]) -> pd.DataFrame:
    """Return one run for equal settings and replicates."""
    key = ["context", "composition", "settings", "level", *REPLICATE]
    return without_repeats(runs, [name for name in key if name in runs], criteria)


def _of_criterion(
    pairs: pd.DataFrame, alone: pd.DataFrame, base: pd.DataFrame, criterion: str
) -> pd.DataFrame:
    """Return the rows of one criterion."""
    # the strength of a pair is that of one of its steps, "wanda.sparsity"
    of_first = pairs.strength.str.rpartition(".")[0] == pairs.unlearning
    wanted = pairs.assign(level_alone=pairs.level.where(of_first).fillna(-np.inf))
    unlearned = alone.assign(
        unlearning=alone.intervention,
        unlearning_variant=alone.intervention_variant,
        level_alone=alone.level.fillna(-np.inf),
        unlearned=alone[criterion],
    )
    key = ["context", "unlearning", "unlearning_variant", "level_alone", *REPLICATE]
    matched = wanted.merge(unlearned[[*key, "unlearned"]], on=key)
    matched = matched.assign(base=matched.context.map(base[criterion]), after=matched[criterion])
    matched = matched.dropna(subset=["unlearned", "base", "after"])
    groups = matched.assign(level=matched.level.fillna(-np.inf)).groupby(_GROUP, sort=False)
    rows = []
    for names, group in groups:
        group = _distinct(group)
        removed = (group.base - group.unlearned).to_numpy(float)
        shares = np.full(len(group), np.nan)
        if (removed >= LEAST_TAKEN).all():
            parts = (group[name].to_numpy(float) for name in ("base", "unlearned", "after"))
            shares = restored_share(*parts)
        low, high = _interval(shares)
        rows.append(
            {
                **dict(zip(_GROUP, names, strict=True)),
                "criterion": criterion,
                **group[["base", "unlearned", "after"]].mean(),
                **{"restored": shares.mean(), "low": low, "high": high, "replicates": len(group)},
            }
        )
    columns = [*_GROUP, "criterion", "base", "unlearned", "after", "restored"]
    frame = pd.DataFrame(rows, columns=[*columns, "low", "high", "replicates"])
    return frame.assign(level=frame.level.replace(-np.inf, np.nan)).drop(columns="settings")


def _distinct(group: pd.DataFrame) -> pd.DataFrame:
    """Return one row for equal weights, whatever their seeds and edit batches.

    Runs of before have no hash of their weights: there it is equal values.
    """
    hashes = group[HASH] if HASH in group else [None] * len(group)
    values = zip(group.base, group.unlearned, group.after, strict=True)
    identities = [
        weights if isinstance(weights, str) and weights else value
        for weights, value in zip(hashes, values, strict=True)
    ]
    return group[~pd.Series(identities, group.index, dtype=object).duplicated()]


def _interval(shares: np.ndarray) -> tuple[float, float]:
    """Return the t interval of the mean of shares; NaN for fewer than three."""
    count = len(shares)
    if count < _FEWEST:
        return np.nan, np.nan
    error = float(np.std(shares, ddof=1)) / np.sqrt(count)
    half = float(stats.t.ppf((1 + _COVERED) / 2, count - 1)) * error
    return float(shares.mean()) - half, float(shares.mean()) + half
