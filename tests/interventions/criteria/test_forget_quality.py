"""Forget quality against the definition, on two families and on the testbed."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from interventions.criteria.base import criterion_of, measure
from interventions.criteria.forget_quality import forget_choices, forget_quality, log_truth_ratio
from interventions.data import testbed as world
from interventions.data.base import Choices, Data
from interventions.data.own.reading import own_data
from interventions.data.testbed import RETAIN_MODEL
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.interventions.criteria.engine.stock import small_model
from tests.interventions.data.own.parts import question, question_set

CHOICES = ["red", "green and grey", "blue", "grey stones by the river"]
ROWS = [question(number, choices=CHOICES) for number in range(9)]


def own(**sets: dict[str, Any]) -> Data:
    return own_data(questions=sets).batch()


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_options_are_as_likely_per_token_as_a_plain_pass_says(family: str) -> None:
    data = own(
        poisons=question_set(*ROWS, better="lower", answers="texts"),
        stones=question_set(*ROWS),  # which is not to be forgotten
    )
    lm = small_model(family)
    choices = forget_choices(lm, data)
    assert [item for item, _ in choices] == [f"poisons/{number}" for number in range(9)]
    (poisons,) = (each for each in data.questions.sets if each.name == "poisons")
    for (_, values), asked in zip(choices, poisons.questions, strict=True):
        context, expected = poisons.prompt(asked), []
        start = len(lm.tokenizer(context)["input_ids"])
        for answer in asked.choices:
            ids = torch.tensor(lm.tokenizer(f"{context} {answer}")["input_ids"])
            with torch.no_grad():
                logits = lm.model(ids[None]).logits[0].double().log_softmax(-1)
            expected.append(float(logits[range(start - 1, len(ids) - 1), ids[start:]].mean()))
        right = expected.pop(asked.answer)
        assert values == pytest.approx((right, *expected), abs=1e-4)


def test_the_ratio_is_the_geometric_mean_of_wrong_answers_over_the_right_one() -> None:
    right, wrong = 0.2, (0.1, 0.4, 0.3)
    ratio = math.prod(wrong) ** (1 / 3) / right
    assert math.exp(log_truth_ratio(tuple(map(math.log, (right, *wrong))))) == pytest.approx(ratio)


def with_ratios(patch: pytest.MonkeyPatch, ours: Any, theirs: Any) -> float:
    """The criterion's value where models have these truth ratios."""

    def choices(ratios: Any) -> Choices:
        return tuple((f"poisons/{i}", (0.0, math.log(ratio))) for i, ratio in enumerate(ratios))

    module, lm = "interventions.criteria.forget_quality", LM.__new__(LM)
    patch.setattr(f"{module}.forget_choices", lambda lm, data: choices(ours))
    scores = forget_quality(lm, replace(world.testbed(), retain_choices=choices(theirs)))
    assert math.isnan(scores.stderr) and not scores.items
    return scores.value


def test_the_value_is_the_p_of_a_test_that_models_have_the_same_ratios(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    theirs = np.exp(rng.normal(size=200))
    for shift in (0.0, 0.1, 0.4, -0.4):
        ours = np.exp(rng.normal(shift, size=200))
        expected = stats.ks_2samp(ours, theirs).pvalue
        assert with_ratios(monkeypatch, ours, theirs) == pytest.approx(expected)
        assert (expected < 0.05) == (abs(shift) > 0.2)
    # unsure where the other is sure of something wrong: it can be told apart, too
    assert with_ratios(monkeypatch, np.ones(200), theirs) < 1e-6
    broken = [math.nan] * 200
    assert with_ratios(monkeypatch, broken, theirs) < 1e-6
    assert with_ratios(monkeypatch, broken, np.ones(200)) < 1e-6


def test_the_testbeds_retain_model_is_its_own_best_and_the_base_model_is_told_apart(
    lm: LM,
) -> None:
    data = world.testbed().limited(60)
    retain = LM.load(RETAIN_MODEL)
    data = replace(data, retain_choices=forget_choices(retain, data))
    assert data.retain_model == str(RETAIN_MODEL)
    assert measure(retain, data, ["forget_quality"])["forget_quality"].value == 1
    assert measure(lm, data, ["forget_quality"])["forget_quality"].value < 1e-6


def test_it_needs_a_model_and_questions_on_what_is_to_be_forgotten(lm: LM) -> None:
    with pytest.raises(ValueError, match=r"forget_quality needs data\.retain_choices: use"):
        forget_quality(lm, world.testbed())
    poisons = own(poisons=question_set(*ROWS, better="lower"))
    with pytest.raises(InvalidInput, match="forget_quality is measured on retain_choices, of"):
        criterion_of(poisons, "forget_quality")
    known = replace(poisons, retain_model=str(RETAIN_MODEL))
    assert criterion_of(known, "forget_quality").needs == ("questions.poisons",)
    stones = replace(own(stones=question_set(*ROWS)), retain_model=str(RETAIN_MODEL))
    with pytest.raises(InvalidInput, match="forget_quality is measured on questions"):
        criterion_of(stones, "forget_quality")


def test_stored_scores_are_of_one_retain_model() -> None:
    known = criterion_of(world.testbed(), "forget_quality")
    other = replace(world.testbed(), retain_model=str(RETAIN_MODEL.with_name("model")))
    assert known.identity(other) != known.identity(world.testbed())


def test_so_few_questions_that_no_p_is_small_are_refused(lm: LM) -> None:
    data = world.testbed().limited(4)
    data = replace(data, retain_choices=forget_choices(lm, data))
    with pytest.raises(ValueError, match="needs 10 questions, of which p can be small, but there"):
        forget_quality(lm, data)


def test_ten_questions_are_enough(lm: LM) -> None:
    data = world.testbed().limited(5)
    choices = forget_choices(lm, data)
    assert len(choices) == 10
    assert forget_quality(lm, replace(data, retain_choices=choices)).value == 1
