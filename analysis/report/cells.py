"""Blocks as the template shows them: text, whether it is the best, and numbers of runs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import pandas as pd

from analysis import labels
from analysis.report.findings.evidence import Finding
from analysis.tables.table import WINS, Block, Table

MOST_ROWS = 400  # of one table on the page; the files have all
MAIN_TABLES = (2, 3, 4)  # numbers of the paper's tables


class RunNumbers:
    """Numbers for run ids: the page has each id once, and its cells short lists of numbers.

    Args:
        runs: with ``run_id`` and ``experiment_id``.
    """

    def __init__(self, runs: pd.DataFrame) -> None:
        self.runs = list(zip(runs.run_id, runs.experiment_id, strict=True))
        self._number = {run_id: number for number, (run_id, _) in enumerate(self.runs)}

    def text(self, run_ids: Any) -> str:
        """Return the numbers of a tuple of run ids; empty where there is no tuple."""
        if not isinstance(run_ids, tuple):
            return ""
        return " ".join(str(self._number[run_id]) for run_id in run_ids if run_id in self._number)


def finding_parts(finding: Finding, numbers: RunNumbers) -> tuple[str, str, str]:
    """Return what a finding is about, what it says, and its runs."""
    lead, colon, statement = finding.text.partition(": ")
    if not colon:
        return "", lead, numbers.text(finding.runs)
    return lead + colon, statement, numbers.text(finding.runs)


def table_parts(table: Table, numbers: RunNumbers) -> dict[str, Any]:
    """Return a table as the template reads it."""
    return {
        "number": table.number,
        "caption": table.caption,
        "rows": len(table.blocks[0].values),
        "blocks": [block_parts(block, numbers) for block in table.blocks],
    }


def block_parts(block: Block, numbers: RunNumbers) -> dict[str, Any]:
    """Return a block's header rows and body rows.

    Args:
        block: to be shown.
        numbers: of the runs.

    Returns:
        ``header``: rows of (text, columns that it spans); ``rows``: (label, cells) with cells
        (text, whether it is the best, numbers of its runs, its interval).
    """
    columns: list[Any] = list(block.values.columns)
    paths = [column if isinstance(column, tuple) else (column,) for column in columns]
    depth = len(paths[0]) if paths else 0
    header = [_header_row(paths, level) for level in range(depth)]
    rows = []
    for position in range(min(len(block.values), MOST_ROWS)):
        values, best, runs = (
            frame.iloc[position] for frame in (block.values, block.best, block.runs)
        )
        cells = [
            (*_cell(path, value, is_best, run_ids, numbers), block.interval(position, column))
            for column, (path, value, is_best, run_ids) in enumerate(
                zip(paths, values, best, runs, strict=True)
            )
        ]
        rows.append((block.values.index[position], cells))
    return {"header": header, "rows": rows}


def cut_note(block: Block) -> str:
    """Return a sentence on the rows that the page leaves out; empty if it has all."""
    more = len(block.values) - MOST_ROWS
    rows = "row is" if more == 1 else "rows are"
    return f" {more} more {rows} in the CSV file." if more > 0 else ""


def absent_note(tables: Iterable[Table]) -> str:
    """Return a sentence on the main tables that no pair is for; empty if all are there."""
    present = {table.number for table in tables}
    absent = [str(number) for number in MAIN_TABLES if number not in present]
    return f" There are no pairs for Table {' and '.join(absent)}." if absent else ""


def _header_row(paths: list[tuple[str, ...]], level: int) -> list[tuple[str, int]]:
    """Return one row of a header: neighbours with the same path down to the level are one cell."""
    prefixes = groupby(path[: level + 1] for path in paths)
    return [(prefix[-1], len(list(group))) for prefix, group in prefixes]


def _cell(
    path: tuple[str, ...], value: Any, is_best: bool, run_ids: Any, numbers: RunNumbers
) -> tuple[str, bool, str]:
    if isinstance(value, str):
        text = value
    else:
        text = labels.number(float(value), 0 if path[0] == WINS else 2)
    return text, is_best, "" if text == labels.NOTHING else numbers.text(run_ids)
