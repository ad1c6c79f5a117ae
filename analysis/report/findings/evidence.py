"""What findings are read from: the points of one context, and what their criteria are about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.labels import SHARES, Labels
from analysis.metrics.align import Orders
from analysis.metrics.groups import CATEGORIES, category_of
from analysis.metrics.measures import complete

NOTABLE = 0.05  # a difference between orders, in a criterion in [0, 1], that is worth a sentence
LEVEL = 0.05  # of the tests, corrected over all comparisons
_SIDES = ("intervention", "partner")


@dataclass(frozen=True)
class Finding:
    """A sentence, and the ids of the runs behind its numbers.

    Attributes:
        text: the sentence.
        runs: the ids.
        claim: whether it says that something differs, which only a test allows.
    """

    text: str
    runs: tuple[str, ...] = ()
    claim: bool = False


@dataclass(frozen=True)
class Evidence:
    """The points and the single runs of one context.

    Attributes:
        points: rows of ``intervals``, with ``intervention_category`` and ``partner_category``.
        orders: of all runs.
        titles: for sentences.
        context: the settings that the points have in common, in words.
        main_criteria: category to the criterion in [0, 1] that judges its work, where measured.
        general_criterion: the criterion in [0, 1] of what any model can do, if it was measured.
        runs: rows of ``tracking.query.compositions`` that the points were computed from.
        printed: whether the runs are rows that the paper prints: numbers without replicates.
    """

    points: pd.DataFrame
    orders: Orders
    titles: Labels
    context: str
    main_criteria: Mapping[str, str]
    general_criterion: str | None
    runs: pd.DataFrame
    printed: bool = False

    def main_points(self) -> pd.DataFrame:
        """Return the complete points of the criterion that each pair is about.

        ``about`` is the category that the criterion judges; a pair of two judged categories has
        points of both.
        """
        parts = []
        for category, criterion in self.main_criteria.items():
            judged = self.of_category(category)
            judged = judged[judged.criterion == criterion]
            parts.append(judged[complete(judged)].assign(about=category))
        return pd.concat(parts) if parts else self.points.iloc[:0].assign(about="")

    def points_by_method(self) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
        """Yield category, partner, criterion and their main points, in the paper's order."""
        main = self.main_points()
        main = main.assign(place=main.partner.map(labels.place))
        main = main.sort_values(["intervention_category", "criterion", "place"], kind="stable")
        by_method = ["intervention_category", "partner", "criterion"]
        for (category, partner, criterion), points in main.groupby(by_method, sort=False):
            yield str(category), str(partner), str(criterion), points

    def of_category(self, category: str) -> pd.DataFrame:
        """Return the points of pairs in which an intervention of the category is."""
        categories = self.points[[f"{side}_category" for side in _SIDES]]
        return self.points[(categories == category).any(axis=1)]

    def plain_title(self, criterion: str) -> str:
        """Return a criterion's title without unit and direction."""
        return self.titles.catalogue.criteria[criterion].title or criterion.replace("_", " ")


def gather_evidence(
    points: pd.DataFrame, orders: Orders, titles: Labels, context: str, runs: pd.DataFrame
) -> Evidence:
    """Return the evidence of one context.

    Args:
        points: rows of ``intervals``, of this context.
        orders: of all runs.
        titles: for sentences.
        context: the settings that the points have in common, in words.
        runs: rows of ``tracking.query.compositions`` that the points were computed from.
    """
    catalogue = titles.catalogue
    for side in _SIDES:
        categories = points[side].map(lambda name: category_of(name, catalogue))
        points = points.assign(**{f"{side}_category": categories})
    shares = {
        name: facts
        for name, facts in catalogue.criteria.items()
        if name in orders.criteria and facts.unit in SHARES and facts.better != "neither"
    }
    main_criteria = {}
    for category in CATEGORIES:
        judges = [name for name, facts in shares.items() if category in facts.judges]
        if judges:
            main_criteria[category] = judges[0]
    general = [
        name for name, facts in shares.items() if not facts.category and facts.better == "higher"
    ]
    return Evidence(
        points,
        orders,
        titles,
        context,
        main_criteria,
        general[0] if general else None,
        runs,
        is_printed(points, orders.runs),
    )


def is_printed(points: pd.DataFrame, runs: pd.DataFrame) -> bool:
    """Return whether some of the points' runs are rows that the paper prints.

    Args:
        points: with ``forward_runs`` and ``backward_runs``.
        runs: with ``run_id``, and with ``published`` where the store has such runs.
    """
    if "published" not in runs:
        return False
    printed_ids = set(runs.run_id[runs.published.notna()])
    return not printed_ids.isdisjoint(runs_of(points))


def runs_of(points: pd.DataFrame) -> tuple[str, ...]:
    """Return the ids of the runs of both orders of some points, each once."""
    both_orders = points.forward_runs + points.backward_runs
    return tuple(dict.fromkeys(run_id for run_ids in both_orders for run_id in run_ids))


def interval_in_words(low: float, high: float) -> str:
    """Return ``0.11 to 0.39``; ``no interval`` where there is none.

    Example:
        >>> interval_in_words(0.114, 0.391), interval_in_words(float("nan"), 0.3)
        ('0.11 to 0.39', 'no interval')
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        return "no interval"
    return f"{labels.number(low)} to {labels.number(high)}"


def p_number(value: float) -> str:
    """Return ``0.012``, or ``<0.001``; a dash where there is none.

    Example:
        >>> p_number(0.0123), p_number(1e-6), p_number(float("nan"))
        ('0.012', '<0.001', '–')
    """
    return "<0.001" if value < 0.001 else labels.number(value, 3)


def p_in_words(value: float) -> str:
    """Return ``p = 0.012``, or ``p < 0.001``; a dash where there is none.

    Example:
        >>> p_in_words(0.0123), p_in_words(1e-6), p_in_words(float("nan"))
        ('p = 0.012', 'p < 0.001', 'p –')
    """
    if np.isnan(value):
        return f"p {labels.NOTHING}"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def gain_in_words(point: Any) -> str:
    """Return the gain of a point's better order with its interval, corrected p and units.

    Args:
        point: a row of ``intervals``.
    """
    low, high = sorted((abs(point.gain_low), abs(point.gain_high)))
    return (
        f"by {labels.number(abs(point.gain))} ({interval_in_words(low, high)};"
        f" {p_in_words(point.p_holm)}, Holm; {point.units} {point.basis})"
    )


def within_sentence(title: str) -> str:
    """Return a title as it stands within a sentence: acronyms keep their capitals.

    Example:
        >>> within_sentence("Edit success"), within_sentence("MMLU")
        ('edit success', 'MMLU')
    """
    is_acronym = title[:2].isupper()
    return title if is_acronym else title[:1].lower() + title[1:]
