"""Findings on what is lost even in the better order, against the intervention alone."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis import labels
from analysis.report.findings.evidence import (
    LEVEL,
    NOTABLE,
    Evidence,
    Finding,
    interval_in_words,
    p_in_words,
    runs_of,
)
from analysis.report.findings.losses import KEEPS, LOSES, measured_losses


def degraded(evidence: Evidence) -> Iterator[Finding]:
    """Yield what compression costs another intervention, in the better order, against it alone."""
    lost = measured_losses(evidence)
    compressed = lost[lost.partner_category == "compression"]
    for category, points in compressed.groupby("about", sort=False):
        measured = evidence.titles.criterion(points.criterion.unique().item())
        lead = f"Compression and {category}, {measured} against {category} alone"
        run_ids = _all_runs(points)
        count = labels.counted(len(points), "point")
        losing = points[points.verdict == LOSES]
        keeping = points[points.verdict == KEEPS]
        within = (
            f"at {len(keeping)} less than {NOTABLE:g} is lost (likewise)" if len(keeping) else ""
        )
        if losing.empty:
            rest = f"; {within}" if within else ""
            yield Finding(
                f"{lead}: at none of {count} a loss in both orders holds a test over all of them"
                f" (Holm, {LEVEL:.0%}){rest}.",
                run_ids,
            )
            continue
        worst = losing.iloc[int(losing.loss.to_numpy().argmax())]
        titles = evidence.titles
        pair = f"{titles.method(str(worst.intervention))} and {titles.method(str(worst.partner))}"
        level = labels.level_text(worst.strength, worst.level)
        yield Finding(
            f"{lead}: lost in both orders at {len(losing)} of {count} (Holm, {LEVEL:.0%}), most"
            f" measured for {pair}"
            + (f" at {level}" if level else "")
            + f", {worst.loss:.2f} in the better order ({interval_in_words(worst.low, worst.high)};"
            f" {p_in_words(worst.p_holm)})" + (f"; {within}" if within else "") + ".",
            run_ids,
            claim=True,
        )


def _all_runs(points: pd.DataFrame) -> tuple[str, ...]:
    """Return the ids of the runs of both orders, and of the interventions alone."""
    alone = dict.fromkeys(run_id for run_ids in points.alone_runs for run_id in run_ids)
    return (*alone, *runs_of(points))
