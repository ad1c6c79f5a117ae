"""Which of two compressions is the weaker, and what its order gains, by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.report.hypotheses.contrasts import CannotTest, CellValues
from analysis.report.hypotheses.presets import compressed_pairs
from analysis.report.hypotheses.presets.compressed_pairs import CompressedPair, Strengths
from analysis.report.paired import paired_test

# of six pairs: the fifth has gaps that are not clear, the orders of the last differ in size
STRENGTHS = Strengths(
    gaps=np.array([1.0, 3.0, -2.0, 2.0, 0.0, -9.0]),
    clear=np.array([True, True, True, True, False, True]),
    equal=np.array([True, True, True, True, True, False]),
    gains=np.array([[0.1, 0.5, -0.3, 0.2, 0.7, 5.0], [0.2, 0.4, 0.1, 0.3, -0.7, 6.0]]),
)


def test_what_the_weaker_first_gains_is_averaged_over_clear_pairs_of_equal_sizes() -> None:
    both = STRENGTHS.weaker_first()
    assert both == pytest.approx([(0.1 + 0.5 + 0.3 + 0.2) / 4, (0.2 + 0.4 - 0.1 + 0.3) / 4])
    assert STRENGTHS.weaker_first(1) == pytest.approx([0.8 / 3, 0.9 / 3])
    assert STRENGTHS.weaker_first(-1) == pytest.approx([0.3, -0.1])


def test_without_such_a_pair_there_is_no_test() -> None:
    unclear = replace(STRENGTHS, clear=np.zeros(6, bool))
    for sign, words in ((None, "one is clearly"), (1, "pruning is"), (-1, "quantization is")):
        with pytest.raises(CannotTest, match=f"in no pair of equal sizes {words} the weaker"):
            unclear.weaker_first(sign)


def test_the_slope_is_that_of_least_squares_over_pairs_of_equal_sizes() -> None:
    expected = [np.polyfit(STRENGTHS.gaps[:5], gains[:5], 1)[0] for gains in STRENGTHS.gains]
    assert STRENGTHS.slope() == pytest.approx(expected)
    for strengths in (
        replace(STRENGTHS, equal=np.zeros(6, bool)),
        replace(STRENGTHS, gaps=np.ones(6)),
    ):
        with pytest.raises(CannotTest, match="no two pairs of equal sizes differ"):
            strengths.slope()


def test_a_note_counts_the_pairs() -> None:
    assert STRENGTHS.note(None) == (
        "of 6 pairs pruning is the weaker in 3, quantization in 1, neither clearly in 1;"
        " in 1 the orders' sizes differ"
    )
    assert [STRENGTHS.note(1), STRENGTHS.note(-1)] == ["of 6 pairs in 3", "of 6 pairs in 1"]


def test_strengths_are_measured_on_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = CompressedPair("p", "q")
    losses = {"p": [1.0, 1.2, 1.1], "q": [1.5, 1.6, 2.0], "p | q": [2.0, 2.1, 2.2],
              "q | p": [2.3, 2.0, 2.9]}  # fmt: skip
    sizes = {"p | q": 2.0, "q | p": 2.0625}
    columns = {(cell, "wikitext_ppl"): values for cell, values in losses.items()}
    columns |= {(cell, "average_bits"): [size] * 3 for cell, size in sizes.items()}
    values = CellValues(pd.DataFrame(columns))
    p = paired_test(np.array(losses["q"]) - losses["p"]).p
    for level, is_clear in ((p, True), (p * 0.999, False)):
        monkeypatch.setattr(compressed_pairs, "LEVEL", level)
        strengths = Strengths.measured(values, [pair])
        assert strengths.clear.tolist() == [is_clear]
    assert strengths.gaps == pytest.approx([0.6]) and strengths.equal.tolist() == [True]
    assert strengths.gains[:, 0] == pytest.approx([0.3, -0.1, 0.7])
    monkeypatch.setattr(compressed_pairs, "_EQUAL", 0.0625)
    assert Strengths.measured(values, [pair]).equal.tolist() == [True]
    monkeypatch.setattr(compressed_pairs, "_EQUAL", 0.0624)
    assert Strengths.measured(values, [pair]).equal.tolist() == [False]
