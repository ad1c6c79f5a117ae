"""Print what composes on the testbed, from finished runs: `python -m benchmarks.composability`.

Reads the runs that `composability findings --run` makes. A cell is the order-free error, then how
much better it is to edit (or to unlearn; of both, to unlearn) first, with its 95 % interval over
batches of edits, or seeds where nothing is edited.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.inference.intervals import intervals
from analysis.metrics.composability import point
from tracking import query, store

LEVELS: tuple[Mapping[str, float], ...] = (
    {"sparsity": 0.25, "bits": 4},
    {"sparsity": 0.65, "bits": 3},
)
EDITORS, COMPRESSIONS, UNLEARNERS = (
    ("ft", "memit", "lora"),
    ("wanda", "sparsegpt", "awq", "gptq"),
    ("ga", "gd", "rmu"),
)
TABLES = (
    (COMPRESSIONS, EDITORS, ("edit_success", "mmlu")),
    (COMPRESSIONS, UNLEARNERS, ("wmdp", "mmlu")),
    (EDITORS, UNLEARNERS, ("edit_success", "wmdp", "mmlu")),
)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiment", default=store.EXPERIMENT)
    parser.add_argument("--recompress", default="auto")
    options = parser.parse_args()
    runs = query.compositions(
        options.experiment,
        f"attributes.status = 'FINISHED' and params.recompress = '{options.recompress}'",
    )
    for rows, columns, criteria in TABLES:
        for criterion in criteria:
            for levels in LEVELS if rows is COMPRESSIONS else ({},):
                points = intervals(runs, point(runs, [criterion], levels=levels))
                level = ", ".join(f"{name} {value:g}" for name, value in levels.items())
                by_pair = {
                    frozenset((row.intervention, row.partner)): row for row in points.itertuples()
                }
                print(f"| {criterion}{level and f', {level}'} | {' | '.join(columns)} |")
                print("|---" * (1 + len(columns)) + "|")
                for name in rows:
                    cells = [cell(by_pair[frozenset((name, column))]) for column in columns]
                    print(f"| {name} | {' | '.join(cells)} |")
                print()


def cell(row: Any) -> str:
    """Return a pair's order-free error, and its gain with the interval."""
    text = f"{row.order_free_error:.2f}; {row.gain:+.2f}"
    if pd.isna(row.gain_low):
        return text
    return f"{text} ({row.gain_low:+.2f} to {row.gain_high:+.2f})"


if __name__ == "__main__":
    main()
