"""What other models say, of which some criteria measure the distance: the base model, another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from interventions.criteria.base_comparison import benign_choices
from interventions.criteria.criterion import Criterion
from interventions.criteria.editing import locality_answers
from interventions.criteria.forget_quality import forget_choices
from interventions.criteria.question_answering import made_up_choices
from interventions.data.base import Data
from interventions.lm import LM


@dataclass(frozen=True)
class Reference:
    """A part of the data that holds another model's answers.

    Attributes:
        part: of the data, None before that model was asked.
        reads: the part that holds what is asked.
        version: raise it when the same model would answer otherwise.
        answers: asks a model.
        made_up: returns what stands for the answers where there is no model, in a rehearsal.
        is_answer: whether a value, as JSON gives it back, can be the answer to one question.
        of_retain_model: whether ``data.retain_model`` is asked, and not the base model.
    """

    part: str
    reads: str
    version: int
    answers: Callable[[LM, Data], Any]
    made_up: Callable[[Data], Any]
    is_answer: Callable[[Any], bool]
    of_retain_model: bool = False

    def identity(self, data: Data) -> list[Any]:
        """Return what, besides the base model, the answers depend on."""
        model = [data.identity(self.part)] if self.of_retain_model else []
        return [self.part, self.version, data.identity(self.reads), *model]

    def from_json(self, stored: Any) -> Any:
        """Return stored answers as they were before JSON; None if they are none.

        Example:
            >>> base_choices = REFERENCES[-1]
            >>> base_choices.from_json([["mmlu/0", [-1.0, -2.0]]]), base_choices.from_json(["odd"])
            ((('mmlu/0', (-1.0, -2.0)),), None)
        """
        if not isinstance(stored, list) or not all(map(self.is_answer, stored)):
            return None
        return _tuples(stored)


def _is_text(answer: Any) -> bool:
    return isinstance(answer, str)


def _is_choice(answer: Any) -> bool:
    if not (isinstance(answer, list) and len(answer) == 2 and isinstance(answer[0], str)):
        return False
    return isinstance(answer[1], list) and all(isinstance(value, float) for value in answer[1])


REFERENCES = (
    # first: the model of it is gone again before the base model is loaded
    Reference(
        "retain_choices",
        "questions",
        1,
        forget_choices,
        lambda data: made_up_choices(data.questions, "lower"),
        _is_choice,
        of_retain_model=True,
    ),
    Reference(
        "base_answers",
        "locality",
        2,
        locality_answers,
        lambda data: ("",) * len(data.locality),
        _is_text,
    ),
    Reference(
        "base_choices",
        "questions",
        1,
        benign_choices,
        lambda data: made_up_choices(data.questions, "higher"),
        _is_choice,
    ),
)


def references_of(criteria: Iterable[Criterion]) -> list[Reference]:
    """Return the answers of other models that some criteria read.

    Example:
        >>> from interventions.criteria.base import criterion_of
        >>> from interventions.data.testbed import testbed
        >>> preservation = criterion_of(testbed(), "edit_preservation")
        >>> [reference.part for reference in references_of([preservation])]
        ['base_answers']
    """
    parts = {part for criterion in criteria for part in criterion.reads}
    return [reference for reference in REFERENCES if reference.part in parts]


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
