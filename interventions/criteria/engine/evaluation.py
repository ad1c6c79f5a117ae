"""Evaluate lm-eval's task objects: they say what is asked and what is right, and we read texts."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from interventions.criteria.engine.requests import Answer, answers
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.prompt_format import PLAIN, PromptFormat

Metrics = Mapping[str, Any]
# task -> (indices of its questions and their format, their requests): templates take longer than
# a small model
_BUILT: WeakKeyDictionary[Any, tuple[Any, list[Any]]] = WeakKeyDictionary()


def evaluate(
    lm: LM, tasks: Mapping[str, Any], samples: Mapping[str, Sequence[int]] | None
) -> dict[str, dict[int, Metrics]]:
    """Return what lm-eval's tasks make of a model's answers, question by question.

    Contexts, continuations, filters and metrics are the tasks'; only the log-likelihoods are
    computed here.

    Args:
        lm: the model; not changed.
        tasks: name -> lm-eval's task object.
        samples: task -> indices of the questions that are asked; None: all.

    Returns:
        Task -> index of a question -> metric -> value.

    Raises:
        InvalidInput: a task asks for something else than log-likelihoods.

    Source: lm-eval 0.4.13, ``lm_eval.evaluator.evaluate``.
    """
    # it logs what it is about to do, for every model
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    of_tasks = [
        _requests(name, task, None if samples is None else samples[name], lm.prompt_format)
        for name, task in tasks.items()
    ]
    pairs = [[request.args for request in requests] for requests in of_tasks]
    results = {}
    for name, requests, task_answers in zip(tasks, of_tasks, answers(lm, pairs), strict=True):
        indices = None if samples is None else samples[name]
        results[name] = _metrics(tasks[name], requests, task_answers, indices)
    return results


def _requests(
    name: str, task: Any, samples: Sequence[int] | None, prompt_format: PromptFormat
) -> list[Any]:
    """Return a task's requests, with nothing of an earlier model in them."""
    # lm-eval would take no indices for all
    if samples is not None and not samples:
        return []
    content = (None if samples is None else tuple(samples), prompt_format)
    built_of, requests = _BUILT.get(task, ((), []))
    if built_of != content or requests is not task.instances:
        chat = {} if prompt_format == PLAIN else _chat_options(name, prompt_format)
        task.build_all_requests(samples=samples and list(samples), rank=0, world_size=1, **chat)
        requests = task.instances
        _BUILT[task] = content, requests
    for request in requests:
        if request.request_type != "loglikelihood" or len(request.args) != 2:
            raise InvalidInput(
                f"task {name} asks for {request.request_type}; only tasks whose questions are"
                " answered by a choice between texts are measured"
            )
        request.resps, request.filtered_resps = [], {}
    return requests


def _chat_options(name: str, prompt_format: PromptFormat) -> dict[str, Any]:
    """Return the options with which lm-eval gives a task's contexts as chats.

    It puts nothing between a context and an answer then.
    """

    def context(messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        if not add_generation_prompt or [message["role"] for message in messages] != ["user"]:
            raise InvalidInput(
                f"the questions of task {name} are chats of several turns; use prompt_format=plain"
            )
        return prompt_format.context(messages[0]["content"])

    return {"apply_chat_template": True, "chat_template": context}


def _metrics(
    task: Any, requests: Sequence[Any], task_answers: Sequence[Answer], samples: Any
) -> dict[int, Metrics]:
    """Return the metrics of each question."""
    if not requests:
        return {}
    of_question: dict[int, list[Any]] = defaultdict(list)
    for request, answer in zip(requests, task_answers, strict=True):
        request.resps.extend([answer] * (request.repeats or 1))
        of_question[request.doc_id].append(request)
    task.apply_filters()
    metrics: dict[int, Metrics] = {}
    for number, together in of_question.items():
        together.sort(key=lambda request: request.idx)
        # of several filters the last one counts
        for name in requests[0].filtered_resps:
            filtered = [request.filtered_resps[name] for request in together]
            index = samples[number] if samples else number
            metrics[index] = task.process_results(together[0].doc, filtered)
    return metrics
