"""The README's composability tables, from a finished `preset=paper`: `python -m benchmarks.composability`.

A cell is "order-free error / order sensitivity". Compressions at the level where the testbed shows a difference
(sparsity 0.65, 3 bits; the paper's 0.25 and 4 bits do it no harm), and as areas over all of their levels.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pandas as pd

from analysis.metrics import composability
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
    """Markdown; interventions of one kind down, of the other across, once per criterion."""
    by_pair = {
        (frozenset((row.intervention, row.partner)), row.criterion): row
        for row in measured.itertuples()
    }
    lines = [
        f"| {title} | "
        + " | ".join(f"{criterion}: {column}" for criterion in criteria for column in columns)
        + " |",
        "|---" * (1 + len(columns) * len(criteria)) + "|",
    ]
    for name in rows:
        found = [
            by_pair[frozenset((name, column)), criterion]
            for criterion in criteria
            for column in columns
        ]
        lines.append(f"| {name} | " + " | ".join(map(_cell, found)) + " |")
    return "\n".join(lines)


def _cell(row: tuple[object, ...]) -> str:
    return f"{row.order_free_error:.2f} / {row.order_sensitivity:.2f}"  # type: ignore[attr-defined]


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiment", default=store.EXPERIMENT)
    runs = query.compositions(parser.parse_args().experiment, "attributes.status = 'FINISHED'")
    at, areas = (
        composability.point(runs, levels=LEVELS),
        composability.area(composability.point(runs)),
    )
    for rows, columns, criteria in TABLES:
        kinds = [(at, "at the level"), (areas, "area")] if rows is COMPRESSIONS else [(at, "")]
        for measured, title in kinds:
            print(table(measured, rows, columns, criteria, title), end="\n\n")


if __name__ == "__main__":
    main()
