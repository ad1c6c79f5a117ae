"""Data: what interventions learn from and criteria measure on, in parts with an identity each."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from interventions.files import file_digest


@dataclass(frozen=True)
class Edit:
    """One fact to change.

    Attributes:
        subject: what the fact is about, as it stands in the prompt.
        prompt: ends where the answer begins (without the space).
        target: the new answer.
        original: the answer before.
        rephrasings: other prompts that the new answer must hold for.
    """

    subject: str
    prompt: str
    target: str
    original: str
    rephrasings: tuple[str, ...]


@dataclass(frozen=True)
class Prompt:
    """An unedited prompt and its gold answer."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Questions:
    """Four-choice questions as lm-eval tasks.

    Attributes:
        tasks: criterion name -> lm-eval task name.
        folder: the tasks' YAML files and their data; None for the tasks that lm-eval ships.
        revision: which state of the questions, where the folder does not say.
        split: which questions of the folder: "test", or "validation" for tuning.
        sources: data set of lm-eval's own tasks -> its local copy, or its revision on the hub.
        halved: data sets that have test questions only: "validation" asks every second question of
            these, and "held_out" the rest.
    """

    tasks: tuple[tuple[str, str], ...]
    folder: Path | None = None
    revision: str = ""
    split: str = "test"
    sources: tuple[tuple[str, Path | str], ...] = ()
    halved: tuple[str, ...] = ()

    @cached_property
    def identity(self) -> str:
        """Return a text that changes when a question does."""
        files = _files(self.folder) if self.folder else ""
        sources = {
            name: _files(place) if isinstance(place, Path) else place
            for name, place in self.sources
        }
        return f"{self.tasks}-{files}-{self.revision}-{self.split}-{sources}{self.halved or ''}"

    def rows(self, source: str) -> tuple[str, slice]:
        """Return which questions of a data set are asked: its split, and which rows of it."""
        if source in self.halved:
            return "test", slice(0 if self.split == "validation" else 1, None, 2)
        return "validation" if self.split == "validation" else "test", slice(None)


def _files(folder: Path) -> str:
    """Return a hash of a folder's files; hidden ones (a downloader's notes) do not count."""
    visible = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            visible.append(path)
    return file_digest(visible)


class Lazy(Sequence[str]):
    """Texts that are read on first use; they have the identity of a tuple of the same texts.

    For corpora that only some interventions use: an unused one is never read.

    Example:
        >>> texts = Lazy(lambda: ("first", "second"))
        >>> len(texts), texts[0]
        (2, 'first')
    """

    def __init__(self, read: Callable[[], tuple[str, ...]]) -> None:
        self._read = read

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Return all texts."""
        return self._read()

    @cached_property
    def identity(self) -> str:
        """Return a hash of the texts, as of a tuple of them."""
        return _identity(self.texts)

    def __getitem__(self, index: Any) -> Any:
        return self.texts[index]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Data:
    """What a run intervenes with and is judged by, in named parts.

    Texts are documents.

    Attributes:
        name: what the run calls it ("testbed", "paper").
        edits: one batch.
        locality: prompts on subjects that the batch does not edit.
        questions: four-choice questions.
        forget: what unlearning forgets; texts alternate between the hazard domains.
        retain: what it must not forget, from the train split.
        calibration: texts that compression computes activations on, from the train split.
        statistics: texts over which MEMIT takes second moments, from the train split.
        test_text: what perplexity is measured on, from the split that judges.
        window: tokens of a text that are scored together.
        base_answers: the base model's answers to ``locality``, in order; None until it was asked.
        forget_topics: names of the hazard domains, in the order in which they alternate in
            ``forget``; empty where the texts are of one domain.
        calibration_of: intervention -> its own calibration texts, where they are not
            ``calibration``; no part, as ``seen_by`` makes them the part.
        sources: what a part was read from, where there is a choice: ("edits", a file's name),
            ("awq.calibration", a data set's name).

    Example:
        >>> from interventions.data.testbed import testbed
        >>> data = testbed(edit_batch=0, split="test")
        >>> len(data.edits), len(data.locality)
        (50, 150)
        >>> data.identity("edits") == testbed(edit_batch=1, split="test").identity("edits")
        False
    """

    name: str
    edits: tuple[Edit, ...]
    locality: tuple[Prompt, ...]
    questions: Questions
    forget: Sequence[str]
    retain: Sequence[str]
    calibration: Sequence[str]
    statistics: Sequence[str]
    test_text: tuple[str, ...]
    window: int
    base_answers: tuple[str, ...] | None = None
    forget_topics: tuple[str, ...] = ()
    calibration_of: tuple[tuple[str, Sequence[str]], ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    _identities: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def identity(self, part: str) -> str:
        """Return a hash of one part's content: equal content has equal identity in every batch."""
        if part not in self._identities:
            self._identities[part] = _identity(getattr(self, part))
        return self._identities[part]

    def seen_by(self, intervention: str) -> Data:
        """Return the data as an intervention gets them: with its own calibration texts, if any."""
        texts = dict(self.calibration_of).get(intervention)
        if texts is None:
            return self
        return dataclasses.replace(self, calibration=texts, calibration_of=())


_NO_PARTS = {"name", "calibration_of", "sources"}
PARTS = frozenset(part.name for part in dataclasses.fields(Data) if part.init) - _NO_PARTS


def _identity(part: Any) -> str:
    if isinstance(part, Lazy):
        return part.identity
    if isinstance(part, Questions):
        part = part.identity
    plain = [_plain(item) for item in part] if isinstance(part, tuple) else part
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:32]


def _plain(item: Edit | Prompt | str) -> Any:
    return item if isinstance(item, str) else dataclasses.asdict(item)
