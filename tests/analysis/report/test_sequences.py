from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.inference.intervals import intervals
from analysis.metrics import composability as co
from analysis.report.sequences import SequenceTest, sequence_tests
from tests.analysis.report.findings.sentences import replicated
from tests.analysis.synthetic import frame, run

STEPS = ("ft", "rmu", "wanda")
NO_PAIRS = pd.DataFrame(columns=["criterion", "intervention", "partner", "gain", "forward_runs"])


def sequences(gains: dict[str, float], batches: int = 6, seed: int = 0) -> list[dict[str, Any]]:
    """All six orders over some batches; ``gains``: what an order is better by."""
    random = np.random.default_rng(seed)
    runs = []
    for batch in range(batches):
        shared = random.normal(0, 0.05)
        for order in permutations(STEPS):
            text = " | ".join(order)
            value = 0.5 + shared + gains.get(text, 0) + random.normal(0, 0.01)
            runs.append(run(text, level=0.5, edit_success=value, edit_batch=batch))
    return runs


def results_of(runs: list[dict[str, Any]]) -> dict[tuple[str, str], SequenceTest]:
    table = frame(runs)
    pairs = [entry for entry in runs if entry["composition"].count("|") == 1]
    points = NO_PAIRS
    if pairs:
        points = intervals(frame(pairs), co.point(frame(pairs)))
    results = sequence_tests(table, {"edit_success": "editing"}, points)
    return {(entry.question, entry.subject): entry for entry in results}


def test_what_stands_first_rather_than_last_gains() -> None:
    gains = {" | ".join(order): 0.1 for order in permutations(STEPS) if order[0] == "wanda"}
    entry = results_of(sequences(gains))["position", "wanda"]
    assert entry.test.mean == pytest.approx(0.1, abs=0.02)
    assert entry.p_holm < 0.05 and entry.test.units == 6


def test_the_best_order_must_beat_every_other() -> None:
    results = results_of(sequences({"rmu | ft | wanda": 0.2}))
    (best,) = [entry for (question, _), entry in results.items() if question == "best order"]
    assert best.subject == "rmu → ft → wanda"
    assert best.p_holm < 0.05 and best.test.mean == pytest.approx(0.2, abs=0.02)
    results = results_of(sequences({"rmu | ft | wanda": 0.2, "rmu | wanda | ft": 0.2}))
    (tied,) = [entry for (question, _), entry in results.items() if question == "best order"]
    assert tied.p_holm > 0.05


def test_a_pairs_gain_stands_beside_what_the_sequence_shows() -> None:
    gains = {
        " | ".join(order): 0.1
        for order in permutations(STEPS)
        if order.index("ft") < order.index("wanda")
    }
    pair = [entry for entry in replicated("ft", "wanda", {0.5: 0.9}, {0.5: 0.6})]
    entry = results_of([*sequences(gains), *pair])["pair", "ft → wanda"]
    assert entry.predicted == pytest.approx(0.3, abs=0.01)
    assert entry.test.mean == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    "changed",
    [{"model": "another"}, {"recompress": "paper"}, {"wanda.sparsity": 0.25}, {"ft.lr": 0.1}],
    ids=str,
)
def test_a_pair_of_other_settings_predicts_nothing(changed: dict[str, Any]) -> None:
    (name,) = changed
    usual = {name: {"model": "m", "wanda.sparsity": 0.5}.get(name)}
    runs = [entry | usual for entry in sequences({})]
    differing = [entry | changed for entry in replicated("ft", "wanda", {0.5: 0.8}, {0.5: 0.7})]
    assert np.isnan(results_of([*runs, *differing])["pair", "ft → wanda"].predicted)
    # of two settings the one that is the sequence's
    matching = [entry | usual for entry in replicated("ft", "wanda", {0.5: 0.9}, {0.5: 0.6})]
    both = results_of([*runs, *differing, *matching])
    assert both["pair", "ft → wanda"].predicted == pytest.approx(0.3, abs=0.01)


def test_the_order_that_was_not_asked_for_turns_the_gain_round() -> None:
    pair = replicated("wanda", "ft", {0.5: 0.9}, {0.5: 0.6})
    entry = results_of([*sequences({}), *pair])["pair", "ft → wanda"]
    assert entry.predicted == pytest.approx(-0.3, abs=0.01)


def test_a_pair_that_was_not_run_alone_predicts_nothing() -> None:
    entry = results_of(sequences({}))["pair", "ft → rmu"]
    assert np.isnan(entry.predicted)


def test_no_order_matters_where_none_does() -> None:
    claims = 0
    for seed in range(10):
        results = results_of(sequences({}, seed=seed))
        claims += any(entry.p_holm <= 0.05 for entry in results.values())
    assert claims <= 1


def test_one_batch_of_each_order_is_not_tested() -> None:
    results = results_of(sequences({"rmu | ft | wanda": 0.4}, batches=1))
    assert results and all(np.isnan(entry.p_holm) for entry in results.values())


def test_other_settings_are_no_replicates() -> None:
    runs = sequences({}, batches=3)
    other = [entry | {"recompress": "paper"} for entry in sequences({}, batches=3, seed=1)]
    both = [entry | {"recompress": "auto"} for entry in runs] + other
    results = sequence_tests(frame(both), {"edit_success": "editing"}, NO_PAIRS)
    assert {entry.test.units for entry in results} == {3}


def test_pairs_alone_are_no_sequences() -> None:
    assert results_of(replicated("ft", "wanda", {0.5: 0.9}, {0.5: 0.6})) == {}


def test_a_method_that_stands_twice_is_held_beside_no_pair() -> None:
    steps = ("ft", "wanda(sparsity=0.25)", "wanda(sparsity=0.5)")
    runs = []
    for order in permutations(steps):
        levels = [0.25 if "0.25" in step else 0.5 for step in order if step != "ft"]
        columns = {"wanda.sparsity": levels[0], "wanda_2.sparsity": levels[1]}
        for batch in range(3):
            value = 0.5 + 0.01 * batch * (order[0] == "ft")
            entry = run(" | ".join(order), edit_success=value, edit_batch=batch, **columns)
            methods = {
                f"step{number}": step.partition("(")[0] for number, step in enumerate(order, 1)
            }
            runs.append(entry | methods | {"pair": "ft + wanda + wanda"})
    pair = replicated("ft", "wanda", {0.25: 0.7, 0.5: 0.9}, {0.25: 0.6, 0.5: 0.5})
    results = results_of([*runs, *pair])
    predicted = [entry.predicted for (question, _), entry in results.items() if question == "pair"]
    assert len(predicted) == 3 and np.isnan(predicted).all()
