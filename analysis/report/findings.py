"""What the numbers say, in words: sentences with the runs that each came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import labels
from analysis.labels import Labels
from analysis.metrics.align import Orders
from analysis.metrics.points import complete
from analysis.tables.layouts import COMPRESSION

NOTABLE = 0.05  # a difference between orders, in a criterion in [0, 1], that is worth a sentence
_MAIN = {"editing": "edit_success", "unlearning": "wmdp"}  # what each category is for


@dataclass(frozen=True)
class Finding:
    """A sentence, and the ids of the runs behind its numbers."""

    text: str
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What findings are read from: the points and singles of one context."""

    points: pd.DataFrame
    orders: Orders
    titles: Labels
    context: str

    def main(self) -> pd.DataFrame:
        """Complete points of the criterion that each pair is about, with ``about`` naming its category."""
        kept = []
        for category, criterion in _MAIN.items():
            groups = self.points[["intervention_group", "partner_group"]]
            of = self.points[
                (self.points.criterion == criterion) & (groups == category).any(axis=1)
            ]
            kept.append(of[complete(of)].assign(about=category))
        return pd.concat(kept)


def findings(points: pd.DataFrame, orders: Orders, titles: Labels) -> dict[str, list[Finding]]:
    """Context to its findings, the most useful first; points with ``gain``, of `statistics.intervals`."""
    told: tuple[Callable[[Evidence], Iterable[Finding]], ...] = (
        _most_sensitive, _which_first, _best_composers, _degraded, _hidden_by_utility, _destroyed,
    )  # fmt: skip
    found = {}
    for context in dict.fromkeys(points.context):
        evidence = Evidence(points[points.context == context], orders, titles, context)
        found[context] = [
            _scope(evidence),
            *(finding for tell in told for finding in tell(evidence)),
        ]
    return found


def _runs(points: pd.DataFrame) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(run for both in points.forward_runs + points.backward_runs for run in both)
    )


def _scope(evidence: Evidence) -> Finding:
    points = evidence.points
    pairs = points.drop_duplicates(["intervention", "partner"])
    methods = set(pairs.intervention) | set(pairs.partner)
    once = points.drop_duplicates("point")
    replicates = int(once.replicates.max())
    per = (
        f", up to {replicates} edit batches and seeds each"
        if replicates > 1
        else ", one run of each order"
    )
    pairs_of = (
        f"{labels.counted(len(pairs), 'pair')} of {labels.counted(len(methods), 'intervention')}"
    )
    return Finding(f"{pairs_of}, {labels.counted(len(once), 'point')} (pair and level){per}.")


def _most_sensitive(evidence: Evidence) -> Iterable[Finding]:
    """The pair whose outcome hangs most on the order."""
    points = evidence.points[
        evidence.points.unit.isin(labels.SHARES) & (evidence.points.better != "neither")
    ]
    points = points[points.order_sensitivity.notna()]
    if points.empty or points.order_sensitivity.max() < NOTABLE:
        yield Finding(
            f"The order hardly matters: no criterion in [0, 1] differs by {NOTABLE:g} between two orders."
        )
        return
    worst = points.loc[[points.order_sensitivity.idxmax()]]
    cell, titles = worst.iloc[0], evidence.titles
    one, other = (
        titles.order(cell.intervention, cell.partner),
        titles.order(cell.partner, cell.intervention),
    )
    where = labels.level_text(cell.strength, cell.level)
    yield Finding(
        f"Order matters most for {titles.criterion(cell.criterion)} of {titles.method(cell.intervention)} and"
        f" {titles.method(cell.partner)}{f' at {where}' if where else ''}: {labels.number(cell.forward)} after {one},"
        f" {labels.number(cell.backward)} after {other}.",
        _runs(worst),
    )


def _which_first(evidence: Evidence) -> Iterable[Finding]:
    """For each method, with each category: which should come first, counted over pairs and levels."""
    main, titles = evidence.main(), evidence.titles
    order = main.partner.map(lambda name: labels.place(name))
    main = main.assign(place=order).sort_values(
        ["intervention_group", "criterion", "place"], kind="stable"
    )
    for (group, partner, criterion), of in main.groupby(
        ["intervention_group", "partner", "criterion"], sort=False
    ):
        method, measured = titles.method(str(partner)), titles.criterion(str(criterion))
        clear = of[(of.gain.abs() >= NOTABLE) & ~_within_noise(of)]
        lead = f"{method} and {group}: {measured}"
        if clear.empty:
            yield Finding(
                f"{lead} differs clearly between the orders at none of {labels.counted(len(of), 'point')}.",
                _runs(of),
            )
            continue
        forward = int((clear.gain > 0).sum())
        if forward * 2 == len(clear):
            yield Finding(
                f"{lead} is better either way as often ({len(clear)} of {len(of)} points differ).",
                _runs(clear),
            )
            continue
        first, count = (
            (f"{group} first", forward)
            if forward * 2 > len(clear)
            else (f"{method} first", len(clear) - forward)
        )
        gain = abs(float(clear.gain.mean()))
        yield Finding(
            f"{lead} is better with {first} at {count} of the {labels.counted(len(clear), 'point')} where the"
            f" orders clearly differ (of {len(of)}), by {gain:.2f} on average over these.",
            _runs(clear),
        )


def _within_noise(points: pd.DataFrame) -> pd.Series:
    """Whether zero is in the interval of the gain; False where there is none."""
    return (points.gain_low <= 0) & (points.gain_high >= 0)


def _best_composers(evidence: Evidence) -> Iterable[Finding]:
    """Within each group of methods: whose order-free error is lowest on what the others are for."""
    main, titles = evidence.main(), evidence.titles
    sides = main[main.intervention_group == main.about]
    for (about, group), of in sides.groupby(["about", "partner_group"], sort=False):
        wide = of.pivot_table(
            index=["intervention", "intervention_variant", "level"], columns="partner", values="order_free_error",
            dropna=False,
        ).dropna()  # fmt: skip
        means = (
            wide.mean().sort_values()
        )  # over what all of the group were composed with, at levels that all have
        if len(means) < 2 or not len(wide):
            continue
        best, last = str(means.index[0]), str(means.index[-1])
        runs = _runs(of[of.partner.isin([best, last])])
        lead = f"{str(group).capitalize()} with {about}, over {labels.counted(len(wide), 'point')} that all methods have"
        if means.iloc[-1] - means.iloc[0] < NOTABLE / 10:
            yield Finding(
                f"{lead}: all compose alike on {titles.criterion(_MAIN[str(about)])}.", runs
            )
            continue
        yield Finding(
            f"{lead}: {titles.method(best)} composes best, with a mean order-free error of {means.iloc[0]:.2f} on"
            f" {titles.criterion(_MAIN[str(about)])}; {titles.method(last)} worst, with {means.iloc[-1]:.2f}.",
            runs,
        )


def _degraded(evidence: Evidence) -> Iterable[Finding]:
    """What compression costs the other intervention, in its better order, against that intervention alone."""
    alone = evidence.orders.alone[evidence.orders.alone.context == evidence.context]
    main = evidence.main()
    compressed = main[main.partner_group.isin(COMPRESSION)]
    for about, of in compressed.groupby("about", sort=False):
        criterion = _MAIN[str(about)]
        values = alone.groupby(["intervention", "intervention_variant"])[criterion].mean()
        key = pd.MultiIndex.from_frame(of[["intervention", "intervention_variant"]])
        base = values.reindex(key).to_numpy()
        higher = of.better == "higher"
        best = np.where(
            higher, of[["forward", "backward"]].max(axis=1), of[["forward", "backward"]].min(axis=1)
        )
        lost = np.where(higher, base - best, best - base)
        there = np.isfinite(lost)
        if not there.any():
            continue
        worse, mean = int((lost[there] >= NOTABLE).sum()), float(lost[there].mean())
        ids = tuple(alone[alone.intervention.isin(of.intervention)].run_id)
        yield Finding(
            f"Compression and {about}: even in the better order {evidence.titles.criterion(criterion)} is at least"
            f" {NOTABLE:g} worse than without compression at {worse} of {int(there.sum())} points; on average it is"
            f" {abs(mean):.2f} {'worse' if mean > 0 else 'better'}.",
            ids + _runs(of),
        )


def _hidden_by_utility(evidence: Evidence) -> Iterable[Finding]:
    """Whether the general criterion shows what happens to the edits."""
    points = evidence.points
    both = points[
        points.criterion.isin(["edit_success", "mmlu"]) & (points.intervention_group == "editing")
    ]
    wide = both.pivot(index="point", columns="criterion", values="order_sensitivity").dropna()
    if len(wide) < 3 or wide.shape[1] < 2:
        return
    edits, mmlu = wide.edit_success.mean(), wide.mmlu.mean()
    if edits > 2 * mmlu:
        yield Finding(
            f"MMLU does not show it: between the orders it differs by {mmlu:.3f} on average, edit success by"
            f" {edits:.3f}.",
            _runs(both),
        )


def _destroyed(evidence: Evidence) -> Iterable[Finding]:
    """Points where an unlearner wins because nothing is left: WMDP at chance, and MMLU too."""
    points = evidence.points
    facts = evidence.titles.catalogue.criteria
    pair = points[(points[["intervention_group", "partner_group"]] == "unlearning").any(axis=1)]
    of = pair[pair.criterion.isin(["wmdp", "mmlu"])].pivot(
        index="point", columns="criterion", values="forward"
    )
    back = pair[pair.criterion.isin(["wmdp", "mmlu"])].pivot(
        index="point", columns="criterion", values="backward"
    )
    both = pd.concat([of, back]).dropna()
    if both.empty or both.shape[1] < 2:
        return
    chance = facts["wmdp"].chance or 0.0
    forgot = both[both.wmdp <= chance + NOTABLE]
    empty = forgot[forgot.mmlu <= (facts["mmlu"].chance or 0.0) + NOTABLE]
    if len(empty):
        yield Finding(
            f"Forgotten or destroyed? WMDP is at chance in {len(forgot)} compositions with unlearning; in {len(empty)}"
            f" of these MMLU is at chance too: the model is broken, not unlearned. A bound on MMLU leaves them out.",
            _runs(pair[pair.point.isin(empty.index)]),
        )
    infinite = pair[
        (pair.criterion == "wikitext_ppl")
        & pair[["forward", "backward"]].isin([np.inf]).any(axis=1)
    ]
    if len(infinite):
        yield Finding(
            f"Perplexity is infinite in at least one order at {len(infinite)} points.",
            _runs(infinite),
        )
