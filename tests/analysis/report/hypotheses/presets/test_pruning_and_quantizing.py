"""Which of two compressions is the weaker is measured, and what its order gains."""

import numpy as np
import pandas as pd
import pytest

from analysis.report.hypotheses.contrasts import CellValues
from analysis.report.hypotheses.parts import HOLDS, UNTOLD, judge_parts
from analysis.report.hypotheses.presets.pruning_and_quantizing import (
    sparsify_first,
    weaker_first,
)
from tests.analysis.report.hypotheses.presets.stores import Truth, judged, store
from tests.analysis.report.hypotheses.presets.truths import (
    order_is_nothing,
    pruning_first,
    strength_decides,
)

WEAKER, SPARSE = weaker_first(), sparsify_first()


def test_the_weaker_is_measured_and_the_page_says_how_often_which() -> None:
    results = judged(WEAKER, strength_decides, 0)
    # magnitude is the stronger in its six pairs, wanda the weaker
    assert results[0].note == (
        "of 12 pairs pruning is the weaker in 6, quantization in 6, neither clearly in 0; in 0 the"
        " orders' sizes differ"
    )
    assert [result.note for result in results[1:3]] == ["of 12 pairs in 6"] * 2


def test_pairs_that_are_alike_alone_say_nothing_on_the_order() -> None:
    def alike(cell: str) -> dict[str, float]:
        gain = 0.3 if cell.startswith(("wanda", "rtn")) and " | " in cell else 0.0
        return {"wikitext_ppl": 4.0 - gain}

    results = judge_parts(WEAKER.parts, exactly(alike))
    assert [result.reason for result in results] == [
        "in no pair of equal sizes one is clearly the weaker",
        "in no pair of equal sizes pruning is the weaker",
        "in no pair of equal sizes quantization is the weaker",
        "no two pairs of equal sizes differ in how much weaker one is",
    ]
    assert {result.verdict for result in results} == {UNTOLD}


def exactly(truth: Truth) -> dict[str, CellValues]:
    """Return a store of which each cell differs from its truth by the text alone."""
    noisy = store(WEAKER, truth, 0)
    table = noisy["texts"].table
    shared = np.random.default_rng(1).normal(0, 0.5, len(table))
    columns = {}
    for key in table.columns.to_flat_index():
        cell, name = key[0], key[1]
        losses = truth(cell)["wikitext_ppl"] + shared
        columns[cell, name] = losses if name == "wikitext_ppl" else table[cell, name]
    return {**noisy, "texts": CellValues(pd.DataFrame(columns))}


def test_pruning_first_is_no_evidence_for_the_weaker_first() -> None:
    """Where pruning is the weaker it looks like it; where quantization is, it does not."""
    by_claim = {result.part.claim: result for result in judged(WEAKER, pruning_first, 0)}
    gains = [result.effect for claim, result in by_claim.items() if claim.startswith("where")]
    assert gains == pytest.approx([0.1, -0.1], abs=0.03)
    assert {result.verdict for result in judged(SPARSE, pruning_first, 0)} == {HOLDS}


def test_the_slope_is_what_the_order_gains_per_nat() -> None:
    slope = judged(WEAKER, strength_decides, 0)[-1]
    # pruning first gains 0.2 for each nat in one order and loses it in the other
    assert slope.effect == pytest.approx(0.4, abs=0.03)
    assert slope.low < slope.effect < slope.high


def test_texts_that_have_no_finite_loss_are_no_test() -> None:
    values = store(SPARSE, pruning_first, 0)
    table = values["texts"].table.copy()
    table.loc[3] = np.inf
    results = judge_parts(SPARSE.parts, {**values, "texts": CellValues(table)})
    assert {result.reason for result in results} == {"some values are not finite"}
    assert {result.verdict for result in results} == {UNTOLD}


def test_a_world_without_order_has_strengths_and_no_verdict() -> None:
    results = judged(WEAKER, order_is_nothing, 0)
    assert "quantization in 6" in results[0].note
    assert {result.verdict for result in results} == {UNTOLD}


def larger_at_4_bits(cell: str) -> dict[str, float]:
    """Quantizing to 4 bits first is far better, and leaves a larger model."""
    if cell.startswith(("rtn(bits=4) |", "gptq(bits=4) |")):
        return {"average_bits": 4.25, "wikitext_ppl": 1.0}
    return pruning_first(cell)


def test_orders_that_end_with_unequal_sizes_are_not_compared() -> None:
    results = judged(SPARSE, larger_at_4_bits, 0)
    assert {result.verdict for result in results} == {HOLDS}
    assert {result.note for result in results} == {"2 of 4 levels have equal sizes"}
    average, *by_weaker = judged(WEAKER, larger_at_4_bits, 0)[:3]
    assert average.note.endswith("in 4 the orders' sizes differ")
    # 0.1 by pruning first, in as many pairs in which it is the weaker as in which it is not
    assert average.effect == pytest.approx(0.0, abs=0.02)
    assert [result.effect for result in by_weaker] == pytest.approx([0.1, -0.1], abs=0.03)


def test_where_all_sizes_differ_there_is_no_test() -> None:
    def larger(cell: str) -> dict[str, float]:
        return {"average_bits": 3.0 if cell.startswith(("rtn", "gptq")) else 2.0}

    assert {result.reason for result in judged(SPARSE, larger, 0)} == {
        "in no pair do both orders end with equal average bits"
    }
    assert {result.verdict for result in judged(WEAKER, larger, 0)} == {UNTOLD}
