"""What composing costs: each order of a pair against the intervention alone, batch by batch.

Whether two interventions compose is a question of what the better order still loses: the loss lies
between the smaller of both orders' lower ends and the smaller of their upper ends, and both orders
must lose for a test to say that the better one does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.inference.corrections import holm
from analysis.metrics.align import Orders
from analysis.metrics.columns import REPLICATE, VARIANT
from analysis.report.findings.evidence import LEVEL, NOTABLE, Evidence
from analysis.report.paired import PairedTest, paired_test

KEEPS, LOSES, UNKNOWN = "keeps", "loses", "cannot be told"
_EDITING = "editing"
_COLUMNS = ["row", "side", "loss", "low", "high", "p", "p_kept", "units", "alone_runs"]
_POINT = ["point", "intervention", "partner", "criterion", "strength", "level", *VARIANT]
_NAMING = [*_POINT, "about", "partner_category", "forward", "backward"]
_RUNS = ["forward_runs", "backward_runs"]


def measured_losses(evidence: Evidence) -> pd.DataFrame:
    """Return what each main point's better order loses against the judged intervention alone.

    Args:
        evidence: of one context.

    Returns:
        The columns of ``evidence.main_points()`` that name a point and its runs; ``side``, the
        judged intervention; ``loss`` in the better order, in the criterion's unit, with ``low`` and
        ``high``; ``p_holm`` of "both orders lose something", corrected over all rows, and
        ``p_kept_holm`` of "one of them loses less than 0.05", likewise; ``units``; ``alone_runs``;
        and ``verdict``: "keeps" (less than 0.05 is lost, whether or not it is sure that something
        is), else "loses" or "cannot be told". A point whose intervention was not run alone is left
        out.
    """
    main = evidence.main_points()
    signs = main.better.map({"higher": 1.0, "lower": -1.0}).to_numpy(float)
    composed = _Composed.of(evidence.orders)
    baselines = _Baselines(evidence)
    rows = []
    points: Iterator[Any] = main.itertuples()
    for position, point in enumerate(points):
        side = _judged_side(point)
        if side is None or not baselines.knows(point, side):
            continue
        values, alone_runs = baselines.values(point, side)
        forward, backward = composed.losses(point, values)
        if len(forward):
            both = [paired_test(signs[position] * lost) for lost in (forward, backward)]
            name = getattr(point, side)
            rows.append((position, name, *_of_better_order(both), alone_runs))
    measured = pd.DataFrame(rows, columns=_COLUMNS)
    points_of_rows = main[[*_NAMING, *_RUNS]].iloc[measured.row.astype(int)]
    measured["p_holm"] = holm(measured.p.to_numpy(float))
    measured["p_kept_holm"] = holm(measured.p_kept.to_numpy(float))
    joined = points_of_rows.reset_index(drop=True).join(measured.drop(columns="row"))
    return joined.assign(verdict=[_verdict(row) for row in measured.itertuples()])


def _judged_side(point: Any) -> str | None:
    """Return which side of a pair the criterion judges; None where it judges both."""
    sides = [
        side
        for side in ("intervention", "partner")
        if getattr(point, f"{side}_category") == point.about
    ]
    return sides[0] if len(sides) == 1 else None


class _Baselines:
    """The runs of single interventions, by what a point asks of them."""

    def __init__(self, evidence: Evidence) -> None:
        alone = evidence.orders.alone
        alone = alone[alone.context == evidence.context]
        criteria = [name for name in evidence.main_criteria.values() if name in alone]
        self._by_method: dict[tuple[str, str], list[dict[Any, Any]]] = {}
        columns = ["intervention", "intervention_variant", "level", "run_id", *REPLICATE, *criteria]
        for row in alone[columns].to_dict("records"):
            key = (row["intervention"], row["intervention_variant"])
            self._by_method.setdefault(key, []).append(row)

    def _rows(self, point: Any, side: str) -> list[dict[Any, Any]]:
        """Return the runs of the judged intervention alone that have the criterion."""
        name, variant = getattr(point, side), getattr(point, f"{side}_variant")
        rows = [
            row
            for row in self._by_method.get((name, variant), [])
            if not np.isnan(row.get(point.criterion, np.nan))
        ]
        if point.strength.startswith(f"{name}."):
            rows = [row for row in rows if np.isclose(row["level"], point.level)]
        return rows

    def knows(self, point: Any, side: str) -> bool:
        """Return whether the judged intervention was run alone, with equal hyperparameters."""
        return bool(self._rows(point, side))

    def values(self, point: Any, side: str) -> tuple[dict[Any, float], tuple[str, ...]]:
        """Return the criterion of the intervention alone by replicate, and the runs' ids.

        What reads no edits is run once for all batches of edits: its replicates are (seed, None).
        """
        rows = self._rows(point, side)
        edits = getattr(point, f"{side}_category") == _EDITING
        values: dict[Any, list[float]] = {}
        for row in rows:
            replicate = (row["seed"], row["edit_batch"] if edits else None)
            values.setdefault(replicate, []).append(row[point.criterion])
        means = {replicate: float(np.mean(numbers)) for replicate, numbers in values.items()}
        return means, tuple(row["run_id"] for row in rows)


@dataclass(frozen=True)
class _Composed:
    """The values of both orders by replicate, for all points at once.

    Attributes:
        rows: number of a point to its rows.
        replicates: (seed, edit batch) of each row.
        forward: criteria of each row, NaN where there is no run, shape (rows, criteria).
        backward: of the opposite order.
        fingerprints: equal where both orders have equal values of everything, shape (rows,).
        column: of each criterion.
    """

    rows: dict[Any, Any]
    replicates: list[tuple[int, int]]
    forward: np.ndarray
    backward: np.ndarray
    fingerprints: np.ndarray
    column: dict[str, int]

    @classmethod
    def of(cls, orders: Orders) -> _Composed:
        forward, backward = (
            orders.values(order, orders.criteria) for order in ("forward", "backward")
        )
        everything = pd.DataFrame(np.hstack([forward, backward]).round(10)).fillna(-np.inf)
        frame: Any = orders.frame
        return cls(
            frame.groupby("point").indices,
            list(zip(frame.seed, frame.edit_batch, strict=True)),
            forward,
            backward,
            pd.util.hash_pandas_object(everything, index=False).to_numpy(),
            {name: column for column, name in enumerate(orders.criteria)},
        )

    def losses(self, point: Any, alone: dict[Any, float]) -> tuple[np.ndarray, np.ndarray]:
        """Return alone minus composed, forward and backward, for each distinct replicate.

        Runs that end with equal values of everything are one replicate, whatever their seeds.
        """
        column, seen, pairs = self.column[point.criterion], set(), []
        edits = _EDITING in (point.intervention_category, point.partner_category)
        for row in self.rows[point.point]:
            seed, batch = self.replicates[row]
            base = alone.get((seed, batch), alone.get((seed, None), np.nan))
            both = (base - self.forward[row, column], base - self.backward[row, column])
            # other edits make other weights: equal values of two batches are a coincidence
            weights = (self.fingerprints[row], batch if edits else None)
            if np.isfinite(both).all() and weights not in seen:
                seen.add(weights)
                pairs.append(both)
        values = np.array(pairs, float).reshape(-1, 2)
        return values[:, 0], values[:, 1]


def _of_better_order(both: list[PairedTest]) -> tuple[float, float, float, float, float, int]:
    """Return loss, its ends, p of "both lose" and of "one keeps" and units, of both orders' losses.

    The interval of one order lies below 0.05 where the last p, of two tries, is below 0.05.
    """
    return (
        min(test.mean for test in both),
        float(np.min([test.low for test in both])),
        float(np.min([test.high for test in both])),
        # two-sided, as the tables' other tests
        float(np.minimum(1, 2 * np.max([test.p_greater for test in both]))),
        float(np.minimum(1, 2 * np.min([test.p_below(NOTABLE) for test in both]))),
        both[0].units,
    )


def _verdict(row: Any) -> str:
    if row.p_kept_holm <= LEVEL:  # also where it is sure that a little is lost
        return KEEPS
    return LOSES if row.p_holm <= LEVEL and row.low > 0 else UNKNOWN
