"""Questions in a chat, against lm-eval's own with its chat template applied."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from interventions.criteria.engine.evaluation import evaluate
from interventions.data.lm_eval_tasks import tasks
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.prompt_format import PLAIN, read_prompt_format
from tests.interventions.criteria.engine.stock import small_model, small_questions
from tests.interventions.test_prompt_format import TEMPLATES

CLOSE = 1e-4  # nats, in float32


def likelihoods(objects: Any) -> dict[str, list[tuple[int, float]]]:
    """The log-likelihood of every answer of the tasks' questions."""
    return {
        name: [(request.doc_id, request.resps[0][0]) for request in task.instances]
        for name, task in objects.items()
    }


def ours(lm: LM, objects: Any) -> tuple[dict[str, list[tuple[int, float]]], dict[str, Any]]:
    with torch.inference_mode():
        metrics = evaluate(lm, objects, None)
    return likelihoods(objects), metrics


@pytest.mark.parametrize(("family", "template"), [("llama", "llama-2"), ("gpt2", "chatml")])
def test_answers_to_chats_are_those_of_lm_eval(family: str, template: str) -> None:
    from lm_eval.evaluator import evaluate as stock_evaluate
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    lm, questions = small_model(family), small_questions(8)
    lm.tokenizer.chat_template = TEMPLATES[template]
    lm.prompt_format = read_prompt_format("chat", lm.tokenizer)
    own, metrics = ours(lm, tasks(questions)["tasks"])
    harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=1)
    stock = stock_evaluate(
        harness,
        tasks(questions),
        bootstrap_iters=0,
        log_samples=True,
        apply_chat_template=True,
    )
    for name, samples in stock["samples"].items():
        expected = [
            (sample["doc_id"], response[0][0]) for sample in samples for response in sample["resps"]
        ]
        assert len(expected) == len(own[name]) > 8
        for (number, value), (own_number, own_value) in zip(expected, own[name], strict=True):
            assert own_number == number and own_value == pytest.approx(value, rel=0, abs=CLOSE)
        for sample in samples:
            assert metrics[name][sample["doc_id"]]["acc"] == sample["acc"]


def test_a_models_format_is_its_own() -> None:
    """Requests are kept from model to model: plain ones may not answer for chats."""
    lm, objects = small_model("qwen2"), tasks(small_questions(3))["tasks"]
    plain, _ = ours(lm, objects)
    lm.tokenizer.chat_template = TEMPLATES["chatml"]
    lm.prompt_format = read_prompt_format("chat", lm.tokenizer)
    chat, _ = ours(lm, objects)
    lm.prompt_format = PLAIN
    assert chat != plain and ours(lm, objects)[0] == plain


def test_a_question_of_several_turns_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lm, objects = small_model("qwen2"), tasks(small_questions(3))["tasks"]
    lm.tokenizer.chat_template = TEMPLATES["chatml"]
    lm.prompt_format = read_prompt_format("chat", lm.tokenizer)
    task = objects["own_letters"]
    monkeypatch.setattr(task.config, "gen_prefix", "Answer:")
    with pytest.raises(InvalidInput, match="task own_letters are chats of several turns"):
        evaluate(lm, {"own_letters": task}, {"own_letters": [1]})
