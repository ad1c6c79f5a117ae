"""What the report's table says of sequences of three and more interventions."""

import numpy as np
import pytest

from analysis.labels import Labels
from analysis.report.extra_blocks import sequences_block
from analysis.report.paired import PairedTest
from analysis.report.sequences import SequenceTest
from tracking.catalogue import Catalogue

TITLES = Labels(Catalogue())


def entry(question: str, mean: float, p: float, predicted: float = np.nan) -> SequenceTest:
    test = PairedTest(mean, mean - 0.05, mean + 0.05, p / 2 if mean > 0 else 1 - p / 2, 6)
    return SequenceTest("ft + rmu + wanda", "mmlu", question, "ft", predicted, test, p, ("1", "2"))


@pytest.mark.parametrize(
    ("question", "mean", "p", "predicted", "words"),
    [
        ("position", 0.1, 0.01, np.nan, "gains"),
        ("position", -0.1, 0.01, np.nan, "loses"),
        ("position", 0.1, 0.05, np.nan, "gains"),
        ("position", 0.1, 0.051, np.nan, "cannot be told"),
        ("position", 0.1, np.nan, np.nan, "cannot be told"),
        ("best order", 0.1, 0.01, np.nan, "best of these orders"),
        ("best order", 0.1, 0.2, np.nan, "cannot be told"),
        ("pair", 0.1, 0.01, np.nan, "gains"),
        ("pair", 0.1, 0.01, 0.3, "gains, as the pair alone"),
        ("pair", 0.1, 0.01, -0.3, "gains, unlike the pair alone"),
        ("pair", -0.1, 0.01, -0.3, "loses, as the pair alone"),
        ("pair", -0.1, 0.01, 0.3, "loses, unlike the pair alone"),
        ("pair", 0.1, 0.01, 0.0, "gains, unlike the pair alone"),
        ("position", 0.1, 0.01, 0.3, "gains"),
    ],
)
def test_the_words_follow_the_test_and_the_pair_alone(
    question: str, mean: float, p: float, predicted: float, words: str
) -> None:
    block = sequences_block([entry(question, mean, p, predicted)], TITLES)
    assert block is not None
    assert block.values["A test says"].tolist() == [words]


def test_a_row_has_its_numbers_and_its_runs() -> None:
    block = sequences_block([entry("pair", 0.1234, 0.01, 0.3)], TITLES)
    assert block is not None
    (row,) = block.values.to_dict("records")
    assert list(block.values.index) == ["ft + rmu + wanda"]
    assert row == {
        "Criterion": "MMLU ↑",
        "Of": "ft",
        "Gain by": "this order within the sequence",
        "Pair alone": "0.300",
        "Measured": "0.123",
        "95% interval": "0.073 to 0.173",
        "p (Holm)": "0.010",
        "Replicates": "6",
        "A test says": "gains, as the pair alone",
    }
    assert block.runs is not None
    assert {cell for column in block.runs for cell in block.runs[column]} == {("1", "2")}


def test_there_is_no_table_without_tests() -> None:
    assert sequences_block([], TITLES) is None
