"""Print composability tables of a finished `preset=paper`: `python -m benchmarks.composability`.

A cell is "order-free error / order sensitivity". Compressions are shown at the level where the
testbed shows a difference (sparsity 0.65, 3 bits; the paper's 0.25 and 4 bits do it no harm), and
as areas over all of their levels.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.metrics.composability import area, point
from tracking import query, store

LEVELS = {"sparsity": 0.65, "bits": 3}
EDITORS, COMPRESSIONS, UNLEARNERS = (
    ("ft", "memit", "lora"),
    ("wanda", "sparsegpt", "awq", "gptq"),
    ("ga", "gd", "rmu"),
)
TABLES = (
    (COMPRESSIONS, EDITORS, ("edit_success", "edit_generalization", "edit_locality", "mmlu")),
    (COMPRESSIONS, UNLEARNERS, ("wmdp", "mmlu")),
    (UNLEARNERS, EDITORS, ("edit_success", "edit_generalization", "wmdp", "mmlu")),
)


def table(
    measured: pd.DataFrame,
    rows: Sequence[str],
    columns: Sequence[str],
    criteria: Sequence[str],
    title: str,
) -> str:
    """Return Markdown; interventions of one kind down, of another across, once per criterion."""
    by_pair = {
        (frozenset((row.intervention, row.partner)), row.criterion): row
        for row in measured.itertuples()
    }
    header = list(itertools.product(criteria, columns))
    titles = " | ".join(f"{criterion}: {column}" for criterion, column in header)
    lines = [f"| {title} | {titles} |", "|---" * (1 + len(header)) + "|"]
    for name in rows:
        cells = [_cell(by_pair[frozenset((name, column)), kind]) for kind, column in header]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: Any) -> str:
    return f"{row.order_free_error:.2f} / {row.order_sensitivity:.2f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiment", default=store.EXPERIMENT)
    runs = query.compositions(parser.parse_args().experiment, "attributes.status = 'FINISHED'")
    at_level, areas = point(runs, levels=LEVELS), area(point(runs))
    for rows, columns, criteria in TABLES:
        kinds = [(at_level, "")]
        if rows is COMPRESSIONS:
            kinds = [(at_level, "at the level"), (areas, "area")]
        for measured, title in kinds:
            print(table(measured, rows, columns, criteria, title), end="\n\n")


if __name__ == "__main__":
    main()
