"""Say in a few sentences which order to choose, by how much, how sure, and at which levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.labels import Labels

if TYPE_CHECKING:
    from analysis.inference.recommend import Recommendation


def advice_in_words(
    advice: Recommendation, points: pd.DataFrame, titles: Labels, bounds: Mapping[str, float]
) -> str:
    """Return the sentences of a recommendation.

    Args:
        advice: everything but its words.
        points: what it was computed from.
        titles: of interventions and criteria.
        bounds: criterion to its worst value.
    """
    sentences = [_lead(advice, points, titles)]
    weighted: Any = advice.criteria[advice.criteria.weight > 0].itertuples()
    comparisons = [
        f"{titles.criterion(row.criterion)} {labels.number(row.chosen)}"
        f" against {labels.number(row.other)}"
        for row in weighted
    ]
    if comparisons:
        sentences.append(f"{'; '.join(comparisons)}.")
    limits = ", ".join(f"{name} {bound:g}" for name, bound in bounds.items())
    under = f" under {limits}" if limits else ""
    unbeaten = "; ".join(_unbeaten(advice.settings, titles)) or "none"
    sentences.append(f"Not beaten by another setting{under}: {unbeaten}.")
    return " ".join(sentences)


def _lead(advice: Recommendation, points: pd.DataFrame, titles: Labels) -> str:
    """Return the sentence on the order, the amount and the certainty."""
    name, score = titles.order(*advice.order), advice.score
    levels = _levels(points)
    if score == 0:
        return f"Neither order of {name} is better{levels}."
    if np.isnan(score):
        reason = "each is infinitely better somewhere"
        return f"The orders of {name} cannot be weighed{levels}: {reason}."
    if np.isnan(advice.sure):
        return (
            f"{name} is better by {score:.3f}{levels}."
            " How sure is unknown: one run per order, no items."
        )
    clear = "is better" if advice.low > 0 else "looks better, but not clearly so,"
    return (
        f"{name} {clear} by {score:.3f} ({advice.low:.3f} to {advice.high:.3f}){levels}."
        f" Sure: {labels.percent(advice.sure)}, resampling {advice.resampled}."
    )


def _levels(points: pd.DataFrame) -> str:
    """Return ``, at sparsity 0.25`` or ``, on average over 2, 3 bits``; "" without levels."""
    once = points.drop_duplicates("level")
    text = labels.levels_text(once.strength.iloc[0], list(once.level))
    if len(once) > 1:
        return f", on average over {text}"
    return f", at {text}" if text else ""


def _unbeaten(settings: pd.DataFrame, titles: Labels) -> list[str]:
    """Return ``FT → Wanda at sparsity 0.25, 0.5`` for each order that has such settings."""
    texts = []
    for order, group in settings[settings.pareto].groupby("order", sort=False):
        names = titles.order(*str(order).split(labels.ARROW))
        texts.append(labels.with_levels(names, group.strength.iloc[0], list(group.level)))
    return texts
