"""Four-choice criteria, against the likelihood of one option at a time."""

import json
import math

import pytest
import torch
from torch.nn import functional as F

from interventions.anatomy import block_linears
from interventions.criteria import question_answering
from interventions.criteria.base import Scores, measure
from interventions.criteria.criterion import Better
from interventions.data import lm_eval_tasks
from interventions.data.base import Data
from interventions.data.testbed import TASKS
from interventions.lm import LM


def test_four_choice_accuracy_is_the_share_of_likeliest_options(lm: LM, data: Data) -> None:
    """Reference: the options' summed log-likelihoods, one at a time, on a model that errs."""
    with torch.no_grad():
        for linear in block_linears(lm.model).values():
            linear.weight += 0.1 * torch.randn(
                linear.weight.shape, generator=torch.Generator().manual_seed(0)
            )
    right = {}
    for i, line in enumerate((TASKS / "wmdp_bio.test.jsonl").read_text().splitlines()):
        row = json.loads(line)
        start = len(lm.tokenizer.encode(row["question"]))
        likelihoods = []
        for choice in row["choices"]:
            ids = torch.tensor([lm.tokenizer.encode(f"{row['question']} {choice}")])
            with torch.no_grad():
                logits = lm.model(ids).logits[0, :-1]
            likelihoods.append(
                -float(F.cross_entropy(logits[start - 1 :], ids[0, start:], reduction="sum"))
            )
        right[str(i)] = float(likelihoods.index(max(likelihoods)) == row["answer"])
    measured = measure(lm, data, ["wmdp_bio", "wmdp_cyber", "wmdp"])
    assert 0.2 < measured["wmdp_bio"].value < 0.99  # it does err
    assert dict(measured["wmdp_bio"].items) == right
    accuracy = measured["wmdp_bio"].value
    binomial = math.sqrt(accuracy * (1 - accuracy) / (len(right) - 1))
    assert measured["wmdp_bio"].stderr == pytest.approx(binomial)
    mean = (measured["wmdp_bio"].value + measured["wmdp_cyber"].value) / 2
    assert measured["wmdp"].value == pytest.approx(mean)


def test_wmdp_is_the_mean_of_two_samples_with_the_error_of_independent_ones(
    lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variance of a mean of two: (0.03^2 + 0.04^2) / 4, so the error is 0.05 / 2."""
    parts = {
        "wmdp_bio": {"0": 1.0, "1": 0.0},
        "wmdp_cyber": {"0": 1.0},
    }
    errors = {"wmdp_bio": 0.03, "wmdp_cyber": 0.04}
    monkeypatch.setattr(question_answering, "accuracies", lambda lm, questions: parts)
    monkeypatch.setattr(
        question_answering,
        "mean_scores",
        lambda items: Scores(
            sum(items.values()) / len(items),
            errors["wmdp_bio" if len(items) == 2 else "wmdp_cyber"],
            items,
        ),
    )
    scores = question_answering.wmdp(lm, small)
    assert scores.value == 0.75  # unweighted, though biology has more items
    assert scores.stderr == pytest.approx(0.025)
    assert scores.items == {"bio/0": 1.0, "bio/1": 0.0, "cyber/0": 1.0}


def test_lm_evals_full_index_is_not_read_and_tasks_are_built_once(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lm_eval.tasks

    arguments: list[dict[str, object]] = []
    real = lm_eval.tasks.TaskManager

    def watched_manager(**kwargs: object) -> object:
        arguments.append(kwargs)
        return real(**kwargs)

    monkeypatch.setattr(lm_eval.tasks, "TaskManager", watched_manager)
    lm_eval_tasks.tasks.cache_clear()
    assert lm_eval_tasks.tasks(data.questions) is lm_eval_tasks.tasks(data.questions)
    assert arguments == [{"include_defaults": False}]


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("sampled", [True, False], ids=["sampled", "all"])
def test_made_up_choices_are_of_the_questions_that_a_model_is_asked(
    better: Better, sampled: bool, lm: LM, data: Data, small: Data
) -> None:
    questions = (small if sampled else data).questions
    made_up = question_answering.made_up_choices(questions, better)
    measured = question_answering.choices_of_sets(lm, questions, better)
    assert [name for name, _ in made_up] == [name for name, _ in measured]
    assert [len(choices) for _, choices in made_up] == [len(choices) for _, choices in measured]
    assert {value for _, choices in made_up for value in choices} == {0.0}
