"""Evaluate lm-eval's task objects: they say what is asked and what is right, and we read texts."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from interventions.criteria.engine.encoding import Pair
from interventions.criteria.engine.requests import Answer, answers
from interventions.errors import InvalidInput
from interventions.lm import LM
from interventions.prompt_format import PLAIN, PromptFormat

Metrics = Mapping[str, Any]
# task -> (indices of its questions and their format, their requests): templates take longer than
# a small model
_BUILT: WeakKeyDictionary[Any, tuple[Any, list[Any]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Answered:
    """What a model says to one question.

    Attributes:
        metrics: what the task makes of it.
        scored: the contexts and continuations that were scored, those of the options first.
        likelihoods: their log-likelihoods, in nats.
        task: lm-eval's task object.
        doc: its row.
    """

    metrics: Metrics
    scored: tuple[Pair, ...]
    likelihoods: tuple[float, ...]
    task: Any
    doc: Any

    @cached_property
    def choices(self) -> Sequence[str]:
        """The options."""
        choices: Sequence[str] = self.task.doc_to_choice(self.doc)
        return choices

    @property
    def options(self) -> tuple[Pair, ...]:
        """Of each option the context and the continuation that was scored."""
        # some metrics ask for every option without its context as well, after all others
        return self.scored[: len(self.choices)]

    @property
    def log_likelihoods(self) -> tuple[float, ...]:
        """Of the options, in nats."""
        return self.likelihoods[: len(self.choices)]

    @property
    def right(self) -> int | None:
        """The index of the right option; None where there is not exactly one."""
        target = self.task.doc_to_target(self.doc)
        if isinstance(target, str):
            target = self.choices.index(target) if target in self.choices else None
        return target if isinstance(target, int) and 0 <= target < len(self.choices) else None


def evaluate(
    lm: LM, tasks: Mapping[str, Any], samples: Mapping[str, Sequence[int]] | None
) -> dict[str, dict[int, Metrics]]:
    """Return what lm-eval's tasks make of a model's answers, question by question.

    Arguments and errors are those of ``answered``.

    Returns:
        Task -> index of a question -> metric -> value.
    """
    return {
        task: {index: question.metrics for index, question in questions.items()}
        for task, questions in answered(lm, tasks, samples).items()
    }


def answered(
    lm: LM, tasks: Mapping[str, Any], samples: Mapping[str, Sequence[int]] | None
) -> dict[str, dict[int, Answered]]:
    """Return a model's answers, and what lm-eval's tasks make of them, question by question.

    Contexts, continuations, filters and metrics are the tasks'; only the log-likelihoods are
    computed here.

    Args:
        lm: the model; not changed.
        tasks: name -> lm-eval's task object.
        samples: task -> indices of the questions that are asked; None: all.

    Returns:
        Task -> index of a question -> what is said to it.

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
        results[name] = _answered(tasks[name], requests, task_answers, indices)
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


def _answered(
    task: Any, requests: Sequence[Any], task_answers: Sequence[Answer], samples: Any
) -> dict[int, Answered]:
    """Return what is said to each question."""
    if not requests:
        return {}
    of_question: dict[int, list[Any]] = defaultdict(list)
    for request, answer in zip(requests, task_answers, strict=True):
        request.resps.extend([answer] * (request.repeats or 1))
        of_question[request.doc_id].append(request)
    task.apply_filters()
    questions: dict[int, Answered] = {}
    for number, together in of_question.items():
        together.sort(key=lambda request: request.idx)
        doc, metrics = together[0].doc, {}
        # of several filters the last one counts
        for name in requests[0].filtered_resps:
            filtered = [request.filtered_resps[name] for request in together]
            metrics = task.process_results(doc, filtered)
        questions[samples[number] if samples else number] = Answered(
            metrics,
            tuple(request.args for request in together),
            tuple(float(request.resps[0][0]) for request in together),
            task,
            doc,
        )
    return questions
