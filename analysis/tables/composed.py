"""Tables 2 to 4 of the paper, from any runs: both measures of every pair of methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.labels import Labels
from analysis.metrics.columns import MEASURES
from analysis.metrics.groups import category_of, group_rank, groups_of_category
from analysis.metrics.measures import complete
from analysis.metrics.wins import cells, wins
from analysis.tables.layouts import COMPOSED, Layout
from analysis.tables.table import WINS, Block, Table
from tracking.catalogue import Catalogue

_DECIMALS = 10  # smaller differences are rounding of floats


def composed_tables(
    points: pd.DataFrame, titles: Labels, tied: pd.Series | None = None
) -> list[Table]:
    """Return Tables 2 to 4 for each context; those without a pair are left out.

    Args:
        points: rows of ``composability.point`` at one level of each strength.
        titles: for rows and columns.
        tied: for each row of ``duels(cells(points))``, whether the difference is noise.
    """
    counted = wins(cells(points), tied)
    rows = points.partner.map(lambda name: category_of(name, titles.catalogue))
    columns = points.intervention.map(lambda name: category_of(name, titles.catalogue))
    tables = []
    for context in dict.fromkeys(points.context):
        for number, layout in COMPOSED.items():
            is_shown = (rows == layout.rows) & (columns == layout.columns)
            shown = points[is_shown & (points.context == context)]
            won = _wins_of(counted[counted.context == context], layout, titles.catalogue)
            blocks = [_block(shown, won, criteria, titles) for criteria in layout.blocks]
            filled = [block for block in blocks if block is not None]
            if filled:
                pair = f"{layout.columns.capitalize()} and {layout.rows}"
                caption = f"{pair}: {_levels_in_words(shown)}{context}"
                tables.append(Table(number, caption, context, filled))
    return sorted(tables, key=lambda table: (table.number, table.context))


def _levels_in_words(points: pd.DataFrame) -> str:
    """Return ``at sparsity 0.25 and 4 bits; ``; "" where there are no levels."""
    texts = map(labels.level_text, points.strength, points.level)
    distinct = dict.fromkeys(filter(None, texts))
    return f"at {' and '.join(distinct)}; " if distinct else ""


def _wins_of(counted: pd.DataFrame, layout: Layout, catalogue: Catalogue) -> pd.DataFrame:
    """Return the wins of methods in rows against those in columns."""
    in_rows = counted.group.isin(groups_of_category(layout.rows, catalogue))
    in_columns = counted.versus_group.isin(groups_of_category(layout.columns, catalogue))
    return counted[in_rows & in_columns]


def _block(
    points: pd.DataFrame, won: pd.DataFrame, criteria: tuple[str, ...], titles: Labels
) -> Block | None:
    """Return the numbers of some criteria beside each other; None where no pair has them."""
    points = points[points.criterion.isin(criteria)]
    if not complete(points).any():
        return None
    points = points.assign(
        row=_labels_of(points, "partner", titles),
        column=_labels_of(points, "intervention", titles),
        runs=points.forward_runs + points.backward_runs,
    )
    rows = _in_paper_order(points, "row", "partner")
    columns = _in_paper_order(points, "column", "intervention")
    header = pd.MultiIndex.from_product([criteria, MEASURES, columns.index])
    long = points.melt(["row", "column", "criterion", "runs"], list(MEASURES), "measure", "value")
    values, runs = (_pivoted(long, name, rows.index, header) for name in ("value", "runs"))
    groups: Any = values.groupby(rows)
    best = pd.concat([_is_best(part) for _, part in groups]).loc[rows.index]
    won = won[won.criterion.isin(criteria)]
    # wins are counted over all tables, under the methods' own names
    wins_of_row = won.groupby("method").wins.sum().rename(index=_row_of_method(points))
    intervals = _intervals(points, rows.index, header)
    return _with_totals(Block(values, best, runs, intervals), wins_of_row, titles)


def _pivoted(long: pd.DataFrame, name: str, rows: pd.Index, header: pd.MultiIndex) -> pd.DataFrame:
    """Return a column of ``row, criterion, measure, column, …`` in the shape of a block."""
    key = ["criterion", "measure", "column"]
    return long.pivot(index="row", columns=key, values=name).reindex(index=rows, columns=header)


def _intervals(points: pd.DataFrame, rows: pd.Index, header: pd.MultiIndex) -> pd.DataFrame | None:
    """Return the intervals of both measures as text; None where the points have none."""
    parts = []
    for measure in MEASURES:
        if f"{measure}_low" not in points:
            return None
        ends = [f"{measure}_low", f"{measure}_high"]
        texts = [
            f"{labels.number(low)} to {labels.number(high)}"
            if np.isfinite(low) and np.isfinite(high)
            else ""
            for low, high in points[ends].itertuples(index=False, name=None)
        ]
        parts.append(points[["row", "column", "criterion"]].assign(measure=measure, text=texts))
    long = pd.concat(parts)
    return _pivoted(long, "text", rows, header) if (long.text != "").any() else None


def _labels_of(points: pd.DataFrame, role: str, titles: Labels) -> list[str]:
    names = zip(points[role], points[f"{role}_variant"], strict=True)
    return [titles.method(name, variant) for name, variant in names]


def _in_paper_order(points: pd.DataFrame, label: str, role: str) -> pd.Series:
    """Return label to group, sorted as the paper does."""
    once = points.drop_duplicates(label)
    keys = sorted(
        zip(once[f"{role}_group"], once[role], once[label], strict=True),
        key=lambda row: (group_rank(row[0]), labels.place(row[1]), row[2]),
    )
    return pd.Series({text: group for group, _, text in keys})


def _is_best(values: pd.DataFrame) -> pd.DataFrame:
    """Return where a group's lowest error is; nowhere if all are equal or there is one method."""
    rounded = values.round(_DECIMALS)
    return rounded.eq(rounded.min()) & (rounded.nunique() > 1)


def _row_of_method(points: pd.DataFrame) -> dict[str, str]:
    """Return the row's label of each method, as `wins` names it."""
    with_variant = points.partner + " (" + points.partner_variant + ")"
    names = points.partner.where(points.partner_variant == "", with_variant)
    return dict(zip(names, points.row, strict=True))


def _with_totals(block: Block, won: pd.Series, titles: Labels) -> Block:
    """Return a block with the paper's last row and column: averages over methods, and wins."""
    values = block.values.copy()
    values.loc["Average"] = values.mean()
    # the row of averages is no method and has no wins
    values[(WINS, "", "")] = won.reindex(values.index).astype(float)
    best = block.best.reindex(index=values.index, columns=values.columns, fill_value=False)
    run_ids = np.empty(values.shape, dtype=object)
    run_ids[:-1, :-1] = block.runs.to_numpy()
    for column in range(run_ids.shape[1] - 1):
        run_ids[-1, column] = _joined(run_ids[:-1, column])
    for row in range(run_ids.shape[0]):
        run_ids[row, -1] = _joined(run_ids[row, :-1])
    runs = pd.DataFrame(run_ids, index=values.index, columns=values.columns)
    columns: Any = values.columns
    header = pd.MultiIndex.from_tuples([_titled(column, titles) for column in columns])
    intervals = block.intervals
    if intervals is not None:
        # averages and wins have none
        intervals = intervals.reindex(index=values.index, columns=values.columns)
        intervals = intervals.set_axis(header, axis=1)
    values, best, runs = (frame.set_axis(header, axis=1) for frame in (values, best, runs))
    return Block(values, best, runs, intervals)


def _joined(run_ids: Iterable[Any]) -> tuple[str, ...]:
    """Return the runs of several cells, each once; a cell without a value has NaN for its runs."""
    tuples = [cell for cell in run_ids if isinstance(cell, tuple)]
    return tuple(dict.fromkeys(run_id for cell in tuples for run_id in cell))


def _titled(column: tuple[str, str, str], titles: Labels) -> tuple[str, str, str]:
    """Return a column's header as it is printed; the column of wins has its title already."""
    criterion, measure, method = column
    if not measure:
        return column
    return titles.criterion(criterion), f"{labels.MEASURE_TITLES[measure]} ↓", method
