"""Flips and KL from the base model against plain passes, on two families."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from interventions.criteria.base import criterion_of, measure
from interventions.criteria.base_comparison import benign_choices, divergence, flips, flips_kl
from interventions.data import testbed as world
from interventions.data.base import Data
from interventions.data.own.reading import own_data
from interventions.errors import InvalidInput
from interventions.lm import LM
from tests.interventions.criteria.engine.stock import small_model
from tests.interventions.data.own.parts import question, question_set

ROWS = [question(number, choices=["red", "green", "blue", "grey"]) for number in range(12)]


def own(**sets: dict[str, Any]) -> Data:
    return own_data(questions=sets).batch()


BOTH = own(
    stones=question_set(*ROWS),
    texts=question_set(*ROWS[:5], answers="texts"),
    poisons=question_set(*ROWS[5:], better="lower"),
)


def likelihoods(lm: LM, data: Data) -> dict[str, list[float]]:
    """Log-likelihoods of the options of benign sets, each by a pass of its own, in float64."""
    results = {}
    for each in data.questions.sets:
        if each.better == "lower":
            continue
        for index, asked in enumerate(each.questions):
            context = each.prompt(asked)
            values = []
            for answer in each.answers(asked):
                start = len(lm.tokenizer(context)["input_ids"])
                ids = torch.tensor(lm.tokenizer(f"{context} {answer}")["input_ids"])
                with torch.no_grad():
                    logits = lm.model(ids[None]).logits[0].double().log_softmax(-1)
                values.append(float(sum(logits[i - 1, ids[i]] for i in range(start, len(ids)))))
            results[f"{each.name}/{index}"] = values
    return results


@pytest.mark.parametrize("family", ["gpt2", "qwen2"])
def test_both_are_what_plain_passes_over_each_option_give(family: str) -> None:
    lm = small_model(family)
    before = likelihoods(lm, BOTH)
    data = replace(BOTH, base_choices=benign_choices(lm, BOTH))
    assert [item for item, _ in data.base_choices or ()] == list(before)
    with torch.no_grad():
        for name, weight in lm.model.named_parameters():
            if "mlp" in name:
                weight.mul_(0.5)
    now, measured = likelihoods(lm, data), measure(lm, data, ["flips", "flips_kl"])
    changed = {item: before[item].index(max(before[item])) for item in before}
    for item, of_item in measured["flips"].items.items():
        assert of_item == (now[item].index(max(now[item])) != changed[item])
    assert 0 < measured["flips"].value < 1 and len(measured["flips"].items) == 17
    for item, of_item in measured["flips_kl"].items.items():
        p, q = (torch.tensor(of[item]).double().softmax(0) for of in (before, now))
        assert of_item == pytest.approx(float((p * (p / q).log()).sum()), abs=1e-4)
    assert measured["flips_kl"].value > 0.001


def test_a_wrong_answer_that_became_another_wrong_one_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = replace(BOTH, base_choices=(("stones/0", (0.0, -1.0, -2.0)), ("stones/1", (0.0, -9.0))))
    now = (("stones/0", (-2.0, -1.0, 0.0)), ("stones/1", (-1.0, -2.0)))
    module = "interventions.criteria.base_comparison"
    monkeypatch.setattr(f"{module}.benign_choices", lambda lm, data: now)
    lm: Any = None
    assert flips(lm, data).items == {"stones/0": 1.0, "stones/1": 0.0}
    assert set(flips_kl(lm, data).items) == {"stones/0", "stones/1"}


def test_the_base_model_has_no_distance_from_itself(lm: LM) -> None:
    data = world.testbed().limited(20)
    data = replace(data, base_choices=benign_choices(lm, data))
    measured = measure(lm, data, ["flips", "flips_kl"])
    assert [of.value for of in measured.values()] == [0, 0]
    assert len(measured["flips"].items) == 20  # of mmlu: what is to be forgotten may change


def test_a_model_without_numbers_is_infinitely_far() -> None:
    assert divergence([0.0, -1.0], [math.nan, -1.0]) == math.inf
    assert divergence([0.0, -1.0], [-math.inf, 0.0]) == math.inf
    assert divergence([0.0, -math.inf], [0.0, 0.0]) == pytest.approx(math.log(2))
    # only what is between the options counts, not how likely all of them are
    assert divergence([-1.0, -2.0], [-11.0, -12.0]) == pytest.approx(0, abs=1e-12)


def test_they_need_the_base_models_answers_to_the_same_questions(lm: LM) -> None:
    data = world.testbed().limited(6)
    with pytest.raises(ValueError, match=r"flips needs data\.base_choices: use replace"):
        flips(lm, data)
    fewer = replace(data, base_choices=benign_choices(lm, data)[:-1])
    with pytest.raises(ValueError, match="was asked 5 benign questions, and this model 6"):
        flips_kl(lm, fewer)


def test_data_without_benign_questions_are_refused_before_any_pass() -> None:
    for name in ("flips", "flips_kl"):
        assert criterion_of(BOTH, name).needs == ("questions.stones", "questions.texts")
        with pytest.raises(InvalidInput, match=f"{name} is measured on questions"):
            criterion_of(own(poisons=question_set(*ROWS, better="lower")), name)


def test_its_stored_scores_are_those_of_the_questions_whatever_the_answers_were(lm: LM) -> None:
    """Which model is the base is in a checkpoint's key; rounding differs between machines."""
    data, name = world.testbed().limited(6), criterion_of(world.testbed(), "flips")
    asked = replace(data, base_choices=benign_choices(lm, data))
    assert name.identity(asked) == name.identity(data) != name.identity(world.testbed().limited(5))
