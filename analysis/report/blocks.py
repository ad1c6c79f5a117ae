"""The report's own tables as blocks: orders level by level, comparisons, areas over the levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.inference.recommendation import Recommendation
from analysis.labels import Labels
from analysis.metrics.columns import ADJUSTED, MEASURES, VARIANT
from analysis.metrics.measures import complete
from analysis.report.findings.evidence import p_number, runs_of
from analysis.tables.table import Block

_EMPTY = ("", labels.NOTHING)
_CURVE = ["intervention", "partner", "settings", "criterion"]
_LEVEL_COLUMNS = ("Level", "Ahead", "Score", "95% interval", "p", "p (Holm, pair)", "Units", "Over")
_COMPARED = (
    "Criterion",
    "Level",
    "As written",
    "Other way",
    "Gain",
    "95% interval",
    "|Difference|",
    "Noise floor",
    "p",
    "p (Holm)",
    "q (BH)",
    "Units",
    "Over",
)


def level_block(advice: Sequence[tuple[pd.DataFrame, Recommendation]], titles: Labels) -> Block:
    """Return the order that is ahead at each level of each pair as a block.

    Args:
        advice: points and recommendation of each pair and setting.
        titles: for rows and cells.
    """
    pairs, rows, runs = [], [], []
    for points, one in advice:
        for level in one.levels.to_dict("records"):
            is_level = points.level.fillna(-np.inf) == (
                -np.inf if np.isnan(level["level"]) else level["level"]
            )
            rows.append(_level_row(level, titles))
            pairs.append(points.iloc[[0]])
            runs.append(runs_of(points[is_level]))
    names = _pair_labels(pd.concat(pairs), titles) if pairs else []
    return _without_empty(_block(rows, names, list(_LEVEL_COLUMNS), runs))


def _level_row(level: Mapping[Any, Any], titles: Labels) -> tuple[str, ...]:
    order = titles.order(*level["order"].split(labels.ARROW))
    return (
        labels.level_text(level["strength"], level["level"]),
        order if level["score"] else "neither",
        labels.number(level["score"], 3),
        interval_text(level["low"], level["high"]),
        p_number(level["p"]),
        p_number(level["p_holm"]),
        str(level["units"]),
        level["basis"],
    )


def comparison_block(points: pd.DataFrame, titles: Labels) -> Block:
    """Return every comparison with its interval, noise floor and tests as a block.

    Args:
        points: rows of ``with_claims``.
        titles: for rows and cells.
    """
    compared = _in_paper_order(points[complete(points) & (points.better != "neither")], titles)
    rows: list[tuple[str, ...]] = [
        _comparison_row(point, titles) for point in compared.to_dict("records")
    ]
    both_orders = compared.forward_runs + compared.backward_runs
    runs = [tuple(dict.fromkeys(run_ids)) for run_ids in both_orders]
    block = _block(rows, _pair_labels(compared, titles), list(_COMPARED), runs)
    return _without_empty(block)


def _comparison_row(point: Mapping[Any, Any], titles: Labels) -> tuple[str, ...]:
    numbers = [labels.number(point[name], 3) for name in ("order_sensitivity", "noise_floor")]
    tests = [p_number(point[name]) for name in ("p", "p_holm", "q")]
    return (
        titles.criterion(point["criterion"]),
        labels.level_text(point["strength"], point["level"]),
        labels.number(point["forward"], 3),
        labels.number(point["backward"], 3),
        labels.number(round(point["gain"], 3) + 0.0, 3),
        interval_text(point["gain_low"], point["gain_high"]),
        *numbers,
        *tests,
        str(point["units"] or ""),
        " ".join(filter(None, (point["basis"], point["scope"]))),
    )


def interval_text(low: float, high: float) -> str:
    """Return ``0.110 to 0.390``; a dash where there is none."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return labels.NOTHING
    return f"{low:.3f} to {high:.3f}"


def _without_empty(block: Block) -> Block:
    """Return a block without the columns that have no value; its numbers alone link to runs."""
    empty = [name for name in block.values if block.values[name].isin(_EMPTY).all()]
    values, best, runs = (
        frame.drop(columns=empty) for frame in (block.values, block.best, block.runs)
    )
    is_number = values.apply(lambda column: column.str.match(r"[-<]?[\d∞]"))
    return Block(values, best, runs.where(is_number))


def area_block(areas: pd.DataFrame, points: pd.DataFrame, titles: Labels) -> Block:
    """Return the areas as a block, a row per pair and criterion, in the order of the tables.

    Args:
        areas: rows of ``analysis.metrics.areas.area``, with the columns of ``area_intervals``.
        points: the points that the areas are of, for their runs.
        titles: for rows and columns.
    """
    measures = [labels.MEASURE_TITLES[measure] for measure in MEASURES]
    columns = ["Criterion", "Levels", "As written", "Other way", *measures, "Adjusted"]
    columns += ["Signed", "95% interval", "p (Holm)", "q (BH)"]
    areas = _in_paper_order(areas, titles)
    numbers = [
        areas[name].map(lambda value: labels.number(value, 3))
        for name in ("forward", "backward", *MEASURES, ADJUSTED)
    ]
    criteria = areas.criterion.map(titles.criterion)
    tests = [
        areas.signed.map(lambda value: labels.number(value, 3)),
        [interval_text(*ends) for ends in zip(areas.signed_low, areas.signed_high, strict=True)],
        areas.p_holm.map(p_number),
        areas.q.map(p_number),
    ]
    rows = list(zip(criteria, areas.levels, *numbers, *tests, strict=True))
    both_orders = points.forward_runs + points.backward_runs
    runs_of_curve = both_orders.groupby([points[name] for name in _CURVE]).sum()
    curves = areas[_CURVE].itertuples(index=False, name=None)
    runs = [tuple(dict.fromkeys(runs_of_curve[curve])) for curve in curves]
    return _without_empty(_block(rows, _pair_labels(areas, titles), columns, runs))


def _in_paper_order(areas: pd.DataFrame, titles: Labels) -> pd.DataFrame:
    """Return rows sorted by pair as in the paper, then by criterion as in the catalogue."""
    criterion_places = {name: place for place, name in enumerate(titles.catalogue.criteria)}
    areas = areas.assign(
        first_place=areas.intervention.map(labels.place),
        second_place=areas.partner.map(labels.place),
        criterion_place=areas.criterion.map(criterion_places),
    )
    key = ["context", "first_place", "second_place", *VARIANT, "criterion_place"]
    key += ["level"] if "level" in areas else []
    return areas.sort_values(key)


def _block(
    rows: list[Any], index: list[str], columns: list[str], runs: list[tuple[str, ...]]
) -> Block:
    """Return a block in which every cell of a row links to the row's runs, and none is best."""
    values = pd.DataFrame(rows, index=index, columns=columns)
    linked = pd.DataFrame({name: pd.Series(runs, dtype=object) for name in columns})
    return Block(values, values.notna() & False, linked.set_axis(index))


def _pair_labels(frame: pd.DataFrame, titles: Labels) -> list[str]:
    """Return ``FT + Wanda`` for each row, with the context where there are several."""
    several = frame.context.nunique() > 1
    pairs = []
    for row in frame[["intervention", "partner", *VARIANT]].to_dict("records"):
        first = titles.method(row["intervention"], row["intervention_variant"])
        second = titles.method(row["partner"], row["partner_variant"])
        pairs.append(f"{first} + {second}" + (f"; {row['context']}" if several else ""))
    return pairs
