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

from analysis.labels import counted
from analysis.report.answer import PairAnswer
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
        answers: whether each pair composes, in which order, and how sure that is.
        findings: context to sentences.
        levels: the order that is ahead, a row per pair and level.
        comparisons: a row per pair, level and criterion of claims, with intervals and tests.
        tables: of `layouts`.
        areas: a row per curve, as a block.
        figures: of the curves.
        heats: of order sensitivity.
        fronts: of size against quality.
        side_by_side: gains in several contexts; None where there is one.
        changes: what steps did to items; None where none were read.
        changes_note: of whose runs items were read.
        sequences: tests of three and more interventions; None where there are none.
        restored: what comes back of what was unlearned; None where no run tells.
        merges: merges beside both orders; None where none has run with an order's settings.
        missing: sentences on the orders and levels that were not run.
        left_out: sentences on the runs that are not used.
        notes: sentences on how to read the page.
        error_words: how order-free error was taken.
        confidence: of the intervals, in (0, 1).
        over: what the intervals are over, in words.
        ui: address of MLflow's UI.
    """

    title: str
    runs: pd.DataFrame
    answers: Sequence[PairAnswer]
    findings: dict[str, list[Finding]]
    levels: Block
    comparisons: Block
    tables: Sequence[Table]
    areas: Block
    figures: Sequence[Figure]
    heats: Sequence[Figure]
    fronts: Sequence[Figure]
    side_by_side: Block | None
    changes: Block | None
    changes_note: str
    sequences: Block | None
    restored: Block | None
    merges: Block | None
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
    )
    return environment.get_template("report.html.j2").render(
        title=content.title,
        used=len(content.runs),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        css=Markup((_FOLDER / "report.css").read_text()),
        js=Markup((_FOLDER / "report.js").read_text()),
        runs=numbers.runs,
        ui=content.ui,
        counted=counted,
        findings=[
            (context, [finding_parts(finding, numbers) for finding in sentences])
            for context, sentences in content.findings.items()
        ],
        answers=[(answer, numbers.text(answer.runs)) for answer in content.answers[:MOST_ROWS]],
        answers_more=max(0, len(content.answers) - MOST_ROWS),
        levels=block_parts(content.levels, numbers),
        levels_note=cut_note(content.levels),
        comparisons=block_parts(content.comparisons, numbers),
        comparisons_note=cut_note(content.comparisons),
        main_tables=[table_parts(table, numbers) for table in main_tables],
        absent=absent_note(main_tables),
        appendix=[table_parts(table, numbers) for table in appendix],
        areas=block_parts(content.areas, numbers),
        areas_note=cut_note(content.areas),
        figures=_embedded(content.figures, with_script=True),
        heats=_embedded(content.heats, with_script=not content.figures),
        fronts=_embedded(content.fronts, with_script=not (content.figures or content.heats)),
        side_by_side=_parts_or_none(content.side_by_side, numbers),
        changes=_parts_or_none(content.changes, numbers),
        changes_note=content.changes_note
        + ("" if content.changes is None else cut_note(content.changes)),
        sequences=_parts_or_none(content.sequences, numbers),
        restored=_parts_or_none(content.restored, numbers),
        merges=_parts_or_none(content.merges, numbers),
        missing=content.missing[:MOST_ROWS],
        missing_more=max(0, len(content.missing) - MOST_ROWS),
        left_out=content.left_out,
        notes=content.notes,
        error_words=content.error_words,
        confidence=f"{content.confidence:.0%}",
        over=content.over,
    )


def _parts_or_none(block: Block | None, numbers: RunNumbers) -> dict[str, Any] | None:
    return None if block is None else block_parts(block, numbers)


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
