"""Blocks of what steps did to items, and of sequences of three and more interventions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import labels
from analysis.labels import Labels
from analysis.report.blocks import interval_text
from analysis.report.findings.evidence import p_number
from analysis.report.sequences import LEVEL, SequenceTest
from analysis.tables.table import Block

_QUESTIONS = {
    "position": "first rather than last",
    "best order": "ahead of every other order",
    "pair": "this order within the sequence",
}


def changes_block(counts: pd.DataFrame, titles: Labels) -> Block:
    """Return what each step kept, lost and gained as a block.

    Args:
        counts: of ``count_changes``.
        titles: for rows and cells.
    """
    several = counts.context.nunique() > 1
    rows, index = [], []
    for row in counts.to_dict("records"):
        level = labels.level_text(row["strength"], row["level"])
        order = titles.order(*row["order"].split(labels.ARROW))
        index.append(
            order + (f" at {level}" if level else "") + (f"; {row['context']}" if several else "")
        )
        numbers = [labels.number(row[name], 1) for name in ("kept", "lost", "gained", "wrong")]
        rows.append(
            (
                titles.criterion(row["criterion"]),
                f"{int(row['step'])}: {titles.method(row['applied'])}",
                *numbers,
                labels.number(row["items"], 0),
                str(int(row["runs"])),
            )
        )
    columns = ["Criterion", "Step", "Kept", "Lost", "Gained", "Wrong before and after"]
    return _unlinked(pd.DataFrame(rows, index, [*columns, "Items", "Runs"]))


def sequences_block(tests: Sequence[SequenceTest], titles: Labels) -> Block | None:
    """Return the tests of sequences as a block; None where there are none."""
    if not tests:
        return None
    rows = []
    for entry in tests:
        test = entry.test
        rows.append(
            (
                titles.criterion(entry.criterion),
                entry.subject,
                _QUESTIONS[entry.question],
                labels.number(entry.predicted, 3),
                labels.number(test.mean, 3),
                interval_text(test.low, test.high),
                p_number(entry.p_holm),
                str(test.units),
                _verdict(entry),
            )
        )
    columns = ["Criterion", "Of", "Gain by", "Pair alone", "Measured", "95% interval"]
    frame = pd.DataFrame(
        rows, [entry.steps for entry in tests], [*columns, "p (Holm)", "Replicates", "A test says"]
    )
    block = _unlinked(frame)
    runs = pd.DataFrame(
        {name: pd.Series([entry.runs for entry in tests], dtype=object) for name in frame}
    ).set_axis(frame.index)
    return Block(block.values, block.best, runs)


def restored_block(frame: pd.DataFrame | None, titles: Labels) -> Block | None:
    """Return what later steps bring back as a block; None where there is nothing.

    Args:
        frame: rows of ``restored``.
        titles: for rows and cells.
    """
    if frame is None:
        return None
    several = frame.context.nunique() > 1
    rows, index = [], []
    for row in frame.to_dict("records"):
        steps = [
            titles.method(row[role], row[f"{role}_variant"]) for role in ("unlearning", "then")
        ]
        level = labels.level_text(row["strength"], row["level"])
        index.append(
            ", then ".join(steps)
            + (f" at {level}" if level else "")
            + (f"; {row['context']}" if several else "")
        )
        numbers = [labels.number(row[name], 3) for name in ("base", "unlearned", "after")]
        rows.append(
            (
                titles.criterion(row["criterion"]),
                *numbers,
                labels.number(row["restored"], 2),
                interval_text(row["low"], row["high"]),
                str(row["replicates"]),
            )
        )
    columns = ["Criterion", "Base model", "Unlearned", "After both", "Restored", "95% interval"]
    return _unlinked(pd.DataFrame(rows, index, [*columns, "Replicates"]))


def merges_block(frame: pd.DataFrame | None, titles: Labels) -> Block | None:
    """Return how merges compare with both orders as a block; None where there is nothing.

    Args:
        frame: rows of ``merged_points``; of criteria that judge the pair's work are shown.
        titles: for rows and cells.
    """
    if frame is None or not frame.about.any():
        return None
    several = frame.context.nunique() > 1
    rows, index, run_ids = [], [], []
    for row in frame[frame.about].to_dict("records"):
        level = labels.level_text(row["strength"], row["level"])
        names = (row["intervention"], row["partner"])
        for order, steps in (("forward", names), ("backward", names[::-1])):
            if np.isnan(row[order]):
                continue
            index.append(
                f"{row['way']} of {' + '.join(map(titles.method, names))}"
                + (f" at {level}" if level else "")
                + (f"; {row['context']}" if several else "")
            )
            says = "cannot be told"
            if row[f"{order}_differs"]:
                says = "merge better" if row[f"{order}_gain"] > 0 else "order better"
            rows.append(
                (
                    titles.criterion(row["criterion"]),
                    titles.order(*steps),
                    labels.number(row[order], 3),
                    labels.number(row["merged"], 3),
                    labels.number(row[f"{order}_gain"], 3),
                    interval_text(row[f"{order}_gain_low"], row[f"{order}_gain_high"]),
                    p_number(row[f"{order}_p_holm"]),
                    says,
                )
            )
            run_ids.append(row[f"{order}_runs"])
    columns = ["Criterion", "Order", "After the order", "Merged", "Merge better by", "95% interval"]
    block = _unlinked(pd.DataFrame(rows, index, [*columns, "p (Holm)", "A test says"]))
    runs = pd.DataFrame({name: pd.Series(run_ids, dtype=object) for name in block.values})
    return Block(block.values, block.best, runs.set_axis(block.values.index))


def _verdict(entry: SequenceTest) -> str:
    """Return what a test allows to say; that it cannot be told, where it allows nothing."""
    if not entry.p_holm <= LEVEL:
        return "cannot be told"
    if entry.question == "best order":
        return "best of these orders"
    words = "gains" if entry.test.mean > 0 else "loses"
    if entry.question == "pair" and np.isfinite(entry.predicted):
        agrees = np.sign(entry.predicted) == np.sign(entry.test.mean)
        words += ", as the pair alone" if agrees else ", unlike the pair alone"
    return words


def _unlinked(values: pd.DataFrame) -> Block:
    nothing = pd.DataFrame(None, index=values.index, columns=values.columns, dtype=object)
    return Block(values, values.notna() & False, nothing)
