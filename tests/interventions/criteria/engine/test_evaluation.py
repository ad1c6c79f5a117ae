"""lm-eval's tasks answered by our pass, against lm-eval's own."""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from interventions.criteria.engine.evaluation import Answered, evaluate
from interventions.data.base import Questions
from interventions.data.lm_eval_tasks import tasks
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.anatomies.zoo import ANATOMIES
from tests.interventions.criteria.engine.stock import (
    SCALED,
    built,
    small_model,
    small_questions,
    stock_evaluation,
)

CLOSE = 1e-4  # nats, in float32
QUICK = ("gemma2-capped", "cohere2-scaled", "opt-350m", "bloom")
OTHERS = sorted({*ANATOMIES, *SCALED} - {*QUICK})


def our_evaluation(lm: LM, questions: Questions) -> dict[str, dict[int, tuple[float, list[float]]]]:
    """Return the same as ``stock_evaluation``, by our pass."""
    objects = tasks(questions)["tasks"]
    with torch.inference_mode():
        metrics = evaluate(lm, objects, None)
    likelihoods: dict[str, dict[int, list[float]]] = {name: {} for name in objects}
    for name, task in objects.items():
        for request in task.instances:
            likelihoods[name].setdefault(request.doc_id, []).append(request.resps[0][0])
    return {
        name: {index: (of[index]["acc"], likelihoods[name][index]) for index in of}
        for name, of in metrics.items()
    }


def assert_equal(ours: Any, stock: Any) -> int:
    """Check that accuracies are equal and likelihoods close; return how many questions."""
    count = 0
    assert list(ours) == list(stock)
    for task, samples in stock.items():
        assert list(ours[task]) == list(samples)
        for index, (accuracy, likelihoods) in samples.items():
            own_accuracy, own_likelihoods = ours[task][index]
            assert own_accuracy == accuracy
            assert own_likelihoods == pytest.approx(likelihoods, rel=0, abs=CLOSE)
            count += 1
    return count


@pytest.mark.parametrize("name", QUICK)
def test_sixty_questions_are_answered_as_by_lm_eval(name: str) -> None:
    lm, questions = small_model(name), small_questions(20)
    ours = our_evaluation(lm, questions)
    assert assert_equal(ours, stock_evaluation(lm, questions)) == 60
    right = [accuracy for samples in ours.values() for accuracy, _ in samples.values()]
    assert 0 < sum(right) < 60


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_sixty_questions_are_answered_as_by_lm_eval_by_every_family(name: str) -> None:
    lm, questions = small_model(name), small_questions(20)
    stock = stock_evaluation(lm, questions, batch=1)
    assert assert_equal(our_evaluation(lm, questions), stock) == 60


@pytest.mark.slow
def test_no_answer_of_a_thousand_differs_from_lm_evals(tmp_path: Path) -> None:
    lm, questions = built(tmp_path, 340)
    stock = stock_evaluation(lm, questions, batch=16)
    assert assert_equal(our_evaluation(lm, questions), stock) == 1020


def test_a_model_is_not_answered_for_by_the_one_before() -> None:
    questions = small_questions(3)
    first = our_evaluation(small_model("qwen2"), questions)
    second = our_evaluation(small_model("gpt2"), questions)
    assert first != second
    assert our_evaluation(small_model("qwen2"), questions) == first


def test_requests_are_built_once_for_all_models(monkeypatch: pytest.MonkeyPatch) -> None:
    questions = small_questions(4)
    builds: list[str] = []

    def counted(name: str, build: Any, **arguments: Any) -> None:
        builds.append(name)
        build(**arguments)

    for name, task in tasks(questions)["tasks"].items():
        build = functools.partial(counted, name, task.build_all_requests)
        monkeypatch.setattr(task, "build_all_requests", build)
    for _ in range(2):
        our_evaluation(small_model("qwen2"), questions)
    assert builds == ["own_letters", "own_texts", "own_shared"]
    # a sample has requests of its own
    evaluate(small_model("qwen2"), tasks(questions)["tasks"], {name: [1] for name in {*builds}})
    assert len(builds) == 6


def test_of_a_sample_the_questions_that_it_names_are_asked() -> None:
    """To lm-eval an empty sample is all questions."""
    lm, objects = small_model("qwen2"), tasks(small_questions(7))["tasks"]
    samples = {"own_letters": [3, 5], "own_texts": [], "own_shared": [0]}
    some, whole = evaluate(lm, objects, samples), evaluate(lm, objects, None)
    assert {name: list(of) for name, of in some.items()} == samples
    assert all(of[index] == whole[name][index] for name, of in some.items() for index in of)


def test_a_task_that_is_not_answered_by_a_choice_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lm = small_model("qwen2")
    objects = tasks(small_questions(2))["tasks"]
    task = objects["own_texts"]
    evaluate(lm, objects, None)
    monkeypatch.setattr(task.instances[1], "request_type", "generate_until")
    with pytest.raises(InvalidInput, match="task own_texts asks for generate_until"):
        evaluate(lm, objects, None)


@pytest.mark.parametrize(
    ("target", "right"),
    [(1, 1), ("blue", 1), ("grey", None), (2, None), (-1, None), ([0, 1], None)],
)
def test_the_right_option_is_an_index_or_the_text_of_one(target: Any, right: int | None) -> None:
    task = SimpleNamespace(
        doc_to_choice=lambda doc: ["red", "blue"], doc_to_target=lambda doc: target
    )
    answered = Answered({}, (("a", "b"),) * 4, (-1.0, -2.0, -3.0, -4.0), task, None)
    assert answered.right == right
    # what is scored without its context comes after the options
    assert answered.log_likelihoods == (-1.0, -2.0) and len(answered.options) == 2
