"""Pareto fronts as data: the size and the quality of each order and level of a pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import labels
from analysis.labels import Labels
from analysis.metrics.groups import category_of

MOST_PANELS = 12
_SIZE = "compression"
_SIDES = ("intervention", "partner")


@dataclass(frozen=True)
class Front:
    """The settings of one pair.

    Attributes:
        title: of the pair.
        orders: title of each setting's order, shape (settings,).
        levels: in words, shape (settings,).
        sizes: the smaller the better, shape (settings,).
        qualities: of the criterion, in its own direction, shape (settings,).
        is_best: whether no other setting is at least as small and as good, and better in one.
    """

    title: str
    orders: list[str]
    levels: list[str]
    sizes: np.ndarray
    qualities: np.ndarray
    is_best: np.ndarray


@dataclass(frozen=True)
class FrontGrid:
    """One figure: a panel per pair.

    Attributes:
        name: of the figure's file, without suffix.
        caption: above the figure.
        size: criterion of the horizontal axis.
        quality: criterion of the vertical axis.
        fronts: one per panel.
        dropped: how many more panels there would be.
    """

    name: str
    caption: str
    size: str
    quality: str
    fronts: list[Front]
    dropped: int


def front_grids(
    settings: Iterable[tuple[pd.Series, pd.DataFrame]], criteria: Mapping[str, str], titles: Labels
) -> list[FrontGrid]:
    """Return a figure per context and criterion of quality.

    Args:
        settings: of each pair, a point of it and a row per order and level with every criterion
            (``Recommendation.settings``).
        criteria: of quality, each with the category that it judges; "" is any pair's.
        titles: for panels and axes.
    """
    size = _size_criterion(titles)
    fronts: dict[tuple[str, str], list[Front]] = {}
    for pair, table in settings:
        categories = {category_of(pair[side], titles.catalogue) for side in _SIDES}
        judged = [name for name, category in criteria.items() if category in {"", *categories}]
        for quality in judged if _SIZE in categories else []:
            front = _front(pair, table, size, quality, titles)
            if front is not None:
                fronts.setdefault((pair.context, quality), []).append(front)
    suffixes = labels.suffixes(context for context, _ in fronts)
    return [
        FrontGrid(
            name=f"pareto-{quality.replace('_', '-')}{suffixes[context]}",
            caption=f"Size and {titles.criterion(quality)}; {context}",
            size=size,
            quality=quality,
            fronts=panels[:MOST_PANELS],
            dropped=max(0, len(panels) - MOST_PANELS),
        )
        for (context, quality), panels in fronts.items()
    ]


def _size_criterion(titles: Labels) -> str:
    """Return the first criterion that measures a compression and should be low; "" without one."""
    names = [
        name
        for name, facts in titles.catalogue.criteria.items()
        if facts.category == _SIZE and facts.better == "lower"
    ]
    return names[0] if names else ""


def _front(
    pair: pd.Series, table: pd.DataFrame, size: str, quality: str, titles: Labels
) -> Front | None:
    """Return a pair's settings; None where sizes or qualities were not measured at two of them."""
    if size not in table or quality not in table:
        return None
    measured = table[np.isfinite(table[[size, quality]].to_numpy(float)).all(1)]
    if measured[size].nunique() < 2:
        return None
    sizes, qualities = measured[size].to_numpy(float), measured[quality].to_numpy(float)
    is_high_good = titles.catalogue.criteria[quality].better == "higher"
    names = [titles.method(pair[side], pair[f"{side}_variant"]) for side in _SIDES]
    return Front(
        title=" + ".join(names),
        orders=[titles.order(*order.split(labels.ARROW)) for order in measured.order],
        levels=[
            labels.level_text(strength, level)
            for strength, level in zip(measured.strength, measured.level, strict=True)
        ],
        sizes=sizes,
        qualities=qualities,
        is_best=_is_best(sizes, qualities if is_high_good else -qualities),
    )


def _is_best(sizes: np.ndarray, goodness: np.ndarray) -> np.ndarray:
    """Return whether no other setting is at least as small and as good, and better in one."""
    as_good = (sizes[None] <= sizes[:, None]) & (goodness[None] >= goodness[:, None])
    better = (sizes[None] < sizes[:, None]) | (goodness[None] > goodness[:, None])
    return np.asarray(~(as_good & better).any(1))
