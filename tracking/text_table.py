"""A table as a terminal shows it; imports nothing."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of equal length as lines: the first column to the left, all others to the right.

    Example:
        >>> print(text_table([["", "seconds"], ["lora", "3"], ["wanda", "12"]]))
               seconds
        lora         3
        wanda       12
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        right = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *right]).rstrip())
    return "\n".join(lines)
