import json
import math

import pytest
import torch
from torch.nn import functional as F

from interventions.anatomy import block_linears
from interventions.criteria import base, editing, question_answering
from interventions.criteria.base import CRITERIA, Criterion, Scores, measure
from interventions.criteria.cost import cost
from interventions.criteria.perplexity import exp
from interventions.data.base import Data
from interventions.data.testbed import TASKS
from interventions.errors import InvalidInput
from interventions.lm import LM, QuantizationGrid


@pytest.mark.parametrize(
    ("answer", "target", "f1"),
    [
        ([1, 2], [1, 2], 1.0),
        ([2, 1], [1, 2], 1.0),
        ([1, 3], [1, 2], 0.5),
        ([1, 1], [1, 2], 2 / 3),
        ([3], [1], 0.0),
    ],
)
def test_f1_is_over_sets_of_tokens(answer: list[int], target: list[int], f1: float) -> None:
    assert editing.token_f1(answer, target) == pytest.approx(f1)


def test_answers_are_the_argmax_of_unpadded_prompts(lm: LM, small: Data) -> None:
    pairs = tuple((p.prompt, p.answer) for p in small.locality)
    for (prompt, _), (answer, target) in zip(pairs, editing.generated(lm, pairs), strict=True):
        ids = lm.tokenizer.encode(prompt)
        for _ in target:
            with torch.no_grad():
                ids.append(int(lm.model(torch.tensor([ids])).logits[0, -1].argmax()))
        assert answer == ids[-len(target) :]


def test_four_choice_accuracy_is_the_share_of_likeliest_options(lm: LM, data: Data) -> None:
    """Reference: summed log-likelihood of each option's text, one at a time, on a model that errs."""
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


def test_lm_evals_full_index_is_not_read_and_tasks_are_built_once(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lm_eval.tasks

    made: list[dict[str, object]] = []
    real = lm_eval.tasks.TaskManager

    def watched(**kwargs: object) -> object:
        made.append(kwargs)
        return real(**kwargs)

    monkeypatch.setattr(lm_eval.tasks, "TaskManager", watched)
    question_answering.tasks.cache_clear()
    assert question_answering.tasks(data.questions) is question_answering.tasks(data.questions)
    assert made == [{"include_defaults": False}]


def test_perplexity_is_exp_of_the_mean_token_loss(lm: LM, small: Data) -> None:
    total, count = 0.0, 0
    for text in small.test_text:
        ids = lm.tokenizer.encode(text)
        for start in range(0, len(ids), small.window):
            window = torch.tensor([ids[start : start + small.window]])
            if window.shape[1] > 1:
                with torch.no_grad():
                    logits = lm.model(window).logits[0, :-1].double()
                total += float(F.cross_entropy(logits, window[0, 1:], reduction="sum"))
                count += window.shape[1] - 1
    assert measure(lm, small, ["wikitext_ppl"])["wikitext_ppl"].value == pytest.approx(
        math.exp(total / count), 1e-4
    )


def test_an_overflowing_or_undefined_perplexity_is_infinite() -> None:
    assert exp(1000.0) == exp(math.nan) == math.inf


def test_average_bits_of_a_quantized_layer_follow_from_its_weights(lm: LM, data: Data) -> None:
    """16 bits elsewhere; 4 bits + 32/32 on the grid; with half zeros 4/2 + 1/2 + 1 (paper, section C)."""
    name, linear = next(iter(block_linears(lm.model).items()))
    scale, zero = torch.full((128, 4), 0.1), torch.full((128, 4), 8.0)
    integers = torch.arange(16).repeat(128, 8)
    integers[integers == 8] = 9  # no zeros yet
    with torch.no_grad():
        linear.weight.copy_((integers - 8) * 0.1)
    lm.grids[name] = QuantizationGrid(4, 32, scale, zero)

    def bits() -> float:
        return measure(lm, data, ["average_bits"])["average_bits"].items[name]

    assert bits() == pytest.approx(5.0)
    with torch.no_grad():
        linear.weight[:64] = 0
    assert bits() == pytest.approx(4 * 0.5 + 0.5 + 1)
    with torch.no_grad():
        linear.weight[0, 0] = 0.123
    assert bits() > 8  # off the grid: 16 bits


def test_what_criteria_share_is_computed_once_a_pass(
    lm: LM, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    real = lm.model.generate

    def watched(**kwargs: object) -> object:
        calls.append(1)
        return real(**kwargs)

    monkeypatch.setattr(lm.model, "generate", watched)
    measure(lm, data, ["edit_locality", "edit_preservation"])
    assert len(calls) == math.ceil(len(data.locality) / 64)


def test_an_unknown_criterion_is_named(lm: LM, small: Data) -> None:
    with pytest.raises(InvalidInput, match=r"no criterion is named 'mmmlu'\. Did you mean 'mmlu'"):
        measure(lm, small, ["mmmlu"])


def test_a_criterion_may_not_be_nan(lm: LM, small: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Criterion(
        "wrong", "higher", "", 1, frozenset(), lambda lm, data: Scores(math.nan, 0.0, {})
    )
    monkeypatch.setattr(base.CRITERIA, "_things", {**CRITERIA.all(), "wrong": wrong})
    with pytest.raises(InvalidInput, match="must be finite or \\+inf, but got nan"):
        measure(lm, small, ["wrong"])


def test_the_cost_of_a_block_sees_its_peak() -> None:
    with cost() as idle:
        pass
    with cost() as spent:
        hungry = torch.ones(64 * 2**20)  # 0.25 GiB
        del hungry
    assert spent.seconds > 0
    assert spent.peak_gib - idle.peak_gib > 0.15
