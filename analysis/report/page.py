"""One self-contained page: findings in words, then the numbers; every number links to its runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.io
from jinja2 import Environment, select_autoescape
from markupsafe import Markup

from analysis import labels
from analysis.report.findings import Finding
from analysis.tables.table import WINS, Block, Table

_HERE = Path(__file__).parent
_MOST = 400  # rows of one table on the page; the files have all


@dataclass(frozen=True)
class Content:
    """What a report shows.

    Attributes:
        title: which experiments.
        runs: the runs used: ``run_id`` and ``experiment_id`` are read.
        findings: context to sentences.
        order: the order to choose, a row per pair.
        tables: of `layouts`.
        areas: a row per curve, as a block.
        figures: (name, caption, plotly's figure) of the curves.
        heats: likewise of the heat maps.
        missing, left_out, notes: sentences.
        error_words: how order-free error was taken.
        confidence: of the intervals.
        over: what was resampled, in words.
        ui: address of MLflow's UI.
    """

    title: str
    runs: pd.DataFrame
    findings: dict[str, list[Finding]]
    order: Block
    tables: Sequence[Table]
    areas: Block
    figures: Sequence[tuple[str, str, Any]]
    heats: Sequence[tuple[str, str, Any]]
    missing: Sequence[str]
    left_out: Sequence[str]
    notes: Sequence[str]
    error_words: str
    confidence: float
    over: str
    ui: str


class _Index:
    """Run ids by number: the page has each id once, and its cells short lists of numbers."""

    def __init__(self, runs: pd.DataFrame) -> None:
        self.runs = list(zip(runs.run_id, runs.experiment_id, strict=True))
        self.number = {run_id: i for i, (run_id, _) in enumerate(self.runs)}

    def __call__(self, ids: Any) -> str:
        return (
            " ".join(str(self.number[i]) for i in ids if i in self.number)
            if isinstance(ids, tuple)
            else ""
        )


def render(content: Content) -> str:
    """The page, as HTML that needs nothing else."""
    index = _Index(content.runs)
    environment = Environment(
        autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((_HERE / "report.html.j2").read_text())
    main, appendix = (
        [t for t in content.tables if (t.number < 8) == first] for first in (True, False)
    )
    return template.render(
        title=content.title,
        used=len(content.runs),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        css=Markup((_HERE / "report.css").read_text()),
        js=Markup((_HERE / "report.js").read_text()),
        runs=Markup(_script(index.runs)),
        ui=content.ui,
        ui_json=Markup(_script(content.ui)),
        findings=[
            (context, [_told(f, index) for f in found])
            for context, found in content.findings.items()
        ],
        order=_shown(content.order, index),
        order_note=_cut(content.order),
        main_tables=[_table(table, index) for table in main],
        absent=_absent(main),
        appendix=[_table(table, index) for table in appendix],
        areas=_shown(content.areas, index),
        areas_note=_cut(content.areas),
        figures=_embedded(content.figures, script=True),
        heats=_embedded(content.heats, script=not content.figures),
        missing=content.missing[:_MOST],
        left_out=content.left_out,
        notes=content.notes,
        error_words=content.error_words,
        confidence=f"{content.confidence:.0%}",
        over=content.over,
    )


def _script(value: Any) -> str:
    """JSON that cannot end the script that it stands in."""
    return json.dumps(value).replace("</", "<\\/")


def _told(finding: Finding, index: _Index) -> tuple[str, str, str]:
    """What it is about, what it says, its runs."""
    lead, colon, rest = finding.text.partition(": ")
    return (lead + colon, rest, index(finding.runs)) if colon else ("", lead, index(finding.runs))


def _table(table: Table, index: _Index) -> dict[str, Any]:
    rows = len(table.blocks[0].values)
    return {
        "number": table.number,
        "caption": table.caption,
        "rows": rows,
        "blocks": [_shown(block, index) for block in table.blocks],
    }


def _shown(block: Block, index: _Index) -> dict[str, Any]:
    """Header rows as (text, span), and body rows as (label, cells of (text, best, runs))."""
    columns: list[Any] = list(block.values.columns)
    deep = [column if isinstance(column, tuple) else (column,) for column in columns]
    header = [
        [
            (path[-1], len(list(group)))
            for path, group in groupby(column[: depth + 1] for column in deep)
        ]
        for depth in range(len(deep[0]) if deep else 0)
    ]
    rows = []
    for i in range(min(len(block.values), _MOST)):
        line = zip(deep, block.values.iloc[i], block.best.iloc[i], block.runs.iloc[i], strict=True)
        cells = [(_text(name, value), best, ids) for name, value, best, ids in line]
        linked = [
            (text, best, "" if text == labels.NOTHING else index(ids)) for text, best, ids in cells
        ]
        rows.append((block.values.index[i], linked))
    return {"header": header, "rows": rows}


def _text(column: tuple[str, ...], value: Any) -> str:
    if isinstance(value, str):
        return value
    return labels.number(float(value), 0 if column[0] == WINS else 2)


def _cut(block: Block) -> str:
    more = len(block.values) - _MOST
    return f" {more} more rows are in the CSV file." if more > 0 else ""


def _absent(tables: Iterable[Table]) -> str:
    lacking = [
        str(number) for number in (2, 3, 4) if number not in {table.number for table in tables}
    ]
    return f" There are no pairs for Table {' and '.join(lacking)}." if lacking else ""


def _embedded(figures: Iterable[tuple[str, str, Any]], script: bool) -> list[tuple[str, Markup]]:
    """Captions and HTML; the first brings plotly's script with it, unless the page has it."""
    made = []
    for i, (name, caption, figure) in enumerate(figures):
        made.append((caption, Markup(_html(figure, name, script and i == 0, whole=False))))
    return made


def standalone(figure: Any) -> str:
    """A figure as a page of its own that works offline."""
    return _html(figure, "figure", True, whole=True)


def _html(figure: Any, name: str, script: bool, whole: bool) -> str:
    html: str = plotly.io.to_html(
        figure, full_html=whole, include_plotlyjs=script, div_id=name, config={"displaylogo": False}
    )
    return html
