"""The words of a pair's answer, of recommendations and losses made by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis.inference.recommendation import LEVELS, Recommendation
from analysis.labels import Labels
from analysis.report.answer import PairAnswer, PairTest, pair_answers, pair_tests
from analysis.report.findings.losses import KEEPS, LOSES, UNKNOWN
from tracking.catalogue import Catalogue

FORWARD, BACKWARD = "ft → wanda", "wanda → ft"
PAIR = {
    "intervention": "ft",
    "partner": "wanda",
    "context": "model=m",
    "intervention_variant": "",
    "partner_variant": "",
}


def advice(levels: list[tuple[float, str, bool, float]], **changed: Any) -> Recommendation:
    """A recommendation of ft before wanda; ``levels``: level, order, whether it differs, p."""
    columns = ["level", "order", "differs", "p_holm"]
    empty = pd.DataFrame()
    rows = levels or [(0.5, FORWARD, False, 0.9)]
    facts: dict[str, Any] = {
        "order": ("ft", "wanda"),
        "verdict": LEVELS,
        "score": math.nan,
        "low": math.nan,
        "high": math.nan,
        "p": 0.5,
        "p_holm": 0.5,
        "differs": False,
        "units": 2,
        "kind": "seeds",
        "basis": "seeds",
        "needed": 2.0,
        "replicates": 2,
        "levels": pd.DataFrame(rows, columns=columns).assign(strength="wanda.sparsity"),
        "criteria": empty,
        "settings": empty,
        "words": "",
    }
    return Recommendation(**{**facts, **changed})


def answer(pair: Recommendation, lost: pd.DataFrame | None = None) -> PairAnswer:
    points = pd.DataFrame([{**PAIR, "forward_runs": ("1",), "backward_runs": ("2",)}])
    losses = pd.DataFrame() if lost is None else lost
    (row,) = pair_answers([(points, pair)], losses, Labels(Catalogue()))
    return row


def losses(*rows: tuple[str, str, float, float], **changed: str) -> pd.DataFrame:
    """Losses of the pair: criterion, verdict, level, loss."""
    return pd.DataFrame(
        [
            {
                **PAIR,
                "criterion": criterion,
                "verdict": verdict,
                "level": level,
                "strength": "wanda.sparsity",
                "loss": loss,
                "low": loss - 0.1,
                "high": loss + 0.1,
                **changed,
            }
            for criterion, verdict, level, loss in rows
        ]
    )


def test_a_corrected_p_is_one_at_most_and_counts_where_it_is_the_level() -> None:
    assert PairTest(4.0, 0.5).corrected(0.3) == 1.0
    assert PairTest(1.0, 0.05).allows(0.05)
    none: Any = pd.DataFrame()
    pairs: Any = [SimpleNamespace(p_holm=p, levels=none) for p in (0.6, 0.9)]
    assert [test.p for test in pair_tests(pairs)] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("pair", "order"),
    [
        # a difference, and a small p: both are needed
        (advice([], differs=True, p_holm=0.01), "FT → Wanda"),
        (advice([], differs=True, p_holm=0.2), None),
        (advice([], differs=False, p_holm=0.01), None),
        (advice([(0.5, FORWARD, True, 0.01)]), "FT → Wanda at sparsity 0.5"),
        (advice([(0.5, FORWARD, False, 0.01), (0.25, BACKWARD, True, 0.2)]), None),
        # levels are said where they oppose what is said of all
        (advice([(0.5, FORWARD, True, 0.01)], differs=True, p_holm=0.01), "FT → Wanda"),
        (
            advice([(0.5, BACKWARD, True, 0.01)], differs=True, p_holm=0.01),
            "FT → Wanda; Wanda → FT at sparsity 0.5",
        ),
        # in the order of the levels' rows; the levels of one order by size
        (
            advice(
                [
                    (0.75, BACKWARD, True, 0.01),
                    (0.25, FORWARD, True, 0.01),
                    (0.5, BACKWARD, True, 0.01),
                ]
            ),
            "Wanda → FT at sparsity 0.5, 0.75; FT → Wanda at sparsity 0.25",
        ),
    ],
)
def test_an_order_is_said_of_what_differs_and_passes_the_test_over_all_pairs(
    pair: Recommendation, order: str | None
) -> None:
    row = answer(pair)
    assert (row.order, row.claim) == (order or "cannot be told", order is not None)


def test_units_are_counted_from_two_on_and_as_many_as_are_needed_need_no_word() -> None:
    assert answer(advice([])).sure == "p = 0.500 over all pairs; 2 seeds"
    more = "; 3 would show a gain of 0.05 in 8 of 10 cases"
    assert answer(advice([], needed=2.6)).sure == "p = 0.500 over all pairs; 2 seeds" + more
    single = advice([], units=1, score=0.25, low=0.1, high=0.4, needed=math.nan)
    assert answer(single).sure == (
        "score 0.250 (0.10 to 0.40); p = 0.500 over all pairs; one run of each order"
    )


def test_losses_are_said_by_criterion_and_verdict_as_they_come() -> None:
    rows = losses(
        ("mmlu", UNKNOWN, 0.5, 0.1),
        ("mmlu", LOSES, 0.75, 0.2),
        ("mmlu", LOSES, 0.25, 0.3),
        ("mmlu", KEEPS, 0.9, 0.01),
        ("edit_success", KEEPS, 0.5, 0.0),
    )
    assert answer(advice([]), rows).compose == (
        "cannot be told at sparsity 0.5 (MMLU ↑); "
        "no at sparsity 0.25, 0.75: MMLU ↑ loses up to 0.30 (0.20 to 0.40); "
        "yes at sparsity 0.9: MMLU ↑ within 0.05 of alone; "
        "yes at sparsity 0.5: Edit success ↑ within 0.05 of alone"
    )


@pytest.mark.parametrize("name", PAIR)
def test_losses_of_another_pair_or_setting_are_not_the_pairs(name: str) -> None:
    elsewhere = losses(("mmlu", KEEPS, 0.5, 0.0), **{name: "elsewhere"})
    row = answer(advice([]), elsewhere)
    assert row.compose == "cannot be told: not run alone, or judged by nothing"
