"""What the steps of a composition and its criteria take, rehearsed on a model without weights."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from interventions.base import Intervention
from interventions.base_model import base_model
from interventions.composition import Composition, apply
from interventions.criteria.base import Criterion, measure
from interventions.criteria.engine.batching import budget
from interventions.criteria.engine.evaluation import evaluate
from interventions.criteria.references import references_of
from interventions.data.base import Data, Questions
from interventions.data.lm_eval_tasks import by_length, criterion_of_task, tasks
from interventions.errors import printable_line
from interventions.lm import LM
from interventions.prompt_format import PLAIN, PromptFormat
from interventions.rehearsal.meta import Takes, TooLong, rehearse
from interventions.rehearsal.speed import Speed

_QUESTIONS = 40  # of a criterion that are rehearsed
_MOST_QUESTIONS = 2000  # that a batch is filled with
_WINDOWS = 8  # of texts, likewise
_KEY = "0" * 32  # of a checkpoint: any draw at random takes as much
_MOST_REASON = 150  # characters


@dataclass(frozen=True)
class Unknown:
    """That nothing is known of what a step or a criterion takes.

    Attributes:
        reason: why.
    """

    reason: str


class Stage:
    """A model without weights, on which steps are rehearsed one after the other.

    Args:
        model: without its weights (on the meta device); not changed.
        tokenizer: of the model.
        dtype: in which the weights are to be.
        speed: of the device on which they are to be.
        prompt_format: what is put around prompts.

    Attributes:
        weight_bytes: of the model, buffers included.
        kept_bytes: what steps leave in memory beside the weights: the grids of quantized layers.

    Example:
        >>> from interventions.base import make
        >>> from interventions.data.testbed import MODEL, testbed
        >>> from interventions.lm import skeleton
        >>> from interventions.rehearsal.speed import H100
        >>> from interventions.tokenizer import load_tokenizer
        >>> stage = Stage(skeleton(MODEL), load_tokenizer(MODEL), torch.bfloat16, H100)
        >>> takes = stage.step(make("magnitude"), testbed())
        >>> takes.peak_bytes > stage.weight_bytes > 2_000_000
        True
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        dtype: torch.dtype,
        speed: Speed,
        prompt_format: PromptFormat = PLAIN,
    ) -> None:
        self._model, self._tokenizer, self._dtype = model, tokenizer, dtype
        self._speed, self._prompt_format = speed, prompt_format
        self.weight_bytes = _bytes(self._fresh().model)
        self.kept_bytes = 0

    def step(self, step: Intervention, data: Data) -> Takes | Unknown:
        """Return what a step takes.

        An intervention of somebody else's is rehearsed like ours, unless it asks for what only a
        real run can tell: then nothing is known of it, as it may go another way there.

        Args:
            step: the intervention.
            data: what it is applied with.
        """
        applied = list(Composition([step]).with_branches())
        for inner in applied:
            if getattr(inner, "backend", "own") != "own":
                return Unknown(f"{inner.name}.backend is somebody else's code")
        takes = self._rehearsed(lambda lm: apply(step, lm, data, _KEY))
        if isinstance(takes, Takes) and takes.made_up and not all(map(_is_ours, applied)):
            return Unknown("what it does depends on numbers that only a run gives")
        if isinstance(takes, Takes):
            self.kept_bytes = max(self.kept_bytes, takes.kept_bytes - self.weight_bytes)
        return takes

    def criteria(self, criteria: Sequence[Criterion], data: Data) -> Takes | Unknown:
        """Return what it takes to measure criteria.

        Of many questions, and of a long text, a sample is rehearsed, whose time counts as often as
        there are questions, or windows. Memory is that of full batches.

        Args:
            criteria: of the data.
            data: what they are measured on.
        """
        asking = [each for each in criteria if "questions" in each.reads]
        reading = [each for each in criteria if "test_text" in each.reads]
        others = [each for each in criteria if each not in (*asking, *reading)]
        groups = (
            (others, 1.0, 0),
            (asking, _times_sampled(asking, data), _QUESTIONS),
            (reading, self._windows(data) / _WINDOWS, _WINDOWS),
        )
        parts = []
        for together, times, sampled in groups:
            if together:
                measured = data if times <= 1 else data.limited(sampled)
                for reference in references_of(together):  # the answers themselves take nothing
                    made_up = {reference.part: reference.made_up(measured)}
                    measured = dataclasses.replace(measured, **made_up)
                part = self._rehearsed(_measuring(together, measured))
                if isinstance(part, Unknown):
                    return part
                parts.append(dataclasses.replace(part, seconds=part.seconds * max(1.0, times)))
        if _times_sampled(asking, data) > 1:
            part = self._rehearsed(_filling_batches(_asked_questions(asking, data)))
            if isinstance(part, Unknown):
                return part
            parts.append(dataclasses.replace(part, seconds=0.0))
        return Takes(
            max([self.weight_bytes, *(part.peak_bytes for part in parts)]),
            self.weight_bytes + self.kept_bytes,
            sum(part.seconds for part in parts),
        )

    def _windows(self, data: Data) -> int:
        """Return in how many windows the texts are read on which perplexity is measured."""
        if not data.test_text:
            return 0
        step = data.stride or data.window
        ids = self._tokenizer(list(data.test_text), verbose=False)["input_ids"]
        count = sum(-(-len(row) // step) for row in ids)
        return min(count, data.limit or count)

    def _rehearsed(self, action: Callable[[LM], object]) -> Takes | Unknown:
        lm = self._fresh()
        try:
            with base_model(self._fresh):
                _, takes = rehearse(lambda: action(lm), [lm.model], self._speed, self.kept_bytes)
        except TooLong as error:
            return Unknown(f"it would take too long to rehearse: {error}")
        except Exception as error:  # whatever asks for values that a rehearsal has not
            reason = printable_line(f"{type(error).__name__}: {error}", _MOST_REASON)
            return Unknown(f"it cannot be rehearsed ({reason})")
        return takes

    def _fresh(self) -> LM:
        """Return the model as no step has changed it: others have its shapes after one, too."""
        model = copy.deepcopy(self._model).to(self._dtype).eval().requires_grad_(False)
        return LM(model, self._tokenizer, prompt_format=self._prompt_format)


def _times_sampled(criteria: Sequence[Criterion], data: Data) -> float:
    """Return how many times the questions of a sample there are, of those that criteria ask."""
    if not criteria or 0 < data.limit <= _QUESTIONS:
        return 1.0
    questions = _asked_questions(criteria, data)
    counts: dict[str, int] = {}
    for name, task in tasks(questions)["tasks"].items():
        criterion, _ = criterion_of_task(questions, name)
        counts[criterion] = counts.get(criterion, 0) + len(task.eval_docs)
    asked = [min(count, data.limit or count) for count in counts.values()]
    return sum(asked) / sum(min(count, _QUESTIONS) for count in asked)


def _asked_questions(criteria: Sequence[Criterion], data: Data) -> Questions:
    sets = {need.removeprefix("questions.") for each in criteria for need in each.needs}
    questions = data.questions.only(sets) if sets else data.questions
    return dataclasses.replace(questions, limit=data.limit)


def _filling_batches(questions: Questions) -> Callable[[LM], object]:
    """Return what asks the longest questions, and as many of the shortest as fill a batch.

    A batch of long rows takes most for what their tokens read, one of many short rows for what is
    said of their ends.
    """
    objects = tasks(questions)["tasks"]
    ordered = by_length(questions)

    def ask(lm: LM) -> object:
        name, index = ordered[-1]
        task = objects[name]
        shortest = lm.tokenizer(str(task.doc_to_text(task.eval_docs[index])))["input_ids"]
        count = budget(lm.model, logits_too=False).rows(max(1, len(shortest)))
        chosen = {*ordered[:_QUESTIONS], *ordered[-min(count, _MOST_QUESTIONS) :]}
        samples = {name: sorted(i for of, i in chosen if of == name) for name in objects}
        return evaluate(lm, objects, samples)

    return ask


def _is_ours(step: Intervention) -> bool:
    return type(step).__module__.partition(".")[0] == __name__.partition(".")[0]


def _measuring(criteria: Sequence[Criterion], data: Data) -> Callable[[LM], object]:
    return lambda lm: measure(lm, data, [each.name for each in criteria])


def _bytes(model: torch.nn.Module) -> int:
    tensors = (*model.parameters(), *model.buffers())
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in tensors}
    return sum(storage.nbytes() for storage in storages.values())
