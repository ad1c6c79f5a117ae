"""What stock lm-eval answers, and small models and questions to ask."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lm_eval.evaluator
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from interventions.data.base import Questions
from interventions.data.lm_eval_tasks import tasks
from interventions.data.question_set import Question, QuestionSet
from interventions.lm import LM
from tests.anatomies.texts import sentences
from tests.anatomies.tokenizers import tokenizer
from tests.anatomies.zoo import ANATOMIES, Anatomy

# logits that the zoo leaves as they are
SCALED = {
    "cohere2-scaled": replace(
        ANATOMIES["cohere2"], settings={**ANATOMIES["cohere2"].settings, "logit_scale": 0.3}
    ),
    "granite": Anatomy("Granite", {**ANATOMIES["qwen2"].settings, "logits_scaling": 3.0}),
    "gemma2-capped": replace(
        ANATOMIES["gemma2"],
        settings={**ANATOMIES["gemma2"].settings, "final_logit_softcapping": 2.0},
    ),
    # other rotary factors for all rows of a batch whose longest has over 16 tokens
    "phi3-long": replace(
        ANATOMIES["phi3"],
        settings={
            **ANATOMIES["phi3"].settings,
            "original_max_position_embeddings": 16,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10_000.0,
                "short_factor": [1.0] * 8,
                "long_factor": [4.0] * 8,
                "original_max_position_embeddings": 16,
            },
        },
    ),
}


def small_model(name: str) -> LM:
    """Return a small random model of a family, with its tokenizer."""
    anatomy = {**ANATOMIES, **SCALED}[name]
    known = tokenizer(anatomy.tokenizer)
    if known.pad_token is None:
        known.pad_token = known.eos_token  # as LM.load does
    return LM(anatomy.model(), known)


def small_questions(count: int) -> Questions:
    """Return ``count`` questions of each of three shapes.

    Letters after choices, texts after a question, and texts after a long text that five questions
    share.
    """
    texts = sentences(5 * count, seed=11, most=2)
    sets = []
    for shape, letters in (("letters", True), ("texts", False), ("shared", False)):
        rows = []
        for index in range(count):
            start = 5 * index
            passage = " ".join(texts[start - start % 25 :][:3]) if shape == "shared" else ""
            choices = tuple(text[: 10 + 2 * index % 9] for text in texts[start + 1 : start + 5])
            rows.append(Question(f"{passage}{texts[start]}", choices, index % 4))
        sets.append(QuestionSet(shape, tuple(rows), "higher", letters=letters))
    named = tuple((each.name, f"own_{each.name}") for each in sets)
    return Questions(named, sets=tuple(sets))


def stock_answers(lm: LM, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
    """Return lm-eval's log-likelihoods, one request at a time."""
    requests = [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]
    answers: Any = _harness(lm, 1).loglikelihood(requests, disable_tqdm=True)
    return [(float(likelihood), bool(greedy)) for likelihood, greedy in answers]


def stock_evaluation(
    lm: LM, questions: Questions, batch: int = 8
) -> dict[str, dict[int, tuple[float, list[float]]]]:
    """Return, by task and question, lm-eval's accuracy and the options' log-likelihoods."""
    results = lm_eval.evaluator.evaluate(
        _harness(lm, batch), tasks(questions), bootstrap_iters=0, log_samples=True
    )
    return {
        task: {
            sample["doc_id"]: (sample["acc"], [resp[0][0] for resp in sample["resps"]])
            for sample in samples
        }
        for task, samples in results["samples"].items()
    }


def _harness(lm: LM, batch: int) -> Any:
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=batch)


def built(folder: Path, count: int) -> tuple[LM, Questions]:
    """Return the benchmark's model, and ``count`` questions of each of its shapes."""
    from benchmarks.evaluation_world import build, questions

    build(folder, count)
    return LM.load(folder / "model"), questions(folder)
