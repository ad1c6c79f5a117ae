"""Choose the run whose checkpoint `analyze --register` registers: of the order that is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from analysis import labels
from analysis.inference.recommendation import BETTER, Recommendation
from analysis.metrics.levels import chosen_levels
from analysis.report.answer import PairTest, pair_tests
from analysis.report.prepare import PreparedAnalysis
from interventions.errors import InvalidInput, shown
from tracking import schema

ALIAS = "champion"
Advice = Sequence[tuple[pd.DataFrame, Recommendation]]


@dataclass(frozen=True)
class RecommendedRun:
    """The run to register.

    Attributes:
        run_id: of the first batch of edits and seed, at one level.
        tags: of the registered version: the order, by how much it is better, and how sure.
    """

    run_id: str
    tags: MappingProxyType[str, str]


def recommended_run(prepared: PreparedAnalysis, advice: Advice, pair: str = "") -> RecommendedRun:
    """Return the run of the order that a test says is better, over all pairs that are analysed.

    Args:
        prepared: what was analysed.
        advice: the points and the recommendation of each pair and setting.
        pair: "lora + wanda"; "" where there is one pair only.

    Raises:
        InvalidInput: there are several pairs or settings, no test says which order is better, or
            at the level that the tables show it is the other pair_advice.
    """
    tests = pair_tests([pair_advice for _, pair_advice in advice])
    entries = [
        (points, pair_advice, test)
        for (points, pair_advice), test in zip(advice, tests, strict=True)
    ]
    names = [_pair(points) for points, _, _ in entries]
    wanted = [entry for entry, name in zip(entries, names, strict=True) if pair in ("", name)]
    if len(wanted) != 1:
        known = ", ".join(dict.fromkeys(names)) or "none"
        which = f"the pair {shown(pair, 100)}" if pair else "a pair"
        raise InvalidInput(
            f"register needs one pair in one setting, but of {which} there are {len(wanted)};"
            f" analysed: {known[:150]}; name it as register='lora + wanda: NAME'"
        )
    points, pair_advice, test = wanted[0]
    order = labels.ARROW.join(pair_advice.order)
    if pair_advice.verdict != BETTER or not test.allows(pair_advice.p_holm):
        raise InvalidInput(
            f"no test says which order of {_pair(points)} is better: nothing is recommended, and"
            " nothing was registered; register a run by its id with `composability register`"
        )
    run_id = _first_run(prepared, points, pair_advice)
    return RecommendedRun(run_id, MappingProxyType(_tags(order, pair_advice, test)))


def _pair(points: pd.DataFrame) -> str:
    first = points.iloc[0]
    return schema.pair_name([str(first.intervention), str(first.partner)])


def _first_run(
    prepared: PreparedAnalysis, points: pd.DataFrame, pair_advice: Recommendation
) -> str:
    """Return the run of the order at the level that tables show, of the first batch and seed."""
    catalogue, requested = prepared.orders.catalogue, prepared.request.levels
    strength = str(points.strength.unique().item())
    at_level: Any = points
    levels = pair_advice.levels
    if strength:
        level = chosen_levels(points, catalogue, requested)[labels.strength_of(strength)]
        at_level, levels = (
            points[points.level == level],
            pair_advice.levels[pair_advice.levels.level == level],
        )
        if len(levels) and levels.order.iloc[0] != labels.ARROW.join(pair_advice.order):
            raise InvalidInput(
                f"on average {labels.ARROW.join(pair_advice.order)} is better, but not at"
                f" {labels.levels_text(strength, [level])}: nothing was registered; choose a level"
                f" (levels={labels.strength_of(strength)}=…)"
            )
    first = at_level.iloc[0]
    is_forward = pair_advice.order == (first.intervention, first.partner)
    run_ids = first.forward_runs if is_forward else first.backward_runs
    runs = prepared.runs[prepared.runs.run_id.isin(list(run_ids))]
    columns = [name for name in ("edit_batch", "seed") if name in runs]
    return str(runs.sort_values(columns, kind="stable").run_id.iloc[0])


def _tags(order: str, pair_advice: Recommendation, test: PairTest) -> dict[str, str]:
    tags = {
        schema.RECOMMENDED: order,
        schema.GAIN: f"{pair_advice.score:.4g}",
        schema.GAIN_P: f"{test.corrected(pair_advice.p_holm):.3g}, corrected over all pairs",
    }
    if math.isfinite(pair_advice.low) and math.isfinite(pair_advice.high):
        tags[schema.GAIN_INTERVAL] = (
            f"{pair_advice.low:.4g} to {pair_advice.high:.4g}, 95 % over {pair_advice.basis}"
        )
    return tags
