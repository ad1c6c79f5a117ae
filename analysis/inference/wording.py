"""Say in a few sentences which order to choose: "better" only where a test says so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import labels
from analysis.inference import recommendation as verdicts
from analysis.inference.level_wording import level_sentences, range_text, where_text
from analysis.inference.procedures import FEWEST_UNITS
from analysis.inference.recommendation import USEFUL_GAIN, Recommendation
from analysis.inference.units import BATCHES, ONE_BATCH, SEEDS
from analysis.labels import Labels


def advice_in_words(advice: Recommendation, titles: Labels, bounds: Mapping[str, float]) -> str:
    """Return the sentences of a recommendation.

    Args:
        advice: everything but its words.
        titles: of interventions and criteria.
        bounds: criterion to its worst value.
    """
    limits = ", ".join(f"{name} {bound:g}" for name, bound in bounds.items())
    levels: list[Any] = list(advice.levels.itertuples())
    under = f" under {limits}" if limits else ""
    unbeaten = "; ".join(_unbeaten(advice.settings, titles)) or "none"
    sentences = [
        _lead(advice, levels, titles, limits),
        *level_sentences(advice.verdict, levels, titles, limits),
        *_comparisons(advice, titles),
        f"By the numbers alone, not beaten by another setting{under}: {unbeaten}.",
    ]
    return " ".join(sentences)


def _lead(advice: Recommendation, levels: list[Any], titles: Labels, limits: str) -> str:
    """Return the sentence on the order over all levels."""
    order = titles.order(*advice.order)
    as_written = str(advice.settings.order[0]).split(labels.ARROW)
    either = " and ".join(titles.method(name) for name in as_written)
    where = where_text([row for row in levels if row.within == "both"])
    score = labels.number(advice.score, 3)
    match advice.verdict:
        case verdicts.NEITHER:
            return f"Neither order of {either} is known to be within {limits} at any level."
        case verdicts.BOUNDS:
            return f"At no level are both orders of {either} within {limits}: nothing to weigh."
        case verdicts.INFINITE if math.isnan(advice.score):
            return f"The orders of {either} cannot be weighed{where}: {_why_unweighed(advice)}."
        case verdicts.INFINITE:
            reason = "the other order has an infinite value, so there is neither interval nor test"
            return f"{order} is ahead by {score}{where}: {reason}."
        case verdicts.EQUAL:
            return f"Both orders of {either} have equal numbers{where}."
        case verdicts.PRINTED:
            reason = "numbers without replicates, which no test can tell from noise"
            return f"As printed, {order} is ahead by {score}{where}: {reason}."
        case verdicts.BETTER:
            return f"{order} is better by {score} ({_evidence(advice, levels)}){where}."
        case verdicts.DEPENDS:
            return f"Which order of {either} is better depends on the level."
        case _:
            lead = f"Which order of {either} is better cannot be told from these runs{where}"
            gain = f"gain of {order} {score}"
            return f"{lead}: {_why_untold(advice, gain, _evidence(advice, levels))}"


def _why_unweighed(advice: Recommendation) -> str:
    has_weight = advice.criteria[advice.criteria.weight > 0]
    if len(has_weight):
        return "each is infinitely better somewhere"
    return "no criterion that was measured has a weight"


def _why_untold(advice: Recommendation, gain: str, evidence: str) -> str:
    """Return the gain that no test tells from 0, and what would be needed."""
    kind = SEEDS if advice.kind == SEEDS else BATCHES
    if math.isfinite(advice.p):
        return f"{gain} ({evidence}). {_needed(advice, kind)}"
    if math.isnan(advice.low):
        gain += ", without an interval"
    else:
        gain += f" ({range_text(advice)}, {_over(advice, kind)})"
    if advice.kind != ONE_BATCH and advice.units >= FEWEST_UNITS:
        return f"{gain}; all {advice.units} {kind} have the same, so there is no test."
    equal = ""
    if advice.replicates > advice.units and advice.kind != ONE_BATCH:
        equal = "; replicates with equal weights count once"
    return f"{gain}. At least {FEWEST_UNITS} {kind} would be needed{equal}."


def _over(advice: Recommendation, kind: str) -> str:
    """Return what an interval without a test is over."""
    if advice.basis == ONE_BATCH:
        return "this batch only, which says nothing about another"
    if advice.basis == verdicts.ITEMS_ONLY:
        return f"items only, which says nothing about other {kind}"
    return f"{advice.units} {kind}"


def _needed(advice: Recommendation, kind: str) -> str:
    """Return how many units would show a useful gain."""
    gain = f"a gain of {USEFUL_GAIN:g}"
    if math.isinf(advice.needed):
        return f"No number of {kind} would show {gain} with as few questions."
    if advice.needed > advice.units:
        return f"About {advice.needed:.0f} {kind} would be needed to see {gain} in 8 of 10 cases."
    return f"With about {advice.needed:.0f} {kind}, {gain} would be seen in 8 of 10 cases."


def _evidence(advice: Recommendation, levels: list[Any]) -> str:
    """Return ``0.013 to 0.064; p 0.012 for 3 tests; 5 edit batches``."""
    p = "p < 0.001" if advice.p_holm < 0.001 else f"p {advice.p_holm:.2g}"
    at_levels = sum(not math.isnan(row.score) for row in levels)
    corrected = f" for {at_levels + 1} tests" if at_levels > 1 else ""
    return f"{range_text(advice)}; {p}{corrected}; {advice.units} {advice.basis}"


def _comparisons(advice: Recommendation, titles: Labels) -> list[str]:
    """Return the sentence with the criteria's means in both orders, those that are worse last."""
    criteria: Any = advice.criteria.itertuples()
    rows = [row for row in criteria if row.weight > 0]
    parts = []
    for lead, is_worse in (("", False), ("worse in ", True)):
        texts = [
            f"{titles.criterion(row.criterion)} {labels.number(row.chosen)}"
            f" against {labels.number(row.other)}"
            for row in rows
            if (row.gain < 0) == is_worse
        ]
        if texts:
            parts.append(lead + ", ".join(texts))
    return [f"{titles.order(*advice.order)}: {'; '.join(parts)}."] if parts else []


def _unbeaten(settings: pd.DataFrame, titles: Labels) -> list[str]:
    """Return ``FT → Wanda at sparsity 0.25, 0.5`` for each order that has such settings."""
    texts = []
    unbeaten: Any = settings[settings.pareto].itertuples()
    rows_of: dict[str, list[Any]] = {}
    for row in unbeaten:
        rows_of.setdefault(row.order, []).append(row)
    for order, rows in rows_of.items():
        names = titles.order(*order.split(labels.ARROW))
        texts.append(labels.with_levels(names, rows[0].strength, [row.level for row in rows]))
    return texts
