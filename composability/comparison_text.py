"""Both orders of a pair, as the terminal shows them."""

from __future__ import annotations

import math
import shutil
import textwrap
from typing import TYPE_CHECKING

from tracking.text_table import text_table

if TYPE_CHECKING:
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
    interval = _NO_NUMBER
    if math.isfinite(criterion.low) and math.isfinite(criterion.high):
        interval = f"{_signed(criterion.low)} to {_signed(criterion.high)}"
    return [
        criterion.name,
        _number(criterion.forward),
        _number(criterion.backward),
        _signed(criterion.gain),
        interval,
        f"{_scope(criterion.basis)}{_MARK if criterion.differs else ''}",
    ]


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
    return " ".join(sentences)


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
