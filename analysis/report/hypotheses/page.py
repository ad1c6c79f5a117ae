"""The verdicts on the paper's findings as one page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from analysis import labels
from analysis.report.findings.evidence import p_number
from analysis.report.hypotheses.cells import Levels
from analysis.report.hypotheses.paper import TITLES
from analysis.report.hypotheses.parts import LEVEL, PartResult, counted_replicates, verdict_of

_POLICIES = {
    "paper": "as the paper's code recompresses (pruning and GPTQ again after an edit or unlearning,"
    " AWQ not)",
    "auto": "with `recompress=auto` (again whatever the weights are measured to have lost)",
    "never": "with `recompress=never`",
}
_HEADER = ("part", "effect", "95% interval", "p", "p (Holm)", "over", "verdict")


def findings_page(
    results: Mapping[str, Sequence[PartResult]], model: str, levels: Levels, replicates: int
) -> str:
    """Return the page: the verdicts of every policy beside each other, then every part.

    Args:
        results: recompression policy to the results of all parts.
        model: that was measured, as its runs name it.
        levels: of the compressions.
        replicates: how many batches of edits, and seeds where one matters, were wanted.
    """
    sections = [
        "# Which of the paper's findings hold on the testbed",
        f"Six findings of the paper, tested as hypotheses on {model} at {levels}, over {replicates}"
        " batches of edits (and as many seeds where a step without an edit draws at random)."
        " `composability findings --run` computes what is missing and writes this page.",
        _verdict_table(results),
        _how_to_read(),
        *(_policy_section(policy, parts) for policy, parts in results.items()),
    ]
    return "\n\n".join(sections) + "\n"


def _verdict_table(results: Mapping[str, Sequence[PartResult]]) -> str:
    rows = [
        [
            f"{number}. {title}",
            *(
                verdict_of([result for result in parts if result.part.finding == number])
                for parts in results.values()
            ),
        ]
        for number, title in TITLES.items()
    ]
    header = ["finding", *(f"`recompress={policy}`" for policy in results)]
    return _markdown(header, rows)


def _how_to_read() -> str:
    return (
        "A finding *holds* where every part of it does, and *does not hold* where a part does not;"
        " all else *cannot be told*, which is no evidence against it. A part holds, or does not,"
        " where Student's t test over the replicates says so in either direction, corrected over"
        f" all parts of a policy by Holm's procedure at {LEVEL:.0%}. Effects are means over"
        " editors, compressions, orders and levels, in the unit that stands behind them; positive"
        " is as the paper says. WMDP and MMLU are of these questions: no interval reckons with"
        " others."
    )


def _policy_section(policy: str, results: Sequence[PartResult]) -> str:
    blocks = [f"## {_POLICIES[policy][0].upper()}{_POLICIES[policy][1:]}"]
    for number, title in TITLES.items():
        parts = [result for result in results if result.part.finding == number]
        rows = [_part_row(result) for result in parts]
        blocks.append(f"**{number}. {title}: {verdict_of(parts)}.**\n\n{_markdown(_HEADER, rows)}")
    return "\n\n".join(blocks)


def _part_row(result: PartResult) -> list[str]:
    part = result.part
    digits = 4 if "squared" in part.unit else 3
    interval = labels.NOTHING
    if np.isfinite(result.low):
        interval = f"{result.low:.{digits}f} to {result.high:.{digits}f}"
    verdict = f"{result.verdict} ({result.reason})" if result.reason else result.verdict
    return [
        f"{part.claim} ({part.unit})",
        labels.number(result.effect, digits),
        interval,
        p_number(result.p),
        p_number(result.p_holm),
        counted_replicates(result.replicates, part.over),
        verdict,
    ]


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; compositions have bars, which would end a cell."""
    lines = []
    for row in (header, ["---"] * len(header), *rows):
        cells = [cell.replace("|", "\\|") for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
