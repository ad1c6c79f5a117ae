"""Render the report: one page that works offline, whose numbers link to their runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.io
from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup

from analysis.report.cells import (
    MAIN_TABLES,
    MOST_ROWS,
    RunNumbers,
    absent_note,
    block_parts,
    cut_note,
    finding_parts,
    table_parts,
)
from analysis.report.findings.evidence import Finding
from analysis.tables.table import Block, Table

_FOLDER = Path(__file__).parent
Figure = tuple[str, str, Any]  # name, caption, plotly's figure


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
        figures: of the curves.
        heats: of order sensitivity.
        missing: sentences on the orders and levels that were not run.
        left_out: sentences on the runs that are not used.
        notes: sentences on how to read the page.
        error_words: how order-free error was taken.
        confidence: of the intervals, in (0, 1).
        over: what was resampled, in words.
        ui: address of MLflow's UI.
    """

    title: str
    runs: pd.DataFrame
    findings: dict[str, list[Finding]]
    order: Block
    tables: Sequence[Table]
    areas: Block
    figures: Sequence[Figure]
    heats: Sequence[Figure]
    missing: Sequence[str]
    left_out: Sequence[str]
    notes: Sequence[str]
    error_words: str
    confidence: float
    over: str
    ui: str


def render(content: Content) -> str:
    """Return the page as HTML that needs no other file and no network."""
    numbers = RunNumbers(content.runs)
    main_tables = [table for table in content.tables if table.number <= max(MAIN_TABLES)]
    appendix = [table for table in content.tables if table.number > max(MAIN_TABLES)]
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        title=content.title,
        used=len(content.runs),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        css=Markup((_FOLDER / "report.css").read_text()),
        js=Markup((_FOLDER / "report.js").read_text()),
        runs=numbers.runs,
        ui=content.ui,
        findings=[
            (context, [finding_parts(finding, numbers) for finding in sentences])
            for context, sentences in content.findings.items()
        ],
        order=block_parts(content.order, numbers),
        order_note=cut_note(content.order),
        main_tables=[table_parts(table, numbers) for table in main_tables],
        absent=absent_note(main_tables),
        appendix=[table_parts(table, numbers) for table in appendix],
        areas=block_parts(content.areas, numbers),
        areas_note=cut_note(content.areas),
        figures=_embedded(content.figures, with_script=True),
        heats=_embedded(content.heats, with_script=not content.figures),
        missing=content.missing[:MOST_ROWS],
        left_out=content.left_out,
        notes=content.notes,
        error_words=content.error_words,
        confidence=f"{content.confidence:.0%}",
        over=content.over,
    )


def standalone(figure: Any) -> str:
    """Return a plotly figure as a page of its own that works offline."""
    return _html(figure, "figure", with_script=True, whole_page=True)


def _embedded(figures: Iterable[Figure], with_script: bool) -> list[tuple[str, Markup]]:
    """Return captions and plotly's HTML; the first may bring plotly's script, megabytes of it."""
    parts = []
    for position, (name, caption, figure) in enumerate(figures):
        html = _html(figure, name, with_script and position == 0, whole_page=False)
        # Not escaped: plotly writes it, and escapes what the figure says.
        parts.append((caption, Markup(html)))
    return parts


def _html(figure: Any, name: str, with_script: bool, whole_page: bool) -> str:
    html: str = plotly.io.to_html(
        figure,
        full_html=whole_page,
        include_plotlyjs=with_script,
        div_id=name,
        config={"displaylogo": False},
    )
    return html
