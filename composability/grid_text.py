"""How a grid ends: its pairs ranked, as the terminal shows them."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from interventions.errors import printable_line
from tracking.text_table import text_table

if TYPE_CHECKING:
    from analysis.ranking import RankedPair

_MOST_PAIRS = 15  # lines
_NARROWEST = 60  # characters


def print_ranking(experiment: str, sweep: str, first: str = "") -> None:
    """Print the pairs of a grid, the best first, and log them; nothing where there are none.

    Args:
        experiment: where the runs are.
        sweep: the grid's name.
        first: what is printed before, if there is a ranking.
    """
    from analysis.ranking import log_ranking, rank_sweep
    from tracking.lifecycle import one_line

    try:
        ranked = rank_sweep(experiment, sweep)
    except Exception as error:  # the grid itself has ended
        reason = printable_line(one_line(error), 200)
        print(f"warning: the pairs of {sweep} cannot be ranked: {reason}", file=sys.stderr)
        return
    if ranked:
        print("\n".join(filter(None, [first, ranking_text(ranked)])))
        log_ranking(experiment, sweep, ranked)


def ranking_text(ranked: Sequence[RankedPair], width: int | None = None) -> str:
    """Return pairs as a table, with what it is ranked by and what it does not say.

    Args:
        ranked: the best first.
        width: characters of a line of text; the terminal's by default.
    """
    from analysis.ranking import ranking_criteria

    width = max(_NARROWEST, width or shutil.get_terminal_size((100, 24)).columns)
    rows = [["pair", "level", "better order", "order-free error", "order sensitivity", "runs"]]
    rows += [
        [
            pair.pair,
            pair.level,
            pair.best,
            f"{pair.error:.3f}",
            f"{pair.sensitivity:.3f}",
            str(pair.replicates),
        ]
        for pair in ranked[:_MOST_PAIRS]
    ]
    more = len(ranked) - _MOST_PAIRS
    lines = [text_table(rows)]
    if more > 0:
        lines.append(f"… and {more} more, to {ranked[-1].error:.3f}")
    criteria = ", ".join(ranking_criteria(ranked))
    note = (
        f"Ranked by order-free error, the mean over {criteria} where they"
        " judge the pair; smaller is better. By the numbers alone: which order is better,"
        " `composability analyze` tests over batches of edits."
    )
    return "\n".join([*lines, textwrap.fill(note, width, subsequent_indent="  ")])
