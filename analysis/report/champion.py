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
            at the level that the tables show it is the other one.
    """
    tests = pair_tests([one for _, one in advice])
    entries = [(points, one, test) for (points, one), test in zip(advice, tests, strict=True)]
    names = [_pair(points) for points, _, _ in entries]
    wanted = [entry for entry, name in zip(entries, names, strict=True) if pair in ("", name)]
    if len(wanted) != 1:
        known = ", ".join(dict.fromkeys(names)) or "none"
        which = f"the pair {shown(pair, 100)}" if pair else "a pair"
        raise InvalidInput(
            f"register needs one pair in one setting, but of {which} there are {len(wanted)};"
            f" analysed: {known[:150]}; name it as register='lora + wanda: NAME'"
        )
    points, one, test = wanted[0]
    order = labels.ARROW.join(one.order)
    if one.verdict != BETTER or not test.allows(one.p_holm):
        raise InvalidInput(
            f"no test says which order of {_pair(points)} is better: nothing is recommended, and"
            " nothing was registered; register a run by its id with `composability register`"
        )
    run_id = _first_run(prepared, points, one)
    return RecommendedRun(run_id, MappingProxyType(_tags(order, one, test)))


def _pair(points: pd.DataFrame) -> str:
    first = points.iloc[0]
    return schema.pair_name([str(first.intervention), str(first.partner)])


def _first_run(prepared: PreparedAnalysis, points: pd.DataFrame, one: Recommendation) -> str:
    """Return the run of the order at the level that tables show, of the first batch and seed."""
    catalogue, requested = prepared.orders.catalogue, prepared.request.levels
    strength = str(points.strength.iloc[0])
    at_level: Any = points
    levels = one.levels
    if strength:
        level = chosen_levels(points, catalogue, requested)[labels.strength_of(strength)]
        at_level, levels = points[points.level == level], one.levels[one.levels.level == level]
        if len(levels) and levels.order.iloc[0] != labels.ARROW.join(one.order):
            raise InvalidInput(
                f"on average {labels.ARROW.join(one.order)} is better, but not at"
                f" {labels.levels_text(strength, [level])}: nothing was registered; choose a level"
                f" (levels={labels.strength_of(strength)}=…)"
            )
    first = at_level.iloc[0]
    is_forward = one.order == (first.intervention, first.partner)
    run_ids = first.forward_runs if is_forward else first.backward_runs
    runs = prepared.runs[prepared.runs.run_id.isin(list(run_ids))]
    columns = [name for name in ("edit_batch", "seed") if name in runs]
    return str(runs.sort_values(columns, kind="stable").run_id.iloc[0])


def _tags(order: str, one: Recommendation, test: PairTest) -> dict[str, str]:
    tags = {
        schema.RECOMMENDED: order,
        schema.GAIN: f"{one.score:.4g}",
        schema.GAIN_P: f"{test.corrected(one.p_holm):.3g}, corrected for all tests of the analysis",
    }
    if math.isfinite(one.low) and math.isfinite(one.high):
        tags[schema.GAIN_INTERVAL] = f"{one.low:.4g} to {one.high:.4g}, 95 % over {one.basis}"
    return tags
