"""Recommend which order of a pair to choose: by how much it is better, and how sure that is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.inference.bootstrap import CONFIDENCE, RESAMPLES, check_confidence, drawn_gains
from analysis.inference.pareto import compare_settings
from analysis.inference.samples import Samples, collect_samples, samples_in_words
from analysis.inference.scores import (
    certainty,
    check_weights,
    compare_criteria,
    default_weights,
    gains,
    shares_of_points,
)
from analysis.inference.wording import advice_in_words
from analysis.labels import Labels
from analysis.metrics.bounds import check_criterion
from analysis.metrics.columns import VARIANT
from analysis.metrics.measures import complete
from analysis.metrics.points import point
from interventions.arguments import check_columns, checked
from interventions.errors import InvalidInput, shown, whole_number
from tracking.catalogue import Catalogue

_MOST_RESAMPLES = 1_000_000  # a hundred times what an interval's ends need


@dataclass(frozen=True)
class Recommendation:
    """Which order of a pair to choose, and why.

    Attributes:
        order: (first, second), the order that is better on the weighted criteria; the forward one
            where they tie.
        score: how much better: the weighted mean of the criteria's gains, averaged over the levels.
        low: lower end of the score's interval; NaN where there is nothing to resample.
        high: its upper end; NaN likewise.
        sure: the share of resamples in which this order is better; NaN likewise.
        replicates: how many seeds and edit batches both orders have at each level, at least.
        resampled: what the interval is over: ``50 to 300 items``; empty where there is nothing.
        criteria: a row per criterion: ``weight``, the mean over levels in this order (``chosen``)
            and in the opposite one (``other``), ``gain`` in the good direction with ``low`` and
            ``high``. Gains are differences; where values have no upper bound (perplexity, bits),
            halvings: log2(other / chosen).
        settings: a row per order and level: every criterion, ``within`` the bounds, and whether no
            setting within them is at least as good in all weighted criteria (and in what measures a
            compression, such as average bits) and better in one: ``pareto``.
        words: all of it in a few sentences.
    """

    order: tuple[str, str]
    score: float
    low: float
    high: float
    sure: float
    replicates: int
    resampled: str
    criteria: pd.DataFrame
    settings: pd.DataFrame
    words: str

    def __str__(self) -> str:
        return self.words


@checked
def recommend(
    runs: pd.DataFrame,
    pair: str | tuple[str, str],
    weights: Mapping[str, float] | None = None,
    bounds: Mapping[str, float] | None = None,
    items: pd.DataFrame | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Recommendation:
    """Recommend which order of a pair to choose.

    Args:
        runs: rows of ``tracking.query.compositions``; of one setting, if the pair was run with
            several.
        pair: ``"lora + wanda"`` or ``("lora", "wanda")``, either way round.
        weights: criterion to weight; by default 1 for each criterion in [0, 1] that the pair is
            about: those of editing if it edits, of unlearning if it unlearns, and general ones.
        bounds: settings that are worse are out: ``{"mmlu": 0.4}`` is at least 0.4,
            ``{"wikitext_ppl": 8}`` at most 8.
        items: rows of ``tracking.query.items``, for intervals where there are few replicates.
        confidence: of the intervals, between 0 and 1.
        resamples: of the bootstrap.

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
        >>> advice.order, round(advice.score, 3)
        (('wanda', 'ft'), 0.114)
    """
    whole_number("resamples", resamples, 1, _MOST_RESAMPLES)
    if items is not None and len(items):
        check_columns("items", items, ("run_id", "criterion", "item", "score"))
    points = _points_of_pair(point(runs), pair)
    titles = Labels(Catalogue.from_runs(runs))
    samples = collect_samples(runs, points, items)
    return recommend_from_points(points, titles, samples, weights, bounds, confidence, resamples)


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
    variants = chosen.drop_duplicates(VARIANT)[VARIANT]
    if len(variants) > 1:
        texts = [" ".join(filter(None, row)) for row in variants.itertuples(index=False, name=None)]
        raise InvalidInput(
            f"pair {' + '.join(names)} was run with several settings; give the runs of one:"
            f" {'; '.join(texts)}"
        )
    return chosen.reset_index(drop=True)


def recommend_from_points(
    points: pd.DataFrame,
    titles: Labels,
    samples: dict[int, Samples],
    weights: Mapping[str, float] | None = None,
    bounds: Mapping[str, float] | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Recommendation:
    """Recommend an order as ``recommend`` does, from points that are computed already.

    Args:
        points: complete ones of one pair and setting, index 0, 1, ….
        titles: of interventions and criteria.
        samples: of ``collect_samples``, by position in ``points``.
        weights: as in ``recommend``.
        bounds: as in ``recommend``.
        confidence: as in ``recommend``.
        resamples: as in ``recommend``.

    Raises:
        InvalidInput: an unknown criterion, a weight below zero, a confidence that is no share.
    """
    check_confidence(confidence)
    if weights is None:
        weights = default_weights(points, titles.catalogue)
    else:
        check_weights(points, weights)
    bounds = bounds or {}
    for name in bounds:
        check_criterion(name, points.criterion.unique())
    everywhere = np.arange(len(points))
    gain = gains(points, everywhere, points.forward.to_numpy(), points.backward.to_numpy())
    weight = points.criterion.map(dict(weights)).fillna(0).to_numpy(float)
    parts = shares_of_points(points, weight, gain)
    with np.errstate(invalid="ignore"):  # infinitely better at one level, worse at another
        score = float(np.sum(parts * np.where(parts > 0, gain, 0)))
    sign = -1 if score < 0 else 1
    # an infinite gain has no interval
    finite = {row: samples[row] for row in samples if np.isfinite(gain[row])}
    draws = drawn_gains(finite, lambda *values: gains(points, *values), resamples)
    low, high, sure = certainty(parts, draws, sign, confidence)
    counting = {position: samples[position] for position in samples if parts[position] > 0}
    first, second = (str(points.intervention[0]), str(points.partner[0]))[::sign]
    advice = Recommendation(
        order=(first, second),
        score=abs(score),
        low=low,
        high=high,
        sure=sure,
        replicates=int(points.replicates.min()),
        resampled="" if np.isnan(sure) else samples_in_words(counting),
        criteria=compare_criteria(points, weights, gain, draws, sign, confidence),
        settings=compare_settings(points, titles.catalogue, weights, bounds),
        words="",
    )
    return replace(advice, words=advice_in_words(advice, points, titles, bounds))
