"""Both orders of a pair, as the terminal shows them."""

from __future__ import annotations

import math
import shutil
import textwrap
from typing import TYPE_CHECKING

from tracking.text_table import text_table

if TYPE_CHECKING:
    from analysis.compared_merges import ComparedMerge, OverOrder
    from analysis.comparison import ComparedCriterion, ComparedLevel, Comparison

_NARROWEST = 60  # characters
_MARK = " *"
_NO_NUMBER = "-"


def comparison_text(comparison: Comparison, hint: str = "", width: int | None = None) -> str:
    """Return both orders at each level as a table, what the tests say, and links.

    Args:
        comparison: of a pair.
        hint: how to start the UI that the links lead to; "" if it runs.
        width: characters of a line of text; the terminal's by default.
    """
    width = max(_NARROWEST, width or shutil.get_terminal_size((100, 24)).columns)
    blocks = [_level_text(level) for level in comparison.levels]
    blocks += [_merge_text(merge) for merge in comparison.merges]
    sentences = [_legend(comparison), *comparison.advice]
    blocks.append(
        "\n".join(textwrap.fill(text, width, subsequent_indent="  ") for text in sentences)
    )
    links = [f"{name}: {address}" for name, address in comparison.links.items()]
    blocks.append("\n".join([*links, *([f"({hint})"] if hint else [])]))
    return "\n\n".join(blocks)


def _level_text(level: ComparedLevel) -> str:
    head = ["", level.forward, level.backward, "first better by", "95 % interval", ""]
    rows = [head, *(_row(criterion) for criterion in level.criteria)]
    title = f"{level.title}: " if level.title else ""
    kind = "run" if level.replicates == 1 else "runs"
    return f"{title}{level.replicates} {kind} of each order\n{text_table(rows)}"


def _row(criterion: ComparedCriterion) -> list[str]:
    return [
        criterion.name,
        _number(criterion.forward),
        _number(criterion.backward),
        _signed(criterion.gain),
        _interval(criterion.low, criterion.high),
        f"{_scope(criterion.basis)}{_MARK if criterion.differs else ''}",
    ]


def _merge_text(merge: ComparedMerge) -> str:
    """Return a merge beside both orders: how much better it is than the one and the other."""
    head = ["", merge.way]
    for order in (merge.forward, merge.backward):
        head += [f"better than {order} by", "95 % interval", ""]
    rows = [head]
    for row in merge.criteria:
        rows.append([row.name, _number(row.merged), *_over(row.forward), *_over(row.backward)])
    title = f"{merge.title}: " if merge.title else ""
    return f"{title}merged\n{text_table(rows)}"


def _over(over: OverOrder | None) -> list[str]:
    if over is None:
        return [_NO_NUMBER, _NO_NUMBER, "not run"]
    mark = f"{_scope(over.basis)}{_MARK if over.differs else ''}"
    return [_signed(over.gain), _interval(over.low, over.high), mark]


def _interval(low: float, high: float) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return _NO_NUMBER
    return f"{_signed(low)} to {_signed(high)}"


def _scope(basis: str) -> str:
    return f"over {basis}" if basis and basis != "this batch only" else basis


def _legend(comparison: Comparison) -> str:
    """Return what the columns mean, and why a difference is marked or not."""
    criteria = [row for level in comparison.levels for row in level.criteria]
    sentences = [
        "first better by: the difference in the direction that is good for the criterion, such as"
        " a lower perplexity."
    ]
    if any(criterion.differs for criterion in criteria):
        sentences.append(
            "* a test says that the orders differ (5 %, corrected over the criteria that judge this"
            " pair)."
        )
    elif any(not math.isnan(criterion.p_holm) for criterion in criteria):
        sentences.append("No test says that the orders differ.")
    else:
        sentences.append(
            "Nothing could be tested: that takes three batches of edits, or seeds, of both orders."
        )
    if any(_is_apart_from_zero(criterion) and not criterion.differs for criterion in criteria):
        sentences.append(
            "An interval without 0 that is not marked is no claim: it is one of many, of this batch"
            " alone, or of a criterion that does not judge this pair."
        )
    if comparison.merges:
        sentences.append(_merge_legend(comparison))
    return " ".join(sentences)


def _merge_legend(comparison: Comparison) -> str:
    """Return what the tests say of merges, which are corrected apart from the orders."""
    rows = [row for merge in comparison.merges for row in merge.criteria]
    overs = [over for row in rows for over in (row.forward, row.backward) if over is not None]
    if any(over.differs for over in overs):
        return (
            "In a table of a merge * says that it differs from that order (5 %, corrected over the"
            " criteria that judge this pair, all merges and both orders)."
        )
    if any(not math.isnan(over.p_holm) for over in overs):
        return "No test says that a merge differs from an order."
    return "Of the merges nothing could be tested, for the same reason."


def _is_apart_from_zero(criterion: ComparedCriterion) -> bool:
    return criterion.low > 0 or criterion.high < 0


def _number(value: float) -> str:
    if math.isnan(value):
        return _NO_NUMBER
    return f"{value:.3f}" if abs(value) < 1e4 else f"{value:.1e}"


def _signed(value: float) -> str:
    if math.isnan(value):
        return _NO_NUMBER
    return f"{value:+.3f}" if abs(value) < 1e4 else f"{value:+.1e}"
