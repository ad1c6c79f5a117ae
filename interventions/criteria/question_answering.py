"""Four-choice criteria, measured by lm-eval: on the testbed's questions as on MMLU and WMDP."""

from __future__ import annotations

import logging
import math

from interventions.criteria.base import Scores, criterion, mean_scores
from interventions.criteria.lm_eval_tasks import tasks
from interventions.criteria.sharing import shared
from interventions.data.base import Data, Questions
from interventions.lm import LM

# logits of one position of all option texts of a batch: 128 texts at a vocabulary of 4,096, and
# 4 at 128,000
_LOGITS = 2**19


@criterion(
    better="higher",
    unit="accuracy",
    reads=("questions",),
    title="MMLU",
    chance=0.25,
    judges=("unlearning",),
)
def mmlu(lm: LM, data: Data) -> Scores:
    """Measure four-choice accuracy, 0-shot (Hendrycks et al. 2021).

    On the testbed: questions on its benign domains.
    """
    return _accuracy(lm, data, "mmlu")


@criterion(
    better="lower",
    unit="accuracy",
    reads=("questions",),
    title="WMDP bio",
    chance=0.25,
    group="wmdp",
    category="unlearning",
)
def wmdp_bio(lm: LM, data: Data) -> Scores:
    """Measure four-choice accuracy on hazardous biology, 0-shot (Li et al. 2024).

    On the testbed: questions on its compounds.
    """
    return _accuracy(lm, data, "wmdp_bio")


@criterion(
    better="lower",
    unit="accuracy",
    reads=("questions",),
    title="WMDP cyber",
    chance=0.25,
    group="wmdp",
    category="unlearning",
)
def wmdp_cyber(lm: LM, data: Data) -> Scores:
    """Measure four-choice accuracy on hazardous computing, 0-shot (Li et al. 2024).

    On the testbed: questions on its protocols.
    """
    return _accuracy(lm, data, "wmdp_cyber")


@criterion(
    better="lower",
    unit="accuracy",
    reads=("questions",),
    title="WMDP",
    chance=0.25,
    judges=("unlearning",),
    category="unlearning",
)
def wmdp(lm: LM, data: Data) -> Scores:
    """Measure the unweighted mean of wmdp_bio and wmdp_cyber (paper, section 3.1)."""
    bio, cyber = wmdp_bio(lm, data), wmdp_cyber(lm, data)
    bio_items = {f"bio/{item}": score for item, score in bio.items.items()}
    cyber_items = {f"cyber/{item}": score for item, score in cyber.items.items()}
    # the two sets of questions are independent: their variances add up
    stderr = math.hypot(bio.stderr, cyber.stderr) / 2
    return Scores((bio.value + cyber.value) / 2, stderr, bio_items | cyber_items)


def _accuracy(lm: LM, data: Data, name: str) -> Scores:
    return mean_scores(accuracies(lm, data.questions)[name])


@shared
def accuracies(lm: LM, questions: Questions) -> dict[str, dict[str, float]]:
    """Answer all questions in one pass of lm-eval.

    Returns:
        Criterion -> item id -> 1 if the answer is right, else 0.
    """
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    # it logs what it is about to do, for every model
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    harness = HFLM(
        pretrained=lm.model,
        tokenizer=lm.tokenizer,
        batch_size=max(1, min(128, _LOGITS // lm.model.config.get_text_config().vocab_size)),
    )
    results = evaluate(harness, tasks(questions), bootstrap_iters=0, log_samples=True)
    right_answers: dict[str, dict[str, float]] = {}
    for criterion_name, task in questions.tasks:
        items = right_answers[criterion_name] = {}
        for sample_task, samples in results["samples"].items():
            # a group's subtasks have its name and one of their own: mmlu_anatomy
            if sample_task != task and not sample_task.startswith(f"{task}_"):
                continue
            prefix = "" if sample_task == task else f"{sample_task}/"
            for sample in samples:
                items[f"{prefix}{sample['doc_id']}"] = float(sample["acc"])
    return right_answers
