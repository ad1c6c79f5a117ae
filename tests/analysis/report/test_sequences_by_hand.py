"""Sequences whose effects are worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.inference.corrections import holm
from analysis.report.paired import paired_test
from analysis.report.sequences import sequence_tests
from tests.analysis.synthetic import frame, run

ORDERS = ("ft | rmu | wanda", "wanda | ft | rmu", "ft | wanda | rmu")
VALUES = ((10.0, 13.0, 14.0), (11.0, 16.0, 12.0), (10.0, 14.0, 19.0))  # a row per batch
NO_PAIRS = pd.DataFrame(columns=["criterion", "intervention", "partner", "gain", "forward_runs"])


def batches(rows: tuple[tuple[float, ...], ...], first: int = 0) -> list[dict[str, Any]]:
    return [
        run(order, level=0.5, wikitext_ppl=value, edit_batch=batch)
        for batch, values in enumerate(rows, first)
        for order, value in zip(ORDERS, values, strict=False)
    ]


def test_every_question_of_three_orders_is_answered_from_the_lower_values() -> None:
    counting = batches(VALUES)
    # equal to the first batch in every order, and a batch that two orders lack
    more = [*batches(VALUES[:1], first=3), *batches(((1.0,),), first=4)]
    pairs = [run("wanda | ft", level=0.5), run("rmu | wanda", level=0.5)]
    ids = [entry["run_id"] for entry in pairs]
    points = pd.DataFrame(
        [
            ("mmlu", "rmu", "wanda", 7.0, (ids[1],)),
            ("wikitext_ppl", "rmu", "wanda", 8.0, ()),
            ("wikitext_ppl", "ft", "rmu", 9.0, (ids[1],)),
            ("wikitext_ppl", "wanda", "ft", 0.25, (ids[0],)),
            ("wikitext_ppl", "rmu", "wanda", 0.5, (ids[1],)),
        ],
        columns=NO_PAIRS.columns,
    )
    criteria = {"mmlu": "", "wikitext_ppl": ""}
    tests = sequence_tests(frame([*counting, *more, *pairs]), criteria, points)
    expected = [
        ("position", "wanda", np.nan, paired_test([-3, -5, -4])),
        ("best order", "ft → rmu → wanda", np.nan, paired_test([4, 1, 9])),
        ("pair", "ft → wanda", -0.25, paired_test([1, 4.5, -0.5])),
        ("pair", "rmu → wanda", 0.5, paired_test([3.5, 3, 6.5])),
    ]
    assert [(entry.question, entry.subject) for entry in tests] == [row[:2] for row in expected]
    predicted = [row[2] for row in expected]
    assert [entry.predicted for entry in tests] == pytest.approx(predicted, nan_ok=True)
    for entry, (_, _, _, test) in zip(tests, expected, strict=True):
        assert vars(entry.test) == pytest.approx(vars(test))
        assert (entry.steps, entry.criterion) == ("ft + rmu + wanda", "wikitext_ppl")
        assert entry.runs == tuple(row["run_id"] for row in [*counting, *more])
    corrected = holm(np.array([test.p for *_, test in expected]))
    assert [entry.p_holm for entry in tests] == pytest.approx(corrected.tolist())


def test_sets_come_as_their_runs_do() -> None:
    sets = [*ORDERS[:2], "ga | ft | awq", "awq | ft | ga"]
    runs = [run(order, mmlu=0.1 * number) for number, order in enumerate(sets)]
    tests = sequence_tests(frame(runs), {"mmlu": ""}, NO_PAIRS)
    assert list(dict.fromkeys(entry.steps for entry in tests)) == [
        "ft + rmu + wanda",
        "awq + ft + ga",
    ]


def test_two_orders_of_one_batch_have_effects_without_tests() -> None:
    runs = [run("wanda | ft | rmu", mmlu=0.5), run("rmu | ft | wanda", mmlu=0.25)]
    tests = sequence_tests(frame(runs), {"mmlu": ""}, NO_PAIRS)
    assert [(entry.question, entry.subject, entry.test.mean) for entry in tests] == [
        ("position", "rmu", -0.25),
        ("position", "wanda", 0.25),
        ("best order", "wanda → ft → rmu", 0.25),
        ("pair", "ft → rmu", 0.25),
        ("pair", "ft → wanda", -0.25),
        ("pair", "rmu → wanda", -0.25),
    ]
    assert np.isnan([entry.p_holm for entry in tests]).all()


def test_one_order_a_repeated_step_and_nothing_at_all_are_no_sequences() -> None:
    repeated = [run(order, mmlu=0.1) for order in ("ft | ft | rmu", "ft | rmu | ft")]
    for runs in (repeated, [run(ORDERS[0], mmlu=0.1)], [run("ft | rmu"), run("rmu | ft")]):
        assert sequence_tests(frame(runs), {"mmlu": ""}, NO_PAIRS) == []
    unnamed = frame([run("ft", mmlu=0.1)]).drop(columns="composition")
    assert sequence_tests(unnamed, {"mmlu": ""}, NO_PAIRS) == []
