"""Print whether every intervention is right on every anatomy, as a Markdown table.

    python -m tests.anatomies [--only llama,gpt2] [--methods wanda,gptq] [--json anatomies.json]

Cells are in words: right, refused (before weights are loaded), LATE (refused after), WRONG, ERROR.
The notes follow, one line each: the name of the check, the refusal, the numbers or the exception.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

# read when the libraries below are imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

from transformers.utils.logging import disable_progress_bar

from tests.anatomies.cells import Cell
from tests.anatomies.facts import TOKENIZER_FACTS
from tests.anatomies.table import METHODS, table, tokenizer_table
from tests.anatomies.tokenizers import KINDS
from tests.anatomies.zoo import ANATOMIES


def main(arguments: list[str] | None = None) -> int:
    """Fill the table; return 1 if a cell is neither right nor refused."""
    description = "Hold every intervention against its reference on every anatomy."
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", default=",".join(ANATOMIES), help="anatomies, by commas")
    parser.add_argument("--methods", default=",".join(METHODS), help="columns, by commas")
    parser.add_argument("--json", type=Path, help="where the cells are written")
    options = parser.parse_args(arguments)
    disable_progress_bar()
    started, columns = time.monotonic(), options.methods.split(",")
    cells: dict[str, dict[str, Cell]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COMPOSABILITY_CACHE"] = f"{folder}/cache"
        for name in options.only.split(","):
            cells[name] = table(name, Path(folder), columns)
            print(name, *(f"{m}={c.verdict}" for m, c in cells[name].items()), file=sys.stderr)
    kinds = {f"tokenizer {kind}": tokenizer_table(kind) for kind in KINDS}
    _print_table(cells, columns)
    _print_table(kinds, list(TOKENIZER_FACTS))
    rows = cells | kinds
    for name, row in rows.items():
        for column, cell in row.items():
            print(f"- {name} x {column}: {cell.verdict}: {cell.note}")
    if options.json:
        plain = {n: {m: dataclasses.asdict(c) for m, c in row.items()} for n, row in rows.items()}
        options.json.write_text(json.dumps(plain, indent=1))
    counts = Counter(cell.verdict for row in rows.values() for cell in row.values())
    shares = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    print(f"\n{shares}; {time.monotonic() - started:.0f} s")
    return int(any(verdict not in ("right", "refused") for verdict in counts))


def _print_table(rows: dict[str, dict[str, Cell]], columns: list[str]) -> None:
    print(f"| | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(row[column].verdict for column in columns)} |")
    print()


if __name__ == "__main__":
    sys.exit(main())
