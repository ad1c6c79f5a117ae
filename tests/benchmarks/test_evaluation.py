"""What the benchmark of the questions' pass compares, and what it asks."""

from __future__ import annotations

from typing import Any

from benchmarks.evaluation import compared
from benchmarks.evaluation_world import SHAPES, model, rows


def answers(*samples: tuple[float, list[float]]) -> dict[str, list[Any]]:
    return {"task": [list(sample) for sample in samples]}


def test_an_answer_differs_where_the_accuracy_or_the_likeliest_option_does() -> None:
    stock = answers((1.0, [-1.0, -2.0]), (0.0, [-3.0, -2.0]))
    assert compared(stock, stock) == (2, 0, 0.0)
    assert compared(answers((0.0, [-1.0, -2.0]), (0.0, [-3.0, -2.0])), stock) == (2, 1, 0.0)
    assert compared(answers((1.0, [-1.0, -2.0]), (0.0, [-1.5, -2.0])), stock) == (2, 1, 1.5)
    assert compared(answers((1.0, [-1.25, -2.0]), (0.0, [-3.0, -2.0])), stock) == (2, 0, 0.25)


def test_the_model_has_ten_million_weights_and_a_vocabulary_of_32_thousand() -> None:
    made = model()
    assert 9e6 < made.num_parameters() < 11e6 and made.config.vocab_size == 32_000


def test_the_questions_have_three_shapes() -> None:
    of_shapes = rows(12)
    assert of_shapes == rows(12)
    letters, texts, shared = (of_shapes[shape] for shape in SHAPES)
    assert [len(each) for each in (letters, texts, shared)] == [12, 12, 12]
    assert all(row["choices"] == list("ABCD") for row in letters)
    assert all(len({*row["choices"]}) == 4 for row in texts)
    # ten questions on one passage
    passages = [row["question"].partition("\n")[0] for row in shared]
    assert [passages.count(passage) for passage in passages] == [10] * 10 + [2] * 2
