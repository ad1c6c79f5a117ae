"""What lm-eval's own tasks ask, as texts to look for among what is learned from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from interventions.data.base import Questions
from interventions.data.hub import HUB, local_folder, unreadable
from interventions.data.lm_eval_tasks import tasks
from interventions.data.own.leaks import MEASURED_WORDS, Measured, add_question, add_text
from interventions.errors import InvalidInput


def hashes_of_tasks(questions: Questions) -> Measured:
    """Return the hashes of the questions of lm-eval's own tasks, read from their copies or the hub.

    Of a question: the prompt as the task writes it, and every text of its row (the question by
    itself, a passage that is asked about), alone and with the right answer behind; and their
    lines. What has fewer than five words is left out, as many texts have it, unless it asks.

    Args:
        questions: lm-eval's own tasks alone.

    Raises:
        InvalidInput: they cannot be read.
    """
    places: dict[str, str] = {}
    for name, task in _tasks(questions).items():
        for number, doc in enumerate(task.eval_docs, 1):
            _add_doc(places, task, doc, f"question {number} of {name}")
    return Measured({"questions": places})


def _tasks(questions: Questions) -> dict[str, Any]:
    names = ", ".join(task for _, task in questions.tasks)
    try:
        objects: dict[str, Any] = tasks(questions)["tasks"]
    except InvalidInput:
        raise
    # whatever lm-eval, the hub's, the network's and the file formats' libraries raise
    except Exception as error:
        data_sets = ", ".join(name for name, _ in questions.sources)
        raise unreadable(
            f"the questions of {names}, which what is learned from is compared with",
            tried=HUB,
            place=data_sets,
            folder=local_folder(None),
            error=error,
        ) from error
    return objects


def _add_doc(places: dict[str, str], task: Any, doc: dict[str, Any], place: str) -> None:
    options, target = _options(task, doc), task.doc_to_target(doc)
    index = options.index(target) if target in options else target
    answers = []
    if isinstance(index, int) and 0 <= index < len(options):
        # an answer may be a letter, with its words in the row
        of_row = [texts[index] for texts in _lists(doc) if index < len(texts)]
        answers = [options[index], *of_row]
    for text in (task.doc_to_text(doc), *doc.values()):
        if isinstance(text, str) and _tells(text):
            add_question(places, text, answers, place)
            add_text(places, text, place)


def _tells(text: str) -> bool:
    """Return whether a text is a question, or long enough to be found in no other place."""
    words = len(text.split())
    return words >= MEASURED_WORDS or (words > 1 and text.rstrip().endswith("?"))


def _options(task: Any, doc: dict[str, Any]) -> list[str]:
    options = task.doc_to_choice(doc)
    return [str(option) for option in options] if isinstance(options, Sequence) else []


def _lists(doc: dict[str, Any]) -> Iterator[list[str]]:
    """Yield the lists of texts of a row, also one level down: {"choices": {"text": [...]}}."""
    for value in doc.values():
        for inner in value.values() if isinstance(value, dict) else (value,):
            if isinstance(inner, list) and all(isinstance(text, str) for text in inner):
                yield inner
