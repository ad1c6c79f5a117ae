"""Make a data set out of a description: what a YAML file says, or what Python was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from interventions.data.own.data_set import WINDOW, DataContent, DataSet
from interventions.data.own.described import DEFAULTS
from interventions.data.own.files import Row
from interventions.data.own.leaks import LEARNED, allowed_leaks, text_hash
from interventions.data.own.parts import DataPart
from interventions.data.own.rows import (
    Reading,
    read_edits,
    read_prompts,
    read_questions,
    read_texts,
)
from interventions.data.own.schema import check_description
from interventions.data.own.splits import Split, divided
from interventions.data.own.tasks import task_source
from interventions.data.question_set import Question, QuestionSet
from interventions.data.retain_model import check_retain_model
from interventions.errors import InvalidInput, shown

# what holds data; all other entries say something of them
_PARTS = (
    "edits", "locality", "questions", "forget", "retain", "calibration", "statistics", "perplexity",
)  # fmt: skip
T = TypeVar("T")
Reader = Callable[[Sequence[Row], Reading], tuple[T, ...]]


def data_set(description: Mapping[str, Any], folder: Path, name: str) -> DataSet:
    """Read all that a description names, check it, and make a data set of it.

    Args:
        description: of the shipped schema's form.
        folder: which relative file names are relative to.
        name: of the data, where the description says none.

    Raises:
        InvalidInput: one line that names file, row and field, or the leak.
    """
    check_description(description, name)
    name = description.get("name", name)
    reader = _Parts(description, folder)
    learned, topics = _learned(description, folder)
    retain_model = description.get("retain_model", "")
    content = DataContent(
        edits=reader.split("edits", read_edits, lambda row: text_hash(row.edit.subject)),
        locality=reader.split("locality", read_prompts, lambda row: text_hash(row.prompt)),
        questions=reader.question_sets(),
        perplexity=reader.split("perplexity", read_texts, text_hash),
        learned=learned,
        topics=topics,
        task_sources=reader.task_sources,
        batch=int(description.get("batch", 0)),  # 5.0 is an integer to JSON Schema
        window=int(description.get("window", WINDOW)),
        retain_model=retain_model and check_retain_model(folder / retain_model),
        allowed=allowed_leaks(description.get("allow_leak", ()), name),
    )
    if not any(part in description for part in _PARTS):
        raise InvalidInput(
            f"{name}: there are no data in it; it needs one of {', '.join(_PARTS)} (a file that"
            " describes data is given to a run as data='file.yaml')"
        )
    return DataSet(name, description.get("defaults", DEFAULTS), content)


class _Parts:
    """Reads the parts that are measured, each divided into what tunes and what judges."""

    def __init__(self, description: Mapping[str, Any], folder: Path) -> None:
        self._description, self._folder = description, folder
        self.task_sources: tuple[tuple[str, Any], ...] = ()

    def split(self, name: str, read: Reader[T], together: Callable[[T], Any]) -> Split[T]:
        """Return a part of the description, read and divided; an empty one if it is not there."""
        if name not in self._description:
            return Split()
        return self._divided(name, self._description[name], read, together)

    def _divided(
        self, name: str, written: Any, read: Reader[T], together: Callable[[T], Any]
    ) -> Split[T]:
        part = DataPart.read(name, written, self._folder)
        items = read(part.rows(), part.reading)
        validation = part.source.get("validation", self._description.get("validation"))
        if validation is None:
            return Split(items)
        if isinstance(validation, int | float):
            seed = f"validation of {name}, {int(self._description.get('seed', 0))}"
            return divided(items, validation, seed, together)
        inherited = {key: part.source[key] for key in _READ_SO if key in part.source}
        other = DataPart.read(f"{name}.validation", validation, self._folder)
        if not other.source.keys() & _READ_SO:
            other = replace(other, source={**inherited, **other.source})
        for_tuning = read(other.rows(), other.reading)
        _check_apart(name, items, for_tuning, together)
        return Split(items, for_tuning)

    def question_sets(self) -> Split[QuestionSet]:
        """Return the sets of both splits; one of lm-eval's tasks judges, and tunes nothing."""
        for_test, for_tuning = [], []
        for name, written in self._description.get("questions", {}).items():
            facts = {key: written[key] for key in ("better", "chance", "title") if key in written}
            facts["letters"] = written.get("answers", "letters") == "letters"
            if "task" in written:
                for_test.append(QuestionSet(name, (), task=written["task"], **facts))
                source = task_source(name, written)
                self.task_sources = (*self.task_sources, *source)
                continue
            read = self._divided(f"questions.{name}", written, read_questions, _question_text)
            for_test.append(QuestionSet(name, read.test, **facts))
            if read.validation:
                for_tuning.append(QuestionSet(name, read.validation, **facts))
        return Split(tuple(for_test), tuple(for_tuning))


_READ_SO = (
    "fields",
    "placeholder",
    "texts",
    "repeats",
)  # how rows are read, for validation rows too


def _question_text(question: Question) -> str:
    return text_hash(question.question)


def _check_apart(
    name: str, test: Sequence[T], validation: Sequence[T], together: Callable[[T], Any]
) -> None:
    """Raise InvalidInput if what tunes is what judges."""
    tested = {together(item) for item in test}
    for number, item in enumerate(validation, 1):
        if together(item) in tested:
            raise InvalidInput(
                f"{name}: {shown(together(item), 100)}, row {number} of validation, by which a"
                " setting is tuned, is in the rows that judge too; take it out of one of them"
            )


def _learned(
    description: Mapping[str, Any], folder: Path
) -> tuple[dict[str, Sequence[str] | DataPart], tuple[str, ...]]:
    """Return the texts of the parts that are learned from, and the topics of what is forgotten."""
    learned: dict[str, Sequence[str] | DataPart] = {}
    topics: tuple[str, ...] = ()
    for name in LEARNED:
        written = description.get(name)
        if written is None:
            continue
        if isinstance(written, Mapping) and "topics" in written:
            topics = tuple(written["topics"])
            learned[name] = _alternating(name, written["topics"], folder)
            continue
        part = DataPart.read(name, written, folder)
        if "validation" in part.source:
            raise InvalidInput(f"{name} is learned from, in tuning too: it has no validation")
        learned[name] = part if part.is_on_hub else read_texts(part.rows(), part.reading)
    return learned, topics


def _alternating(name: str, topics: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    """Return texts of several topics in turns."""
    texts_of_topic = []
    for topic, written in topics.items():
        part = DataPart.read(f"{name}.{topic}", written, folder)
        texts_of_topic.append(read_texts(part.rows(), part.reading))
    counts = {topic: len(each) for topic, each in zip(topics, texts_of_topic, strict=True)}
    if len(set(counts.values())) > 1:
        raise InvalidInput(
            f"{name}: topics take turns, so each needs as many texts, but there are"
            f" {shown(counts, 150)}; say first: {min(counts.values())} for each"
        )
    return tuple(chain(*zip(*texts_of_topic, strict=True)))
