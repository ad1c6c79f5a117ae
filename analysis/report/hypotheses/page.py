"""The verdicts on a preset's findings as one page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis import labels
from analysis.report.findings.evidence import p_number
from analysis.report.hypotheses.cells import BATCHES, SEEDS
from analysis.report.hypotheses.parts import LEVEL, PartResult, counted_replicates, verdict_of
from analysis.report.hypotheses.presets.preset import Preset

_POLICIES = {
    "paper": "as the paper's code recompresses (pruning and GPTQ again after an edit or unlearning,"
    " AWQ not)",
    "auto": "with `recompress=auto` (again whatever the weights are measured to have lost)",
    "never": "with `recompress=never`",
}
_HEADER = ("part", "effect", "95% interval", "p", "p (Holm)", "over", "verdict")


@dataclass(frozen=True)
class Judged:
    """A preset with what its tests came to.

    Attributes:
        preset: whose findings these are.
        model: that was measured, as its runs name it.
        results: recompression policy to the results of all parts.
    """

    preset: Preset
    model: str
    results: Mapping[str, Sequence[PartResult]]

    def verdict(self, finding: int, policy: str) -> str:
        """Return what one finding comes to under a policy."""
        parts = self.results[policy]
        return verdict_of([result for result in parts if result.part.finding == finding])


def findings_page(judged: Sequence[Judged], replicates: int) -> str:
    """Return the page: the verdicts beside each other, then every part.

    Args:
        judged: the presets; of several the page begins with all verdicts.
        replicates: how many batches of edits, and seeds where one matters, were wanted.
    """
    if len(judged) == 1:
        (single,) = judged
        sections = [*_opening(single, replicates, "#"), _how_to_read(), *_policies(single, "##")]
    else:
        sections = ["# Published findings, tested", _all_verdicts(judged), _how_to_read()]
        for entry in judged:
            sections += [*_opening(entry, replicates, "##"), *_policies(entry, "###")]
    return "\n\n".join(sections) + "\n"


def _all_verdicts(judged: Sequence[Judged]) -> str:
    rows = [
        [f"{entry.preset.name}: {title}", policy, entry.verdict(number, policy)]
        for entry in judged
        for policy in entry.results
        for number, title in entry.preset.titles.items()
    ]
    return _markdown(["finding", "recompress", "verdict"], rows)


def _opening(judged: Judged, replicates: int, mark: str) -> list[str]:
    """Return a preset's heading, claim, design and table of verdicts."""
    preset = judged.preset
    wanted = ""
    kinds = {part.over for part in preset.parts} & {BATCHES, SEEDS}
    if kinds:
        wanted = f", over {replicates} {' and as many '.join(sorted(kinds))} where all were run"
    rows = [
        [f"{number}. {title}", *(judged.verdict(number, policy) for policy in judged.results)]
        for number, title in preset.titles.items()
    ]
    header = ["finding", *(f"`recompress={policy}`" for policy in judged.results)]
    return [
        f"{mark} {preset.heading}",
        f"{preset.claim} ({', '.join(preset.sources)})",
        f"Tested on {judged.model}{wanted}. {preset.design} `composability findings --preset"
        f" {preset.name} --run` computes what is missing and writes this page.",
        _markdown(header, rows),
    ]


def _how_to_read() -> str:
    return (
        "A finding *holds* where every part of it does, and *does not hold* where a part does not;"
        " all else *cannot be told*, which is no evidence against it. A part holds, or does not,"
        " where Student's t test over the replicates says so in either direction, corrected over"
        f" all parts of a policy by Holm's procedure at {LEVEL:.0%}. An effect is in the unit that"
        " stands behind its claim; above 0 is as claimed. A verdict is on this model and these"
        " settings, whatever it is on others; *over* says how many replicates were run."
    )


def _policies(judged: Judged, mark: str) -> list[str]:
    """Return a section for every policy: each finding with its parts."""
    blocks = []
    for policy, results in judged.results.items():
        blocks.append(f"{mark} {_POLICIES[policy][0].upper()}{_POLICIES[policy][1:]}")
        for number, title in judged.preset.titles.items():
            rows = [_part_row(result) for result in results if result.part.finding == number]
            verdict = judged.verdict(number, policy)
            blocks += [f"**{number}. {title}: {verdict}.**", _markdown(_HEADER, rows)]
    return blocks


def _part_row(result: PartResult) -> list[str]:
    part = result.part
    digits = 4 if "squared" in part.unit else 3
    interval = labels.NOTHING
    if np.isfinite(result.low):
        interval = f"{result.low:.{digits}f} to {result.high:.{digits}f}"
    remarks = "; ".join(filter(None, (result.reason, result.note)))
    verdict = f"{result.verdict} ({remarks})" if remarks else result.verdict
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
