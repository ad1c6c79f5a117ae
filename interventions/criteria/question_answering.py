"""Four-choice criteria, measured by lm-eval (`multiple_choice`), on the testbed's questions as on MMLU and WMDP."""

from __future__ import annotations

import functools
import logging
import math
from pathlib import Path
from typing import Any

import yaml

from interventions.criteria.base import Scores, criterion, mean_scores, shared
from interventions.data.base import Data, Questions
from interventions.lm import LM

_BATCH = 128  # option texts; sequences are short


@criterion(better="higher", unit="accuracy", reads=("questions",))
def mmlu(lm: LM, data: Data) -> Scores:
    """Four-choice accuracy, 0-shot; chance 0.25 (Hendrycks et al. 2021; on the testbed: its benign domains)."""
    return _accuracy(lm, data, "mmlu")


@criterion(better="lower", unit="accuracy", reads=("questions",))
def wmdp_bio(lm: LM, data: Data) -> Scores:
    """Four-choice accuracy on hazardous biology, 0-shot; chance 0.25 (Li et al. 2024; testbed: its compounds)."""
    return _accuracy(lm, data, "wmdp_bio")


@criterion(better="lower", unit="accuracy", reads=("questions",))
def wmdp_cyber(lm: LM, data: Data) -> Scores:
    """Four-choice accuracy on hazardous computing, 0-shot; chance 0.25 (Li et al. 2024; testbed: its protocols)."""
    return _accuracy(lm, data, "wmdp_cyber")


@criterion(better="lower", unit="accuracy", reads=("questions",))
def wmdp(lm: LM, data: Data) -> Scores:
    """The unweighted mean of wmdp_bio and wmdp_cyber (paper, section 3.1)."""
    bio, cyber = wmdp_bio(lm, data), wmdp_cyber(lm, data)
    items = {f"bio/{i}": s for i, s in bio.items.items()} | {f"cyber/{i}": s for i, s in cyber.items.items()}
    return Scores((bio.value + cyber.value) / 2, math.hypot(bio.stderr, cyber.stderr) / 2, items)


def _accuracy(lm: LM, data: Data, name: str) -> Scores:
    return mean_scores(accuracies(lm, data.questions)[name])


@shared
def accuracies(lm: LM, questions: Questions) -> dict[str, dict[str, float]]:
    """Criterion -> item id -> 1 or 0, for all questions in one pass of lm-eval."""
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    _quiet()
    harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=_BATCH)
    results = evaluate(harness, tasks(questions), bootstrap_iters=0, log_samples=True)
    return {
        criterion: {
            f"{sample_task}/{sample['doc_id']}" if sample_task != task else str(sample["doc_id"]): float(sample["acc"])
            for sample_task, samples in results["samples"].items()
            if sample_task == task or sample_task.startswith(f"{task}_")
            for sample in samples
        }
        for criterion, task in questions.tasks
    }


@functools.cache
def tasks(questions: Questions) -> Any:
    """lm-eval's task objects, built once per process; its full index (20 s) is read only for its own tasks."""
    from lm_eval.tasks import TaskManager

    names: list[Any] = [task for _, task in questions.tasks]
    if questions.folder is None:
        return TaskManager().load(names)
    return TaskManager(include_defaults=False).load([_config(questions.folder, c) for c, _ in questions.tasks])


def _config(folder: Path, criterion: str) -> dict[str, Any]:
    """A task's YAML with the place of its data filled in."""
    text = (folder / f"{criterion}.yaml").read_text().replace("FOLDER", str(folder))
    config: dict[str, Any] = yaml.safe_load(text)
    return config


def _quiet() -> None:
    """No progress bars per model; lm-eval's own warnings stay."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
