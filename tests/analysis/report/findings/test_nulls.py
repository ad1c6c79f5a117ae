"""Stores in which no order matters: next to nothing may be claimed of them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.inference.intervals import intervals
from analysis.labels import Labels
from analysis.metrics import composability as co
from analysis.metrics.align import both_orders
from analysis.report.claims import with_claims
from analysis.report.findings.all import findings
from tests.analysis.synthetic import frame, run

PARTNERS = {"wanda": (0.65,), "sparsegpt": (0.65,), "gptq": (3,)}
CRITERIA = ("edit_success", "edit_locality", "mmlu")
EFFECT = (("ft", "wanda"), ("ft", "gptq"), ("lora", "sparsegpt"))


def store(seed: int, gain: float = 0.0) -> pd.DataFrame:
    """Runs of two editors and three compressions over five batches, with noise of 0.03.

    Args:
        seed: of the noise.
        gain: of the forward order in three pairs.
    """
    random = np.random.default_rng(seed)
    runs = []
    for batch in range(5):
        shared = dict(zip(CRITERIA, 0.7 + random.normal(0, 0.05, len(CRITERIA)), strict=True))

        def values(shared: dict[str, float] = shared, **added: float) -> dict[str, float]:
            noise = random.normal(0, 0.03, len(shared))
            sums = zip(shared.items(), noise, strict=True)
            return {name: value + error + added.get(name, 0) for (name, value), error in sums}

        for editor in ("ft", "lora"):
            runs.append(run(editor, edit_batch=batch, **values()))
            for partner, levels in PARTNERS.items():
                for level in levels:
                    added = gain if (editor, partner) in EFFECT else 0.0
                    columns = {"level": level, "edit_batch": batch}
                    forward = run(f"{editor} | {partner}", **columns, **values(edit_success=added))
                    runs += [forward, run(f"{partner} | {editor}", **columns, **values())]
    return frame(runs)


def claims(runs: pd.DataFrame) -> list[str]:
    orders = both_orders(runs)
    points = with_claims(intervals(runs, co.point(runs)), orders.catalogue, 0.95)
    by_context = findings(points, orders, Labels(orders.catalogue), runs)
    return [entry.text for entries in by_context.values() for entry in entries if entry.claim]


def claiming_stores(seeds: range) -> int:
    return sum(bool(claims(store(seed))) for seed in seeds)


def test_null_stores_claim_next_to_nothing() -> None:
    assert claiming_stores(range(20)) <= 2


@pytest.mark.slow
def test_of_100_null_stores_at_most_10_claim_anything() -> None:
    assert claiming_stores(range(100)) <= 10


def test_what_is_there_is_claimed() -> None:
    texts = claims(store(0, gain=0.3))
    assert any(text.startswith("The orders differ at 3 of 6 comparisons") for text in texts)


@pytest.mark.slow
def test_three_effects_of_15_points_are_told_and_never_the_wrong_way() -> None:
    told, false = 0, 0
    for seed in range(100):
        runs = store(seed, gain=0.15)
        points = with_claims(intervals(runs, co.point(runs)), both_orders(runs).catalogue, 0.95)
        rows: Any = points[points.differs].itertuples()
        gains = {(row.intervention, row.partner): row.gain for row in rows}
        told += set(gains) >= set(EFFECT)
        false += bool(set(gains) - set(EFFECT))
        assert all(gains[pair] > 0 for pair in EFFECT if pair in gains)
    assert told >= 90 and false <= 8
