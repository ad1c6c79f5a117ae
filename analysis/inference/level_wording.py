"""Say what holds at single levels: what tests say, and where the numbers oppose each other."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from analysis import labels
from analysis.inference.recommendation import DEPENDS, NEITHER, PRINTED
from analysis.labels import Labels


def level_sentences(verdict: str, levels: list[Any], titles: Labels, limits: str) -> list[str]:
    """Return the sentences on the levels; none where there is one level within all bounds.

    Args:
        verdict: on all levels.
        levels: rows of ``Recommendation.levels``.
        titles: of interventions.
        limits: the bounds in words.
    """
    scored = [row for row in levels if not math.isnan(row.score)]
    sentences = []
    if len(scored) > 1 and any(row.differs for row in scored):
        sentences.append(_tested(scored, titles))
    ahead = [row for row in scored if row.score > 0]
    orders = {row.order for row in ahead}
    # said whether a test confirms it or not, as an average over the levels hides it
    if verdict != DEPENDS and len(orders) > 1:
        lead = "As printed" if verdict == PRINTED else "By the numbers alone"
        caution = "" if verdict == PRINTED else ", which no test confirms"
        parts = [f"{order} is ahead at {_at(rows)}" for order, rows in _by_order(ahead, titles)]
        sentences.append(f"{lead}, {'; '.join(parts)}{caution}.")
    for side in ("forward", "backward"):
        alone = [row for row in levels if row.within == side]
        for order, rows in _by_order(alone, titles):
            sentences.append(f"Only {order} is within {limits} at {_at(rows)}.")
    outside = [row for row in levels if row.within == "neither"]
    if outside and verdict != NEITHER:
        sentences.append(f"Neither order is within {limits} at {_at(outside)}.")
    return sentences


def _tested(scored: list[Any], titles: Labels) -> str:
    """Return what tests say of each level."""
    parts = []
    for order, rows in _by_order([row for row in scored if row.differs], titles):
        texts = [f"{_at([row])} (by {row.score:.3f}, {range_text(row)})" for row in rows]
        parts.append(f"{order} is better at {', '.join(texts)}")
    untold = [row for row in scored if not row.differs]
    if untold:
        parts.append(f"it cannot be told at {_at(untold)}")
    return f"Level by level: {'; '.join(parts)}."


def _by_order(rows: Iterable[Any], titles: Labels) -> list[tuple[str, list[Any]]]:
    """Return the rows of each order, with its title."""
    rows_of: dict[str, list[Any]] = {}
    for row in rows:
        rows_of.setdefault(row.order, []).append(row)
    return [(titles.order(*order.split(labels.ARROW)), of_it) for order, of_it in rows_of.items()]


def _at(rows: list[Any]) -> str:
    """Return ``sparsity 0.25, 0.5``."""
    text = labels.levels_text(rows[0].strength, [row.level for row in rows])
    return text or "the only setting"


def where_text(rows: list[Any]) -> str:
    """Return ``, at sparsity 0.25`` or ``, on average over 2, 3 bits``; "" without levels."""
    if not rows:
        return ""
    text = labels.levels_text(rows[0].strength, [row.level for row in rows])
    if len(rows) > 1:
        return f", on average over {text}"
    return f", at {text}" if text else ""


def range_text(row: Any) -> str:
    """Return ``0.012 to 0.034``."""
    return f"{row.low:.3f} to {row.high:.3f}"
