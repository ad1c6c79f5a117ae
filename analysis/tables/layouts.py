"""Which numbers stand where in the paper's Tables 2 to 4 and 8 to 14; from any runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.labels import Labels
from analysis.metrics.align import Orders
from analysis.metrics.points import MEASURES, complete
from analysis.metrics.wins import cells, wins
from analysis.tables.table import WINS, Block, Table

COMPRESSION = ("pruning", "quantization", "compression")
GROUPS = {"editing": ("editing",), "unlearning": ("unlearning",), "compression": COMPRESSION}
PAPER_LEVELS = {"sparsity": 0.25, "bits": 4.0}  # of its Tables 2 to 4


@dataclass(frozen=True)
class Composed:
    """Tables 2 to 4: methods as rows, those they are composed with as columns, two criteria beside each other."""

    rows: str
    columns: str
    blocks: tuple[tuple[str, ...], ...]


COMPOSED = {
    2: Composed(
        "compression",
        "editing",
        (("edit_success", "edit_generalization"), ("edit_locality", "mmlu")),
    ),
    3: Composed("compression", "unlearning", (("wmdp", "mmlu"),)),
    4: Composed(
        "unlearning", "editing", (("edit_success", "edit_generalization"), ("wmdp", "mmlu"))
    ),
}
# Tables 9 to 14: (first, second) category
SEQUENCES = {
    9: ("editing", "compression"), 10: ("compression", "editing"), 11: ("unlearning", "compression"),
    12: ("compression", "unlearning"), 13: ("editing", "unlearning"), 14: ("unlearning", "editing"),
}  # fmt: skip
APPENDIX = {
    "edit_success": "Editing", "edit_generalization": "Editing", "edit_locality": "Editing",
    "average_bits": "Compression", "wmdp": "Unlearning", "mmlu": "Utility", "wikitext_ppl": "Utility",
}  # fmt: skip


def chosen_levels(
    points: pd.DataFrame, asked: Mapping[str, float] | None = None
) -> dict[str, float]:
    """The level of each strength that a table shows: as asked; the paper's if it is there; else the nearest to it."""
    there = points[complete(points) & (points.strength != "")]
    chosen = {}
    for strength, group in there.groupby(there.strength.map(labels.strength_of), sort=False):
        name = str(strength)
        wanted = {**PAPER_LEVELS, **(asked or {})}.get(name, float(group.level.min()))
        chosen[name] = min(sorted(set(group.level)), key=lambda level: abs(level - wanted))
    return chosen


def composed(points: pd.DataFrame, titles: Labels, tied: pd.Series | None = None) -> list[Table]:
    """Tables 2 to 4, for each context; those without a pair are left out.

    Args:
        points: at one level of each strength.
        titles: for rows and columns.
        tied: for each row of ``duels(cells(points))``, whether the difference is noise.
    """
    views = cells(points)
    counted = wins(views, tied)
    tables = []
    for context in dict.fromkeys(points.context):
        for number, spec in COMPOSED.items():
            of = points[
                (points.context == context)
                & points.intervention_group.isin(GROUPS[spec.columns])
                & points.partner_group.isin(GROUPS[spec.rows])
            ]
            blocks = [_block(of, counted, context, spec, block, titles) for block in spec.blocks]
            there = [block for block in blocks if block is not None]
            if there:
                caption = f"{spec.columns.capitalize()} and {spec.rows}: {_at(of)}{context}"
                tables.append(Table(number, caption, context, there))
    return sorted(tables, key=lambda table: (table.number, table.context))


def _at(points: pd.DataFrame) -> str:
    levels = dict.fromkeys(filter(None, map(labels.level_text, points.strength, points.level)))
    return f"at {' and '.join(levels)}; " if levels else ""


def _block(
    points: pd.DataFrame,
    counted: pd.DataFrame,
    context: str,
    spec: Composed,
    criteria: tuple[str, ...],
    titles: Labels,
) -> Block | None:
    of = points[points.criterion.isin(criteria)]
    if not complete(of).any():
        return None
    of = of.assign(
        row=[titles.method(*names) for names in zip(of.partner, of.partner_variant, strict=True)],
        column=[
            titles.method(*names)
            for names in zip(of.intervention, of.intervention_variant, strict=True)
        ],
        runs=of.forward_runs + of.backward_runs,
    )
    rows, columns = (
        _ordered(of, "row", "partner", spec.rows),
        _ordered(of, "column", "intervention", spec.columns),
    )
    header = pd.MultiIndex.from_product([criteria, MEASURES, columns.index])
    long = of.melt(["row", "column", "criterion", "runs"], list(MEASURES), "measure", "value")
    values, runs = (
        long.pivot(index="row", columns=["criterion", "measure", "column"], values=name).reindex(
            index=rows.index, columns=header
        )
        for name in ("value", "runs")
    )
    groups: Any = values.groupby(rows, sort=False)
    best = pd.concat([_best(part) for _, part in groups]).loc[rows.index]
    block = Block(values, best, runs)
    won = counted[(counted.context == context) & counted.criterion.isin(criteria)]
    won = won[won.versus_group.isin(GROUPS[spec.columns]) & won.group.isin(GROUPS[spec.rows])]
    return _with_totals(block, _titled(won, of), titles)


def _ordered(points: pd.DataFrame, label: str, name: str, category: str) -> pd.Series:
    """Label to group, in the paper's order."""
    once = points.drop_duplicates(label)
    groups = GROUPS[category]
    keys = sorted(
        zip(once[f"{name}_group"], once[name], once[label], strict=True),
        key=lambda row: (groups.index(row[0]), labels.place(row[1]), row[2]),
    )
    return pd.Series({key[2]: key[0] for key in keys})


def _best(values: pd.DataFrame) -> pd.DataFrame:
    """Where a group's lowest error is; nowhere if all are equal or there is one method."""
    lowest = values.round(10).eq(values.round(10).min())
    return lowest & (values.round(10).nunique() > 1)


def _titled(won: pd.DataFrame, points: pd.DataFrame) -> pd.Series:
    """Row label to wins; `wins` names methods by their plain names."""
    plain = points.partner.where(
        points.partner_variant == "", points.partner + " (" + points.partner_variant + ")"
    )
    return won.groupby("method").wins.sum().rename(index=dict(zip(plain, points.row, strict=True)))


def _with_totals(block: Block, won: pd.Series, titles: Labels) -> Block:
    """The last row and column of the paper's tables: averages over methods, and wins."""
    values = block.values.copy()
    values.loc["Average"] = values.mean()
    values[(WINS, "", "")] = won.reindex(values.index).astype(float)
    best = block.best.reindex(index=values.index, columns=values.columns, fill_value=False)
    ids = np.empty(values.shape, dtype=object)
    ids[:-1, :-1] = block.runs.to_numpy()
    for j in range(ids.shape[1] - 1):
        ids[-1, j] = _all(ids[:-1, j])
    for i in range(ids.shape[0]):
        ids[i, -1] = _all(ids[i, :-1])
    runs = pd.DataFrame(ids, index=values.index, columns=values.columns)
    columns: Any = list(values.columns)
    names = [
        (titles.criterion(one), f"{labels.TITLES[measure]} ↓", column)
        if measure
        else (one, measure, column)
        for one, measure, column in columns
    ]
    header = pd.MultiIndex.from_tuples(names)
    return Block(*(frame.set_axis(header, axis=1) for frame in (values, best, runs)))


def _all(cells: Iterable[Any]) -> tuple[str, ...]:
    """The runs of several cells, each once."""
    return tuple(dict.fromkeys(run for runs in cells if isinstance(runs, tuple) for run in runs))


def appendix(orders: Orders, points: pd.DataFrame) -> list[Table]:
    """Tables 8 to 14: every composition's criteria; those without a row are left out.

    Args:
        orders: of the runs.
        points: with every level and criterion.
    """
    titles = Labels(orders.catalogue)
    tables = []
    for context in dict.fromkeys([*points.context, *orders.alone.context]):
        alone = _alone(orders, context, titles)
        if len(alone):
            caption = f"The base model and each intervention alone; {context}"
            tables.append(Table(8, caption, context, [_listed(alone, titles)]))
        for number, (first, second) in SEQUENCES.items():
            rows = _sequences(points[points.context == context], first, second, titles)
            if len(rows):
                caption = f"{first.capitalize()}, then {second}; {context}"
                tables.append(Table(number, caption, context, [_listed(rows, titles)]))
    return sorted(tables, key=lambda table: (table.number, table.context))


def _alone(orders: Orders, context: str, titles: Labels) -> pd.DataFrame:
    """``label, runs`` and the criteria, a row per intervention and level, in the paper's order."""
    of = orders.alone[orders.alone.context == context]
    criteria = [name for name in APPENDIX if name in orders.criteria]
    by = ["intervention", "intervention_variant", "strength", "level"]
    number = of.groupby(by, dropna=False, sort=False).ngroup()
    values = of.groupby(number)[criteria].mean()
    rows = []
    for at, group in of.groupby(number):
        name, variant, strength, level = (group[column].iloc[0] for column in by)
        label = titles.method(name, variant) + _suffix(strength, level)
        order = (
            bool(name),
            labels.place(name, labels.APPENDIX_ORDER),
            variant,
            np.nan_to_num(level),
        )
        rows.append((order, label, tuple(group.run_id), at))
    return _frame(rows, values)


def _sequences(points: pd.DataFrame, first: str, second: str, titles: Labels) -> pd.DataFrame:
    forward = first != "compression" and (first, second) != ("unlearning", "editing")
    one, other, order = (
        ("intervention", "partner", "forward")
        if forward
        else ("partner", "intervention", "backward")
    )
    of = points[
        points[f"{one}_group"].isin(GROUPS[first])
        & points[f"{other}_group"].isin(GROUPS[second])
        & points[order].notna()
        & points.criterion.isin(list(APPENDIX))
    ]
    values = of.pivot(index="point", columns="criterion", values=order)
    rows = []
    for cell in of.drop_duplicates("point").to_dict("records"):
        names = [
            titles.method(cell[side], cell[f"{side}_variant"])
            + (
                _suffix(cell["strength"], cell["level"])
                if cell["strength"].startswith(f"{cell[side]}.")
                else ""
            )
            for side in (one, other)
        ]
        place = [
            (labels.place(cell[side], labels.APPENDIX_ORDER), cell[f"{side}_variant"])
            for side in (one, other)
        ]
        label, runs = labels.ARROW.join(names), cell[f"{order}_runs"]
        rows.append(((*place, np.nan_to_num(cell["level"])), label, runs, cell["point"]))
    return _frame(rows, values)


def _frame(rows: list[tuple[Any, str, tuple[str, ...], Any]], values: pd.DataFrame) -> pd.DataFrame:
    """Criteria by label, in order, ``runs`` beside them; the last of a row is where its values are."""
    rows = sorted(rows, key=lambda row: row[0])
    frame = values.loc[[at for *_, at in rows]]
    frame.index = pd.Index([label for _, label, *_ in rows])
    frame["runs"] = pd.Series([runs for _, _, runs, _ in rows], index=frame.index, dtype=object)
    return frame


def _listed(rows: pd.DataFrame, titles: Labels) -> Block:
    """The appendix' columns that the rows have; no number is best."""
    criteria = [name for name in APPENDIX if name in rows]
    header = pd.MultiIndex.from_tuples(
        [(APPENDIX[name], titles.criterion(name)) for name in criteria]
    )
    values = rows[criteria].astype(float).set_axis(header, axis=1)
    runs = pd.DataFrame({name: rows.runs for name in criteria}).set_axis(header, axis=1)
    return Block(values, values.notna() & False, runs)


def _suffix(strength: str, level: float) -> str:
    """`` (0.25)`` or `` (4-Bit)``, as the paper writes levels."""
    if not strength:
        return ""
    return f" ({level:g}-Bit)" if labels.strength_of(strength) == "bits" else f" ({level:g})"
