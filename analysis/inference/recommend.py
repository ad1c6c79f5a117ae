"""Which order to choose for a pair, by how much, how sure; and which (order, level) settings are worth considering."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import labels
from analysis.inference.intervals import CONFIDENCE, RESAMPLES, check, drawn_gains
from analysis.inference.samples import Samples, described, samples
from analysis.labels import SHARES, Labels
from analysis.metrics.align import VARIANT
from analysis.metrics.bounds import known
from analysis.metrics.points import complete, point
from interventions.errors import InvalidInput
from tracking.catalogue import Catalogue

_PARTS = ("wmdp_bio", "wmdp_cyber")  # of wmdp, which would else count twice


@dataclass(frozen=True)
class Recommendation:
    """What `recommend` says.

    Attributes:
        order: (first, second), the order that is better on the weighted criteria; the forward one where they tie.
        score: how much better: the weighted mean of the criteria's gains, averaged over the levels.
        low: end of the score's interval; NaN where there is nothing to resample.
        high: its other end.
        sure: the share of resamples in which this order is better; NaN likewise.
        replicates: how many seeds and edit batches both orders have at each level, at least.
        resampled: what the interval is over: ``50 to 300 items``; empty where there is nothing.
        criteria: a row per criterion: ``weight``, the mean over levels in this order (``chosen``) and in the other
            (``other``), ``gain`` in the good direction with ``low`` and ``high``. Gains are differences; where values
            have no upper bound (perplexity, bits), halvings: log2(other / chosen).
        settings: a row per order and level: every criterion, ``within`` the bounds, and whether no other setting
            within them is at least as good in all weighted criteria (and average bits) and better in one: ``pareto``.
        words: all this in a few sentences.
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


def recommend(
    runs: pd.DataFrame,
    pair: str | tuple[str, str],
    weights: Mapping[str, float] | None = None,
    bounds: Mapping[str, float] | None = None,
    items: pd.DataFrame | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Recommendation:
    """Which order of a pair to choose.

    Args:
        runs: rows of ``tracking.query.compositions``; of one setting, if the pair was run with several.
        pair: ``"lora + wanda"`` or ``("lora", "wanda")``, either way round.
        weights: criterion to weight; by default 1 for each criterion in [0, 1] that the pair is about: the editing
            ones if it edits, ``wmdp`` if it unlearns, and the rest.
        bounds: settings that are worse are out: ``{"mmlu": 0.4}`` is at least 0.4, ``{"wikitext_ppl": 8}`` at most 8.
        items: rows of ``tracking.query.items``, for intervals where there are few replicates.
        confidence: of the intervals.
        resamples: of the bootstrap.

    Raises:
        InvalidInput: no such pair in both orders, several settings, an unknown criterion, a weight below zero.
    """
    points = _of_pair(point(runs), pair)
    return of_points(points, Labels(Catalogue.of(runs)), samples(runs, points, items), weights, bounds, confidence,
                     resamples)  # fmt: skip


def _of_pair(points: pd.DataFrame, pair: str | tuple[str, str]) -> pd.DataFrame:
    names = tuple(re.split(r"\s*[+|]\s*", pair.strip())) if isinstance(pair, str) else tuple(pair)
    there = points[complete(points)]
    of = there[
        [
            set(names) == {one, other}
            for one, other in zip(there.intervention, there.partner, strict=True)
        ]
    ]
    if of.empty:
        have = dict.fromkeys(
            " + ".join(p) for p in zip(there.intervention, there.partner, strict=True)
        )
        raise InvalidInput(
            f"pair {' + '.join(names)!r} was not run in both orders; pairs that were: {', '.join(have)}"
        )
    settings = of.drop_duplicates(VARIANT)
    if len(settings) > 1:
        told = "; ".join(
            " ".join(filter(None, row))
            for row in settings[VARIANT].itertuples(index=False, name=None)
        )
        raise InvalidInput(
            f"pair {' + '.join(names)} was run with several settings; give the runs of one: {told}"
        )
    return of.reset_index(drop=True)


def of_points(
    points: pd.DataFrame,
    titles: Labels,
    taken: dict[int, Samples],
    weights: Mapping[str, float] | None = None,
    bounds: Mapping[str, float] | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Recommendation:
    """As `recommend`, from the points of one pair and setting, and their samples by position."""
    check(confidence)
    weights = _weights(points, weights)
    for name in bounds or ():
        known(name, points.criterion.unique())
    weight = points.criterion.map(weights).fillna(0).to_numpy(float)
    gain = _gain(
        points, np.arange(len(points)), points.forward.to_numpy(), points.backward.to_numpy()
    )
    share = _shares(points, weight, gain)
    with np.errstate(
        invalid="ignore"
    ):  # better without limit at one level, worse without limit at another
        score = float(np.sum(share * np.where(share > 0, gain, 0)))
    way = -1 if score < 0 else 1
    directed = {at: sample for at, sample in taken.items() if np.isfinite(gain[at])}
    draws = drawn_gains(directed, lambda at, one, other: _gain(points, at, one, other), resamples)
    low, high, sure = _certainty(share, draws, way, confidence)
    over = (
        described({at: sample for at, sample in taken.items() if share[at] > 0})
        if not np.isnan(sure)
        else ""
    )
    criteria = _by_criterion(
        points, weights, gain * way, {at: d * way for at, d in draws.items()}, way, confidence
    )
    settings = _settings(points, weights, bounds or {})
    order = (str(points.intervention[0]), str(points.partner[0]))[::way]
    replicates = int(points.replicates.min())
    words = _words(
        order, titles, points, criteria, settings, (abs(score), low, high, sure), bounds or {}, over
    )
    return Recommendation(
        (order[0], order[1]),
        abs(score),
        low,
        high,
        sure,
        replicates,
        over,
        criteria,
        settings,
        words,
    )


def _weights(points: pd.DataFrame, given: Mapping[str, float] | None) -> dict[str, float]:
    there = list(dict.fromkeys(points.criterion))
    if given is not None:
        for name, weight in given.items():
            known(name, there)
            if not weight >= 0:
                raise InvalidInput(f"weights must be at least 0, but {name} has {weight}")
            if points.better[points.criterion == name].iloc[0] == "neither":
                raise InvalidInput(
                    f"{name} cannot have a weight: neither direction of it is better"
                )
        if not sum(given.values()) > 0:
            raise InvalidInput("at least one weight must be greater than 0")
        return dict(given)
    groups = {points.intervention_group.iloc[0], points.partner_group.iloc[0]}
    about = points[points.unit.isin(SHARES) & (points.better != "neither")].criterion.unique()
    return {
        str(name): 1.0
        for name in about
        if not (name.startswith("edit_") and "editing" not in groups)
        and not (name.startswith("wmdp") and "unlearning" not in groups)
        and not (name in _PARTS and "wmdp" in about)
    }


def _gain(
    points: pd.DataFrame, at: np.ndarray, forward: np.ndarray, backward: np.ndarray
) -> np.ndarray:
    """How much better the forward order is; values of shape (points, …)."""
    shape = (-1, *[1] * (forward.ndim - 1))
    sign = points.better.map({"higher": 1.0, "lower": -1.0}).to_numpy(float)[at].reshape(shape)
    plain = points.unit.isin(SHARES).to_numpy()[at].reshape(shape)
    with np.errstate(all="ignore"):  # infinite in both orders: no difference can be told
        halvings = np.log2(forward) - np.log2(backward)
        return np.where(plain, sign * (forward - backward), sign * halvings)


def _shares(points: pd.DataFrame, weight: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """The part of each point in the score: its criterion's weight over the levels that count; they add up to 1."""
    counts = (
        pd.Series(~np.isnan(gain)).groupby(points.criterion.to_numpy()).transform("sum").to_numpy()
    )
    share = np.where(np.isnan(gain) | (counts == 0), 0.0, weight / np.maximum(counts, 1))
    total: float = share.sum()
    return share / total if total else share


def _certainty(
    share: np.ndarray, draws: Mapping[int, np.ndarray], way: int, confidence: float
) -> tuple[float, float, float]:
    """Interval of the score and share of resamples that agree; NaN if a point that counts has no resamples."""
    counting = np.flatnonzero(share).tolist()
    if not len(counting) or any(at not in draws for at in counting):
        return np.nan, np.nan, np.nan
    scores = way * np.sum([share[at] * draws[at] for at in counting], axis=0)
    low, high = _interval(scores, confidence)
    return low, high, float((scores > 0).mean() + (scores == 0).mean() / 2)


def _interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _by_criterion(
    points: pd.DataFrame,
    weights: Mapping[str, float],
    gain: np.ndarray,
    draws: Mapping[int, np.ndarray],
    way: int,
    confidence: float,
) -> pd.DataFrame:
    chosen, other = ("forward", "backward")[::way]
    rows = []
    for name, group in points.assign(gain=gain).groupby("criterion", sort=False):
        at = list(group.index)
        drawn = all(i in draws for i in at)
        low, high = (
            _interval(np.mean([draws[i] for i in at], axis=0), confidence)
            if drawn
            else (np.nan, np.nan)
        )
        with np.errstate(invalid="ignore"):
            means = [group[column].mean() for column in (chosen, other, "gain")]
        rows.append((name, weights.get(str(name), 0.0), *means, low, high, group.unit.iloc[0]))
    columns = ["criterion", "weight", "chosen", "other", "gain", "low", "high", "unit"]
    return pd.DataFrame(rows, columns=columns)


def _settings(
    points: pd.DataFrame, weights: Mapping[str, float], bounds: Mapping[str, float]
) -> pd.DataFrame:
    sides = []
    for order, names in (
        ("forward", ("intervention", "partner")),
        ("backward", ("partner", "intervention")),
    ):
        wide = points.pivot(
            index=["strength", "level"], columns="criterion", values=order
        ).reset_index()
        wide.insert(0, "order", labels.ARROW.join(str(points[name].iloc[0]) for name in names))
        sides.append(wide)
    settings = pd.concat(sides, ignore_index=True).rename_axis(columns=None)
    better = points.drop_duplicates("criterion").set_index("criterion").better
    good = {
        name: settings[name] if better[name] == "higher" else -settings[name]
        for name in better.index
    }
    within = pd.Series(True, index=settings.index)
    for name, bound in bounds.items():
        if better[name] == "neither":
            raise InvalidInput(f"{name} cannot be a bound: neither direction of it is better")
        within &= good[name] >= (bound if better[name] == "higher" else -bound)
    judged = [name for name, weight in weights.items() if weight > 0]
    judged += ["average_bits"] if "average_bits" in good and "average_bits" not in judged else []
    if not judged:  # of no criterion is one direction better
        return settings.assign(within=within, pareto=False)
    values = np.nan_to_num(
        np.column_stack([good[name] for name in judged]), nan=-np.inf, neginf=-np.inf
    )
    return settings.assign(within=within, pareto=within & ~_dominated(values, within.to_numpy()))


def _dominated(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Whether another row that counts is at least as good everywhere and better somewhere. Shape (rows, criteria)."""
    as_good = (values[None] >= values[:, None]).all(-1)
    better = (values[None] > values[:, None]).any(-1)
    return np.asarray((as_good & better & counts[None]).any(1))


def _words(
    order: tuple[str, ...],
    titles: Labels,
    points: pd.DataFrame,
    criteria: pd.DataFrame,
    settings: pd.DataFrame,
    score: tuple[float, float, float, float],
    bounds: Mapping[str, float],
    over: str,
) -> str:
    value, low, high, sure = score
    levels = points.drop_duplicates("level")
    at = labels.levels_text(levels.strength.iloc[0], list(levels.level))
    where = f", on average over {at}" if len(levels) > 1 else f", at {at}" if at else ""
    name = titles.order(*order)
    if np.isnan(sure):
        lead = f"{name} is better by {value:.3f}{where}. How sure is unknown: one run per order, no items."
    else:
        clear = "is better" if low > 0 else "looks better, but not clearly so,"
        lead = (
            f"{name} {clear} by {value:.3f} ({low:.3f} to {high:.3f}){where}. Sure: {labels.percent(sure)},"
            f" resampling {over}."
        )
    if np.isnan(value):
        lead = (
            f"The orders of {name} cannot be weighed{where}: each is infinitely better somewhere."
        )
    if value == 0:
        lead = f"Neither order of {name} is better{where}."
    weighted = criteria[criteria.weight > 0]
    told = [
        f"{titles.criterion(c)} {labels.number(chosen)} against {labels.number(other)}"
        for c, chosen, other in zip(
            weighted.criterion, weighted.chosen, weighted.other, strict=True
        )
    ]
    shown = [
        labels.at(
            titles.order(*str(names).split(labels.ARROW)), group.strength.iloc[0], list(group.level)
        )
        for names, group in settings[settings.pareto].groupby("order", sort=False)
    ]
    limits = (
        f" under {', '.join(f'{key} {bound:g}' for key, bound in bounds.items())}" if bounds else ""
    )
    pareto = f"Not beaten by another setting{limits}: {'; '.join(shown) or 'none'}."
    return " ".join([lead, *([f"{'; '.join(told)}."] if told else []), pareto])
