"""Recommend which order of a pair to choose: by how much it is better, and whether a test says so.

A score is the weighted mean of the criteria's gains. It is tested over edit batches (or seeds), on
average over the levels and at each level; Holm's correction is over all of these tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from analysis.inference.advice import advise_pair
from analysis.inference.confidence import CONFIDENCE, check_confidence
from analysis.inference.point_gains import collect_gains
from analysis.inference.recommendation import Recommendation
from analysis.inference.scores import check_weights
from analysis.labels import Labels
from analysis.metrics.bounds import check_criterion
from analysis.metrics.columns import VARIANT
from analysis.metrics.measures import complete
from analysis.metrics.points import point
from interventions.arguments import check_columns, checked
from interventions.errors import InvalidInput, shown
from tracking import query
from tracking.catalogue import Catalogue

__all__ = ["MOST_ITEM_RUNS", "Recommendation", "advise", "recommend"]

MOST_ITEM_RUNS = 200  # whose items are read: one file per run


@checked
def recommend(
    runs: pd.DataFrame,
    pair: str | tuple[str, str],
    weights: Mapping[str, float] | None = None,
    bounds: Mapping[str, float] | None = None,
    items: pd.DataFrame | None = None,
    confidence: float = CONFIDENCE,
) -> Recommendation:
    """Recommend which order of a pair to choose, over all levels and at each.

    Args:
        runs: rows of ``tracking.query.compositions``; of one setting, if the pair was run with
            several.
        pair: ``"lora + wanda"`` or ``("lora", "wanda")``, either way round.
        weights: criterion to weight; by default 1 for each thing in [0, 1] that the pair is about:
            those of editing if it edits, of unlearning if it unlearns, and general ones. Locality
            and preservation measure one thing, and share it.
        bounds: orders that are worse at a level are out there: ``{"mmlu": 0.4}`` is at least 0.4,
            ``{"wikitext_ppl": 8}`` at most 8. The score is over levels where neither is out.
        items: rows of ``tracking.query.items``; by default they are read where the pair has at
            most 200 runs with some. An empty table is none.
        confidence: of the intervals, between 0 and 1. A sentence says that an order is better at a
            level of at most 5 %, whatever this is.

    Raises:
        InvalidInput: no such pair in both orders, several settings, an unknown criterion, a weight
            below zero.

    Example:
        From the rows that the paper prints, which ship with the code:

        >>> from tracking.published import rows
        >>> printed = [row for row in rows() if {name for name, _ in row.steps} == {"ft", "wanda"}]
        >>> runs = pd.DataFrame([{**row.params(), **row.values} for row in printed])
        >>> runs = runs.assign(run_id=runs.composition).astype({"wanda.sparsity": float})
        >>> advice = recommend(runs, "ft + wanda", weights={"edit_success": 1, "mmlu": 1})
        >>> advice.order, round(advice.score, 3), advice.differs
        (('wanda', 'ft'), 0.114, False)
    """
    if items is not None and len(items):
        check_columns("items", items, ("run_id", "criterion", "item", "score"))
    points = _points_of_pair(point(runs), pair)
    titles = Labels(Catalogue.from_runs(runs))
    unread = 0
    if items is None:
        items, unread = _read_items(runs, points)
    ((_, advice),) = advise(runs, points, titles, items, weights, bounds, confidence)
    if unread:
        note = f" Items of {unread} runs were not read: more than {MOST_ITEM_RUNS}."
        return replace(advice, words=advice.words + note)
    return advice


def advise(
    runs: pd.DataFrame,
    points: pd.DataFrame,
    titles: Labels,
    items: pd.DataFrame | None = None,
    weights: Mapping[str, float] | None = None,
    bounds: Mapping[str, float] | None = None,
    confidence: float = CONFIDENCE,
) -> list[tuple[pd.DataFrame, Recommendation]]:
    """Return the points and the advice of every pair and setting that both orders have.

    Args:
        runs: what ``points`` were computed from.
        points: rows of ``composability.point``, of every criterion and level: a bound may be on
            one that is not shown.
        titles: of interventions and criteria.
        items: rows of ``tracking.query.items``; None for none.
        weights: as in ``recommend``; a pair that has none of these criteria gets the default.
        bounds: as in ``recommend``.
        confidence: as in ``recommend``.

    Raises:
        InvalidInput: an unknown criterion, a weight below zero, a confidence that is no share.
    """
    check_confidence(confidence)
    if weights is not None:
        check_weights(points, weights)
    for name in bounds or ():
        check_criterion(name, points.criterion.unique())
    pairs = points[complete(points)].reset_index(drop=True)
    gains_of = collect_gains(runs, pairs, items)
    printed = set(runs.run_id[runs.published.notna()]) if "published" in runs else set()
    advice = []
    for _, group in pairs.groupby(["intervention", "partner", *VARIANT, "settings"], sort=False):
        gains_of_group = {
            place: gains_of[row] for place, row in enumerate(group.index) if row in gains_of
        }
        group = group.reset_index(drop=True)
        is_printed = bool(printed) and bool(printed.intersection(*group.forward_runs[:1]))
        measured = set(group.criterion)
        of_pair = {name: weight for name, weight in (weights or {}).items() if name in measured}
        recommendation = advise_pair(
            group,
            gains_of_group,
            titles,
            of_pair if sum(of_pair.values()) > 0 else None,
            bounds or {},
            confidence,
            is_printed,
        )
        advice.append((group, recommendation))
    return advice


def _points_of_pair(points: pd.DataFrame, pair: str | tuple[str, str]) -> pd.DataFrame:
    """Return the complete points of a pair, which must be there, and with one setting only."""
    names = re.split(r"\s*[+|]\s*", pair.strip()) if isinstance(pair, str) else list(pair)
    paired = points[complete(points)]
    pairs = list(zip(paired.intervention, paired.partner, strict=True))
    chosen = paired[[set(names) == set(known) for known in pairs]]
    if chosen.empty:
        known_pairs = ", ".join(dict.fromkeys(" + ".join(known) for known in pairs))
        raise InvalidInput(
            f"pair {shown(' + '.join(names))} was not run in both orders;"
            f" pairs that were: {known_pairs}"
        )
    variants = chosen.drop_duplicates([*VARIANT, "settings"])[VARIANT]
    if len(variants) > 1:
        texts = [" ".join(filter(None, row)) for row in variants.itertuples(index=False, name=None)]
        if len(set(texts)) == 1:
            texts = [f"{texts[0]}, where not all of them state the same params"]
        raise InvalidInput(
            f"pair {' + '.join(names)} was run with several settings; give the runs of one:"
            f" {'; '.join(texts)}"
        )
    return chosen


def _read_items(runs: pd.DataFrame, points: pd.DataFrame) -> tuple[pd.DataFrame | None, int]:
    """Return the items of the points' runs, and how many runs were too many to be read."""
    if "artifact_uri" not in runs:
        return None, 0
    run_ids = {run for ids in (*points.forward_runs, *points.backward_runs) for run in ids}
    has_address = runs.artifact_uri.map(lambda address: isinstance(address, str) and address != "")
    with_files = runs[runs.run_id.isin(run_ids) & has_address]
    if "published" in with_files:
        with_files = with_files[with_files.published.isna()]  # the paper prints no items
    if not 0 < len(with_files) <= MOST_ITEM_RUNS:
        return None, len(with_files)
    return query.items(with_files, points.criterion.unique(), missing="skip"), 0
